// Robust photometric stereo by weighted least squares, four pixels a thread; one entry point per
// solver. Twins: src/stereo/{l1,trimmed,weighted}.rs, which have the derivations, and
// src/stereo/{blocks,normal_equations}.rs; wrapper in src/gpu/reweighted.rs.
//
// A thread reads its raw words again in every round; a workgroup's share of the stack is small
// enough for the cache, so memory is read once. Nothing but the results is written.

struct Params {
    // Groups of four pixels in one image; images are padded to whole groups.
    quads: u32,
    lights: u32,
    // 1 / full scale of the raw values.
    unit: f32,
    // A quiet NaN: WGSL cannot spell one.
    nan_bits: u32,
    // Options of the solvers, as their Rust structs name them.
    noise: f32,
    shadow: f32,
    grazing: f32,
    smoothing: f32,
    // Radians.
    tolerance: f32,
    rounds: u32,
    start_rounds: u32,
    darkest: f32,
    brightest: f32,
    // Squared.
    most_noise: f32,
}

struct Light {
    // Row of the light matrix; w: 1 / intensity.
    row: vec4<f32>,
    // x: saturation level, share of full scale; y: 1 / the width of the fall before it.
    limit: vec4<f32>,
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

// Weight of a sample that is seen but not believed.
const SUSPECT: f32 = 1e-5;
// A pivot below this share of the trace is rounding error.
const SINGULAR: f32 = 1e-7;
// Median absolute deviation of a normal law to its standard deviation.
const MAD_TO_SIGMA: f32 = 1.4826;
const INFINITE: f32 = 3.0e38;

struct Sample {
    // Share of full scale; 0 where there is no observation.
    value: vec4<f32>,
    // 1, SUSPECT where saturated, 0 where there is no observation.
    trust: vec4<f32>,
}

fn load(light: u32, quad: u32) -> Sample {
    let at = observed(light, quad);
    let belief = select(
        vec4<f32>(1.0),
        vec4<f32>(SUSPECT),
        at.value >= vec4<f32>(lights[light].limit.x),
    );
    return Sample(at.value, select(vec4<f32>(0.0), belief, at.seen));
}

// Three values of each pixel.
struct Vectors {
    x: vec4<f32>,
    y: vec4<f32>,
    z: vec4<f32>,
}

fn shading(row: vec3<f32>, g: Vectors) -> vec4<f32> {
    return row.x * g.x + row.y * g.y + row.z * g.z;
}

// Sums over the lights: upper triangle of LᵀWL and LᵀW v.
struct Equations {
    xx: vec4<f32>,
    xy: vec4<f32>,
    xz: vec4<f32>,
    yy: vec4<f32>,
    yz: vec4<f32>,
    zz: vec4<f32>,
    right: Vectors,
}

fn add(e: ptr<function, Equations>, row: vec3<f32>, weight: vec4<f32>, value: vec4<f32>) {
    (*e).xx += row.x * row.x * weight;
    (*e).xy += row.x * row.y * weight;
    (*e).xz += row.x * row.z * weight;
    (*e).yy += row.y * row.y * weight;
    (*e).yz += row.y * row.z * weight;
    (*e).zz += row.z * row.z * weight;
    let weighted = weight * value;
    (*e).right.x += row.x * weighted;
    (*e).right.y += row.y * weighted;
    (*e).right.z += row.z * weighted;
}

struct Solved {
    v: Vectors,
    // trace((LᵀWL)⁻¹)
    trace: vec4<f32>,
    // False where the matrix is singular; then the rest means nothing.
    regular: vec4<bool>,
}

fn solve(e: Equations) -> Solved {
    let one = vec4<f32>(1.0);
    let least = SINGULAR * (e.xx + e.yy + e.zz);
    var regular = e.xx > least;
    let d1 = 1.0 / select(one, e.xx, regular);
    let l21 = e.xy * d1;
    let l31 = e.xz * d1;
    let pivot2 = e.yy - e.xy * l21;
    regular = regular & (pivot2 > least);
    let d2 = 1.0 / select(one, pivot2, regular);
    let yz = e.yz - e.xz * l21;
    let l32 = yz * d2;
    let pivot3 = e.zz - e.xz * l31 - yz * l32;
    regular = regular & (pivot3 > least);
    let d3 = 1.0 / select(one, pivot3, regular);

    let y2 = e.right.y - l21 * e.right.x;
    let y3 = e.right.z - l31 * e.right.x - l32 * y2;
    let z = y3 * d3;
    let y = y2 * d2 - l32 * z;
    let x = e.right.x * d1 - l21 * y - l31 * z;
    let m31 = l21 * l32 - l31;
    let trace = d1 + (l21 * l21 + 1.0) * d2 + (m31 * m31 + l32 * l32 + 1.0) * d3;
    return Solved(Vectors(x, y, z), trace, regular);
}

// What is known of four pixels before solving, and where the solution stands.
struct State {
    quad: u32,
    // The largest sample that is not saturated.
    brightest: vec4<f32>,
    observed: vec4<f32>,
    g: Vectors,
    regular: vec4<bool>,
    moving: vec4<bool>,
}

fn begin(quad: u32) -> State {
    var state: State;
    state.quad = quad;
    state.regular = vec4<bool>(true);
    state.moving = vec4<bool>(true);
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, quad);
        let candidate = select(vec4<f32>(0.0), sample.value, sample.trust == vec4<f32>(1.0));
        state.brightest = max(state.brightest, candidate);
        state.observed += select(vec4<f32>(0.0), vec4<f32>(1.0), sample.trust > vec4<f32>(0.0));
    }
    return state;
}

