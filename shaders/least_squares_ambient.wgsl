// Least squares with ambient light, four pixels a thread: (g, a) = [L 1]⁺ I, in one pass over raw
// values. Pixels that have lost a sample are solved by what is left.
//
// Twin of src/stereo/least_squares_ambient.rs, which has the derivation; wrapper in
// src/gpu/least_squares_ambient.rs.

struct Params {
    // Groups of four pixels in one image; images are padded to whole groups.
    quads: u32,
    lights: u32,
    // 1 / full scale of the raw values.
    unit: f32,
    // A quiet NaN: WGSL cannot spell one.
    nan_bits: u32,
    // With all lights.
    noise_gain: f32,
    // Pixels whose lights pass on more noise than this are not solved.
    most_noise: f32,
    padding: vec2<f32>,
    // Mean row of the light matrix; w is padding.
    mean_row: vec4<f32>,
}

struct Light {
    // Row of the light matrix; w: saturation level, share of full scale.
    row: vec4<f32>,
    // Column of the pseudo-inverse of [L 1].
    inverse_column: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lights: array<Light>;
// (lights, quads) groups of raw values, little-endian in 32-bit words.
@group(0) @binding(2) var<storage, read> raw: array<u32>;
// Planar (3, quads).
@group(0) @binding(3) var<storage, read_write> normals: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> albedo: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lights_used: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> noise_gain: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> ambient: array<vec4<f32>>;

// A pivot below this share of the trace is rounding error.
const SINGULAR: f32 = 1e-7;

struct Sample {
    // Share of full scale; 0 where there is no observation.
    value: vec4<f32>,
    // 1, or 0 where saturated or not observed.
    trust: vec4<f32>,
}

fn load(light: u32, quad: u32) -> Sample {
    let at = observed(light, quad);
    let trusted = at.seen & (at.value < vec4<f32>(lights[light].row.w));
    return Sample(at.value, select(vec4<f32>(0.0), vec4<f32>(1.0), trusted));
}

struct Unknowns {
    x: vec4<f32>,
    y: vec4<f32>,
    z: vec4<f32>,
    ambient: vec4<f32>,
    // trace of the block of (MᵀM)⁻¹ that belongs to g
    trace: vec4<f32>,
    solved: vec4<bool>,
}

fn model(row: vec3<f32>, u: Unknowns) -> vec4<f32> {
    return row.x * u.x + row.y * u.y + row.z * u.z + u.ambient;
}

// Least squares over the trusted samples, by elimination of the ambient light: rows and values
// less their means over the trusted lights. Rows are taken less the mean of all lights first, so
// that little is left to subtract. Returns the step from `u`.
fn step_from(u: Unknowns, quad: u32) -> Unknowns {
    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    var count = zero;
    var sx = zero; var sy = zero; var sz = zero; var sv = zero;
    var xx = zero; var xy = zero; var xz = zero;
    var yy = zero; var yz = zero; var zz = zero;
    var bx = zero; var by = zero; var bz = zero;
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, quad);
        let row = lights[j].row.xyz;
        let v = sample.trust * (sample.value - model(row, u));
        let l = row - params.mean_row.xyz;
        let w = sample.trust;
        count += w;
        sx += l.x * w; sy += l.y * w; sz += l.z * w; sv += v;
        xx += l.x * l.x * w; xy += l.x * l.y * w; xz += l.x * l.z * w;
        yy += l.y * l.y * w; yz += l.y * l.z * w; zz += l.z * l.z * w;
        bx += l.x * v; by += l.y * v; bz += l.z * v;
    }
    let share = 1.0 / max(count, one);
    xx -= sx * sx * share; xy -= sx * sy * share; xz -= sx * sz * share;
    yy -= sy * sy * share; yz -= sy * sz * share; zz -= sz * sz * share;
    bx -= sx * sv * share; by -= sy * sv * share; bz -= sz * sv * share;

    let least = SINGULAR * (xx + yy + zz);
    var regular = xx > least;
    let d1 = 1.0 / select(one, xx, regular);
    let l21 = xy * d1;
    let l31 = xz * d1;
    let pivot2 = yy - xy * l21;
    regular = regular & (pivot2 > least);
    let d2 = 1.0 / select(one, pivot2, regular);
    let e = yz - xz * l21;
    let l32 = e * d2;
    let pivot3 = zz - xz * l31 - e * l32;
    regular = regular & (pivot3 > least);
    let d3 = 1.0 / select(one, pivot3, regular);
    let y2 = by - l21 * bx;
    let y3 = bz - l31 * bx - l32 * y2;
    var step: Unknowns;
    step.z = y3 * d3;
    step.y = y2 * d2 - l32 * step.z;
    step.x = bx * d1 - l21 * step.y - l31 * step.z;
    let mean = params.mean_row.xyz;
    let mean_x = mean.x + sx * share;
    let mean_y = mean.y + sy * share;
    let mean_z = mean.z + sz * share;
    step.ambient = sv * share - (mean_x * step.x + mean_y * step.y + mean_z * step.z);
    let m31 = l21 * l32 - l31;
    step.trace = d1 + (l21 * l21 + 1.0) * d2 + (m31 * m31 + l32 * l32 + 1.0) * d3;
    let limit = params.most_noise * params.most_noise;
    step.solved = regular & (count >= vec4<f32>(4.0)) & (step.trace <= vec4<f32>(limit));
    return step;
}

@compute @workgroup_size(256)
fn least_squares_ambient(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= params.quads {
        return;
    }
    let zero = vec4<f32>(0.0);
    var u: Unknowns;
    u.trace = vec4<f32>(params.noise_gain * params.noise_gain);
    u.solved = vec4<bool>(true);
    var whole = vec4<bool>(true);
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, quad);
        let column = lights[j].inverse_column;
        u.x += column.x * sample.value;
        u.y += column.y * sample.value;
        u.z += column.z * sample.value;
        u.ambient += column.w * sample.value;
        whole = whole & (sample.trust > zero);
    }
    if !all(whole) {
        for (var round = 0u; round < 2u; round++) {
            let step = step_from(u, quad);
            u.x += select(step.x, zero, whole);
            u.y += select(step.y, zero, whole);
            u.z += select(step.z, zero, whole);
            u.ambient += select(step.ambient, zero, whole);
            u.trace = select(step.trace, u.trace, whole);
            u.solved = step.solved | whole;
        }
    }
    // The second reading of the same words comes from the cache.
    var squares = zero;
    var count = zero;
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, quad);
        let difference = sample.value - model(lights[j].row.xyz, u);
        squares += sample.trust * difference * difference;
        count += sample.trust;
    }
    let nan = vec4<f32>(bitcast<f32>(params.nan_bits));
    let length = sqrt(u.x * u.x + u.y * u.y + u.z * u.z);
    let lit = u.solved & (length > zero);
    let inverse = select(nan, 1.0 / max(length, vec4<f32>(1e-30)), lit);
    normals[quad] = u.x * inverse;
    normals[params.quads + quad] = u.y * inverse;
    normals[2u * params.quads + quad] = u.z * inverse;
    albedo[quad] = select(nan, length, u.solved);
    residual[quad] = select(nan, sqrt(squares / max(count, vec4<f32>(1.0))), u.solved);
    lights_used[quad] = select(zero, count, lit);
    noise_gain[quad] = select(nan, sqrt(u.trace), lit);
    ambient[quad] = select(nan, u.ambient, u.solved);
}
