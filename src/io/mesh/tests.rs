use super::*;
use crate::maps::Size;

fn tilted(size: Size) -> DepthMap {
    Plane::from_fn(size, |r, c| 0.5 * c as f32 - 0.25 * r as f32)
}

fn face_normal(mesh: &Mesh, triangle: [u32; 3]) -> Vec3 {
    let [a, b, c] = triangle.map(|i| Vec3::from(mesh.positions[i as usize]));
    (b - a).cross(&(c - a))
}

#[test]
fn a_plane_has_its_area_and_faces_the_viewer() {
    let size = Size::new(4, 6);
    let mesh = Mesh::from_grid(&orthographic_positions(&tilted(size)), None, None, None);
    assert_eq!((mesh.positions.len(), mesh.triangles.len()), (24, 2 * 3 * 5));
    // z = 0.5 x + 0.25 y: the normal is (−0.5, −0.25, 1), and 15 px² are seen of it.
    let mut seen = 0.0;
    for &triangle in &mesh.triangles {
        let normal = face_normal(&mesh, triangle);
        assert!((normal / normal.z - Vec3::new(-0.5, -0.25, 1.0)).norm() < 1e-6, "{normal}");
        seen += normal.z / 2.0;
    }
    assert!((seen - 15.0).abs() < 1e-4, "{seen}");
    assert_eq!(mesh.positions[0][..2], [-2.5, 1.5]);
}

#[test]
fn quads_are_split_along_the_shorter_diagonal() {
    // A peak in one corner makes the diagonal through it long.
    for peak in 0..4 {
        let mut depth = Plane::filled(Size::new(2, 2), 0.0);
        depth.data[peak] = 1.0;
        let mesh = Mesh::from_grid(&orthographic_positions(&depth), None, None, None);
        let with_peak = mesh.triangles.iter().filter(|t| t.contains(&(peak as u32))).count();
        assert_eq!((mesh.triangles.len(), with_peak), (2, 1), "peak at {peak}");
        for &triangle in &mesh.triangles {
            assert!(face_normal(&mesh, triangle).z > 0.0, "peak at {peak}: {triangle:?}");
        }
    }
}

#[test]
fn three_defined_corners_make_one_triangle_and_two_make_none() {
    for hole in 0..4 {
        let mut depth = Plane::filled(Size::new(2, 2), 0.0);
        depth.data[hole] = f32::NAN;
        let mesh = Mesh::from_grid(&orthographic_positions(&depth), None, None, None);
        assert_eq!((mesh.positions.len(), mesh.triangles.len()), (3, 1), "hole at {hole}");
        assert!(face_normal(&mesh, mesh.triangles[0]).z > 0.0);
        depth.data[(hole + 1) % 4] = f32::NAN;
        let mesh = Mesh::from_grid(&orthographic_positions(&depth), None, None, None);
        assert_eq!((mesh.positions.len(), mesh.triangles.len()), (0, 0), "hole at {hole}");
    }
}

#[test]
fn a_jump_is_torn_open_and_an_undefined_normal_is_no_corner() {
    let size = Size::new(3, 6);
    let depth = Plane::from_fn(size, |_, c| if c < 3 { 0.0 } else { 10.0 });
    let positions = orthographic_positions(&depth);
    assert_eq!(Mesh::from_grid(&positions, None, None, None).triangles.len(), 20);
    let torn = Mesh::from_grid(&positions, None, None, Some(5.0));
    assert_eq!((torn.positions.len(), torn.triangles.len()), (18, 16));

    let mut normals = NormalMap::from_fn(size, |_, _| Vec3::z());
    normals.data[0] = f32::NAN;
    let mesh = Mesh::from_grid(&positions, Some(&normals), None, None);
    assert_eq!((mesh.positions.len(), mesh.triangles.len()), (17, 19));
    assert_eq!(mesh.normals.unwrap(), [[0.0, 0.0, 1.0]; 17]);
}

#[test]
fn a_pinhole_camera_spreads_a_wall_evenly() {
    let camera = Camera { focal_px: [100.0, 50.0], centre_px: [1.0, 2.0] };
    let mut distance = Plane::filled(Size::new(4, 3), 200.0);
    distance.data[11] = -1.0;
    let positions = perspective_positions(&distance, &camera);
    // 200/100 and 200/50 a pixel; the row below the centre lies below it.
    assert_eq!(*positions.at(2, 1), Vec3::new(0.0, 0.0, -200.0));
    assert_eq!(*positions.at(3, 0), Vec3::new(-2.0, -4.0, -200.0));
    assert!(positions.at(3, 2).x.is_nan());
    let mesh = Mesh::from_grid(&positions, None, None, None);
    assert_eq!(mesh.triangles.len(), 11);
    assert!(mesh.triangles.iter().all(|&t| face_normal(&mesh, t).z > 0.0));
}

#[test]
fn what_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let depth = Plane::filled(Size::new(2, 2), 0.0);
    let mesh = Mesh::from_grid(&orthographic_positions(&depth), None, None, None);
    let message = write_mesh(&folder.path().join("a.stl"), &mesh).unwrap_err().to_string();
    assert!(message.contains("a.stl") && message.contains(".glb"), "{message}");
    let nothing = Mesh { triangles: Vec::new(), ..mesh };
    let message = write_mesh(&folder.path().join("a.ply"), &nothing).unwrap_err().to_string();
    assert!(message.contains("no triangle"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
