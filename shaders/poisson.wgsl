// Masked integration by weighted least squares: conjugate gradients with a multigrid
// preconditioner, everything on the device.
//
// Twin of src/integrate/poisson.rs, gradients.rs and multigrid.rs, which have the derivation;
// wrapper in src/gpu/poisson.rs, which has the order of the kernels.
//
// Grids are laid out as there: rows of `stride = width + 1` cells, the last one unused, with an
// unused row above and below. Nothing is ever written to the unused cells, so they hold the
// zeros of a new buffer. All levels lie one behind the other in each buffer.

struct Params {
    // This level and the next coarser one.
    height: u32,
    width: u32,
    first: u32,
    coarse_height: u32,
    coarse_width: u32,
    coarse_first: u32,
    // Where the weights of the edges down begin.
    down: u32,
    // Length of each of the vectors u, direction, product.
    vector: u32,
    // Workgroups, hence partial sums, on the finest level.
    partials: u32,
    // Where the grid's first cell lies in the map.
    origin_row: u32,
    origin_column: u32,
    map_width: u32,
    component_step: u32,
    perspective: u32,
    focal_column: f32,
    focal_row: f32,
    centre_column: f32,
    centre_row: f32,
    max_slope: f32,
    hole_weight: f32,
    damping: f32,
    // Squared residual, as a share of its first value, at which nothing moves any more.
    target_share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// (3, map): n_x, n_y, n_z.
@group(0) @binding(1) var<storage, read> normals: array<f32>;
// 1 where the map is defined.
@group(0) @binding(2) var<storage, read> mask: array<f32>;
// All edges to the right, then all edges down.
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> right_hand_side: array<f32>;
// A sweep reads one and writes the other.
@group(0) @binding(5) var<storage, read_write> before: array<f32>;
@group(0) @binding(6) var<storage, read_write> after: array<f32>;
// u, direction, product, then scalars and partial sums.
@group(0) @binding(7) var<storage, read_write> vectors: array<f32>;

const ENERGY = 0u;
const OLD_ENERGY = 1u;
const CURVATURE = 2u;
const SQUARED_RESIDUAL = 3u;
const TARGET = 4u;
const PARTIALS = 5u;

// Where `total` puts its sum. TARGET: the sum is the first squared residual.
override slot: u32 = 0u;

// A value is looked at by its bits: comparisons with NaN are not to be relied on in WGSL.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn inside(id: vec3<u32>) -> bool {
    return id.x < params.width && id.y < params.height;
}

fn cell(row: u32, column: u32) -> u32 {
    return params.first + (row + 1u) * (params.width + 1u) + column;
}

fn coarse_cell(row: u32, column: u32) -> u32 {
    return params.coarse_first + (row + 1u) * (params.coarse_width + 1u) + column;
}

// ---- Weights and steps of the edges.

// The ray of a cell at depth 1.
fn ray(row: u32, column: u32) -> vec3<f32> {
    if params.perspective == 0u {
        return vec3(0.0, 0.0, -1.0);
    }
    let x = (f32(params.origin_column + column) - params.centre_column) / params.focal_column;
    let y = -(f32(params.origin_row + row) - params.centre_row) / params.focal_row;
    return vec3(x, y, -1.0);
}

struct Facet {
    // On the mask.
    defined: bool,
    // Has a normal.
    good: bool,
    normal: vec3<f32>,
}

// The normal of a cell, turned toward the line of sight until it is not too steep.
fn facet(row: u32, column: u32) -> Facet {
    var result = Facet(false, false, vec3(0.0, 0.0, 1.0));
    if row >= params.height || column >= params.width {
        return result;
    }
    let pixel = (params.origin_row + row) * params.map_width + params.origin_column + column;
    result.defined = mask[pixel] > 0.5;
    let x = normals[pixel];
    let y = normals[params.component_step + pixel];
    let z = normals[2u * params.component_step + pixel];
    if !(result.defined && is_finite(x) && is_finite(y) && is_finite(z)) {
        return result;
    }
    let normal = vec3(x, y, z);
    let sight = -normalize(ray(row, column));
    let facing = dot(normal, sight);
    let across = normal - facing * sight;
    let tilt = length(across);
    if tilt <= params.max_slope * facing {
        result.good = facing > 0.0;
        result.normal = normal / max(length(normal), 1e-30);
    } else {
        result.good = tilt > 0.0;
        result.normal = normalize(sight + across * (params.max_slope / max(tilt, 1e-30)));
    }
    return result;
}

