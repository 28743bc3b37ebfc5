//! Appearance: from the shape of a head to a surface with skin, eyes, hair and clothes.
//!
//! [`Canvas`] refines a head's mesh once; [`Look`] is what lasts of a person beside the shape,
//! [`Grooming`] what is of the day; [`dress`] puts them on a head of the moment. Everything is
//! painted by place on the mean head, so that it sticks to the skin in any shape and expression.
//! Whatever looks random is noise hashed from the person's seed: the same bytes every time and
//! everywhere.

mod canvas;
mod clothes;
mod facial;
mod hair;
mod lashes;
mod look;
mod noise;
mod paint;
mod plan;
mod strands;
mod tone;

pub use canvas::Canvas;
pub use look::{Clothes, ClothesKind, Grooming, HairCut, Look};

use super::exact_math::{Vector, add, along, normalise};
use super::surface::{Part, Surface};
use canvas::{Posed, vertex_normals};
use facial::FacialColours;
use noise::mix;
use paint::Palette;

/// The surface of a person: head, hair and clothes, in mm in the head frame.
///
/// `positions`: what the canvas's head model gave for this person and expression, one for each
/// vertex of its topology.
///
/// # Panics
///
/// If `positions` is shorter than the topology's vertices.
pub fn dress(canvas: &Canvas, positions: &[Vector], look: &Look, grooming: &Grooming) -> Surface {
    let palette = Palette::new(look, grooming);
    let mut head = canvas.pose(positions);
    let mut surface = Surface::default();
    let count = head.positions.len();
    surface.materials.reserve(count);
    let [mut lifted, mut hair, mut cloth] = [(); 3].map(|()| vec![0.0f32; count]);
    let mut relief = Vec::with_capacity(count);
    for vertex in 0..count {
        let painted = palette.paint(canvas, vertex, head.normals[vertex]);
        surface.materials.push(painted.material);
        relief.push(painted.relief);
        lifted[vertex] = painted.lift_mm;
        hair[vertex] = painted.hair;
        cloth[vertex] = painted.cloth;
    }
    raise(canvas, &mut head, &lifted);
    surface.normals = head
        .normals
        .iter()
        .zip(&relief)
        .map(|(&normal, &relief)| {
            let flat = along(relief, -dot(relief, normal), normal);
            normalise(add(normal, flat))
        })
        .collect();
    for (triangle, &part) in canvas.triangles.iter().zip(&canvas.parts) {
        let sum = |of: &[f32]| triangle.iter().map(|&v| of[v as usize]).sum::<f32>();
        surface.triangles.push(*triangle);
        surface.parts.push(match part {
            Part::Skin if sum(&cloth) > 1.5 => Part::Clothes,
            Part::Skin if sum(&hair) > 1.8 && sum(&lifted) > 1.5 => Part::Hair,
            other => other,
        });
    }
    surface.positions.clone_from(&head.positions);
    let colours = FacialColours {
        brow: palette.brow,
        beard: palette.beard,
        lash: palette.brow.map(|c| 0.35 * c + 0.004),
    };
    facial::add_strands(canvas, positions, look, grooming, &colours, &mut surface);
    lashes::add_lashes(canvas, positions, grooming, &colours, &mut surface);
    hair::add_strands(&palette, canvas, positions, &head, &mut surface);
    let chin = positions[canvas.chin() as usize][1];
    clothes::add_clothes(
        &grooming.clothes,
        &head.positions[..count],
        chin,
        grooming.seed,
        canvas.detail_mm,
        &mut surface,
    );
    surface
}

fn dot(a: Vector, b: Vector) -> f32 {
    super::exact_math::dot(a, b)
}

/// Moves vertices off the skin by the body of hair and turns their normals to the new shape.
fn raise(canvas: &Canvas, head: &mut Posed, lifted: &[f32]) {
    if lifted.iter().all(|&lift| lift == 0.0) {
        return;
    }
    for ((position, normal), &lift) in head.positions.iter_mut().zip(&head.normals).zip(lifted) {
        *position = along(*position, lift, *normal);
    }
    let bumpy = vertex_normals(&head.positions, &canvas.triangles);
    for ((normal, new), &lift) in head.normals.iter_mut().zip(bumpy).zip(lifted) {
        let share = (lift / 1.0).min(1.0);
        *normal = normalise([0, 1, 2].map(|i| mix(normal[i], new[i], share)));
    }
}

#[cfg(test)]
mod tests;
