// For each query, the largest similarity among each tile of 32 rows: a matrix product of which
// only the maxima leave the chip. The host looks into the tiles that can hold a hit.
//
// Twin of src/gallery/top_k.rs; wrapper in src/gpu/top_k.rs, which says why maxima suffice.

struct Params {
    rows: u32,
    queries: u32,
    // vec4s of a row and of a query: a multiple of 4, the last ones filled up with zeros.
    quads: u32,
    // Of these rows' first tile among all tiles.
    first_tile: u32,
    all_tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// (rows, quads)
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
// A word a tile: bit i is set where its row i may be found.
@group(0) @binding(2) var<storage, read> served: array<u32>;
// (queries, quads)
@group(0) @binding(3) var<storage, read> queries: array<vec4<f32>>;
// (queries, all_tiles); the lowest number where a tile has no row that may be found.
@group(0) @binding(4) var<storage, read_write> maxima: array<f32>;

const TILE = 32u;
const LOWEST = -3.4028234e38;

// ---- Many queries: 128 rows times 64 queries a workgroup, 8 times 8 a thread. Workgroups with
// the same rows are neighbours in x, so that these stay in a cache.

// 16 values of each row and query of the workgroup, transposed: (value, rows / 4).
var<workgroup> row_values: array<vec4<f32>, 512>;
var<workgroup> query_values: array<vec4<f32>, 256>;
// Maxima of 8 rows: (row / 8, queries / 4).
var<workgroup> eights: array<vec4<f32>, 256>;

fn better(best: vec4<f32>, sums: vec4<f32>, bits: u32, row: u32) -> vec4<f32> {
    return select(best, max(best, sums), ((bits >> row) & 1u) == 1u);
}

@compute @workgroup_size(128)
fn many(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    // While values are fetched, a thread takes a block of 4 rows times 4 values. Behind the last
    // row it fetches that one again; its bits are not set.
    let block = thread / 4u;
    let part = thread % 4u;
    let row = 128u * group.y + 4u * block;
    let last_row = params.rows - 1u;
    let row_0 = min(row, last_row) * params.quads + part;
    let row_1 = min(row + 1u, last_row) * params.quads + part;
    let row_2 = min(row + 2u, last_row) * params.quads + part;
    let row_3 = min(row + 3u, last_row) * params.quads + part;
    let query = 64u * group.x + 4u * block;
    let last_query = params.queries - 1u;
    let query_0 = min(query, last_query) * params.quads + part;
    let query_1 = min(query + 1u, last_query) * params.quads + part;
    let query_2 = min(query + 2u, last_query) * params.quads + part;
    let query_3 = min(query + 3u, last_query) * params.quads + part;

    // While they are multiplied, it has 8 neighbouring rows, and 4 queries from each half.
    let down = thread / 8u;
    let across = thread % 8u;
    // Written out: an array could end outside the registers.
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var a4 = vec4(0.0);
    var a5 = vec4(0.0);
    var a6 = vec4(0.0);
    var a7 = vec4(0.0);
    var b0 = vec4(0.0);
    var b1 = vec4(0.0);
    var b2 = vec4(0.0);
    var b3 = vec4(0.0);
    var b4 = vec4(0.0);
    var b5 = vec4(0.0);
    var b6 = vec4(0.0);
    var b7 = vec4(0.0);
    for (var quad = 0u; quad < params.quads; quad += 4u) {
        let of_rows = transpose(mat4x4(
            rows[row_0 + quad], rows[row_1 + quad], rows[row_2 + quad], rows[row_3 + quad],
        ));
        let row_place = 128u * part + block;
        row_values[row_place] = of_rows[0];
        row_values[row_place + 32u] = of_rows[1];
        row_values[row_place + 64u] = of_rows[2];
        row_values[row_place + 96u] = of_rows[3];
        if block < 16u {
            let of_queries = transpose(mat4x4(
                queries[query_0 + quad],
                queries[query_1 + quad],
                queries[query_2 + quad],
                queries[query_3 + quad],
            ));
            let query_place = 64u * part + block;
            query_values[query_place] = of_queries[0];
            query_values[query_place + 16u] = of_queries[1];
            query_values[query_place + 32u] = of_queries[2];
            query_values[query_place + 48u] = of_queries[3];
        }
        workgroupBarrier();
        for (var value = 0u; value < 16u; value++) {
            let upper = row_values[32u * value + 2u * down];
            let lower = row_values[32u * value + 2u * down + 1u];
            let a = query_values[16u * value + across];
            let b = query_values[16u * value + across + 8u];
            a0 += upper.x * a;
            a1 += upper.y * a;
            a2 += upper.z * a;
            a3 += upper.w * a;
            a4 += lower.x * a;
            a5 += lower.y * a;
            a6 += lower.z * a;
            a7 += lower.w * a;
            b0 += upper.x * b;
            b1 += upper.y * b;
            b2 += upper.z * b;
            b3 += upper.w * b;
            b4 += lower.x * b;
            b5 += lower.y * b;
            b6 += lower.z * b;
            b7 += lower.w * b;
        }
        workgroupBarrier();
    }

    // Four threads, one above the other, share a tile.
    let tiles = (params.rows + TILE - 1u) / TILE;
    let tile = 4u * group.y + down / 4u;
    var bits = 0u;
    if tile < tiles {
        bits = served[tile] >> (8u * (down % 4u));
    }
    var best = vec4(LOWEST);
    best = better(best, a0, bits, 0u);
    best = better(best, a1, bits, 1u);
    best = better(best, a2, bits, 2u);
    best = better(best, a3, bits, 3u);
    best = better(best, a4, bits, 4u);
    best = better(best, a5, bits, 5u);
    best = better(best, a6, bits, 6u);
    best = better(best, a7, bits, 7u);
    eights[16u * down + across] = best;
    best = vec4(LOWEST);
    best = better(best, b0, bits, 0u);
    best = better(best, b1, bits, 1u);
    best = better(best, b2, bits, 2u);
    best = better(best, b3, bits, 3u);
    best = better(best, b4, bits, 4u);
    best = better(best, b5, bits, 5u);
    best = better(best, b6, bits, 6u);
    best = better(best, b7, bits, 7u);
    eights[16u * down + across + 8u] = best;
    workgroupBarrier();

    // Neighbouring threads write a query's neighbouring tiles.
    if thread < 64u {
        let out_tile = 4u * group.y + thread % 4u;
        let quad = thread / 4u;
        let first = 64u * (thread % 4u) + quad;
        let whole = max(
            max(eights[first], eights[first + 16u]),
            max(eights[first + 32u], eights[first + 48u]),
        );
        if out_tile < tiles {
            for (var i = 0u; i < 4u; i++) {
                let out_query = 64u * group.x + 4u * quad + i;
                if out_query < params.queries {
                    maxima[out_query * params.all_tiles + params.first_tile + out_tile] = whole[i];
                }
            }
        }
    }
}

// ---- One query: bound by memory. A tile a workgroup, 8 threads a row.

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn single(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let part = thread % 8u;
    let row = min(TILE * group.x + thread / 8u, params.rows - 1u) * params.quads;
    var sum = vec4(0.0);
    for (var quad = part; quad < params.quads; quad += 8u) {
        sum += rows[row + quad] * queries[quad];
    }
    partial[thread] = (sum.x + sum.y) + (sum.z + sum.w);
    workgroupBarrier();
    var best = LOWEST;
    if thread < TILE && ((served[group.x] >> thread) & 1u) == 1u {
        best = 0.0;
        for (var i = 0u; i < 8u; i++) {
            best += partial[8u * thread + i];
        }
    }
    workgroupBarrier();
    partial[thread] = best;
    workgroupBarrier();
    if thread == 0u {
        for (var i = 1u; i < TILE; i++) {
            best = max(best, partial[i]);
        }
        maxima[params.first_tile + group.x] = best;
    }
}
