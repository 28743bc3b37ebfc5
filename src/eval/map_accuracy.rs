//! How far maps are from the truth, by region of the face.
//!
//! Means over a whole image hide what differs: skin under every lamp is easy, a cast shadow, hair
//! and what stands behind a lens are not. Each region is judged for itself, each capture first and
//! the set after it, so that a large face counts no more than a small one.

use crate::geometry::angle_between_deg;
use crate::maps::{AlbedoMap, DepthMap, Mask, NormalMap};
use crate::order_statistics::{median, quantile_of_defined};
use serde::Serialize;

/// Maps to be judged, or the truth; of one size, NaN where undefined.
#[derive(Clone, Copy, Debug)]
pub struct JudgedMaps<'a> {
    pub normals: &'a NormalMap,
    pub albedo: &'a AlbedoMap,
    /// Pixels toward the camera.
    pub depth: &'a DepthMap,
}

/// A region of a capture's pixels.
#[derive(Clone, Debug)]
pub struct Region {
    pub name: &'static str,
    pub pixels: Mask,
}

/// What is off in one region of one capture, or of a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RegionError {
    /// Pixels with both maps and truth; of a set, of all captures.
    pub pixels: usize,
    /// Angle between solved and true normals, degrees.
    pub normals_mean_deg: f64,
    pub normals_median_deg: f64,
    /// Median of |ρ/ρ̂ − 1| once the median ratio over the capture is divided out: a scale is
    /// nobody's fault.
    pub albedo_median_share: f64,
    /// Mean of |z − ẑ| less its median, as a share of the true relief within the region (its 1st to
    /// 99th percentile).
    pub depth_mean_share: f64,
}

/// The errors of a capture in each region, `None` where a region has fewer than 20 pixels that are
/// defined in both.
///
/// # Panics
/// If the maps differ in size.
pub fn map_accuracy(
    maps: &JudgedMaps<'_>,
    truth: &JudgedMaps<'_>,
    regions: &[Region],
) -> Vec<Option<RegionError>> {
    let size = truth.normals.size;
    for other in [maps.normals.size, maps.albedo.size, maps.depth.size, truth.depth.size] {
        assert_eq!(other, size, "maps of the truth's size");
    }
    let defined: Vec<usize> = (0..size.area())
        .filter(|&p| maps.normals.z()[p].is_finite() && truth.normals.z()[p].is_finite())
        .collect();
    let ratios = defined.iter().map(|&p| truth.albedo.data[p] / maps.albedo.data[p]);
    let ratio = f64::from(quantile_of_defined(ratios, 0.5).unwrap_or(f32::NAN));
    regions
        .iter()
        .map(|region| {
            let pixels: Vec<usize> =
                defined.iter().copied().filter(|&p| region.pixels.data[p]).collect();
            (pixels.len() >= LEAST_PIXELS).then(|| in_region(maps, truth, ratio, &pixels))
        })
        .collect()
}

const LEAST_PIXELS: usize = 20;

fn in_region(
    maps: &JudgedMaps<'_>,
    truth: &JudgedMaps<'_>,
    albedo_ratio: f64,
    pixels: &[usize],
) -> RegionError {
    let mut angles: Vec<f64> = pixels
        .iter()
        .map(|&p| f64::from(angle_between_deg(maps.normals.at(p), truth.normals.at(p))))
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut albedo: Vec<f64> = pixels
        .iter()
        .map(|&p| {
            let share = f64::from(maps.albedo.data[p]) / f64::from(truth.albedo.data[p]);
            (albedo_ratio * share - 1.0).abs()
        })
        .filter(|share| share.is_finite())
        .collect();
    let mut depth: Vec<f64> = pixels
        .iter()
        .map(|&p| f64::from(maps.depth.data[p]) - f64::from(truth.depth.data[p]))
        .filter(|difference| difference.is_finite())
        .collect();
    let middle = median(&mut depth).unwrap_or(f64::NAN);
    depth.iter_mut().for_each(|d| *d = (*d - middle).abs());
    let at = |share: f64| {
        let values = pixels.iter().map(|&p| truth.depth.data[p]);
        f64::from(quantile_of_defined(values, share).unwrap_or(f32::NAN))
    };
    RegionError {
        pixels: pixels.len(),
        normals_mean_deg: mean(&angles),
        normals_median_deg: median(&mut angles).unwrap_or(f64::NAN),
        albedo_median_share: median(&mut albedo).unwrap_or(f64::NAN),
        depth_mean_share: mean(&depth) / (at(0.99) - at(0.01)),
    }
}

