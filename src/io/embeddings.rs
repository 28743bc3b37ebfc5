//! Embeddings of captures as a file: safetensors with one tensor `embeddings` (captures, dim) of 32-bit
//! floats, and in its metadata which network they are of and whom each shows.

use super::{IoError, read_regular_file, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const TENSOR: &str = "embeddings";
const FORMAT: &str = "lumiface-embeddings-1";
/// A million of 512 are 2 GiB.
const MAX_BYTES: u64 = 16 << 30;

/// Whom an embedding shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddedCapture {
    pub id: String,
    pub session: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Embeddings of one network, in the lengths that it gave them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// SHA-256 of the network's weights, or whatever else tells networks apart.
    pub model: String,
    pub captures: Vec<EmbeddedCapture>,
    /// Row-major, (captures, dim).
    pub vectors: Vec<f32>,
    pub dim: usize,
}

impl Embeddings {
    pub fn row(&self, at: usize) -> &[f32] {
        &self.vectors[at * self.dim..(at + 1) * self.dim]
    }

    /// # Errors
    /// What the system reports.
    ///
    /// # Panics
    /// If there are not `dim` values for each capture.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        assert_eq!(self.vectors.len(), self.captures.len() * self.dim, "a row a capture");
        let unwritable = |e: &dyn std::fmt::Display| IoError::unsuitable(path, e.to_string());
        let captures = serde_json::to_string(&self.captures).map_err(|e| unwritable(&e))?;
        let metadata = HashMap::from(
            [("format", FORMAT), ("model", &self.model), ("captures", &captures)]
                .map(|(key, value)| (key.to_string(), value.to_string())),
        );
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            vec![self.captures.len(), self.dim],
            bytemuck::cast_slice(&self.vectors),
        )
        .map_err(|e| unwritable(&e))?;
        let bytes =
            safetensors::serialize([(TENSOR, view)], Some(metadata)).map_err(|e| unwritable(&e))?;
        write_atomically(path, |out| out.write_all(&bytes))
    }

    /// # Errors
    /// A file that is missing, damaged, or of other than such embeddings; a value that is not finite.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let bytes = read_regular_file(path, MAX_BYTES)?;
        let unsuitable = |reason: String| {
            IoError::unsuitable(path, format!("{reason}; give a file that `lumiface embed` wrote"))
        };
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
            .map_err(|e| unsuitable(format!("is no safetensors file ({e})")))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(unsuitable("does not hold embeddings of captures".into()));
        }
        let text = |key: &str| {
            metadata.get(key).ok_or_else(|| unsuitable(format!("lacks `{key}` in its metadata")))
        };
        let captures: Vec<EmbeddedCapture> = serde_json::from_str(text("captures")?)
            .map_err(|e| unsuitable(format!("its list of captures is damaged ({e})")))?;
        let model = text("model")?.clone();
        let tensors = safetensors::SafeTensors::deserialize(&bytes)
            .map_err(|e| unsuitable(format!("is damaged ({e})")))?;
        let tensor = tensors
            .tensor(TENSOR)
            .map_err(|_| unsuitable(format!("lacks the tensor `{TENSOR}`")))?;
        let (safetensors::Dtype::F32, &[count, dim]) = (tensor.dtype(), tensor.shape()) else {
            return Err(unsuitable(format!(
                "`{TENSOR}` is {:?} {:?}, not (captures, dim) of 32-bit floats",
                tensor.dtype(),
                tensor.shape()
            )));
        };
        if dim == 0 {
            return Err(unsuitable("its embeddings have no values".into()));
        }
        if count != captures.len() {
            let listed = captures.len();
            return Err(unsuitable(format!("holds {count} embeddings of {listed} captures")));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        let vectors: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
        let broken = vectors.chunks(dim.max(1)).position(|row| row.iter().any(|v| !v.is_finite()));
        if let Some(at) = broken {
            let EmbeddedCapture { id, session, .. } = &captures[at];
            return Err(unsuitable(format!("the embedding of {id}/{session} is not finite")));
        }
        Ok(Self { model, captures, vectors, dim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_read_back_and_what_is_broken_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let capture = |id: &str| EmbeddedCapture {
            id: id.into(),
            session: "s \"1\"".into(),
            labels: [("pose".to_string(), "2".to_string())].into(),
        };
        let mut embeddings = Embeddings {
            model: "abc".into(),
            captures: vec![capture("ä"), capture("b")],
            vectors: vec![1.0, -2.5, 3e-9, 4.0, 5.0, 6.0],
            dim: 3,
        };
        embeddings.write(file.path()).unwrap();
        assert_eq!(Embeddings::read(file.path()).unwrap(), embeddings);
        assert_eq!(embeddings.row(1), [4.0, 5.0, 6.0]);

        let refused = || Embeddings::read(file.path()).unwrap_err().to_string();
        embeddings.vectors[4] = f32::NAN;
        embeddings.write(file.path()).unwrap();
        assert!(refused().contains("the embedding of b/s \"1\" is not finite"), "{}", refused());
        let bytes = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), &bytes[..bytes.len() - 1]).unwrap();
        assert!(refused().contains("safetensors") || refused().contains("damaged"));
        Embeddings { vectors: Vec::new(), dim: 0, ..embeddings }.write(file.path()).unwrap();
        assert!(refused().contains("have no values"), "{}", refused());
        std::fs::write(file.path(), "no").unwrap();
        assert!(refused().contains("is no safetensors file"), "{}", refused());
    }
}
