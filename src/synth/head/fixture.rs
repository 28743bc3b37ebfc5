//! For tests: a plain egg with two eyeballs and the landmarks of a face on it, as a face file and
//! as a topology.

use std::collections::HashMap;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Topology;
use crate::synth::surface::Part;

/// Places of the 68 landmarks in mm seen from the front.
pub fn landmark_places() -> [[f32; 2]; 68] {
    let mut places = [[0.0f32; 2]; 68];
    for (i, place) in places.iter_mut().take(17).enumerate() {
        let t = (i as f32 - 8.0) / 8.0;
        *place = [72.0 * t * (1.4 - 0.4 * t * t), -112.0 + 112.0 * t * t];
    }
    for i in 0..5 {
        let x = 12.0 + 11.0 * i as f32;
        let y = 23.0 + 3.0 * (1.0 - (i as f32 - 2.0).abs() / 2.0);
        places[22 + i] = [x, y];
        places[21 - i] = [-x, y];
    }
    for i in 0..4 {
        places[27 + i] = [0.0, 2.0 - 11.0 * i as f32];
    }
    for i in 0..5 {
        places[31 + i] = [-12.0 + 6.0 * i as f32, -48.0];
    }
    let eye =
        [[-45.0, 0.0], [-38.0, 5.0], [-27.0, 5.0], [-18.0, 0.0], [-27.0, -5.0], [-38.0, -5.0]];
    places[36..42].copy_from_slice(&eye);
    // Mirrored, and again from the picture's left to its right above.
    for (to, from) in [(42, 3), (43, 2), (44, 1), (45, 0), (46, 5), (47, 4)] {
        places[to] = [-eye[from][0], eye[from][1]];
    }
    for i in 0..12 {
        let (x, y): (f32, f32) = [
            (-25.0, -70.0),
            (-16.0, -64.0),
            (-7.0, -61.0),
            (0.0, -62.0),
            (7.0, -61.0),
            (16.0, -64.0),
            (25.0, -70.0),
            (16.0, -77.0),
            (8.0, -79.0),
            (0.0, -80.0),
            (-8.0, -79.0),
            (-16.0, -77.0),
        ][i];
        places[48 + i] = [x, y];
    }
    let inner = [-22.0, -10.0, 0.0, 10.0, 22.0, 10.0, 0.0, -10.0];
    for (i, x) in inner.into_iter().enumerate() {
        places[60 + i] = [x, if i < 5 { -69.5 } else { -70.5 }];
    }
    places
}

const AROUND: usize = 96;
const DOWN: usize = 64;

/// Vertices, triangles and regions: the egg, then the right and the left eyeball.
pub fn mesh() -> (Vec<[f32; 3]>, Vec<[u32; 3]>, Vec<u8>) {
    let (mut vertices, mut triangles, mut regions) = (Vec::new(), Vec::new(), Vec::new());
    let mut ball = |centre: [f32; 3], radii: [f32; 3], around: usize, down: usize, region: u8| {
        let first = vertices.len() as u32;
        for row in 0..=down {
            let polar = std::f64::consts::PI * row as f64 / down as f64;
            for column in 0..around {
                let turn = std::f64::consts::TAU * column as f64 / around as f64;
                let d = [polar.sin() * turn.cos(), polar.cos(), -polar.sin() * turn.sin()];
                vertices.push([0, 1, 2].map(|i| centre[i] + radii[i] * d[i] as f32));
                regions.push(region);
            }
        }
        for row in 0..down as u32 {
            for column in 0..around as u32 {
                let at = |r: u32, c: u32| first + r * around as u32 + c % around as u32;
                let (a, b) = (at(row, column), at(row, column + 1));
                let (c, d) = (at(row + 1, column), at(row + 1, column + 1));
                if row > 0 {
                    triangles.push([a, c, b]);
                }
                if row + 1 < down as u32 {
                    triangles.push([b, c, d]);
                }
            }
        }
    };
    ball([0.0, -5.0, -65.0], [78.0, 122.0, 95.0], AROUND, DOWN, 0);
    ball([-31.0, 0.0, 15.0], [12.0; 3], 24, 16, 3);
    ball([31.0, 0.0, 15.0], [12.0; 3], 24, 16, 3);
    (vertices, triangles, regions)
}

