//! The surface: height and material of a face at a point, in head units.
//!
//! A head egg, a neck, ears and hair are joined by a smooth maximum; nose, eyes, mouth and the
//! lesser forms are added to it. Every part is a polynomial or a square root that stays away
//! from zero, so the height is C1 and its normals are clean.

use super::person::{Palette, Shape, mix};
use super::{Emotion, FacialHair, Scene};

/// What light does at a point.
pub(super) struct Material {
    /// Share of full scale, before exposure.
    pub albedo: f64,
    /// Height of the specular lobe as a share of full scale.
    pub gloss: f64,
    /// The lobe is `(n·h)^(2^sharpness)`.
    pub sharpness: u32,
    /// Slopes of a spectacle lens in front of the surface; the lobe is the lens's if present.
    pub lens_slopes: Option<[f64; 2]>,
}

pub(super) struct Face {
    shape: Shape,
    palette: Palette,
    texture: u64,
    facial_hair: FacialHair,
    /// Half-axes and roundness of the lenses, half-width of the rim.
    lens: Option<[f64; 4]>,
    bumps: Vec<Bump>,
    nose: Nose,
    mouth: Mouth,
    eye_opening: f64,
    brow_drop: f64,
}

/// A smooth hill (or pit) on an elliptic patch, bent along a parabola.
struct Bump {
    center: [f64; 2],
    /// Reciprocals of the half-axes.
    inverse_radii: [f64; 2],
    /// Direction of the first axis.
    axis: [f64; 2],
    /// The first axis runs along `v = bend u²`.
    bend: f64,
    height: f64,
    /// No point farther than this from the centre, in x or in y, is on the patch.
    reach: f64,
}

impl Bump {
    fn new(center: [f64; 2], radii: [f64; 2], height: f64) -> Self {
        let inverse_radii = radii.map(|r| 1.0 / r);
        let reach = radii[0].max(radii[1]);
        Self { center, inverse_radii, axis: [1.0, 0.0], bend: 0.0, height, reach }
    }

    /// Turns the first axis to the direction (x, y).
    fn along(mut self, [x, y]: [f64; 2]) -> Self {
        let length = (x * x + y * y).sqrt();
        self.axis = [x / length, y / length];
        self
    }

    fn bent(mut self, bend: f64) -> Self {
        self.bend = bend;
        self.reach += bend.abs() / (self.inverse_radii[0] * self.inverse_radii[0]);
        self
    }

    fn mirrored(&self) -> Self {
        let ([cx, cy], [ax, ay]) = (self.center, self.axis);
        // The axis is a line, so that of the mirror image is (ax, -ay) as well as (-ax, ay).
        Self { center: [-cx, cy], axis: [ax, -ay], ..*self }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        let (dx, dy) = (x - self.center[0], y - self.center[1]);
        if dy.abs() > self.reach || dx.abs() > self.reach {
            return 0.0;
        }
        let u = self.axis[0] * dx + self.axis[1] * dy;
        let v = self.axis[0] * dy - self.axis[1] * dx - self.bend * u * u;
        let (u, v) = (u * self.inverse_radii[0], v * self.inverse_radii[1]);
        self.height * hill(u * u + v * v)
    }
}

/// `(1 − r²)³`, zero from r = 1 on: a bell that ends.
fn hill(r_squared: f64) -> f64 {
    let rest = (1.0 - r_squared).max(0.0);
    rest * rest * rest
}

/// 0 up to `from`, 1 beyond `to` (which may be the smaller one), C1 between.
fn step(from: f64, to: f64, x: f64) -> f64 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn lerp(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * t
}

/// Union of two weights, without the crease of `max`.
fn either(a: f64, b: f64) -> f64 {
    a + b - a * b
}

/// A C∞ stand-in for `max(x, 0)` that is never quite zero; `width` is the size of the bend.
fn soft_positive(x: f64, width: f64) -> f64 {
    0.5 * (x + (x * x + width * width).sqrt())
}

fn soft_max(a: f64, b: f64, width: f64) -> f64 {
    b + soft_positive(a - b, width)
}

