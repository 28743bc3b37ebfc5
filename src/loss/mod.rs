//! Losses. Each is a mean over the batch, a tensor of one value.

mod focal;
mod magface;
mod triplet;
mod weighting;

pub use focal::FocalConfig;
pub use magface::{MagFaceConfig, MagFaceLoss};
pub use triplet::TripletConfig;
pub use weighting::uncertainty_weighted;

#[cfg(test)]
mod finite_difference {
    use burn::tensor::{Device, Tensor, TensorData};

    /// Compares a loss's gradient with central differences at every input value, and with a GPU's
    /// where there is one.
    ///
    /// The differences are taken in f32, so the step is large and the comparison is relative to
    /// the largest gradient.
    pub fn assert_gradient(
        values: &[f32],
        shape: [usize; 2],
        loss: impl Fn(Tensor<2>) -> Tensor<1>,
    ) {
        const STEP: f32 = 1e-2;
        let device = Device::flex().autodiff();
        let input =
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device).require_grad();
        let gradients = loss(input.clone()).backward();
        let analytic = input.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let plain = Device::flex();
        let at = |values: Vec<f32>| {
            f64::from(
                loss(Tensor::from_data(TensorData::new(values, shape), &plain))
                    .into_scalar::<f32>(),
            )
        };
        // A GPU's kernels must find the same gradient; tests of the kernels say so if there is none.
        if let Some(gpu) = crate::gpu::Gpu::open_any().ok().and_then(|gpu| gpu.burn_device().ok()) {
            let input =
                Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &gpu.autodiff())
                    .require_grad();
            let gradients = loss(input.clone()).backward();
            let there = input.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
            let largest = analytic.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            for (index, (cpu, gpu)) in analytic.iter().zip(&there).enumerate() {
                let error = (cpu - gpu).abs() / largest;
                assert!(error < 1e-4, "index {index}: {cpu} on the CPU, {gpu} on the GPU");
            }
        }
        let largest = analytic.iter().fold(0.0f32, |m, g| m.max(g.abs()));
        assert!(largest > 0.0, "the gradient is zero everywhere");
        for (index, got) in analytic.iter().enumerate() {
            let shifted = |by: f32| {
                let mut values = values.to_vec();
                values[index] += by;
                at(values)
            };
            let want = ((shifted(STEP) - shifted(-STEP)) / f64::from(2.0 * STEP)) as f32;
            let error = (got - want).abs() / largest;
            assert!(error < 5e-3, "index {index}: {got} analytic, {want} by differences");
        }
    }
}
