//! Meshes as a foreign reader (trimesh, a Python package) sees them.

mod support;

use lumiface::geometry::Vec3;
use lumiface::io::{Mesh, orthographic_positions, write_mesh};
use lumiface::maps::{Albedo, NormalMap, Plane, Size};
use std::process::Command;

/// A quarter of a wavy surface with a hole, a tear, normals and an albedo of three colours.
fn surface() -> Mesh {
    let size = Size::new(9, 12);
    let wave = |r: usize, c: usize| (0.3 * r as f32).sin() + 0.1 * c as f32;
    let depth = Plane::from_fn(size, |r, c| match (r, c) {
        (4, 4) => f32::NAN,
        (_, 9..) => wave(r, c) - 20.0,
        _ => wave(r, c),
    });
    let normals = NormalMap::from_fn(size, |r, _| {
        Vec3::new(-0.1, 0.3 * (0.3 * r as f32).cos(), 1.0).normalize()
    });
    let red = Plane::from_fn(size, |r, _| r as f32 / 8.0);
    let green = Plane::from_fn(size, |_, c| c as f32 / 11.0);
    let blue = Plane::filled(size, 0.2);
    let albedo = Albedo::Rgb([red, green, blue]);
    Mesh::from_grid(&orthographic_positions(&depth), Some(&normals), Some(&albedo), Some(10.0))
}

#[test]
fn a_foreign_reader_finds_what_was_written() {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import trimesh"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let fix = "pip install trimesh and set LUMIFACE_PYTHON";
        return support::skip(&format!("{python} has no trimesh; {fix}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let mesh = surface();
    let truth = serde_json::json!({
        "positions": mesh.positions, "normals": mesh.normals, "colours": mesh.colours,
        "triangles": mesh.triangles,
    });
    let truth_path = folder.path().join("truth.json");
    std::fs::write(&truth_path, truth.to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/read_mesh.py");
    for name in ["surface.ply", "surface.obj", "surface.glb"] {
        let path = folder.path().join(name);
        write_mesh(&path, &mesh).unwrap();
        let output = Command::new(&python).arg(script).args([&path, &truth_path]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
    }
}
