//! Images: packets of sub-samples, tile by tile.
#![allow(clippy::needless_range_loop, reason = "lanes of several arrays run abreast")]

use rayon::prelude::*;

use super::light::{Light, LightRecord, disc};
use super::packet::{Hits, LANES, Lanes, Rays, closest_of, transmitted};
use super::scene::Scene;
use super::shade::{Surfel, clearance, soft_cosine};
use super::sight::{Candidates, Grid, SIDE, Spot};
use super::view::{HeadPose, RayParams, View};
use super::{Attached, Options};
use crate::maps::{Plane, Size};
use crate::synth::exact_math::{Vector, along, dot, normalise, scale};

/// One exposure: where the head is and which lights are on.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub pose: HeadPose,
    pub lights: Vec<Light>,
}

/// What a camera without noise sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Radiance {
    pub size: Size,
    /// Red, green, blue and coverage of each pixel, row-major. 1 is a white surface facing a light
    /// of intensity 1; coverage is the share of the pixel that is not background. The background
    /// is black, so that `rgb + (1 − coverage) · background` puts another in.
    pub pixels: Vec<[f32; 4]>,
}

impl Radiance {
    /// One channel of the scene as a camera with these weights of red, green and blue sees it.
    pub fn weighted(&self, weights: [f32; 3]) -> Plane<f32> {
        let value = |p: &[f32; 4]| p[0] * weights[0] + p[1] * weights[1] + p[2] * weights[2];
        Plane::new(self.size, self.pixels.iter().map(value).collect())
    }
}

/// Lenses on one line of sight; light behind more of them is not seen.
pub(crate) const MOST_LENSES: usize = 4;
/// Steepness up to which the blurred side of the terminator asks for light.
pub(crate) const GRAZING: f32 = 0.05;

/// What does not change within a frame.
pub(crate) struct Job<'a> {
    pub scene: &'a Scene,
    pub rays: RayParams,
    pub lights: Vec<LightRecord>,
    pub options: Options,
    /// Places on the lights' discs, for all sub-samples of a pixel.
    pub spots: Vec<[f32; 2]>,
    /// Directions of the hemisphere as places on its disc, for all sub-samples of a pixel.
    pub bounces: Vec<[f32; 2]>,
}

/// A packet of sight and what is at its end.
pub(super) struct Seen {
    /// The first thing that is not a lens.
    pub surfels: [Option<Surfel>; LANES],
    /// Share of its light that reaches the viewer.
    pub passed: [Vector; LANES],
    /// Lens surfaces on the way: lane, surface, share that reaches the viewer from there.
    pub lenses: Vec<(usize, Surfel, Vector)>,
}

/// Light on one surfel.
#[derive(Clone, Copy)]
pub(super) struct Lit {
    /// `n·l`.
    pub cosine: f32,
    /// Share of the light's disc that is not blocked.
    pub visible: f32,
    pub matte: Vector,
    pub shine: f32,
}

impl Lit {
    const DARK: Self = Self { cosine: 0.0, visible: 0.0, matte: [0.0; 3], shine: 0.0 };
}

impl<'a> Job<'a> {
    pub fn new(scene: &'a Scene, view: &View, frame: &Frame, options: &Options) -> Self {
        let n = options.samples_per_side.clamp(1, 8);
        let options = Options {
            samples_per_side: n,
            light_samples: options.light_samples.clamp(1, 64),
            bounce_rays: options.bounce_rays.min(64),
            ..*options
        };
        Self {
            scene,
            rays: RayParams::new(view, &frame.pose, scene.bounds),
            lights: frame.lights.iter().map(|l| LightRecord::new(l, &frame.pose)).collect(),
            spots: disc(n * n * options.light_samples),
            bounces: disc(n * n * options.bounce_rays.max(1)),
            options,
        }
    }

    /// Follows sixteen rays of sight through the image.
    pub(super) fn see(&self, spots: &[Spot; LANES], candidates: &[u32]) -> Seen {
        let mut rays = Rays::none();
        if candidates.is_empty() {
            return self.follow(rays, |_, _| ());
        }
        for (lane, spot) in spots.iter().enumerate().filter(|(_, spot)| spot.pixel.is_some()) {
            let (origin, direction) = self.rays.ray(spot.column, spot.row);
            rays.set(lane, origin, direction, 0.0, self.rays.reach);
        }
        self.follow(rays, |rays, hits| closest_of(self.scene, candidates, rays, hits))
    }

