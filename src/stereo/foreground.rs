//! Which pixels show the subject: those that any light reaches well above the darkest of the
//! capture. It is judged on the raw images, so it is the same on every device and for every solver.

use crate::maps::{ImageStack, Mask, Pixels, Plane, Size};
use crate::order_statistics::quantile;

/// A pixel is lit when its brightest image stands this share of the way from black level to
/// the capture's 99th percentile. Set on both sides by noise: a dark wall behind a Photoface
/// subject reaches 0.11, shaded eyebrows and beards fall to 0.13.
const LIT_SHARE: f32 = 0.12;
/// Islands smaller than this share of the largest are dust or buttons, not the subject.
const SMALLEST_ISLAND: f64 = 0.05;
/// Dark regions up to this share of the image belong to the subject where it surrounds them:
/// pupils, nostrils, brows, spectacle frames, a beard. The eye with its brow is 3 % of a tightly
/// cropped face.
const LARGEST_HOLE: f64 = 0.05;
/// A dark region that reaches the image's border is a bite out of the subject, such as a brow cut
/// off by the crop, where at most this share of its outline is border. A corner of background has
/// half of it there.
const BITE_AT_BORDER: f64 = 0.25;
/// Bites and holes of half this share of the image's shorter side across are closed on the
/// outline too (hair on the forehead, the arms of spectacles), where they are not quite dark.
const OUTLINE_SHARE: f64 = 0.02;
/// A background that is not black covers at least this share of the image, and is darker than
/// this share of white.
const LEAST_BACKGROUND: f64 = 0.25;
const BRIGHTEST_ROOM: f32 = 0.6;
/// Not quite dark: this share of [`LIT_SHARE`].
const DIM_SHARE: f32 = 0.5;

/// The subject's pixels. Empty where no image holds any light.
///
/// Lit pixels, and the dark ones that they surround; ragged outlines are closed where there is
/// some light. Background as dark as the darkest of the capture is never taken in from outside.
pub fn foreground_mask(images: &ImageStack) -> Mask {
    let area = images.size.area();
    if area == 0 {
        return Plane::filled(images.size, false);
    }
    let brightest = match &images.pixels {
        Pixels::U8(values) => brightest(values, area),
        Pixels::U16(values) => brightest(values, area),
        Pixels::F32(values) => brightest(values, area),
    };
    let (black, white) = levels(&brightest);
    if white <= 0.0 {
        return Plane::filled(images.size, false);
    }
    let lit = |share: f32| {
        let threshold = black + share * (white - black);
        Plane::new(images.size, brightest.iter().map(|&v| v > threshold).collect())
    };
    let mut mask: Mask = lit(LIT_SHARE);
    close_outline(&mut mask, &lit(DIM_SHARE * LIT_SHARE));

    let limit = (LARGEST_HOLE * area as f64) as usize;
    for hole in islands(&mask, false).iter().filter(|h| h.pixels.len() <= limit) {
        let outline = (hole.at_border + hole.inside) as f64;
        if hole.at_border as f64 <= BITE_AT_BORDER * outline {
            hole.pixels.iter().for_each(|&p| mask.data[p] = true);
        }
    }
    // A pixel that no light reaches at all has no normal, hole or not.
    mask.data.iter_mut().zip(&brightest).for_each(|(m, &v)| *m &= v > 0.0);
    let subject = islands(&mask, true);
    let largest = subject.iter().map(|i| i.pixels.len()).max().unwrap_or(0);
    for island in subject {
        if (island.pixels.len() as f64) < SMALLEST_ISLAND * largest as f64 {
            island.pixels.iter().for_each(|&p| mask.data[p] = false);
        }
    }
    mask
}

/// The brightest of all images per pixel; 0 where there is no observation.
fn brightest<T: Copy + Into<f32>>(values: &[T], area: usize) -> Vec<f32> {
    let mut brightest = vec![0.0f32; area];
    for image in values.chunks_exact(area) {
        for (most, &value) in brightest.iter_mut().zip(image) {
            *most = most.max(value.into());
        }
    }
    brightest
}

