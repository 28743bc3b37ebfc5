//! Wrapper of `shaders/trace.wgsl`; CPU twin: [`crate::synth::render`].
//!
//! One thread a pixel, the stack of open nodes in private memory. A scene is uploaded once for a
//! session; a frame takes 192 bytes and its lights up, and 16 bytes a pixel down. The sub-samples
//! and lights of a pixel run one after another in its thread: neighbouring threads then follow
//! neighbouring rays, and nothing is kept between passes.

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::{Gpu, GpuError, wgpu};
use crate::maps::Size;
use crate::synth::render::frame::{GRAZING, Job, MOST_LENSES};
use crate::synth::render::scene::MEAN_FREE_PATH_MM;
use crate::synth::render::shade::{OUTLINE, clearance};
use crate::synth::render::truth::{OfLight, Pixel};
use crate::synth::render::{Attached, Frame, LUMINANCE, Options, Radiance, Scene, Truth, View};

pub(super) const SOURCE: &str = include_str!("../../shaders/trace.wgsl");
pub(super) const BINDINGS: [Access; 8] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::ReadWrite,
];
/// Pixels on a side of a workgroup.
const SIDE: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) right: [f32; 3],
    pub(super) perspective: u32,
    pub(super) up: [f32; 3],
    pub(super) skip: f32,
    pub(super) toward: [f32; 3],
    pub(super) origin_z: f32,
    pub(super) eye: [f32; 3],
    pub(super) reach: f32,
    pub(super) step: [f32; 2],
    pub(super) centre: [f32; 2],
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) lights: u32,
    pub(super) samples_per_side: u32,
    pub(super) light_samples: u32,
    pub(super) effects: u32,
    pub(super) clearance: f32,
    pub(super) outline: f32,
    pub(super) creep: [f32; 3],
    pub(super) grazing: f32,
    pub(super) luminance: [f32; 3],
    pub(super) most_lenses: u32,
    pub(super) bounce_rays: u32,
    pub(super) first_bounce: u32,
    pub(super) padding: [u32; 2],
}

/// The compiled kernel.
#[derive(Debug)]
pub struct TraceKernel {
    layout: wgpu::BindGroupLayout,
    image: wgpu::ComputePipeline,
    truth: wgpu::ComputePipeline,
}

/// A scene on the device.
#[derive(Debug)]
pub struct SceneBuffers {
    nodes: wgpu::Buffer,
    triangles: wgpu::Buffer,
    corners: wgpu::Buffer,
    vertices: wgpu::Buffer,
    clearance: f32,
}

/// A frame with its lights and room for its image, and for its truth where that was asked for.
#[derive(Debug)]
pub struct PreparedTrace {
    size: Size,
    view: View,
    lights: usize,
    truth: bool,
    bindings: wgpu::BindGroup,
    results: wgpu::Buffer,
}