/// The egg's vertices that stand for the landmarks.
pub fn landmarks(vertices: &[[f32; 3]]) -> [u32; 68] {
    landmark_places().map(|[x, y]| {
        let skin = vertices.iter().take((DOWN + 1) * AROUND).enumerate();
        let front = skin.filter(|(_, v)| v[2] > -70.0);
        let distance = |v: &[f32; 3]| (v[0] - x) * (v[0] - x) + (v[1] - y) * (v[1] - y);
        front.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map_or(0, |(i, _)| i as u32)
    })
}

pub fn topology() -> Topology {
    let (rest, triangles, regions) = mesh();
    let parts = triangles
        .iter()
        .map(|t| if regions[t[0] as usize] == 0 { Part::Skin } else { Part::Eye })
        .collect();
    Topology { triangles, parts, landmarks: landmarks(&rest), rest }
}

/// A tensor of a face file: type, shape, bytes.
pub type Tensor = (Dtype, Vec<usize>, Vec<u8>);

/// A whole face file in pieces, so that tests can spoil any of them.
pub struct FaceFile {
    pub tensors: HashMap<&'static str, Tensor>,
    pub metadata: HashMap<String, String>,
}

pub fn halves(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect()
}

/// The egg in cm with two identity modes (wider jaw; longer face) and every expression, each of
/// which lifts the whole head by 1 cm.
pub fn face_file() -> FaceFile {
    let (vertices, triangles, regions) = mesh();
    let n = vertices.len();
    let mut names: Vec<String> = Vec::new();
    for name in super::morphable::SIDED.iter().chain(&super::morphable::LOOKS) {
        names.extend(["_L", "_R"].map(|side| format!("{name}{side}")));
    }
    names.extend(super::morphable::WHOLE.map(str::to_owned));
    let wider = vertices.iter().flat_map(|v| {
        let low = if v[1] < -60.0 { 0.0625 } else { 0.0 };
        [low * v[0].signum() * f32::from(v[0].abs() > 5.0), 0.0, 0.0]
    });
    let longer = vertices.iter().flat_map(|v| [0.0, if v[1] < -60.0 { -0.25 } else { 0.0 }, 0.0]);
    let identity = halves(wider.chain(longer));
    let expression = halves((0..names.len() * n).flat_map(|_| [0.0, 1.0, 0.0]));
    let base = vertices.iter().flatten().flat_map(|c| (c / 10.0).to_le_bytes()).collect();
    let corners = triangles.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let marks = landmarks(&vertices).iter().flat_map(|v| (*v as i32).to_le_bytes()).collect();
    let tensors = HashMap::from([
        ("base", (Dtype::F32, vec![n, 3], base)),
        ("identity", (Dtype::F16, vec![2, n, 3], identity)),
        ("expression", (Dtype::F16, vec![names.len(), n, 3], expression)),
        ("triangles", (Dtype::U32, vec![triangles.len(), 3], corners)),
        ("landmarks68", (Dtype::I32, vec![68], marks)),
        ("region", (Dtype::U8, vec![n], regions)),
    ]);
    let metadata = HashMap::from([
        ("units".to_owned(), "cm".to_owned()),
        ("expressions".to_owned(), names.join(",")),
    ]);
    FaceFile { tensors, metadata }
}

impl FaceFile {
    pub fn bytes(&self) -> Vec<u8> {
        let views: Vec<_> = self
            .tensors
            .iter()
            .map(|(name, (dtype, shape, bytes))| {
                (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
            })
            .collect();
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }
}
