//! The tracer beside an independent one: Mitsuba 3 renders the same scenes.
//!
//! Not run by default, since Mitsuba is large:
//!
//! ```sh
//! pip install mitsuba==3.9.1 numpy
//! LUMIFACE_PYTHON=python3 cargo test --release --test render_reference -- --ignored --nocapture
//! ```

#[path = "support/bumpy_head.rs"]
mod bumpy_head;

use std::io::Write;
use std::path::Path;

use bumpy_head::head;
use lumiface::geometry::light_from_zenith_azimuth;
use lumiface::maps::Size;
use lumiface::synth::render::{Frame, HeadPose, Light, Options, Scene, View, image, truth};
use lumiface::synth::surface::{Material, Part, Surface};

const SIZE: Size = Size { height: 128, width: 112 };
const FOCAL_PX: f64 = 420.0;
const AWAY_MM: f32 = 900.0;

/// Triangles with normals and colours; all lengths in the camera frame.
fn write_ply(path: &Path, surface: &Surface, pose: &HeadPose) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(file, "ply\nformat ascii 1.0\nelement vertex {}", surface.positions.len()).unwrap();
    for name in ["x", "y", "z", "nx", "ny", "nz", "r", "g", "b"] {
        writeln!(file, "property float {name}").unwrap();
    }
    writeln!(file, "element face {}", surface.triangles.len()).unwrap();
    writeln!(file, "property list uchar int vertex_indices\nend_header").unwrap();
    for v in 0..surface.positions.len() {
        let row = [
            pose.place(surface.positions[v]),
            pose.turn(surface.normals[v]),
            surface.materials[v].albedo,
        ];
        let row: Vec<String> = row.concat().iter().map(f32::to_string).collect();
        writeln!(file, "{}", row.join(" ")).unwrap();
    }
    for [a, b, c] in &surface.triangles {
        writeln!(file, "3 {a} {b} {c}").unwrap();
    }
    file.flush().unwrap();
}

fn wall() -> Surface {
    Surface {
        positions: vec![
            [-400.0, -400.0, -170.0],
            [400.0, -400.0, -170.0],
            [400.0, 400.0, -170.0],
            [-400.0, 400.0, -170.0],
        ],
        normals: vec![[0.0, 0.0, 1.0]; 4],
        materials: vec![
            Material {
                albedo: [0.5; 3],
                specular: 0.0,
                roughness: 1.0,
                subsurface: 0.0
            };
            4
        ],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        parts: vec![Part::Medium; 2],
    }
}

#[test]
#[ignore = "needs mitsuba"]
fn mitsuba_renders_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut matte = head();
    let mut mirror = head();
    for (m, s) in matte.materials.iter_mut().zip(&mut mirror.materials) {
        *m = Material { specular: 0.0, subsurface: 0.0, ..*m };
        *s = Material { albedo: [0.0; 3], specular: 1.0, roughness: 0.25, subsurface: 0.0 };
    }
    let pose = HeadPose::from_angles_deg(15.0, -5.0, 4.0, [0.0, 0.0, -AWAY_MM]);
    let centre_px = [(SIZE.width as f64 - 1.0) / 2.0, (SIZE.height as f64 - 1.0) / 2.0];
    let view = View::Perspective(lumiface::geometry::Camera { focal_px: [FOCAL_PX; 2], centre_px });
    let mut cases = Vec::new();
    for (name, surface) in [("matte", &matte), ("mirror", &mirror)] {
        write_ply(&folder.path().join(format!("{name}.ply")), surface, &pose);
        let wall = wall();
        write_ply(&folder.path().join("wall.ply"), &wall, &pose);
        let scene = Scene::build(&[surface, &wall]).unwrap();
        // Four lights of a rig, and the rig turned by 10°.
        for azimuth in [45.0f32, 55.0, 135.0, 145.0, 225.0, 315.0] {
            let to = 1000.0 * light_from_zenith_azimuth(38.0, azimuth);
            let position = [to.x, to.y, to.z - AWAY_MM];
            let light = Light::point(position, 1.0, 1000.0);
            let frame = Frame { pose, lights: vec![light] };
            let options = Options { samples_per_side: 8, ..Options::default() };
            let shown = image(&scene, &view, SIZE, &frame, &options);
            let open = Options { cast_shadows: false, ..options };
            let open = image(&scene, &view, SIZE, &frame, &open);
            let truth = truth(&scene, &view, SIZE, &frame, &options);
            let on_head = truth.part.data.iter().map(|&p| f32::from(p == Part::Skin as u8));
            let case = format!("{name}_{azimuth}");
            let bytes: Vec<u8> = [shown, open]
                .iter()
                .flat_map(|image| image.pixels.iter().flat_map(|p| p[..3].to_vec()))
                .chain(on_head)
                .flat_map(f32::to_le_bytes)
                .collect();
            std::fs::write(folder.path().join(format!("{case}.f32")), bytes).unwrap();
            cases.push(serde_json::json!({
                "name": case, "mesh": name, "position_mm": position, "reference_mm": 1000.0,
            }));
        }
    }
    let scene = serde_json::json!({
        "height": SIZE.height, "width": SIZE.width, "focal_px": FOCAL_PX,
        "roughness": 0.25, "cases": cases,
    });
    std::fs::write(folder.path().join("scene.json"), scene.to_string()).unwrap();
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/render_reference.py");
    let status = std::process::Command::new(python).arg(script).arg(folder.path()).status();
    assert!(status.unwrap().success(), "the renderings differ");
}
