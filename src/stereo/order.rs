//! Order statistics of sixteen pixels at a time.

use super::normal_equations::{LANES, Lanes};

/// Sorts each lane ascending.
///
/// Merge exchange (Batcher 1968; Knuth, vol. 3, 5.2.2, algorithm M): the comparisons do not hang
/// on the values, so all lanes take the same path. There must be no NaN.
#[inline(always)]
pub(super) fn sort_lanes(values: &mut [Lanes]) {
    let n = values.len();
    if n < 2 {
        return;
    }
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            for i in 0..n - d {
                if i & p == r {
                    let (low, high) = values.split_at_mut(i + d);
                    exchange(&mut low[i], &mut high[0]);
                }
            }
            if q == p {
                break;
            }
            d = q - p;
            q /= 2;
            r = p;
        }
        p /= 2;
    }
}

/// Copies first: with both behind references the compiler sees branches where a minimum and a
/// maximum are meant.
#[inline(always)]
fn exchange(a: &mut Lanes, b: &mut Lanes) {
    let (x, y) = (*a, *b);
    let (mut low, mut high) = (x, y);
    for i in 0..LANES {
        low[i] = if y[i] < x[i] { y[i] } else { x[i] };
        high[i] = if y[i] < x[i] { x[i] } else { y[i] };
    }
    (*a, *b) = (low, high);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_sorted_in_every_lane() {
        for n in 0..70usize {
            let value = |j: usize, i: usize| ((j * 37 + i * 11 + j * j * 5) % 23) as f32;
            let mut values: Vec<Lanes> =
                (0..n).map(|j| std::array::from_fn(|i| value(j, i))).collect();
            sort_lanes(&mut values);
            for lane in 0..LANES {
                let mut want: Vec<f32> = (0..n).map(|j| value(j, lane)).collect();
                want.sort_by(f32::total_cmp);
                let got: Vec<f32> = values.iter().map(|v| v[lane]).collect();
                assert_eq!(got, want, "{n} values, lane {lane}");
            }
        }
    }
}
