//! Masked integration against surfaces whose depth is known: by formula, and DiLiGenT's scans.

#[path = "support/npz.rs"]
mod npz;
mod support;

use lumiface::geometry::{Camera, Vec3};
use lumiface::integrate::{BilateralOptions, bilateral, distance_along_axis, poisson};
use lumiface::maps::{DepthMap, Mask, NormalMap, Plane, Size};

type Integrator = fn(&NormalMap, &Mask, Option<&Camera>) -> DepthMap;

fn bilateral_as_published(normals: &NormalMap, mask: &Mask, camera: Option<&Camera>) -> DepthMap {
    bilateral(normals, mask, camera, &BilateralOptions::default())
}

const BOTH: [(&str, Integrator); 2] = [("poisson", poisson), ("bilateral", bilateral_as_published)];

fn camera() -> Camera {
    Camera { focal_px: [180.0, 171.0], centre_px: [41.5, 30.0] }
}

/// A disc with a hole, a bay of one pixel's width and a ragged rim: nothing for a rectangle.
/// One component.
fn ragged_mask(size: Size) -> Mask {
    let (middle_row, middle_column) = (size.height as f32 / 2.0, size.width as f32 / 2.0);
    let radius = middle_row.min(middle_column) - 1.0;
    let candidates = Plane::from_fn(size, |r, c| {
        let distance = (r as f32 + 0.5 - middle_row).hypot(c as f32 + 0.5 - middle_column);
        let hole = (r as f32 - middle_row * 0.7).hypot(c as f32 - middle_column) < radius * 0.2;
        let bay = c == size.width / 2 && r > size.height / 2;
        let ragged = (r * 7 + c * 13).is_multiple_of(5);
        distance < radius && !hole && !bay && (distance < radius - 2.0 || !ragged)
    });
    let mut mask = Plane::filled(size, false);
    let mut reached = vec![(size.height / 2, size.width / 4)];
    while let Some((r, c)) = reached.pop() {
        if r < size.height && c < size.width && *candidates.at(r, c) && !*mask.at(r, c) {
            mask.data[r * size.width + c] = true;
            let (up, left) = (r.wrapping_sub(1), c.wrapping_sub(1));
            reached.extend([(up, c), (r + 1, c), (r, left), (r, c + 1)]);
        }
    }
    assert!(3 * mask.count() > size.height * size.height, "the disc is there");
    mask
}

/// Truth less its mean over the mask, which must be connected.
fn centred(truth: Plane<f64>, mask: &Mask) -> Plane<f64> {
    let values = truth.data.iter().zip(&mask.data).filter(|&(_, &defined)| defined);
    let mean = values.map(|(z, _)| z).sum::<f64>() / mask.count() as f64;
    Plane::new(truth.size, truth.data.iter().map(|z| z - mean).collect())
}

fn largest_error(depth: &DepthMap, truth: &Plane<f64>, mask: &Mask) -> f64 {
    let mut largest = 0.0f64;
    for (i, (&z, &truth)) in depth.data.iter().zip(&truth.data).enumerate() {
        assert_eq!(z.is_finite(), mask.data[i], "pixel {i}: depth {z}");
        if mask.data[i] {
            largest = largest.max((f64::from(z) - truth).abs());
        }
    }
    largest
}

/// Depth that a camera sees, from distances: `f (1 − Z/Z̄)`.
fn depth_of_distance(distance: Plane<f64>, mask: &Mask, camera: &Camera) -> Plane<f64> {
    let values = distance.data.iter().zip(&mask.data).filter(|&(_, &defined)| defined);
    let mean = values.map(|(z, _)| z).sum::<f64>() / mask.count() as f64;
    let depth = |z: &f64| camera.focal_px[0] * (1.0 - z / mean);
    Plane::new(distance.size, distance.data.iter().map(depth).collect())
}

