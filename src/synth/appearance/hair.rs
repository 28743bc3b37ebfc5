//! Hair of the head: a body that lifts the scalp's own vertices, and strands over it that make
//! the outline ragged, fall over the forehead or hang to the shoulders.
//!
//! The hair line is a curve of canonical y over azimuth: from the middle of the forehead over the
//! temple, down in front of the ear, over it and down to the nape. Distances from it are taken on
//! the unrolled head (75 mm radius).

use super::super::exact_math::{Vector, add, along, dot, length, normalise, scale, sub};
use super::super::surface::{Part, Surface};
use super::canvas::{Canvas, Growth, Posed, Root};
use super::look::{HairCut, Look};
use super::noise::{bell, hash, mix, smooth, unit, value, vector};
use super::paint::{Painted, Palette, mix3};
use super::plan::{Spot, height_over};
use super::strands::{HAIR_SPECULAR, Hull, Strand, tangent};

const MM_PER_DEGREE: f32 = 1.309;

/// Height in mm over the hair line of this person, negative on bare skin.
pub(super) fn over_hairline(look: &Look, spot: &Spot) -> f32 {
    let rise = look.hairline - 64.0;
    let back = look.recession;
    // Azimuth in degrees and canonical y.
    let line = [
        [0.0, 64.0 + rise + 1.5 * back],
        [13.0, 65.0 + rise + 6.0 * back.max(0.0)],
        [26.0, 64.0 + rise + 26.0 * back.max(0.0)],
        [36.0, 57.0 + 0.8 * rise + 30.0 * back],
        [44.0, 46.0 + 0.5 * rise + 26.0 * back],
        [50.0, 37.0 + 0.2 * rise + 16.0 * back],
        [55.0, 29.0 + 6.0 * back],
        [60.0, 14.0],
        [64.0, 2.0],
        [66.5, -14.0],
        [74.0, -18.0],
        [76.5, -3.0],
        [80.0, 12.0],
        [92.0, 20.0],
        [104.0, 12.0],
        [110.0, -10.0],
        [117.0, -35.0],
        [130.0, -62.0],
        [155.0, -74.0],
        [181.0, -77.0],
    ];
    let scaled = line.map(|[a, y]| [a * MM_PER_DEGREE, y]);
    height_over(&scaled, [spot.azimuth * MM_PER_DEGREE, spot.y])
}

/// Share of the scalp that hair covers, 0 to 1, and the height over the hair line.
fn coverage(look: &Look, rest: Vector, spot: &Spot) -> (f32, f32) {
    if spot.y < -95.0 || (spot.azimuth < 50.0 && spot.y < 25.0) {
        return (0.0, -99.0);
    }
    let ragged =
        2.2 * value(rest, 6.0, look.texture ^ 30) + 1.3 * value(rest, 2.3, look.texture ^ 31);
    let over = over_hairline(look, spot) + ragged;
    let edge = smooth(-2.0, 6.0, over) * smooth(0.45, 0.05, spot.ear);
    let crown = bell((spot.y - 100.0) / 32.0) * smooth(40.0, 75.0, spot.azimuth);
    let top = smooth(55.0, 80.0, spot.y);
    let lost = look.crown_loss * (0.85 * crown + 0.75 * top * smooth(60.0, 10.0, over));
    (edge * (1.0 - lost.min(0.97)), over)
}

/// Thickness in mm of the body of hair.
fn body_mm(palette: &Palette, rest: Vector, spot: &Spot, over: f32) -> f32 {
    let day = palette.grooming;
    let top = smooth(30.0, 75.0, spot.y);
    match day.cut {
        HairCut::Bare => 0.0,
        HairCut::Buzz => 0.45 * day.length_mm * smooth(-1.0, 6.0, over),
        HairCut::Short => {
            let full = mix(5.0, 0.36 * day.length_mm * day.volume + 4.0, top);
            let clumps = value(rest, 13.0, day.seed ^ 32);
            full * smooth(-1.0, 16.0, over) * (1.0 + 0.22 * clumps)
        }
        HairCut::Medium | HairCut::Long => {
            let full = mix(11.0, 15.0 * day.volume, top);
            let groove = 1.0 - 0.75 * parting_line(palette, rest, spot);
            full * smooth(-1.0, 34.0, over)
                * groove
                * (1.0 + 0.12 * value(rest, 20.0, day.seed ^ 32))
        }
        HairCut::Tied => 6.0 * day.volume * smooth(-1.0, 18.0, over),
    }
}

/// 1 on the parting, 0 off it.
fn parting_line(palette: &Palette, rest: Vector, spot: &Spot) -> f32 {
    let from_part =
        rest[0] - 24.0 * palette.look.parting + value(rest, 18.0, palette.look.texture ^ 38);
    let top = smooth(60.0, 75.0, spot.y) * smooth(100.0, 80.0, spot.azimuth);
    bell(from_part / 5.0) * top
}

