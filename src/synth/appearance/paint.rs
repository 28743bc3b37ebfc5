//! Skin, lips, eyes and teeth: what each vertex reflects.

use super::super::exact_math::{Vector, add, dot, length, normalise, scale, sub};
use super::super::surface::{Material, Part};
use super::canvas::Canvas;
use super::clothes;
use super::facial;
use super::hair;
use super::look::{Grooming, Look};
use super::noise::{bell, mix, smooth, spots, value, vector};
use super::plan::Spot;
use super::strands::HAIR_SPECULAR;
use super::tone;

/// Reflectance of skin at normal incidence: index of refraction 1.4 (Weyrich et al., "Analysis of
/// Human Faces using a Measurement-Based Skin Reflectance Model", SIGGRAPH 2006).
const SKIN_SPECULAR: f32 = 0.028;
/// Radius of the iris in mm (white-to-white distance 11.7 mm, Rüfer et al., Cornea 24, 2005).
const IRIS_MM: f32 = 5.9;

/// What is done to a vertex.
#[derive(Clone, Copy, Debug)]
pub(super) struct Painted {
    pub material: Material,
    /// Added to the unit normal before it is made unit again.
    pub relief: Vector,
    /// Distance in mm by which the vertex is moved off the skin: the body of hair.
    pub lift_mm: f32,
    /// Share of the skin that is hidden by hair.
    pub hair: f32,
    /// Share that is cloth.
    pub cloth: f32,
}

/// Colours of a person's day that many vertices share.
pub(super) struct Palette<'a> {
    pub look: &'a Look,
    pub grooming: &'a Grooming,
    pub hair: Vector,
    pub beard: Vector,
    pub brow: Vector,
}

impl<'a> Palette<'a> {
    pub(super) fn new(look: &'a Look, grooming: &'a Grooming) -> Self {
        let [eu, pheo, grey] = look.hair;
        // Brows are darker than fair hair and grey later; beards are redder and grey sooner.
        let brow = tone::hair(0.8 + 1.15 * eu, 0.8 * pheo, 0.4 * grey);
        let beard = tone::hair(0.4 + 1.0 * eu, pheo + 0.35, (1.25 * grey).min(0.95));
        Self { look, grooming, hair: tone::hair(eu, pheo, grey), beard, brow }
    }

    /// Paints one vertex of the canvas. `normal`: its unit normal on the present head.
    pub(super) fn paint(&self, canvas: &Canvas, vertex: usize, normal: Vector) -> Painted {
        let (rest, spot) = (canvas.rest[vertex], &canvas.spots[vertex]);
        match canvas.vertex_parts[vertex] {
            Part::Eye => self.eye(canvas, rest, spot),
            Part::Mouth => self.mouth(canvas, vertex, normal),
            _ => self.skin(canvas, rest, spot),
        }
    }