/// Black and white: the darkest thousandth and the brightest hundredth.
fn levels(brightest: &[f32]) -> (f32, f32) {
    let mut values = brightest.to_vec();
    let mut percentile = |share: f64| quantile(&mut values, share).unwrap_or(0.0);
    let (black, white) = (percentile(0.001), percentile(0.99));
    // Where the subject fills the frame there is no black to measure from; more than a fifth of
    // white is skin in shade, or a background under the light of the room. Lamps on all sides leave
    // no quarter of a face in shade.
    let dark = black + LIT_SHARE * (white - black);
    let background = || {
        let count = brightest.iter().filter(|&&v| v <= dark).count();
        black < BRIGHTEST_ROOM * white && count as f64 >= LEAST_BACKGROUND * brightest.len() as f64
    };
    (if black > 0.2 * white && !background() { 0.0 } else { black }, white)
}

/// Morphological closing by a square: takes in what is too narrow for the square to pass, where
/// `dim` allows it.
fn close_outline(mask: &mut Mask, dim: &Mask) {
    let Size { height, width } = mask.size;
    let radius = (0.5 * OUTLINE_SHARE * height.min(width) as f64).round() as usize;
    if radius == 0 {
        return;
    }
    let grown = spread(mask, radius, true);
    // Beyond the border there is no background to come in from.
    let closed = spread(&grown, radius, false);
    for ((m, closed), dim) in mask.data.iter_mut().zip(closed.data).zip(&dim.data) {
        *m |= closed && *dim;
    }
}

/// The mask with every pixel of `value` spread over the square of 2 · radius + 1 about it.
pub(crate) fn spread(mask: &Mask, radius: usize, value: bool) -> Mask {
    let Size { height, width } = mask.size;
    let mut out = Plane::filled(mask.size, !value);
    // How far back the last row with `value` lies, per column, going down and then up.
    let mut rows = out.clone();
    let far = radius + 1;
    for upward in [false, true] {
        let mut since = vec![far; width];
        for step in 0..height {
            let r = if upward { height - 1 - step } else { step };
            let line = r * width..(r + 1) * width;
            for ((since, &m), near) in
                since.iter_mut().zip(&mask.data[line.clone()]).zip(&mut rows.data[line])
            {
                *since = if m == value { 0 } else { (*since + 1).min(far) };
                if *since <= radius {
                    *near = value;
                }
            }
        }
    }
    for (line, out) in rows.data.chunks_exact(width).zip(out.data.chunks_exact_mut(width)) {
        let mut until = 0;
        for c in 0..width {
            if line[c] == value {
                let end = (c + radius + 1).min(width);
                out[until.max(c.saturating_sub(radius))..end].fill(value);
                until = end;
            }
        }
    }
    out
}

/// A connected region.
pub(crate) struct Island {
    pub pixels: Vec<usize>,
    /// Pixel sides on the image's border.
    at_border: usize,
    /// Pixel sides to the other value.
    inside: usize,
}

