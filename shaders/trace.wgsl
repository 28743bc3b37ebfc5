// Ray tracing of a scene of triangles, one thread a pixel: images under the lights of a rig, and
// the truth at the pixel centres.
//
// Twin of src/synth/render, which has the equations and their sources; wrapper in
// src/gpu/trace.rs. The CPU follows sixteen rays abreast through the same tree.

struct Params {
    // The camera's axes in the head frame.
    right: vec3<f32>,
    perspective: u32,
    up: vec3<f32>,
    // mm before the eye in which there is nothing.
    skip: f32,
    toward: vec3<f32>,
    origin_z: f32,
    eye: vec3<f32>,
    // Rays end here, mm.
    reach: f32,
    // mm, or tangents under a pinhole, a pixel: columns, rows.
    step: vec2<f32>,
    centre: vec2<f32>,
    height: u32,
    width: u32,
    lights: u32,
    samples_per_side: u32,
    light_samples: u32,
    effects: u32,
    // mm above a triangle at which shadow rays start.
    clearance: f32,
    outline: f32,
    // Distance that light creeps in skin, red, green, blue, mm.
    creep: vec3<f32>,
    grazing: f32,
    luminance: vec3<f32>,
    most_lenses: u32,
    // Rays by which a sub-sample gathers light from other surfaces.
    bounce_rays: u32,
    // Where the directions of the hemisphere begin among the spots.
    first_bounce: u32,
    padding: vec2<u32>,
}

// Bits of Params.effects.
const NEGATIVE: u32 = 1u;
const CAST: u32 = 2u;
const SPECULAR: u32 = 4u;
const SUBSURFACE: u32 = 8u;
const LENSES: u32 = 16u;

struct Node {
    left_min: vec3<f32>,
    left_first: u32,
    left_max: vec3<f32>,
    left_count: u32,
    right_min: vec3<f32>,
    right_first: u32,
    right_max: vec3<f32>,
    right_count: u32,
}

struct Triangle {
    a: vec3<f32>,
    part: u32,
    b: vec3<f32>,
    source: u32,
    c: vec3<f32>,
    transmission: f32,
}

struct Vertex {
    position: vec3<f32>,
    scatter: f32,
    normal: vec3<f32>,
    specular: f32,
    albedo: vec3<f32>,
    roughness: f32,
}

