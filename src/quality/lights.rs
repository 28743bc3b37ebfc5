//! What the lights say of themselves, and images that are one image twice.

use super::coarse::Coarse;
use super::finding::{Finding, FindingCode, Severity, percent};
use super::{gains, light_order};
use crate::geometry::angle_between_deg;
use crate::maps::Lights;

/// Condition number above which the worst direction of a normal gets ten times the noise of the
/// best. Photoface's four lamps have about 5.
pub const MAX_CONDITION: f64 = 10.0;
/// Two lights nearer than this, degrees, differ by 5 % of the albedo at most: about what skin
/// deviates from Lambert's law.
pub const NEARLY_EQUAL_DEG: f32 = 3.0;
/// Two images that differ by less than this, root mean square as a share of their size once scaled
/// to each other, are one image twice. Lights 10° apart differ by several times as much on a face.
const REPEATED: f64 = 0.015;

pub(super) fn nearest_lights(lights: &Lights) -> Option<(usize, usize, f32)> {
    let pairs = (0..lights.len()).flat_map(|a| (a + 1..lights.len()).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| (a, b, angle_between_deg(lights.directions[a], lights.directions[b])))
        .min_by(|x, y| x.2.total_cmp(&y.2))
}

/// Lights that are nearly equal, or nearly in a plane.
pub(super) fn findings(lights: &Lights, condition: f64, found: &mut Vec<Finding>) {
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

pub(super) fn repeated_images(coarse: &Coarse, lights: &Lights, found: &mut Vec<Finding>) {
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
