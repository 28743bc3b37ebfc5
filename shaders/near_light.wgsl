// Near-light photometric stereo for one depth, four pixels a thread: the lamps as they light each
// pixel's point, then weighted least squares, in one pass over raw 8-bit, 16-bit or float values.
//
// Twin of src/stereo/near_light.rs, which has the derivation; wrapper in src/gpu/near_light.rs.

// Bits of one raw value: 8, 16 or, for floats, 32.
override bits: u32 = 8u;

struct Params {
    // Groups of four pixels in one image; images are padded to whole groups.
    quads: u32,
    width: u32,
    lights: u32,
    shadow_rounds: u32,
    // 1 / full scale of the raw values.
    unit: f32,
    full_cosine: f32,
    least_weight: f32,
    singular: f32,
    // Columns, rows.
    focal: vec2<f32>,
    centre: vec2<f32>,
    // A quiet NaN: WGSL cannot spell one.
    nan_bits: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Position in mm of the camera frame; w is intensity times squared distance from the centre.
@group(0) @binding(1) var<storage, read> lamps: array<vec4<f32>>;
// (lights, quads) groups of raw values, little-endian in 32-bit words.
@group(0) @binding(2) var<storage, read> raw: array<u32>;
// Distance along the optical axis, mm; 0 where there is nothing to solve.
@group(0) @binding(3) var<storage, read> depth: array<vec4<f32>>;
// Planar (7, quads): n_x, n_y, n_z, albedo, residual, lights used, noise gain.
@group(0) @binding(4) var<storage, read_write> results: array<vec4<f32>>;

struct Sample {
    value: vec4<f32>,
    // 1, or 0 where there is no observation.
    seen: vec4<f32>,
}

fn load(light: u32, quad: u32) -> Sample {
    let group = light * params.quads + quad;
    if bits == 8u {
        let word = raw[group];
        let values = vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(0xffu);
        return Sample(vec4<f32>(values) * params.unit, vec4<f32>(1.0));
    }
    if bits == 32u {
        let first = 4u * group;
        let words = vec4<u32>(raw[first], raw[first + 1u], raw[first + 2u], raw[first + 3u]);
        // NaN and infinity have all bits of the exponent set; arithmetic must not meet them.
        let finite = (words & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
        let values = bitcast<vec4<f32>>(select(vec4<u32>(0u), words, finite));
        return Sample(values * params.unit, select(vec4<f32>(0.0), vec4<f32>(1.0), finite));
    }
    let low = raw[2u * group];
    let high = raw[2u * group + 1u];
    let values = vec4<u32>(low, low >> 16u, high, high >> 16u) & vec4<u32>(0xffffu);
    return Sample(vec4<f32>(values) * params.unit, vec4<f32>(1.0));
}

// Three components of four pixels.
struct Vectors {
    x: vec4<f32>,
    y: vec4<f32>,
    z: vec4<f32>,
}

fn dot4(a: Vectors, b: Vectors) -> vec4<f32> {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

// The light that a lamp throws on the four points.
fn light_at(lamp: u32, point: Vectors) -> Vectors {
    let s = lamps[lamp];
    let to_lamp = Vectors(s.x - point.x, s.y - point.y, s.z - point.z);
    let squared = dot4(to_lamp, to_lamp);
    let scale = s.w / (squared * sqrt(squared));
    return Vectors(to_lamp.x * scale, to_lamp.y * scale, to_lamp.z * scale);
}

// Less for lamps behind the surface.
fn weight(light: Vectors, g: Vectors) -> vec4<f32> {
    let lengths = sqrt(dot4(light, light) * dot4(g, g));
    let cosine = dot4(light, g) / max(lengths, vec4<f32>(1e-30));
    return clamp(cosine / params.full_cosine, vec4<f32>(params.least_weight), vec4<f32>(1.0));
}

struct Equations {
    xx: vec4<f32>,
    xy: vec4<f32>,
    xz: vec4<f32>,
    yy: vec4<f32>,
    yz: vec4<f32>,
    zz: vec4<f32>,
    right: Vectors,
}

struct Step {
    g: Vectors,
    // trace of the inverse
    trace: vec4<f32>,
    regular: vec4<bool>,
}

// By LDLᵀ.
fn solve(e: Equations) -> Step {
    let least = params.singular * (e.xx + e.yy + e.zz);
    let p1 = e.xx;
    let d1 = 1.0 / max(p1, vec4<f32>(1e-30));
    let l21 = e.xy * d1;
    let l31 = e.xz * d1;
    let p2 = e.yy - e.xy * l21;
    let d2 = 1.0 / max(p2, vec4<f32>(1e-30));
    let f = e.yz - e.xz * l21;
    let l32 = f * d2;
    let p3 = e.zz - e.xz * l31 - f * l32;
    let d3 = 1.0 / max(p3, vec4<f32>(1e-30));
    let y2 = e.right.y - l21 * e.right.x;
    let y3 = e.right.z - l31 * e.right.x - l32 * y2;
    let z = y3 * d3;
    let y = y2 * d2 - l32 * z;
    let x = e.right.x * d1 - l21 * y - l31 * z;
    let m31 = l21 * l32 - l31;
    let trace = d1 + (l21 * l21 + 1.0) * d2 + (m31 * m31 + l32 * l32 + 1.0) * d3;
    let regular = (p1 > least) & (p2 > least) & (p3 > least);
    return Step(Vectors(x, y, z), trace, regular);
}

@compute @workgroup_size(256)
fn near_light(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= params.quads {
        return;
    }
    let pixel = 4u * quad + vec4<u32>(0u, 1u, 2u, 3u);
    let row = vec4<f32>(pixel / params.width);
    let column = vec4<f32>(pixel % params.width);
    let distance = depth[quad];
    let point = Vectors(
        (column - params.centre.x) / params.focal.x * distance,
        (params.centre.y - row) / params.focal.y * distance,
        -distance,
    );

    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    var g = Vectors(zero, zero, zero);
    var regular = distance > zero;
    var dark = vec4<bool>(false);
    var trace = zero;
    var used = zero;
    var squares = zero;
    // The last round only sums up what the solution before it leaves.
    let last = params.shadow_rounds + 1u;
    for (var round = 0u; round <= last; round++) {
        var e = Equations(zero, zero, zero, zero, zero, zero, Vectors(zero, zero, zero));
        var observed = zero;
        used = zero;
        squares = zero;
        // Later readings of the same words come from the cache.
        for (var j = 0u; j < params.lights; j++) {
            let sample = load(j, quad);
            let l = light_at(j, point);
            var w = sample.seen;
            if round > 0u && params.shadow_rounds > 0u {
                w *= weight(l, g);
            }
            // Solving for the step refines what rounding spoilt before.
            let difference = sample.value - dot4(l, g);
            observed += sample.seen;
            used += w;
            squares += w * difference * difference;
            e.xx += w * l.x * l.x;
            e.xy += w * l.x * l.y;
            e.xz += w * l.x * l.z;
            e.yy += w * l.y * l.y;
            e.yz += w * l.y * l.z;
            e.zz += w * l.z * l.z;
            let v = w * difference;
            e.right.x += v * l.x;
            e.right.y += v * l.y;
            e.right.z += v * l.z;
        }
        let step = solve(e);
        trace = step.trace;
        regular &= step.regular & (observed > vec4<f32>(2.5));
        if round < last {
            g = Vectors(g.x + step.g.x, g.y + step.g.y, g.z + step.g.z);
        }
        if round == 0u {
            dark = dot4(g, g) == zero;
        }
    }

    let nan = vec4<f32>(bitcast<f32>(params.nan_bits));
    let length = sqrt(dot4(g, g));
    let inverse = 1.0 / max(length, vec4<f32>(1e-30));
    let solved = regular & !dark;
    let q = params.quads;
    results[quad] = select(nan, g.x * inverse, solved);
    results[q + quad] = select(nan, g.y * inverse, solved);
    results[2u * q + quad] = select(nan, g.z * inverse, solved);
    results[3u * q + quad] = select(nan, select(length, zero, dark), regular);
    let residual = sqrt(squares / max(used, vec4<f32>(1e-30)));
    results[4u * q + quad] = select(nan, select(residual, zero, dark), regular);
    results[5u * q + quad] = select(zero, used, solved);
    results[6u * q + quad] = select(nan, sqrt(trace), solved);
}
