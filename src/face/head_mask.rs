//! Which pixels show the person, before a background that is lit as well.
//!
//! [`crate::stereo::foreground_mask`] asks what the lamps reach, which a wall near the subject
//! passes too, and integration would then join head and wall. Here the background is learned from the
//! capture itself. Around a detected face two regions are sure:
//!
//! - an ellipse within the box is the person;
//! - what lies above the face's middle outside a larger ellipse, further out than hair reaches, is
//!   background, and so is what lies far beside the jaw, where long hair is wider. In a close picture the
//!   larger ellipse shrinks until enough lies outside it.
//!
//! Four features tell them apart, each by its histogram over the two regions: brightness `ln ρ`,
//! how badly the pixel obeys Lambert's law `ln(r/ρ)` (a background too dark to be solved is mere
//! noise), and `n_x`, `n_y` (a wall has one normal, a head has all). With the features taken for
//! independent,
//!
//! ```text
//! evidence = Σ_f ln( (p_f(person) + uniform)/2 / p_f(background) )
//! ```
//!
//! The uniform half stands for hair and clothes, which the ellipse does not show: what is unlike the
//! background is the person. (Histograms of seeds as in Boykov and Jolly 2001, "Interactive graph
//! cuts"; their smoothness term is a mean over a small square here.) Before a background that no lamp
//! reaches, the foreground adds what of the person is as dark. The connected part about the face is
//! kept, its gaps closed and its holes filled.

use super::landmarks::FaceBox;
use super::regions::{fill_holes, part_with_most, square_sums};
use crate::maps::{Mask, Plane, Size};
use crate::order_statistics::quantile_of_defined;
use crate::stereo::{SurfaceMaps, spread};

/// Half-axes of the ellipse that is sure to be the person, as shares of the box.
const PERSON: [f64; 2] = [0.4, 0.45];
/// Half-axes of the ellipse within which head and hair lie, as shares of the box, and by which shares of
/// them it is tried in turn.
const HAIR: [f64; 2] = [0.9, 1.15];
const SHRINKING: [f64; 4] = [1.0, 0.9, 0.8, 0.7];
/// Beside the jaw background begins so many of the ellipse's half-axes from the box's middle.
const BESIDE_JAW: f64 = 1.4;
/// A foreground that takes in no more than this share of the sure background is of the person alone.
const DARK_BACKGROUND: f64 = 0.01;
/// The least share of the picture that must be sure background.
const LEAST_BACKGROUND: f64 = 0.02;
const BINS: usize = 32;
/// Added to each bin, as a share of the region's pixels: none is ruled out by a bin that happens to be
/// empty.
const PRIOR: f64 = 1e-3;
/// One feature's evidence is cut to this, so that none rules alone.
const MOST_EVIDENCE: f64 = 3.0;
/// Radius of the square that evidence is averaged over and gaps are closed by, as shares of the box's
/// width.
const SMOOTHING: f64 = 0.015;
const CLOSING: f64 = 0.04;
/// Holes up to this share of the picture belong to the person, clothes of the wall's colour at the
/// lower border among them.
const LARGEST_HOLE: f64 = 0.15;
/// Albedo and residual below which nothing is told, as a share of full scale: half a step of 8 bits.
const FLOOR: f32 = 0.5 / 255.0;

/// Why the person could not be told from the background; the foreground stays the best mask.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum HeadMaskError {
    #[error("the face's box has no area; detect the face again")]
    EmptyBox,
    #[error("there is no background beside the head to learn from; the picture is cropped closely")]
    NoBackground,
    #[error("the person cannot be told from the background; give a mask")]
    NotTold,
}

/// The mask of the person: head, neck and clothes, where there is a normal. `surface` is solved over
/// the whole picture, the background included; `foreground` is what the lamps reach.
///
/// # Errors
/// A box without area, a picture without background, or a background like the person.
pub fn head_mask(
    surface: &SurfaceMaps,
    foreground: &Mask,
    bounds: &FaceBox,
) -> Result<Mask, HeadMaskError> {
    let size = surface.albedo.size;
    if !bounds.is_valid() {
        return Err(HeadMaskError::EmptyBox);
    }
    let person = sure_person(size, bounds);
    let background = SHRINKING
        .into_iter()
        .map(|shrunk| sure_background(size, bounds, shrunk))
        .find(|region| region.count() as f64 >= LEAST_BACKGROUND * size.area() as f64)
        .ok_or(HeadMaskError::NoBackground)?;
    let evidence = evidence(surface, &person, &background);

    let pixels = |share: f64| (share * bounds.width()).round() as usize;
    let smooth = square_sums(size, pixels(SMOOTHING), |p| evidence[p]);
    let like = smooth.into_iter().map(|(sum, count)| sum / count as f64 > 0.0).collect();
    // Highlights and nostrils are unlike all else, and surely the person's.
    let mut mask = Plane::new(size, like);
    mask.data.iter_mut().zip(&person.data).for_each(|(m, &sure)| *m |= sure);
    let leaked = shared(foreground, &background) as f64;
    if leaked <= DARK_BACKGROUND * background.count() as f64 {
        mask.data.iter_mut().zip(&foreground.data).for_each(|(m, &lit)| *m |= lit);
    }
    let mask = part_with_most(&mask, &person);
    let radius = pixels(CLOSING);
    let mut mask = spread(&spread(&mask, radius, true), radius, false);
    fill_holes(&mut mask, (LARGEST_HOLE * size.area() as f64) as usize);
    mask.data.iter_mut().zip(surface.normals.z()).for_each(|(m, z)| *m &= !z.is_nan());

    let like = evidence.iter().zip(&person.data).filter(|(e, sure)| **sure && **e > 0.0).count();
    let leak = shared(&mask, &background);
    let most = |count: usize, region: &Mask| count as f64 > 0.5 * region.count() as f64;
    if !most(like, &person) || most(leak, &background) {
        return Err(HeadMaskError::NotTold);
    }
    Ok(mask)
}

