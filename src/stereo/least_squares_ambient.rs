//! Least squares with ambient light: `I = L g + a`, one unknown `a` more per pixel.
//!
//! Light from the room and the sensor's black level add the same to every image of a pixel. With
//! `M = [L 1]` the solution is `(g, a) = M⁺ I`; the pseudo-inverse is the same for every pixel.
//! (Linear in all four unknowns, so least squares is closed: e.g. Yuille et al., IJCV 35, 1999,
//! who give it as an extra dimension of the images' space.)
//!
//! Four lights determine the four unknowns and leave no residual; the confidence then rests on
//! the noise gain alone, which counts what `a` costs. Where all lamps stand at one angle to one
//! direction d, `L d` is a constant column like the ambient light's: ρ along d and `a` cannot be
//! told apart, however many the lamps. A ring of lamps round the camera is such a case.
//!
//! Twin of `shaders/least_squares_ambient.wgsl`.

use super::blocks::{Block, BlockSolution, BlockSolver, light_rows, solve_rows};
use super::normal_equations::{LANES, Lanes};
use super::{Solution, SolverError};
use crate::maps::{ImageStack, Lights};
use nalgebra::{DMatrix, Matrix4, Vector4};

/// Options of the ambient solver.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeastSquaresAmbient {
    /// Lights are refused that pass on more than this many times the noise of one image to g: at
    /// 50, one grey level of 8 bits becomes a fifth of full scale.
    pub most_noise: f32,
}

impl Default for LeastSquaresAmbient {
    fn default() -> Self {
        Self { most_noise: 50.0 }
    }
}

/// The pseudo-inverse of `[L 1]` for one set of lights.
#[derive(Clone, Debug)]
pub struct AmbientInverse {
    light_rows: Vec<[f32; 3]>,
    inverse_columns: Vec<[f32; 4]>,
    /// `√trace` of the block of `(MᵀM)⁻¹` that belongs to g.
    pub noise_gain: f32,
    /// What the solver was asked to bear, see [`LeastSquaresAmbient::most_noise`].
    pub most_noise: f32,
    /// Ratio of the largest to the smallest singular value of `[L 1]`.
    pub condition_number: f64,
}

impl LeastSquaresAmbient {
    /// Prepares the pseudo-inverse in double precision.
    ///
    /// # Errors
    /// Fewer than four lights, lights in a plane, or lights that cannot be told from ambient
    /// light.
    pub fn prepare(&self, lights: &Lights) -> Result<AmbientInverse, SolverError> {
        if lights.len() < 4 {
            return Err(SolverError::TooFewLights { needed: 4, got: lights.len() });
        }
        if !lights.condition_number().is_finite() {
            return Err(SolverError::LightsInPlane);
        }
        let matrix = DMatrix::from_fn(lights.len(), 4, |j, column| match column {
            3 => 1.0,
            axis => f64::from(lights.directions[j][axis]) * f64::from(lights.intensities[j]),
        });
        let singular_values = matrix.singular_values();
        let gram: Matrix4<f64> = (matrix.transpose() * &matrix).fixed_view::<4, 4>(0, 0).into();
        let refuse = |gain| SolverError::AmbientNotIdentifiable { gain };
        let (inverse, gain) = invert(gram).ok_or(refuse(f64::INFINITY))?;
        if gain > f64::from(self.most_noise) {
            return Err(refuse(gain));
        }
        let columns = inverse * matrix.transpose();
        Ok(AmbientInverse {
            light_rows: light_rows(lights),
            inverse_columns: columns
                .column_iter()
                .map(|c| [c[0], c[1], c[2], c[3]].map(|v| v as f32))
                .collect(),
            noise_gain: gain as f32,
            most_noise: self.most_noise,
            condition_number: singular_values.max() / singular_values.min(),
        })
    }

    /// Solves every pixel of a stack with one image per light.
    ///
    /// NaN and saturated samples (`images.white`) are left out; fewer than four others, or others
    /// whose lights cannot be told from ambient light, leave the normal NaN.
    ///
    /// # Errors
    /// As [`LeastSquaresAmbient::prepare`].
    ///
    /// # Panics
    /// If the stack does not hold one image per light.
    pub fn solve(&self, images: &ImageStack, lights: &Lights) -> Result<Solution, SolverError> {
        assert_eq!(images.count, lights.len(), "one image per light");
        let inverse = self.prepare(lights)?;
        Ok(solve_rows(&inverse, &inverse.light_rows, images, None))
    }
}

