//! A ball with bumps and a nose: all that shading and shadows need of a face.

use lumiface::synth::surface::{Material, Part, Surface};

/// About 9,000 triangles of skin, 80 mm in radius, with smooth normals.
pub fn head() -> Surface {
    let (rows, columns) = (48usize, 96usize);
    let mut surface = Surface::default();
    for i in 0..=rows {
        for j in 0..=columns {
            let (st, ct) = (std::f32::consts::PI * i as f32 / rows as f32).sin_cos();
            let (sp, cp) =
                (std::f32::consts::TAU * (j % columns) as f32 / columns as f32).sin_cos();
            let normal = [st * sp, ct, st * cp];
            let nose =
                if cp > 0.0 { 25.0 * (-40.0 * (sp * sp + (ct + 0.1).powi(2))).exp() } else { 0.0 };
            let radius = 80.0 + nose + 1.5 * (11.0 * ct).sin() * (9.0 * sp).sin();
            surface.positions.push([
                radius * normal[0],
                radius * normal[1],
                radius * normal[2] - 60.0,
            ]);
            surface.normals.push([0.0; 3]);
            surface.materials.push(Material {
                albedo: [0.6, 0.4 + 0.1 * (7.0 * ct).sin(), 0.3],
                specular: 0.028,
                roughness: 0.2 + 0.1 * sp,
                subsurface: 1.0,
            });
        }
    }
    let at = |i: usize, j: usize| (i * (columns + 1) + j) as u32;
    for i in 0..rows {
        for j in 0..columns {
            surface.triangles.push([at(i, j), at(i + 1, j), at(i, j + 1)]);
            surface.triangles.push([at(i, j + 1), at(i + 1, j), at(i + 1, j + 1)]);
        }
    }
    for t in &surface.triangles {
        let [a, b, c] = t.map(|v| nalgebra::Vector3::from(surface.positions[v as usize]));
        let normal = (b - a).cross(&(c - a));
        for &v in t {
            (0..3).for_each(|k| surface.normals[v as usize][k] += normal[k]);
        }
    }
    for n in &mut surface.normals {
        *n = nalgebra::Vector3::from(*n).normalize().into();
    }
    surface.parts = vec![Part::Skin; surface.triangles.len()];
    surface
}
