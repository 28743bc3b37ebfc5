//! Registration: bringing frames of a head that moved between them onto one frame.
//!
//! The frames of a capture are taken one after the other; the head drifts, by almost three pixels
//! a frame in Photoface. Photometric stereo compares the same pixel of all frames, so the drift
//! turns every edge of albedo into a false slope.
//!
//! What makes it hard is that the light moves too, and drags shading and shadows along. Worse:
//! shift each frame by a small multiple of its own light, `d_j = α (l_jx, l_jy)`, and to first
//! order the intensities become `I_j + α l_jxy·∇I_j`. On a surface near frontal that is
//! `g_xy + α l_z ∇ρ`: again Lambertian, again integrable, with `−α l_z log ρ` added to the depth.
//! Neither the fit of Lambert's law nor the curl of the slopes can see this *parallax mode*; the
//! first plain correlation to meet a concave dark feature walks along it. So three kinds of
//! evidence share the work:
//!
//! 1. **Structure** (any k ≥ 3): relative contrast at the finest scale, `(I − Ī)/Ī` with Ī a
//!    5-tap binomial mean. Albedo edges look the same in it under every light, and shading, which
//!    is smooth, is nearly gone. Each frame is drawn to the mean of the others. It alone fixes the
//!    parallax mode: by the belief that albedo edges carry no relief.
//! 2. **Lambert's law** (k ≥ 4): any frame is a fixed linear mixture of the others,
//!    `(1 − L L⁺) I = 0`, shading and all, so geometric edges count as well. This is the
//!    leave-one-out prediction `ρ n·l` with g eliminated (variable projection, Golub and Pereyra
//!    1973). Taken on band-passed images, so that lights of unknown fall-off do no harm.
//! 3. **Integrability**, which took no part in the fit, decides: a motion is believed only when
//!    the mean curl of the slopes falls, by more than chance (see [`HeldOut`]). Otherwise the
//!    frames are left as they are.
//!
//! 1 and 2 are minimised jointly by Gauss–Newton steps with Geman–McClure-like weights, so that
//! shadow edges, highlights and spectacles are outvoted (Lucas and Kanade 1981; Baker and Matthews
//! 2004). At coarser scales structure is no longer free of shading; there the steps are held to a
//! constant velocity plus a parallax term that soaks up the shading's pull and is then thrown
//! away. The finest scale starts from there, and from no motion, and is free.

mod align;
mod held_out;
mod pyramid;
mod resample;

pub use held_out::HeldOut;

use crate::maps::{ImageStack, Lights, Mask, Size};
use crate::stereo::foreground_mask;
use align::{Aligner, Freedom};
use pyramid::Pyramid;

/// What [`register`] may find and believe.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterOptions {
    /// A motion with a frame farther than this from the reference is not believed, pixels.
    pub largest_motion_px: f64,
    /// Least relative drop of the held-out criterion for a motion to be believed.
    pub least_gain: f64,
}

/// Five frames of Photoface's drift with room to spare; a drop that is worth a resampling.
impl Default for RegisterOptions {
    fn default() -> Self {
        Self { largest_motion_px: 24.0, least_gain: 0.02 }
    }
}

/// Where each frame's content has moved to.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Per frame (dx, dy) in pixels, dx to the right, dy *down* the rows: what the reference frame
    /// shows at (row, column), this frame shows at (row + dy, column + dx). All zero where no
    /// motion was believed; the reference's is always zero.
    pub motions: Vec<[f64; 2]>,
    /// Per frame, the correlation of its structure with the mean of the others at these motions,
    /// −1 to 1: low where a frame is blurred, dark or moved in another way. NaN where no pixel
    /// can be compared.
    pub quality: Vec<f32>,
    /// Index of the frame that the others are brought onto: the middle one in time.
    pub reference: usize,
    /// The criterion that decided; `None` where it could not be had (too few pixels, lights in
    /// one plane) and no motion was believed.
    pub held_out: Option<HeldOut>,
}

impl Registration {
    /// No motion at all.
    pub fn still(frames: usize) -> Self {
        Self {
            motions: vec![[0.0; 2]; frames],
            quality: vec![f32::NAN; frames],
            reference: frames.saturating_sub(1) / 2,
            held_out: None,
        }
    }

    /// Whether no frame moves.
    pub fn is_still(&self) -> bool {
        self.motions.iter().all(|m| *m == [0.0; 2])
    }