#[test]
fn a_plane_is_exact_in_parallel_and_in_perspective_view() {
    let size = Size::new(60, 83);
    let mask = ragged_mask(size);
    let normal = Vec3::new(-0.5, 0.3, 0.7).normalize();
    let normals = NormalMap::from_fn(size, |_, _| normal).masked(&mask);
    let n = normal.cast::<f64>();
    // n · (c, −r, z) is the same everywhere; rows run down.
    let parallel = Plane::from_fn(size, |r, c| (n.y * r as f64 - n.x * c as f64) / n.z);
    let parallel = centred(parallel, &mask);
    // n · Z ray is the same everywhere.
    let distance = Plane::from_fn(size, |r, c| -1.0 / n.dot(&camera().ray(r as f64, c as f64)));
    let perspective = depth_of_distance(distance, &mask, &camera());
    for (name, integrate) in BOTH {
        let error = largest_error(&integrate(&normals, &mask, None), &parallel, &mask);
        assert!(error < 2e-3, "{name}: off by {error} px over a plane of 50 px");
        let depth = integrate(&normals, &mask, Some(&camera()));
        let error = largest_error(&depth, &perspective, &mask);
        assert!(error < 2e-3, "{name}, perspective: off by {error} px");
    }
}

#[test]
fn a_sphere_cap_is_exact_in_parallel_and_in_perspective_view() {
    let size = Size::new(61, 84);
    // Up to 66° from the line of sight.
    let radius = 32.0f64;
    let (row, column) = (30.0, 41.5);
    let offsets = |r: usize, c: usize| (c as f64 - column, row - r as f64);
    let mask = ragged_mask(size);
    let height = |r: usize, c: usize| {
        let (x, y) = offsets(r, c);
        (radius * radius - x * x - y * y).sqrt()
    };
    let normals = NormalMap::from_fn(size, |r, c| {
        let (x, y) = offsets(r, c);
        Vec3::new(x as f32, y as f32, height(r, c) as f32).normalize()
    });
    let truth = centred(Plane::from_fn(size, height), &mask);
    let error = largest_error(&poisson(&normals.masked(&mask), &mask, None), &truth, &mask);
    assert!(error < 2e-3, "off by {error} px of a height of 20 px");

    // The same through a lens: a ball of radius 1 whose centre lies at distance 6.4.
    let centre = camera().ray(row, column).normalize() * 6.4;
    let hit = |r: usize, c: usize| {
        let ray = camera().ray(r as f64, c as f64);
        // |Z ray − centre| = 1, the nearer root.
        let (a, b) = (ray.norm_squared(), ray.dot(&centre));
        (b - (b * b - a * (centre.norm_squared() - 1.0)).sqrt()) / a
    };
    let normal = |r: usize, c: usize| camera().ray(r as f64, c as f64) * hit(r, c) - centre;
    // Up to 78° from the line of sight, where normals are not yet taken as less steep.
    let inner = Plane::from_fn(size, |r, c| {
        let sight = -camera().ray(r as f64, c as f64).normalize();
        *mask.at(r, c) && normal(r, c).dot(&sight) > 0.2
    });
    assert!(inner.count() > 1000, "the ball shows {} pixels", inner.count());
    let normals = NormalMap::from_fn(size, |r, c| normal(r, c).cast()).masked(&inner);
    let distance = Plane::from_fn(size, |r, c| if *inner.at(r, c) { hit(r, c) } else { 0.0 });
    let truth = depth_of_distance(distance, &inner, &camera());
    let error = largest_error(&poisson(&normals, &inner, Some(&camera())), &truth, &inner);
    assert!(error < 5e-3, "perspective: off by {error} px");
}

