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
pub use sharpness::BLURRED;
pub use summary::{FindingCount, SetQuality, summarise};

use crate::geometry::angle_between_deg;
use crate::integrate::integrability_residual;
use crate::maps::{
    AlbedoMap, ConfidenceMap, ImageStack, Lights, Mask, NormalMap, Plane, ResidualMap, Size,
};
use coarse::Coarse;
use curl::{CurlSums, coarse_normals};
use finding::percent;
use serde::{Deserialize, Serialize};

/// Condition number above which the worst direction of a normal gets ten times the noise of the
/// best. Photoface's four lamps have 2 to 4.
pub const MAX_CONDITION: f64 = 10.0;
/// Two lights nearer than this, degrees, differ by 5 % of the albedo at most: about what skin
/// deviates from Lambert's law.
pub const NEARLY_EQUAL_DEG: f32 = 3.0;
/// Two images that differ by less than this, root mean square as a share of their size once scaled
/// to each other, are one image twice. Lights 10° apart differ by several times as much on a face.
const REPEATED: f64 = 0.015;
/// Median residual as a share of albedo above which the Lambertian model has failed. Skin without
/// highlights leaves 2 to 6 %.
pub const MAX_RESIDUAL_SHARE: f64 = 0.15;
/// Curl at the scale of the face, over the size of the slopes' derivatives, that says the normals
/// are hardly a surface's: slopes that have nothing to do with each other have 0.35.
pub const MAX_CURL: f64 = 0.35;

/// Pixels that quantiles over the maps rest on: the median's rank is right within 0.3 %.
const MOST_SAMPLED: usize = 1 << 15;

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

/// Root mean square over the lights of `I − ρ n·l`, over the mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResidualQuality {
    /// Shares of full scale.
    pub median: f64,
    pub percentile_95: f64,
    /// Shares of the pixel's albedo.
    pub median_share: f64,
    pub percentile_95_share: f64,
}

/// Curl of the slopes, `|∂p/∂y − ∂q/∂x|` in slope per pixel, where it is defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Integrability {
    pub median: f64,
    pub percentile_95: f64,
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
    let QualityInput { images, lights, normals, albedo, residual, mask, .. } = *input;
    assert_eq!(images.count, lights.len(), "one light per image");
    for size in [normals.size, albedo.size, residual.size, mask.size] {
        assert_eq!(size, images.size, "maps of the images' size");
    }
    let mut found = Vec::new();
    let condition = lights.condition_number();
    let coarse = Coarse::new(images, mask);
    let exposure = exposure::assess(images, mask);
    let fit = gains::light_gains(&coarse, lights, None);
    let order = light_order::light_order(&coarse, lights);
    let alignment = fit.as_ref().and_then(|fit| alignment::alignment(&coarse, lights, fit));
    let gains = fit.map(|fit| fit.gains);
    let blocks = coarse_normals(normals, mask, coarse.size, coarse.block);
    let frame = CurlSums::new(coarse.size, &blocks).map(|sums| light_frame::light_frame(&sums));
    let sharpness = sharpness::sharpness(images, mask);
    let residual = (images.count > 3).then(|| residual_quality(residual, albedo, mask)).flatten();

    light_findings(lights, condition, &mut found);
    repeated_images(&coarse, lights, &mut found);
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
    map_findings(residual.as_ref(), frame.as_ref(), &mut found);
    found.sort_by_key(|f: &Finding| std::cmp::Reverse(f.severity));

    let rows = sampled_rows(mask, MOST_SAMPLED);
    let curl = curl_on(&rows, normals, mask);
    CaptureQuality {
        count: images.count,
        condition_number: condition.is_finite().then_some(condition),
        smallest_angle_deg: nearest_lights(lights).map(|(_, _, angle)| f64::from(angle)),
        exposure,
        residual,
        integrability: quantiles(curl, [0.5, 0.95])
            .map(|[median, percentile_95]| Integrability { median, percentile_95 }),
        confidence_quantiles: input
            .confidence
            .and_then(|map| quantiles(on_mask(map, mask), [0.05, 0.5, 0.95])),
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

fn nearest_lights(lights: &Lights) -> Option<(usize, usize, f32)> {
    let pairs = (0..lights.len()).flat_map(|a| (a + 1..lights.len()).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| (a, b, angle_between_deg(lights.directions[a], lights.directions[b])))
        .min_by(|x, y| x.2.total_cmp(&y.2))
}

fn light_findings(lights: &Lights, condition: f64, found: &mut Vec<Finding>) {
    if let Some((a, b, angle)) = nearest_lights(lights).filter(|n| n.2 < NEARLY_EQUAL_DEG) {
        // Each light counts once with all that are nearly equal to one before it.
        let mut distinct: Vec<usize> = Vec::new();
        for j in 0..lights.len() {
            let apart = |&i: &usize| {
                angle_between_deg(lights.directions[i], lights.directions[j]) >= NEARLY_EQUAL_DEG
            };
            if distinct.iter().all(apart) {
                distinct.push(j);
            }
        }
        found.push(Finding::new(
            FindingCode::NearlyEqualLights,
            if distinct.len() < 4 { Severity::Warning } else { Severity::Note },
            format!(
                "lights {} and {} are {angle:.1}° apart: {} images under {} different lights",
                a + 1,
                b + 1,
                lights.len(),
                distinct.len()
            ),
            "check the light file for a line that stands twice; move one of the lamps",
        ));
    }
    if condition > MAX_CONDITION {
        found.push(Finding::new(
            FindingCode::IllConditionedLights,
            Severity::Warning,
            format!(
                "the lights lie nearly in a plane: condition number {condition:.0}, the noise of \
                 the images is amplified as much in the worst direction"
            ),
            "move a lamp out of the plane of the others, or further from them",
        ));
    }
}

fn repeated_images(coarse: &Coarse, lights: &Lights, found: &mut Vec<Finding>) {
    let lit = coarse.lit_by_all();
    if lit.len() < gains::MIN_BLOCKS {
        return;
    }
    let lit = coarse.thinned(&lit);
    let all: Vec<usize> = (0..lit.len()).collect();
    let sums = light_order::moments(&coarse.columns(&lit), coarse.count, &all);
    for a in 0..coarse.count {
        for b in a + 1..coarse.count {
            let cosine_squared = sums[(a, b)].powi(2) / (sums[(a, a)] * sums[(b, b)]);
            let difference = (1.0 - cosine_squared).max(0.0).sqrt();
            let angle = angle_between_deg(lights.directions[a], lights.directions[b]);
            if difference < REPEATED && angle > 10.0 {
                found.push(Finding::new(
                    FindingCode::RepeatedImage,
                    Severity::Error,
                    format!(
                        "images {} and {} show the same shading (they differ by {}), yet their \
                         lights are {angle:.0}° apart",
                        a + 1,
                        b + 1,
                        percent(difference)
                    ),
                    "check that the second lamp fired and that no file was copied over another",
                ));
            }
        }
    }
}

fn residual_quality(
    residual: &ResidualMap,
    albedo: &AlbedoMap,
    mask: &Mask,
) -> Option<ResidualQuality> {
    let shares: Vec<f64> = sampled(mask)
        .filter(|&p| albedo.data[p] > 0.0 && !residual.data[p].is_nan())
        .map(|p| f64::from(residual.data[p]) / f64::from(albedo.data[p]))
        .collect();
    let [median, percentile_95] = quantiles(on_mask(residual, mask), [0.5, 0.95])?;
    let [median_share, percentile_95_share] = quantiles(shares, [0.5, 0.95])?;
    Some(ResidualQuality { median, percentile_95, median_share, percentile_95_share })
}

fn map_findings(
    residual: Option<&ResidualQuality>,
    frame: Option<&LightFrame>,
    found: &mut Vec<Finding>,
) {
    if let Some(residual) = residual.filter(|r| r.median_share > MAX_RESIDUAL_SHARE) {
        found.push(Finding::new(
            FindingCode::HighResidual,
            Severity::Warning,
            format!(
                "the images fit no matt surface: the residual is {} of the albedo at the median",
                percent(residual.median_share)
            ),
            "see the other findings first; otherwise check that the images are linear and the \
             ambient light is taken off, or choose a robust solver",
        ));
    }
    if let Some(frame) = frame.filter(|f| f.curl > MAX_CURL && !f.suspect()) {
        found.push(Finding::new(
            FindingCode::HighCurl,
            Severity::Warning,
            format!(
                "the normals are hardly a surface's: curl {:.2} of the slopes' derivatives, 0.35 \
                 is noise",
                frame.curl
            ),
            "check the light directions and the registration of the images",
        ));
    }
}

fn on_mask(map: &Plane<f32>, mask: &Mask) -> Vec<f64> {
    sampled(mask).map(|p| f64::from(map.data[p])).filter(|v| !v.is_nan()).collect()
}

/// Pixels of the mask on the sampled rows.
fn sampled(mask: &Mask) -> impl Iterator<Item = usize> + '_ {
    let width = mask.size.width;
    let rows = sampled_rows(mask, MOST_SAMPLED).into_iter();
    rows.flat_map(move |r| r * width..(r + 1) * width).filter(|&p| mask.data[p])
}

