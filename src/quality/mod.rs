//! How good a capture is, and what to do about it.
//!
//! [`assess`] looks at the images, their lights and the maps made from them, and returns figures
//! and [`Finding`]s: each says what was seen, with its numbers, and a remedy. It needs no ground
//! truth. What cannot be judged (residuals of three lights, a subject too small) is `None`.
//!
//! Four independent witnesses speak:
//!
//! - **exposure**: which observations are saturated or in shadow ([`exposure_maps`]);
//! - **redundancy**: four lights or more over-determine the three numbers of a pixel. What sticks
//!   out tells lamps of the wrong brightness, images under the wrong light, and images that do not
//!   lie on each other apart, because each leaves another pattern;
//! - **integrability**: normals of a surface have slopes without curl. It tells a mirrored frame of
//!   lights, which least squares fits perfectly;
//! - **sharpness**: frames of one capture show the same texture.
//!
//! Lights are taken as distant; for near lights pass what they are at the subject's centre. The
//! thresholds are constants beside each check, with their reasons.

mod alignment;
mod coarse;
mod curl;
mod exposure;
mod finding;
mod gains;
mod light_frame;
mod light_order;
mod lights;
mod maps;
mod sharpness;
mod summary;

pub use alignment::{Alignment, MAX_DRIFT, MAX_SHIFT_BLOCKS};
pub use exposure::{
    ExposureMaps, ExposureQuality, MAX_SATURATED, MAX_UNDETERMINED, SHADOW_SHARE,
    TOO_MUCH_SATURATED, exposure_maps,
};
pub use finding::{Finding, FindingCode, Severity};
pub use gains::{LightGains, MAX_GAIN_DEVIATION};
pub use light_frame::{FrameVariant, LightFrame};
pub use light_order::LightOrder;
pub use lights::{MAX_CONDITION, NEARLY_EQUAL_DEG};
pub use maps::{Integrability, MAX_CURL, MAX_RESIDUAL_SHARE, MAX_SLOPE_DEG, ResidualQuality};
pub use sharpness::BLURRED;
pub use summary::{FindingCount, SetQuality, summarise};

use crate::maps::{AlbedoMap, ConfidenceMap, ImageStack, Lights, Mask, NormalMap, ResidualMap};
use coarse::Coarse;
use curl::{CurlSums, coarse_normals};
use serde::{Deserialize, Serialize};

/// What [`assess`] looks at. All maps are of the images' size.
#[derive(Clone, Copy, Debug)]
pub struct QualityInput<'a> {
    /// As they were solved: prepared and registered, if they were.
    pub images: &'a ImageStack,
    /// One per image.
    pub lights: &'a Lights,
    pub normals: &'a NormalMap,
    pub albedo: &'a AlbedoMap,
    pub residual: &'a ResidualMap,
    pub mask: &'a Mask,
    pub confidence: Option<&'a ConfidenceMap>,
    /// Where the subject was in each image before registration, right and down in pixels from any
    /// one of them.
    pub drift_px: Option<&'a [[f32; 2]]>,
}

/// The quality of one capture: `quality.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureQuality {
    /// Number of images.
    pub count: usize,
    /// Largest over smallest singular value of the light matrix; `None` for lights in a plane.
    pub condition_number: Option<f64>,
    /// Smallest angle between two lights, degrees.
    pub smallest_angle_deg: Option<f64>,
    /// `None` for an empty mask.
    pub exposure: Option<ExposureQuality>,
    /// `None` for three lights, which leave no residual.
    pub residual: Option<ResidualQuality>,
    pub integrability: Option<Integrability>,
    /// Median angle of the normals to the camera's axis.
    pub median_slope_deg: Option<f64>,
    /// 5th percentile, median and 95th percentile of the confidence map.
    pub confidence_quantiles: Option<[f64; 3]>,
    pub drift_px: Option<Vec<[f32; 2]>>,
    /// Shifts that are left between the images; `None` for three lights.
    pub alignment: Option<Alignment>,
    /// `None` for three lights.
    pub gains: Option<LightGains>,
    /// `None` where too little is reached by all lights.
    pub light_order: Option<LightOrder>,
    /// `None` for a subject too small to judge.
    pub light_frame: Option<LightFrame>,
    /// Per image, see [`BLURRED`]; `None` where too little is reached by all lights.
    pub sharpness: Option<Vec<f64>>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

impl CaptureQuality {
    /// The worst severity; `None` without a finding.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }

    /// For sorting, larger is worse: errors before warnings before notes, then the residual.
    pub fn badness(&self) -> f64 {
        let count = |s: Severity| self.findings.iter().filter(|f| f.severity == s).count() as f64;
        let residual = self.residual.as_ref().map_or(0.0, |r| r.median_share.min(0.99));
        10_000.0 * count(Severity::Error)
            + 100.0 * count(Severity::Warning)
            + count(Severity::Note)
            + residual
    }
}