    /// Follows rays to the first thing that is not a lens; `find` tells the nearest triangle.
    pub(super) fn follow(&self, mut rays: Rays, find: impl Fn(&Rays, &mut Hits)) -> Seen {
        let mut seen =
            Seen { surfels: [None; LANES], passed: [[1.0; 3]; LANES], lenses: Vec::new() };
        let mut hits = Hits::none();
        for round in 0..=MOST_LENSES {
            find(&rays, &mut hits);
            let mut again = false;
            for lane in 0..LANES {
                if rays.end[lane] < 0.0 {
                    continue;
                }
                match Surfel::new(self.scene, &rays, &hits, lane) {
                    Some(surfel) if surfel.is_lens() => {
                        rays.start[lane] = surfel.distance + clearance(self.scene);
                        again = true;
                        if self.options.lenses {
                            seen.lenses.push((lane, surfel, seen.passed[lane]));
                            let through = surfel.passed();
                            let passed = &mut seen.passed[lane];
                            *passed = [0, 1, 2].map(|c| passed[c] * through[c]);
                        }
                    }
                    other => {
                        seen.surfels[lane] = other;
                        rays.end[lane] = -1.0;
                    }
                }
            }
            if !again || round == MOST_LENSES {
                break;
            }
        }
        seen
    }

    /// Light of one lamp on up to sixteen surfels; `indices` tell which sub-sample of its pixel
    /// each is of.
    pub(super) fn light(
        &self,
        light: &LightRecord,
        surfels: &[Option<Surfel>; LANES],
        indices: &[usize; LANES],
    ) -> [Lit; LANES] {
        let mut lit = [Lit::DARK; LANES];
        // Where each lane asks for light: bent up to the surface just across the terminator.
        let mut bent = [0.0; LANES];
        let mut asks = [false; LANES];
        for lane in 0..LANES {
            let Some(surfel) = &surfels[lane] else { continue };
            let incidence = light.at(surfel.place);
            let cosine = dot(surfel.normal, incidence.toward);
            let own = &mut lit[lane];
            own.cosine = cosine;
            if !surfel.is_lens() {
                let blur = if self.options.subsurface { surfel.blur() } else { [0.0; 3] };
                for c in 0..3 {
                    let answer = match self.options.attached {
                        Attached::Negative => cosine,
                        Attached::Dark if blur[c] > 0.0 => soft_cosine(cosine, blur[c]),
                        Attached::Dark => cosine.max(0.0),
                    };
                    own.matte[c] = surfel.albedo[c] * (answer * incidence.strength);
                }
                bent[lane] = if blur[0] > 0.0 { (GRAZING - cosine).max(0.0) } else { 0.0 };
            }
            if self.options.specular {
                own.shine = surfel.shine(incidence.toward, cosine) * incidence.strength;
            }
            own.visible = 1.0;
            asks[lane] = cosine > 0.0 || own.matte.iter().any(|&x| x > 0.0);
        }
        if self.options.cast_shadows && asks.contains(&true) {
            self.shadow(light, surfels, indices, &asks, &bent, &mut lit);
        }
        lit
    }

    fn shadow(
        &self,
        light: &LightRecord,
        surfels: &[Option<Surfel>; LANES],
        indices: &[usize; LANES],
        asks: &[bool; LANES],
        bent: &Lanes,
        lit: &mut [Lit; LANES],
    ) {
        let mut sums = [0.0; LANES];
        let samples = self.options.light_samples;
        // A point has one place.
        let rounds = if light.size > 0.0 { samples } else { 1 };
        for round in 0..rounds {
            let mut rays = Rays::none();
            for lane in 0..LANES {
                let (Some(surfel), true) = (&surfels[lane], asks[lane]) else { continue };
                let spot = self.spots[indices[lane] * samples + round];
                let (mut direction, distance) = light.spot(surfel.lifted, spot);
                if bent[lane] > 0.0 {
                    direction = normalise(along(direction, bent[lane], surfel.normal));
                }
                rays.set(lane, surfel.lifted, direction, 0.0, distance);
            }
            let mut share = [0.0; LANES];
            transmitted(self.scene, &rays, &mut share);
            for lane in 0..LANES {
                sums[lane] += share[lane];
            }
        }
        let each = 1.0 / rounds as f32;
        for lane in 0..LANES {
            if asks[lane] {
                lit[lane].visible = sums[lane] * each;
            }
        }
    }

