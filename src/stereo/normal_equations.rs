//! The 3×3 normal equations `LᵀWL g = LᵀW I` of sixteen pixels at a time, the step that every
//! reweighted solver repeats.
//!
//! Pixels lie side by side ([`Lanes`]), so each line of arithmetic is one vector instruction.

/// Pixels solved side by side: one register of the widest vector unit.
pub(super) const LANES: usize = 16;

/// One value for each of [`LANES`] pixels.
pub(super) type Lanes = [f32; LANES];

/// A pivot below this share of the trace is rounding error: the lights that count lie in a plane.
const SINGULAR: f32 = 1e-7;

/// One value for each lane.
#[inline(always)]
pub(super) fn lanes(mut value: impl FnMut(usize) -> f32) -> Lanes {
    let mut result = [0.0; LANES];
    for (i, result) in result.iter_mut().enumerate() {
        *result = value(i);
    }
    result
}

/// `l·g` in each lane.
#[inline(always)]
pub(super) fn shading(row: [f32; 3], g: &[Lanes; 3]) -> Lanes {
    lanes(|i| row[0] * g[0][i] + row[1] * g[1][i] + row[2] * g[2][i])
}

/// Sums over the lights: upper triangle of `LᵀWL` and `LᵀW v`.
pub(super) struct NormalEquations {
    gram: [Lanes; 6],
    right: [Lanes; 3],
}

impl NormalEquations {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        Self { gram: [[0.0; LANES]; 6], right: [[0.0; LANES]; 3] }
    }

    /// Adds one light with its weights and values.
    #[inline(always)]
    pub(super) fn add(&mut self, [x, y, z]: [f32; 3], weight: &Lanes, value: &Lanes) {
        let products = [x * x, x * y, x * z, y * y, y * z, z * z];
        for (sum, product) in self.gram.iter_mut().zip(products) {
            for i in 0..LANES {
                sum[i] += product * weight[i];
            }
        }
        for (sum, component) in self.right.iter_mut().zip([x, y, z]) {
            for i in 0..LANES {
                sum[i] += component * (weight[i] * value[i]);
            }
        }
    }

    /// The solution and `trace((LᵀWL)⁻¹)`, by `LDLᵀ`; NaN where the matrix is singular.
    #[inline(always)]
    pub(super) fn solve(&self) -> ([Lanes; 3], Lanes) {
        let mut g = [[0.0; LANES]; 3];
        let mut trace = [0.0; LANES];
        for i in 0..LANES {
            // Without closures, which are not always inlined and then not vectorised.
            let [xx, xy, xz, yy, yz, zz] = &self.gram;
            let (xx, xy, xz, yy, yz, zz) = (xx[i], xy[i], xz[i], yy[i], yz[i], zz[i]);
            let least = SINGULAR * (xx + yy + zz);
            let d1 = 1.0 / guarded(xx, least);
            let (l21, l31) = (xy * d1, xz * d1);
            let d2 = 1.0 / guarded(yy - xy * l21, least);
            let e = yz - xz * l21;
            let l32 = e * d2;
            let d3 = 1.0 / guarded(zz - xz * l31 - e * l32, least);

            let (bx, by, bz) = (self.right[0][i], self.right[1][i], self.right[2][i]);
            let y2 = by - l21 * bx;
            let y3 = bz - l31 * bx - l32 * y2;
            let gz = y3 * d3;
            let gy = y2 * d2 - l32 * gz;
            let gx = bx * d1 - l21 * gy - l31 * gz;
            [g[0][i], g[1][i], g[2][i]] = [gx, gy, gz];

            let m31 = l21 * l32 - l31;
            trace[i] = d1 + (l21 * l21 + 1.0) * d2 + (m31 * m31 + l32 * l32 + 1.0) * d3;
        }
        (g, trace)
    }
}

/// The pivot, or NaN where it is rounding error.
#[inline(always)]
fn guarded(pivot: f32, least: f32) -> f32 {
    if pivot > least { pivot } else { f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Matrix3, Vector3};

    #[test]
    fn it_solves_as_double_precision_does() {
        let rows = [[0.1, 0.2, 0.9], [0.5, -0.3, 0.8], [-0.4, 0.1, 0.7], [0.2, 0.6, 0.6]];
        let weights = [1.0, 0.5, 0.25, 0.125];
        let values = [0.3, 0.9, -0.2, 0.4];
        let mut equations = NormalEquations::zero();
        let (mut gram, mut right) = (Matrix3::<f64>::zeros(), Vector3::<f64>::zeros());
        for ((row, w), v) in rows.into_iter().zip(weights).zip(values) {
            equations.add(row, &[w; LANES], &[v; LANES]);
            let l = Vector3::from(row.map(f64::from));
            gram += l * l.transpose() * f64::from(w);
            right += l * f64::from(w * v);
        }
        let (g, trace) = equations.solve();
        let inverse = gram.try_inverse().unwrap();
        let want = inverse * right;
        for lane in [0, 7, LANES - 1] {
            for axis in 0..3 {
                let got = f64::from(g[axis][lane]);
                assert!((got - want[axis]).abs() < 1e-5, "axis {axis}: {got}, want {}", want[axis]);
            }
            let relative = f64::from(trace[lane]) / inverse.trace() - 1.0;
            assert!(relative.abs() < 1e-5, "trace off by {relative}");
        }
    }

    #[test]
    fn lights_in_a_plane_give_nan() {
        let mut equations = NormalEquations::zero();
        for row in [[0.0, 0.6, 0.8], [0.0, -0.6, 0.8], [0.0, 0.0, 1.0]] {
            equations.add(row, &[1.0; LANES], &[0.5; LANES]);
        }
        let (g, trace) = equations.solve();
        assert!(g[0][3].is_nan() && trace[3].is_nan());
    }
}
