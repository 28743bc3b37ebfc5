//! The outline of a sphere in the image, from a mask or given.
//!
//! Between two neighbouring pixels of which one is inside, the outline crosses somewhere; the
//! middle is the unbiased guess, with an error spread evenly over one pixel. A circle through
//! hundreds of such crossings is good to hundredths of a pixel. It is fitted by Kåsa (1976), then
//! by Gauss–Newton on the distances `|p − c| − r` with weights that let a stand or a dent of the
//! mask go.

use super::CalibrateError;
use super::robust::{cauchy, spread};
use crate::geometry::Camera;
use crate::maps::{Mask, Size};
use nalgebra::{Matrix3, Vector3};

/// A circle in the image. The centre of the upper left pixel is (0, 0), rows run down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    pub column: f64,
    pub row: f64,
    pub radius: f64,
}

/// A sphere's outline: the circle nearest to it, and points on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    pub circle: Circle,
    /// (column, row), sub-pixel.
    points: Vec<[f64; 2]>,
    /// Spread of the points' distances from the circle, px.
    pub spread_px: f64,
}

/// Points taken on a circle that was given.
const SAMPLES: usize = 360;
/// A mask whose crossings stray from the circle by more than this share of the radius (robust
/// spread) does not show a sphere: a square strays by 8 %, an ellipse 10 % longer than wide by 3 %.
const MOST_STRAYING: f64 = 0.03;
/// Crossings farther from the circle than this many pixels do not lie on it.
const ON_CIRCLE_PX: f64 = 2.0;

impl Outline {
    /// The outline that a circle is.
    pub fn from_circle(circle: Circle) -> Self {
        let points = (0..SAMPLES)
            .map(|i| {
                let (sin, cos) = (i as f64 / SAMPLES as f64 * std::f64::consts::TAU).sin_cos();
                [circle.column + circle.radius * cos, circle.row + circle.radius * sin]
            })
            .collect();
        Self { circle, points, spread_px: 0.0 }
    }

    /// Fits the outline of a mask that is true on the sphere. The frame's border is no outline: a
    /// sphere that is cut by it is fitted by the rest.
    ///
    /// # Errors
    /// An empty mask, or one whose outline is no circle.
    pub fn from_mask(mask: &Mask) -> Result<Self, CalibrateError> {
        if mask.count() == 0 {
            return Err(CalibrateError::MaskEmpty("sphere"));
        }
        let points = crossings(mask);
        if points.len() < 12 {
            let reason = format!("{} points of outline", points.len());
            return Err(CalibrateError::NotACircle(reason));
        }
        let circle = fit(&points)
            .ok_or_else(|| CalibrateError::NotACircle("its outline runs straight".to_string()))?;
        let spread_px = spread(points.iter().map(|p| circle.distance(*p)));
        let limit = (MOST_STRAYING * circle.radius).max(ON_CIRCLE_PX);
        if spread_px.is_nan() || spread_px > limit {
            return Err(CalibrateError::NotACircle(format!(
                "it strays {spread_px:.1} px from a circle of radius {:.0} px",
                circle.radius
            )));
        }
        let on_circle = points
            .into_iter()
            .filter(|p| circle.distance(*p).abs() <= (3.0 * spread_px).max(ON_CIRCLE_PX))
            .collect();
        Ok(Self { circle, points: on_circle, spread_px })
    }

    /// How many points the circle rests on.
    pub(super) fn points(&self) -> usize {
        self.points.len()
    }

    /// The cone of rays that touch the sphere: the unit vector to its centre (camera frame) and
    /// the sine of the cone's half angle, which is radius over distance.
    ///
    /// Every touching ray d (unit) has `d·a = cos α`; with `x = a / cos α` that is `d·x = 1`,
    /// linear least squares. This takes the outline for the ellipse that it is in perspective.
    pub(super) fn cone(&self, camera: &Camera) -> Option<(Vector3<f64>, f64)> {
        let rays = || self.points.iter().map(|p| camera.ray(p[1], p[0]).normalize());
        let matrix: Matrix3<f64> = rays().map(|d| d * d.transpose()).sum();
        let right: Vector3<f64> = rays().sum();
        let x = matrix.try_inverse()? * right;
        let cos = 1.0 / x.norm();
        (cos < 1.0).then(|| (x * cos, (1.0 - cos * cos).sqrt()))
    }

    /// # Errors
    /// A circle that reaches outside the frame, or has no size.
    pub(super) fn check_inside(&self, size: Size) -> Result<(), CalibrateError> {
        let Circle { column, row, radius } = self.circle;
        let fits = |centre: f64, length: usize| {
            // Half a pixel more: masks count whole pixels.
            centre - radius >= -1.0 && centre + radius <= length as f64
        };
        if radius >= 2.0 && fits(column, size.width) && fits(row, size.height) {
            Ok(())
        } else {
            Err(CalibrateError::OutsideFrame { column, row, radius, size })
        }
    }
}

impl Circle {
    /// Distance of a point (column, row) from the circle, positive outside.
    pub fn distance(&self, [column, row]: [f64; 2]) -> f64 {
        (column - self.column).hypot(row - self.row) - self.radius
    }
}

