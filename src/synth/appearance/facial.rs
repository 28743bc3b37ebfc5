//! Brows, lashes and facial hair: where they grow, and as strands.

use super::super::exact_math::{Vector, add, along, normalise, scale};
use super::super::labels::FacialHair;
use super::super::surface::Surface;
use super::canvas::{Canvas, Growth, Root};
use super::look::{Grooming, HairCut, Look};
use super::noise::{mix, smooth, unit, value, vector};
use super::plan::{Spot, line_at};
use super::strands::{Strand, tangent};

/// Upper bound of the beard on the cheeks: canonical y by azimuth.
const CHEEK_LINE: [[f32; 2]; 9] = [
    [0.0, -56.0],
    [12.0, -58.0],
    [18.0, -69.0],
    [24.0, -71.0],
    [33.0, -64.0],
    [44.0, -47.0],
    [54.0, -31.0],
    [61.0, -14.0],
    [66.0, 4.0],
];
/// Lower bound on throat and jaw.
const NECK_LINE: [[f32; 2]; 7] = [
    [0.0, -134.0],
    [20.0, -132.0],
    [38.0, -118.0],
    [52.0, -98.0],
    [62.0, -72.0],
    [70.0, -48.0],
    [78.0, -25.0],
];

/// How densely moustache and beard grow here, each 0 to 1, if the man lets them.
pub(super) fn beard_field(look: &Look, rest: Vector, spot: &Spot) -> [f32; 2] {
    if spot.y > 8.0 || spot.azimuth > 84.0 || spot.ear > 0.6 || spot.y < -150.0 {
        return [0.0; 2];
    }
    let ragged =
        2.6 * value(rest, 5.0, look.texture ^ 0xbea2) + 1.5 * value(rest, 2.0, look.texture);
    let off_lips = smooth(0.2, 1.6, spot.lip);
    let ax = spot.x.abs();
    let over_mouth = smooth(-73.0, -69.0, spot.y + 0.35 * ragged);
    let lip_side = if spot.lip_height > 0.0 { 1.0 } else { over_mouth * smooth(20.0, 25.0, ax) };
    let under_nose = smooth(
        -47.0,
        -50.5,
        spot.y + 0.2 * ragged + 0.08 * (ax - 8.0).max(0.0) + 0.4 * (ax - 15.0).max(0.0),
    );
    let philtrum = 1.0 - 0.35 * smooth(3.0, 1.0, ax);
    let moustache = lip_side * under_nose * philtrum * smooth(31.0, 24.0, ax + 0.6 * ragged);
    let lowering = 9.0 * (1.0 - look.beard_cheeks);
    let cheek = line_at(&CHEEK_LINE, spot.azimuth)
        - lowering * smooth(20.0, 35.0, spot.azimuth) * smooth(66.0, 56.0, spot.azimuth);
    let neck = line_at(&NECK_LINE, spot.azimuth);
    let upper = smooth(4.0, -5.0, spot.y - cheek + ragged);
    let lower = smooth(-6.0, 5.0, spot.y - neck + ragged);
    // Beside the patch under the lower lip little grows.
    let bare = smooth(5.0, 9.0, ax) * smooth(22.0, 15.0, ax) * smooth(-93.0, -87.0, spot.y);
    let burns = match look.cut {
        HairCut::Bare => smooth(0.0, -22.0, spot.y),
        _ => smooth(9.0, 2.0, spot.y),
    };
    let below_mouth = if spot.lip_height > 0.0 { smooth(22.0, 28.0, ax) } else { 1.0 };
    let beard = upper * lower * (1.0 - 0.7 * bare) * below_mouth * burns;
    let patchy = 1.0 - 0.35 * smooth(0.1, 0.7, value(rest, 11.0, look.texture ^ 0x9a7c));
    [off_lips * moustache, (off_lips * beard * patchy).min(1.0)]
}

/// Share of the skin hidden by facial hair of the day, and the share that is mere stubble.
pub(super) fn cover(look: &Look, grooming: &Grooming, rest: Vector, spot: &Spot) -> [f32; 2] {
    let field = || beard_field(look, rest, spot);
    let goatee = goatee(look, spot);
    let [hair, stubble] = match grooming.facial_hair {
        FacialHair::None => [0.0, 0.0],
        FacialHair::Stubble => {
            let [m, b] = field();
            [0.0, m.max(b)]
        }
        FacialHair::Moustache => {
            let [m, b] = field();
            [m, 0.10 * b]
        }
        FacialHair::Beard => {
            let [m, b] = field();
            [b * goatee, (0.15 * m).max(0.4 * b * (1.0 - goatee))]
        }
        FacialHair::Both => {
            let [m, b] = field();
            [m.max(b * goatee), 0.4 * b * (1.0 - goatee)]
        }
    };
    let density = 0.75 + 0.25 * look.beard_density;
    [(hair * density).min(1.0), (stubble * look.beard_density).min(1.3)]
}

/// Some men wear the beard on the chin only.
fn goatee(look: &Look, spot: &Spot) -> f32 {
    if look.beard_cheeks > 0.3 {
        return 1.0;
    }
    smooth(31.0, 25.0, spot.x.abs()) * smooth(-60.0, -66.0, spot.y)
}

/// Half of the brow's thickness in mm at a place along it.
fn brow_half_mm(look: &Look, along: f32) -> f32 {
    const PROFILE: [[f32; 2]; 6] =
        [[0.0, 3.2], [0.12, 4.0], [0.35, 3.9], [0.65, 2.9], [0.9, 1.6], [1.05, 0.5]];
    look.brow_thickness * line_at(&PROFILE, along)
}

