//! Lamps that stand near, for solvers that take them for distant.
//!
//! A light file with one direction a lamp holds for the subject's middle alone. A lamp d away in the
//! direction l lights the point x, both measured from the middle, not along l and not with the
//! strength of the middle, but (inverse squares) by
//!
//! ```text
//! e(x) = (l − x/d) / |l − x/d|³
//! ```
//!
//! so that the image that the same lamp would give from afar is `I (n·l) / (n·e)`. The normals come
//! from least squares on what has been undone so far; a few rounds settle them, since the factor
//! hardly hangs on the normal where the lamp is seen from in front. Each image is multiplied for
//! itself: a shadow or a highlight in one stays in that one, where a robust solver finds it.
//!
//! x is taken in the plane of the subject: relief of a tenth of d changes all images alike, which is
//! albedo. Where lamps and camera are known in millimetres, [`super::NearLight`] does it in full.

use crate::maps::{ImageStack, Lights, Mask, NormalMap, Pixels};
use rayon::prelude::*;

/// Least cosine in the factor: beyond it shading says little of the lamp's place.
const LEAST_COSINE: f32 = 0.2;
/// Rounds of least squares before the last.
pub(crate) const ROUNDS: usize = 2;

/// The images as distant lamps would have given them.
///
/// `distance` of the lamps from the subject in widths of the picture at the subject, > 0; the middle
/// of `mask` is the subject's. `normals` (unit, camera frame): where they are NaN only the strength
/// is undone. Saturated samples stay so and no other becomes so: the level of saturation rises by an
/// image's largest factor. Values come as shares of full scale.
///
/// # Panics
/// If there is not one light per image, or the sizes differ.
pub fn as_if_distant(
    images: &ImageStack,
    lights: &Lights,
    normals: &NormalMap,
    mask: &Mask,
    distance: f32,
) -> ImageStack {
    assert_eq!(images.count, lights.len(), "one light per image");
    assert!(images.size == normals.size && images.size == mask.size, "maps of the images' size");
    let (mut values, mut white) = images.to_shares();
    let (area, width) = (images.size.area(), images.size.width);
    let Some([middle_row, middle_column]) = middle(mask) else {
        return ImageStack::new(images.size, images.count, Pixels::F32(values)).with_white(white);
    };
    let per_pixel = 1.0 / (distance * width as f32);
    values.par_chunks_mut(area.max(1)).zip(&mut white).enumerate().for_each(|(image, of_image)| {
        let (values, white) = of_image;
        let toward = lights.directions[image];
        let mut largest = 1.0f32;
        let mut saturated = Vec::new();
        for (pixel, value) in values.iter_mut().enumerate() {
            let aside = ((pixel % width) as f32 - middle_column) * per_pixel;
            let up = (middle_row - (pixel / width) as f32) * per_pixel;
            let mut way = toward;
            way.x -= aside;
            way.y -= up;
            let length = way.norm();
            let normal = normals.at(pixel);
            let cosine = |of: f32| if of.is_nan() { 1.0 } else { of.max(LEAST_COSINE) };
            let turned = cosine(normal.dot(&toward)) / cosine(normal.dot(&way) / length);
            if *value >= *white {
                saturated.push(pixel);
            }
            let factor = turned * length * length;
            largest = largest.max(factor);
            *value *= factor;
        }
        *white *= largest;
        for pixel in saturated {
            values[pixel] = values[pixel].max(*white);
        }
    });
    ImageStack::new(images.size, images.count, Pixels::F32(values)).with_white(white)
}

