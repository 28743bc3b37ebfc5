//! Where a face lies in a picture: its box and five landmarks, as MTCNN (Zhang, Zhang, Li and Qiao
//! 2016, "Joint face detection and alignment using multitask cascaded convolutional networks")
//! gives them.
//!
//! Positions are in pixels, column to the right and row down; **the centre of the upper left pixel
//! is (0, 0)**, as in [`crate::geometry::Camera`] and in OpenCV's `warpAffine`, for which the
//! published templates were made. A picture w wide reaches from −0.5 to w − 0.5.
//!
//! Left and right are the picture's: `left_eye` is the eye further left in a picture of an upright
//! face, the person's right one.

use crate::maps::Size;
use serde::{Deserialize, Serialize};

/// A position in a picture, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelPoint {
    pub column: f64,
    pub row: f64,
}

impl PixelPoint {
    pub fn new(column: f64, row: f64) -> Self {
        Self { column, row }
    }

    /// The middle of a picture.
    pub fn centre_of(size: Size) -> Self {
        Self::new((size.width as f64 - 1.0) / 2.0, (size.height as f64 - 1.0) / 2.0)
    }

    pub fn distance_to(self, other: Self) -> f64 {
        (self.column - other.column).hypot(self.row - other.row)
    }

    /// The mean of some points; NaN for none.
    pub fn mean(points: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        Self::new(sum(|p| p.column), sum(|p| p.row))
    }
}

/// Five landmarks of a face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Landmarks {
    pub left_eye: PixelPoint,
    pub right_eye: PixelPoint,
    /// The nose's tip.
    pub nose: PixelPoint,
    /// The mouth's left corner.
    pub left_mouth: PixelPoint,
    pub right_mouth: PixelPoint,
}

impl Landmarks {
    /// The points in MTCNN's order: left eye, right eye, nose, left and right corner of the mouth.
    pub fn points(&self) -> [PixelPoint; 5] {
        [self.left_eye, self.right_eye, self.nose, self.left_mouth, self.right_mouth]
    }

    /// Of points in the order of [`Landmarks::points`].
    pub fn from_points(points: [PixelPoint; 5]) -> Self {
        let [left_eye, right_eye, nose, left_mouth, right_mouth] = points;
        Self { left_eye, right_eye, nose, left_mouth, right_mouth }
    }

    /// Of the 68 landmarks of iBUG 300-W, counted from 0: an eye is the mean of the six points of
    /// its lids, the nose's tip is 30, the corners of the mouth are 48 and 54.
    pub fn from_ibug(points: &[PixelPoint; 68]) -> Self {
        Self {
            left_eye: PixelPoint::mean(&points[36..42]),
            right_eye: PixelPoint::mean(&points[42..48]),
            nose: points[30],
            left_mouth: points[48],
            right_mouth: points[54],
        }
    }

    /// The same change to each point.
    pub fn map(&self, change: impl FnMut(PixelPoint) -> PixelPoint) -> Self {
        Self::from_points(self.points().map(change))
    }

    pub fn is_finite(&self) -> bool {
        self.points().iter().all(|p| p.column.is_finite() && p.row.is_finite())
    }
}

/// A box with edges along rows and columns, by the positions of its edges: a box round the one
/// pixel (0, 0) reaches from −0.5 to 0.5. It may reach out of its picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceBox {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl FaceBox {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    pub fn centre(&self) -> PixelPoint {
        PixelPoint::new((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// Whether it is a box: finite, and with some area.
    pub fn is_valid(&self) -> bool {
        let edges = [self.left, self.top, self.right, self.bottom];
        edges.iter().all(|e| e.is_finite()) && self.left < self.right && self.top < self.bottom
    }

    /// Whether no part of it lies beside a picture of this size.
    pub fn is_within(&self, size: Size) -> bool {
        let (right, bottom) = (size.width as f64 - 0.5, size.height as f64 - 0.5);
        self.left >= -0.5 && self.top >= -0.5 && self.right <= right && self.bottom <= bottom
    }

    /// The box so many pixels further to the right and down.
    pub fn moved_by(&self, columns: f64, rows: f64) -> Self {
        Self {
            left: self.left + columns,
            top: self.top + rows,
            right: self.right + columns,
            bottom: self.bottom + rows,
        }
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let common = width.max(0.0) * height.max(0.0);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }
}

/// One face that a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    #[serde(rename = "box")]
    pub bounds: FaceBox,
    /// The detector's probability that it is a face, 0 to 1.
    pub score: f64,
    pub landmarks: Landmarks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_overlap_as_worked_by_hand() {
        let a = FaceBox { left: 0.0, top: 0.0, right: 4.0, bottom: 2.0 };
        let b = FaceBox { left: 3.0, top: 1.0, right: 5.0, bottom: 3.0 };
        // One square in common, 8 + 4 − 1 in all.
        assert!((a.iou(&b) - 1.0 / 11.0).abs() < 1e-15);
        let apart = FaceBox { left: 9.0, right: 10.0, ..a };
        assert_eq!((a.iou(&a), a.iou(&apart)), (1.0, 0.0));
        assert_eq!((a.area(), a.centre()), (8.0, PixelPoint::new(2.0, 1.0)));
        assert!(a.is_valid() && !FaceBox { right: f64::NAN, ..a }.is_valid());
        assert!(!FaceBox { right: 0.0, ..a }.is_valid());
    }

    #[test]
    fn a_box_is_within_a_picture_up_to_the_outer_edges_of_its_pixels() {
        let whole = FaceBox { left: -0.5, top: -0.5, right: 3.5, bottom: 1.5 };
        let size = Size::new(2, 4);
        assert!(whole.is_within(size) && !whole.is_within(Size::new(4, 2)));
        for beyond in [
            FaceBox { left: -0.6, ..whole },
            FaceBox { top: -0.6, ..whole },
            FaceBox { right: 3.6, ..whole },
            FaceBox { bottom: 1.6, ..whole },
            FaceBox { left: f64::NAN, ..whole },
        ] {
            assert!(!beyond.is_within(size), "{beyond:?}");
        }
    }

    #[test]
    fn of_68_landmarks_the_picture_s_left_eye_comes_first() {
        let points = std::array::from_fn(|i| PixelPoint::new(i as f64, 100.0 + 2.0 * i as f64));
        let five = Landmarks::from_ibug(&points);
        assert_eq!(five.left_eye, PixelPoint::new(38.5, 177.0));
        assert_eq!(five.right_eye.column, 44.5);
        assert_eq!(
            [five.nose, five.left_mouth, five.right_mouth].map(|p| p.column),
            [30.0, 48.0, 54.0]
        );
        assert_eq!(Landmarks::from_points(five.points()), five);
    }

    #[test]
    fn a_detection_is_written_with_named_points() {
        let point = PixelPoint::new(1.0, 2.5);
        let detection = Detection {
            bounds: FaceBox { left: 0.0, top: 0.0, right: 4.0, bottom: 4.0 },
            score: 0.5,
            landmarks: Landmarks::from_points([point; 5]),
        };
        let json = serde_json::to_string(&detection).unwrap();
        assert!(json.starts_with(r#"{"box":{"left":0.0"#), "{json}");
        assert!(json.contains(r#""nose":{"column":1.0,"row":2.5}"#), "{json}");
        assert_eq!(serde_json::from_str::<Detection>(&json).unwrap(), detection);
    }
}