/// Density of the brow, 0 to 1.
pub(super) fn brow_field(look: &Look, spot: &Spot) -> f32 {
    let [s, t] = spot.brow;
    if !(-0.2..1.2).contains(&s) || t.abs() > 12.0 {
        return 0.0;
    }
    let half = brow_half_mm(look, s);
    let off = (t - look.brow_height).abs();
    let body = smooth(half + 0.9, half - 1.1, off);
    let ends = smooth(-0.10, 0.08, s) * smooth(1.08, 0.85, s);
    body * ends * (0.75 + 0.25 * smooth(0.0, 0.3, s))
}

/// Direction of the brow's hairs on the mean head.
fn brow_direction(side: f32, spot: &Spot, luck: f32) -> Vector {
    let [s, t] = spot.brow;
    // Upright at the nose, lying toward the temple further out; upper hairs lean down.
    let up = mix(1.1, -0.25, smooth(0.0, 0.75, s)) - 0.12 * t + 0.5 * (luck - 0.5);
    normalise([side * mix(0.45, 1.0, smooth(0.0, 0.35, s)), up, 0.0])
}

/// Adds the strands of brows and facial hair. `skin`: positions of the head's own vertices.
pub(super) fn add_strands(
    canvas: &Canvas,
    posed: &[Vector],
    look: &Look,
    grooming: &Grooming,
    colours: &FacialColours,
    surface: &mut Surface,
) {
    let d = canvas.detail_mm;
    // Fewer and wider hairs for larger pixels; what they cover stays the same.
    let brow_width = (0.28f32).max(0.32 * d);
    let brow_share = (0.9 * 0.28 / brow_width).min(1.0);
    let beard_width = (0.32f32).max(0.5 * d);
    let beard_share = (0.55 * 0.32 / beard_width).min(1.0);
    let long = matches!(
        grooming.facial_hair,
        FacialHair::Moustache | FacialHair::Beard | FacialHair::Both
    );
    for root in &canvas.roots {
        match root.field {
            Growth::Brow => {
                let density = brow_field(look, &root.spot) * look.brow_density;
                if root.luck[0] < density * brow_share {
                    brow_hair(canvas, posed, look, root, brow_width, colours, surface);
                }
            }
            Growth::Beard if long => {
                let [hair, _] = cover(look, grooming, root.rest, &root.spot);
                if hair > 0.08 && root.luck[0] < hair * beard_share {
                    beard_hair(canvas, posed, grooming, root, beard_width, colours, surface);
                }
            }
            _ => {}
        }
    }
}

/// Colours of the hair on the face.
pub(super) struct FacialColours {
    pub brow: Vector,
    pub beard: Vector,
    pub lash: Vector,
}

fn brow_hair(
    canvas: &Canvas,
    posed: &[Vector],
    look: &Look,
    root: &Root,
    width_mm: f32,
    colours: &FacialColours,
    surface: &mut Surface,
) {
    let rooted = canvas.grow(root, posed);
    let side = if root.rest[0] < 0.0 { -1.0 } else { 1.0 };
    let direction = rooted.carry(brow_direction(side, &root.spot, root.luck[1]));
    let flat = tangent(direction, rooted.normal);
    let length = (5.0 + 3.0 * root.luck[2]) * mix(1.0, 0.7, root.spot.brow[0].clamp(0.0, 1.0));
    let at =
        |t: f32, lift: f32| along(along(rooted.position, t * length, flat), lift, rooted.normal);
    let path = [at(-0.1, 0.15), at(0.45, 0.75), at(1.0, 0.45)];
    let shade = 0.75 + 0.5 * unit(look.texture ^ (root.luck[0] * 1e6) as u64, 0);
    Strand {
        path: &path,
        outward: &[rooted.normal; 3],
        width_mm,
        tip: 0.3,
        root_albedo: scale(colours.brow, shade),
        tip_albedo: scale(colours.brow, 1.15 * shade),
        roughness: 0.6,
    }
    .add_to(surface);
}

fn beard_hair(
    canvas: &Canvas,
    posed: &[Vector],
    grooming: &Grooming,
    root: &Root,
    width_mm: f32,
    colours: &FacialColours,
    surface: &mut Surface,
) {
    let rooted = canvas.grow(root, posed);
    let spot = &root.spot;
    let side = if root.rest[0] < 0.0 { -1.0 } else { 1.0 };
    let on_lip = spot.lip_height > 0.0 && spot.x.abs() < 30.0 && spot.y > -74.0;
    let curl = scale(vector(root.rest, 4.0, grooming.seed), 0.45);
    let rest_direction = if on_lip {
        add([0.75 * side * (spot.x.abs() / 12.0).min(1.2), -1.0, 0.0], curl)
    } else {
        add([0.15 * side, -1.0, 0.15], curl)
    };
    let flow = tangent(rooted.carry(normalise(rest_direction)), rooted.normal);
    let most = if on_lip { grooming.beard_mm.min(9.0) } else { grooming.beard_mm };
    let length = most * (0.6 + 0.5 * root.luck[1]);
    let lift = 0.35 + 0.25 * root.luck[2];
    let base = along(rooted.position, 0.25 * most * 0.3, rooted.normal);
    let step = |t: f32| {
        let bent = add(scale(flow, t), scale(rooted.normal, lift * t * (1.25 - 0.75 * t)));
        along(add(base, [0.0, -0.12 * t * t * length, 0.0]), length, bent)
    };
    let path = [along(rooted.position, -0.3, rooted.normal), step(0.35), step(0.7), step(1.0)];
    let shade = 0.65 + 0.7 * root.luck[1];
    Strand {
        path: &path,
        outward: &[rooted.normal; 4],
        width_mm,
        tip: 0.25,
        root_albedo: scale(colours.beard, 0.7 * shade),
        tip_albedo: scale(colours.beard, 1.3 * shade),
        roughness: 0.4,
    }
    .add_to(surface);
}
