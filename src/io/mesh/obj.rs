//! Wavefront OBJ with the usual extension for colours, "v x y z r g b".

use super::Mesh;
use crate::io::srgb_encoded;
use std::io::{Result, Write};

pub(super) fn write(out: &mut dyn Write, mesh: &Mesh) -> Result<()> {
    writeln!(out, "# x right, y up, z to the viewer")?;
    for (vertex, [x, y, z]) in mesh.positions.iter().enumerate() {
        write!(out, "v {x} {y} {z}")?;
        if let Some(colours) = &mesh.colours {
            let [r, g, b] = colours[vertex].map(srgb_encoded);
            write!(out, " {r:.4} {g:.4} {b:.4}")?;
        }
        writeln!(out)?;
    }
    for [x, y, z] in mesh.normals.iter().flatten() {
        writeln!(out, "vn {x} {y} {z}")?;
    }
    for triangle in &mesh.triangles {
        // Indices start at 1.
        let [a, b, c] = triangle.map(|index| index + 1);
        if mesh.normals.is_some() {
            writeln!(out, "f {a}//{a} {b}//{b} {c}//{c}")?;
        } else {
            writeln!(out, "f {a} {b} {c}")?;
        }
    }
    Ok(())
}