/// C1 curve through knots of rising first coordinate, level at both ends and beyond.
fn spline(knots: &[[f64; 2]], t: f64) -> f64 {
    let last = knots.len() - 1;
    if t <= knots[0][0] || t >= knots[last][0] {
        return if t <= knots[0][0] { knots[0][1] } else { knots[last][1] };
    }
    let right = knots.iter().position(|knot| knot[0] > t).unwrap_or(last);
    let left = right - 1;
    let slope = |k: usize| {
        if k == 0 || k == last {
            return 0.0;
        }
        (knots[k + 1][1] - knots[k - 1][1]) / (knots[k + 1][0] - knots[k - 1][0])
    };
    let span = knots[right][0] - knots[left][0];
    let s = (t - knots[left][0]) / span;
    let (r, span) = (1.0 - s, span * s * (1.0 - s));
    knots[left][1] * r * r * (1.0 + 2.0 * s)
        + knots[right][1] * s * s * (1.0 + 2.0 * r)
        + span * (r * slope(left) - s * slope(right))
}

/// Smooth noise of unit cells, −1 to 1.
fn noise(seed: u64, x: f64, y: f64) -> f64 {
    let (column, row) = (x.floor(), y.floor());
    let (fade_x, fade_y) = (step(0.0, 1.0, x - column), step(0.0, 1.0, y - row));
    let corner = |dx: i64, dy: i64| {
        let cell = (column as i64 + dx) as u64 & 0xffff_ffff | ((row as i64 + dy) as u64) << 32;
        (mix(seed ^ cell) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let upper = lerp(corner(0, 0), corner(1, 0), fade_x);
    lerp(upper, lerp(corner(0, 1), corner(1, 1), fade_x), fade_y)
}

/// Share of its full thickness that the hair has at a distance from the hairline.
fn hair_relief(distance: f64) -> f64 {
    step(-0.02, 0.14, distance)
}

/// Profile of the nose, from between the brows (first knot) to the upper lip (last).
struct Nose {
    nasion_y: f64,
    inverse_length: f64,
    ridge: [[f64; 2]; 9],
    half_width: [[f64; 2]; 6],
}

impl Nose {
    fn new(shape: &Shape) -> Self {
        let nasion_y = 0.03;
        let (tip, up) = (shape.nose_projection, shape.tip_upturn);
        let bridge = shape.nose_bridge;
        let wide = shape.nose_width / 0.145;
        Self {
            nasion_y,
            inverse_length: 1.0 / (nasion_y - shape.nose_base_y),
            ridge: [
                [-0.45, 0.0],
                [-0.20, 0.30 * bridge],
                [0.02, 0.78 * bridge],
                [0.38, lerp(bridge, tip, 0.42) + shape.nose_hump],
                [0.76 - 0.03 * up, lerp(bridge, tip, 0.93) - 0.006 * up],
                [0.88 - 0.03 * up, tip],
                [1.00 - 0.03 * up, 0.70 * tip],
                [1.11 - 0.02 * up, 0.20 * tip],
                [1.30, 0.0],
            ],
            half_width: [
                [-0.45, 0.26],
                [0.0, 0.150],
                [0.40, 0.210 * (0.6 + 0.4 * wide)],
                [0.78, 0.260 * shape.tip_width],
                [0.93, 0.215 * shape.tip_width],
                [1.12, 0.15],
            ],
        }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        let t = (self.nasion_y - y) * self.inverse_length;
        if x.abs() > 0.4 || !(-0.45..1.30).contains(&t) {
            return 0.0;
        }
        let across = x / spline(&self.half_width, t);
        spline(&self.ridge, t) * hill(across * across)
    }
}

/// Curves of the lips over x.
struct Mouth {
    y: f64,
    half_width: f64,
    /// How far the corners stand above the middle.
    lift: f64,
    /// Gap between the lips in the middle.
    gap: f64,
    upper: f64,
    lower: f64,
}

/// Upper edge of the upper lip, the two edges of the gap, lower edge of the lower lip.
struct LipLines([f64; 4]);

impl Mouth {
    /// The lines at x; `None` beyond the corners.
    fn lines(&self, x: f64) -> Option<LipLines> {
        let t = x / self.half_width;
        let swell = 1.0 - t * t;
        if swell <= 0.0 {
            return None;
        }
        let middle = self.y + self.lift * t * t;
        // Cupid's bow: two peaks beside a dip, and lips that thin out toward the corners.
        let bow = swell * (0.9 + 0.55 * t * t) - 0.22 * hill(x * x / (0.055 * 0.055));
        let parting = middle - 0.010 * hill(x * x / (0.09 * 0.09));
        let gap_low = parting - self.gap * swell;
        Some(LipLines([
            middle + self.upper * bow,
            parting,
            gap_low,
            gap_low - self.lower * swell * (0.75 + 0.25 * swell),
        ]))
    }
}

impl Face {
    pub(super) fn new(scene: &Scene) -> Self {
        let person = &scene.person;
        let (s, strength) = (&person.shape, f64::from(scene.pose.expression));
        // How much the face smiles, frowns, narrows its eyes and opens its mouth.
        let [smile, frown, squint, open] = match scene.traits.emotion {
            Emotion::BlankStare => [0.0; 4],
            Emotion::Positive => [1.0, -0.1, 0.22, 1.0],
            Emotion::Negative => [-0.75, 1.0, 0.15, 0.0],
        }
        .map(|part| part * strength);
        let mouth = Mouth {
            y: s.mouth_y - 0.012 * smile.max(0.0),
            half_width: s.mouth_half_width * (1.0 + 0.20 * smile.max(0.0) + 0.04 * smile.min(0.0)),
            lift: 0.004 + 0.062 * smile,
            // Some people show their teeth when they smile.
            gap: 0.055 * (open * (s.muzzle + s.lower_lip / 0.13 - 0.9)).clamp(0.0, 1.0),
            upper: s.upper_lip * (1.0 - 0.22 * smile.abs()),
            lower: s.lower_lip * (1.0 - 0.15 * smile.abs()),
        };
        let mut face = Self {
            shape: s.clone(),
            palette: person.palette.clone(),
            texture: person.texture,
            facial_hair: scene.traits.facial_hair,
            lens: scene.traits.spectacles.then_some(person.lens),
            bumps: Vec::new(),
            nose: Nose::new(s),
            eye_opening: s.eye_opening * (1.0 - squint),
            brow_drop: 0.045 * frown,
            mouth,
        };
        face.bumps = face.forms(smile, frown);
        face
    }

    /// The lesser forms: brows, sockets, cheeks, nose wings, lips, chin and folds.
    fn forms(&self, smile: f64, frown: f64) -> Vec<Bump> {
        let (s, mouth) = (&self.shape, &self.mouth);
        let (eye, base, half) = (s.eye_spacing, s.nose_base_y, mouth.half_width);
        let brow_y = s.brow_height - 0.02 - self.brow_drop;
        let wing = s.nose_width;
        let happy = smile.max(0.0);
        let corner_y = mouth.y + mouth.lift;
        let fold = s.fold_depth + 0.9 * happy + 0.3 * frown;
        let fold_axis = [half + 0.075 - wing, corner_y - base - 0.02];
        let cheek = 0.045 + 0.018 * s.cheek_fullness;
        // Both sides of the face.
        let mut bumps = vec![
            // Brow ridge and forehead eminence.
            Bump::new([eye - 0.03, brow_y], [0.30, 0.13], 0.052 * s.brow_ridge)
                .along([1.0, s.brow_tilt])
                .bent(-0.5),
            Bump::new([0.24, 0.42], [0.30, 0.26], 0.018),
            Bump::new([0.60, 0.24], [0.20, 0.36], -0.035),
            // Eye socket (deepest beside the nose), eyeball, crease over the lid, bag below.
            Bump::new([eye - 0.01, 0.015], [0.25, 0.19], -0.092 * s.socket_depth),
            Bump::new([eye - 0.135, 0.03], [0.11, 0.13], -0.030 * s.socket_depth),
            Bump::new([eye, 0.0], [0.185, 0.15], 0.088),
            Bump::new([eye, self.eye_opening + 0.050], [0.17, 0.030], -0.017 * s.lid_fold)
                .along([1.0, s.eye_tilt])
                .bent(-2.0),
            Bump::new([eye - 0.01, -0.155], [0.19, 0.030], -0.008 * s.fold_depth).bent(1.4),
            // Cheekbone, cheek and the hollow under the bone.
            Bump::new([0.43, -0.20 + 0.02 * happy], [0.27, 0.19], 0.038 * s.cheekbone)
                .along([1.0, 0.45]),
            Bump::new([0.33, -0.36 + 0.07 * happy], [0.25, 0.26], cheek + 0.035 * happy),
            Bump::new([0.47, -0.55], [0.22, 0.26], -0.028 + 0.030 * s.cheek_fullness),
            Bump::new([0.52, -0.66], [0.20, 0.22], 0.030 * s.jaw_squareness),
            // Wing of the nose with the crease around it, and the nostril.
            Bump::new([wing - 0.012, base + 0.052], [0.105, 0.100], 0.066),
            Bump::new([wing + 0.062, base + 0.060], [0.090, 0.040], -0.014).along([0.25, 1.0]),
            Bump::new([0.064, base + 0.006], [0.055, 0.032], -0.050).along([1.0, 0.25]),
            // Fold from the wing to beside the mouth corner, and the dimple at the corner.
            Bump::new(
                [0.5 * (wing + half) + 0.062, 0.5 * (base + corner_y) + 0.02],
                [0.21, 0.085],
                -0.017 * fold,
            )
            .along(fold_axis),
            Bump::new([half + 0.012, corner_y], [0.080, 0.075], -0.020 - 0.012 * happy),
            Bump::new([0.060, base - 0.085], [0.055, 0.12], 0.010),
            // A frown: the brows are drawn together over two furrows.
            Bump::new([0.045, brow_y + 0.02], [0.11, 0.040], -0.013 * frown.max(0.0))
                .along([0.15, 1.0]),
            Bump::new([0.12, brow_y - 0.01], [0.10, 0.08], 0.022 * frown.max(0.0)),
        ];
        // A face is not quite its mirror image.
        let mirror: Vec<Bump> = bumps
            .iter()
            .map(|bump| {
                let tilt = 1.0 + 4.0 * s.asymmetry;
                Bump { height: bump.height * tilt, ..bump.mirrored() }
            })
            .collect();
        bumps.extend(mirror);
        // The middle line. `lift / half²` bends a form along the line between the lips.
        let bend = mouth.lift / (half * half);
        let low = mouth.y - mouth.gap;
        bumps.extend([
            Bump::new([0.0, mouth.y - 0.01], [0.42, 0.30], 0.058 * s.muzzle),
            Bump::new([0.0, base - 0.085], [0.050, 0.12], -0.012),
            Bump::new([0.0, mouth.y + 0.5 * mouth.upper], [half, 1.15 * mouth.upper], 0.034)
                .bent(bend),
            Bump::new([0.0, low - 0.5 * mouth.lower], [0.86 * half, 1.05 * mouth.lower], 0.048)
                .bent(bend),
            Bump::new([0.0, 0.5 * (mouth.y + low)], [1.05 * half, 0.026 + 0.6 * mouth.gap], -0.030)
                .bent(bend),
            Bump::new([0.0, low - mouth.lower - 0.050], [0.24, 0.065], -0.034),
            Bump::new([0.0, -0.885], [0.30 * s.chin_width / 0.56, 0.17], 0.075 * s.chin_projection),
            Bump::new([0.0, -0.90], [0.060, 0.10], -0.016 * s.chin_cleft),
        ]);
        bumps
    }

    /// Half-width of the head without hair at height y.
    fn half_width(&self, y: f64) -> f64 {
        let s = &self.shape;
        s.head_width
            * (1.0
                - (1.0 - s.forehead_width) * step(0.05, 0.75, y)
                - (1.0 - s.jaw_width) * step(-0.05, -0.72, y)
                - (s.jaw_width - s.chin_width) * step(-0.58, -1.08, y))
    }

    /// 1 on the outline of the bare head, less inside.
    fn egg(&self, x: f64, y: f64) -> f64 {
        let across = x / self.half_width(y);
        let across = across * across;
        let down = y * y;
        let along = if y > 0.0 {
            0.72 * down + 0.28 * down * down
        } else {
            let high = down * down;
            lerp(0.75, 0.30, self.shape.jaw_squareness.clamp(0.0, 1.0)) * high * (1.0 - down)
                + high * down
        };
        across * (0.78 + 0.22 * across) + along
    }

    /// Distance-like measure from the hairline, positive inside the hair cap.
    fn hairline(&self, x: f64, y: f64) -> f64 {
        let p = &self.palette;
        let side = x / self.shape.head_width;
        let side_2 = side * side;
        let inner = (1.0 - side_2).max(0.0);
        let line = p.hairline
            + (1.2 * p.parting + 0.65 * p.hairline_recession * side) * side * inner * inner
            - 0.80 * side_2 * side_2 * side_2;
        // The line falls steeply at the temples.
        let slope = 4.8 * side * side_2 * side_2 / self.shape.head_width;
        let ragged = 0.018 * noise(self.texture ^ 1, x * 16.0, y * 5.0);
        (y - line) / (1.0 + slope * slope).sqrt() + ragged
    }

    /// Hair that hangs beside the face: how far it stands out over the bare head.
    fn hair_curtain(&self, x: f64, y: f64) -> f64 {
        let p = &self.palette;
        if p.hair_length == 0.0 {
            return -1.0;
        }
        let across = x / (self.shape.head_width * (1.07 + 0.09 * p.hair_volume));
        let down =
            if y > 0.1 { (y - 0.1) / 0.92 } else { (0.1 - y) / (0.95 + 0.75 * p.hair_length) };
        let down = if y > 0.1 { down * down } else { down * down * down * down };
        let out = across * across + down;
        let sheet = 0.66 * self.shape.head_depth * soft_positive(1.0 - out, 0.05).sqrt();
        // Parted in front of the neck.
        sheet * step(0.30, 0.52, x.abs()) - 0.10
    }

    /// Distance-like measure of the ear: below 1 inside.
    fn ear(&self, x: f64, y: f64) -> f64 {
        let s = &self.shape;
        let (dx, dy) = (x.abs() - 0.985 * s.head_width, y + 0.13 * s.ear_size);
        let (dx, dy) = ((dx - 0.12 * dy) / (0.085 * s.ear_size), dy / (0.20 * s.ear_size));
        dx * dx + dy * dy
    }

    fn neck(&self, x: f64, y: f64) -> f64 {
        // Below the collar the shoulders spread.
        x / (self.shape.neck_half_width * (1.0 + 1.1 * step(-1.02, -1.45, y)))
    }

    /// True on the person, false on the background.
    pub(super) fn inside(&self, x: f64, y: f64) -> bool {
        let hair = hair_relief(self.hairline(x, y));
        self.egg(x, y) * (1.0 - 0.13 * self.palette.hair_volume * hair) < 1.0
            || (y < -0.5 && self.neck(x, y).abs() < 1.0)
            || self.ear(x, y) < 0.85
            || self.hair_curtain(x, y) > 0.02
    }

    /// Height of the bare head with hair cap, before hair curtain, neck and features.
    fn skull(&self, x: f64, y: f64, hair: f64) -> f64 {
        let egg = self.egg(x, y) * (1.0 - 0.13 * self.palette.hair_volume * hair);
        let bald = self.shape.head_depth * soft_positive(1.0 - 0.94 * egg, 0.06).sqrt();
        bald + 0.045 * self.palette.hair_volume * hair
    }

    /// Height toward the camera in head units. Defined (and smooth) everywhere, meant for the
    /// points [`Face::inside`].
    pub(super) fn height(&self, x: f64, y: f64) -> f64 {
        let hairline = self.hairline(x, y);
        let hair = hair_relief(hairline);
        let skull = self.skull(x, y, hair);
        let mut z = skull;
        let neck = self.neck(x, y);
        let neck = 0.40 * soft_positive(1.0 - neck * neck, 0.05).sqrt() - 0.16;
        z = soft_max(z, neck, 0.04);
        let ear = hill(0.8 * self.ear(x, y));
        z += 0.13 * ear * (1.0 - 1.1 * ear * ear);
        let curtain = self.hair_curtain(x, y);
        if self.palette.hair_length > 0.0 {
            z = soft_max(z, curtain, 0.03);
        }
        let strands = either(hair, step(-0.03, 0.03, curtain - skull));
        if strands > 0.0 {
            z += 0.012 * strands * noise(self.texture ^ 2, x * 22.0 + 3.0 * y, y * 5.0);
        }
        // Skewed a little, as faces are.
        let x_face = x - self.shape.asymmetry * y;
        if x.abs() < 0.85 && y > -1.12 && y < 0.75 {
            z += self.bumps.iter().map(|bump| bump.at(x_face, y)).sum::<f64>();
            z += self.nose.at(x_face, y);
            z += self.eye_height(x_face, y);
            // Skin is not a drawing: broad unevenness that belongs to the person.
            let rows = step(-1.10, -0.90, y) * step(0.75, 0.55, y);
            let skin = (1.0 - hair) * rows * step(0.85, 0.75, x.abs());
            z += 0.010 * skin * noise(self.texture ^ 3, x * 4.0, y * 4.0);
        }
        let beard = self.beard(x_face, y);
        if beard > 0.0 {
            z += beard * (0.014 + 0.007 * noise(self.texture ^ 4, x * 28.0, y * 18.0));
        }
        if let Some((rim, _, _)) = self.spectacles(x, y) {
            z += 0.022 * rim;
        }
        z
    }

    /// Position relative to the nearer eye: outward x over the half-width, and the heights above
    /// the lower and below the upper lid line.
    fn eye(&self, x: f64, y: f64) -> [f64; 3] {
        let s = &self.shape;
        let out = x.abs() - s.eye_spacing;
        let y = y - s.eye_tilt * out;
        let t = out / s.eye_half_width;
        let arch = 1.0 - t * t;
        // The upper lid peaks toward the nose, the lower one away from it.
        let upper = self.eye_opening * arch * (1.0 - 0.18 * t);
        let lower = -0.62 * self.eye_opening * arch * (1.0 + 0.25 * t);
        [t, y - lower, upper - y]
    }

    /// The eyeball lies behind lids of some thickness.
    fn eye_height(&self, x: f64, y: f64) -> f64 {
        if y.abs() > 0.2 {
            return 0.0;
        }
        let [t, above_lower, below_upper] = self.eye(x, y);
        if t.abs() > 1.3 {
            return 0.0;
        }
        let ends = hill(0.59 * t * t);
        let open = step(-0.012, 0.012, above_lower) * step(-0.012, 0.012, below_upper);
        let lid = (below_upper + 0.016) / 0.030;
        ends * (0.016 * hill(lid * lid) - 0.012 * open)
    }

    /// Weight of beard or stubble, 0 to 1: cheeks below a line from the ear, chin and upper lip.
    fn beard(&self, x: f64, y: f64) -> f64 {
        if self.facial_hair == FacialHair::None || y > 0.1 {
            return 0.0;
        }
        let side = x / self.shape.head_width;
        let base = self.shape.nose_base_y;
        let ragged = 0.02 * noise(self.texture ^ 5, x * 9.0, y * 9.0);
        let mut weight = if self.facial_hair == FacialHair::Moustache {
            let half = 1.18 * self.mouth.half_width;
            step(1.0, 0.8, (x / half).abs())
                * step(-0.06, -0.02, y - (self.mouth.y + 0.012 - 0.25 * side * side))
                * step(0.0, -0.05, y - base + 0.02 + 1.4 * x * x + ragged)
        } else {
            let line = base - 0.06 + 0.42 * side * side;
            let front = step(0.0, -0.07, y - line + ragged);
            front * step(-1.16, -1.02, y) * step(1.02, 0.90, side.abs())
        };
        if let Some(LipLines([top, _, _, bottom])) = self.mouth.lines(x) {
            let lips = step(-0.015, 0.012, y - bottom) * step(-0.015, 0.012, top - y);
            weight *= 1.0 - lips * step(1.0, 0.8, (x / self.mouth.half_width).abs());
        }
        match self.facial_hair {
            FacialHair::Stubble => 0.12 * weight,
            _ => weight,
        }
    }

    /// Relief of rims, bridge and temples (0 to 1), weight of the glass, and the lens slopes;
    /// `None` away from them.
    fn spectacles(&self, x: f64, y: f64) -> Option<(f64, f64, [f64; 2])> {
        let [half_x, half_y, roundness, rim] = self.lens?;
        let y = y + 0.015;
        if y.abs() > 0.3 {
            return None;
        }
        let side = if x < 0.0 { -1.0 } else { 1.0 };
        let center = self.shape.eye_spacing + 0.005;
        // The two rims must leave room for the bridge.
        let half_x = half_x.min(center - 0.06);
        let dx = x.abs() - center;
        let (u, v) = (dx / half_x, y / half_y);
        let (u2, v2) = (u * u, v * v);
        // From a rounded rectangle to an ellipse; the root makes it grow like a distance.
        let outline = lerp((u2 * u2 + v2 * v2).sqrt(), u2 + v2, 0.7 * roundness).sqrt();
        let off = (outline - 1.0) * half_y;
        let width = rim + 0.020;
        let bar = |off: f64| hill(off * off / (width * width));
        let ring = bar(off);
        let bridge_y = y - 0.06 + 3.0 * x * x;
        let bridge = bar(bridge_y) * step(0.01, 0.03, off);
        let bridge = if x.abs() < center - 0.5 * half_x { bridge } else { 0.0 };
        let temple = step(half_x - 0.02, half_x, dx) * bar(y - 0.05);
        let temple = temple * step(1.0, 0.90, x.abs() / self.shape.head_width);
        let rim = either(ring, either(bridge, temple));
        let glass = step(0.0, -0.02, off);
        (rim > 0.0 || glass > 0.0).then_some((rim, glass, [1.8 * side * dx, 1.8 * y]))
    }

    /// Weight of the brows.
    fn brow(&self, x: f64, y: f64) -> f64 {
        let (s, p) = (&self.shape, &self.palette);
        let out = x.abs() - s.eye_spacing;
        let t = (out + 0.01) / 0.205;
        if t.abs() >= 1.0 || y.abs() > 0.5 {
            return 0.0;
        }
        // A frown lowers the inner ends most.
        let middle = s.brow_height
            + s.brow_tilt * out
            + s.brow_arch * (0.02 - 1.1 * (out - 0.03) * (out - 0.03))
            - self.brow_drop * (0.9 - 0.7 * t);
        let half = p.brow_thickness * (0.80 - 0.35 * t) * step(1.0, 0.75, t.abs());
        let ragged = 0.008 * noise(self.texture ^ 6, x * 40.0, y * 18.0);
        step(half + 0.016, half - 0.020, (y - middle).abs() + ragged) * step(0.0, 0.02, half)
    }

    /// Material at a point inside; `blur` is the size of a pixel in head units.
    pub(super) fn material(&self, x: f64, y: f64, blur: f64) -> Material {
        let p = &self.palette;
        let x_face = x - self.shape.asymmetry * y;
        let edge = |signed: f64| step(-0.6 * blur, 0.6 * blur, signed);
        let hairline = self.hairline(x, y);
        let over = self.hair_curtain(x, y) - self.skull(x, y, hair_relief(hairline));
        let hair = either(step(-0.025, 0.035, hairline), step(-0.03, 0.03, over));

        let mut albedo = p.skin * self.complexion(x_face, y);
        let (mut gloss, mut sharpness) = (0.07, 3);
        let mut lay = |weight: f64, over: f64| albedo = lerp(albedo, over, weight);

        let [t, above_lower, below_upper] = self.eye(x_face, y);
        lay(self.brow(x_face, y), p.brow);
        if let Some(LipLines([top, gap_top, gap_low, bottom])) = self.mouth.lines(x_face) {
            let soft = |signed: f64| step(-0.012 - 0.4 * blur, 0.012 + 0.4 * blur, signed);
            let lips = soft(top - y) * soft(y - bottom);
            lay(lips, p.lips);
            gloss += 0.05 * lips;
            let teeth = edge(gap_top - y) * edge(y - gap_low);
            let mouth_end = step(1.0, 0.75, (x_face / self.mouth.half_width).abs());
            lay(teeth * mouth_end, if self.mouth.gap > 0.012 { 0.72 } else { 0.25 * p.lips });
            let line = step(0.014 + 0.4 * blur, 0.0, (y - gap_top).abs());
            lay(0.75 * line, 0.28 * p.lips);
        }
        let (dx, dy) = (x_face.abs() - 0.066, y - self.shape.nose_base_y - 0.008);
        lay(0.85 * step(1.2, 0.3, dx * dx / 0.0018 + dy * dy / 0.0005), 0.10 * p.skin);
        let beard = self.beard(x_face, y);
        let whiskers = 0.5 + 0.5 * noise(self.texture ^ 7, x * 45.0, y * 30.0);
        let grown = if self.facial_hair == FacialHair::Stubble { 3.6 } else { 0.92 };
        lay(grown * beard * (1.0 - 0.25 * whiskers), (1.3 * p.hair).min(0.45 * p.skin));

        if t.abs() < 1.15 && y.abs() < 0.25 {
            let opening = edge(above_lower) * edge(below_upper);
            let out = x_face.abs() - self.shape.eye_spacing;
            let dy = y - self.shape.eye_tilt * out - 0.10 * self.eye_opening;
            let radius = (out * out + dy * dy).sqrt();
            // The lid shades the white below it.
            let white = (0.36 + 0.42 * p.skin) * step(-0.02, 0.035, below_upper).max(0.55);
            lay(opening, white);
            lay(opening * edge(0.062 - radius), p.iris);
            lay(opening * edge(0.028 - radius), 0.02);
            let ends = step(1.15, 0.95, t.abs());
            let lash = step(0.017 + 0.4 * blur, 0.0, (below_upper + 0.006).abs());
            lay(0.85 * lash * ends, 0.05);
            let lower = step(0.012 + 0.4 * blur, 0.0, (above_lower + 0.004).abs());
            lay(0.35 * lower * ends, 0.2 * p.skin);
            if opening > 0.5 {
                (gloss, sharpness) = (0.45, 6);
            }
        }
        let ear = self.ear(x, y);
        lay(0.45 * step(0.5, 0.0, ear), 0.35 * p.skin);

        let strands = noise(self.texture ^ 2, x * 22.0 + 3.0 * y, y * 5.0)
            + 0.6 * noise(self.texture ^ 8, x * 48.0 - 5.0 * y, y * 7.0);
        lay(hair, p.hair * (1.0 + 0.28 * strands));
        if hair > 0.5 || beard > 0.5 {
            (gloss, sharpness) = (0.05, 2);
        }
        let collar = -1.13 + 0.25 * x * x;
        lay(edge(collar - y) * (1.0 - hair), p.clothes);
        if y < collar {
            gloss = 0.0;
        }

        let mut lens_slopes = None;
        if let Some((rim, glass, slopes)) = self.spectacles(x, y) {
            lay(0.16 * glass, 0.05);
            let rim = step(0.20, 0.60, rim);
            lay(rim, p.frame);
            if glass > 0.5 {
                (gloss, sharpness) = (0.60, 9);
                lens_slopes = Some(slopes);
            } else if rim > 0.5 {
                (gloss, sharpness) = (0.12, 4);
            }
        }
        Material { albedo, gloss, sharpness, lens_slopes }
    }

    /// Factor of the skin tone: blotches, shaded lids, flushed cheeks, freckles and spots.
    fn complexion(&self, x: f64, y: f64) -> f64 {
        let p = &self.palette;
        let (dx, dy) = (x.abs() - self.shape.eye_spacing, y);
        let lids = hill(dx * dx / 0.04 + (dy - 0.02) * (dy - 0.02) / 0.022);
        let (cx, cy) = (x.abs() - 0.38, y + 0.30);
        let cheeks = hill((cx * cx + cy * cy) / 0.06);
        let mut factor = 1.0 - 0.12 * lids - 0.05 * cheeks
            + 0.035 * noise(self.texture ^ 9, x * 3.5, y * 3.5)
            + 0.015 * noise(self.texture ^ 10, x * 14.0, y * 14.0);
        if p.freckles > 0.0 {
            let zone = hill((y + 0.22) * (y + 0.22) / 0.12 + x * x / 0.45);
            let speck = step(0.35, 0.8, noise(self.texture ^ 11, x * 30.0, y * 30.0));
            factor -= p.freckles * zone * speck;
        }
        for &[sx, sy, radius, dark] in &p.spots {
            let (dx, dy) = (x - sx, y - sy);
            factor *= 1.0 - dark * hill(0.4 * (dx * dx + dy * dy) / (radius * radius));
        }
        factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spline_passes_its_knots_and_has_no_corner() {
        let knots = [[0.0, 0.0], [0.3, 1.0], [0.5, 0.8], [1.0, 0.2]];
        for [t, value] in knots {
            assert!((spline(&knots, t) - value).abs() < 1e-12);
            let (before, after) = (spline(&knots, t - 1e-6), spline(&knots, t + 1e-6));
            let (left, right) = ((value - before) / 1e-6, (after - value) / 1e-6);
            assert!((left - right).abs() < 1e-3, "slopes {left} and {right} at {t}");
        }
    }

    #[test]
    fn noise_is_continuous_and_spans_its_range() {
        let values: Vec<f64> =
            (0..4000).map(|i| noise(7, 0.01 * f64::from(i) - 20.0, -3.3)).collect();
        let jump = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
        assert!(jump < 0.04, "largest jump {jump}");
        let (low, high) = values.iter().fold((1.0f64, -1.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        assert!((-1.0..-0.5).contains(&low) && (0.5..=1.0).contains(&high), "{low} to {high}");
    }
}
