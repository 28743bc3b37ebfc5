//! Image stacks as kernels read them: raw values as the files hold them, four pixels to a group.
//! `shaders/shared/raw_samples.wgsl` takes them apart again.

use super::buffers::pipeline;
use super::{Gpu, wgpu};
use crate::maps::{ImageStack, Pixels};
use std::sync::OnceLock;

/// One entry point compiled for 8-bit, 16-bit and float values, each when first used.
#[derive(Debug, Default)]
pub(super) struct SamplePipelines([OnceLock<wgpu::ComputePipeline>; 3]);

impl SamplePipelines {
    /// `bits` as [`raw_bytes`] returns them.
    pub(super) fn get(
        &self,
        gpu: &Gpu,
        layout: &wgpu::BindGroupLayout,
        source: &str,
        entry_point: &str,
        bits: u32,
    ) -> &wgpu::ComputePipeline {
        let depth = match bits {
            8 => 0,
            16 => 1,
            _ => 2,
        };
        let constants = [("bits", f64::from(bits))];
        self.0[depth].get_or_init(|| pipeline(&gpu.device, layout, source, entry_point, &constants))
    }
}

/// A stack as the kernels read it: bits of a value, groups of four pixels per image, and the bytes.
pub(super) fn raw_bytes(images: &ImageStack) -> (u32, usize, Vec<u8>) {
    let area = images.size.area();
    let quads = area.div_ceil(4);
    match &images.pixels {
        Pixels::U8(values) => (8, quads, padded_bytes(values, area, quads)),
        Pixels::U16(values) => (16, quads, padded_bytes(values, area, quads)),
        Pixels::F32(values) => (32, quads, padded_bytes(values, area, quads)),
    }
}

/// The bytes of (k, area) values with each image padded to `4 * quads` values.
pub(super) fn padded_bytes<T: bytemuck::NoUninit>(
    values: &[T],
    area: usize,
    quads: usize,
) -> Vec<u8> {
    let value_bytes = size_of::<T>();
    if area == 4 * quads {
        return bytemuck::cast_slice(values).to_vec();
    }
    let mut bytes = Vec::with_capacity(values.len() / area.max(1) * 4 * quads * value_bytes);
    for image in values.chunks_exact(area) {
        bytes.extend_from_slice(bytemuck::cast_slice(image));
        bytes.resize(bytes.len() + (4 * quads - area) * value_bytes, 0);
    }
    bytes
}