impl TraceKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        let entry = |name: &str| pipeline(device, &layout, SOURCE, name, &[]);
        Self { image: entry("trace_image"), truth: entry("trace_truth"), layout }
    }

    /// Uploads a scene.
    ///
    /// # Errors
    /// A scene too large for the device.
    pub fn upload(&self, gpu: &Gpu, scene: &Scene) -> Result<SceneBuffers, GpuError> {
        let what = "the scene";
        Ok(SceneBuffers {
            nodes: gpu.upload_storage(what, bytemuck::cast_slice(&scene.nodes))?,
            triangles: gpu.upload_storage(what, bytemuck::cast_slice(&scene.triangles))?,
            corners: gpu.upload_storage(what, bytemuck::cast_slice(&scene.corners))?,
            vertices: gpu.upload_storage(what, bytemuck::cast_slice(&scene.vertices))?,
            clearance: clearance(scene),
        })
    }

    /// Makes an image as [`crate::synth::render::image`] does.
    ///
    /// # Errors
    /// An image too large for the device, or a lost device.
    pub fn image(
        &self,
        gpu: &Gpu,
        (scene, buffers): (&Scene, &SceneBuffers),
        view: &View,
        size: Size,
        frame: &Frame,
        options: &Options,
    ) -> Result<Radiance, GpuError> {
        let prepared = self.prepare(gpu, (scene, buffers), view, size, frame, options, false)?;
        self.run(gpu, &prepared)?;
        prepared.download_image(gpu)
    }

    /// Finds the truth as [`crate::synth::render::truth`] does.
    ///
    /// # Errors
    /// As for [`Self::image`].
    pub fn truth(
        &self,
        gpu: &Gpu,
        (scene, buffers): (&Scene, &SceneBuffers),
        view: &View,
        size: Size,
        frame: &Frame,
        options: &Options,
    ) -> Result<Truth, GpuError> {
        let prepared = self.prepare(gpu, (scene, buffers), view, size, frame, options, true)?;
        self.run(gpu, &prepared)?;
        prepared.download_truth(gpu)
    }

    /// Uploads a frame; `truth` asks for the truth instead of the image.
    ///
    /// # Errors
    /// As for [`Self::image`].
    #[allow(clippy::too_many_arguments, reason = "what a frame is made of")]
    pub fn prepare(
        &self,
        gpu: &Gpu,
        (scene, buffers): (&Scene, &SceneBuffers),
        view: &View,
        size: Size,
        frame: &Frame,
        options: &Options,
        truth: bool,
    ) -> Result<PreparedTrace, GpuError> {
        let job = Job::new(scene, view, frame, options);
        let options = job.options;
        let effect = |bit: u32, on: bool| if on { 1u32 << bit } else { 0 };
        let rays = job.rays;
        let params = Params {
            right: rays.right,
            perspective: rays.perspective,
            up: rays.up,
            skip: rays.skip,
            toward: rays.toward,
            origin_z: rays.origin_z,
            eye: rays.eye,
            reach: rays.reach,
            step: rays.step,
            centre: rays.centre,
            height: size.height as u32,
            width: size.width as u32,
            lights: job.lights.len() as u32,
            samples_per_side: options.samples_per_side as u32,
            light_samples: options.light_samples as u32,
            effects: effect(0, options.attached == Attached::Negative)
                | effect(1, options.cast_shadows)
                | effect(2, options.specular)
                | effect(3, options.subsurface)
                | effect(4, options.lenses),
            clearance: buffers.clearance,
            outline: OUTLINE,
            creep: MEAN_FREE_PATH_MM,
            grazing: GRAZING,
            luminance: LUMINANCE,
            most_lenses: MOST_LENSES as u32,
            bounce_rays: options.bounce_rays as u32,
            first_bounce: job.spots.len() as u32,
            padding: [0; 2],
        };
        // Truth looks at the middle of every light; a binding must not be empty.
        let spots = if truth { vec![[0.0f32; 2]] } else { [job.spots, job.bounces].concat() };
        let mut lights = job.lights;
        lights.resize(lights.len().max(1), bytemuck::Zeroable::zeroed());
        let planes = if truth { 2 + frame.lights.len() } else { 1 };
        let results = gpu.create_storage("the traced image", planes * 4 * size.area().max(1))?;
        let bindings = bind_group(
            &gpu.device,
            &self.layout,
            &[
                &gpu.upload_uniform(&params),
                &buffers.nodes,
                &buffers.triangles,
                &buffers.corners,
                &buffers.vertices,
                &gpu.upload_storage("the lights", bytemuck::cast_slice(&lights))?,
                &gpu.upload_storage("the lights' discs", bytemuck::cast_slice(&spots))?,
                &results,
            ],
        );
        Ok(PreparedTrace {
            size,
            view: *view,
            lights: frame.lights.len(),
            truth,
            bindings,
            results,
        })
    }

    /// Traces a prepared frame; returns once it is queued.
    pub fn run(&self, gpu: &Gpu, prepared: &PreparedTrace) -> Result<(), GpuError> {
        let pipeline = if prepared.truth { &self.truth } else { &self.image };
        let groups = [prepared.size.width, prepared.size.height].map(|n| n.div_ceil(SIDE) as u32);
        gpu.dispatch(pipeline, &prepared.bindings, groups)
    }
}

impl PreparedTrace {
    /// Copies the image to the host.
    ///
    /// # Panics
    /// If the truth was asked for.
    pub fn download_image(&self, gpu: &Gpu) -> Result<Radiance, GpuError> {
        assert!(!self.truth, "prepared for the truth");
        let [values] = gpu.download([(&self.results, 4 * self.size.area())])?;
        Ok(Radiance { size: self.size, pixels: quads(&values) })
    }

    /// Copies the truth to the host.
    ///
    /// # Panics
    /// If the image was asked for.
    pub fn download_truth(&self, gpu: &Gpu) -> Result<Truth, GpuError> {
        assert!(self.truth, "prepared for the image");
        let area = self.size.area();
        let [values] = gpu.download([(&self.results, (2 + self.lights) * 4 * area)])?;
        let values = quads(&values);
        let (geometry, rest) = values.split_at(area);
        let (reflectance, lights) = rest.split_at(area);
        let pixels: Vec<Pixel> = geometry
            .iter()
            .zip(reflectance)
            .map(|(&[x, y, z, depth_mm], &[red, green, blue, part])| {
                let part = part as u32;
                if part == 255 {
                    return Pixel::BACKGROUND;
                }
                Pixel {
                    normal: [x, y, z],
                    albedo: [red, green, blue],
                    depth_mm,
                    part: (part & 255) as u8,
                    behind_lens: part >= 256,
                }
            })
            .collect();
        let of_light = |(pixel, &[specular_share, attached, cast, _]): (&Pixel, &[f32; 4])| {
            if pixel.part == 255 {
                return OfLight::BACKGROUND;
            }
            OfLight { attached: attached > 0.5, cast: cast > 0.5, specular_share }
        };
        let lights: Vec<Vec<OfLight>> = (0..self.lights)
            .map(|i| pixels.iter().zip(&lights[i * area..]).map(of_light).collect())
            .collect();
        Ok(Truth::from_pixels(self.size, &self.view, &pixels, &lights))
    }
}

fn quads(values: &[f32]) -> Vec<[f32; 4]> {
    values.chunks_exact(4).map(|v| [v[0], v[1], v[2], v[3]]).collect()
}
