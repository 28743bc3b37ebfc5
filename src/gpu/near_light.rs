//! Wrapper of `shaders/near_light.wgsl`; CPU twin: [`crate::stereo::NearLight::solve_at`].
//!
//! One solve for one depth; the alternation with an integrator is the caller's. A pixel takes its
//! k raw samples and 4 bytes of depth up and 28 bytes of results down, which is what the maps hold
//! and the least that can be moved; the rounds in between live in registers and caches.

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::raw_samples::padded_bytes;
use super::{Gpu, GpuError, wgpu};
use crate::maps::{DepthMap, ImageStack, Mask, NearLights, NormalMap, Pixels, Plane, Size};
use crate::stereo::{NearLight, Solution, SurfaceMaps, near_light};

pub(super) const SOURCE: &str = include_str!("../../shaders/near_light.wgsl");
pub(super) const BINDINGS: [Access; 5] =
    [Access::Uniform, Access::Read, Access::Read, Access::Read, Access::ReadWrite];
const WORKGROUP: usize = 256;
/// n_x, n_y, n_z, albedo, residual, lights used, noise gain.
const PLANES: usize = 7;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) quads: u32,
    pub(super) width: u32,
    pub(super) lights: u32,
    pub(super) shadow_rounds: u32,
    pub(super) unit: f32,
    pub(super) full_cosine: f32,
    pub(super) least_weight: f32,
    pub(super) singular: f32,
    pub(super) focal: [f32; 2],
    pub(super) centre: [f32; 2],
    pub(super) nan_bits: u32,
    pub(super) padding: u32,
}

/// The compiled kernel, for 8-bit, 16-bit and float values.
#[derive(Debug)]
pub struct NearLightKernel {
    layout: wgpu::BindGroupLayout,
    for_u8: wgpu::ComputePipeline,
    for_u16: wgpu::ComputePipeline,
    for_f32: wgpu::ComputePipeline,
}

/// A stack on the device with its lamps, a depth and room for the results.
#[derive(Debug)]
pub struct PreparedNearLight {
    size: Size,
    bits: u32,
    quads: usize,
    bindings: wgpu::BindGroup,
    results: wgpu::Buffer,
}

impl NearLightKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        let with_bits =
            |bits: f64| pipeline(device, &layout, SOURCE, "near_light", &[("bits", bits)]);
        Self { for_u8: with_bits(8.0), for_u16: with_bits(16.0), for_f32: with_bits(32.0), layout }
    }

    /// Uploads a stack, its lamps and the distance along the optical axis of every pixel in mm.
    ///
    /// # Errors
    /// Lamps that cannot be solved with, or images too large for the device.
    ///
    /// # Panics
    /// If there is not one lamp per image, or the mask or depth is of another size.
    pub fn prepare(
        &self,
        gpu: &Gpu,
        solver: &NearLight,
        images: &ImageStack,
        lamps: &NearLights,
        mask: &Mask,
        depth_mm: &DepthMap,
    ) -> Result<PreparedNearLight, NearLightGpuError> {
        assert_eq!(images.count, lamps.positions_mm.len(), "one lamp per image");
        assert_eq!(images.size, mask.size, "a mask of the images' size");
        assert_eq!(images.size, depth_mm.size, "a depth of the images' size");
        near_light::check_lamps(lamps, images)?;
        let area = images.size.area();
        let quads = area.div_ceil(4);
        let params = Params {
            quads: quads as u32,
            width: images.size.width as u32,
            lights: images.count as u32,
            shadow_rounds: solver.shadow_rounds as u32,
            unit: 1.0 / images.pixels.full_scale(),
            full_cosine: near_light::FULL_COSINE,
            least_weight: near_light::LEAST_WEIGHT,
            singular: near_light::SINGULAR,
            focal: lamps.camera.focal_px.map(|v| v as f32),
            centre: lamps.camera.centre_px.map(|v| v as f32),
            nan_bits: f32::NAN.to_bits(),
            padding: 0,
        };
        let strengths = near_light::lamp_strengths(lamps, images);
        let lamps: Vec<[f32; 4]> = lamps
            .positions_mm
            .iter()
            .zip(strengths)
            .map(|(s, strength)| [s.x, s.y, s.z, strength as f32])
            .collect();
        // NaN may be optimised away in a shader: zero says that there is nothing to solve.
        let known = |(z, inside): (&f32, &bool)| if *inside && *z > 0.0 { *z } else { 0.0 };
        let mut depth: Vec<f32> = depth_mm.data.iter().zip(&mask.data).map(known).collect();
        depth.resize(4 * quads, 0.0);
        let (bits, raw) = match &images.pixels {
            Pixels::U8(values) => (8, padded_bytes(values, area, quads)),
            Pixels::U16(values) => (16, padded_bytes(values, area, quads)),
            Pixels::F32(values) => (32, padded_bytes(values, area, quads)),
        };
        let results = gpu.create_storage("the near-light maps", PLANES * 4 * quads)?;
        let bindings = bind_group(
            &gpu.device,
            &self.layout,
            &[
                &gpu.upload_uniform(&params),
                &gpu.upload_storage("the lamps", bytemuck::cast_slice(&lamps))?,
                &gpu.upload_storage("the image stack", &raw)?,
                &gpu.upload_storage("the depth map", bytemuck::cast_slice(&depth))?,
                &results,
            ],
        );
        Ok(PreparedNearLight { size: images.size, bits, quads, bindings, results })
    }

    /// Solves a prepared stack; returns once it is queued.
    pub fn run(&self, gpu: &Gpu, stack: &PreparedNearLight) -> Result<(), GpuError> {
        let pipeline = match stack.bits {
            8 => &self.for_u8,
            16 => &self.for_u16,
            _ => &self.for_f32,
        };
        gpu.dispatch(pipeline, &stack.bindings, [stack.quads.div_ceil(WORKGROUP) as u32, 1])
    }
}

impl PreparedNearLight {
    /// Copies the maps to the host.
    pub fn download(&self, gpu: &Gpu) -> Result<Solution, GpuError> {
        let (area, padded) = (self.size.area(), 4 * self.quads);
        let [results] = gpu.download([(&self.results, PLANES * padded)])?;
        let values = |plane: usize| results[plane * padded..plane * padded + area].to_vec();
        let plane = |index: usize| Plane::new(self.size, values(index));
        let normals = [values(0), values(1), values(2)].concat();
        Ok(Solution {
            surface: SurfaceMaps {
                normals: NormalMap::new(self.size, normals),
                albedo: plane(3),
                residual: plane(4),
            },
            lights_used: plane(5),
            noise_gain: plane(6),
            ambient: None,
        })
    }
}

/// Why a near-light solve cannot start on the GPU.
#[derive(Debug, thiserror::Error)]
pub enum NearLightGpuError {
    #[error(transparent)]
    Lamps(#[from] crate::stereo::SolverError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
