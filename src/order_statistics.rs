//! Values by their rank among others.

use std::cmp::Ordering;

/// What [`quantile`] can rank.
pub(crate) trait Ranked: Copy {
    fn rank_before(&self, other: &Self) -> Ordering;
}

macro_rules! ranked {
    ($($number:ty),*) => {
        $(impl Ranked for $number {
            fn rank_before(&self, other: &Self) -> Ordering {
                self.total_cmp(other)
            }
        })*
    };
}
ranked!(f32, f64);

/// The value below which a share of the values lies, itself one of them; `None` for no values.
///
/// Takes time in proportion to their number, and reorders them. NaN counts as the largest value.
pub(crate) fn quantile<T: Ranked>(values: &mut [T], share: f64) -> Option<T> {
    let last = values.len().checked_sub(1)?;
    let rank = (last as f64 * share.clamp(0.0, 1.0)) as usize;
    Some(*values.select_nth_unstable_by(rank, T::rank_before).1)
}

/// The middle value, the lower of two; `None` for no values.
pub(crate) fn median<T: Ranked>(values: &mut [T]) -> Option<T> {
    quantile(values, 0.5)
}

/// [`quantile`] of what is not NaN.
pub(crate) fn quantile_of_defined(values: impl Iterator<Item = f32>, share: f64) -> Option<f32> {
    quantile(&mut values.filter(|v| !v.is_nan()).collect::<Vec<_>>(), share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_by_rank() {
        let values = [5.0f64, 1.0, 4.0, 2.0, 3.0];
        for (share, want) in [(0.0, 1.0), (0.24, 1.0), (0.25, 2.0), (0.5, 3.0), (1.0, 5.0)] {
            assert_eq!(quantile(&mut values.clone(), share), Some(want), "{share}");
        }
        assert_eq!(median(&mut [4.0f32, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(quantile::<f32>(&mut [], 0.5), None);
        let with_holes = [f32::NAN, 2.0, f32::NAN, 1.0];
        assert_eq!(quantile_of_defined(with_holes.into_iter(), 1.0), Some(2.0));
    }
}
