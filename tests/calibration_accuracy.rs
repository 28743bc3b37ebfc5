//! Calibration against published lights and against itself by other means.

mod support;

use lumiface::calibrate::{
    ChromeSphere, Circle, FacePrior, Outline, chrome_sphere, matte_sphere, read_directions,
    uncalibrated,
};
use lumiface::geometry::{Vec3, angle_between_deg, light_from_yaleb_angles};
use lumiface::io::{read_grey, read_mask};
use lumiface::maps::{ImageStack, Pixels, Plane};
use std::fs;
use std::path::{Path, PathBuf};

/// Grey images of one size as shares of full scale.
fn stack(paths: &[PathBuf]) -> ImageStack {
    let images: Vec<_> = paths.iter().map(|p| read_grey(p).unwrap()).collect();
    let size = images[0].size;
    let mut shares = Vec::with_capacity(images.len() * size.area());
    for image in &images {
        assert_eq!(image.size, size);
        let unit = 1.0 / image.pixels.full_scale();
        shares.extend((0..size.area()).map(|p| image.pixels.get(p) * unit));
    }
    ImageStack::new(size, images.len(), Pixels::F32(shares))
}

fn errors_deg(got: &[Vec3], want: &[Vec3]) -> Vec<f32> {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| angle_between_deg(*a, *b)).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// Twelve images of one of the UW set's objects, and its mask.
fn uw(root: &Path, object: &str) -> (ImageStack, Outline) {
    let folder = root.join("psmImages").join(object);
    let files: Vec<_> = (0..12).map(|i| folder.join(format!("{object}.{i}.tga"))).collect();
    let mask = read_mask(&folder.join(format!("{object}.mask.tga"))).unwrap();
    (stack(&files), Outline::from_mask(&mask).unwrap())
}

#[test]
fn uw_spheres_agree_with_each_other_and_the_given_lights() {
    let Some(folder) = support::unpacked("uw_psm.tar.xz") else { return };
    let given = read_directions(&folder.path().join("psmImages/lights.txt")).unwrap();
    let (chrome_images, outline) = uw(folder.path(), "chrome");
    let circle = outline.circle;
    let sphere = ChromeSphere { outline, radius_mm: None };
    let chrome = chrome_sphere(&chrome_images, &sphere, None).unwrap();
    let (images, outline) = uw(folder.path(), "gray");
    let matte = matte_sphere(&images, &outline, None).unwrap();
    let (chrome_lights, matte_lights) = (chrome.lights().directions, matte.lights().directions);
    let to_given = mean(&errors_deg(&chrome_lights, &given));
    let matte_to_given = mean(&errors_deg(&matte_lights, &given));
    let between = mean(&errors_deg(&chrome_lights, &matte_lights));
    println!("chrome to given {to_given:.2}°, matte to given {matte_to_given:.2}°");
    println!("chrome to matte {between:.2}°");
    // The gray sphere, which shows no highlight, is nearer to our highlights than to the given
    // lights.
    assert!(between < matte_to_given, "chrome {between}° from matte, given {matte_to_given}°");

    // The given lights are centroids of more than the highlight: of the stray light at the
    // sphere's rim too. One share of it, the same for all lights, leads from ours to them.
    let stray: Vec<[f64; 2]> = (0..12).map(|i| centroid(&chrome_images, i, circle)).collect();
    let mixed_error = |share: f64| {
        let lights: Vec<Vec3> = chrome_lights
            .iter()
            .zip(&stray)
            .map(|(l, stray)| {
                let h = (l + Vec3::z()).normalize();
                let nx = (stray[0] - circle.column) / circle.radius;
                let ny = -(stray[1] - circle.row) / circle.radius;
                let mix = |a: f32, b: f64| a * (1.0 - share) as f32 + (b * share) as f32;
                let (x, y) = (mix(h.x, nx), mix(h.y, ny));
                let n = Vec3::new(x, y, (1.0 - x * x - y * y).sqrt());
                n * (2.0 * n.z) - Vec3::z()
            })
            .collect();
        mean(&errors_deg(&lights, &given))
    };
    let (share, error) = (0..=20)
        .map(|i| (f64::from(i) / 20.0, mixed_error(f64::from(i) / 20.0)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap();
    println!("with {share} of the way to the centroid of all light: {error:.2}° to given");
    assert!(error <= 1.5, "{error}° from the given lights at best, share {share}");
}

/// Centroid (column, row) of all light in a circle.
fn centroid(images: &ImageStack, image: usize, circle: Circle) -> [f64; 2] {
    let mut sums = [0.0; 3];
    for p in 0..images.size.area() {
        let at = [(p % images.size.width) as f64, (p / images.size.width) as f64];
        if circle.distance(at) < 0.0 {
            let value = f64::from(images.pixels.get(image * images.size.area() + p));
            sums[0] += value * at[0];
            sums[1] += value * at[1];
            sums[2] += value;
        }
    }
    [sums[0] / sums[2], sums[1] / sums[2]]
}

#[test]
fn psbox_probes_give_their_published_directions() {
    let Some(folder) = support::unpacked("psbox.tar.xz") else { return };
    for probe in 1..=2 {
        let folder = folder.path().join(format!("data/LightProbe-{probe}"));
        let files: Vec<_> = (1..=12).map(|i| folder.join(format!("Image_{i:02}.JPG"))).collect();
        let images = stack(&files);
        let numbers = |name: &str| -> Vec<f64> {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            text.split_whitespace().map(|v| v.parse().unwrap()).collect()
        };
        // Centre x, centre y, radius; from 1, with y counted from the image's lower edge.
        let circle = numbers("circle_data.txt");
        let height = images.size.height as f64;
        let circle = Circle { column: circle[0] - 1.0, row: height - circle[1], radius: circle[2] };
        // Three rows: all x, all y, all z.
        let d = numbers("light_directions.txt");
        let given: Vec<Vec3> =
            (0..12).map(|i| Vec3::new(d[i] as f32, d[12 + i] as f32, d[24 + i] as f32)).collect();
        let sphere = ChromeSphere { outline: Outline::from_circle(circle), radius_mm: None };
        let got = chrome_sphere(&images, &sphere, None).unwrap();
        let errors = errors_deg(&got.lights().directions, &given);
        println!("probe {probe}: {:.2} {errors:.2?} {:?}", mean(&errors), got.warnings);
        assert!(mean(&errors) <= 1.5, "probe {probe}: mean {}°, {errors:?}", mean(&errors));
    }
}

/// A person's images under the lights in range, and those lights.
fn yale_person(folder: &Path) -> (ImageStack, Vec<Vec3>) {
    let mut found: Vec<(PathBuf, f32, f32)> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.strip_suffix(".pgm")?.to_string();
            let (_, angles) = name.split_once("_P00A")?;
            let (azimuth, elevation) = angles.split_once('E')?;
            Some((path, azimuth.parse().ok()?, elevation.parse().ok()?))
        })
        .filter(|(_, a, e): &(PathBuf, f32, f32)| a.abs() <= 70.0 && e.abs() <= 45.0)
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let files: Vec<_> = found.iter().map(|f| f.0.clone()).collect();
    (stack(&files), found.iter().map(|f| light_from_yaleb_angles(f.1, f.2)).collect())
}