/// Middles between neighbouring pixels of which one is inside.
fn crossings(mask: &Mask) -> Vec<[f64; 2]> {
    let Size { height, width } = mask.size;
    let mut points = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let inside = *mask.at(row, column);
            if column + 1 < width && inside != *mask.at(row, column + 1) {
                points.push([column as f64 + 0.5, row as f64]);
            }
            if row + 1 < height && inside != *mask.at(row + 1, column) {
                points.push([column as f64, row as f64 + 0.5]);
            }
        }
    }
    points
}

fn fit(points: &[[f64; 2]]) -> Option<Circle> {
    let count = points.len() as f64;
    let mean = [0, 1].map(|i| points.iter().map(|p| p[i]).sum::<f64>() / count);
    // Kåsa: x² + y² = 2 a x + 2 b y + c, in coordinates about the mean.
    let (mut matrix, mut right) = (Matrix3::zeros(), Vector3::zeros());
    for p in points {
        let (x, y) = (p[0] - mean[0], p[1] - mean[1]);
        let row = Vector3::new(2.0 * x, 2.0 * y, 1.0);
        matrix += row * row.transpose();
        right += row * (x * x + y * y);
    }
    let solved = matrix.lu().solve(&right)?;
    let mut circle = Circle {
        column: mean[0] + solved.x,
        row: mean[1] + solved.y,
        radius: (solved.z + solved.x * solved.x + solved.y * solved.y).sqrt(),
    };
    for _ in 0..50 {
        let sigma = spread(points.iter().map(|p| circle.distance(*p))).max(0.1);
        let (mut matrix, mut right) = (Matrix3::zeros(), Vector3::zeros());
        for p in points {
            let (dx, dy) = (p[0] - circle.column, p[1] - circle.row);
            let length = dx.hypot(dy).max(1e-9);
            let jacobian = Vector3::new(-dx / length, -dy / length, -1.0);
            let residual = length - circle.radius;
            let weight = cauchy(residual, sigma);
            matrix += jacobian * jacobian.transpose() * weight;
            right -= jacobian * (residual * weight);
        }
        let step = matrix.lu().solve(&right)?;
        circle.column += step.x;
        circle.row += step.y;
        circle.radius += step.z;
        if step.norm() < 1e-6 {
            break;
        }
    }
    (circle.radius.is_finite() && circle.radius > 0.0).then_some(circle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Plane;

    fn disc(size: Size, circle: Circle) -> Mask {
        Plane::from_fn(size, |r, c| circle.distance([c as f64, r as f64]) < 0.0)
    }

    #[test]
    fn a_disc_is_found_to_hundredths_of_a_pixel_with_its_stand() {
        let truth = Circle { column: 61.37, row: 48.81, radius: 30.24 };
        let mut mask = disc(Size::new(100, 120), truth);
        let close = |got: Circle, tolerance: f64| {
            let off = [got.column - truth.column, got.row - truth.row, got.radius - truth.radius];
            assert!(off.iter().all(|v| v.abs() < tolerance), "{got:?}, want {truth:?}");
        };
        // Errors of crossings are even over a pixel, σ = 0.29 px; of some 240, that is 0.03 px.
        close(Outline::from_mask(&mask).unwrap().circle, 0.06);
        for r in 70..96 {
            for c in 55..68 {
                mask.data[r * 120 + c] = true;
            }
        }
        close(Outline::from_mask(&mask).unwrap().circle, 0.15);
    }

    #[test]
    fn what_is_no_sphere_is_refused() {
        let size = Size::new(100, 100);
        let square = Plane::from_fn(size, |r, c| (20..80).contains(&r) && (20..80).contains(&c));
        assert!(matches!(Outline::from_mask(&square), Err(CalibrateError::NotACircle(_))));
        let half = Plane::from_fn(size, |r, _| r < 50);
        assert!(matches!(Outline::from_mask(&half), Err(CalibrateError::NotACircle(_))));
        let empty = Plane::filled(size, false);
        assert!(matches!(Outline::from_mask(&empty), Err(CalibrateError::MaskEmpty(_))));
        let outside = Outline::from_circle(Circle { column: 10.0, row: 50.0, radius: 30.0 });
        let error = outside.check_inside(size).unwrap_err();
        assert!(matches!(error, CalibrateError::OutsideFrame { .. }));
    }

    #[test]
    fn the_cone_points_at_the_sphere_and_not_at_its_ellipses_centre() {
        let camera = Camera { focal_px: [800.0, 800.0], centre_px: [320.0, 240.0] };
        let (centre, radius): (Vector3<f64>, f64) = (Vector3::new(150.0, 80.0, -600.0), 40.0);
        // Points of tangency: a circle about the axis, at cos α from it.
        let (distance, axis) = (centre.norm(), centre.normalize());
        let across = axis.cross(&Vector3::x()).normalize();
        let other = axis.cross(&across);
        let sin = radius / distance;
        let cos = (1.0 - sin * sin).sqrt();
        let points = (0..100)
            .map(|i| {
                let (s, c) = (i as f64 * 0.0628).sin_cos();
                let d = axis * cos + (across * c + other * s) * sin;
                [320.0 - 800.0 * d.x / d.z, 240.0 + 800.0 * d.y / d.z]
            })
            .collect::<Vec<_>>();
        let outline = Outline { circle: fit(&points).unwrap(), points, spread_px: 0.0 };
        let (got, got_sin) = outline.cone(&camera).unwrap();
        assert!((got - axis).norm() < 1e-9 && (got_sin - sin).abs() < 1e-9, "{got} {got_sin}");
    }
}
