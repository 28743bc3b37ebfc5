// Least squares photometric stereo, four pixels a thread: g = L⁺ I, ρ = |g|, n = g / ρ, and
// what the model leaves, in one pass over raw 8- or 16-bit values.
//
// Twin of src/stereo/least_squares.rs, which has the derivation; wrapper in
// src/gpu/least_squares.rs.

// Bits of one raw value: 8, 16 or, for floats, 32.
override bits: u32 = 8u;

struct Params {
    // Groups of four pixels in one image; images are padded to whole groups.
    quads: u32,
    lights: u32,
    // 1 / full scale of the raw values.
    unit: f32,
    // unit / sqrt(lights)
    residual_scale: f32,
    // A quiet NaN: WGSL cannot spell one.
    nan_bits: u32,
}

struct Light {
    // Row of the light matrix and column of its pseudo-inverse; w is padding.
    row: vec4<f32>,
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

fn load(light: u32, quad: u32) -> vec4<f32> {
    let group = light * params.quads + quad;
    if bits == 8u {
        let word = raw[group];
        return vec4<f32>(vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(0xffu));
    }
    if bits == 32u {
        let first = 4u * group;
        return bitcast<vec4<f32>>(
            vec4<u32>(raw[first], raw[first + 1u], raw[first + 2u], raw[first + 3u]),
        );
    }
    let low = raw[2u * group];
    let high = raw[2u * group + 1u];
    return vec4<f32>(vec4<u32>(low, low >> 16u, high, high >> 16u) & vec4<u32>(0xffffu));
}

@compute @workgroup_size(256)
fn least_squares(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= params.quads {
        return;
    }
    var x = vec4<f32>(0.0);
    var y = vec4<f32>(0.0);
    var z = vec4<f32>(0.0);
    for (var j = 0u; j < params.lights; j++) {
        let value = load(j, quad);
        let column = lights[j].inverse_column;
        x += column.x * value;
        y += column.y * value;
        z += column.z * value;
    }
    // The second reading of the same words comes from the cache.
    var sum = vec4<f32>(0.0);
    for (var j = 0u; j < params.lights; j++) {
        let row = lights[j].row;
        let difference = load(j, quad) - (row.x * x + row.y * y + row.z * z);
        sum += difference * difference;
    }
    let length = sqrt(x * x + y * y + z * z);
    let has_direction = length > vec4<f32>(0.0);
    let inverse = select(
        vec4<f32>(bitcast<f32>(params.nan_bits)),
        1.0 / max(length, vec4<f32>(1e-30)),
        has_direction,
    );
    normals[quad] = x * inverse;
    normals[params.quads + quad] = y * inverse;
    normals[2u * params.quads + quad] = z * inverse;
    albedo[quad] = length * params.unit;
    residual[quad] = sqrt(sum) * params.residual_scale;
}
