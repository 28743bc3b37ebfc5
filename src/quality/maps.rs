//! What the maps say of themselves: residual, curl, steepness.

use super::finding::{Finding, FindingCode, Severity, percent};
use super::light_frame::LightFrame;
use crate::integrate::integrability_residual;
use crate::maps::{AlbedoMap, Mask, NormalMap, Plane, ResidualMap, Size};
use crate::order_statistics::quantile;
use serde::{Deserialize, Serialize};

/// Median residual as a share of albedo above which the Lambertian model has failed. Skin without
/// highlights leaves 2 to 6 %.
pub const MAX_RESIDUAL_SHARE: f64 = 0.15;
/// Curl at the scale of the face, over the size of the slopes' derivatives, that says the normals
/// are hardly a surface's: slopes that have nothing to do with each other have 0.35.
pub const MAX_CURL: f64 = 0.35;

/// Median angle of the normals to the camera's axis, degrees, beyond which the surface is steeper
/// than a head. That of a ball is 45°; of an ellipsoid a times as deep as wide, atan a; a head from
/// its ears to the front is at most 1.3 times as deep as half its width, which gives 52°.
pub const MAX_SLOPE_DEG: f64 = 55.0;

/// Pixels that quantiles over the maps rest on: the median's rank is right within 0.3 %.
const MOST_SAMPLED: usize = 1 << 15;

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

pub(super) fn residual_quality(
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

pub(super) fn findings(
    residual: Option<&ResidualQuality>,
    slope_deg: Option<f64>,
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
    let explained =
        found.iter().any(|f| [FindingCode::LightOrder, FindingCode::LightFrame].contains(&f.code));
    if let Some(slope) = slope_deg.filter(|&slope| slope > MAX_SLOPE_DEG && !explained) {
        found.push(Finding::new(
            FindingCode::TooSteep,
            Severity::Warning,
            format!(
                "the surface is steeper than a head: half of it leans more than {slope:.1}° away \
                 from the camera, of a head {MAX_SLOPE_DEG:.0}° at most"
            ),
            "check the light directions: lights stated too near the camera's axis make the relief \
             too deep; calibrate with a sphere",
        ));
    }
    if let Some(frame) = frame.filter(|f| f.curl > MAX_CURL && !f.suspect()) {
        found.push(Finding::new(
            FindingCode::HighCurl,
            Severity::Warning,
            format!(
                "the normals are hardly a surface's: curl {:.2} of the slopes' derivatives, noise has \
                 {MAX_CURL}",
                frame.curl
            ),
            "check the light directions and the registration of the images",
        ));
    }
}

pub(super) fn on_mask(map: &Plane<f32>, mask: &Mask) -> Vec<f64> {
    sampled(mask).map(|p| f64::from(map.data[p])).filter(|v| !v.is_nan()).collect()
}

/// Pixels of the mask on the sampled rows.
fn sampled(mask: &Mask) -> impl Iterator<Item = usize> + '_ {
    let width = mask.size.width;
    let rows = sampled_rows(mask, MOST_SAMPLED).into_iter();
    rows.flat_map(move |r| r * width..(r + 1) * width).filter(|&p| mask.data[p])
}

/// The values below which the given shares lie; `None` without values.
pub(super) fn quantiles<const N: usize>(
    mut values: Vec<f64>,
    shares: [f64; N],
) -> Option<[f64; N]> {
    let found = shares.map(|share| quantile(&mut values, share));
    found[0].map(|_| found.map(Option::unwrap_or_default))
}

/// Rows spread evenly over a map: about so many of the mask's pixels lie on them. The step is odd,
/// so that rows of an interlaced camera are seen alike.
fn sampled_rows(mask: &Mask, most: usize) -> Vec<usize> {
    let step = (mask.count().div_ceil(most)).max(1) | 1;
    (step / 2..mask.size.height.max(step / 2)).step_by(step).collect()
}

/// `None` where no normal has neighbours.
pub(super) fn integrability(normals: &NormalMap, mask: &Mask) -> Option<Integrability> {
    let curl = curl_on(&sampled_rows(mask, MOST_SAMPLED), normals, mask);
    let [median, percentile_95] = quantiles(curl, [0.5, 0.95])?;
    Some(Integrability { median, percentile_95 })
}

/// Median angle between the normals and the camera's axis, degrees; `None` without a normal.
pub(super) fn median_slope_deg(normals: &NormalMap, mask: &Mask) -> Option<f64> {
    let z = normals.z();
    let cosines = sampled(mask).map(|p| f64::from(z[p])).filter(|z| !z.is_nan()).collect();
    let [cosine] = quantiles(cosines, [0.5])?;
    Some(cosine.clamp(-1.0, 1.0).acos().to_degrees())
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