// Adds a solved step where moving; leaves moving what still moves by more than the tolerance.
fn advance(s: ptr<function, State>, step: Solved, tolerance: f32) {
    let zero = vec4<f32>(0.0);
    (*s).regular = (*s).regular & step.regular;
    let x = select(zero, step.v.x, (*s).moving);
    let y = select(zero, step.v.y, (*s).moving);
    let z = select(zero, step.v.z, (*s).moving);
    (*s).g.x += x;
    (*s).g.y += y;
    (*s).g.z += z;
    let g = (*s).g;
    let moved = x * x + y * y + z * z;
    let length = g.x * g.x + g.y * g.y + g.z * g.z;
    (*s).moving = (*s).moving & (moved > tolerance * tolerance * length);
}

// Sums of what the final weights leave. Beside the equations, not around them: naga cannot pass a
// pointer to a member on.
struct Report {
    used: vec4<f32>,
    squares: vec4<f32>,
}

fn report(r: ptr<function, Report>, weight: vec4<f32>, difference: vec4<f32>) {
    (*r).used += weight;
    (*r).squares += weight * difference * difference;
}

fn write(state: State, equations: Equations, r: Report) {
    let nan = vec4<f32>(bitcast<f32>(params.nan_bits));
    let zero = vec4<f32>(0.0);
    let g = state.g;
    let squared = g.x * g.x + g.y * g.y + g.z * g.z;
    let known = state.regular & (state.observed >= vec4<f32>(3.0));
    let solved = known & (squared > zero);
    let length = sqrt(squared);
    let inverse = select(nan, 1.0 / max(length, vec4<f32>(1e-30)), solved);
    let end = solve(equations);
    normals[state.quad] = g.x * inverse;
    normals[params.quads + state.quad] = g.y * inverse;
    normals[2u * params.quads + state.quad] = g.z * inverse;
    albedo[state.quad] = select(nan, length, known);
    residual[state.quad] = select(nan, sqrt(r.squares / max(r.used, vec4<f32>(1e-30))), known);
    lights_used[state.quad] = select(zero, r.used, solved);
    noise_gain[state.quad] = select(nan, sqrt(end.trace), solved & end.regular);
}

// Least absolute differences.

