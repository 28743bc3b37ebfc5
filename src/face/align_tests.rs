//! Aligning an analytic sphere: images before solving, and maps after.

use super::align::*;
use super::landmarks::{Detection, FaceBox, PixelPoint};
use super::similarity::{Similarity, template};
use super::warp::Warp;
use crate::geometry::{Vec3, angle_between_deg};
use crate::maps::{ImageStack, Lights, NormalMap, Pixels, Plane, Size};
use crate::stereo::LeastSquares;

const SOURCE: Size = Size { height: 400, width: 360 };
const RADIUS: f64 = 150.0;
const CENTRE: [f64; 2] = [171.3, 208.6];

/// Normal and depth of the sphere at a position, where it faces the camera well.
fn sphere(column: f64, row: f64) -> Option<(Vec3, f64)> {
    let (x, y) = ((column - CENTRE[0]) / RADIUS, (CENTRE[1] - row) / RADIUS);
    let z = (1.0 - x * x - y * y).sqrt();
    (z > 0.5).then(|| (Vec3::new(x as f32, y as f32, z as f32), RADIUS * z))
}

fn sphere_maps() -> FaceMaps {
    let at = |r: usize, c: usize| sphere(c as f64, r as f64);
    let mask = Plane::from_fn(SOURCE, |r, c| at(r, c).is_some());
    let unset = Vec3::repeat(f32::NAN);
    let value = |of: fn(usize, usize) -> f32| Plane::from_fn(SOURCE, of).masked(&mask);
    let mut depth = Plane::from_fn(SOURCE, |r, c| at(r, c).map_or(f32::NAN, |s| s.1 as f32));
    let sum: f64 = depth.data.iter().filter(|z| !z.is_nan()).map(|z| f64::from(*z)).sum();
    let mean = (sum / mask.count() as f64) as f32;
    depth.data.iter_mut().for_each(|z| *z -= mean);
    FaceMaps {
        normals: NormalMap::from_fn(SOURCE, |r, c| at(r, c).map_or(unset, |s| s.0)),
        albedo: value(|r, c| 0.5 + 0.001 * r as f32 - 0.0005 * c as f32),
        albedo_rgb: Some([value(|_, _| 0.6), value(|r, _| 0.001 * r as f32), value(|_, _| 0.2)]),
        depth,
        residual: value(|_, _| 0.01),
        confidence: value(|r, c| if (r, c) == (200, 170) { 0.01 } else { 1.0 }),
        mask,
    }
}

fn lights() -> Lights {
    let tilted = [(0.5, 0.1), (-0.4, 0.3), (0.05, -0.5), (0.1, 0.5)];
    Lights::directional(tilted.map(|(x, y)| Vec3::new(x, y, 1.0).normalize()).to_vec())
}

/// Lambertian images of the sphere: smooth beyond its mask, so that nothing but noise of rounding
/// stands between the normals.
fn images() -> ImageStack {
    let lights = lights();
    let mut values = Vec::new();
    for l in &lights.directions {
        for r in 0..SOURCE.height {
            for c in 0..SOURCE.width {
                let n = sphere(c as f64, r as f64).map_or(Vec3::repeat(f32::NAN), |s| s.0);
                values.push(0.7 * n.dot(l));
            }
        }
    }
    ImageStack::new(SOURCE, lights.len(), Pixels::F32(values))
}

fn moved() -> Warp {
    let target = Size::new(190, 180);
    let to = PixelPoint::new(95.0, 91.0);
    let similarity = Similarity::about(PixelPoint::new(CENTRE[0], CENTRE[1]), 0.37, 25.0, to);
    Warp { similarity, source: SOURCE, target }
}

/// Mean and largest angle to the sphere's normals as the warp shows them.
fn error_deg(normals: &NormalMap, warp: &Warp) -> (f64, f32, usize) {
    let inverse = warp.similarity.inverse();
    let (mut sum, mut most, mut count) = (0.0, 0.0f32, 0);
    for p in 0..normals.size.area() {
        let (row, column) = (p / normals.size.width, p % normals.size.width);
        let from = inverse.apply(PixelPoint::new(column as f64, row as f64));
        let Some((truth, _)) = sphere(from.column, from.row) else { continue };
        if normals.at(p).x.is_nan() {
            continue;
        }
        let error = angle_between_deg(normals.at(p), warp.similarity.turn_vector(truth));
        sum += f64::from(error);
        most = most.max(error);
        count += 1;
    }
    (sum / f64::from(count), most, count as usize)
}

