//! A face file made from the OBJ files that ICT-FaceKit publishes.
//!
//! The folder (`FaceXModel` of that project) holds `generic_neutral_mesh.obj`, `identity000.obj`…
//! and one OBJ for each expression named in `vertex_indices.json`, all with the same 26,719
//! vertices in cm, faces of three or four corners. A mode is the difference from the neutral
//! mesh. The project's README gives the vertex ranges: face 0–9408 (narrow face up to 6705), head
//! and neck 9409–11247, eyeball left 21451–23020 (sclera up to 22220) and right 23021–24590
//! (sclera up to 23790); the rest (mouth socket, teeth, lashes, tear fluid) is left out. The
//! landmarks come from `idx_to_landmark_verts` of the JSON file. One published version of that
//! file numbers the vertices of an older mesh, so their places are checked.

use crate::io::{IoError, read_text, write_atomically};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::MorphableHead;
use super::faces_file::{FacesError, content};

/// Which vertices of the OBJ files are kept, and as what region.
struct Layout {
    vertices: usize,
    regions: &'static [(RangeInclusive<usize>, u8)],
}

const PUBLISHED: Layout = Layout {
    vertices: 26_719,
    regions: &[
        (0..=6705, 0),
        (6706..=9408, 1),
        (9409..=11_247, 2),
        (21_451..=22_220, 3),
        (22_221..=23_020, 4),
        (23_021..=23_790, 3),
        (23_791..=24_590, 4),
    ],
};

/// Reads ICT-FaceKit's OBJ folder and writes a face file for [`MorphableHead::read`].
///
/// All identity modes that are numbered without a gap from 000 are taken (100 as published). The
/// file is written beside `file` first and then moved into place: it is whole or not there.
///
/// # Errors
///
/// [`FacesError`] with the file and line that is wrong; nothing is written then.
pub fn import_ict(dir: &Path, file: &Path) -> Result<(), FacesError> {
    import(dir, file, &PUBLISHED)
}

