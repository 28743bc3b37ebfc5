//! Checked reading of the tensors of a face file.

use crate::io::IoError;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use thiserror::Error;

/// Why a face file, or a folder to be made into one, cannot be used. One line each.
#[derive(Debug, Error)]
pub enum FacesError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}: not a safetensors file: {reason}")]
    Container { path: PathBuf, reason: String },
    #[error("{path}: {what}: expected {expected}, found {found}")]
    Content { path: PathBuf, what: String, expected: String, found: String },
}

pub(super) const MAX_FILE_BYTES: u64 = 1 << 30;
pub(super) const MAX_VERTICES: usize = 1 << 20;
pub(super) const MAX_MODES: usize = 1 << 10;

pub(super) fn content(
    path: &Path,
    what: &str,
    expected: &str,
    found: impl Into<String>,
) -> FacesError {
    let mut found: String = found.into();
    if found.len() > 120 {
        let end = (0..=120).rev().find(|&end| found.is_char_boundary(end)).unwrap_or(0);
        found.truncate(end);
        found.push('…');
    }
    FacesError::Content {
        path: path.to_owned(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found,
    }
}

/// Checked access to the tensors of a file.
pub(super) struct Reader<'a> {
    pub path: &'a Path,
    pub file: &'a SafeTensors<'a>,
}

impl Reader<'_> {
    fn view(&self, name: &str) -> Result<TensorView<'_>, FacesError> {
        self.file.tensor(name).map_err(|_| {
            content(self.path, &format!("tensor {name}"), "to be there", "no such tensor")
        })
    }

    pub fn shape(&self, name: &str) -> Result<Vec<usize>, FacesError> {
        Ok(self.view(name)?.shape().to_vec())
    }

    pub fn modes(
        &self,
        name: &str,
        count: usize,
        named: Option<usize>,
    ) -> Result<usize, FacesError> {
        let shape = self.shape(name)?;
        let fits = matches!(shape.as_slice(), &[modes, n, 3]
            if n == count && (1..=MAX_MODES).contains(&modes) && named.is_none_or(|k| k == modes));
        if fits {
            return Ok(shape[0]);
        }
        let modes = named.map_or_else(|| format!("1..={MAX_MODES}"), |k| k.to_string());
        let expected = format!("shape [{modes}, {count}, 3]");
        Err(content(self.path, &format!("tensor {name}"), &expected, format!("{shape:?}")))
    }

    /// Values in mm.
    pub fn floats(&self, name: &str, shape: &[usize], scale: f32) -> Result<Vec<f32>, FacesError> {
        let view = self.view(name)?;
        let tensor = format!("tensor {name}");
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data
                .chunks_exact(4)
                .map(|b| scale * f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => data
                .chunks_exact(2)
                .map(|b| scale * f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            other => {
                return Err(content(self.path, &tensor, "F16 or F32", format!("{other:?}")));
            }
        };
        if view.shape() != shape {
            let found = format!("{:?}", view.shape());
            return Err(content(self.path, &tensor, &format!("shape {shape:?}"), found));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let found = format!("{} at flat index {at}", values[at]);
                Err(content(self.path, &tensor, "finite numbers", found))
            }
        }
    }

    /// Whole numbers of one type, widened, below `limit`.
    fn integers(
        &self,
        name: &str,
        dtype: Dtype,
        fits: impl Fn(&[usize]) -> bool,
        expected: &str,
        limit: usize,
    ) -> Result<Vec<u32>, FacesError> {
        let view = self.view(name)?;
        let tensor = format!("tensor {name}");
        if view.dtype() != dtype || !fits(view.shape()) {
            let found = format!("{:?} {:?}", view.dtype(), view.shape());
            return Err(content(self.path, &tensor, expected, found));
        }
        let width = if dtype == Dtype::U8 { 1 } else { 4 };
        let mut values = Vec::with_capacity(view.data().len() / width);
        for (at, bytes) in view.data().chunks_exact(width).enumerate() {
            let mut word = [0; 4];
            word[..width].copy_from_slice(bytes);
            let value = u32::from_le_bytes(word);
            // A negative i32 reads as a number far beyond any limit.
            if value as usize >= limit {
                let found = if dtype == Dtype::I32 {
                    format!("{} at flat index {at}", value as i32)
                } else {
                    format!("{value} at flat index {at}")
                };
                return Err(content(self.path, &tensor, &format!("0 to {}", limit - 1), found));
            }
            values.push(value);
        }
        Ok(values)
    }

    pub fn triangles(&self, count: usize) -> Result<Vec<[u32; 3]>, FacesError> {
        let fits =
            |shape: &[usize]| matches!(shape, &[rows, 3] if (1..=4 * MAX_VERTICES).contains(&rows));
        let flat = self.integers("triangles", Dtype::U32, fits, "U32 [T, 3]", count)?;
        Ok(flat.chunks_exact(3).map(|t| [t[0], t[1], t[2]]).collect())
    }

    pub fn landmarks(&self, count: usize) -> Result<[u32; 68], FacesError> {
        let fits = |shape: &[usize]| shape == [68];
        let flat = self.integers("landmarks68", Dtype::I32, fits, "I32 [68]", count)?;
        let mut landmarks = [0; 68];
        landmarks.copy_from_slice(&flat);
        Ok(landmarks)
    }

    pub fn region(&self, count: usize) -> Result<Vec<u32>, FacesError> {
        let expected = format!("U8 [{count}]");
        self.integers("region", Dtype::U8, |shape| shape == [count], &expected, 5)
    }
}