fn shared(a: &Mask, b: &Mask) -> usize {
    a.data.iter().zip(&b.data).filter(|(a, b)| **a && **b).count()
}

/// How far a pixel lies from the middle of a box, in shares of its sides: to the right, down.
fn place_in(bounds: &FaceBox, row: usize, column: usize) -> [f64; 2] {
    let middle = bounds.centre();
    let (across, down) = (column as f64 - middle.column, row as f64 - middle.row);
    [across / bounds.width(), down / bounds.height()]
}

fn sure_person(size: Size, bounds: &FaceBox) -> Mask {
    Plane::from_fn(size, |row, column| {
        let [across, down] = place_in(bounds, row, column);
        (across / PERSON[0]).hypot(down / PERSON[1]) < 1.0
    })
}

/// Where only background is, with the ellipse of hair shrunk to a share.
fn sure_background(size: Size, bounds: &FaceBox, shrunk: f64) -> Mask {
    let [beside, above] = HAIR.map(|half_axis| shrunk * half_axis);
    Plane::from_fn(size, |row, column| {
        let [across, down] = place_in(bounds, row, column);
        let over = down <= 0.0 && (across / beside).hypot(down / above) > 1.0;
        // Below the chin there are shoulders.
        over || (down < 0.5 && across.abs() > BESIDE_JAW * beside)
    })
}

/// For each pixel how much more it is like the person than like the background: the logarithm of
/// the ratio of their probabilities.
fn evidence(surface: &SurfaceMaps, person: &Mask, background: &Mask) -> Vec<f64> {
    let area = surface.albedo.data.len();
    let (albedo, residual) = (&surface.albedo.data, &surface.residual.data);
    let relative = |p: usize| (residual[p].max(FLOOR) / albedo[p].max(FLOOR)).ln();
    let features: [Vec<f32>; 4] = [
        (0..area).map(|p| albedo[p].max(FLOOR).ln()).collect(),
        (0..area).map(relative).collect(),
        surface.normals.x().to_vec(),
        surface.normals.y().to_vec(),
    ];
    let mut evidence = vec![0.0; area];
    for feature in &features {
        let defined = |p: usize| feature[p].is_finite();
        let values = || (0..area).filter(|&p| defined(p)).map(|p| feature[p]);
        let (Some(low), Some(high)) =
            (quantile_of_defined(values(), 0.005), quantile_of_defined(values(), 0.995))
        else {
            continue;
        };
        let bin = |value: f32| {
            let share = f64::from((value - low) / (high - low).max(f32::EPSILON));
            ((share * BINS as f64) as usize).min(BINS - 1)
        };
        let histogram = |region: &Mask| {
            let pixels = (0..area).filter(|&p| region.data[p] && defined(p));
            densities(pixels.map(|p| bin(feature[p])))
        };
        let (like_person, like_background) = (histogram(person), histogram(background));
        let ratio: Vec<f64> = like_person
            .iter()
            .zip(&like_background)
            .map(|(person, background)| {
                let seen_or_new = 0.5 * (person + 1.0 / BINS as f64);
                (seen_or_new / background).ln().clamp(-MOST_EVIDENCE, MOST_EVIDENCE)
            })
            .collect();
        for (p, evidence) in evidence.iter_mut().enumerate() {
            if defined(p) {
                *evidence += ratio[bin(feature[p])];
            }
        }
    }
    evidence
}

