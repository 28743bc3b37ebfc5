//! The sizes at which MTCNN searches a picture.

use crate::maps::Size;

/// The sizes at which a picture is searched, from the largest on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Pixels here for a pixel of the picture.
    pub scale: f64,
    pub size: Size,
}

/// Window of the first network, in pixels.
pub const WINDOW: usize = 12;

/// Levels down to where the first network's window no longer fits: at the first, a face of
/// `smallest_face` pixels fills it; each next is `factor` times as large.
pub fn levels(size: Size, smallest_face: f64, factor: f64) -> Vec<Level> {
    let mut scale = WINDOW as f64 / smallest_face;
    let mut side = size.height.min(size.width) as f64 * scale;
    let mut levels = Vec::new();
    while side >= WINDOW as f64 {
        let length = |pixels: usize| (pixels as f64 * scale + 1.0) as usize;
        levels.push(Level { scale, size: Size::new(length(size.height), length(size.width)) });
        scale *= factor;
        side *= factor;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_end_where_the_window_no_longer_fits() {
        let of = |height, width, smallest| levels(Size::new(height, width), smallest, 0.5);
        let found = of(100, 83, 24.0);
        let sizes: Vec<Size> = found.iter().map(|level| level.size).collect();
        // 83 · 0.5 = 41.5, then 20.75; 10.375 is too small.
        assert_eq!(sizes, [Size::new(51, 42), Size::new(26, 21)]);
        assert_eq!(found[1].scale, 0.25);
        assert_eq!(of(20, 5000, 20.0).len(), 1);
        assert!(of(19, 5000, 20.0).is_empty());
        assert!(of(0, 0, 20.0).is_empty());
    }
}