fn import(dir: &Path, file: &Path, layout: &Layout) -> Result<(), FacesError> {
    let config_path = dir.join("vertex_indices.json");
    let (names, landmarks) = read_config(&config_path)?;
    let neutral_path = dir.join("generic_neutral_mesh.obj");
    let neutral = Obj::read(&neutral_path, layout, true)?;

    let kept: Vec<(usize, u8)> = layout
        .regions
        .iter()
        .flat_map(|(range, region)| range.clone().map(|vertex| (vertex, *region)))
        .collect();
    let number: HashMap<usize, u32> =
        kept.iter().enumerate().map(|(new, (old, _))| (*old, new as u32)).collect();
    let triangles: Vec<u32> = neutral
        .triangles
        .iter()
        .filter_map(|t| {
            let [a, b, c] = t.map(|old| number.get(&old).copied());
            Some([a?, b?, c?])
        })
        .flatten()
        .collect();
    let base: Vec<f32> =
        kept.iter().flat_map(|&(old, _)| neutral.vertices[old].map(|c| c as f32)).collect();
    let landmarks = check_landmarks(&config_path, &landmarks, &neutral, &number)?;

    let delta = |path: &Path| -> Result<Vec<u8>, FacesError> {
        let shape = Obj::read(path, layout, false)?;
        let mut bytes = Vec::with_capacity(kept.len() * 6);
        for &(old, _) in &kept {
            for (moved, still) in shape.vertices[old].iter().zip(neutral.vertices[old]) {
                let delta = f16::from_f64(moved - still);
                if !delta.is_finite() {
                    let what = format!("vertex {}", old + 1);
                    let found = format!("{}", moved - still);
                    return Err(content(path, &what, "a move within ±65504", found));
                }
                bytes.extend(delta.to_le_bytes());
            }
        }
        Ok(bytes)
    };
    let mut identity = Vec::new();
    let mut modes = 0;
    loop {
        let path = dir.join(format!("identity{modes:03}.obj"));
        if modes > 0 && !path.exists() {
            break;
        }
        identity.extend(delta(&path)?);
        modes += 1;
    }
    let mut expression = Vec::new();
    for name in &names {
        expression.extend(delta(&dir.join(format!("{name}.obj")))?);
    }

    let base_bytes: Vec<u8> = base.iter().flat_map(|v| v.to_le_bytes()).collect();
    let triangle_bytes: Vec<u8> = triangles.iter().flat_map(|v| v.to_le_bytes()).collect();
    let landmark_bytes: Vec<u8> = landmarks.iter().flat_map(|v| v.to_le_bytes()).collect();
    let region: Vec<u8> = kept.iter().map(|&(_, region)| region).collect();
    let n = kept.len();
    let tensors = [
        ("base", Dtype::F32, vec![n, 3], &base_bytes),
        ("identity", Dtype::F16, vec![modes, n, 3], &identity),
        ("expression", Dtype::F16, vec![names.len(), n, 3], &expression),
        ("triangles", Dtype::U32, vec![triangles.len() / 3, 3], &triangle_bytes),
        ("landmarks68", Dtype::I32, vec![68], &landmark_bytes),
        ("region", Dtype::U8, vec![n], &region),
    ];
    let container = |reason: String| FacesError::Container { path: file.to_owned(), reason };
    let views = tensors
        .into_iter()
        .map(|(name, dtype, shape, bytes)| {
            TensorView::new(dtype, shape, bytes)
                .map(|view| (name, view))
                .map_err(|e| container(e.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let metadata = HashMap::from(
        [
            ("units", "cm"),
            ("expressions", &names.join(",")),
            ("regions", "0 narrow face,1 outer face,2 head and neck,3 sclera,4 iris"),
            ("license", "MIT, Copyright (c) 2020 USC Institute for Creative Technologies"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|e| container(e.to_string()))?;
    // What was written must be readable as a head; else the folder is not what it claims to be.
    MorphableHead::from_bytes(file, &bytes)?;
    Ok(write_atomically(file, |out| out.write_all(&bytes))?)
}

/// Names of the expressions and the landmarks' vertices.
fn read_config(path: &Path) -> Result<(Vec<String>, Vec<usize>), FacesError> {
    let text = read_text(path)?;
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| content(path, "content", "JSON", e.to_string()))?;
    let list = |key: &str| {
        config[key].as_array().ok_or_else(|| content(path, key, "a list", config[key].to_string()))
    };
    let wrong = |key: &str, value: &serde_json::Value| {
        content(path, key, "plain names or vertex numbers", value.to_string())
    };
    let names = list("expressions")?
        .iter()
        .map(|value| match value.as_str() {
            Some(name)
                if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') =>
            {
                Ok(name.to_owned())
            }
            _ => Err(wrong("expressions", value)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let landmarks = list("idx_to_landmark_verts")?
        .iter()
        .map(|value| {
            value.as_u64().map(|v| v as usize).ok_or_else(|| wrong("idx_to_landmark_verts", value))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok((names, landmarks))
}

/// Landmarks in the new numbers, if they lie on the mesh as on a face.
fn check_landmarks(
    path: &Path,
    old: &[usize],
    neutral: &Obj,
    number: &HashMap<usize, u32>,
) -> Result<Vec<i32>, FacesError> {
    const KEY: &str = "idx_to_landmark_verts";
    if old.len() != 68 {
        return Err(content(path, KEY, "68 vertices", old.len().to_string()));
    }
    let mut landmarks = Vec::with_capacity(68);
    for vertex in old {
        let Some(new) = number.get(vertex) else {
            return Err(content(path, KEY, "vertices of face and eyes", vertex.to_string()));
        };
        landmarks.push(*new as i32);
    }
    let place = |landmark: usize| neutral.vertices[old[landmark]];
    let down = [27, 33, 51, 57, 8].map(|l| place(l)[1]);
    let falls = down.windows(2).all(|pair| pair[0] > pair[1]);
    let across = [0, 17, 36, 39, 27, 42, 45, 26, 16].map(|l| place(l)[0]);
    let rises = across.windows(2).all(|pair| pair[0] < pair[1]);
    if falls && rises {
        return Ok(landmarks);
    }
    let found = "vertices in other places (the list is for another version of the mesh)";
    Err(content(path, KEY, "nose, mouth and chin below each other, eyes side by side", found))
}

struct Obj {
    vertices: Vec<[f64; 3]>,
    triangles: Vec<[usize; 3]>,
}

impl Obj {
    /// Reads `v` and, if asked, `f` lines; everything else is passed over.
    fn read(path: &Path, layout: &Layout, faces: bool) -> Result<Self, FacesError> {
        let io = |error| FacesError::Io(IoError::from_system(path, error));
        let file = std::fs::File::open(path).map_err(io)?;
        let mut obj = Self { vertices: Vec::new(), triangles: Vec::new() };
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(io)?;
            let wrong = |expected: &str| {
                content(path, &format!("line {}", index + 1), expected, line.trim())
            };
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("v") => {
                    let numbers: Vec<f64> =
                        words.take(3).filter_map(|word| word.parse().ok()).collect();
                    match numbers.as_slice() {
                        &[x, y, z] if x.is_finite() && y.is_finite() && z.is_finite() => {
                            obj.vertices.push([x, y, z]);
                        }
                        _ => return Err(wrong("three finite numbers")),
                    }
                    if obj.vertices.len() > layout.vertices {
                        return Err(wrong(&format!("{} vertices and no more", layout.vertices)));
                    }
                }
                Some("f") if faces => {
                    let corners: Vec<usize> = words
                        .map(|word| word.split('/').next().and_then(|n| n.parse().ok()))
                        .map(|corner: Option<usize>| {
                            corner.filter(|c| (1..=layout.vertices).contains(c))
                        })
                        .collect::<Option<_>>()
                        .ok_or_else(|| {
                            wrong(&format!("vertex numbers 1 to {}", layout.vertices))
                        })?;
                    if corners.len() < 3 {
                        return Err(wrong("three corners or more"));
                    }
                    for pair in corners[1..].windows(2) {
                        obj.triangles.push([corners[0] - 1, pair[0] - 1, pair[1] - 1]);
                    }
                }
                _ => {}
            }
        }
        if obj.vertices.len() != layout.vertices {
            let expected = format!("{} vertices", layout.vertices);
            return Err(content(path, "content", &expected, obj.vertices.len().to_string()));
        }
        Ok(obj)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::{Expression, HeadModel};
    use super::*;

    const EGG: usize = 65 * 96;
    const EYE: usize = 17 * 24;
    /// The egg, then 5 vertices that are not kept, then the eyes.
    const SMALL: Layout = Layout {
        vertices: EGG + 5 + 2 * EYE,
        regions: &[(0..=EGG - 1, 0), (EGG + 5..=EGG + 5 + 2 * EYE - 1, 3)],
    };

    /// Writes a folder as ICT-FaceKit's: quads with texture indices, modes as whole meshes.
    fn write_folder(dir: &Path) {
        let (vertices, _, _) = fixture::mesh();
        let shape = |change: &dyn Fn([f32; 3]) -> [f32; 3]| {
            let mut text = String::from("mtllib some.mtl\n");
            for (index, v) in vertices.iter().enumerate() {
                if index == EGG {
                    text.push_str(&"v 0 0 0\n".repeat(5));
                }
                let [x, y, z] = change(v.map(|c| c / 10.0));
                text.push_str(&format!("v {x:.9} {y:.9} {z:.9}\n"));
            }
            text.push_str("vt 0 0\n");
            for row in 1..63 {
                for column in 0..96 {
                    let at = |r: usize, c: usize| r * 96 + c % 96 + 1;
                    let quad = [
                        at(row, column),
                        at(row + 1, column),
                        at(row + 1, column + 1),
                        at(row, column + 1),
                    ];
                    let corners = quad.map(|v| format!("{v}/1"));
                    text.push_str(&format!("f {}\n", corners.join(" ")));
                }
            }
            // Not kept: uses a vertex that is left out. Kept: one triangle of each eye.
            text.push_str(&format!("f 1 2 {}\n", EGG + 1));
            for eye in 0..2 {
                let first = EGG + 5 + eye * EYE + 100;
                text.push_str(&format!("f {} {} {}\n", first, first + 24, first + 1));
            }
            text
        };
        let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
        write("generic_neutral_mesh.obj", shape(&|v| v));
        write("identity000.obj", shape(&|v| [v[0] * 1.125, v[1], v[2]]));
        write("identity001.obj", shape(&|v| [v[0], v[1] - 0.5, v[2]]));
        let names = &fixture::face_file().metadata["expressions"];
        for name in names.split(',') {
            let lift = if name == "jawOpen" { -0.25 } else { 0.0 };
            let moved = shape(&|v| [v[0], if v[1] < -8.0 { v[1] + lift } else { v[1] }, v[2]]);
            write(&format!("{name}.obj"), moved);
        }
        let list: Vec<&str> = names.split(',').collect();
        let landmarks = fixture::landmarks(&vertices);
        let config = serde_json::json!({
            "expressions": list,
            "idx_to_landmark_verts": landmarks.to_vec(),
        });
        write("vertex_indices.json", config.to_string());
    }

    #[test]
    fn a_folder_becomes_a_head() {
        let dir = tempfile::tempdir().unwrap();
        write_folder(dir.path());
        let file = dir.path().join("faces.safetensors");
        import(dir.path(), &file, &SMALL).unwrap();
        assert!(!dir.path().join("faces.safetensors.part").exists());
        let head = MorphableHead::read(&file).unwrap();
        assert_eq!(head.identity_modes(), 2);
        // 62 rows of 96 quads, two triangles each, and the two of the eyes.
        assert_eq!(head.topology().triangles.len(), 62 * 96 * 2 + 2);
        assert_eq!(head.topology().rest.len(), EGG + 2 * EYE);
        let jaw = head.topology().landmarks[8] as usize;
        let still = head.positions(&[0.0, 0.0], &Expression::default())[jaw];
        let open = Expression { jaw_open: 1.0, ..Default::default() };
        let moved = head.positions(&[0.0, 0.0], &open)[jaw];
        assert!((moved[1] - still[1] + 2.5).abs() < 1e-3, "{still:?} {moved:?}");
        let cheek = head.topology().landmarks[12] as usize;
        let wide = head.positions(&[1.0, 0.0], &Expression::default())[cheek];
        let narrow = head.positions(&[0.0, 0.0], &Expression::default())[cheek];
        // A mode is stored to 11 bits.
        assert!((wide[0] / narrow[0] - 1.125).abs() < 1e-3, "{narrow:?} {wide:?}");
    }

    #[test]
    fn a_broken_folder_is_refused_and_nothing_written() {
        let refuse = |spoil: &dyn Fn(&Path), words: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            write_folder(dir.path());
            spoil(dir.path());
            let file = dir.path().join("out").join("faces.safetensors");
            std::fs::create_dir(dir.path().join("out")).unwrap();
            let message = import(dir.path(), &file, &SMALL).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{message:?} lacks {word:?}");
            }
            let left = std::fs::read_dir(dir.path().join("out")).unwrap().count();
            assert_eq!(left, 0, "{message}");
        };
        let append = |dir: &Path, name: &str, line: &str| {
            let path = dir.join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text + line).unwrap();
        };
        refuse(&|dir| std::fs::remove_file(dir.join("jawOpen.obj")).unwrap(), &["jawOpen.obj"]);
        refuse(
            &|dir| append(dir, "identity001.obj", "v 1 2 3\n"),
            &["identity001.obj", "line", "vertices and no more"],
        );
        refuse(
            &|dir| append(dir, "generic_neutral_mesh.obj", "f 1 2 99999\n"),
            &["generic_neutral_mesh.obj", "vertex numbers 1 to", "99999"],
        );
        refuse(
            &|dir| {
                let path = dir.join("vertex_indices.json");
                let text = std::fs::read_to_string(&path).unwrap();
                let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
                let list = config["idx_to_landmark_verts"].as_array_mut().unwrap();
                list.reverse();
                std::fs::write(path, config.to_string()).unwrap();
            },
            &["vertex_indices.json", "another version of the mesh"],
        );
        refuse(
            &|dir| std::fs::write(dir.join("vertex_indices.json"), "{").unwrap(),
            &["vertex_indices.json", "JSON"],
        );
        refuse(
            &|dir| {
                let config = r#"{"expressions": ["../x"], "idx_to_landmark_verts": []}"#;
                std::fs::write(dir.join("vertex_indices.json"), config).unwrap();
            },
            &["expressions", "../x"],
        );
    }
}