    /// Red, green, blue and coverage of sixteen sub-samples.
    fn sample(&self, spots: &[Spot; LANES], candidates: &[u32]) -> [[f32; 4]; LANES] {
        let seen = self.see(spots, candidates);
        let mut out = [[0.0; 4]; LANES];
        for lane in 0..LANES {
            out[lane][3] = if seen.surfels[lane].is_some() { 1.0 } else { 0.0 };
        }
        let mut indices = [0; LANES];
        for lane in 0..LANES {
            indices[lane] = spots[lane].index;
        }
        let any = seen.surfels.iter().any(Option::is_some);
        for light in &self.lights {
            if any {
                let lit = self.light(light, &seen.surfels, &indices);
                for lane in 0..LANES {
                    let Lit { visible, matte, shine, .. } = lit[lane];
                    for c in 0..3 {
                        out[lane][c] += seen.passed[lane][c] * visible * (matte[c] + shine);
                    }
                }
            }
            if self.options.specular {
                for (lane, glint) in self.glints(light, &seen, &indices) {
                    for c in 0..3 {
                        out[lane][c] += glint[c];
                    }
                }
            }
        }
        if any && self.options.bounce_rays > 0 {
            let bounced = self.bounced(&seen.surfels, &indices);
            for lane in 0..LANES {
                for c in 0..3 {
                    out[lane][c] += seen.passed[lane][c] * bounced[lane][c];
                }
            }
        }
        out
    }

    /// The lamp's reflections on the lenses of a packet: lane and value.
    pub(super) fn glints(
        &self,
        light: &LightRecord,
        seen: &Seen,
        indices: &[usize; LANES],
    ) -> Vec<(usize, Vector)> {
        let mut glints = Vec::new();
        for group in seen.lenses.chunks(LANES) {
            let (mut surfels, mut own) = ([None; LANES], [0; LANES]);
            for (i, (lane, lens, _)) in group.iter().enumerate() {
                (surfels[i], own[i]) = (Some(*lens), indices[*lane]);
            }
            let lit = self.light(light, &surfels, &own);
            for ((lane, _, passed), lit) in group.iter().zip(lit) {
                glints.push((*lane, scale(*passed, lit.visible * lit.shine)));
            }
        }
        glints
    }
}

/// Renders one frame.
pub fn image(scene: &Scene, view: &View, size: Size, frame: &Frame, options: &Options) -> Radiance {
    let job = Job::new(scene, view, frame, options);
    let n = job.options.samples_per_side;
    let grid = Grid { size, n };
    let candidates = Candidates::new(scene, &job.rays, &grid);
    let share = 1.0 / (n * n) as f32;
    let mut pixels = vec![[0.0; 4]; size.area()];
    // Four rows of pixels are n rows of packets.
    let band = (SIDE * size.width).max(1);
    pixels.par_chunks_mut(band).enumerate().for_each(|(index, pixels)| {
        let [across, down] = grid.packets();
        for row in (index * n)..((index + 1) * n).min(down) {
            for column in 0..across {
                let own = candidates.of([column, row]);
                if own.is_empty() {
                    continue;
                }
                let spots = grid.spots([column, row]);
                for (spot, value) in spots.iter().zip(job.sample(&spots, own)) {
                    if let Some(pixel) = spot.pixel {
                        let sum = &mut pixels[pixel - index * band];
                        (0..4).for_each(|c| sum[c] += value[c]);
                    }
                }
            }
        }
        pixels.iter_mut().for_each(|sum| *sum = sum.map(|v| v * share));
    });
    Radiance { size, pixels }
}