fn believe_l1(sample: Sample, brightest: vec4<f32>) -> vec4<f32> {
    let dark = sample.value <= params.shadow * brightest;
    return min(sample.trust, select(vec4<f32>(1.0), vec4<f32>(SUSPECT), dark));
}

@compute @workgroup_size(128)
fn l1(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.quads {
        return;
    }
    var state = begin(id.x);
    // Two steps of least squares, the second of which takes off what the first one's rounding
    // left; then of least absolute differences.
    for (var round = 0u; round < 2u + params.rounds; round++) {
        var equations: Equations;
        for (var j = 0u; j < params.lights; j++) {
            let row = lights[j].row.xyz;
            let sample = load(j, id.x);
            let difference = sample.value - shading(row, state.g);
            var weight = believe_l1(sample, state.brightest);
            if round >= 2u {
                weight *= params.smoothing / max(abs(difference), vec4<f32>(params.smoothing));
            }
            add(&equations, row, weight, difference);
        }
        if round <= 2u {
            state.moving = vec4<bool>(true);
        }
        advance(&state, solve(equations), select(0.0, params.tolerance, round >= 2u));
        if round >= 2u && !any(state.moving & state.regular) {
            break;
        }
    }
    var sum: vec4<f32>;
    var count: vec4<f32>;
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, id.x);
        let believed = believe_l1(sample, state.brightest);
        sum += believed * abs(sample.value - shading(lights[j].row.xyz, state.g));
        count += believed;
    }
    let scale = max(sum / max(count, vec4<f32>(1e-30)), vec4<f32>(params.smoothing));
    var equations: Equations;
    var r: Report;
    for (var j = 0u; j < params.lights; j++) {
        let row = lights[j].row.xyz;
        let sample = load(j, id.x);
        let difference = sample.value - shading(row, state.g);
        let weight = believe_l1(sample, state.brightest) * scale / max(abs(difference), scale);
        add(&equations, row, weight, difference);
        report(&r, weight, difference);
    }
    write(state, equations, r);
}

// Trimmed least squares.

// The sample under a light of intensity 1; what is not observed lies beyond everything.
fn key(sample: Sample, light: u32) -> vec4<f32> {
    let observed = sample.trust > vec4<f32>(0.0);
    return select(vec4<f32>(INFINITE), sample.value * lights[light].row.w, observed);
}

// Ranks of the darkest and the brightest sample kept, and their keys.
struct Cuts {
    first: vec4<f32>,
    last: vec4<f32>,
    least: vec4<f32>,
    most: vec4<f32>,
}

fn find_cuts(first: vec4<f32>, last: vec4<f32>, quad: u32) -> Cuts {
    var cuts = Cuts(first, last, vec4<f32>(0.0), vec4<f32>(0.0));
    for (var j = 0u; j < params.lights; j++) {
        let mine = key(load(j, quad), j);
        var rank = vec4<f32>(0.0);
        for (var i = 0u; i < params.lights; i++) {
            let other = key(load(i, quad), i);
            let before = (other < mine) | ((other == mine) & vec4<bool>(i < j));
            rank += select(vec4<f32>(0.0), vec4<f32>(1.0), before);
        }
        cuts.least = select(cuts.least, mine, rank == first);
        cuts.most = select(cuts.most, mine, rank == last);
    }
    return cuts;
}

// Keeps one sample more at the end that `brighter` and `darker` name.
fn widen(cuts: ptr<function, Cuts>, brighter: vec4<bool>, darker: vec4<bool>, quad: u32) {
    let one = vec4<f32>(1.0);
    var up_to = vec4<f32>(0.0);
    var below = vec4<f32>(0.0);
    var next_most = vec4<f32>(INFINITE);
    var next_least = vec4<f32>(-INFINITE);
    for (var j = 0u; j < params.lights; j++) {
        let mine = key(load(j, quad), j);
        up_to += select(vec4<f32>(0.0), one, mine <= (*cuts).most);
        below += select(vec4<f32>(0.0), one, mine < (*cuts).least);
        next_most = select(next_most, min(next_most, mine), mine > (*cuts).most);
        next_least = select(next_least, max(next_least, mine), mine < (*cuts).least);
    }
    (*cuts).last += select(vec4<f32>(0.0), one, brighter);
    (*cuts).first -= select(vec4<f32>(0.0), one, darker);
    // Equal samples share a key.
    (*cuts).most = select((*cuts).most, next_most, brighter & (up_to <= (*cuts).last));
    (*cuts).least = select((*cuts).least, next_least, darker & (below > (*cuts).first));
}

