//! Named tensors from other people's files: PyTorch checkpoints and safetensors.

use super::IoError;
use half::{bf16, f16};
use std::collections::BTreeMap;
use std::path::Path;

/// A tensor of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type StateDict = BTreeMap<String, NamedTensor>;

/// Reads a PyTorch checkpoint (`.pth`, `.pt`, as `torch.save` writes them) or a safetensors file.
/// Nothing that a checkpoint holds is ever run. Tensors of whole numbers are left out; floats of
/// other widths become 32 bits.
///
/// # Errors
/// A missing or damaged file, or one that is neither.
pub fn read_state_dict(path: &Path) -> Result<StateDict, IoError> {
    if !path.exists() {
        return Err(IoError::NotFound(path.to_path_buf()));
    }
    if path.is_dir() {
        return Err(IoError::NotAFile(path.to_path_buf()));
    }
    let is_safetensors = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    if is_safetensors { read_safetensors(path) } else { read_pytorch(path) }
}

fn read_pytorch(path: &Path) -> Result<StateDict, IoError> {
    use pytorch_reader::DType;
    let refuse = |reason: String| {
        IoError::undecodable(path, format!("no PyTorch checkpoint that can be read: {reason}"))
    };
    let reader = pytorch_reader::PytorchReader::new(path).map_err(|e| refuse(e.to_string()))?;
    let mut tensors = StateDict::new();
    for (name, tensor) in reader.tensors() {
        let decode: fn(&[u8]) -> Vec<f32> = match tensor.dtype() {
            DType::F32 => f32s,
            DType::F64 => f64s,
            DType::F16 => f16s,
            DType::BF16 => bf16s,
            _ => continue,
        };
        let bytes = tensor.read().map_err(|e| refuse(format!("`{name}`: {e}")))?;
        let shape = tensor.shape().to_vec();
        tensors.insert(name.clone(), NamedTensor { shape, values: decode(&bytes) });
    }
    Ok(tensors)
}

fn read_safetensors(path: &Path) -> Result<StateDict, IoError> {
    use safetensors::Dtype;
    let bytes = std::fs::read(path).map_err(|e| IoError::from_system(path, e))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|e| IoError::undecodable(path, format!("no safetensors file: {e}")))?;
    let mut tensors = StateDict::new();
    for (name, view) in file.iter() {
        let decode: fn(&[u8]) -> Vec<f32> = match view.dtype() {
            Dtype::F32 => f32s,
            Dtype::F64 => f64s,
            Dtype::F16 => f16s,
            Dtype::BF16 => bf16s,
            _ => continue,
        };
        let tensor = NamedTensor { shape: view.shape().to_vec(), values: decode(view.data()) };
        tensors.insert(name.to_string(), tensor);
    }
    Ok(tensors)
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn f64s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect()
}

fn f16s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
}

fn bf16s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
}

/// Writes tensors as a safetensors file of 32-bit floats, whole or not at all.
pub fn write_state_dict(path: &Path, tensors: &StateDict) -> Result<(), IoError> {
    let unwritable = |e: safetensors::SafeTensorError| IoError::unsuitable(path, e);
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = bytemuck::cast_slice(&tensor.values);
            let dtype = safetensors::Dtype::F32;
            let view = safetensors::tensor::TensorView::new(dtype, tensor.shape.clone(), bytes)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(unwritable)?;
    let bytes = safetensors::serialize(views, None).map_err(unwritable)?;
    super::write_atomically(path, |out| out.write_all(&bytes))
}
