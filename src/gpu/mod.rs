//! The GPU side: which adapter, the one device that our kernels and burn share, and the kernels.
//!
//! Each kernel is a WGSL file in `shaders/`, a wrapper here that takes domain types and checks
//! shapes, and a CPU twin of the same name; tests compare the twins. The types that a wrapper
//! uploads are checked against the WGSL by reflection, without an adapter.

mod adapter;
mod buffers;
mod frankot_chellappa;
mod least_squares;
mod least_squares_ambient;
mod near_light;
mod poisson;
mod raw_samples;
#[cfg(test)]
mod reflection;
mod reweighted;
mod solution;
mod top_k;
mod trace;

pub use adapter::{AdapterChoice, AdapterSummary, DeviceRequest, choose_adapter, list_adapters};
pub use frankot_chellappa::FrankotChellappaKernel;
pub use least_squares::{LeastSquaresKernel, PreparedStack};
pub use least_squares_ambient::{LeastSquaresAmbientKernel, PreparedAmbient};
pub use near_light::{NearLightGpuError, NearLightKernel, PreparedNearLight};
pub use poisson::PoissonKernel;
pub use reweighted::{PreparedReweighted, Reweighted, ReweightedKernel};
pub use solution::{SolutionBuffers, SurfaceBuffers};
pub use top_k::{PreparedRows, TILE, TopKKernel, pays};
pub use trace::{PreparedTrace, SceneBuffers, TraceKernel};

pub(crate) use burn::tensor::wgpu::wgpu;

/// Why the GPU cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("{0}")]
    NoAdapter(String),
    #[error("{name}: the device cannot be opened ({reason}); choose --device cpu")]
    Device { name: String, reason: String },
    #[error(
        "{what} needs a buffer of {bytes} bytes, the GPU allows {limit}; choose --device cpu, or give \
         less at once"
    )]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
    #[error("{what} takes {bytes} bytes, more than the GPU has free; choose --device cpu")]
    OutOfMemory { what: &'static str, bytes: u64 },
    #[error("the image is too large for the GPU; choose --device cpu")]
    TooManyWorkgroups,
    #[error("the GPU gave no result ({0}); choose --device cpu")]
    Lost(String),
    #[error(transparent)]
    Lights(#[from] crate::stereo::SolverError),
}

/// An opened GPU with our kernels compiled.
///
/// wgpu handles are reference-counted, so a clone shares the device.
#[derive(Debug)]
pub struct Gpu {
    pub summary: AdapterSummary,
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub least_squares: LeastSquaresKernel,
    pub least_squares_ambient: LeastSquaresAmbientKernel,
    pub reweighted: ReweightedKernel,
    pub frankot_chellappa: FrankotChellappaKernel,
    pub near_light: NearLightKernel,
    pub poisson: PoissonKernel,
    pub top_k: TopKKernel,
    pub trace: TraceKernel,
}

impl Gpu {
    /// Opens an adapter that [`choose_adapter`] chose.
    pub fn open(summary: &AdapterSummary) -> Result<Self, GpuError> {
        let fail = |reason: String| GpuError::Device { name: summary.name.clone(), reason };
        let instance = adapter::instance();
        let adapter = pollster::block_on(instance.enumerate_adapters(adapter::backends()))
            .into_iter()
            .nth(summary.index)
            .ok_or_else(|| fail("it is gone".into()))?;
        // Everything the adapter has, as burn's own kernels expect it, except what needs unsafe
        // opt-in or makes every buffer slow.
        let features = adapter
            .features()
            .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS)
            .difference(wgpu::Features::all_experimental_mask());
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("lumiface"),
            required_features: features,
            required_limits: adapter.limits(),
            ..Default::default()
        }))
        .map_err(|e| fail(e.to_string()))?;
        Ok(Self {
            summary: summary.clone(),
            least_squares: LeastSquaresKernel::new(&device),
            least_squares_ambient: LeastSquaresAmbientKernel::new(&device),
            reweighted: ReweightedKernel::new(&device),
            frankot_chellappa: FrankotChellappaKernel::new(&device),
            near_light: NearLightKernel::new(&device),
            poisson: PoissonKernel::new(&device),
            top_k: TopKKernel::new(&device),
            trace: TraceKernel::new(&device),
            instance,
            adapter,
            device,
            queue,
        })
    }

    /// Opens the first adapter of any kind, software rasterisers included, for tests that compare
    /// kernels with their CPU twins.
    pub fn open_any() -> Result<Self, GpuError> {
        let adapters = list_adapters();
        let first = adapters.first().ok_or_else(|| {
            GpuError::NoAdapter("no Vulkan, Metal or DirectX 12 adapter was found".into())
        })?;
        Self::open(first)
    }

    /// The same device for burn: tensors and our buffers live side by side.
    pub fn burn_device(&self) -> Result<burn::tensor::Device, GpuError> {
        let setup = burn::tensor::wgpu::WgpuSetup {
            instance: self.instance.clone(),
            adapter: self.adapter.clone(),
            device: self.device.clone(),
            queue: self.queue.clone(),
            backend: self.adapter.get_info().backend,
        };
        burn::tensor::Device::wgpu_options().setup(setup).init().map_err(|e| GpuError::Device {
            name: self.summary.name.clone(),
            reason: e.to_string(),
        })
    }

    /// Waits until everything submitted so far is done.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map(|_| ())
            .map_err(|e| GpuError::Lost(e.to_string()))
    }
}
