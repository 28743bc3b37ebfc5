//! Which pixels show the subject: those that any light reaches well above the darkest of the
//! capture. It is judged on the raw images, so it is the same on every device and for every solver.

use crate::maps::{ImageStack, Mask, Plane, Size};

/// A pixel is lit when its brightest image stands this share of the way from black level to
/// the capture's 99th percentile. Set on both sides by noise: a dark wall behind a Photoface
/// subject reaches 0.11, shaded eyebrows and beards fall to 0.13.
const LIT_SHARE: f32 = 0.12;
/// Islands smaller than this share of the largest are dust or buttons, not the subject.
const SMALLEST_ISLAND: f64 = 0.05;
/// Dark holes up to this share of the image (pupils, nostrils, spectacle frames) are closed.
const LARGEST_HOLE: f64 = 0.02;

/// The subject's pixels. Empty where no image holds any light.
pub fn foreground_mask(images: &ImageStack) -> Mask {
    let area = images.size.area();
    if area == 0 {
        return Plane::filled(images.size, false);
    }
    let brightest: Vec<f32> = (0..area)
        .map(|p| (0..images.count).map(|j| images.pixels.get(j * area + p)).fold(0.0, f32::max))
        .collect();
    let mut sorted = brightest.clone();
    sorted.sort_by(f32::total_cmp);
    let percentile = |share: f64| sorted[((area - 1) as f64 * share) as usize];
    let (black, white) = (percentile(0.001), percentile(0.99));
    if white <= 0.0 {
        return Plane::filled(images.size, false);
    }
    // Where the subject fills the frame there is no black to measure from; more than a fifth of
    // white is skin in shade.
    let black = if black > 0.2 * white { 0.0 } else { black };
    let threshold = black + LIT_SHARE * (white - black);
    let mut mask = Plane::new(images.size, brightest.iter().map(|&v| v > threshold).collect());

    let holes = islands(&mask, false);
    let limit = (LARGEST_HOLE * area as f64) as usize;
    for hole in holes.iter().filter(|h| h.pixels.len() <= limit && !h.touches_border) {
        hole.pixels.iter().for_each(|&p| mask.data[p] = true);
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

struct Island {
    pixels: Vec<usize>,
    touches_border: bool,
}

/// 4-connected regions of one value.
fn islands(mask: &Mask, value: bool) -> Vec<Island> {
    let Size { height, width } = mask.size;
    let mut seen: Vec<bool> = mask.data.iter().map(|&v| v != value).collect();
    let mut found = Vec::new();
    for start in 0..seen.len() {
        if seen[start] {
            continue;
        }
        let mut island = Island { pixels: vec![start], touches_border: false };
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
                    None => island.touches_border = true,
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
    use crate::maps::Pixels;

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
        assert_eq!(mask_of(Size::new(4, 4), |_, _| 0).count(), 0);
    }
}
