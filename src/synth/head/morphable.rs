//! Heads from a file: a linear morphable model.
//!
//! `vertices = base + Σ_k z_k identity_k + Σ_j e_j expression_j`, scores z ~ N(0, 1), weights e in
//! 0..1 (Blanz & Vetter, "A Morphable Model for the Synthesis of 3D Faces", SIGGRAPH 1999). The
//! file is a safetensors file with
//!
//! | tensor | type, shape | content |
//! |---|---|---|
//! | `base` | f32 (N, 3) | mean neutral head |
//! | `identity` | f16 or f32 (K, N, 3) | identity modes |
//! | `expression` | f16 or f32 (J, N, 3) | expression modes |
//! | `triangles` | u32 (T, 3) | counter-clockwise seen from outside |
//! | `landmarks68` | i32 (68) | vertices of the iBUG landmarks |
//! | `region` | u8 (N) | 0 narrow face, 1 outer face, 2 head and neck, 3 sclera, 4 iris |
//!
//! and the metadata `units` (m, cm or mm) and `expressions` (names by ARKit, `_L`/`_R` for sides,
//! separated by commas).
//!
//! # Gender
//!
//! Such a file carries no gender labels, so no direction in it *is* gender. What can be derived
//! is the mean of the model's own distribution given the distances that are known to differ
//! between men and women: with J the change of the distances by the scores, Δ half the published
//! difference of the means and σ² the variance of a hand's measurement,
//! `w = Jᵀ (J Jᵀ + σ² I)⁻¹ Δ`. A person of masculinity m has scores `m w` plus a normal part that
//! is narrowed along w, so that both genders together are N(0, 1) again. The distances and means
//! are of Zhuang & Bradtmiller, "Head-and-Face Anthropometric Survey of U.S. Respirator Users",
//! J. Occup. Environ. Hyg. 2 (2005), table of all subjects.

use crate::io::read_regular_file;
use std::path::Path;

use safetensors::SafeTensors;

use super::super::draws::Draws;
use super::super::surface::Part;
use super::faces_file::{FacesError, MAX_FILE_BYTES, MAX_VERTICES, Reader, content};
use super::mouth::MouthInterior;
use super::{Expression, HeadModel, Topology};

/// A morphable head read from a file. See the module's head for what the file holds.
pub struct MorphableHead {
    topology: Topology,
    /// Mean head in mm, file order, before the mouth is added.
    base: Vec<f32>,
    /// Modes one after another, each 3 N numbers in mm.
    identity: Vec<f32>,
    expression: Vec<f32>,
    /// For each action of the face, its modes on the person's left and right.
    actions: Actions,
    /// Vertices of the person's right and left eyeball.
    eyes: [Vec<u32>; 2],
    /// Scores of the mean man; the mean woman's are the negative.
    masculine: Vec<f32>,
    mouth: Option<MouthInterior>,
}

/// Scores are cut here: beyond it the linear model leaves the faces it was learned from.
const SCORE_LIMIT: f64 = 2.5;

/// Names of the modes that [`Expression`] steers, in the order of [`Actions`].
pub(super) const SIDED: [&str; 15] = [
    "browDown",
    "browInnerUp",
    "browOuterUp",
    "eyeBlink",
    "eyeSquint",
    "eyeWide",
    "cheekPuff",
    "cheekSquint",
    "noseSneer",
    "mouthSmile",
    "mouthFrown",
    "mouthStretch",
    "mouthPress",
    "mouthUpperUp",
    "mouthLowerDown",
];
pub(super) const WHOLE: [&str; 2] = ["jawOpen", "mouthPucker"];
pub(super) const LOOKS: [&str; 4] = ["eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown"];

/// Mode numbers, left then right. A mode without sides stands in both places.
struct Actions {
    sided: [[usize; 2]; SIDED.len()],
    whole: [usize; WHOLE.len()],
    looks: [[usize; 2]; LOOKS.len()],
}

impl MorphableHead {
    /// Reads a face file.
    ///
    /// # Errors
    ///
    /// [`FacesError`], naming the file, the tensor, what was expected and what was found: a
    /// missing or misshapen tensor, NaN or infinity, an index out of range, missing metadata.
    pub fn read(path: &Path) -> Result<Self, FacesError> {
        let bytes = read_regular_file(path, MAX_FILE_BYTES)?;
        Self::from_bytes(path, &bytes)
    }