/// Which way the hair lies on the mean head.
fn flow(palette: &Palette, rest: Vector, spot: &Spot) -> Vector {
    let (look, day) = (palette.look, palette.grooming);
    let swirl = scale(vector(rest, 25.0, day.seed ^ 33), 0.3);
    let top = smooth(45.0, 80.0, spot.y);
    let part_x = 24.0 * look.parting;
    let from_part = ((rest[0] - part_x) / 12.0).clamp(-1.0, 1.0);
    let side = if rest[0] < 0.0 { -1.0 } else { 1.0 };
    let direction = match day.cut {
        HairCut::Bare | HairCut::Buzz => [0.3 * side * (1.0 - top), -0.5, 0.8 * top - 0.1],
        HairCut::Short => {
            let forward = mix(0.25, 0.9, day.fringe);
            let sweep = mix(0.9, 0.3, day.fringe) * if look.parting == 0.0 { 0.2 } else { 1.0 };
            [
                mix(0.15 * side, from_part * sweep, top),
                mix(-1.0, -0.15, top),
                mix(-0.35, forward, top),
            ]
        }
        HairCut::Medium | HairCut::Long => {
            [mix(0.1 * side, from_part, top), mix(-1.0, -0.35, top), mix(-0.45, -0.35, top)]
        }
        HairCut::Tied => normalise(sub([0.0, 45.0, -175.0], rest)),
    };
    normalise(add(direction, swirl))
}

/// Lays hair over a painted vertex of skin.
pub(super) fn paint_scalp(
    palette: &Palette,
    canvas: &Canvas,
    rest: Vector,
    spot: &Spot,
    painted: &mut Painted,
) {
    let (cover, over) = coverage(palette.look, rest, spot);
    if cover <= 0.003 {
        return;
    }
    let day = palette.grooming;
    // Strands: noise that varies across the flow and hardly along it.
    let direction = flow(palette, rest, spot);
    let thin = (1.6f32).max(1.4 * canvas.detail_mm);
    let along_flow = dot(rest, direction);
    let across = along(rest, -0.85 * along_flow, direction);
    let streak = value(across, thin, palette.look.texture ^ 34);
    let lock = value(across, 7.0, day.seed ^ 35);
    let share = match day.cut {
        // A shadow of cut hair is left on a shaved head, none on a bald one.
        HairCut::Bare => 0.30 * cover * (1.0 + 0.3 * streak),
        HairCut::Buzz => cover * (0.55 + 0.03 * day.length_mm) * (1.0 + 0.2 * streak),
        _ => smooth(0.1, 0.6, cover + 0.12 * streak),
    }
    .clamp(0.0, 1.0);
    let parted = match day.cut {
        HairCut::Medium | HairCut::Long => parting_line(palette, rest, spot),
        _ => 0.0,
    };
    let share = share * (1.0 - 0.7 * smooth(0.75, 1.0, parted));
    let bright = 0.72 + 0.30 * streak + 0.22 * lock;
    let colour = scale(palette.hair, bright.max(0.25));
    let material = &mut painted.material;
    material.albedo = mix3(material.albedo, colour, share);
    material.specular = mix(material.specular, HAIR_SPECULAR, share);
    material.roughness =
        mix(material.roughness, if day.cut == HairCut::Tied { 0.3 } else { 0.38 }, share);
    material.subsurface *= 1.0 - share;
    let sideways = normalise(vector(across, thin, palette.look.texture ^ 36));
    let sideways = along(sideways, -dot(sideways, direction), direction);
    let depth = match day.cut {
        HairCut::Bare => 0.03,
        HairCut::Buzz => 0.30,
        HairCut::Tied => 0.32,
        _ => 0.5,
    };
    painted.relief = add(painted.relief, scale(sideways, depth * share));
    if palette.look.curl > 0.5 && day.cut != HairCut::Bare {
        let curls = vector(rest, (3.5f32).max(1.6 * canvas.detail_mm), palette.look.texture ^ 37);
        painted.relief = add(painted.relief, scale(curls, 0.5 * share * palette.look.curl));
    }
    painted.lift_mm += body_mm(palette, rest, spot, over) * cover;
    painted.hair = painted.hair.max(share);
}