    fn skin(&self, canvas: &Canvas, rest: Vector, spot: &Spot) -> Painted {
        let look = self.look;
        let seed = look.texture;
        let fine = canvas.detail_mm;
        // Pigments.
        let broad = value(rest, 34.0, seed ^ 1);
        let middle = value(rest, 11.0, seed ^ 2);
        let small = value(rest, (3.6f32).max(1.4 * fine), seed ^ 3);
        let uneven = look.mottling * (0.11 * broad + 0.09 * middle + 0.07 * small);
        let sun =
            1.0 + 0.10 * spot.forehead + 0.08 * spot.nose - 0.15 * smooth(-108.0, -125.0, spot.y);
        let mut melanin = look.melanin * (sun + uneven + 0.22 * look.shadows * spot.socket);
        let patches = value(rest, 7.0, seed ^ 4);
        let flush = look.flush
            * (0.9 * spot.cheek
                + 1.0 * spot.nose
                + 1.1 * spot.ear
                + 0.35 * bell(spot.x / 14.0) * bell((spot.y + 100.0) / 9.0));
        let mut blood = look.blood
            * (1.0 + flush * (1.0 + 0.35 * patches) + 0.5 * look.shadows * spot.socket)
            * (1.0 + 0.22 * patches + 0.16 * small);
        if look.freckles > 0.02 && spot.face > 0.0 {
            let where_ = (spot.cheek
                + spot.nose
                + 0.35 * spot.forehead
                + 0.5 * bell(spot.x / 30.0) * bell((spot.y + 25.0) / 14.0))
            .min(1.0);
            let mut spotted = spots(rest, 5.2, 0.30 * look.freckles, seed ^ 5);
            if fine < 1.6 {
                spotted = spotted.max(0.8 * spots(rest, 3.0, 0.35 * look.freckles, seed ^ 6));
            }
            melanin += 0.055 * spotted * where_ * (0.4 + 0.6 * look.freckles);
        }
        let mut albedo = tone::skin(melanin, blood);
        for &[x, y, radius, dark] in &look.moles {
            let (dx, dy) = (spot.x - x, spot.y - y);
            let near = dx * dx + dy * dy;
            let radius = radius.max(0.5 * fine);
            if near < 4.0 * radius * radius && spot.azimuth < 75.0 && spot.lip > 0.5 {
                let darkness = dark * smooth(radius * radius * 1.6, radius * radius * 0.4, near);
                let mole = tone::skin((melanin + 0.22).min(0.5), blood);
                albedo = mix3(albedo, mole, darkness);
            }
        }
        // Thin skin with slow blood under it looks bluish.
        let blue = 0.30 * look.shadows * spot.socket;
        albedo = [0, 1, 2].map(|c| albedo[c] * (1.0 - blue * [0.36, 0.24, 0.10][c]));

        let mut roughness = 0.37
            - 0.09 * look.oil
            - (0.05 + 0.06 * look.oil) * spot.forehead
            - (0.06 + 0.07 * look.oil) * spot.nose
            - 0.03 * bell(spot.x / 14.0) * bell((spot.y + 100.0) / 10.0);
        // Pores, deeper on nose and cheeks; never finer than the mesh can carry.
        let pore = (1.7f32).max(1.5 * fine);
        let depth = look.pores * (0.035 + 0.03 * spot.nose + 0.02 * spot.cheek) * spot.face;
        let mut relief = scale(vector(rest, pore, seed ^ 7), depth);
        relief = add(relief, scale(vector(rest, 6.0, seed ^ 8), 0.02 * spot.face));
        if look.wrinkles > 0.05 {
            let (groove, dark) = self.wrinkles(rest, spot);
            relief = add(relief, groove);
            albedo = scale(albedo, 1.0 - dark);
            blood *= 1.0 + dark;
        }
        if spot.lip < 3.0 {
            (albedo, roughness) = self.lips(rest, spot, albedo, roughness, [melanin, blood]);
        }
        if spot.lid < 9.0 {
            albedo = self.lids(rest, spot, albedo);
        }
        let mut painted = Painted {
            material: Material {
                albedo,
                specular: SKIN_SPECULAR,
                roughness: roughness.clamp(0.12, 0.6),
                subsurface: 1.0,
            },
            relief,
            lift_mm: 0.0,
            hair: 0.0,
            cloth: 0.0,
        };
        self.brows(canvas, rest, spot, &mut painted);
        self.facial_hair(canvas, rest, spot, &mut painted);
        hair::paint_scalp(self, canvas, rest, spot, &mut painted);
        self.clothes(canvas, rest, spot, &mut painted);
        painted
    }

    /// Change of the normal and darkening by lines of age.
    fn wrinkles(&self, rest: Vector, spot: &Spot) -> (Vector, f32) {
        let look = self.look;
        let (mut relief, mut dark) = ([0.0; 3], 0.0);
        if spot.forehead > 0.02 {
            let wave = spot.y + 2.5 * value(rest, 22.0, look.texture ^ 9) + 0.02 * spot.x.abs();
            let phase = wave / 10.0;
            let t = phase - phase.floor() - 0.5;
            let strength = look.wrinkles
                * spot.forehead
                * smooth(62.0, 50.0, spot.y)
                * (0.6 + 0.4 * value(rest, 16.0, look.texture ^ 10));
            let groove = bell(t / 0.11) * strength;
            // Above the groove the skin turns down into it, below it turns up.
            relief[1] -= 0.9 * groove * (t / 0.11).clamp(-1.0, 1.0);
            dark += 0.10 * groove;
        }
        let ax = spot.x.abs();
        let (dx, dy) = (ax - 43.0, spot.y + 1.0);
        let away = (dx * dx + dy * dy).sqrt();
        if dx > 1.0 && away < 26.0 {
            // Lines that fan out from the corner of the eye.
            let slope = dy / dx.max(1.0) + 0.25 * value(rest, 14.0, look.texture ^ 11);
            let phase = 2.6 * slope;
            let t = phase - phase.floor() - 0.5;
            let reach = smooth(3.0, 8.0, away) * smooth(25.0, 14.0, away) * bell(slope / 0.8);
            let groove = look.wrinkles * reach * bell(t / 0.2);
            relief[1] -= 0.7 * groove * (t / 0.2).clamp(-1.0, 1.0);
            dark += 0.08 * groove;
        }
        (relief, dark)
    }