/// The share of each bin, smoothed over its neighbours (¼, ½, ¼); uniform for no values.
fn densities(bins: impl Iterator<Item = usize>) -> [f64; BINS] {
    let mut counts = [0.0; BINS];
    let mut total = 0.0;
    for bin in bins {
        counts[bin] += 1.0;
        total += 1.0;
    }
    let prior = (PRIOR * total).max(1.0);
    std::array::from_fn(|bin| {
        let (before, after) = (counts[bin.saturating_sub(1)], counts[(bin + 1).min(BINS - 1)]);
        let smooth = 0.25 * before + 0.5 * counts[bin] + 0.25 * after;
        (smooth + prior) / (total + prior * BINS as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;
    use crate::maps::{ImageStack, Lights, Pixels};
    use crate::stereo::{LeastSquares, foreground_mask};

    const SIZE: Size = Size { height: 240, width: 260 };
    const BOUNDS: FaceBox = FaceBox { left: 90.0, top: 70.0, right: 170.0, bottom: 175.0 };

    fn noise(state: &mut u32) -> f32 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 8) as f32 / (1 << 24) as f32 - 0.5
    }

    /// A ball on a column, its normal at a pixel.
    fn person(row: usize, column: usize) -> Option<Vec3> {
        let (x, y) = ((column as f32 - 130.0) / 65.0, (120.0 - row as f32) / 65.0);
        let round = |x: f32, y: f32| Vec3::new(x, y, (1.0 - x * x - y * y).max(0.0).sqrt());
        match x * x + y * y {
            square if square < 1.0 => Some(round(x, y)),
            _ if y < 0.0 && x.abs() < 0.6 => Some(round(x / 0.62, 0.0)),
            _ => None,
        }
    }

    /// Another ball, low beside the person.
    fn other(row: usize, column: usize) -> Option<Vec3> {
        let (x, y) = ((column as f32 - 30.0) / 20.0, (205.0 - row as f32) / 20.0);
        let square = x * x + y * y;
        (square < 1.0).then(|| Vec3::new(x, y, (1.0 - square).sqrt()))
    }

    /// Four 8-bit images before a wall whose albedo, `wall` in the mean, is as rough as it is high.
    fn images(wall: f32) -> (ImageStack, Lights) {
        let tilted = [(0.4, 0.3), (-0.4, 0.3), (0.35, -0.4), (-0.4, -0.3)];
        let lights =
            Lights::directional(tilted.map(|(x, y)| Vec3::new(x, y, 1.0).normalize()).to_vec());
        let mut state = 1;
        let paint: Vec<f32> = (0..SIZE.area()).map(|_| wall * (1.0 + noise(&mut state))).collect();
        let mut values = Vec::new();
        for l in &lights.directions {
            for (p, paint) in paint.iter().enumerate() {
                let (row, column) = (p / SIZE.width, p % SIZE.width);
                let lit = match person(row, column).or_else(|| other(row, column)) {
                    Some(n) => 0.6 * n.dot(l).max(0.0),
                    None => paint * Vec3::new(0.1, 0.0, 0.995).dot(l),
                };
                let value = 255.0 * (lit + 0.01 * noise(&mut state));
                values.push(value.round().clamp(0.0, 255.0) as u8);
            }
        }
        (ImageStack::new(SIZE, lights.len(), Pixels::U8(values)), lights)
    }

    fn iou(mask: &Mask) -> f64 {
        let truth = Plane::from_fn(SIZE, |r, c| person(r, c).is_some());
        let count = |of: fn(bool, bool) -> bool| {
            mask.data.iter().zip(&truth.data).filter(|(a, b)| of(**a, **b)).count() as f64
        };
        count(|a, b| a && b) / count(|a, b| a || b)
    }

    #[test]
    fn a_ball_is_told_from_a_noisy_wall_of_any_brightness() {
        for wall in [0.0, 0.1, 0.3, 0.6, 0.9] {
            let (images, lights) = images(wall);
            let surface = LeastSquares::new(&lights).unwrap().solve(&images);
            let mask = head_mask(&surface, &foreground_mask(&images), &BOUNDS).unwrap();
            let (got, before) = (iou(&mask), iou(&foreground_mask(&images)));
            assert!(got > 0.95, "{got} before a wall of {wall}; the foreground's is {before}");
            let others =
                (0..SIZE.area()).filter(|p| other(p / SIZE.width, p % SIZE.width).is_some());
            assert_eq!(others.filter(|&p| mask.data[p]).count(), 0, "before a wall of {wall}");
            // The wall does pass for foreground.
            assert!(wall < 0.2 || before < 0.6, "{before}");
        }
    }

    #[test]
    fn without_a_background_or_a_box_nothing_is_told() {
        let (images, lights) = images(0.3);
        let surface = LeastSquares::new(&lights).unwrap().solve(&images);
        let close = FaceBox { left: 10.0, top: 5.0, right: 250.0, bottom: 235.0 };
        let told = |surface: &SurfaceMaps, bounds: &FaceBox| {
            head_mask(surface, &foreground_mask(&images), bounds)
        };
        assert_eq!(told(&surface, &close), Err(HeadMaskError::NoBackground));
        let flat = FaceBox { bottom: BOUNDS.top, ..BOUNDS };
        assert_eq!(told(&surface, &flat), Err(HeadMaskError::EmptyBox));
        // A box on the bare wall: it is like what lies about it.
        let bare = FaceBox { left: 5.0, top: 5.0, right: 45.0, bottom: 60.0 };
        assert_eq!(told(&surface, &bare), Err(HeadMaskError::NotTold));
        let nothing = SurfaceMaps::unset(SIZE);
        assert_eq!(told(&nothing, &BOUNDS), Err(HeadMaskError::NotTold));
    }
}
