//! What the solving kernels write, on the device and on its way to the host.

use super::{Gpu, GpuError, wgpu};
use crate::maps::{NormalMap, Plane, Size};
use crate::stereo::{Solution, SurfaceMaps};

/// Solved maps that stay on the device.
#[derive(Debug)]
pub struct SurfaceBuffers {
    pub size: Size,
    /// Pixels of one component, padded to a multiple of four.
    pub(super) padded_area: usize,
    pub(super) normals: wgpu::Buffer,
    pub(super) albedo: wgpu::Buffer,
    pub(super) residual: wgpu::Buffer,
}

/// Solved maps and what they rest on, on the device.
#[derive(Debug)]
pub struct SolutionBuffers {
    pub surface: SurfaceBuffers,
    pub(super) lights_used: wgpu::Buffer,
    pub(super) noise_gain: wgpu::Buffer,
    pub(super) ambient: Option<wgpu::Buffer>,
}

impl SurfaceBuffers {
    /// Room for the maps of an image of this size.
    pub(super) fn create(gpu: &Gpu, size: Size) -> Result<Self, GpuError> {
        let quads = size.area().div_ceil(4);
        Ok(Self {
            size,
            padded_area: 4 * quads,
            normals: gpu.create_storage("the normal map", 12 * quads)?,
            albedo: gpu.create_storage("the albedo map", 4 * quads)?,
            residual: gpu.create_storage("the residual map", 4 * quads)?,
        })
    }

    /// Copies the maps to the host.
    pub fn download(&self, gpu: &Gpu) -> Result<SurfaceMaps, GpuError> {
        let (area, padded) = (self.size.area(), self.padded_area);
        let [normals, albedo, residual] = gpu.download([
            (&self.normals, 3 * padded),
            (&self.albedo, area),
            (&self.residual, area),
        ])?;
        let component = |c: usize| &normals[c * padded..c * padded + area];
        Ok(SurfaceMaps {
            normals: NormalMap::new(self.size, [component(0), component(1), component(2)].concat()),
            albedo: Plane::new(self.size, albedo),
            residual: Plane::new(self.size, residual),
        })
    }
}

impl SolutionBuffers {
    /// Room for the maps of an image of this size, without one for ambient light.
    pub(super) fn create(gpu: &Gpu, size: Size) -> Result<Self, GpuError> {
        let padded_area = 4 * size.area().div_ceil(4);
        Ok(Self {
            surface: SurfaceBuffers::create(gpu, size)?,
            lights_used: gpu.create_storage("the map of lights used", padded_area)?,
            noise_gain: gpu.create_storage("the noise gain map", padded_area)?,
            ambient: None,
        })
    }

    /// Copies the maps to the host.
    pub fn download(&self, gpu: &Gpu) -> Result<Solution, GpuError> {
        let (size, area) = (self.surface.size, self.surface.size.area());
        let [used, gain] = gpu.download([(&self.lights_used, area), (&self.noise_gain, area)])?;
        let ambient = match &self.ambient {
            None => None,
            Some(buffer) => {
                let [ambient] = gpu.download([(buffer, area)])?;
                Some(Plane::new(size, ambient))
            }
        };
        Ok(Solution {
            surface: self.surface.download(gpu)?,
            lights_used: Plane::new(size, used),
            noise_gain: Plane::new(size, gain),
            ambient,
        })
    }
}