// ln(1 + x), x > −1, to full precision: WGSL promises 2⁻²¹ near x = 0, and drivers keep less.
fn log_of_one_plus(x: f32) -> f32 {
    // 1 + x = 2^e (1 + y), y within −1/4..1/2; x itself is kept where e would be 0.
    var y = x;
    var e = 0.0;
    if x < -0.25 || x >= 0.5 {
        let bits = bitcast<u32>(1.0 + x);
        // So that a significand from 1.5 on counts as one below 1 of the next exponent.
        let exponent = i32((bits + 0x00400000u) >> 23u) - 127;
        y = bitcast<f32>(u32(i32(bits) - (exponent << 23u))) - 1.0;
        e = f32(exponent);
    }
    // 2 artanh(y/(2 + y)); the next term is below 2⁻²⁵ of the sum.
    let s = y / (2.0 + y);
    let t = s * s;
    let series = t * (1.0 / 3.0 + t * (0.2 + t * (1.0 / 7.0 + t * (1.0 / 9.0 + t / 11.0))));
    return 0.6931471805599453 * e + 2.0 * (s + s * series);
}

// Weight and step of an edge from a cell along columns (0) or rows (1); weight 0: no edge.
fn edge(here: Facet, there: Facet, row: u32, column: u32, axis: u32) -> vec2<f32> {
    if !(here.defined && there.defined) {
        return vec2(0.0);
    }
    let hole = vec2(params.hole_weight, 0.0);
    if !(here.good || there.good) {
        return hole;
    }
    var normal = here.normal;
    if here.good && there.good {
        normal = normalize(here.normal + there.normal);
    } else if there.good {
        normal = there.normal;
    }
    let facing = -dot(ray(row, column), normal);
    if !(facing > 0.0) {
        return hole;
    }
    // How n · r changes along the edge, rows running down.
    let across = select(normal.x, normal.y, axis == 1u);
    let tilt = select(normal.x, -normal.y, axis == 1u);
    var step = -tilt / facing;
    if params.perspective != 0u {
        let focal = select(params.focal_column, params.focal_row, axis == 1u);
        let ratio = step / focal;
        if ratio <= -1.0 {
            return hole;
        }
        step = params.focal_column * log_of_one_plus(ratio);
    }
    if !is_finite(step) {
        return hole;
    }
    let squared = facing * facing;
    return vec2(squared * squared / (across * across + squared), step);
}

// Weights of the finest level; its steps go where direction and product will be.
@compute @workgroup_size(16, 16)
fn edges(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    let here = facet(id.y, id.x);
    let right = edge(here, facet(id.y, id.x + 1u), id.y, id.x, 0u);
    let down = edge(here, facet(id.y + 1u, id.x), id.y, id.x, 1u);
    let i = cell(id.y, id.x);
    weights[i] = right.x;
    weights[params.down + i] = down.x;
    vectors[params.vector + i] = right.y;
    vectors[2u * params.vector + i] = down.y;
}

// right_hand_side = what comes in over a cell's edges less what goes out.
@compute @workgroup_size(16, 16)
fn divergence(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    let i = cell(id.y, id.x);
    let stride = params.width + 1u;
    let right = params.vector + i;
    let down = 2u * params.vector + i;
    right_hand_side[i] = (weights[i - 1u] * vectors[right - 1u] - weights[i] * vectors[right])
        + (weights[params.down + i - stride] * vectors[down - stride]
            - weights[params.down + i] * vectors[down]);
}

// Coarse weights: half the sum of the two edges that cross between two blocks of 2×2.
@compute @workgroup_size(16, 16)
fn coarsen(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.coarse_width || id.y >= params.coarse_height {
        return;
    }
    let stride = params.width + 1u;
    let out = coarse_cell(id.y, id.x);
    // An odd last block has no edge to the right or down; the cells behind an odd last row or
    // column are unused and zero.
    if 2u * id.x + 1u < params.width {
        let top = cell(2u * id.y, 2u * id.x + 1u);
        weights[out] = 0.5 * (weights[top] + weights[top + stride]);
    }
    if 2u * id.y + 1u < params.height {
        let left = params.down + cell(2u * id.y + 1u, 2u * id.x);
        weights[params.down + out] = 0.5 * (weights[left] + weights[left + 1u]);
    }
}

// ---- One V-cycle.

struct Stencil {
    east: f32,
    west: f32,
    south: f32,
    north: f32,
}

fn stencil(i: u32) -> Stencil {
    let down = params.down + i;
    return Stencil(weights[i], weights[i - 1u], weights[down], weights[down - params.width - 1u]);
}

fn relaxed(s: Stencil, residual: f32) -> f32 {
    let sum = s.east + s.west + s.south + s.north;
    return select(0.0, params.damping * residual / sum, sum > 1.2e-38);
}

// A · before at a cell. Differences first: a constant then gives exactly zero.
fn product_before(i: u32, s: Stencil) -> f32 {
    let stride = params.width + 1u;
    let centre = before[i];
    return s.east * (centre - before[i + 1u]) + s.west * (centre - before[i - 1u])
        + s.south * (centre - before[i + stride]) + s.north * (centre - before[i - stride]);
}

// The first sweep of damped Jacobi, from zero: into `before`.
@compute @workgroup_size(16, 16)
fn first_sweep(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    let i = cell(id.y, id.x);
    before[i] = relaxed(stencil(i), right_hand_side[i]);
}

