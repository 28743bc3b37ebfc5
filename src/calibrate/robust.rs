//! Small robust statistics that the calibrations share.

use crate::order_statistics::quantile;

/// Median, NaN for nothing; reorders `values`.
pub(super) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value at this share of the sorted values, NaN for nothing; reorders `values`.
pub(super) fn percentile(values: &mut [f64], share: f64) -> f64 {
    quantile(values, share).unwrap_or(f64::NAN)
}

/// Standard deviation of residuals about zero from their median size: `1.4826 median |r|`, which
/// outliers below one half do not move (Hampel 1974).
pub(super) fn spread(residuals: impl Iterator<Item = f64>) -> f64 {
    let mut sizes: Vec<f64> = residuals.map(f64::abs).collect();
    1.4826 * median(&mut sizes)
}

/// Cauchy's weight `1 / (1 + (r/c)²)` with c = 2.385 σ: 95 % efficient for normal noise (Holland
/// and Welsch 1977).
pub(super) fn cauchy(residual: f64, sigma: f64) -> f64 {
    let ratio = residual / (2.385 * sigma + f64::MIN_POSITIVE);
    1.0 / (1.0 + ratio * ratio)
}
