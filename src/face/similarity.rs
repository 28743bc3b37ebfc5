//! The similarity that brings five landmarks onto a template.
//!
//! A similarity turns, scales and shifts; in (column, row) it reads
//!
//! ```text
//! column' = a column − b row + shift_0        scale = √(a² + b²)
//! row'    = b column + a row + shift_1        turn  = atan2(b, a), clockwise as seen
//! ```
//!
//! With z = column + i row and u = a + i b it is `z' = u z + t`, linear in u and t. The least-squares
//! fit over points with means taken off is `u = Σ z̄ z' / Σ |z|²`: in the plane just what Umeyama
//! (1991, "Least-squares estimation of transformation parameters between two point patterns") has
//! where reflections are barred.
//!
//! Rows run down and y up, so a vector of the camera frame turns the other way round, see
//! [`Similarity::turn_vector`].

use super::landmarks::{Landmarks, PixelPoint};
use crate::geometry::Vec3;
use serde::{Deserialize, Serialize};

/// The landmarks that ArcFace and its kin were trained on, in a picture of 112 by 112 pixels with
/// the upper left pixel's centre at (0, 0) (InsightFace, `python-package/insightface/utils/
/// face_align.py`, `arcface_dst`).
pub const ARCFACE_112: [[f64; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];
/// Side of the picture of [`ARCFACE_112`].
const ARCFACE_SIDE: f64 = 112.0;

/// Landmarks closer together than this, root mean square about their centre, are no face.
const LEAST_SPREAD_PX: f64 = 1.0;
/// The least share of the template's variance that a fit of a face explains. A face in profile,
/// its landmarks in one line, reaches 0.6; a mirrored frontal one 0.05.
const LEAST_EXPLAINED: f64 = 0.3;

/// Why landmarks fix no similarity.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LandmarkError {
    #[error("a landmark is not a finite number; detect the face again")]
    NotFinite,
    #[error(
        "the landmarks lie {spread_px:.2} pixels about their centre, at least {LEAST_SPREAD_PX} is \
         needed; use a larger picture"
    )]
    Coincident { spread_px: f64 },
    #[error(
        "the landmarks do not lie like a face's (a fit explains {explained:.2} of the template); \
         check that left and right are the picture's"
    )]
    NoFace { explained: f64 },
}

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    pub a: f64,
    pub b: f64,
    /// What is added to column and row.
    pub shift: [f64; 2],
}

/// A similarity and how well it fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    pub similarity: Similarity,
    /// Root mean square distance of the moved points from their targets, in the target's pixels.
    pub residual_px: f64,
}

impl Similarity {
    pub const IDENTITY: Self = Self { a: 1.0, b: 0.0, shift: [0.0, 0.0] };

    /// Scales and turns (clockwise as seen) about a point of the source, which goes to `to`.
    pub fn about(from: PixelPoint, scale: f64, turn_deg: f64, to: PixelPoint) -> Self {
        let (sin, cos) = turn_deg.to_radians().sin_cos();
        let linear = Self { a: scale * cos, b: scale * sin, shift: [0.0; 2] };
        let moved = linear.apply(from);
        Self { shift: [to.column - moved.column, to.row - moved.row], ..linear }
    }