impl AmbientInverse {
    /// Number of lights, k.
    pub fn light_count(&self) -> usize {
        self.light_rows.len()
    }

    /// (light row, pseudo-inverse column) per light, as the kernel wants them.
    pub fn coefficients(&self) -> impl Iterator<Item = ([f32; 3], [f32; 4])> + '_ {
        self.light_rows.iter().copied().zip(self.inverse_columns.iter().copied())
    }
}

impl BlockSolver for AmbientInverse {
    const AMBIENT: bool = true;

    #[inline(always)]
    fn solve_block(
        &self,
        block: &Block<'_>,
        _weights: &mut [Lanes],
        _spare: &mut [Lanes],
    ) -> BlockSolution {
        let mut unknowns = [[0.0; LANES]; 4];
        for (column, sample) in self.inverse_columns.iter().zip(block.samples) {
            for (unknown, share) in unknowns.iter_mut().zip(column) {
                for i in 0..LANES {
                    unknown[i] += share * sample[i];
                }
            }
        }
        let mut squares = [0.0; LANES];
        let mut distrusted = [false; LANES];
        for (j, row) in block.rows.iter().enumerate() {
            for i in 0..LANES {
                let shading =
                    row[0] * unknowns[0][i] + row[1] * unknowns[1][i] + row[2] * unknowns[2][i];
                let residual = block.samples[j][i] - shading - unknowns[3][i];
                squares[i] += residual * residual;
                distrusted[i] |= block.trust[j][i] < 1.0;
            }
        }
        let count = block.rows.len() as f32;
        let gain = self.noise_gain;
        let mut solution = BlockSolution {
            g: [unknowns[0], unknowns[1], unknowns[2]],
            used: [count; LANES],
            mean_square: squares.map(|s| s / count),
            trace: [gain * gain; LANES],
            ambient: unknowns[3],
        };
        if distrusted.contains(&true) {
            for lane in (0..LANES).filter(|&lane| distrusted[lane]) {
                solve_lane(block, lane, self.most_noise, &mut solution);
            }
        }
        solution
    }
}

/// The inverse of `MᵀM` and `√trace` of its block that belongs to g; `None` where it is singular.
fn invert(gram: Matrix4<f64>) -> Option<(Matrix4<f64>, f64)> {
    let inverse = gram.cholesky()?.inverse();
    Some((inverse, inverse.diagonal().fixed_rows::<3>(0).sum().sqrt()))
}

/// One pixel by its trusted samples alone.
#[inline(never)]
fn solve_lane(block: &Block<'_>, lane: usize, most_noise: f32, solution: &mut BlockSolution) {
    let trusted = || (0..block.rows.len()).filter(|&j| block.trust[j][lane] == 1.0);
    let row = |j: usize| {
        let [x, y, z] = block.rows[j].map(f64::from);
        Vector4::new(x, y, z, 1.0)
    };
    let sample = |j: usize| f64::from(block.samples[j][lane]);
    let count = trusted().count() as f64;
    let gram: Matrix4<f64> = trusted().map(|j| row(j) * row(j).transpose()).sum();
    let right: Vector4<f64> = trusted().map(|j| row(j) * sample(j)).sum();
    let Some((inverse, gain)) = invert(gram).filter(|(_, gain)| *gain <= f64::from(most_noise))
    else {
        solution.g.iter_mut().for_each(|g| g[lane] = f32::NAN);
        return;
    };
    let u = inverse * right;
    let squares: f64 = trusted().map(|j| (sample(j) - row(j).dot(&u)).powi(2)).sum();
    for axis in 0..3 {
        solution.g[axis][lane] = u[axis] as f32;
    }
    solution.ambient[lane] = u[3] as f32;
    solution.used[lane] = count as f32;
    solution.mean_square[lane] = (squares / count) as f32;
    solution.trace[lane] = (gain * gain) as f32;
}