fn kept_weight(sample: Sample, light: u32, cuts: Cuts) -> vec4<f32> {
    let mine = key(sample, light);
    let kept = (mine >= cuts.least) & (mine <= cuts.most);
    return sample.trust * select(vec4<f32>(SUSPECT), vec4<f32>(1.0), kept);
}

@compute @workgroup_size(128)
fn trimmed(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.quads {
        return;
    }
    var state = begin(id.x);
    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    var dark = floor(state.observed * params.darkest);
    var bright = floor(state.observed * params.brightest);
    loop {
        let few = (dark + bright + 3.0 > state.observed) & (dark + bright > zero);
        if !any(few) {
            break;
        }
        let brighter = few & (bright > zero);
        bright -= select(zero, one, brighter);
        dark -= select(zero, one, few & !brighter);
    }
    var cuts = find_cuts(dark, max(state.observed - 1.0, zero) - bright, id.x);
    var everything: Equations;
    for (var j = 0u; j < params.lights; j++) {
        add(&everything, lights[j].row.xyz, load(j, id.x).trust, zero);
    }
    let all_lights = solve(everything);
    loop {
        var equations: Equations;
        for (var j = 0u; j < params.lights; j++) {
            add(&equations, lights[j].row.xyz, kept_weight(load(j, id.x), j, cuts), zero);
        }
        let kept = solve(equations);
        let noisy = !(kept.regular & (kept.trace <= params.most_noise * all_lights.trace));
        let wanting = noisy & all_lights.regular & (dark + bright > zero);
        if !any(wanting) {
            break;
        }
        let brighter = wanting & (bright > zero);
        let darker = wanting & !brighter;
        bright -= select(zero, one, brighter);
        dark -= select(zero, one, darker);
        widen(&cuts, brighter, darker, id.x);
    }
    // The second step takes off what the rounding of the first left.
    for (var round = 0u; round < 2u; round++) {
        var equations: Equations;
        for (var j = 0u; j < params.lights; j++) {
            let row = lights[j].row.xyz;
            let sample = load(j, id.x);
            let difference = sample.value - shading(row, state.g);
            add(&equations, row, kept_weight(sample, j, cuts), difference);
        }
        state.moving = vec4<bool>(true);
        advance(&state, solve(equations), 0.0);
    }
    var equations: Equations;
    var r: Report;
    for (var j = 0u; j < params.lights; j++) {
        let row = lights[j].row.xyz;
        let sample = load(j, id.x);
        let weight = kept_weight(sample, j, cuts);
        let difference = sample.value - shading(row, state.g);
        add(&equations, row, weight, difference);
        report(&r, weight, difference);
    }
    write(state, equations, r);
}

// Geman–McClure weights of relative differences.

fn believe_weighted(sample: Sample, light: u32, brightest: vec4<f32>) -> vec4<f32> {
    let level = max(params.shadow * brightest, vec4<f32>(params.noise));
    let lit = clamp(sample.value / level - 1.0, vec4<f32>(SUSPECT), vec4<f32>(1.0));
    let limit = lights[light].limit;
    let unsaturated =
        clamp((limit.x - sample.value) * limit.y, vec4<f32>(SUSPECT), vec4<f32>(1.0));
    return min(sample.trust, min(lit, unsaturated));
}