    /// The frames on the reference: shares of full scale, by cubic convolution (Keys
    /// 1981), edges replicated. A frame that does not move is only converted.
    ///
    /// A pixel that a saturated one was interpolated from is set to the saturation level; one that
    /// a NaN was interpolated from is NaN. Fits any stack of as many frames, such as a colour
    /// channel of the same capture.
    ///
    /// # Panics
    /// If the stack does not hold one image per motion.
    pub fn apply(&self, images: &ImageStack) -> ImageStack {
        assert_eq!(images.count, self.motions.len(), "one image per motion");
        resample::resample(images, &self.motions)
    }

    /// True where every frame was seen: false where [`Registration::apply`] had to replicate an
    /// edge.
    pub fn seen_in_all(&self, size: Size) -> Mask {
        resample::seen_in_all(size, &self.motions)
    }
}

/// Finds the motion of each frame.
///
/// `images` in the order in which they were taken, ambient light taken off where it can be;
/// `lights` one per image; `mask` the subject's pixels ([`foreground_mask`] without it), since a
/// background stands still while the head moves. Returns no motion where none can be proved. The
/// same result at any number of threads.
///
/// # Panics
/// If there is not one light per image, or the mask is of another size.
pub fn register(
    images: &ImageStack,
    lights: &Lights,
    mask: Option<&Mask>,
    options: &RegisterOptions,
) -> Registration {
    let k = images.count;
    assert_eq!(k, lights.len(), "one light per image");
    if let Some(mask) = mask {
        assert_eq!(mask.size, images.size, "a mask of the images' size");
    }
    let still = Registration::still(k);
    if k < 3 || !lights.condition_number().is_finite() {
        return still;
    }
    let own_mask;
    let mask = match mask {
        Some(mask) => mask,
        None => {
            own_mask = foreground_mask(images);
            &own_mask
        }
    };
    let Some(pyramid) = Pyramid::new(images, mask) else { return still };
    let finest = &pyramid.levels[0];
    let Some(judge) = held_out::Judge::new(finest, lights) else { return still };

    let reference = still.reference;
    let mut drift = vec![[0.0; 2]; k];
    for level in pyramid.levels.iter().skip(1).rev() {
        scale(&mut drift, 1.0 / level.scale);
        if let Some(aligner) = Aligner::new(level, lights, reference, Freedom::Drift, &drift) {
            drift = aligner.velocity_of(&aligner.align(drift));
        }
        scale(&mut drift, level.scale);
    }
    scale(&mut drift, 1.0 / finest.scale);
    let largest = options.largest_motion_px / finest.scale;
    let mut best: Option<(Vec<[f64; 2]>, HeldOut, Aligner)> = None;
    for start in starts(&judge, drift) {
        let Some(aligner) = Aligner::new(finest, lights, reference, Freedom::Free, &start) else {
            return still;
        };
        let motions = aligner.align(start);
        let near = motions.iter().all(|m| m[0].hypot(m[1]) <= largest);
        if !near {
            continue;
        }
        let Some(verdict) = judge.compare(&motions) else { continue };
        if best.as_ref().is_none_or(|(_, known, _)| verdict.moved < known.moved) {
            best = Some((motions, verdict, aligner));
        }
        if verdict.believes(options.least_gain) {
            break;
        }
    }
    let Some((mut motions, verdict, aligner)) = best else { return still };
    let believed = verdict.believes(options.least_gain);
    if !believed {
        motions = vec![[0.0; 2]; k];
    }
    let quality = aligner.quality(&motions);
    scale(&mut motions, finest.scale);
    Registration { motions, quality, reference, held_out: Some(verdict) }
}

/// The motions to start the finest scale from, the more promising first: the drift if it lowers
/// the curl, else none. The other is tried only where the first ends in no motion that can be
/// believed.
fn starts(judge: &held_out::Judge, drift: Vec<[f64; 2]>) -> [Vec<[f64; 2]>; 2] {
    let none = vec![[0.0; 2]; drift.len()];
    match judge.compare(&drift) {
        Some(verdict) if verdict.gain() > 0.0 => [drift, none],
        _ => [none, drift],
    }
}

fn scale(motions: &mut [[f64; 2]], by: f64) {
    motions.iter_mut().flatten().for_each(|v| *v *= by);
}