    /// The least-squares similarity from landmarks to a template's.
    ///
    /// # Errors
    /// Landmarks that are no numbers, all in one place, or mirrored.
    pub fn fit(landmarks: &Landmarks, template: &Landmarks) -> Result<Fit, LandmarkError> {
        if !landmarks.is_finite() || !template.is_finite() {
            return Err(LandmarkError::NotFinite);
        }
        let (from, to) = (landmarks.points(), template.points());
        let (from_mean, to_mean) = (PixelPoint::mean(&from), PixelPoint::mean(&to));
        let (mut dot, mut cross, mut from_square, mut to_square) = (0.0, 0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(&to) {
            let (x, y) = (p.column - from_mean.column, p.row - from_mean.row);
            let (u, v) = (q.column - to_mean.column, q.row - to_mean.row);
            dot += x * u + y * v;
            cross += x * v - y * u;
            from_square += x * x + y * y;
            to_square += u * u + v * v;
        }
        for square in [from_square, to_square] {
            let spread_px = (square / from.len() as f64).sqrt();
            if spread_px < LEAST_SPREAD_PX {
                return Err(LandmarkError::Coincident { spread_px });
            }
        }
        let explained = (dot * dot + cross * cross) / (from_square * to_square);
        if explained < LEAST_EXPLAINED {
            return Err(LandmarkError::NoFace { explained });
        }
        let linear = Self { a: dot / from_square, b: cross / from_square, shift: [0.0; 2] };
        let moved = linear.apply(from_mean);
        let shift = [to_mean.column - moved.column, to_mean.row - moved.row];
        let similarity = Self { shift, ..linear };
        let squares =
            from.iter().zip(&to).map(|(p, q)| similarity.apply(*p).distance_to(*q).powi(2));
        let residual_px = (squares.sum::<f64>() / from.len() as f64).sqrt();
        Ok(Fit { similarity, residual_px })
    }

    pub fn apply(&self, p: PixelPoint) -> PixelPoint {
        PixelPoint::new(
            self.a * p.column - self.b * p.row + self.shift[0],
            self.b * p.column + self.a * p.row + self.shift[1],
        )
    }

    /// Target pixels per source pixel.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// Turn of the picture in degrees, clockwise as seen, −180 to 180.
    pub fn turn_deg(&self) -> f64 {
        self.b.atan2(self.a).to_degrees()
    }

    /// The way back; not finite where the scale is 0.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let linear = Self { a: self.a / square, b: -self.b / square, shift: [0.0; 2] };
        let moved = linear.apply(PixelPoint::new(self.shift[0], self.shift[1]));
        Self { shift: [-moved.column, -moved.row], ..linear }
    }

    /// First this one, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        let moved = next.apply(PixelPoint::new(self.shift[0], self.shift[1]));
        Self {
            a: next.a * self.a - next.b * self.b,
            b: next.b * self.a + next.a * self.b,
            shift: [moved.column, moved.row],
        }
    }

    /// A vector of the camera frame (x right, y up, z to the viewer) as the turned picture shows it:
    /// normals and directions of light, which keep their length.
    ///
    /// With y = −row, `x' = (a x + b y) / scale` and `y' = (a y − b x) / scale`.
    pub fn turn_vector(&self, v: Vec3) -> Vec3 {
        let scale = self.scale();
        let (cos, sin) = ((self.a / scale) as f32, (self.b / scale) as f32);
        Vec3::new(cos * v.x + sin * v.y, cos * v.y - sin * v.x, v.z)
    }
}