/// Half of a bump on a floor, cut off behind a vertical face that the camera does not see: it
/// runs out into the floor on one side, and falls by up to its height on the other. Its edge is
/// a little rounded, as edges are: there the normals turn over, which is what a jump shows of
/// itself.
fn half_a_bump(size: Size, height: f64, radius: f64) -> (NormalMap, Plane<f64>) {
    let (row, cut) = (size.height as f64 / 2.0 - 0.5, size.width as f64 / 2.0 - 0.5);
    // height (1 + cos πd)/2, d the distance in radii
    let offset = |r: usize, c: usize| ((c as f64 - cut) / radius, (row - r as f64) / radius);
    let on = |x: f64, y: f64| x < 0.0 && x.hypot(y) < 1.0;
    let pi = std::f64::consts::PI;
    let normals = NormalMap::from_fn(size, |r, c| {
        let (x, y) = offset(r, c);
        let d = x.hypot(y);
        if on(x, y) && !on(x + 1.0 / radius, y) && x > -1.0 / radius {
            return Vec3::new(1.0, 0.0, 0.05).normalize();
        }
        let fall = if on(x, y) { 0.5 * pi * height / radius * (pi * d).sin() / d } else { 0.0 };
        Vec3::new((fall * x) as f32, (fall * y) as f32, 1.0).normalize()
    });
    let truth = Plane::from_fn(size, |r, c| {
        let (x, y) = offset(r, c);
        if on(x, y) { 0.5 * height * (1.0 + (pi * x.hypot(y)).cos()) } else { 0.0 }
    });
    (normals, truth)
}

fn mean_error(depth: &DepthMap, truth: &Plane<f64>) -> f64 {
    let errors = depth.data.iter().zip(&truth.data).map(|(&z, t)| (f64::from(z) - t).abs());
    errors.sum::<f64>() / truth.data.len() as f64
}

#[test]
fn bilateral_keeps_a_jump_that_least_squares_smears() {
    let (size, height) = (Size::new(60, 80), 40.0);
    let mask = Plane::filled(size, true);
    let (normals, truth) = half_a_bump(size, height, 28.0);
    let truth = centred(truth, &mask);
    // Over the rounded edge, which may lie anywhere between.
    let fall = |depth: &DepthMap| depth.at(30, 38) - depth.at(30, 40);
    let smeared = poisson(&normals, &mask, None);
    assert!(fall(&smeared) < 10.0, "least squares falls by {}", fall(&smeared));
    let kept = bilateral_as_published(&normals, &mask, None);
    assert!((35.0..45.0).contains(&fall(&kept)), "40 px of fall became {}", fall(&kept));
    let [smeared, kept] = [&smeared, &kept].map(|depth| mean_error(depth, &truth));
    assert!(3.0 * kept < smeared, "off by {kept} px, least squares by {smeared} px");
}

#[test]
fn both_keep_a_tent() {
    let size = Size::new(40, 51);
    let mask = Plane::filled(size, true);
    let (ridge, slope) = (24.5, 0.8);
    let normals = NormalMap::from_fn(size, |_, c| {
        let dz_dx = if (c as f32) < ridge { slope } else { -slope };
        Vec3::new(-dz_dx, 0.0, 1.0).normalize()
    });
    let truth = Plane::from_fn(size, |_, c| f64::from(-slope * (c as f32 - ridge).abs()));
    let truth = centred(truth, &mask);
    for (name, integrate) in BOTH {
        let error = largest_error(&integrate(&normals, &mask, None), &truth, &mask);
        assert!(error < 2e-3, "{name}: off by {error} px of a ridge of 20 px");
    }
}

