//! Whether the lights are stated in the frame of the camera, or with an axis flipped or swapped.
//! [`super::curl`] says how it can be seen.

use super::curl::{AS_STATED, AxisMap, CurlSums};
use super::finding::{Finding, FindingCode, Severity};
use serde::{Deserialize, Serialize};

/// A variant is preferred where it leaves at most this share of the curl. A mirrored frame about
/// doubles the curl of a real face; noise, which is the same for both, brings the two nearer.
pub const MARKEDLY_LOWER: f64 = 0.75;
/// Bulge below which a subject counts as hollow. A face has about 0.8; a flat relief about 0.
pub const HOLLOW: f64 = -0.2;

/// A frame that the lights may have been stated in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameVariant {
    AsStated,
    XFlipped,
    YFlipped,
    BothFlipped,
    Swapped,
    SwappedAndBothFlipped,
    QuarterTurnLeft,
    QuarterTurnRight,
}

impl FrameVariant {
    const ALL: [Self; 8] = [
        Self::AsStated,
        Self::XFlipped,
        Self::YFlipped,
        Self::BothFlipped,
        Self::Swapped,
        Self::SwappedAndBothFlipped,
        Self::QuarterTurnLeft,
        Self::QuarterTurnRight,
    ];

    /// What turns the stated (x, y) of a light into the camera frame's.
    fn axes(self) -> AxisMap {
        match self {
            Self::AsStated => AS_STATED,
            Self::XFlipped => [[-1.0, 0.0], [0.0, 1.0]],
            Self::YFlipped => [[1.0, 0.0], [0.0, -1.0]],
            Self::BothFlipped => [[-1.0, 0.0], [0.0, -1.0]],
            Self::Swapped => [[0.0, 1.0], [1.0, 0.0]],
            Self::SwappedAndBothFlipped => [[0.0, -1.0], [-1.0, 0.0]],
            Self::QuarterTurnLeft => [[0.0, -1.0], [1.0, 0.0]],
            Self::QuarterTurnRight => [[0.0, 1.0], [-1.0, 0.0]],
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::AsStated => "(x, y) as stated",
            Self::XFlipped => "(−x, y)",
            Self::YFlipped => "(x, −y)",
            Self::BothFlipped => "(−x, −y)",
            Self::Swapped => "(y, x)",
            Self::SwappedAndBothFlipped => "(−y, −x)",
            Self::QuarterTurnLeft => "(−y, x)",
            Self::QuarterTurnRight => "(y, −x)",
        }
    }
}

/// The curl with the lights as stated, and the frame that fits best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LightFrame {
    /// Curl of the slopes at the scale of the face, over the size of their derivatives: 0 for a
    /// surface, 0.35 for slopes that have nothing to do with each other.
    pub curl: f64,
    /// Correlation −1 to 1 of the normals' tilt with the way from the middle of the subject:
    /// positive where it bulges toward the camera.
    pub bulge: f64,
    /// The frame with the least curl whose surface bulges toward the camera.
    pub best: FrameVariant,
    pub best_curl: f64,
}

impl LightFrame {
    /// True where the lights are better explained by another frame.
    pub(super) fn suspect(&self) -> bool {
        self.best != FrameVariant::AsStated
            && (self.best_curl < MARKEDLY_LOWER * self.curl || self.bulge < HOLLOW)
    }
}

pub(super) fn light_frame(sums: &CurlSums) -> LightFrame {
    let curl = |variant: FrameVariant| sums.curl(variant.axes());
    let bulges = |variant: &FrameVariant| sums.bulge(variant.axes()) > 0.0;
    // A relief without any bulge leaves the stated frame its pair's place.
    let best = FrameVariant::ALL
        .into_iter()
        .filter(bulges)
        .min_by(|a, b| curl(*a).total_cmp(&curl(*b)))
        .unwrap_or(FrameVariant::AsStated);
    LightFrame {
        curl: curl(FrameVariant::AsStated),
        bulge: sums.bulge(AS_STATED),
        best,
        best_curl: curl(best),
    }
}

/// `order`: another order of the lights that would explain the same, in words.
pub(super) fn findings(frame: &LightFrame, order: Option<String>, found: &mut Vec<Finding>) {
    if !frame.suspect() {
        return;
    }
    let seen = if frame.best_curl < MARKEDLY_LOWER * frame.curl {
        format!(
            "the normals fit on each other as a surface's do when the lights' (x, y) is read as \
             {}: curl {:.3} in place of {:.3}",
            frame.best.in_words(),
            frame.best_curl,
            frame.curl
        )
    } else {
        format!(
            "the subject comes out hollow (bulge {:.2}); it bulges when the lights' (x, y) is read \
             as {}, at the same curl",
            frame.bulge,
            frame.best.in_words()
        )
    };
    let seen = match order {
        Some(order) => format!("{seen}; another order of the lights does nearly the same: {order}"),
        None => seen,
    };
    found.push(Finding::new(
        FindingCode::LightFrame,
        Severity::Error,
        seen,
        "state the lights in the camera's frame: x right, y up as the image shows it, z toward the \
         viewer, from the surface to the light; or mend the order of the images, if that is how \
         the axes came to be exchanged",
    ));
}
