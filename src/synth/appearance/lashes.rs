//! Eyelashes along the rims of the lids.
//!
//! Roots are the skin vertices of the head's own mesh nearest to points on the lids' outline, so
//! that they close with the lids. About 90 hairs of 8–12 mm above, 75 of 6–8 mm below (Na et al.,
//! "Morphology and ultrastructure of eyelashes", 2006); here fewer and thicker for larger pixels.

use super::super::exact_math::{Vector, add, along, normalise, scale, sub};
use super::super::surface::Surface;
use super::canvas::Canvas;
use super::facial::FacialColours;
use super::look::Grooming;
use super::noise::{hash, unit};
use super::strands::Strand;

/// A lash's root on the head's own mesh.
#[derive(Clone, Copy, Debug)]
pub(super) struct LashRoot {
    pub vertex: u32,
    pub side: usize,
    pub upper: bool,
    /// Sideways lean, −1 at the inner to 1 at the outer corner.
    pub lean: f32,
    pub number: u32,
}

pub(super) fn add_lashes(
    canvas: &Canvas,
    posed: &[Vector],
    grooming: &Grooming,
    colours: &FacialColours,
    surface: &mut Surface,
) {
    let width_mm = (0.14f32).max(0.2 * canvas.detail_mm);
    let share = (0.14 / width_mm).min(1.0);
    for root in &canvas.lashes {
        let h = hash(root.number as i32, root.side as i32, i32::from(root.upper), 0x1a5);
        if unit(h, 0) > share {
            continue;
        }
        let outer = if root.side == 0 { -1.0 } else { 1.0 };
        let long = 1.0 + 0.35 * grooming.makeup;
        let length = (if root.upper { 7.0 } else { 3.6 }) * long * (0.7 + 0.5 * unit(h, 1));
        let up = if root.upper { 1.0 } else { -1.0 };
        let lean = outer * (0.75 * root.lean + 0.15) + 0.2 * (unit(h, 2) - 0.5);
        let base = posed[root.vertex as usize];
        // Forward first, then curling away from the eye.
        let out = normalise([lean, 0.25 * up, 1.0]);
        let away = normalise([lean, 1.0 * up, 0.75]);
        let middle = along(base, 0.5 * length, out);
        let path = [base, middle, along(middle, 0.55 * length, away)];
        let outward = normalise(sub([0.0, up, 0.0], scale(out, 0.2)));
        let facing = normalise(add(outward, [0.0, 0.0, 0.8]));
        Strand {
            path: &path,
            outward: &[facing; 3],
            width_mm,
            tip: 0.3,
            root_albedo: colours.lash,
            tip_albedo: colours.lash,
            roughness: 0.6,
        }
        .add_to(surface);
    }
}
