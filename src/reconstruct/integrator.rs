//! Which integrator, by name.

use crate::geometry::Camera;
use crate::integrate::{BilateralOptions, bilateral, frankot_chellappa, poisson, poisson_dct};
use crate::maps::{DepthMap, Mask, NormalMap};
use serde::{Deserialize, Serialize};

/// An integrator; each is a function of [`crate::integrate`], which has its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrator {
    FrankotChellappa,
    PoissonDct,
    /// Masked, natural boundary.
    #[default]
    Poisson,
    /// Masked, keeps discontinuities.
    Bilateral,
}

impl Integrator {
    pub const NAMES: [(&str, Integrator); 4] = [
        ("frankot-chellappa", Integrator::FrankotChellappa),
        ("poisson-dct", Integrator::PoissonDct),
        ("poisson", Integrator::Poisson),
        ("bilateral", Integrator::Bilateral),
    ];

    /// Integrates on the CPU; see the functions for what comes back. A camera is heeded by those
    /// that know perspective.
    pub fn integrate(
        self,
        normals: &NormalMap,
        mask: &Mask,
        camera: Option<&Camera>,
        options: &BilateralOptions,
    ) -> DepthMap {
        match self {
            Integrator::FrankotChellappa => frankot_chellappa(normals, mask),
            Integrator::PoissonDct => poisson_dct(normals, mask),
            Integrator::Poisson => poisson(normals, mask, camera),
            Integrator::Bilateral => bilateral(normals, mask, camera, options),
        }
    }

    /// Whether a camera changes what it does; the others are orthographic only.
    pub fn knows_perspective(self) -> bool {
        matches!(self, Integrator::Poisson | Integrator::Bilateral)
    }
}

impl std::str::FromStr for Integrator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        crate::config::parse_name("integrator", name, &Self::NAMES)
    }
}

impl std::fmt::Display for Integrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::config::name_of(*self, &Self::NAMES))
    }
}