struct Light {
    // Position in mm, or unit direction to the light.
    place: vec3<f32>,
    near: u32,
    axis: vec3<f32>,
    exponent: f32,
    strength: f32,
    size: f32,
    padding: vec2<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> nodes: array<Node>;
@group(0) @binding(2) var<storage, read> triangles: array<Triangle>;
@group(0) @binding(3) var<storage, read> corners: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> vertices: array<Vertex>;
@group(0) @binding(5) var<storage, read> lights: array<Light>;
// Places on the lights' discs, for all sub-samples of a pixel; after them those on the disc under
// the hemisphere from which light is gathered.
@group(0) @binding(6) var<storage, read> spots: array<vec2<f32>>;
// Image: red, green, blue, coverage. Truth, planar: normal and depth; albedo and part (plus 256
// behind a lens); for each light specular share, attached, cast.
@group(0) @binding(7) var<storage, read_write> results: array<vec4<f32>>;

const MISS: u32 = 0xffffffffu;
const FAR: f32 = 3.0e38;
const LENS: u32 = 5u;
const MOST_DEPTH: u32 = 64u;
const WIDEN: f32 = 1.0000004;
const STEEP: f32 = 1e18;

struct Ray {
    origin: vec3<f32>,
    direction: vec3<f32>,
    start: f32,
    end: f32,
}

struct Hit {
    distance: f32,
    triangle: u32,
    weight_a: f32,
    weight_b: f32,
}

// The ray's dominant axis last.
fn turned(v: vec3<f32>, axis: u32) -> vec3<f32> {
    if axis == 0u {
        return v.yzx;
    }
    if axis == 1u {
        return v.zxy;
    }
    return v;
}

fn dominant(d: vec3<f32>) -> u32 {
    let size = abs(d);
    if size.x >= size.y {
        return select(2u, 0u, size.x >= size.z);
    }
    return select(2u, 1u, size.y >= size.z);
}

fn inverse_of(d: f32) -> f32 {
    return select(STEEP, 1.0 / d, abs(d) > 1.0 / STEEP);
}

// Distance at which the ray enters a box; FAR where it does not.
fn enter(lowest: vec3<f32>, highest: vec3<f32>, ray: Ray, inverse: vec3<f32>, limit: f32) -> f32 {
    let a = (lowest - ray.origin) * inverse;
    let b = (highest - ray.origin) * inverse;
    let first = min(a, b);
    let last = max(a, b);
    let near = max(max(first.x, first.y), max(first.z, ray.start));
    let far = min(min(last.x, last.y), min(last.z, limit));
    return select(FAR, near, near <= far * WIDEN);
}

// A triangle that the ray passes beside is at FAR.
fn meet(index: u32, ray: Ray, axis: u32, shear: vec3<f32>, limit: f32) -> Hit {
    let a = turned(triangles[index].a - ray.origin, axis);
    let b = turned(triangles[index].b - ray.origin, axis);
    let c = turned(triangles[index].c - ray.origin, axis);
    let p = a.xy - shear.xy * a.z;
    let q = b.xy - shear.xy * b.z;
    let r = c.xy - shear.xy * c.z;
    let u = r.x * q.y - r.y * q.x;
    let v = p.x * r.y - p.y * r.x;
    let w = q.x * p.y - q.y * p.x;
    let inside = max(min(min(u, v), w), -max(max(u, v), w)) >= 0.0;
    let det = u + v + w;
    if !inside || det == 0.0 {
        return Hit(FAR, MISS, 0.0, 0.0);
    }
    let inverse = 1.0 / det;
    let t = (u * a.z + v * b.z + w * c.z) * shear.z * inverse;
    if t > ray.start && t < limit {
        return Hit(t, index, u * inverse, v * inverse);
    }
    return Hit(FAR, MISS, 0.0, 0.0);
}

// The nearest triangle, or, for light, the share that comes through: in Hit.distance.
fn walk(ray: Ray, for_light: bool) -> Hit {
    let axis = dominant(ray.direction);
    let along = turned(ray.direction, axis);
    let shear = vec3<f32>(along.xy / along.z, 1.0 / along.z);
    let inverse =
        vec3<f32>(inverse_of(ray.direction.x), inverse_of(ray.direction.y), inverse_of(ray.direction.z));
    var best = Hit(FAR, MISS, 0.0, 0.0);
    var share = 1.0;
    var limit = ray.end;
    var open: array<u32, MOST_DEPTH>;
    var entry: array<f32, MOST_DEPTH>;
    var depth = 0u;
    var first = 0u;
    var count = 0u;
    loop {
        var down = false;
        if count == 0u {
            let left = enter(nodes[first].left_min, nodes[first].left_max, ray, inverse, limit);
            let right = enter(nodes[first].right_min, nodes[first].right_max, ray, inverse, limit);
            let to_left = vec2<u32>(nodes[first].left_first, nodes[first].left_count);
            let to_right = vec2<u32>(nodes[first].right_first, nodes[first].right_count);
            let left_first = left <= right;
            if min(left, right) < FAR {
                let near = select(to_right, to_left, left_first);
                let far = select(to_left, to_right, left_first);
                if max(left, right) < FAR {
                    open[depth] = far.x | (far.y << 27u);
                    entry[depth] = max(left, right);
                    depth++;
                }
                first = near.x;
                count = near.y;
                down = true;
            }
        } else {
            for (var index = first; index < first + count; index++) {
                let hit = meet(index, ray, axis, shear, limit);
                if hit.triangle != MISS {
                    if for_light {
                        share *= triangles[index].transmission;
                        if share == 0.0 {
                            return Hit(0.0, index, 0.0, 0.0);
                        }
                    } else {
                        best = hit;
                        limit = hit.distance;
                    }
                }
            }
        }
        if !down {
            var found = false;
            while depth > 0u && !found {
                depth--;
                found = entry[depth] <= limit * WIDEN;
            }
            if !found {
                break;
            }
            first = open[depth] & 0x7ffffffu;
            count = open[depth] >> 27u;
        }
    }
    if for_light {
        best.distance = share;
    }
    return best;
}

// What a ray of sight met.
struct Surfel {
    place: vec3<f32>,
    lifted: vec3<f32>,
    normal: vec3<f32>,
    viewer: vec3<f32>,
    albedo: vec3<f32>,
    specular: f32,
    roughness: f32,
    scatter: f32,
    part: u32,
}

fn lift(place: vec3<f32>, corner: u32, weight: f32, side: f32) -> vec3<f32> {
    let normal = side * vertices[corner].normal;
    let height = dot(place - vertices[corner].position, normal);
    return normal * select(0.0, -weight * height, height < 0.0);
}

fn surfel_at(ray: Ray, hit: Hit) -> Surfel {
    let index = hit.triangle;
    let corner = corners[index];
    let u = hit.weight_a;
    let v = hit.weight_b;
    let w = 1.0 - u - v;
    let viewer = -ray.direction;
    let pa = triangles[index].a;
    let pb = triangles[index].b;
    let pc = triangles[index].c;
    let face = cross(pb - pa, pc - pa);
    let side = select(1.0, -1.0, dot(face, viewer) < 0.0);
    let place = u * pa + v * pb + w * pc;
    let offset = lift(place, corner.x, u, side) + lift(place, corner.y, v, side) + lift(place, corner.z, w, side);
    var normal = side * normalize(
        u * vertices[corner.x].normal + v * vertices[corner.y].normal + w * vertices[corner.z].normal,
    );
    let cosine = dot(normal, viewer);
    if cosine < params.outline {
        normal = normalize(normal + (params.outline - cosine) * viewer);
    }
    let clear = side * params.clearance * normalize(face);
    return Surfel(
        place,
        place + offset + clear,
        normal,
        viewer,
        u * vertices[corner.x].albedo + v * vertices[corner.y].albedo + w * vertices[corner.z].albedo,
        u * vertices[corner.x].specular + v * vertices[corner.y].specular + w * vertices[corner.z].specular,
        u * vertices[corner.x].roughness + v * vertices[corner.y].roughness + w * vertices[corner.z].roughness,
        u * vertices[corner.x].scatter + v * vertices[corner.y].scatter + w * vertices[corner.z].scatter,
        triangles[index].part,
    );
}

fn fresnel(at_normal: f32, cosine: f32) -> f32 {
    let x = clamp(1.0 - cosine, 0.0, 1.0);
    let squared = x * x;
    return at_normal + (1.0 - at_normal) * squared * squared * x;
}

fn both_faces(reflected: f32) -> f32 {
    return 2.0 * reflected / (1.0 + reflected);
}

fn masking(cosine: f32, squared: f32) -> f32 {
    return cosine + sqrt(squared + (1.0 - squared) * cosine * cosine);
}

fn shine(s: Surfel, toward: vec3<f32>, cos_light: f32) -> f32 {
    if s.specular <= 0.0 || cos_light <= 0.0 {
        return 0.0;
    }
    let half_way = normalize(toward + s.viewer);
    let cos_half = dot(s.normal, half_way);
    let cos_view = dot(s.normal, s.viewer);
    let squared = s.roughness * s.roughness;
    let across = cross(s.normal, half_way);
    let spread = cos_half * cos_half * squared + dot(across, across);
    var reflected = fresnel(s.specular, dot(half_way, s.viewer));
    if s.part == LENS {
        reflected = both_faces(reflected);
    }
    let distribution = squared / (spread * spread);
    return distribution * reflected * cos_light / (masking(cos_light, squared) * masking(cos_view, squared));
}

fn soft_cosine(cosine: f32, blur: f32) -> f32 {
    if abs(cosine) < blur {
        let above = cosine + blur;
        return above * above / (4.0 * blur);
    }
    return max(cosine, 0.0);
}

// Two unit vectors at right angles to a unit vector: its sides.
fn first_side(n: vec3<f32>) -> vec3<f32> {
    let sign = select(-1.0, 1.0, n.z >= 0.0);
    let a = -1.0 / (sign + n.z);
    return vec3<f32>(1.0 + sign * n.x * n.x * a, sign * n.x * n.y * a, -sign * n.x);
}

fn second_side(n: vec3<f32>) -> vec3<f32> {
    let sign = select(-1.0, 1.0, n.z >= 0.0);
    let a = -1.0 / (sign + n.z);
    return vec3<f32>(n.x * n.y * a, sign + n.y * n.y * a, -n.y);
}

// Share of the light's disc that a surfel sees.
fn visible(s: Surfel, light: u32, bent: f32, first_spot: u32, count: u32) -> f32 {
    let near = lights[light].near != 0u;
    let size = lights[light].size;
    let rays = select(1u, count, size > 0.0);
    var sum = 0.0;
    for (var i = 0u; i < rays; i++) {
        var to = lights[light].place;
        if near {
            to -= s.lifted;
        }
        if size > 0.0 {
            let spot = spots[first_spot + i];
            let middle = normalize(to);
            to += size * spot.x * first_side(middle) + size * spot.y * second_side(middle);
        }
        let distance = length(to);
        var direction = to / distance;
        if bent > 0.0 {
            direction = normalize(direction + bent * s.normal);
        }
        sum += walk(Ray(s.lifted, direction, 0.0, select(1e6, distance, near)), true).distance;
    }
    return sum / f32(rays);
}

struct Lit {
    cosine: f32,
    visible: f32,
    matte: vec3<f32>,
    shine: f32,
}

fn light_on(s: Surfel, light: u32, cast_shadows: bool, first_spot: u32, count: u32) -> Lit {
    var toward = lights[light].place;
    var strength = lights[light].strength;
    if lights[light].near != 0u {
        let way = toward - s.place;
        let distance = length(way);
        toward = way / distance;
        strength /= distance * distance;
        if lights[light].exponent > 0.0 {
            let lobe = max(-dot(toward, lights[light].axis), 0.0);
            strength *= pow(lobe, lights[light].exponent);
        }
    }
    let cosine = dot(s.normal, toward);
    var lit = Lit(cosine, 1.0, vec3<f32>(0.0), 0.0);
    var bent = 0.0;
    if s.part != LENS {
        var answer = vec3<f32>(max(cosine, 0.0));
        if (params.effects & NEGATIVE) != 0u {
            answer = vec3<f32>(cosine);
        } else if (params.effects & SUBSURFACE) != 0u && s.scatter > 0.0 {
            let blur = min(s.scatter * params.creep, vec3<f32>(1.0));
            answer = vec3<f32>(
                soft_cosine(cosine, blur.x),
                soft_cosine(cosine, blur.y),
                soft_cosine(cosine, blur.z),
            );
        }
        if (params.effects & SUBSURFACE) != 0u && s.scatter > 0.0 {
            bent = max(params.grazing - cosine, 0.0);
        }
        lit.matte = s.albedo * (answer * strength);
    }
    if (params.effects & SPECULAR) != 0u {
        lit.shine = shine(s, toward, cosine) * strength;
    }
    let asks = cosine > 0.0 || any(lit.matte > vec3<f32>(0.0));
    if cast_shadows && asks {
        lit.visible = visible(s, light, bent, first_spot, count);
    }
    return lit;
}

fn sight(column: f32, row: f32) -> Ray {
    let x = (column - params.centre.x) * params.step.x;
    let y = (params.centre.y - row) * params.step.y;
    let beside = x * params.right + y * params.up;
    if params.perspective == 0u {
        return Ray(params.eye + beside, -params.toward, 0.0, params.reach);
    }
    let direction = normalize(beside - params.toward);
    return Ray(params.eye + params.skip * direction, direction, 0.0, params.reach);
}

// Matte light of all lamps that a surfel reflects after another surface did.
fn bounced(s: Surfel, index: u32, cast_shadows: bool) -> vec3<f32> {
    let samples = params.samples_per_side * params.samples_per_side;
    let first = first_side(s.normal);
    let second = second_side(s.normal);
    var sum = vec3<f32>(0.0);
    for (var i = 0u; i < params.bounce_rays; i++) {
        let spot = spots[params.first_bounce + i * samples + index];
        let rise = sqrt(max(1.0 - spot.x * spot.x - spot.y * spot.y, 0.0));
        let direction = rise * s.normal + spot.x * first + spot.y * second;
        var ray = Ray(s.lifted, direction, 0.0, 1e6);
        var passed = vec3<f32>(1.0);
        for (var round = 0u; round <= params.most_lenses; round++) {
            let hit = walk(ray, false);
            if hit.triangle == MISS {
                break;
            }
            let met = surfel_at(ray, hit);
            if met.part != LENS {
                for (var light = 0u; light < params.lights; light++) {
                    let lit = light_on(met, light, cast_shadows, index * params.light_samples, params.light_samples);
                    sum += passed * lit.visible * max(lit.matte, vec3<f32>(0.0));
                }
                break;
            }
            if (params.effects & LENSES) != 0u {
                passed *= met.albedo * (1.0 - both_faces(fresnel(met.specular, dot(met.normal, met.viewer))));
            }
            ray.start = hit.distance + params.clearance;
        }
    }
    return s.albedo * sum / f32(params.bounce_rays);
}

// Red, green, blue and coverage of one sub-sample.
fn sample_at(column: f32, row: f32, index: u32) -> vec4<f32> {
    let first_spot = index * params.light_samples;
    let cast_shadows = (params.effects & CAST) != 0u;
    var ray = sight(column, row);
    var passed = vec3<f32>(1.0);
    var sum = vec4<f32>(0.0);
    for (var round = 0u; round <= params.most_lenses; round++) {
        let hit = walk(ray, false);
        if hit.triangle == MISS {
            break;
        }
        let s = surfel_at(ray, hit);
        let lens = s.part == LENS;
        if !lens || ((params.effects & LENSES) != 0u && (params.effects & SPECULAR) != 0u) {
            for (var light = 0u; light < params.lights; light++) {
                let lit = light_on(s, light, cast_shadows, first_spot, params.light_samples);
                sum += vec4<f32>(passed * lit.visible * (lit.matte + lit.shine), 0.0);
            }
        }
        if !lens {
            sum.w = 1.0;
            if params.bounce_rays > 0u {
                sum += vec4<f32>(passed * bounced(s, index, cast_shadows), 0.0);
            }
            break;
        }
        if (params.effects & LENSES) != 0u {
            passed *= s.albedo * (1.0 - both_faces(fresnel(s.specular, dot(s.normal, s.viewer))));
        }
        ray.start = hit.distance + params.clearance;
    }
    return sum;
}

@compute @workgroup_size(8, 8)
fn trace_image(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.width || id.y >= params.height {
        return;
    }
    let n = params.samples_per_side;
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < n * n; i++) {
        let right = (f32(i % n) + 0.5) / f32(n) - 0.5;
        let down = (f32(i / n) + 0.5) / f32(n) - 0.5;
        sum += sample_at(f32(id.x) + right, f32(id.y) + down, i);
    }
    results[id.y * params.width + id.x] = sum / f32(n * n);
}

