//! Which device does the work. The choice is explicit and explained: `auto` takes a hardware GPU
//! if there is one, else the CPU; a software rasteriser is correct but slower than our CPU code,
//! so it is taken only when named.

use super::{GpuError, wgpu};

/// What `--device` asks for: `auto`, `cpu`, `gpu` or `gpu:NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    #[default]
    Auto,
    Cpu,
    /// A GPU whose name contains this, case aside; any hardware GPU where `None`.
    Gpu(Option<String>),
}

impl std::str::FromStr for DeviceRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(None)),
            _ => match text.strip_prefix("gpu:") {
                Some(name) if !name.is_empty() => Ok(Self::Gpu(Some(name.to_string()))),
                _ => Err(format!("unknown device `{text}`; give auto, cpu, gpu or gpu:NAME")),
            },
        }
    }
}

/// What is known of an adapter without opening it.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSummary {
    /// Position in the enumeration.
    pub index: usize,
    pub name: String,
    /// "discrete GPU", "integrated GPU", "virtual GPU", "software" or "other".
    pub kind: &'static str,
    pub backend: String,
    pub driver: String,
    /// A rasteriser that runs on the CPU.
    pub software: bool,
    /// Lower is better.
    rank: u8,
}

/// Native compute APIs; OpenGL would list the same hardware a second time.
pub(super) fn backends() -> wgpu::Backends {
    wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12
}

pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends();
    wgpu::Instance::new(descriptor)
}

/// All adapters of this machine, in the system's order.
pub fn list_adapters() -> Vec<AdapterSummary> {
    let adapters = pollster::block_on(instance().enumerate_adapters(backends()));
    adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| {
            let info = adapter.get_info();
            let (kind, rank) = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => ("discrete GPU", 0),
                wgpu::DeviceType::IntegratedGpu => ("integrated GPU", 1),
                wgpu::DeviceType::VirtualGpu => ("virtual GPU", 2),
                wgpu::DeviceType::Other => ("other", 3),
                wgpu::DeviceType::Cpu => ("software", 4),
            };
            AdapterSummary {
                index,
                name: info.name,
                kind,
                backend: info.backend.to_string(),
                driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
                software: info.device_type == wgpu::DeviceType::Cpu,
                rank,
            }
        })
        .collect()
}

/// The device that a request comes to, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterChoice {
    /// `None` is the CPU.
    pub adapter: Option<AdapterSummary>,
    pub reason: String,
}

/// Picks an adapter for a request.
///
/// # Errors
/// `gpu` without a hardware GPU, `gpu:NAME` without a match.
pub fn choose_adapter(
    request: &DeviceRequest,
    adapters: &[AdapterSummary],
) -> Result<AdapterChoice, GpuError> {
    let best_hardware = || adapters.iter().filter(|a| !a.software).min_by_key(|a| a.rank);
    let cpu = |reason: &str| AdapterChoice { adapter: None, reason: reason.into() };
    let names = || {
        let list = adapters.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        if list.is_empty() { "there is none".to_string() } else { format!("there is: {list}") }
    };
    match request {
        DeviceRequest::Cpu => Ok(cpu("asked for")),
        DeviceRequest::Auto => Ok(match best_hardware() {
            Some(gpu) => AdapterChoice {
                adapter: Some(gpu.clone()),
                reason: format!("the best hardware GPU ({})", gpu.kind),
            },
            None if adapters.is_empty() => cpu("no GPU adapter was found"),
            None => cpu("only software adapters were found, which are slower than the CPU code"),
        }),
        DeviceRequest::Gpu(None) => best_hardware()
            .map(|gpu| AdapterChoice { adapter: Some(gpu.clone()), reason: "asked for".into() })
            .ok_or_else(|| {
                GpuError::NoAdapter(format!(
                    "no hardware GPU was found; {}; name one with gpu:NAME or choose cpu",
                    names()
                ))
            }),
        DeviceRequest::Gpu(Some(wanted)) => adapters
            .iter()
            .find(|a| a.name.to_lowercase().contains(&wanted.to_lowercase()))
            .map(|gpu| AdapterChoice { adapter: Some(gpu.clone()), reason: "named".into() })
            .ok_or_else(|| {
                GpuError::NoAdapter(format!("no adapter is named `{wanted}`; {}", names()))
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, rank: u8) -> AdapterSummary {
        AdapterSummary {
            index,
            name: name.into(),
            kind: "",
            backend: "vulkan".into(),
            driver: String::new(),
            software: rank == 4,
            rank,
        }
    }

    #[test]
    fn auto_prefers_hardware_and_never_software() {
        let all =
            [adapter(0, "llvmpipe", 4), adapter(1, "Integrated", 1), adapter(2, "Discrete", 0)];
        let chosen = |request: &str, adapters: &[AdapterSummary]| {
            choose_adapter(&request.parse().unwrap(), adapters)
                .map(|c| c.adapter.map(|a| a.index))
                .map_err(|e| e.to_string())
        };
        assert_eq!(chosen("auto", &all), Ok(Some(2)));
        assert_eq!(chosen("auto", &all[..2]), Ok(Some(1)));
        assert_eq!(chosen("auto", &all[..1]), Ok(None));
        assert_eq!(chosen("auto", &[]), Ok(None));
        assert_eq!(chosen("cpu", &all), Ok(None));
        assert_eq!(chosen("gpu:LLVM", &all), Ok(Some(0)));
        assert!(chosen("gpu", &all[..1]).unwrap_err().contains("llvmpipe"));
        assert!(chosen("gpu:nosuch", &all).unwrap_err().contains("nosuch"));
    }

    #[test]
    fn requests_are_parsed() {
        assert_eq!("gpu:RTX 4090".parse(), Ok(DeviceRequest::Gpu(Some("RTX 4090".into()))));
        assert!("cuda".parse::<DeviceRequest>().is_err());
        assert!("gpu:".parse::<DeviceRequest>().is_err());
    }
}