@compute @workgroup_size(16, 16)
fn sweep(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    let i = cell(id.y, id.x);
    let s = stencil(i);
    after[i] = before[i] + relaxed(s, right_hand_side[i] - product_before(i, s));
}

// Sums what is left of the right-hand side over blocks of 2×2, into the coarse one.
@compute @workgroup_size(16, 16)
fn restrict_residual(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.coarse_width || id.y >= params.coarse_height {
        return;
    }
    var sum = 0.0;
    for (var row = 2u * id.y; row < min(2u * id.y + 2u, params.height); row++) {
        for (var column = 2u * id.x; column < min(2u * id.x + 2u, params.width); column++) {
            let i = cell(row, column);
            sum += right_hand_side[i] - product_before(i, stencil(i));
        }
    }
    right_hand_side[coarse_cell(id.y, id.x)] = sum;
}

// Adds the coarse solution to this level's, both in `before`.
@compute @workgroup_size(16, 16)
fn prolong(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    before[cell(id.y, id.x)] += before[coarse_cell(id.y / 2u, id.x / 2u)];
}

// ---- Conjugate gradients on the finest level. Its residual is that level's right-hand side.

var<workgroup> sums: array<f32, 256>;

// Adds up a value of each invocation and leaves the sum among the partial ones.
fn add_up(value: f32, local: u32, group: vec3<u32>, groups: vec3<u32>) {
    sums[local] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    if local == 0u {
        vectors[3u * params.vector + PARTIALS + group.y * groups.x + group.x] = sums[0];
    }
}

// Adds up the partial sums into a scalar.
@compute @workgroup_size(256)
fn total(@builtin(local_invocation_index) local: u32) {
    let scalars = 3u * params.vector;
    var sum = 0.0;
    for (var i = local; i < params.partials; i += 256u) {
        sum += vectors[scalars + PARTIALS + i];
    }
    sums[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    if local == 0u {
        if slot == ENERGY {
            vectors[scalars + OLD_ENERGY] = vectors[scalars + ENERGY];
        }
        if slot == TARGET {
            vectors[scalars + SQUARED_RESIDUAL] = sums[0];
            vectors[scalars + TARGET] = params.target_share * sums[0];
        } else {
            vectors[scalars + slot] = sums[0];
        }
    }
}

// right_hand_side · before: the energy of what the V-cycle left in `before`.
@compute @workgroup_size(16, 16)
fn measure_energy(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    var value = 0.0;
    if inside(id) {
        let i = cell(id.y, id.x);
        value = right_hand_side[i] * before[i];
    }
    add_up(value, local, group, groups);
}

// right_hand_side · right_hand_side
@compute @workgroup_size(16, 16)
fn measure_residual(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    var value = 0.0;
    if inside(id) {
        let i = cell(id.y, id.x);
        value = right_hand_side[i] * right_hand_side[i];
    }
    add_up(value, local, group, groups);
}

// direction = before + (energy / old energy) direction
@compute @workgroup_size(16, 16)
fn turn(@builtin(global_invocation_id) id: vec3<u32>) {
    if !inside(id) {
        return;
    }
    let scalars = 3u * params.vector;
    let old = vectors[scalars + OLD_ENERGY];
    let i = cell(id.y, id.x);
    var direction = before[i];
    // Zero before the first turn, when the direction is not one yet.
    if old > 0.0 {
        direction += vectors[scalars + ENERGY] / old * vectors[params.vector + i];
    }
    vectors[params.vector + i] = direction;
}

// product = A · direction, and direction · product
@compute @workgroup_size(16, 16)
fn measure_curvature(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    var value = 0.0;
    if inside(id) {
        let i = cell(id.y, id.x);
        let s = stencil(i);
        let d = params.vector + i;
        let stride = params.width + 1u;
        let centre = vectors[d];
        let product = s.east * (centre - vectors[d + 1u]) + s.west * (centre - vectors[d - 1u])
            + s.south * (centre - vectors[d + stride]) + s.north * (centre - vectors[d - stride]);
        vectors[2u * params.vector + i] = product;
        value = centre * product;
    }
    add_up(value, local, group, groups);
}

// u += length · direction, residual −= length · product, and the squared residual
@compute @workgroup_size(16, 16)
fn advance(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let scalars = 3u * params.vector;
    let energy = vectors[scalars + ENERGY];
    let curvature = vectors[scalars + CURVATURE];
    var value = 0.0;
    if inside(id) {
        let i = cell(id.y, id.x);
        // What is left of a residual at its target is rounding, whose mean the product does not
        // see: a step along it would be without bounds.
        let unfinished = vectors[scalars + SQUARED_RESIDUAL] > vectors[scalars + TARGET];
        let sound = energy > 0.0 && curvature > 0.0 && is_finite(energy) && is_finite(curvature);
        if unfinished && sound {
            let length = energy / curvature;
            vectors[i] += length * vectors[params.vector + i];
            right_hand_side[i] -= length * vectors[2u * params.vector + i];
        }
        value = right_hand_side[i] * right_hand_side[i];
    }
    add_up(value, local, group, groups);
}
