//! Weights that are learned with the network (Kendall et al. 2018, "Multi-task learning using
//! uncertainty to weigh losses", eq. 10): each loss L counts as `e^(−s) L + s / 2`, s = ln σ² of its
//! task, so that no task is silenced for nothing.

use burn::tensor::Tensor;

/// The sum of losses under their ln σ² (one for each, in the same order).
pub fn uncertainty_weighted(losses: &[Tensor<1>], log_variances: Tensor<1>) -> Tensor<1> {
    let losses = Tensor::cat(losses.to_vec(), 0);
    (log_variances.clone().neg().exp() * losses).sum() + log_variances.sum().mul_scalar(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::finite_difference::assert_gradient;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn a_value_worked_by_hand_and_its_optimum() {
        // s = (0, ln 4): 2 + 3/4 + ln 4 / 2.
        let device = Device::flex();
        let of = |values: &[f32]| Tensor::<1>::from_data(TensorData::from(values), &device);
        let total = uncertainty_weighted(&[of(&[2.0]), of(&[3.0])], of(&[0.0, 4.0f32.ln()]));
        let total = total.into_scalar::<f32>();
        assert!((total - (2.75 + 4.0f32.ln() / 2.0)).abs() < 1e-6, "{total}");
        // The best s of a loss that stays is ln 2L: the derivative −e^(−s) L + 1/2 is 0 there.
        let device = Device::flex().autodiff();
        let s = Tensor::<1>::from_data(TensorData::from([6.0f32.ln()]), &device).require_grad();
        let loss = Tensor::<1>::from_data(TensorData::from([3.0f32]), &device);
        let gradients = uncertainty_weighted(&[loss], s.clone()).backward();
        let slope = s.grad(&gradients).unwrap().into_scalar::<f32>();
        assert!(slope.abs() < 1e-6, "{slope}");
    }

    #[test]
    fn gradient_matches_finite_differences() {
        assert_gradient(&[0.4, -0.7, 0.2], [1, 3], |s| {
            let losses =
                [1.5f32, 0.3, 0.9].map(|l| Tensor::from_data(TensorData::from([l]), &s.device()));
            uncertainty_weighted(&losses, s.flatten(0, 1))
        });
    }
}