#[test]
fn aligned_maps_and_solved_aligned_images_have_the_sphere_s_turned_normals() {
    let warp = moved();
    let maps = sphere_maps().warped(&warp);
    let (mean, most, count) = error_deg(&maps.normals, &warp);
    assert!(mean < 0.1 && most < 0.2, "{mean}°, at most {most}°");
    assert!(count > 6000, "{count} pixels");

    let solver = LeastSquares::new(&warp.lights(&lights())).unwrap();
    let solved = solver.solve(&warp.images(&images()));
    let (mean, most, count) = error_deg(&solved.normals, &warp);
    assert!(mean < 0.1 && most < 0.2, "{mean}°, at most {most}°");
    assert!(count > 6000, "{count} pixels");
    let apart: Vec<f32> = (0..warp.target.area())
        .map(|p| angle_between_deg(solved.normals.at(p), maps.normals.at(p)))
        .filter(|angle| !angle.is_nan())
        .collect();
    assert!(apart.iter().all(|angle| *angle < 0.1), "{:?}", apart.iter().copied().reduce(f32::max));

    // With the lights left as they were the normals would not turn with the picture.
    let wrong = LeastSquares::new(&lights()).unwrap().solve(&warp.images(&images()));
    assert!(error_deg(&wrong.normals, &warp).0 > 5.0);
}

#[test]
fn the_slopes_of_aligned_depth_are_those_of_aligned_normals() {
    let maps = sphere_maps().warped(&moved());
    let Size { height, width } = maps.mask.size;
    let mut count = 0;
    for r in 1..height - 1 {
        for c in 1..width - 1 {
            let p = r * width + c;
            let around = [p, p - 1, p + 1, p - width, p + width];
            if around.iter().any(|&q| !maps.mask.data[q]) {
                continue;
            }
            let z = |q: usize| maps.depth.data[q];
            let slopes = [(z(p + 1) - z(p - 1)) / 2.0, (z(p - width) - z(p + width)) / 2.0];
            let from_depth = Vec3::new(-slopes[0], -slopes[1], 1.0);
            let angle = angle_between_deg(from_depth, maps.normals.at(p));
            assert!(angle < 0.3, "{angle}° at ({r}, {c})");
            count += 1;
        }
    }
    assert!(count > 5000, "{count}");
    let defined = maps.depth.data.iter().filter(|z| !z.is_nan()).map(|z| f64::from(*z));
    assert!((defined.sum::<f64>() / maps.mask.count() as f64).abs() < 1e-4);
}

#[test]
fn there_and_back_gives_the_maps_again_and_the_identity_their_bits() {
    let maps = sphere_maps();
    let same = maps.warped(&Warp::identity(SOURCE));
    let bits = |plane: &Plane<f32>| plane.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&same.depth), bits(&maps.depth));
    assert_eq!(bits(&same.albedo), bits(&maps.albedo));
    assert_eq!(bits(&same.confidence), bits(&maps.confidence));
    let normals =
        |maps: &FaceMaps| bits(&Plane::new(Size::new(3, SOURCE.area()), maps.normals.data.clone()));
    assert_eq!((normals(&same), &same.mask), (normals(&maps), &maps.mask));
    // Options that ask for nothing lead there too.
    let alignment = AlignOptions::default().alignment(SOURCE, None).unwrap();
    assert!(alignment.warp.is_identity() && alignment.residual_px.is_none());

    // Enlarged and turned, then back.
    let target = Size::new(1100, 1100);
    let (from, to) = (PixelPoint::centre_of(SOURCE), PixelPoint::centre_of(target));
    let there = Warp { similarity: Similarity::about(from, 2.0, 25.0, to), source: SOURCE, target };
    let back = Warp { similarity: there.similarity.inverse(), source: target, target: SOURCE };
    let again = maps.warped(&there).warped(&back);
    assert!(again.mask.count() as f64 > 0.96 * maps.mask.count() as f64, "{}", again.mask.count());
    let mut offset: Option<f32> = None;
    for p in (0..SOURCE.area()).filter(|&p| again.mask.data[p]) {
        assert!(maps.mask.data[p]);
        let angle = angle_between_deg(again.normals.at(p), maps.normals.at(p));
        assert!(angle < 0.1, "{angle}° at {p}");
        assert!((again.albedo.data[p] - maps.albedo.data[p]).abs() < 1e-5);
        // The mean is over a smaller mask.
        let difference = again.depth.data[p] - maps.depth.data[p];
        let offset = *offset.get_or_insert(difference);
        assert!((difference - offset).abs() < 0.02, "{difference} at {p}");
    }
}