/// The template of an aligned crop of `side` by `side` pixels: ArcFace's, scaled about the crop's
/// middle, with `margin` of its side added on each side (0 is ArcFace's own crop).
///
/// The middle of 112 pixels is 55.5. InsightFace scales about the upper left pixel's centre instead
/// (256 pixels: 0.64 further up and left), which matters to no network but breaks a crop's symmetry.
pub fn template(side: usize, margin: f64) -> Landmarks {
    let scale = side as f64 / (ARCFACE_SIDE * (1.0 + 2.0 * margin));
    let place = |v: f64| (v - (ARCFACE_SIDE - 1.0) / 2.0) * scale + (side as f64 - 1.0) / 2.0;
    Landmarks::from_points(
        ARCFACE_112.map(|[column, row]| PixelPoint::new(place(column), place(row))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    fn assert_near(got: PixelPoint, want: PixelPoint) {
        assert!(got.distance_to(want) < 1e-9, "got {got:?}, want {want:?}");
    }

    #[test]
    fn templates_have_the_published_points_and_scale_about_the_middle() {
        let small = template(112, 0.0);
        for (got, want) in small.points().iter().zip(ARCFACE_112) {
            assert_near(*got, PixelPoint::new(want[0], want[1]));
        }
        // By edges: (38.2946 + ½) 256/112 − ½.
        let large = template(256, 0.0);
        assert_near(
            large.left_eye,
            PixelPoint::new(38.7946 * 256.0 / 112.0 - 0.5, 52.1963 * 256.0 / 112.0 - 0.5),
        );
        // With half a side added all around the face is half as large, about the same middle.
        let wide = template(112, 0.5);
        assert_near(
            wide.nose,
            PixelPoint::new(55.5 + (56.0252 - 55.5) / 2.0, 55.5 + (71.7366 - 55.5) / 2.0),
        );
    }

    #[test]
    fn a_quarter_turn_worked_by_hand() {
        // Clockwise as seen: what lay to the right lies below.
        let middle = PixelPoint::new(10.0, 20.0);
        let turn = Similarity::about(middle, 2.0, 90.0, PixelPoint::new(5.0, 5.0));
        assert_near(turn.apply(PixelPoint::new(11.0, 20.0)), PixelPoint::new(5.0, 7.0));
        assert_near(turn.apply(PixelPoint::new(10.0, 21.0)), PixelPoint::new(3.0, 5.0));
        let down = turn.turn_vector(Vec3::new(0.6, 0.0, 0.8));
        assert!((down - Vec3::new(0.0, -0.6, 0.8)).norm() < 1e-6, "{down:?}");
        assert!((turn.scale() - 2.0).abs() < 1e-12 && (turn.turn_deg() - 90.0).abs() < 1e-9);
    }

    #[test]
    fn a_moved_template_is_brought_back_without_residual() {
        let mut state = 7;
        for _ in 0..50 {
            let mut within = |low: f64, high: f64| low + (high - low) * random(&mut state);
            let place = PixelPoint::new(within(-500.0, 3000.0), within(-500.0, 3000.0));
            let moved = Similarity::about(
                PixelPoint::new(55.5, 55.5),
                within(0.1, 20.0),
                within(-180.0, 180.0),
                place,
            );
            let target = template(256, within(0.0, 0.4));
            let fit = Similarity::fit(&target.map(|p| moved.apply(p)), &target).unwrap();
            assert!(fit.residual_px < 1e-8, "{}", fit.residual_px);
            let there = moved.then(&fit.similarity);
            for (got, want) in [(there.a, 1.0), (there.b, 0.0), (there.shift[0], 0.0)] {
                assert!((got - want).abs() < 1e-9, "{there:?}");
            }
            let back = fit.similarity.then(&fit.similarity.inverse());
            assert_near(back.apply(place), place);
        }
    }

    /// No similarity nearby is better, so the fit is the minimum of a quadratic.
    #[test]
    fn a_fit_of_noisy_landmarks_is_the_least_squares_one() {
        let mut state = 3;
        let target = template(112, 0.0);
        for _ in 0..20 {
            let mut near = || 8.0 * random(&mut state) - 4.0;
            let noisy =
                target.map(|p| PixelPoint::new(2.0 * p.column + near(), 2.0 * p.row + near()));
            let fit = Similarity::fit(&noisy, &target).unwrap();
            let cost = |s: &Similarity| -> f64 {
                let pairs = noisy.points().into_iter().zip(target.points());
                pairs.map(|(p, q)| s.apply(p).distance_to(q).powi(2)).sum()
            };
            let least = cost(&fit.similarity);
            assert!((fit.residual_px - (least / 5.0).sqrt()).abs() < 1e-12);
            for step in [1e-3, -1e-3] {
                let mut others = [fit.similarity; 4];
                others[0].a += step;
                others[1].b += step;
                others[2].shift[0] += step;
                others[3].shift[1] += step;
                for other in &others {
                    assert!(cost(other) > least, "{other:?}");
                }
            }
        }
    }

    #[test]
    fn landmarks_that_are_no_face_s_are_refused() {
        let target = template(112, 0.0);
        let fit = |landmarks: &Landmarks| Similarity::fit(landmarks, &target);
        let one_place = target.map(|_| PixelPoint::new(5.0, 5.0));
        assert_eq!(fit(&one_place), Err(LandmarkError::Coincident { spread_px: 0.0 }));
        let mut holed = target;
        holed.nose.row = f64::NAN;
        assert_eq!(fit(&holed), Err(LandmarkError::NotFinite));
        let mirrored = target.map(|p| PixelPoint::new(111.0 - p.column, p.row));
        assert!(
            matches!(fit(&mirrored), Err(LandmarkError::NoFace { .. })),
            "{:?}",
            fit(&mirrored)
        );
        // A profile is one line; it still fixes size and turn.
        let profile = target.map(|p| PixelPoint::new(50.0, p.row));
        let upright = fit(&profile).unwrap().similarity;
        assert!(upright.turn_deg().abs() < 2.0, "{upright:?}");
    }
}
