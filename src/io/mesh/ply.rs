//! PLY, binary little-endian (Turk 1994, "The PLY polygon file format").

use super::Mesh;
use crate::io::srgb_encoded;
use std::io::{Result, Write};

pub(super) fn write(out: &mut dyn Write, mesh: &Mesh) -> Result<()> {
    writeln!(out, "ply\nformat binary_little_endian 1.0")?;
    writeln!(out, "comment x right, y up, z to the viewer")?;
    writeln!(out, "element vertex {}", mesh.positions.len())?;
    writeln!(out, "property float x\nproperty float y\nproperty float z")?;
    if mesh.normals.is_some() {
        writeln!(out, "property float nx\nproperty float ny\nproperty float nz")?;
    }
    if mesh.colours.is_some() {
        writeln!(out, "property uchar red\nproperty uchar green\nproperty uchar blue")?;
    }
    writeln!(out, "element face {}", mesh.triangles.len())?;
    writeln!(out, "property list uchar int vertex_indices\nend_header")?;
    for (vertex, position) in mesh.positions.iter().enumerate() {
        write_floats(out, position)?;
        if let Some(normals) = &mesh.normals {
            write_floats(out, &normals[vertex])?;
        }
        if let Some(colours) = &mesh.colours {
            out.write_all(&colours[vertex].map(|v| (255.0 * srgb_encoded(v)).round() as u8))?;
        }
    }
    for triangle in &mesh.triangles {
        out.write_all(&[3])?;
        for index in triangle {
            out.write_all(&index.to_le_bytes())?;
        }
    }
    Ok(())
}

fn write_floats(out: &mut dyn Write, values: &[f32; 3]) -> Result<()> {
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}