#[test]
fn each_component_has_a_depth_of_its_own() {
    // Two plates that only touch at a corner, of opposite slope.
    let size = Size::new(30, 40);
    let left = |r: usize, c: usize| r < 14 && c < 20;
    let right = |r: usize, c: usize| r >= 14 && c >= 20;
    let mask = Plane::from_fn(size, |r, c| left(r, c) || right(r, c));
    let normals = NormalMap::from_fn(size, |r, _| {
        let dz_dx = if r < 14 { 0.5 } else { -1.5 };
        Vec3::new(-dz_dx, 0.0, 1.0).normalize()
    })
    .masked(&mask);
    let truth = Plane::from_fn(size, |r, c| {
        if left(r, c) { 0.5 * (c as f64 - 9.5) } else { -1.5 * (c as f64 - 29.5) }
    });
    for (name, integrate) in BOTH {
        let error = largest_error(&integrate(&normals, &mask, None), &truth, &mask);
        assert!(error < 2e-3, "{name}: off by {error} px");
        // In perspective each has the mean distance 1.
        let distance = distance_along_axis(&integrate(&normals, &mask, Some(&camera())), &camera());
        for (part, inside) in [("left", left as fn(usize, usize) -> bool), ("right", right)] {
            let cells = (0..size.area()).filter(|i| inside(i / size.width, i % size.width));
            let values: Vec<f64> = cells.map(|i| f64::from(distance.data[i])).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((mean - 1.0).abs() < 1e-6, "{name}: {part} has mean distance {mean}");
        }
    }
}

#[test]
fn a_mask_may_be_empty_or_a_pixel_or_a_line() {
    let normal = Vec3::new(-0.6, 0.0, 0.8);
    for (name, integrate) in BOTH {
        for size in [Size::new(0, 0), Size::new(0, 5), Size::new(4, 3)] {
            let normals = NormalMap::from_fn(size, |_, _| normal);
            let depth = integrate(&normals, &Plane::filled(size, false), None);
            assert_eq!(depth.size, size);
            assert!(depth.data.iter().all(|z| z.is_nan()), "{name}, empty {size}");
        }
        let size = Size::new(5, 9);
        let normals = NormalMap::from_fn(size, |_, _| normal);
        let one = Plane::from_fn(size, |r, c| (r, c) == (2, 3));
        let depth = integrate(&normals, &one, Some(&camera()));
        assert_eq!(*depth.at(2, 3), 0.0, "{name}: one pixel");
        let row = Plane::from_fn(size, |r, _| r == 2);
        let depth = integrate(&normals, &row, None);
        for c in 0..9 {
            let (got, want) = (*depth.at(2, c), 0.75 * (c as f32 - 4.0));
            assert!((got - want).abs() < 1e-4, "{name}: column {c} of a row: {got}, want {want}");
        }
        let column = Plane::from_fn(size, |_, c| c == 8);
        let depth = integrate(&normals, &column, None);
        assert!((0..5).all(|r| depth.at(r, 8).abs() < 1e-5), "{name}: a column that is level");
    }
}

#[test]
fn holes_in_the_normals_are_filled_and_bad_normals_do_no_harm() {
    let size = Size::new(50, 50);
    let mask = Plane::filled(size, true);
    let slope = 0.7f32;
    let plane = Vec3::new(-slope, 0.0, 1.0).normalize();
    let hole = |r: usize, c: usize| {
        (20..27).contains(&r) && (18..30).contains(&c) || (r * 31 + c * 17).is_multiple_of(23)
    };
    let normals =
        NormalMap::from_fn(size, |r, c| if hole(r, c) { Vec3::repeat(f32::NAN) } else { plane });
    let truth = Plane::from_fn(size, |_, c| f64::from(slope) * c as f64);
    let truth = centred(truth, &mask);
    for (name, integrate) in BOTH {
        let error = largest_error(&integrate(&normals, &mask, None), &truth, &mask);
        assert!(error < 0.02, "{name}: off by {error} px of 35 px");
    }

    // Zero, edge-on, facing away, and not a number at all.
    let bad = [Vec3::zeros(), Vec3::x(), -Vec3::z(), Vec3::repeat(f32::INFINITY)];
    let normals =
        NormalMap::from_fn(size, |r, c| if hole(r, c) { bad[(r + c) % 4] } else { plane });
    let nothing = NormalMap::from_fn(size, |_, _| Vec3::repeat(f32::NAN));
    for (name, integrate) in BOTH {
        for camera in [None, Some(&camera())] {
            let depth = integrate(&normals, &mask, camera);
            assert!(depth.data.iter().all(|z| z.abs() < 200.0), "{name}: bad normals");
            let depth = integrate(&nothing, &mask, camera);
            assert!(depth.data.iter().all(|&z| z == 0.0), "{name}: no normal at all");
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    // Large enough to be shared out.
    let size = Size::new(300, 260);
    let mask = ragged_mask(size);
    let normals = NormalMap::from_fn(size, |r, c| {
        let (x, y) = ((r as f32 * 0.11).sin() + (c as f32 * 0.037).cos(), (c as f32 * 0.07).sin());
        Vec3::new(x, y, 1.0).normalize()
    });
    for (name, integrate) in BOTH {
        let [one, three] = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| integrate(&normals, &mask, None))
        });
        let bits = |depth: &DepthMap| depth.data.iter().map(|z| z.to_bits()).collect::<Vec<_>>();
        assert!(bits(&one) == bits(&three), "{name}: one thread and three differ");
    }
}

