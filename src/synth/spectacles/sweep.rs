//! Tubes, bands and lenses: how parts of spectacles become triangles.

use crate::synth::exact_math::{
    Vector, add, along, cross, dot, normalise, pow, scale, sin_cos, sub,
};
use crate::synth::surface::{Material, Part, Surface};

/// Points around a section.
const AROUND: usize = 10;

/// A point of a tube's middle line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Station {
    pub place: Vector,
    /// Direction of the section's depth; of any length, not along the line.
    pub depth: Vector,
    /// Half the extent across line and depth, and along the depth, in mm.
    pub half: [f32; 2],
}

/// Adds a tube along a line. Its sections are superellipses `|x/a|ᵖ + |y/b|ᵖ = 1`: ellipses for
/// p = 2, rounded boxes for more.
pub(super) fn tube(
    surface: &mut Surface,
    line: &[Station],
    closed: bool,
    power: f32,
    material: &dyn Fn(Vector) -> Material,
) {
    let count = line.len();
    if count < 2 {
        return;
    }
    let section = section(power);
    let first = surface.positions.len() as u32;
    for (i, station) in line.iter().enumerate() {
        let before = if i > 0 {
            i - 1
        } else if closed {
            count - 1
        } else {
            0
        };
        let after = if i + 1 < count {
            i + 1
        } else if closed {
            0
        } else {
            i
        };
        let tangent = normalise(sub(line[after].place, line[before].place));
        let across = normalise(cross(tangent, station.depth));
        let depth = cross(across, tangent);
        let [a, b] = station.half;
        for &[x, y, nx, ny] in &section {
            let place = along(along(station.place, a * x, across), b * y, depth);
            surface.positions.push(place);
            surface.normals.push(normalise(add(scale(across, nx / a), scale(depth, ny / b))));
            surface.materials.push(material(place));
        }
    }
    let around = AROUND as u32;
    let at = |i: usize, k: u32| first + (i % count) as u32 * around + k % around;
    let spans = if closed { count } else { count - 1 };
    for i in 0..spans {
        for k in 0..around {
            surface.triangles.push([at(i, k), at(i + 1, k), at(i + 1, k + 1)]);
            surface.triangles.push([at(i, k), at(i + 1, k + 1), at(i, k + 1)]);
        }
    }
    if !closed {
        for (end, other) in [(0, 1), (count - 1, count - 2)] {
            let outward = normalise(sub(line[end].place, line[other].place));
            let centre = surface.positions.len() as u32;
            surface.positions.push(line[end].place);
            surface.normals.push(outward);
            surface.materials.push(material(line[end].place));
            for k in 0..around {
                let (a, b) = (at(end, k), at(end, k + 1));
                surface.triangles.push(if end == 0 { [centre, a, b] } else { [centre, b, a] });
            }
        }
    }
    surface.parts.resize(surface.triangles.len(), Part::Frame);
}

/// Place and normal (before the half-axes) of each point of a section.
fn section(power: f32) -> [[f32; 4]; AROUND] {
    let p = f64::from(power);
    std::array::from_fn(|k| {
        let (sin, cos) = sin_cos((k as f64 + 0.5) * std::f64::consts::TAU / AROUND as f64);
        let radius = pow(pow(cos.abs(), p) + pow(sin.abs(), p), -1.0 / p);
        let (x, y) = (radius * cos, radius * sin);
        let slope = |v: f64| v.signum() * pow(v.abs(), p - 1.0);
        [x, y, slope(x), slope(y)].map(|v| v as f32)
    })
}

/// Adds an ellipsoid with the given half-axes along three orthogonal unit vectors.
pub(super) fn ellipsoid(
    surface: &mut Surface,
    centre: Vector,
    axes: [Vector; 3],
    half: [f32; 3],
    material: Material,
) {
    let (rows, columns) = (6u32, 10u32);
    let first = surface.positions.len() as u32;
    let mut push = |unit: Vector| {
        let sum = |v: Vector| along(along(scale(axes[0], v[0]), v[1], axes[1]), v[2], axes[2]);
        surface.positions.push(add(centre, sum([0, 1, 2].map(|k| unit[k] * half[k]))));
        surface.normals.push(normalise(sum([0, 1, 2].map(|k| unit[k] / half[k]))));
        surface.materials.push(material);
    };
    push([0.0, 0.0, 1.0]);
    for i in 1..rows {
        let (st, ct) = sin_cos(f64::from(i) * std::f64::consts::PI / f64::from(rows));
        for j in 0..columns {
            let (sp, cp) = sin_cos(f64::from(j) * std::f64::consts::TAU / f64::from(columns));
            push([(st * cp) as f32, (st * sp) as f32, ct as f32]);
        }
    }
    push([0.0, 0.0, -1.0]);
    // Axes may be of either hand.
    let right_handed = dot(cross(axes[0], axes[1]), axes[2]) > 0.0;
    let at = |i: u32, j: u32| match i {
        0 => first,
        i if i == rows => first + 1 + (rows - 1) * columns,
        i => first + 1 + (i - 1) * columns + j % columns,
    };
    let mut face = |[a, b, c]: [u32; 3]| {
        surface.triangles.push(if right_handed { [a, b, c] } else { [a, c, b] });
    };
    for i in 0..rows {
        for j in 0..columns {
            if i + 1 < rows {
                face([at(i, j), at(i + 1, j), at(i + 1, j + 1)]);
            }
            if i > 0 {
                face([at(i, j), at(i + 1, j + 1), at(i, j + 1)]);
            }
        }
    }
    surface.parts.resize(surface.triangles.len(), Part::Frame);
}

/// Adds a lens within an outline, from the centre outward; `place` gives position and unit normal
/// at a place of the lens plane.
pub(super) fn lens(
    surface: &mut Surface,
    outline: &[[f32; 2]],
    place: &dyn Fn([f32; 2]) -> (Vector, Vector),
    material: Material,
) {
    const RINGS: usize = 7;
    let count = outline.len() as u32;
    let first = surface.positions.len() as u32;
    let mut push = |at: [f32; 2]| {
        let (position, normal) = place(at);
        surface.positions.push(position);
        surface.normals.push(normal);
        surface.materials.push(material);
    };
    push([0.0; 2]);
    for ring in 1..=RINGS {
        let share = ring as f32 / RINGS as f32;
        outline.iter().for_each(|[u, v]| push([u * share, v * share]));
    }
    let at = |ring: usize, k: u32| first + 1 + (ring - 1) as u32 * count + k % count;
    for k in 0..count {
        surface.triangles.push([first, at(1, k), at(1, k + 1)]);
        for ring in 1..RINGS {
            surface.triangles.push([at(ring, k), at(ring + 1, k), at(ring + 1, k + 1)]);
            surface.triangles.push([at(ring, k), at(ring + 1, k + 1), at(ring, k + 1)]);
        }
    }
    surface.parts.resize(surface.triangles.len(), Part::Lens);
}
