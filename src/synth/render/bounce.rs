//! Light that reaches a surface by way of another one: inter-reflection, once.
//!
//! A matte surface of albedo ρ under light from all sides reflects the value
//! `ρ/π ∫ V(ω) cos θ dω`, V the value seen from it in the direction ω. Drawn with density
//! `cos θ / π` the integral is the plain mean of V (Malley: points spread evenly over the disc,
//! lifted onto the hemisphere). V is the matte light that the lamps give to what the ray meets, with
//! its shadow; what shines is left out, and so is light that goes over two more surfaces.
//!
//! All pixels take the same directions about their normals, so that the picture has no noise of its
//! own and the kernel sees what the CPU sees.

use super::frame::{Job, Lit};
use super::light::sides;
use super::packet::{LANES, Rays, closest};
use super::shade::Surfel;
use crate::synth::exact_math::{Vector, along, scale};

/// Further than anything of a scene, mm.
const FAR_MM: f32 = 1e6;

impl Job<'_> {
    /// Light of all lamps that up to sixteen surfels reflect after another surface did; `indices`
    /// tell which sub-sample of its pixel each is of.
    pub(super) fn bounced(
        &self,
        surfels: &[Option<Surfel>; LANES],
        indices: &[usize; LANES],
    ) -> [Vector; LANES] {
        let samples = self.options.samples_per_side * self.options.samples_per_side;
        let rounds = self.options.bounce_rays;
        let mut sums = [[0.0; 3]; LANES];
        for round in 0..rounds {
            let mut rays = Rays::none();
            for lane in 0..LANES {
                if let Some(surfel) = &surfels[lane] {
                    // Rising indices go from the zenith to the horizon: each sub-sample takes all.
                    let spot = self.bounces[round * samples + indices[lane]];
                    rays.set(lane, surfel.lifted, on_hemisphere(spot, surfel.normal), 0.0, FAR_MM);
                }
            }
            let seen = self.follow(rays, |rays, hits| closest(self.scene, rays, hits));
            if seen.surfels.iter().all(Option::is_none) {
                continue;
            }
            for light in &self.lights {
                let lit = self.light(light, &seen.surfels, indices);
                for lane in 0..LANES {
                    let Lit { visible, matte, .. } = lit[lane];
                    for c in 0..3 {
                        sums[lane][c] += seen.passed[lane][c] * visible * matte[c].max(0.0);
                    }
                }
            }
        }
        let share = 1.0 / rounds.max(1) as f32;
        let mut out = [[0.0; 3]; LANES];
        for lane in 0..LANES {
            if let Some(surfel) = &surfels[lane] {
                out[lane] = [0, 1, 2].map(|c| share * surfel.albedo[c] * sums[lane][c]);
            }
        }
        out
    }
}

/// The direction of the hemisphere about `normal` above a place of its disc.
fn on_hemisphere(spot: [f32; 2], normal: Vector) -> Vector {
    let (x, y) = sides(normal);
    let up = (1.0 - spot[0] * spot[0] - spot[1] * spot[1]).max(0.0).sqrt();
    along(along(scale(normal, up), spot[0], x), spot[1], y)
}
