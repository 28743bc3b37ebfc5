//! Gradient reversal (Ganin and Lempitsky 2015, "Unsupervised domain adaptation by
//! backpropagation", eq. 8): the identity forward, a factor of −λ backward.

use burn::tensor::Tensor;

/// Returns `input` unchanged; its gradient arrives multiplied by −`strength`.
///
/// `x + λ (x − x)` with the first and second x detached: the value is exactly x, and what
/// is left of the gradient is −λ.
pub fn reverse_gradient<const D: usize>(input: Tensor<D>, strength: f64) -> Tensor<D> {
    let constant = input.clone().detach();
    constant.clone() + (constant - input).mul_scalar(strength)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn the_value_stays_and_the_gradient_turns() {
        let device = Device::flex().autodiff();
        let values = [1.0f32, -2.5, 1e-7, 3e6];
        let x = Tensor::<1>::from_data(TensorData::from(values), &device).require_grad();
        let y = reverse_gradient(x.clone(), 0.3);
        assert_eq!(y.clone().into_data().try_to_vec::<f32>().unwrap(), values);
        let weights = Tensor::<1>::from_data(TensorData::from([1.0f32, 2.0, 3.0, 4.0]), &device);
        let gradients = (y * weights).sum().backward();
        let gradient = x.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (got, want) in gradient.iter().zip([-0.3, -0.6, -0.9, -1.2]) {
            assert!((got - want).abs() < 1e-6, "{gradient:?}");
        }
    }
}
