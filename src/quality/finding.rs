//! What is wrong with a capture, in words that say what to do.

use serde::{Deserialize, Serialize};

/// How much a finding should worry, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; the maps are as good as such a capture allows.
    Note,
    /// The maps suffer, by more than noise.
    Warning,
    /// The maps are not to be trusted until it is mended.
    Error,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingCode {
    IllConditionedLights,
    NearlyEqualLights,
    RepeatedImage,
    Saturated,
    FewUsableLights,
    HighResidual,
    HighCurl,
    TooSteep,
    FrameDrift,
    FramesMisaligned,
    LightIntensity,
    LightOrder,
    LightFrame,
    BlurredFrame,
}

impl FindingCode {
    /// The name in files: `light-order`.
    pub fn name(self) -> &'static str {
        match self {
            Self::IllConditionedLights => "ill-conditioned-lights",
            Self::NearlyEqualLights => "nearly-equal-lights",
            Self::RepeatedImage => "repeated-image",
            Self::Saturated => "saturated",
            Self::FewUsableLights => "few-usable-lights",
            Self::HighResidual => "high-residual",
            Self::HighCurl => "high-curl",
            Self::TooSteep => "too-steep",
            Self::FrameDrift => "frame-drift",
            Self::FramesMisaligned => "frames-misaligned",
            Self::LightIntensity => "light-intensity",
            Self::LightOrder => "light-order",
            Self::LightFrame => "light-frame",
            Self::BlurredFrame => "blurred-frame",
        }
    }
}

/// One thing found in a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    /// What was seen, with its numbers. Images and lights count from 1 in words, from 0 in fields.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(
        code: FindingCode,
        severity: Severity,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { code, severity, message: message.into(), remedy: remedy.into() }
    }
}

/// "80 %", "3.4 %", "0.12 %".
pub(super) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    match value.abs() {
        v if v >= 9.95 => format!("{value:.0} %"),
        v if v >= 0.995 => format!("{value:.1} %"),
        _ => format!("{value:.2} %"),
    }
}
