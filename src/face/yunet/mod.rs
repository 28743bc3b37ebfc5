//! Finds faces and five landmarks of each: YuNet (Wu, Peng and Yu 2023, "YuNet: a tiny
//! millisecond-level face detector"), one small network that looks at all sizes of faces at once.
//!
//! ```text
//! picture → levels, each half as large as the one before → blue, green, red; sides multiples of 32
//!         → the network: for each cell of 8, 16, 32 pixels a score, a box and five points
//!         → the surest of faces that overlap
//! ```
//!
//! The network is an ONNX file that the user imports ([`import_yunet`]); rten runs it on the CPU.
//!
//! Positions are those of [`crate::face::landmarks`]: the centre of the first pixel is (0, 0). The
//! network counts from that pixel's outer edge, and OpenCV's `FaceDetectorYN` gives its results as they
//! come: its landmarks and its edges are larger by 0.5. (A picture and its mirror image show that: over 535
//! rendered faces of less than 60 pixels a landmark and its mirrored twin are 0.49 ± 0.02 pixels too far
//! to the right on average, the edges 0.54 ± 0.02. Of larger faces both are further to the right, by
//! about half a percent of the face's height, which is the network's own.)

mod decode;
mod levels;
mod network;
mod weights;

pub use weights::{YuNetError, import_yunet};

use crate::face::landmarks::{Detection, FaceBox, Landmarks, PixelPoint};
use crate::face::view::{Turn, View};
use crate::io::Picture;
use crate::maps::Size;
use decode::{Candidate, STRIDES, best, candidates, grid};
use network::Network;
use std::path::Path;

/// A face of this score stands upright: of the rendered ones that were tried none was surer than 0.89 on
/// its head or its side.
const SURELY_UPRIGHT: f64 = 0.9;

/// What counts as a face, and at which sizes a picture is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct YuNetOptions {
    /// A face's score is this or more, 0 to less than 1.
    pub score: f32,
    /// Of faces whose intersection over union is more than this the surest is taken.
    pub overlap: f32,
    /// Longer side in pixels at which a picture is looked at first; larger ones are made smaller. A
    /// limit to memory.
    pub finest: u32,
    /// A picture is looked at again at half the size while its longer side is more than this.
    pub coarsest: u32,
    /// Faces whose shorter side is less are left out, pixels.
    pub smallest_face: u32,
}

impl Default for YuNetOptions {
    fn default() -> Self {
        Self { score: 0.7, overlap: 0.3, finest: 2048, coarsest: 320, smallest_face: 10 }
    }
}

impl YuNetOptions {
    /// # Errors
    /// A value that finds nothing or takes too much, in words.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [("score", self.score), ("overlap", self.overlap)] {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{name} = {value}: use 0 to less than 1"));
            }
        }
        if !(32..=8192).contains(&self.finest) {
            return Err(format!("finest = {}: use 32 to 8192", self.finest));
        }
        if self.coarsest < 32 {
            return Err(format!("coarsest = {}: use 32 or more", self.coarsest));
        }
        Ok(())
    }
}

/// The network, ready to run.
pub struct YuNet {
    network: Network,
}

impl YuNet {
    /// With the network that [`import_yunet`] wrote to a folder.
    ///
    /// # Errors
    /// A network that is missing or damaged.
    pub fn load(folder: &Path) -> Result<Self, YuNetError> {
        Ok(Self { network: weights::read(folder)? })
    }

    /// SHA-256 of the network's file.
    pub fn weights_sha256(&self) -> &str {
        weights::PUBLISHED
    }

    /// Faces in a picture, the largest first. The options must pass [`YuNetOptions::check`].
    pub fn detect(&self, picture: &Picture, options: &YuNetOptions) -> Vec<Detection> {
        self.detect_at(picture, Turn::None, options)
    }

    /// [`YuNet::detect`] and, where no face is sure, again with the picture turned by quarters: of the four
    /// the one with the surest face. The network takes many a face that stands on its head for an upright
    /// one, eyes where the mouth is, but is less sure then. The faces are in the picture as it is; the
    /// turn says how it has to be turned for them to stand upright.
    pub fn detect_turned(
        &self,
        picture: &Picture,
        options: &YuNetOptions,
    ) -> (Turn, Vec<Detection>) {
        let surest = |found: &[Detection]| found.iter().map(|face| face.score).fold(0.0, f64::max);
        let mut best = (Turn::None, self.detect(picture, options));
        if surest(&best.1) >= SURELY_UPRIGHT {
            return best;
        }
        for turn in [Turn::Right, Turn::Half, Turn::Left] {
            let found = self.detect_at(picture, turn, options);
            if surest(&found) > surest(&best.1) {
                best = (turn, found);
            }
        }
        best
    }

    fn detect_at(&self, picture: &Picture, turn: Turn, options: &YuNetOptions) -> Vec<Detection> {
        let view = View::new(picture, turn);
        let found: Vec<Candidate> = levels::level_sizes(view.size(), options)
            .into_iter()
            .flat_map(|level| self.candidates_at(view, level, options.score))
            .collect();
        best(found, options.overlap)
            .iter()
            .map(|face| detection(face, |point| turn.back(point, picture.size)))
            .filter(|face| {
                let bounds = face.bounds;
                bounds.width().min(bounds.height()) >= f64::from(options.smallest_face)
            })
            .collect()
    }

    fn candidates_at(&self, view: View, level: Size, least: f32) -> Vec<Candidate> {
        let padded = levels::padded(level);
        let said = self.network.run(levels::planes(view, level), padded);
        let of = |whole: usize, part: usize| whole as f32 / part as f32;
        let per_pixel = [of(view.size().width, level.width), of(view.size().height, level.height)];
        STRIDES
            .into_iter()
            .zip(&said)
            .flat_map(|(stride, cells)| {
                candidates(cells, stride, grid(padded, stride).width, per_pixel, least)
            })
            .collect()
    }
}

/// From edges of pixels to their centres, and from the turned picture to the picture.
fn detection(face: &Candidate, back: impl Fn(PixelPoint) -> PixelPoint) -> Detection {
    let place = |x: f32, y: f32| back(PixelPoint::new(f64::from(x) - 0.5, f64::from(y) - 0.5));
    let [left, top, right, bottom] = face.edges;
    let (a, b) = (place(left, top), place(right, bottom));
    let bounds = FaceBox {
        left: a.column.min(b.column),
        top: a.row.min(b.row),
        right: a.column.max(b.column),
        bottom: a.row.max(b.row),
    };
    let landmarks = Landmarks::from_points(face.points.map(|[x, y]| place(x, y)));
    Detection { bounds, score: f64::from(face.score), landmarks }
}