    pub(super) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, FacesError> {
        let broken = |e: safetensors::SafeTensorError| FacesError::Container {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let entry = |key: &str, expected: &str| {
            metadata
                .get(key)
                .cloned()
                .ok_or_else(|| content(path, &format!("metadata {key}"), expected, "nothing"))
        };
        let units = entry("units", "m, cm or mm")?;
        let scale = match units.trim() {
            "m" => 1000.0,
            "cm" => 10.0,
            "mm" => 1.0,
            other => return Err(content(path, "metadata units", "m, cm or mm", other)),
        };
        let names = entry("expressions", "names separated by commas")?;
        let names: Vec<&str> = names.split(',').map(str::trim).collect();

        let reader = Reader { path, file: &file };
        let base_shape = reader.shape("base")?;
        let &[count, 3] = base_shape.as_slice() else {
            return Err(content(path, "base", "shape [N, 3]", format!("{base_shape:?}")));
        };
        if !(4..=MAX_VERTICES).contains(&count) {
            let range = format!("4 to {MAX_VERTICES} vertices");
            return Err(content(path, "base", &range, count.to_string()));
        }
        let mut base = reader.floats("base", &base_shape, scale)?;
        let identity_modes = reader.modes("identity", count, None)?;
        let identity = reader.floats("identity", &[identity_modes, count, 3], scale)?;
        let expression_modes = reader.modes("expression", count, Some(names.len()))?;
        let expression = reader.floats("expression", &[expression_modes, count, 3], scale)?;
        let triangles = reader.triangles(count)?;
        let landmarks = reader.landmarks(count)?;
        let region = reader.region(count)?;
        let actions = Actions::find(&names).map_err(|missing| {
            let what = format!("metadata expressions without {missing}");
            content(path, &what, "all ARKit names that drive a face", names.join(","))
        })?;

        let mut eyes = [Vec::new(), Vec::new()];
        let middle = landmark_mean(&base, &landmarks[27..31])[0];
        for (vertex, _) in region.iter().enumerate().filter(|(_, region)| **region >= 3) {
            eyes[usize::from(base[3 * vertex] > middle)].push(vertex as u32);
        }
        if eyes.iter().any(Vec::is_empty) {
            return Err(content(path, "region", "vertices of two eyes (3, 4)", "fewer"));
        }
        // The base in the head frame; the modes move the eyes, so every head is centred anew.
        let origin = eye_middle(&base, &eyes);
        for vertex in base.chunks_exact_mut(3) {
            for axis in 0..3 {
                vertex[axis] -= origin[axis];
            }
        }
        let masculine = masculine_direction(&base, &identity, &landmarks);
        let hidden = inner_eyes(&base, &region, &eyes);
        let triangles: Vec<[u32; 3]> =
            triangles.into_iter().filter(|t| !t.iter().all(|&v| hidden[v as usize])).collect();
        let parts = triangles
            .iter()
            .map(|t| match t.iter().map(|&v| region[v as usize]).min() {
                Some(3..) => Part::Eye,
                _ => Part::Skin,
            })
            .collect();
        let rest = base.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect();
        let mut head = Self {
            topology: Topology { triangles, parts, rest, landmarks },
            base,
            identity,
            expression,
            actions,
            eyes,
            masculine,
            mouth: None,
        };
        head.add_mouth();
        Ok(head)
    }

    /// Number of identity scores.
    pub fn identity_modes(&self) -> usize {
        self.identity.len() / self.base.len()
    }

    /// The file ends at the lips; what lies behind an open mouth is made here.
    fn add_mouth(&mut self) {
        let jaw = self.actions.whole[0] * self.base.len();
        let jaw_open = &self.expression[jaw..jaw + self.base.len()];
        let Some(mouth) = MouthInterior::fit(&self.topology, jaw_open) else { return };
        let first = self.topology.rest.len() as u32;
        self.topology.triangles.extend(mouth.triangles(first));
        self.topology.parts.resize(self.topology.triangles.len(), Part::Mouth);
        let rest = mouth.positions(&self.topology.rest, &self.topology.rest, &self.topology);
        self.topology.rest.extend(rest);
        self.mouth = Some(mouth);
    }
}

impl HeadModel for MorphableHead {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn identity_scores(&self) -> usize {
        self.identity_modes()
    }

    /// Scores cut at ±2.5. `masculinity` moves along the direction in the module's head.
    fn sample_identity(&self, masculinity: f32, draws: &mut Draws) -> Vec<f32> {
        let mut scores: Vec<f32> =
            (0..self.identity_modes()).map(|_| draws.normal() as f32).collect();
        let length2: f32 = self.masculine.iter().map(|w| w * w).sum();
        if length2 > 0.0 {
            let along: f32 =
                self.masculine.iter().zip(&scores).map(|(w, z)| w * z).sum::<f32>() / length2;
            let narrowed = (1.0 - length2).max(0.1).sqrt();
            let shift = masculinity - (1.0 - narrowed) * along;
            for (score, w) in scores.iter_mut().zip(&self.masculine) {
                *score += shift * w;
            }
        }
        let limit = SCORE_LIMIT as f32;
        scores.iter().map(|score| score.clamp(-limit, limit)).collect()
    }