/// Adds the strands of the head's hair. `source`: the head's own vertices; `head`: the refined
/// head with the body of hair on it.
pub(super) fn add_strands(
    palette: &Palette,
    canvas: &Canvas,
    source: &[Vector],
    head: &Posed,
    surface: &mut Surface,
) {
    let day = palette.grooming;
    if matches!(day.cut, HairCut::Bare | HairCut::Buzz) {
        return;
    }
    let centre = [0.0, 30.0, canvas.plan.landmark(0)[2] - 25.0];
    let skin = (0..canvas.rest.len()).filter(|&v| canvas.vertex_parts[v] == Part::Skin);
    let hull = Hull::around(centre, skin.map(|v| head.positions[v]));
    let hanging = matches!(day.cut, HairCut::Medium | HairCut::Long);
    let width = if hanging {
        (1.8f32).max(1.7 * canvas.detail_mm)
    } else {
        (0.8f32).max(0.8 * canvas.detail_mm)
    };
    // As many as cover the head a few times over.
    let share = match day.cut {
        HairCut::Medium | HairCut::Long => (0.7 / width).min(0.3),
        HairCut::Tied => (0.25 / width).min(0.3),
        _ => (0.55 / width).min(0.6),
    };
    for root in canvas.roots.iter().filter(|root| root.field == Growth::Scalp) {
        let (cover, over) = coverage(palette.look, root.rest, &root.spot);
        if root.luck[0] > share * cover || over < 1.0 {
            continue;
        }
        let strand = Fall { palette, canvas, hull: &hull, root, over, width };
        if hanging {
            strand.hang(source, surface);
        } else {
            strand.lie(source, surface);
        }
    }
}

struct Fall<'a> {
    palette: &'a Palette<'a>,
    canvas: &'a Canvas,
    hull: &'a Hull,
    root: &'a Root,
    over: f32,
    width: f32,
}

impl Fall<'_> {
    fn colours(&self) -> (Vector, Vector) {
        let shade = 0.62 + 0.62 * self.root.luck[1];
        let hair = scale(self.palette.hair, shade);
        // Greying is by strand.
        (scale(hair, 0.75), scale(hair, 1.2))
    }

    fn jitter(&self, part: i32) -> Vector {
        let h = hash((self.root.luck[0] * 1e6) as i32, (self.root.luck[1] * 1e6) as i32, part, 41);
        [0, 1, 2].map(|i| 2.0 * unit(h, i) - 1.0)
    }

    /// Short hair: lies along the flow and stands off a little.
    fn lie(&self, source: &[Vector], surface: &mut Surface) {
        let (palette, root) = (self.palette, self.root);
        let day = palette.grooming;
        let rooted = self.canvas.grow(root, source);
        let top = smooth(30.0, 75.0, root.spot.y);
        let body = body_mm(palette, root.rest, &root.spot, self.over);
        let tied = day.cut == HairCut::Tied;
        let fringe =
            smooth(30.0, 6.0, self.over) * smooth(46.0, 30.0, root.spot.azimuth) * day.fringe;
        let mut reach = if tied { 38.0 } else { mix(9.0, 0.55 * day.length_mm, top) };
        reach *= 0.6 + 0.8 * root.luck[2];
        // A fringe ends over the brows.
        reach = mix(reach, (root.spot.y - 33.0).clamp(8.0, 48.0), fringe);
        let curl = palette.look.curl;
        let mut direction = rooted.carry(add(
            add(
                flow(palette, root.rest, &root.spot),
                scale(self.jitter(0), if tied { 0.06 } else { 0.25 + 0.4 * curl }),
            ),
            [0.0, -0.6 * fringe, 0.9 * fringe],
        ));
        direction = tangent(direction, rooted.normal);
        let lift =
            if tied { 0.02 } else { mix(0.25, 0.55 * day.volume, top) * (1.0 - 0.8 * fringe) };
        let mut point = along(rooted.position, 0.7 * body, rooted.normal);
        let segments = 4;
        let step = reach / segments as f32;
        let mut path = vec![point];
        let mut outward = vec![rooted.normal];
        for index in 0..segments {
            let t = index as f32 / segments as f32;
            let heading = add(direction, scale(rooted.normal, lift * (1.0 - 1.1 * t)));
            let heading = add(heading, [0.0, -0.25 * t - 0.5 * fringe * t, 0.0]);
            let heading = add(heading, scale(self.jitter(index + 1), 0.12 + 0.5 * curl));
            point = along(point, step, normalise(heading));
            let gap = 1.0 + 1.5 * root.luck[1];
            // Below the ears the hull is that of neck and shoulders.
            if tied && point[1] > 0.0 {
                point = self.hull.hug(point, gap);
            } else if point[1] > 0.0 {
                point = self.hull.push_out(point, gap);
            }
            path.push(point);
            outward.push(normalise(add(rooted.normal, scale(sub(point, self.hull.centre), 0.01))));
        }
        self.strip(&path, &outward, 0.35, surface);
    }

    /// Long hair: runs over the head to its widest place, then falls.
    fn hang(&self, source: &[Vector], surface: &mut Surface) {
        let (palette, root) = (self.palette, self.root);
        let day = palette.grooming;
        let rooted = self.canvas.grow(root, source);
        let gap = 2.0 + 13.0 * root.luck[2] * day.volume;
        let curl = palette.look.curl;
        let end = -day.length_mm + 55.0 + 22.0 * (root.luck[1] - 0.5);
        let mut point = self.hull.push_out(rooted.position, 0.5);
        let mut path = vec![point];
        let mut outward = vec![rooted.normal];
        let mut heading = rooted.carry(flow(palette, root.rest, &root.spot));
        let step = 13.0;
        let side = if point[0] < 0.0 { -1.0 } else { 1.0 };
        let part_x = 24.0 * palette.look.parting;
        let from_part = if point[0] < part_x { -1.0 } else { 1.0 };
        for index in 0..32 {
            let radial = normalise(sub(point, self.hull.centre));
            let high = smooth(25.0, 80.0, point[1]);
            // In front of the ears hair goes aside and back before it goes down.
            let front = self.before_face(point);
            let goal = add(
                scale([0.9 * from_part, -0.3, -0.35], high),
                scale([0.55 * side * front, -1.0, -1.3 * front - 0.12], 1.0 - high),
            );
            heading = normalise(add(scale(heading, 1.1), normalise(goal)));
            let wave = scale(self.jitter(index), 0.05 + 0.30 * curl);
            let toward = add(heading, wave);
            let toward = if high > 0.02 { tangent(toward, radial) } else { normalise(toward) };
            point = along(point, step, toward);
            let grown = (index as f32 / 4.0).min(1.0);
            // Hangs from the widest place: below it the head gives way, the hair does not.
            let clear = self.hull.push_out(point, gap * grown + 0.5);
            // Ends on the shoulders rather than jumping over them.
            if point[1] < -60.0 && length(sub(clear, point)) > 12.0 {
                break;
            }
            point = clear;
            if point[1] < 45.0 {
                point = beside_face(point, self.hull.centre);
            }
            path.push(point);
            let off = sub(point, self.hull.centre);
            outward.push(normalise([off[0], 0.25 * off[1], off[2]]));
            if point[1] < end {
                break;
            }
        }
        self.strip(&path, &outward, 0.45, surface);
    }

    /// 1 in front of the face, 0 beside it.
    fn before_face(&self, point: Vector) -> f32 {
        let (x, z) = (point[0].abs(), point[2] - self.hull.centre[2]);
        if z <= 0.0 { 0.0 } else { smooth(2.3, 1.3, x / z) }
    }

    fn strip(&self, path: &[Vector], outward: &[Vector], tip: f32, surface: &mut Surface) {
        let (root_albedo, tip_albedo) = self.colours();
        let twist = scale(self.jitter(77), 0.35);
        let outward: Vec<Vector> = outward.iter().map(|&n| normalise(add(n, twist))).collect();
        if length(sub(path[0], path[path.len() - 1])) < 0.5 {
            return;
        }
        Strand {
            path,
            outward: &outward,
            width_mm: self.width * (0.75 + 0.5 * self.root.luck[1]),
            tip,
            root_albedo,
            tip_albedo,
            roughness: 0.34,
        }
        .add_to(surface);
    }
}