/// Judges a capture.
///
/// # Panics
/// If a map is not of the images' size, or there is not one light per image.
pub fn assess(input: &QualityInput<'_>) -> CaptureQuality {
    let QualityInput { images, lights: stated, normals, albedo, residual, mask, .. } = *input;
    assert_eq!(images.count, stated.len(), "one light per image");
    for size in [normals.size, albedo.size, residual.size, mask.size] {
        assert_eq!(size, images.size, "maps of the images' size");
    }
    let mut found = Vec::new();
    let condition = stated.condition_number();
    let coarse = Coarse::new(images, mask);
    let exposure = exposure::assess(images, mask);
    let fit = gains::light_gains(&coarse, stated, None);
    let order = light_order::light_order(&coarse, stated);
    let alignment = fit.as_ref().and_then(|fit| alignment::alignment(&coarse, stated, fit));
    let gains = fit.map(|fit| fit.gains);
    let blocks = coarse_normals(normals, mask, coarse.size, coarse.block);
    let frame = CurlSums::new(coarse.size, &blocks).map(|sums| light_frame::light_frame(&sums));
    let sharpness = sharpness::sharpness(images, mask);
    let residual =
        (images.count > 3).then(|| maps::residual_quality(residual, albedo, mask)).flatten();

    lights::findings(stated, condition, &mut found);
    lights::repeated_images(&coarse, stated, &mut found);
    if let Some(exposure) = &exposure {
        exposure::findings(exposure, &mut found);
    }
    explain_residual(&gains, &order, &frame, &alignment, coarse.block, &mut found);
    if let Some(drift) = input.drift_px {
        alignment::drift_findings(drift, (mask.count() as f64).sqrt(), &mut found);
    }
    if let Some(sharpness) = &sharpness {
        sharpness::findings(sharpness, &mut found);
    }
    let slope = maps::median_slope_deg(normals, mask);
    maps::findings(residual.as_ref(), slope, frame.as_ref(), &mut found);
    found.sort_by_key(|f: &Finding| std::cmp::Reverse(f.severity));

    CaptureQuality {
        count: images.count,
        condition_number: condition.is_finite().then_some(condition),
        smallest_angle_deg: lights::nearest_lights(stated).map(|(_, _, angle)| f64::from(angle)),
        exposure,
        residual,
        integrability: maps::integrability(normals, mask),
        median_slope_deg: slope,
        confidence_quantiles: input
            .confidence
            .and_then(|map| maps::quantiles(maps::on_mask(map, mask), [0.05, 0.5, 0.95])),
        drift_px: input.drift_px.map(<[_]>::to_vec),
        alignment,
        gains,
        light_order: order,
        light_frame: frame,
        sharpness,
        findings: found,
    }
}

/// One fault often looks like another: a wrong order makes absurd brightnesses, a mirrored frame a
/// wrong order. The simplest explanation that fits is the one that is told.
fn explain_residual(
    gains: &Option<LightGains>,
    order: &Option<LightOrder>,
    frame: &Option<LightFrame>,
    alignment: &Option<Alignment>,
    block: usize,
    found: &mut Vec<Finding>,
) {
    let bright = gains.as_ref().is_some_and(LightGains::explain);
    if let Some(order) = order.as_ref().filter(|o| o.suspect() && !bright) {
        // With a rig near to symmetric the same fault can be told as a frame; an order is the
        // better tale only where it also explains the residual better.
        let by_frame = frame.as_ref().filter(|f| f.suspect()).map(|frame| {
            let ratio = frame.best_curl / frame.curl.max(f64::MIN_POSITIVE);
            order.stated_score() * ratio.min(1.0)
        });
        if by_frame.is_none_or(|score| order.best_score() < 0.7 * score) {
            found.push(light_order::finding(order));
            return;
        }
    }
    if let Some(frame) = frame {
        let instead = order.as_ref().filter(|o| o.suspect() && !bright);
        light_frame::findings(frame, instead.map(|o| light_order::in_words(&o.best)), found);
    }
    // Where two lights are one, the residual hardly depends on some brightness.
    let determined = found
        .iter()
        .all(|f| (f.code, f.severity) != (FindingCode::NearlyEqualLights, Severity::Warning));
    if let Some(gains) = gains.as_ref().filter(|_| determined) {
        gains::findings(gains, found);
    }
    if let Some(alignment) = alignment {
        alignment::findings(alignment, block, found);
    }
}

/// Index and value of the largest.
fn largest(values: &[f64]) -> Option<(usize, f64)> {
    values.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}