#[test]
fn a_bad_pixel_tells_in_the_confidence_without_ruling_it() {
    let warp = moved();
    let maps = sphere_maps().warped(&warp);
    let at = warp.similarity.apply(PixelPoint::new(170.0, 200.0));
    let confidence = *maps.confidence.at(at.row.round() as usize, at.column.round() as usize);
    assert!((0.03..0.5).contains(&confidence), "{confidence}");
    assert!((maps.confidence.at(120, 90) - 1.0).abs() < 1e-6);
    let residual = maps.residual.data.iter().filter(|v| !v.is_nan());
    assert!(residual.into_iter().all(|v| (v - 0.01).abs() < 1e-6));
    let [red, green, _] = maps.albedo_rgb.as_ref().unwrap();
    assert!((red.at(91, 95) - 0.6).abs() < 1e-6 && (green.at(91, 95) - 0.2086).abs() < 1e-4);
}

fn face() -> Detection {
    let place =
        Similarity::about(PixelPoint::new(55.5, 55.5), 1.4, -12.0, PixelPoint::new(160.0, 190.0));
    Detection {
        bounds: FaceBox { left: 99.5, top: 119.5, right: 219.5, bottom: 279.5 },
        score: 0.99,
        landmarks: template(112, 0.0).map(|p| place.apply(p)),
    }
}

#[test]
fn a_crop_is_the_square_about_the_box_and_a_similarity_the_template() {
    let options = AlignOptions { align: Align::Crop, side: 80, margin: 0.0 };
    let crop = options.alignment(SOURCE, Some(&face())).unwrap().warp;
    let s = crop.similarity;
    assert!((s.scale() - 0.5).abs() < 1e-12 && s.b == 0.0);
    // The box's upper and lower edge are the crop's.
    for (row, want) in [(119.5, -0.5), (279.5, 79.5)] {
        let got = s.apply(PixelPoint::new(159.5, row));
        assert!((got.row - want).abs() < 1e-9 && (got.column - 39.5).abs() < 1e-9, "{got:?}");
    }
    let wide = AlignOptions { margin: 0.25, ..options }.alignment(SOURCE, Some(&face())).unwrap();
    assert!((wide.warp.similarity.scale() - 0.5 / 1.5).abs() < 1e-12);

    let options = AlignOptions { align: Align::Similarity, side: 256, margin: 0.1 };
    let aligned = options.alignment(SOURCE, Some(&face())).unwrap();
    assert!(aligned.residual_px.unwrap() < 1e-9, "{aligned:?}");
    assert!((aligned.warp.similarity.turn_deg() - 12.0).abs() < 1e-9);
    let eye = aligned.warp.similarity.apply(face().landmarks.left_eye);
    assert!(eye.distance_to(template(256, 0.1).left_eye) < 1e-9);
}

#[test]
fn what_cannot_be_aligned_is_refused() {
    let ask = |options: AlignOptions, face: Option<&Detection>| options.alignment(SOURCE, face);
    let crop = AlignOptions { align: Align::Crop, ..Default::default() };
    assert_eq!(ask(crop, None), Err(AlignError::NoFace));
    assert_eq!(ask(AlignOptions { side: 8, ..crop }, Some(&face())), Err(AlignError::Side(8)));
    let margin = AlignOptions { margin: f64::NAN, ..crop };
    assert!(matches!(ask(margin, Some(&face())), Err(AlignError::Margin(_))));
    let mut flat = face();
    flat.bounds.right = flat.bounds.left;
    assert_eq!(ask(crop, Some(&flat)), Err(AlignError::EmptyBox));
    flat.landmarks = flat.landmarks.map(|_| PixelPoint::new(1.0, 1.0));
    let similarity = AlignOptions { align: Align::Similarity, ..crop };
    assert!(matches!(ask(similarity, Some(&flat)), Err(AlignError::Landmarks(_))));
    for align in [Align::None, Align::Crop, Align::Similarity] {
        assert_eq!(align.name().parse(), Ok(align));
        assert_eq!(serde_json::to_string(&align).unwrap(), format!("\"{}\"", align.name()));
    }
    assert!("square".parse::<Align>().unwrap_err().contains("none, crop, similarity"));
}