/// The point, or the nearest one beside the face: long hair stays behind an upright plane through
/// the cheekbone, and behind one nearer to the middle at the height of the forehead.
fn beside_face(point: Vector, centre: Vector) -> Vector {
    let side = if point[0] < 0.0 { -1.0 } else { 1.0 };
    let (x, z) = (side * point[0], point[2] - centre[2]);
    // Tangents of the azimuth: 28° on the forehead, 60° at the cheeks.
    let least = mix(1.75, 0.53, smooth(10.0, 45.0, point[1]));
    let radius = (x * x + z * z).sqrt();
    if z <= 0.0 || x >= least * z {
        return point;
    }
    let across = 1.0 / (1.0 + least * least).sqrt();
    [side * radius * least * across, point[1], centre[2] + radius * across]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_before_the_face_is_laid_beside_it() {
        let centre = [0.0, 30.0, -68.0];
        let moved = beside_face([-20.0, -40.0, 22.0], centre);
        // As far from the axis as before, on the same side, 60° from straight ahead.
        let radius = |p: Vector| (p[0] * p[0] + (p[2] + 68.0) * (p[2] + 68.0)).sqrt();
        assert!((radius(moved) - radius([-20.0, -40.0, 22.0])).abs() < 1e-3);
        assert!(moved[0] < 0.0 && moved[1] == -40.0);
        assert!((-moved[0] / (moved[2] + 68.0) - 1.75).abs() < 1e-3, "{moved:?}");
        let beside = [80.0, -40.0, -40.0];
        assert_eq!(beside_face(beside, centre), beside);
        let behind = [10.0, -40.0, -150.0];
        assert_eq!(beside_face(behind, centre), behind);
    }
}