/// Mean absolute error of depth in mm, the estimate scaled by the median of truth/estimate.
fn error_mm(distance: &Plane<f32>, truth_mm: &[f32], mask: &Mask) -> f64 {
    let pairs: Vec<(f64, f64)> = (0..mask.data.len())
        .filter(|&i| mask.data[i])
        .map(|i| (f64::from(truth_mm[i]), f64::from(distance.data[i])))
        .collect();
    let mut ratios: Vec<f64> = pairs.iter().map(|(truth, estimate)| truth / estimate).collect();
    ratios.sort_by(f64::total_cmp);
    let scale = 0.5 * (ratios[(ratios.len() - 1) / 2] + ratios[ratios.len() / 2]);
    pairs.iter().map(|(truth, z)| (truth - scale * z).abs()).sum::<f64>() / pairs.len() as f64
}

#[test]
fn bilateral_reaches_the_published_errors_on_diligent() {
    // Errors in mm that Cao et al. publish for k = 2.
    for (object, published_mm) in [("bear", 0.34), ("cat", 0.08), ("pot1", 0.65), ("reading", 0.26)]
    {
        let Some(folder) = support::test_data(&format!("diligent_normals/{object}")) else {
            return;
        };
        let image = image::open(folder.join("normal_map.png")).expect("a png").into_rgb16();
        let size = Size::new(image.height() as usize, image.width() as usize);
        // The map's frame is ours: x right, y up, z toward the viewer.
        let normals = NormalMap::from_fn(size, |r, c| {
            let pixel = image.get_pixel(c as u32, r as u32).0;
            Vec3::from(pixel.map(|v| f32::from(v) / 65535.0 * 2.0 - 1.0))
        });
        let mask = image::open(folder.join("mask.png")).expect("a png").into_luma8();
        let mask = Plane::new(size, mask.pixels().map(|p| p.0[0] > 0).collect());
        let k = std::fs::read_to_string(folder.join("K.txt")).expect("a text file");
        let k: Vec<f64> = k.split_whitespace().map(|v| v.parse().expect("a number")).collect();
        let camera = Camera { focal_px: [k[0], k[4]], centre_px: [k[2], k[5]] };
        let (shape, truth_mm) = npz::read_f32(&folder.join("depth_gt.npz"));
        assert_eq!(shape, [size.height, size.width]);

        let options = BilateralOptions { k: 2.0, ..Default::default() };
        let depth = bilateral(&normals, &mask, Some(&camera), &options);
        let error = error_mm(&distance_along_axis(&depth, &camera), &truth_mm, &mask);
        let smooth = poisson(&normals, &mask, Some(&camera));
        let smooth = error_mm(&distance_along_axis(&smooth, &camera), &truth_mm, &mask);
        println!("{object}: bilateral {error:.4} mm, least squares {smooth:.4} mm");
        assert!(error <= published_mm, "{object}: {error:.4} mm, published {published_mm}");
    }
}