    /// Scores missing from `identity` count as 0, those beyond the model's are not used.
    fn positions(&self, identity: &[f32], expression: &Expression) -> Vec<[f32; 3]> {
        let size = self.base.len();
        let mut flat = self.base.clone();
        for (mode, &score) in self.identity.chunks_exact(size).zip(identity) {
            add_scaled(&mut flat, mode, score);
        }
        let origin = eye_middle(&flat, &self.eyes);
        let neutral = self.mouth.as_ref().map(|_| centred(&flat, origin));
        for (mode, weight) in self.actions.weights(expression) {
            add_scaled(&mut flat, &self.expression[mode * size..(mode + 1) * size], weight);
        }
        let mut posed = centred(&flat, origin);
        if let (Some(mouth), Some(neutral)) = (&self.mouth, neutral) {
            let inside = mouth.positions(&neutral, &posed, &self.topology);
            posed.extend(inside);
        }
        posed
    }
}

fn add_scaled(sum: &mut [f32], mode: &[f32], weight: f32) {
    if weight != 0.0 {
        for (value, delta) in sum.iter_mut().zip(mode) {
            *value += weight * delta;
        }
    }
}

fn centred(flat: &[f32], origin: [f32; 3]) -> Vec<[f32; 3]> {
    flat.chunks_exact(3).map(|v| [v[0] - origin[0], v[1] - origin[1], v[2] - origin[2]]).collect()
}

/// Vertices of region 4 that lie behind an outer shell of region 3: some files model the iris as a
/// ball inside a clear one. All is painted on what lies outside.
fn inner_eyes(base: &[f32], region: &[u32], eyes: &[Vec<u32>; 2]) -> Vec<bool> {
    let mut hidden = vec![false; region.len()];
    for eye in eyes {
        let front = |of: u32| {
            let depths = eye.iter().filter(|&&v| region[v as usize] == of);
            depths.map(|&v| base[3 * v as usize + 2]).fold(f32::MIN, f32::max)
        };
        if front(4) < front(3) {
            for &v in eye.iter().filter(|&&v| region[v as usize] == 4) {
                hidden[v as usize] = true;
            }
        }
    }
    hidden
}

/// Midway between the centres of the two eyeballs.
fn eye_middle(flat: &[f32], eyes: &[Vec<u32>; 2]) -> [f32; 3] {
    let [right, left] = [0, 1].map(|side| landmark_mean(flat, &eyes[side]));
    [0, 1, 2].map(|axis| 0.5 * (right[axis] + left[axis]))
}

fn landmark_mean(flat: &[f32], vertices: &[u32]) -> [f32; 3] {
    let mut sum = [0.0f64; 3];
    for &vertex in vertices {
        for (axis, total) in sum.iter_mut().enumerate() {
            *total += f64::from(flat[3 * vertex as usize + axis]);
        }
    }
    sum.map(|total| (total / vertices.len().max(1) as f64) as f32)
}

/// Pairs of landmarks and half the difference between men's and women's mean distance in mm:
/// bizygomatic, bigonial, menton-sellion, subnasale-sellion, nose breadth, lip length,
/// interpupillary.
const DIMORPHISM: [(&[usize], &[usize], f64); 7] = [
    (&[1], &[15], 4.2),
    (&[4], &[12], 5.15),
    (&[27], &[8], 4.65),
    (&[27], &[33], 1.9),
    (&[31], &[35], 1.7),
    (&[48], &[54], 1.55),
    (&[36, 39], &[42, 45], 1.3),
];
/// Variance in mm² of a distance between hand-set landmarks.
const MEASUREMENT_VARIANCE: f64 = 4.0;

/// Both genders' variance along w is |w|² + what is left within each: |w| stays below 1.
const LONGEST_DIRECTION: f64 = 0.9;

/// w of the module's head. Zero if the landmarks do not span the distances.
fn masculine_direction(base: &[f32], identity: &[f32], landmarks: &[u32; 68]) -> Vec<f32> {
    let modes = identity.len() / base.len();
    let place = |flat: &[f32], which: &[usize]| {
        let vertices: Vec<u32> = which.iter().map(|&l| landmarks[l]).collect();
        landmark_mean(flat, &vertices).map(f64::from)
    };
    // One row a distance, one column a mode: d|a−b| = (a−b)/|a−b| · (da−db).
    let mut change = vec![vec![0.0f64; modes]; DIMORPHISM.len()];
    for (row, &(first, second, _)) in change.iter_mut().zip(&DIMORPHISM) {
        let (a, b) = (place(base, first), place(base, second));
        let apart = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        let length = apart.iter().map(|d| d * d).sum::<f64>().sqrt();
        if length < 1.0 {
            continue;
        }
        for (value, mode) in row.iter_mut().zip(identity.chunks_exact(base.len())) {
            let (a, b) = (place(mode, first), place(mode, second));
            *value = (0..3).map(|i| apart[i] / length * (a[i] - b[i])).sum();
        }
    }
    let size = DIMORPHISM.len();
    let mut system = vec![vec![0.0f64; size + 1]; size];
    for i in 0..size {
        for j in 0..size {
            system[i][j] = change[i].iter().zip(&change[j]).map(|(a, b)| a * b).sum();
        }
        system[i][i] += MEASUREMENT_VARIANCE;
        system[i][size] = DIMORPHISM[i].2;
    }
    // Symmetric and positive definite: elimination without pivots is safe.
    for pivot in 0..size {
        let (done, rest) = system.split_at_mut(pivot + 1);
        let above = &done[pivot];
        for row in rest {
            let factor = row[pivot] / above[pivot];
            for (value, known) in row.iter_mut().zip(above).skip(pivot) {
                *value -= factor * known;
            }
        }
    }
    let mut solution = vec![0.0f64; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|c| system[row][c] * solution[c]).sum();
        solution[row] = (system[row][size] - known) / system[row][row];
    }
    let direction: Vec<f64> = (0..modes)
        .map(|mode| (0..size).map(|row| change[row][mode] * solution[row]).sum())
        .collect();
    // A model that hardly varies in these distances would need scores that nobody has.
    let length = direction.iter().map(|w| w * w).sum::<f64>().sqrt();
    let cut = if length > LONGEST_DIRECTION { LONGEST_DIRECTION / length } else { 1.0 };
    direction.iter().map(|w| (w * cut) as f32).collect()
}

