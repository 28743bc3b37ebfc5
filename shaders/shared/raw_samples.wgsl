// Raw values of an image stack as observations, four pixels a thread. Stands before a kernel that
// binds the stack as `raw` and has `quads` and `unit` in `params`; see src/gpu/raw_samples.rs.

// Bits of one raw value: 8, 16 or, for floats, 32.
override bits: u32 = 8u;

struct Observed {
    // Share of full scale; 0 where there is no observation.
    value: vec4<f32>,
    seen: vec4<bool>,
}

fn observed(light: u32, quad: u32) -> Observed {
    let group = light * params.quads + quad;
    if bits == 8u {
        let word = raw[group];
        let bytes = vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(0xffu);
        return Observed(params.unit * vec4<f32>(bytes), vec4<bool>(true));
    }
    if bits == 16u {
        let low = raw[2u * group];
        let high = raw[2u * group + 1u];
        let halves = vec4<u32>(low, low >> 16u, high, high >> 16u) & vec4<u32>(0xffffu);
        return Observed(params.unit * vec4<f32>(halves), vec4<bool>(true));
    }
    let first = 4u * group;
    let words = vec4<u32>(raw[first], raw[first + 1u], raw[first + 2u], raw[first + 3u]);
    // By its bits: comparisons with NaN are not to be relied on here.
    let seen = (words & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
    return Observed(params.unit * bitcast<vec4<f32>>(select(vec4<u32>(0u), words, seen)), seen);
}