    fn lips(
        &self,
        rest: Vector,
        spot: &Spot,
        skin: Vector,
        roughness: f32,
        [melanin, blood]: [f32; 2],
    ) -> (Vector, f32) {
        let look = self.look;
        let edge = 0.5 * value(rest, 3.0, look.texture ^ 12);
        let cover = smooth(0.9, -1.1, spot.lip + edge);
        // Vermilion: thin, bare of horn, full of blood. Dark lips keep some melanin.
        let red = blood + 0.045 * look.lips + 0.03;
        let upper = spot.lip_height > 0.0;
        let pigment = melanin * if upper { 1.0 } else { 0.75 };
        let mut lip = scale(tone::skin(pigment, red.min(0.19)), if upper { 0.80 } else { 0.90 });
        // Fine folds across the lips.
        let fold = value([rest[0], 0.25 * rest[1], 0.25 * rest[2]], 1.3, look.texture ^ 13);
        lip = scale(lip, 1.0 + 0.10 * fold);
        let paint = self.grooming.makeup;
        let shade = (look.texture >> 3) % 3;
        let stick = [[0.36, 0.06, 0.07], [0.30, 0.10, 0.10], [0.22, 0.05, 0.08]][shade as usize];
        lip = mix3(lip, stick, 0.75 * paint * smooth(0.15, 0.5, paint));
        let seam = smooth(1.0, 0.2, spot.lip_height.abs()) * smooth(0.0, -1.5, spot.lip);
        lip = scale(lip, 1.0 - 0.55 * seam);
        let shine = mix(0.26, 0.17, paint);
        (mix3(skin, lip, cover), mix(roughness, shine, cover))
    }

    fn lids(&self, rest: Vector, spot: &Spot, skin: Vector) -> Vector {
        let upper = spot.lid_height > -1.5;
        let paint = self.grooming.makeup;
        let mut albedo = skin;
        if spot.lid > 0.0 && upper {
            // Lid skin is thin; shadow is put on it.
            let lid = smooth(8.5, 5.0, spot.lid) * smooth(-0.5, 1.0, spot.lid_height);
            let tint = [0.90, 0.83, 0.82];
            albedo = [0, 1, 2].map(|c| albedo[c] * mix(1.0, tint[c], lid));
            albedo = scale(albedo, 1.0 - 0.35 * paint * lid);
        }
        // The rim carries the lashes: dark above, weaker below.
        let line = if upper { 0.55 + 0.35 * paint } else { 0.22 + 0.35 * paint };
        let width = if upper { 1.3 } else { 0.9 };
        let rim = bell((spot.lid - 0.3) / width) * line;
        let lash = scale(self.brow, 0.6);
        let pink = [0.45, 0.2, 0.17];
        albedo = mix3(albedo, pink, 0.7 * smooth(-0.4, -1.2, spot.lid));
        let broken = 0.8 + 0.2 * value(rest, 1.5, self.look.texture ^ 14);
        mix3(albedo, lash, (rim * broken).clamp(0.0, 1.0))
    }