/// The values below which the given shares lie; `None` without values.
fn quantiles<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> Option<[f64; N]> {
    if values.is_empty() {
        return None;
    }
    let last = (values.len() - 1) as f64;
    Some(shares.map(|share| {
        *values.select_nth_unstable_by((last * share).round() as usize, f64::total_cmp).1
    }))
}

/// Rows spread evenly over a map: about so many of the mask's pixels lie on them. The step is odd,
/// so that rows of an interlaced camera are seen alike.
fn sampled_rows(mask: &Mask, most: usize) -> Vec<usize> {
    let step = (mask.count().div_ceil(most)).max(1) | 1;
    (step / 2..mask.size.height.max(step / 2)).step_by(step).collect()
}

/// `|∂p/∂y − ∂q/∂x|` on some rows: three rows of normals to each.
fn curl_on(rows: &[usize], normals: &NormalMap, mask: &Mask) -> Vec<f64> {
    let Size { height, width } = mask.size;
    let inner: Vec<usize> = rows.iter().copied().filter(|&r| r > 0 && r + 1 < height).collect();
    let strips = Size::new(3 * inner.len(), width);
    let gathered = |values: &[f32]| -> Vec<f32> {
        inner.iter().flat_map(|r| &values[(r - 1) * width..(r + 2) * width]).copied().collect()
    };
    let data = [normals.x(), normals.y(), normals.z()].map(gathered).concat();
    let on = inner.iter().flat_map(|r| &mask.data[(r - 1) * width..(r + 2) * width]).copied();
    let on = Plane::new(strips, on.collect());
    let curl = integrability_residual(&NormalMap::new(strips, data), &on);
    let middle = curl.data.chunks_exact(width.max(1)).skip(1).step_by(3).flatten();
    middle.filter(|v| !v.is_nan()).map(|v| f64::from(v.abs())).collect()
}

/// Index and value of the largest.
fn largest(values: &[f64]) -> Option<(usize, f64)> {
    values.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}