/// The mean over captures of each figure; `None` without a capture.
pub fn mean_accuracy(captures: &[RegionError]) -> Option<RegionError> {
    let mean = |figure: fn(&RegionError) -> f64| {
        let values: Vec<f64> = captures.iter().map(figure).filter(|v| v.is_finite()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    (!captures.is_empty()).then(|| RegionError {
        pixels: captures.iter().map(|c| c.pixels).sum(),
        normals_mean_deg: mean(|c| c.normals_mean_deg),
        normals_median_deg: mean(|c| c.normals_median_deg),
        albedo_median_share: mean(|c| c.albedo_median_share),
        depth_mean_share: mean(|c| c.depth_mean_share),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Vec3;
    use crate::maps::{Plane, Size};

    const SIZE: Size = Size { height: 8, width: 10 };

    /// Normals 3° off on the left and 10° on the right, albedo twice as bright and 10 % off on
    /// the right, depth with an offset of 7 and 1 px off on every other row.
    #[test]
    fn each_region_has_its_own_errors() {
        let right = |c: usize| c >= 6;
        let tilted = |degrees: f32| {
            let angle = degrees.to_radians();
            Vec3::new(angle.sin(), 0.0, angle.cos())
        };
        let normals = NormalMap::from_fn(SIZE, |_, c| tilted(if right(c) { 10.0 } else { 3.0 }));
        let true_normals = NormalMap::from_fn(SIZE, |_, _| Vec3::z());
        let albedo = Plane::from_fn(SIZE, |_, c| if right(c) { 1.1 } else { 1.0 });
        let true_albedo = Plane::filled(SIZE, 0.5);
        let true_depth = Plane::from_fn(SIZE, |r, _| 10.0 * r as f32);
        let depth = Plane::from_fn(SIZE, |r, _| 10.0 * r as f32 + 7.0 + (r % 2) as f32);
        let maps = JudgedMaps { normals: &normals, albedo: &albedo, depth: &depth };
        let truth = JudgedMaps { normals: &true_normals, albedo: &true_albedo, depth: &true_depth };
        let region = |name, wanted: fn(usize) -> bool| Region {
            name,
            pixels: Plane::from_fn(SIZE, |_, c| wanted(c)),
        };
        let regions =
            [region("left", |c| c < 6), region("right", |c| c >= 6), region("few", |c| c < 1)];
        let found = map_accuracy(&maps, &truth, &regions);
        let (left, right) = (found[0].unwrap(), found[1].unwrap());
        assert!(found[2].is_none(), "8 pixels are too few");
        assert!((left.normals_mean_deg - 3.0).abs() < 1e-3, "{left:?}");
        assert!((right.normals_median_deg - 10.0).abs() < 1e-3, "{right:?}");
        // More than half of the capture has the left side's ratio.
        assert!(left.albedo_median_share < 1e-6, "{left:?}");
        assert!((right.albedo_median_share - 0.1).abs() < 1e-6, "{right:?}");
        // Half of the rows are 1 px off one way or the other: 0.5 px of a relief of 70.
        assert!((left.depth_mean_share - 0.5 / 70.0).abs() < 1e-6, "{left:?}");
        let mean = mean_accuracy(&[left, right]).unwrap();
        assert!((mean.normals_mean_deg - 6.5).abs() < 1e-3 && mean.pixels == 80, "{mean:?}");
    }
}