    fn brows(&self, canvas: &Canvas, rest: Vector, spot: &Spot, painted: &mut Painted) {
        let density = facial::brow_field(self.look, spot);
        if density <= 0.0 {
            return;
        }
        // Strokes: noise drawn out along the hairs.
        let side = if rest[0] < 0.0 { -1.0 } else { 1.0 };
        let lean = mix(1.0, -0.2, smooth(0.0, 0.75, spot.brow[0]));
        let across = rest[1] - lean * side * rest[0];
        let with = side * rest[0] + lean * rest[1];
        let thin = (0.9f32).max(1.2 * canvas.detail_mm);
        let stroke = value([across, 0.2 * with, 0.0], thin, self.look.texture ^ 15);
        let share = (density * self.look.brow_density * (0.55 + 0.35 * stroke)).clamp(0.0, 0.92);
        painted.material.albedo = mix3(painted.material.albedo, self.brow, share);
        painted.material.roughness = mix(painted.material.roughness, 0.45, share);
        painted.relief = add(painted.relief, scale([0.0, stroke, 0.0], 0.25 * density));
        painted.material.subsurface *= 1.0 - share;
    }

    fn facial_hair(&self, canvas: &Canvas, rest: Vector, spot: &Spot, painted: &mut Painted) {
        let [hair, stubble] = facial::cover(self.look, self.grooming, rest, spot);
        if hair <= 0.0 && stubble <= 0.0 {
            return;
        }
        let grain_mm = (1.1f32).max(1.3 * canvas.detail_mm);
        let grain = value(rest, grain_mm, self.look.texture ^ 16);
        let seed = self.look.texture ^ 17;
        if stubble > 0.0 {
            // Cut hairs, and their roots shining bluish through the skin.
            let length = (self.grooming.beard_mm / 1.5).clamp(0.5, 1.5);
            let share =
                (stubble * (0.34 + 0.26 * grain) * mix(0.8, 1.25, length - 0.5)).clamp(0.0, 0.8);
            let dark = self.beard.map(|c| 0.5 * c + 0.012);
            let blue = [0.86, 0.94, 1.03];
            let skin = painted.material.albedo;
            let shaded = [0, 1, 2].map(|c| skin[c] * mix(1.0, blue[c], stubble.min(1.0)));
            painted.material.albedo = mix3(shaded, dark, share);
            painted.relief =
                add(painted.relief, scale(vector(rest, grain_mm, seed), 0.16 * stubble.min(1.0)));
            painted.material.roughness =
                mix(painted.material.roughness, 0.48, 0.6 * stubble.min(1.0));
        }
        if hair > 0.0 {
            // Locks hang down: noise drawn out along y.
            let lock = value(
                [rest[0], 0.35 * rest[1], rest[2]],
                (2.4f32).max(1.5 * canvas.detail_mm),
                seed,
            );
            let share = smooth(0.05, 0.65, hair + 0.18 * grain) * 0.95;
            let colour = scale(self.beard, 0.8 + 0.35 * lock);
            painted.material.albedo = mix3(painted.material.albedo, colour, share);
            painted.material.specular = mix(painted.material.specular, HAIR_SPECULAR, share);
            painted.material.roughness = mix(painted.material.roughness, 0.5, share);
            painted.material.subsurface *= 1.0 - share;
            let on_lip = spot.lip_height > 0.0 && spot.x.abs() < 30.0 && spot.y > -74.0;
            let most =
                if on_lip { self.grooming.beard_mm.min(9.0) } else { self.grooming.beard_mm };
            painted.lift_mm += 0.30 * most * smooth(0.1, 0.95, hair) * (1.0 + 0.35 * lock);
            let rough = vector([rest[0], 0.4 * rest[1], rest[2]], grain_mm, seed ^ 1);
            painted.relief = add(painted.relief, scale(rough, 0.5 * share));
            painted.hair = painted.hair.max(share);
        }
    }

    fn clothes(&self, canvas: &Canvas, rest: Vector, spot: &Spot, painted: &mut Painted) {
        if spot.y > -130.0 {
            return;
        }
        let day = self.grooming;
        let (share, lift_mm) = clothes::cover(&day.clothes, rest, spot, day.seed);
        if share <= 0.0 {
            return;
        }
        let cloth = clothes::cloth(&day.clothes, rest, canvas.detail_mm, day.seed);
        let skin = painted.material;
        painted.material = Material {
            albedo: mix3(skin.albedo, cloth.albedo, share),
            specular: mix(skin.specular, cloth.specular, share),
            roughness: mix(skin.roughness, cloth.roughness, share),
            subsurface: skin.subsurface * (1.0 - share),
        };
        painted.relief = scale(painted.relief, 1.0 - share);
        painted.lift_mm = mix(painted.lift_mm, lift_mm, share);
        painted.hair *= 1.0 - share;
        painted.cloth = share;
    }