// |I − l·g| as a share of the shading.
fn relative(sample: Sample, light: u32, state: State) -> vec4<f32> {
    let model = shading(lights[light].row.xyz, state.g);
    let least = max(params.grazing * state.brightest, vec4<f32>(params.noise));
    return abs(sample.value - model) / max(model, least);
}

fn one_over_sigma(state: State) -> vec4<f32> {
    let zero = vec4<f32>(0.0);
    let one = vec4<f32>(1.0);
    var counted = zero;
    for (var j = 0u; j < params.lights; j++) {
        let sample = load(j, state.quad);
        let counts = believe_weighted(sample, j, state.brightest) >= vec4<f32>(0.5);
        counted += select(zero, one, counts);
    }
    // The median, bit by bit from the top: positive floats are ordered as their bits are. 2⁻¹⁶
    // of its value is near enough.
    let rank = floor((max(counted, one) - 1.0) * 0.5);
    var found = vec4<u32>(0u);
    for (var bit = 30u; bit >= 7u; bit--) {
        let candidate = found | vec4<u32>(1u << bit);
        // Above the largest float there are no numbers.
        let number = candidate < vec4<u32>(0x7f800000u);
        let threshold = bitcast<vec4<f32>>(select(vec4<u32>(0u), candidate, number));
        var below = zero;
        for (var j = 0u; j < params.lights; j++) {
            let sample = load(j, state.quad);
            let counts = believe_weighted(sample, j, state.brightest) >= vec4<f32>(0.5);
            let less = counts & (relative(sample, j, state) < threshold);
            below += select(zero, one, less);
        }
        found = select(found, candidate, number & (below <= rank));
    }
    let median = bitcast<vec4<f32>>(found);
    let few = counted <= vec4<f32>(3.0);
    let sigma = MAD_TO_SIGMA * (1.0 + 5.0 / max(counted - 3.0, one)) * median;
    let noise = params.noise / max(state.brightest, vec4<f32>(1e-30));
    return select(1.0 / max(sigma, noise), zero, few);
}

fn model_weight(sample: Sample, light: u32, state: State, scale: vec4<f32>) -> vec4<f32> {
    let u = relative(sample, light, state) * scale;
    let fall = 1.0 / (1.0 + u * u);
    return believe_weighted(sample, light, state.brightest) * (fall * fall);
}

@compute @workgroup_size(128)
fn weighted(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.quads {
        return;
    }
    var state = begin(id.x);
    // Two steps of least squares, then of least absolute differences.
    for (var round = 0u; round < 2u + params.start_rounds; round++) {
        var equations: Equations;
        for (var j = 0u; j < params.lights; j++) {
            let row = lights[j].row.xyz;
            let sample = load(j, id.x);
            let difference = sample.value - shading(row, state.g);
            var weight = believe_weighted(sample, j, state.brightest);
            if round >= 2u {
                weight *= params.noise / max(abs(difference), vec4<f32>(params.noise));
            }
            add(&equations, row, weight, difference);
        }
        state.moving = vec4<bool>(true);
        advance(&state, solve(equations), 0.0);
    }
    state.moving = vec4<bool>(true);
    for (var round = 0u; round < params.rounds; round++) {
        let scale = one_over_sigma(state);
        var equations: Equations;
        for (var j = 0u; j < params.lights; j++) {
            let row = lights[j].row.xyz;
            let sample = load(j, id.x);
            let difference = sample.value - shading(row, state.g);
            add(&equations, row, model_weight(sample, j, state, scale), difference);
        }
        advance(&state, solve(equations), params.tolerance);
        if !any(state.moving & state.regular) {
            break;
        }
    }
    let scale = one_over_sigma(state);
    var equations: Equations;
    var r: Report;
    for (var j = 0u; j < params.lights; j++) {
        let row = lights[j].row.xyz;
        let sample = load(j, id.x);
        let weight = model_weight(sample, j, state, scale);
        let difference = sample.value - shading(row, state.g);
        add(&equations, row, weight, difference);
        report(&r, weight, difference);
    }
    write(state, equations, r);
}