impl Actions {
    /// Finds the modes by name, or says which name is missing.
    fn find(names: &[&str]) -> Result<Self, String> {
        let number = |name: &str| names.iter().position(|candidate| *candidate == name);
        let sides = |name: &str| -> Result<[usize; 2], String> {
            match (number(&format!("{name}_L")), number(&format!("{name}_R")), number(name)) {
                (Some(left), Some(right), _) => Ok([left, right]),
                (_, _, Some(whole)) => Ok([whole; 2]),
                _ => Err(format!("{name}_L and {name}_R")),
            }
        };
        let mut actions = Self {
            sided: [[0; 2]; SIDED.len()],
            whole: [0; WHOLE.len()],
            looks: [[0; 2]; LOOKS.len()],
        };
        for (place, name) in actions.sided.iter_mut().zip(SIDED) {
            *place = sides(name)?;
        }
        for (place, name) in actions.looks.iter_mut().zip(LOOKS) {
            *place = sides(name)?;
        }
        for (place, name) in actions.whole.iter_mut().zip(WHOLE) {
            *place = number(name).ok_or(name)?;
        }
        Ok(actions)
    }

    /// Mode numbers with their weights in 0..1; a mode may come twice.
    fn weights(&self, e: &Expression) -> Vec<(usize, f32)> {
        let strengths = [
            e.brow_down,
            e.brow_inner_up,
            e.brow_outer_up,
            e.eye_blink,
            e.eye_squint,
            e.eye_wide,
            e.cheek_puff,
            e.cheek_squint,
            e.nose_sneer,
            e.mouth_smile,
            e.mouth_frown,
            e.mouth_stretch,
            e.mouth_press,
            e.mouth_upper_up,
            e.mouth_lower_down,
        ];
        let mut weights = Vec::new();
        for ((&[left, right], strength), name) in self.sided.iter().zip(strengths).zip(SIDED) {
            // Both lids close together, whatever the rest of the face does.
            let skew = if name == "eyeBlink" { 0.0 } else { e.asymmetry };
            if left == right {
                weights.push((left, strength.clamp(0.0, 1.0)));
            } else {
                weights.push((left, (strength * (1.0 + skew)).clamp(0.0, 1.0)));
                weights.push((right, (strength * (1.0 - skew)).clamp(0.0, 1.0)));
            }
        }
        weights.push((self.whole[0], e.jaw_open.clamp(0.0, 1.0)));
        weights.push((self.whole[1], e.mouth_pucker.clamp(0.0, 1.0)));
        // Right in the picture is outward for the person's left eye, inward for the right one.
        let [inward, outward, up, down] = self.looks;
        let (toward_left, toward_right) = (e.gaze_x.clamp(0.0, 1.0), (-e.gaze_x).clamp(0.0, 1.0));
        weights.push((outward[0], toward_left));
        weights.push((inward[1], toward_left));
        weights.push((inward[0], toward_right));
        weights.push((outward[1], toward_right));
        for side in 0..2 {
            weights.push((up[side], e.gaze_y.clamp(0.0, 1.0)));
            weights.push((down[side], (-e.gaze_y).clamp(0.0, 1.0)));
        }
        weights
    }
}

#[cfg(test)]
#[path = "morphable_tests.rs"]
mod tests;
