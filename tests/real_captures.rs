//! The stereo half on real captures and published truth.

mod support;

use lumiface::capture::{Layout, LayoutOptions, YaleBRecipe, find_captures};
use lumiface::geometry::Vec3;
use lumiface::integrate::{MAX_SLOPE, frankot_chellappa};
use lumiface::maps::{Lights, NormalMap};
use lumiface::reconstruct::{Compute, Reconstruction, reconstruct};
use lumiface::stereo::LeastSquares;
use std::fs;
use support::captures::{true_normals, yaleb};

/// The real quartet in its layout, and its maps.
fn photoface() -> Option<Reconstruction> {
    let session = support::test_data("photoface/session")?;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("1001/s1");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(session).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let found = find_captures(Layout::Photoface, root.path(), &LayoutOptions::default()).unwrap();
    assert_eq!((found.captures.len(), found.problems.len()), (1, 0), "{:?}", found.problems);
    let capture = found.captures[0].load().unwrap();
    Some(reconstruct(&capture, &Default::default(), &Compute::Cpu).unwrap())
}

/// Mean of a component of the normals over a rectangle of the face.
fn mean_normal(
    normals: &NormalMap,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Vec3 {
    let mut sum = Vec3::zeros();
    for r in rows {
        for c in columns.clone() {
            let n = normals.at(r * normals.size.width + c);
            if n.x.is_finite() {
                sum += n;
            }
        }
    }
    sum.normalize()
}

#[test]
fn the_photoface_man_looks_at_the_camera_with_his_nose() {
    let Some(maps) = photoface() else { return };
    // The face, hair and shirt left out; the nose tip lies near (400, 265).
    let (rows, columns) = (230..560, 130..410);
    let mut nearest = (0, 0, f32::NEG_INFINITY);
    let mut farthest = f32::INFINITY;
    for r in rows.clone() {
        for c in columns.clone() {
            let z = *maps.depth.at(r, c);
            if z > nearest.2 {
                nearest = (r, c, z);
            }
            if z < farthest {
                farthest = z;
            }
        }
    }
    let (row, column, z) = nearest;
    assert!(row.abs_diff(400) < 30 && column.abs_diff(265) < 30, "nearest at ({row}, {column})");
    // The nose stands out. By how much is not asserted: anatomy says a third to a half of an
    // eye-to-eye distance of about 130 px, but this session's light file puts the lamps 16–20° off
    // the axis, which makes every slope about twice as steep (docs/results.md).
    let cheek = |c: usize| *maps.depth.at(430, c);
    for c in [190, 335] {
        let rise = z - cheek(c);
        assert!(rise > 20.0, "the nose rises {rise} px over the cheek at {c}");
    }

    // Cheeks lean to their own side, the forehead up, the face as a whole toward the camera.
    assert!(mean_normal(&maps.normals, 380..460, 130..170).x < -0.3, "left cheek");
    assert!(mean_normal(&maps.normals, 380..460, 360..400).x > 0.3, "right cheek");
    assert!(mean_normal(&maps.normals, 190..230, 230..300).y > 0.1, "forehead");
    assert!(mean_normal(&maps.normals, 230..560, 130..410).z > 0.9, "the face as a whole");
}

#[test]
fn glasses_and_shadows_do_not_tear_the_photoface_depth_apart() {
    let Some(maps) = photoface() else { return };
    let (mut undefined, mut steepest, mut pixels) = (0, 0.0f32, 0);
    for r in 230..560 {
        for c in 150..380 {
            pixels += 1;
            let (z, right, below) =
                (*maps.depth.at(r, c), *maps.depth.at(r, c + 1), *maps.depth.at(r + 1, c));
            if z.is_nan() {
                undefined += 1;
            }
            steepest = steepest.max((right - z).abs()).max((below - z).abs());
        }
    }
    assert_eq!(undefined, 0, "holes among {pixels} pixels of the face");
    assert!(steepest < MAX_SLOPE, "a step of {steepest} px between neighbours");
}

#[test]
fn yale_b_makes_disjoint_sessions_of_all_fifteen_people() {
    let Some((_folder, root)) = yaleb() else { return };
    let found = find_captures(Layout::YaleB, &root, &LayoutOptions::default()).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    let people: std::collections::BTreeSet<_> = found.captures.iter().map(|c| &c.id).collect();
    assert_eq!(people.len(), 15);
    for id in people {
        let sessions: Vec<_> = found.captures.iter().filter(|c| c.id == *id).collect();
        assert!(sessions.len() >= 8, "{id} has {} sessions", sessions.len());
        let images: Vec<_> = sessions.iter().flat_map(|s| &s.images).collect();
        let distinct: std::collections::BTreeSet<_> = images.iter().collect();
        assert_eq!(images.len(), distinct.len(), "{id}: an image in two sessions");
    }
    // The set's authors removed a few bad images of these.
    let with_gaps = found.captures.iter().find(|c| c.id == "yaleB12").unwrap();
    assert!(with_gaps.warnings[0].contains("5 of 64"), "{:?}", with_gaps.warnings);
}

/// Sum of |∂p/∂y − ∂q/∂x| over the image: zero for the normals of a surface. Slopes are means
/// over blocks, so that noise does not drown the rest.
fn curl(normals: &NormalMap) -> f64 {
    const BLOCK: usize = 4;
    let (height, width) = (normals.size.height / BLOCK, normals.size.width / BLOCK);
    let slope = |component: &[f32], i: usize| {
        let (row, column) = (i / width * BLOCK, i % width * BLOCK);
        let block =
            (0..BLOCK * BLOCK).map(|k| (row + k / BLOCK) * normals.size.width + column + k % BLOCK);
        block.map(|p| -component[p] / normals.z()[p].max(0.2)).sum::<f32>()
    };
    let mut sum = 0.0;
    for r in 0..height - 1 {
        for c in 0..width - 1 {
            let i = r * width + c;
            // Rows run down, so a row step is −1 in y.
            let dp_dy = -(slope(normals.x(), i + width) - slope(normals.x(), i));
            let dq_dx = slope(normals.y(), i + 1) - slope(normals.y(), i);
            let term = f64::from((dp_dy - dq_dx).abs());
            if term.is_finite() {
                sum += term;
            }
        }
    }
    sum
}

#[test]
fn the_other_sign_of_yale_b_azimuth_makes_no_surface() {
    let Some((_folder, root)) = yaleb() else { return };
    let recipe = YaleBRecipe { lights_per_session: 30, ..Default::default() };
    let options = LayoutOptions { recipe: Some(recipe), labels: None };
    let found = find_captures(Layout::YaleB, &root, &options).unwrap();
    assert_eq!(found.captures.len(), 15);
    let (mut ours, mut mirrored) = (0.0, 0.0);
    for source in &found.captures {
        let capture = source.load().unwrap();
        let mut other = capture.lights.clone();
        other.directions.iter_mut().for_each(|l| l.x = -l.x);
        let solve =
            |lights: &Lights| LeastSquares::new(lights).unwrap().solve(&capture.images).normals;
        ours += curl(&solve(&capture.lights));
        mirrored += curl(&solve(&other));
    }
    assert!(mirrored > 1.5 * ours, "curl {ours:.0} as documented, {mirrored:.0} mirrored");
}

#[test]
fn the_diligent_ball_is_nearest_where_it_faces_the_camera() {
    let Some(folder) = support::test_data("diligent/ballPNG") else { return };
    let mask = lumiface::io::read_mask(&folder.join("mask.png")).unwrap();
    let normals = true_normals(&folder.join("normal_gt.npy"), mask.size);
    let depth = frankot_chellappa(&normals, &mask);
    // A ball: the nearest point is where the normal looks at the camera.
    let nearest = (0..mask.size.area())
        .filter(|&p| mask.data[p])
        .max_by(|&a, &b| depth.data[a].total_cmp(&depth.data[b]))
        .unwrap();
    assert!(normals.at(nearest).z > 0.99, "nearest where the normal is {:?}", normals.at(nearest));
}