    fn eye(&self, canvas: &Canvas, rest: Vector, spot: &Spot) -> Painted {
        let ball = &canvas.eyes[usize::from(rest[0] > 0.0)];
        let direction = normalise(sub(rest, ball.centre));
        let off_axis = sub(direction, scale(ball.axis, dot(direction, ball.axis)));
        // Distance from the middle of the pupil over the ball.
        let r = ball.radius * length(sub(direction, ball.axis));
        let round = normalise(off_axis);
        let behind = dot(direction, ball.axis) < 0.3;
        let seed = self.look.texture ^ 18;
        let fibre = value(add(scale(round, 7.0), [0.0, 0.0, 0.35 * r]), 1.0, seed);
        let coarse = value(scale(round, 2.0), 1.0, seed ^ 1);
        let mut iris = scale(self.look.iris, 1.0 + 0.35 * fibre + 0.2 * coarse);
        iris = scale(iris, 1.0 + 0.5 * bell((r - 2.9) / 0.8));
        iris = mix3(iris, scale(self.look.iris, 0.25), smooth(4.6, IRIS_MM, r));
        let pupil = 1.75;
        iris = mix3([0.008; 3], iris, smooth(pupil - 0.25, pupil + 0.25, r));
        let lid = if spot.lid < 0.0 { -spot.lid } else { 0.0 };
        // The white is bluish in the middle, redder toward the corners, in the lids' shadow above.
        let side = smooth(8.0, 15.0, r);
        let mut white = mix3([0.56, 0.53, 0.51], [0.50, 0.38, 0.34], side);
        let vein = value(scale(rest, 1.0), 2.2, seed ^ 2).abs() + 0.3 * value(rest, 0.9, seed ^ 3);
        white =
            mix3(white, [0.48, 0.16, 0.13], 0.35 * smooth(0.10, 0.0, vein) * smooth(7.0, 11.0, r));
        let shade =
            if spot.lid_height > 0.0 { smooth(0.0, 3.2, lid) } else { smooth(-0.5, 1.5, lid) };
        let mut albedo = mix3(iris, white, smooth(IRIS_MM - 0.35, IRIS_MM + 0.45, r));
        albedo = scale(albedo, mix(0.45, 1.0, shade));
        if behind {
            albedo = [0.2, 0.08, 0.07];
        }
        Painted {
            material: Material { albedo, specular: 0.03, roughness: 0.045, subsurface: 0.0 },
            relief: [0.0; 3],
            lift_mm: 0.0,
            hair: 0.0,
            cloth: 0.0,
        }
    }

    fn mouth(&self, canvas: &Canvas, vertex: usize, normal: Vector) -> Painted {
        let rest = canvas.rest[vertex];
        let lips = canvas.plan.landmark(62);
        let (x, depth) = (rest[0] - lips[0], lips[2] - rest[2]);
        let front =
            !canvas.lining[vertex] && normal[2] > 0.3 && depth < 17.0 + 0.02 * x * x && depth > 3.5;
        let wet = Material {
            albedo: scale([0.22, 0.07, 0.06], 1.0 - 0.85 * smooth(2.0, 22.0, depth)),
            specular: 0.03,
            roughness: 0.25,
            subsurface: 0.3,
        };
        let material = if front {
            let gum = smooth(6.5, 9.0, (rest[1] - lips[1] + 0.5).abs());
            let dim = 1.0 - 0.55 * smooth(10.0, 24.0, x.abs());
            Material {
                albedo: scale(mix3([0.60, 0.56, 0.47], [0.42, 0.17, 0.15], gum), dim),
                specular: 0.05,
                roughness: 0.12,
                subsurface: 0.5,
            }
        } else {
            wet
        };
        Painted { material, relief: [0.0; 3], lift_mm: 0.0, hair: 0.0, cloth: 0.0 }
    }
}

pub(super) fn mix3(a: Vector, b: Vector, share: f32) -> Vector {
    [0, 1, 2].map(|c| a[c] + share * (b[c] - a[c]))
}
