//! Buffers and pipelines: what every kernel wrapper needs of wgpu.

use super::{Gpu, GpuError, wgpu};
use wgpu::util::DeviceExt;

/// How a kernel sees the buffer at one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Uniform,
    Read,
    ReadWrite,
}

pub(super) fn bind_group_layout(
    device: &wgpu::Device,
    accesses: &[Access],
) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = accesses
        .iter()
        .zip(0..)
        .map(|(access, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    })
}

pub(super) fn pipeline(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    source: &str,
    entry_point: &str,
    constants: &[(&str, f64)],
) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(entry_point),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry_point),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(entry_point),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}

pub(super) fn bind_group(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    buffers: &[&wgpu::Buffer],
) -> wgpu::BindGroup {
    let entries: Vec<_> = buffers
        .iter()
        .zip(0..)
        .map(|(buffer, binding)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

impl Gpu {
    /// Refuses a buffer that the device cannot bind, before the driver does so by a panic.
    fn check_bytes(&self, what: &'static str, bytes: u64) -> Result<(), GpuError> {
        let limits = self.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes <= limit { Ok(()) } else { Err(GpuError::TooLarge { what, bytes, limit }) }
    }

    pub(super) fn upload_storage(
        &self,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<wgpu::Buffer, GpuError> {
        self.check_bytes(what, bytes.len() as u64)?;
        Ok(self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(what),
            contents: bytes,
            usage: wgpu::BufferUsages::STORAGE,
        }))
    }

    /// As [`Self::upload_storage`], for what is so large that the device's memory may not have room
    /// for it: that is an error, not a panic.
    pub(super) fn upload_resident(
        &self,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<wgpu::Buffer, GpuError> {
        let size = bytes.len() as u64;
        self.check_bytes(what, size)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if pollster::block_on(scope.pop()).is_some() {
            return Err(GpuError::OutOfMemory { what, bytes: size });
        }
        self.queue.write_buffer(&buffer, 0, bytes);
        self.queue.submit([]);
        Ok(buffer)
    }

    pub(super) fn upload_uniform<T: bytemuck::NoUninit>(&self, value: &T) -> wgpu::Buffer {
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("params"),
            contents: bytemuck::bytes_of(value),
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }

    /// A buffer of f32 for results.
    pub(super) fn create_storage(
        &self,
        what: &'static str,
        values: usize,
    ) -> Result<wgpu::Buffer, GpuError> {
        let size = 4 * values as u64;
        self.check_bytes(what, size)?;
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        }))
    }

    /// Runs one kernel over `groups` workgroups after everything submitted before it.
    pub(super) fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        bindings: &wgpu::BindGroup,
        groups: [u32; 2],
    ) -> Result<(), GpuError> {
        self.check_groups(groups)?;
        self.submit_pass(|pass| {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bindings, &[]);
            pass.dispatch_workgroups(groups[0], groups[1], 1);
        });
        Ok(())
    }

    /// Refuses more workgroups than the device starts at once.
    pub(super) fn check_groups(&self, groups: [u32; 2]) -> Result<(), GpuError> {
        let limit = self.device.limits().max_compute_workgroups_per_dimension;
        if groups.iter().any(|&count| count > limit) {
            return Err(GpuError::TooManyWorkgroups);
        }
        Ok(())
    }

    /// Runs the kernels that `record` records, each after the one before it and everything
    /// submitted earlier.
    pub(super) fn submit_pass(&self, record: impl FnOnce(&mut wgpu::ComputePass)) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        self.queue.submit([encoder.finish()]);
    }

    /// Copies the first `values` f32 of each buffer to the host, in one wait.
    pub(super) fn download<const N: usize>(
        &self,
        sources: [(&wgpu::Buffer, usize); N],
    ) -> Result<[Vec<f32>; N], GpuError> {
        self.download_parts(sources.map(|(source, values)| (source, 0..values)))
    }

    /// Copies a range of f32 of each buffer to the host, in one wait.
    pub(super) fn download_parts<const N: usize>(
        &self,
        sources: [(&wgpu::Buffer, std::ops::Range<usize>); N],
    ) -> Result<[Vec<f32>; N], GpuError> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let staged = sources.map(|(source, values)| {
            let (first, size) = (4 * values.start as u64, 4 * values.len() as u64);
            let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("download"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            encoder.copy_buffer_to_buffer(source, first, &staging, 0, size);
            staging
        });
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        for staging in &staged {
            let sender = sender.clone();
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver lives until every answer is in, or nobody wants them any more.
                let _ = sender.send(result);
            });
        }
        self.wait()?;
        for _ in &staged {
            let result = receiver.recv().map_err(|e| GpuError::Lost(e.to_string()))?;
            result.map_err(|e| GpuError::Lost(e.to_string()))?;
        }
        let mut results = std::array::from_fn(|_| Vec::new());
        for (staging, result) in staged.iter().zip(&mut results) {
            let view = staging.get_mapped_range(..).map_err(|e| GpuError::Lost(e.to_string()))?;
            *result = bytemuck::pod_collect_to_vec(&view[..]);
        }
        Ok(results)
    }
}
