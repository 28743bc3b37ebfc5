// Frankot–Chellappa integration in the cosine basis: slopes from normals, transforms as products
// with basis matrices, and the projection onto integrable coefficients.
//
// Transforms by matrix product take O(n³) work for an n×n image, but have no special sizes, no
// padding and no bit reversal, and a product is what a GPU does best.
//
// Twin of src/integrate/frankot_chellappa.rs, which has the derivation; wrapper in
// src/gpu/frankot_chellappa.rs.

struct Params {
    // Rows and columns of the output.
    rows: u32,
    columns: u32,
    // Length of the sums in `multiply`.
    inner: u32,
    // Steps between rows and columns of the left and right factor, so that one kernel multiplies
    // by a matrix or its transpose.
    left_row_step: u32,
    left_column_step: u32,
    // Where the left factor begins in its buffer.
    left_offset: u32,
    right_row_step: u32,
    right_column_step: u32,
    // Pixels between the components of the normal map.
    component_step: u32,
    max_slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// left: normals (3, ·), right: 1 where the surface is defined; result: slopes (2, h, w), first
// per column step, then per row step. Zero where undefined.
@compute @workgroup_size(16, 16)
fn slopes(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns || id.y >= params.rows {
        return;
    }
    let pixel = id.y * params.columns + id.x;
    let area = params.rows * params.columns;
    let n_x = left[pixel];
    let n_y = left[params.component_step + pixel];
    let n_z = max(left[2u * params.component_step + pixel], 1e-6);
    let p = -n_x / n_z;
    let q = n_y / n_z;
    let steepness = sqrt(p * p + q * q);
    let shrink = min(1.0, params.max_slope / max(steepness, 1e-6));
    // A value is looked at by its bits: comparisons with NaN are not to be relied on in WGSL.
    let exponent = 0x7f800000u;
    let finite = (bitcast<u32>(p) & exponent) != exponent && (bitcast<u32>(q) & exponent) != exponent
        && (bitcast<u32>(left[2u * params.component_step + pixel]) & exponent) != exponent;
    let defined = right[pixel] > 0.5 && finite;
    result[pixel] = select(0.0, p * shrink, defined);
    result[area + pixel] = select(0.0, q * shrink, defined);
}

var<workgroup> left_tile: array<array<f32, 16>, 16>;
var<workgroup> right_tile: array<array<f32, 16>, 16>;

// result (rows, columns) = left (rows, inner) · right (inner, columns)
@compute @workgroup_size(16, 16)
fn multiply(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    var sum = 0.0;
    for (var first = 0u; first < params.inner; first += 16u) {
        let k_left = first + local.x;
        let k_right = first + local.y;
        var left_value = 0.0;
        if id.y < params.rows && k_left < params.inner {
            left_value = left[
                params.left_offset + id.y * params.left_row_step + k_left * params.left_column_step
            ];
        }
        var right_value = 0.0;
        if k_right < params.inner && id.x < params.columns {
            right_value = right[k_right * params.right_row_step + id.x * params.right_column_step];
        }
        left_tile[local.y][local.x] = left_value;
        right_tile[local.y][local.x] = right_value;
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            sum += left_tile[local.y][k] * right_tile[k][local.x];
        }
        workgroupBarrier();
    }
    if id.y < params.rows && id.x < params.columns {
        result[id.y * params.columns + id.x] = sum;
    }
}

// left: P, right: Q, both (v, u); result: C = −(a P + b Q) / ((a² + b²) N_u N_v).
@compute @workgroup_size(16, 16)
fn project_onto_integrable(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns || id.y >= params.rows {
        return;
    }
    let pi = 3.14159265358979;
    let index = id.y * params.columns + id.x;
    let a = pi * f32(id.x) / f32(params.columns);
    let b = pi * f32(id.y) / f32(params.rows);
    let norm_u = f32(params.columns) * select(0.5, 1.0, id.x == 0u);
    let norm_v = f32(params.rows) * select(0.5, 1.0, id.y == 0u);
    let denominator = (a * a + b * b) * norm_u * norm_v;
    let mean = id.x == 0u && id.y == 0u;
    result[index] =
        select(-(a * left[index] + b * right[index]) / max(denominator, 1e-30), 0.0, mean);
}