/// Mean angle to the truth after the bas-relief transform that makes it least:
/// `s' ∝ (s_x, s_y, μ s_x + ν s_y + λ s_z)`, λ of either sign; a pattern search.
fn error_after_gbr(got: &[Vec3], want: &[Vec3]) -> f32 {
    let error = |q: &[f32; 3]| {
        let moved: Vec<Vec3> =
            got.iter().map(|s| Vec3::new(s.x, s.y, q[0] * s.x + q[1] * s.y + q[2] * s.z)).collect();
        mean(&errors_deg(&moved, want))
    };
    let mut best = [0.0, 0.0, 1.0];
    let mut step = 0.2;
    while step > 1e-4 {
        let before = error(&best);
        for i in 0..3 {
            for sign in [-1.0, 1.0] {
                let mut next = best;
                next[i] += sign * step;
                if error(&next) < error(&best) {
                    best = next;
                }
            }
        }
        if error(&best) >= before {
            step /= 2.0;
        }
    }
    error(&best)
}

#[test]
fn yale_b_lights_are_found_without_any_calibration() {
    let Some(folder) = support::unpacked("extended_yale_b_cropped_15.tar.xz") else { return };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut people: Vec<_> = fs::read_dir(folder.path().join("CroppedYale"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    people.sort();
    assert_eq!(people.len(), 15);
    for person in people {
        let (images, truth) = yale_person(&person);
        // The crops hold nothing but the face.
        let mask = Plane::filled(images.size, true);
        let got = uncalibrated(&images, &mask, &FacePrior::default()).unwrap();
        let found = got.calibration.lights().directions;
        let errors = errors_deg(&found, &truth);
        before.push(mean(&errors));
        after.push(error_after_gbr(&found, &truth));
        println!(
            "{}: {:.2}° as found, {:.2}° after the allowed ambiguity",
            person.file_name().unwrap().display(),
            mean(&errors),
            after.last().unwrap(),
        );
    }
    println!("mean {:.2}° as found, {:.2}° after the ambiguity", mean(&before), mean(&after));
    assert!(mean(&after) <= 8.0, "{after:?}");
}