/// 4-connected regions of one value.
pub(crate) fn islands(mask: &Mask, value: bool) -> Vec<Island> {
    let Size { height, width } = mask.size;
    let mut seen: Vec<bool> = mask.data.iter().map(|&v| v != value).collect();
    let mut found = Vec::new();
    for start in 0..seen.len() {
        if seen[start] {
            continue;
        }
        let mut island = Island { pixels: vec![start], at_border: 0, inside: 0 };
        seen[start] = true;
        let mut next = 0;
        while next < island.pixels.len() {
            let p = island.pixels[next];
            next += 1;
            let (row, column) = (p / width, p % width);
            let neighbours = [
                (row > 0).then(|| p - width),
                (row + 1 < height).then(|| p + width),
                (column > 0).then(|| p - 1),
                (column + 1 < width).then(|| p + 1),
            ];
            for neighbour in neighbours {
                match neighbour {
                    None => island.at_border += 1,
                    Some(q) if mask.data[q] != value => island.inside += 1,
                    Some(q) if !seen[q] => {
                        seen[q] = true;
                        island.pixels.push(q);
                    }
                    Some(_) => {}
                }
            }
        }
        found.push(island);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask_of(size: Size, value: impl Fn(usize, usize) -> u8) -> Mask {
        let image = Plane::from_fn(size, value);
        foreground_mask(&ImageStack::new(size, 1, Pixels::U8(image.data)))
    }

    #[test]
    fn a_disc_on_black_keeps_its_pupils_and_loses_dust() {
        let size = Size::new(100, 100);
        let distance = |r: usize, c: usize, cr: i32, cc: i32| {
            (((r as i32 - cr).pow(2) + (c as i32 - cc).pow(2)) as f32).sqrt()
        };
        let mask = mask_of(size, |r, c| {
            let pupil = distance(r, c, 45, 40) < 3.0;
            let dust = distance(r, c, 5, 5) < 2.0;
            if (distance(r, c, 50, 50) < 30.0 && !pupil) || dust { 120 } else { 10 + (c % 3) as u8 }
        });
        assert!(*mask.at(45, 40), "pupil");
        let dead = mask_of(size, |r, c| if (r, c) == (45, 40) { 0 } else { 120 });
        assert!(!*dead.at(45, 40) && dead.count() == 9_999, "a pixel without any light");
        assert!(*mask.at(50, 50) && !*mask.at(5, 5) && !*mask.at(95, 95));
        assert_eq!(
            mask.count(),
            (0..10_000).filter(|p| distance(p / 100, p % 100, 50, 50) < 30.0).count()
        );
    }

    #[test]
    fn a_subject_that_fills_the_frame_keeps_its_shade() {
        let mask = mask_of(Size::new(50, 50), |r, _| if r < 10 { 30 } else { 120 });
        assert_eq!(mask.count(), 2500);
        assert_eq!(mask_of(Size::new(50, 50), |_, _| 90).count(), 2500);
        assert_eq!(mask_of(Size::new(4, 4), |_, _| 0).count(), 0);
    }

    #[test]
    fn the_light_of_the_room_on_the_background_does_not_make_it_a_subject() {
        let head = |r: usize, c: usize| (20..80).contains(&r) && (20..80).contains(&c);
        let mask =
            mask_of(Size::new(100, 100), |r, c| if head(r, c) { 90 } else { 27 + (c % 3) as u8 });
        assert_eq!(mask.count(), 3600);
    }

    #[test]
    fn a_brow_cut_off_by_the_border_belongs_to_the_face_and_a_dark_corner_does_not() {
        let size = Size::new(100, 80);
        let mask = mask_of(size, |r, c| {
            let brow = (20..28).contains(&r) && c < 30;
            let corner = r + c > 160;
            if brow || corner { 6 } else { 120 }
        });
        assert!((20..28).all(|r| (0..30).all(|c| *mask.at(r, c))), "brow");
        assert!(!*mask.at(99, 79) && *mask.at(80, 40), "corner");
        let corner: usize =
            (0..8000).filter(|p| p / 80 + p % 80 > 160).filter(|&p| mask.data[p]).count();
        assert_eq!(corner, 0);
    }

    #[test]
    fn a_dim_notch_in_the_outline_closes_and_a_black_one_does_not() {
        let size = Size::new(200, 200);
        let notch = |r: usize, c: usize| (60..64).contains(&r) && (40..70).contains(&c);
        let with = |inside: u8| {
            mask_of(size, move |r, c| {
                let head = (40..160).contains(&r) && (40..160).contains(&c);
                if notch(r, c) {
                    inside
                } else if head {
                    120
                } else {
                    10 + (c % 3) as u8
                }
            })
        };
        // 8 to 12 % of the way from black to white is dim; the noise of black is 2 %.
        assert_eq!(with(20).count(), 120 * 120);
        assert_eq!(with(11).count(), 120 * 120 - 4 * 30);
    }
}