@compute @workgroup_size(8, 8)
fn trace_truth(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.width || id.y >= params.height {
        return;
    }
    let area = params.width * params.height;
    let pixel = id.y * params.width + id.x;
    let see_lenses = (params.effects & LENSES) != 0u;
    // The first pass finds the surface and what the lenses before it let through, the second adds
    // up the lenses' glints light by light.
    var ray = sight(f32(id.x), f32(id.y));
    var passed = vec3<f32>(1.0);
    var behind = false;
    var found = false;
    var s: Surfel;
    for (var round = 0u; round <= params.most_lenses; round++) {
        let hit = walk(ray, false);
        if hit.triangle == MISS {
            break;
        }
        s = surfel_at(ray, hit);
        if s.part != LENS {
            found = true;
            break;
        }
        if see_lenses {
            behind = true;
            passed *= s.albedo * (1.0 - both_faces(fresnel(s.specular, dot(s.normal, s.viewer))));
        }
        ray.start = hit.distance + params.clearance;
    }
    results[pixel] = vec4<f32>(0.0);
    results[area + pixel] = vec4<f32>(0.0, 0.0, 0.0, 255.0);
    if !found {
        return;
    }
    let normal = vec3<f32>(dot(params.right, s.normal), dot(params.up, s.normal), dot(params.toward, s.normal));
    results[pixel] = vec4<f32>(normal, dot(params.toward, s.place) + params.origin_z);
    results[area + pixel] = vec4<f32>(s.albedo, f32(s.part) + select(0.0, 256.0, behind));
    let end = ray.start;
    for (var light = 0u; light < params.lights; light++) {
        let lit = light_on(s, light, true, 0u, 1u);
        let open = select(1.0, lit.visible, (params.effects & CAST) != 0u);
        let through = dot(passed, params.luminance) * open;
        let matte = through * dot(lit.matte, params.luminance);
        var shining = through * lit.shine;
        if behind && (params.effects & SPECULAR) != 0u {
            var again = sight(f32(id.x), f32(id.y));
            var left = vec3<f32>(1.0);
            for (var round = 0u; round < params.most_lenses && again.start < end; round++) {
                let hit = walk(again, false);
                if hit.triangle == MISS {
                    break;
                }
                let lens = surfel_at(again, hit);
                if lens.part != LENS {
                    break;
                }
                let glint = light_on(lens, light, true, 0u, 1u);
                shining += dot(left, params.luminance) * glint.visible * glint.shine;
                left *= lens.albedo * (1.0 - both_faces(fresnel(lens.specular, dot(lens.normal, lens.viewer))));
                again.start = hit.distance + params.clearance;
            }
        }
        let whole = matte + shining;
        let share = select(0.0, shining / max(whole, 1e-30), whole > 0.0);
        let attached = select(0.0, 1.0, lit.cosine <= 0.0);
        let cast_shadow = select(0.0, 1.0, lit.cosine > 0.0 && lit.visible < 0.5);
        results[(2u + light) * area + pixel] = vec4<f32>(share, attached, cast_shadow, 0.0);
    }
}