/// Mean row and column of a mask.
fn middle(mask: &Mask) -> Option<[f32; 2]> {
    let width = mask.size.width;
    let (mut row, mut column, mut count) = (0.0, 0.0, 0.0);
    for pixel in (0..mask.data.len()).filter(|&p| mask.data[p]) {
        row += (pixel / width) as f64;
        column += (pixel % width) as f64;
        count += 1.0;
    }
    (count > 0.0).then(|| [(row / count) as f32, (column / count) as f32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Vec3, angle_between_deg, light_from_zenith_azimuth};
    use crate::maps::{Plane, Size};
    use crate::stereo::LeastSquares;

    const SIZE: Size = Size { height: 80, width: 100 };
    const DISTANCE: f32 = 3.0;

    /// A wavy plate under four lamps three widths away, by the equation, in f64.
    fn near_images(lights: &Lights) -> (ImageStack, NormalMap) {
        let wave = |r: usize, c: usize| {
            Vec3::new(0.5 * (0.13 * c as f32).sin(), 0.4 * (0.11 * r as f32).cos(), 1.0).normalize()
        };
        let normals = NormalMap::from_fn(SIZE, wave);
        let mut values = Vec::new();
        for light in &lights.directions {
            for pixel in 0..SIZE.area() {
                let (row, column) = ((pixel / 100) as f64, (pixel % 100) as f64);
                let place = [(column - 49.5) / 100.0, (39.5 - row) / 100.0, 0.0];
                let way: Vec<f64> =
                    (0..3).map(|i| f64::from(DISTANCE * light[i]) - place[i]).collect();
                let length = way.iter().map(|v| v * v).sum::<f64>().sqrt();
                let normal = normals.at(pixel);
                let cosine: f64 =
                    (0..3).map(|i| f64::from(normal[i]) * way[i]).sum::<f64>() / length;
                let strength = f64::from(DISTANCE * DISTANCE) / (length * length);
                values.push((0.4 * strength * cosine) as f32);
            }
        }
        (ImageStack::new(SIZE, lights.len(), Pixels::F32(values)), normals)
    }

    #[test]
    fn near_lamps_become_distant_ones() {
        let azimuths = [130.0, 50.0, 310.0, 230.0];
        let lights =
            Lights::directional(azimuths.map(|a| light_from_zenith_azimuth(30.0, a)).to_vec());
        let (near, truth) = near_images(&lights);
        let solver = LeastSquares::new(&lights).unwrap();
        let mask = Plane::filled(SIZE, true);
        let off = |normals: &NormalMap| {
            let angle = |p| angle_between_deg(normals.at(p), truth.at(p));
            (0..SIZE.area()).map(angle).sum::<f32>() / SIZE.area() as f32
        };
        let mut images = near.clone();
        let mut errors = vec![off(&solver.solve(&images).normals)];
        for _ in 0..=ROUNDS {
            let normals = solver.solve(&images).normals;
            images = as_if_distant(&near, &lights, &normals, &mask, DISTANCE);
            errors.push(off(&solver.solve(&images).normals));
        }
        assert!(errors[0] > 4.0, "taken for distant: {errors:?}");
        assert!(errors[ROUNDS + 1] < 0.1, "{errors:?}");
        let albedo = solver.solve(&images).albedo;
        assert!(albedo.data.iter().all(|a| (a - 0.4).abs() < 0.01));
        // The same lamps ten thousand widths away are distant.
        let far = as_if_distant(&near, &lights, &truth, &mask, 1e4);
        let same = far.pixels.get(7) / near.pixels.get(7);
        assert!((same - 1.0).abs() < 1e-3, "{same}");
    }

    #[test]
    fn saturated_samples_stay_saturated_and_unknown_normals_lose_nothing() {
        let lights = Lights::directional(vec![light_from_zenith_azimuth(30.0, 90.0); 3]);
        let values = [1.0, 0.85, 0.25].repeat(SIZE.area());
        let images = ImageStack::new(SIZE, 3, Pixels::F32(values)).with_white(vec![0.9; 3]);
        let none = NormalMap::from_fn(SIZE, |_, _| Vec3::repeat(f32::NAN));
        let mask = Plane::filled(SIZE, true);
        let undone = as_if_distant(&images, &lights, &none, &mask, 2.0);
        for i in 0..3 * SIZE.area() {
            let white = undone.white[i / SIZE.area()];
            assert_eq!(images.pixels.get(i) >= 0.9, undone.pixels.get(i) >= white, "sample {i}");
            assert!(undone.pixels.get(i) > 0.0);
        }
        let empty = Plane::filled(SIZE, false);
        let kept = as_if_distant(&images, &lights, &none, &empty, 2.0);
        assert_eq!(kept.pixels.get(1), 0.85);
    }
}
