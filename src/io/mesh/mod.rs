//! Surfaces as triangle meshes, for the programs that open meshes.
//!
//! A grid of positions, one a pixel, becomes two triangles for every four neighbours. They run
//! counter-clockwise as the camera sees them, so their outside is the side that was seen. x points
//! right, y up, z to the viewer, which is also glTF's frame. Numbers are in the unit of the
//! positions in every format; glTF readers that insist on metres may scale them.

mod glb;
mod obj;
mod ply;

use super::{IoError, write_atomically};
use crate::geometry::{Camera, Vec3};
use crate::maps::{Albedo, DepthMap, NormalMap, Plane};
use std::path::Path;

/// Triangles with the surface's normals and colours at their corners.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    /// Corners that are part of a triangle, row by row; x right, y up, z to the viewer.
    pub positions: Vec<[f32; 3]>,
    /// Unit normals of the corners, where the surface had them.
    pub normals: Option<Vec<[f32; 3]>>,
    /// Linear R, G, B of the corners, 0 to 1, where the surface had an albedo.
    pub colours: Option<Vec<[f32; 3]>>,
    /// Three indices each, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
}

/// Where an orthographic camera's pixels lie: x and y in pixels from the image's middle, z the
/// depth. NaN where the depth is.
pub fn orthographic_positions(depth: &DepthMap) -> Plane<Vec3> {
    let middle = |length: usize| (length as f32 - 1.0) / 2.0;
    let (x0, y0) = (middle(depth.size.width), middle(depth.size.height));
    Plane::from_fn(depth.size, |row, column| {
        let z = *depth.at(row, column);
        if z.is_finite() {
            Vec3::new(column as f32 - x0, y0 - row as f32, z)
        } else {
            Vec3::repeat(f32::NAN)
        }
    })
}

/// Where a pinhole camera's pixels lie, in the unit of `distance`, the camera's centre at 0.
///
/// `distance` is measured along the optical axis, away from the camera: a pixel at distance d lies
/// at z = −d. NaN where it is NaN, or not in front of the camera.
pub fn perspective_positions(distance: &Plane<f32>, camera: &Camera) -> Plane<Vec3> {
    Plane::from_fn(distance.size, |row, column| {
        let d = f64::from(*distance.at(row, column));
        if d > 0.0 && d.is_finite() {
            (camera.ray(row as f64, column as f64) * d).cast()
        } else {
            Vec3::repeat(f32::NAN)
        }
    })
}

impl Mesh {
    /// Joins neighbouring pixels by triangles.
    ///
    /// A pixel is a corner where its position is finite, and its normal and albedo too if these
    /// are given. Four neighbours make two triangles split along their shorter diagonal, three make
    /// one. A triangle between two of whose corners z changes by more than `max_depth_jump` is left
    /// out: there one surface stands in front of another.
    ///
    /// # Panics
    /// If the maps differ in size.
    pub fn from_grid(
        positions: &Plane<Vec3>,
        normals: Option<&NormalMap>,
        albedo: Option<&Albedo>,
        max_depth_jump: Option<f32>,
    ) -> Self {
        let size = positions.size;
        assert!(normals.is_none_or(|n| n.size == size), "normals of the positions' size");
        let channels = albedo.map(|albedo| match albedo {
            Albedo::Grey(grey) => [grey; 3],
            Albedo::Rgb(channels) => channels.each_ref(),
        });
        for channel in channels.iter().flatten() {
            assert_eq!(channel.size, size, "an albedo of the positions' size");
        }
        let normal = |pixel: usize| normals.map_or(Vec3::z(), |n| n.at(pixel));
        let colour = |pixel: usize| channels.map_or([0.0; 3], |c| c.map(|c| c.data[pixel]));
        let defined = |pixel: usize| {
            let finite = |v: Vec3| v.iter().all(|v| v.is_finite());
            finite(positions.data[pixel])
                && finite(normal(pixel))
                && colour(pixel).iter().all(|v| v.is_finite())
        };
        let corner = |pixel: usize| {
            let position = positions.data[pixel];
            if defined(pixel) { position } else { Vec3::repeat(f32::NAN) }
        };
        let corners = Plane::new(size, (0..size.area()).map(corner).collect());
        let corners = triangles_of(&corners, max_depth_jump.unwrap_or(f32::INFINITY));

        let mut used = vec![false; size.area()];
        corners.iter().flatten().for_each(|&pixel| used[pixel] = true);
        let pixels: Vec<usize> = (0..size.area()).filter(|&pixel| used[pixel]).collect();
        let mut vertex_of = vec![0u32; size.area()];
        for (vertex, &pixel) in (0..).zip(&pixels) {
            vertex_of[pixel] = vertex;
        }
        let of_pixels =
            |value: &dyn Fn(usize) -> [f32; 3]| pixels.iter().map(|&p| value(p)).collect();
        Self {
            positions: of_pixels(&|p| positions.data[p].into()),
            normals: normals.map(|_| of_pixels(&|p| normal(p).into())),
            colours: channels.map(|_| of_pixels(&|p| colour(p).map(|v| v.clamp(0.0, 1.0)))),
            triangles: corners.iter().map(|c| c.map(|pixel| vertex_of[pixel])).collect(),
        }
    }
}

/// Triangles of pixels, of those whose position is finite.
fn triangles_of(positions: &Plane<Vec3>, max_depth_jump: f32) -> Vec<[usize; 3]> {
    let size = positions.size;
    let at = |pixel: usize| positions.data[pixel];
    // An undefined corner's jump is NaN, which is not below any limit.
    let whole = |&[a, b, c]: &[usize; 3]| {
        [(a, b), (b, c), (c, a)].iter().all(|&(a, b)| (at(a).z - at(b).z).abs() <= max_depth_jump)
    };
    let mut triangles = Vec::new();
    for row in 1..size.height {
        for column in 1..size.width {
            let lower_right = row * size.width + column;
            let (lower_left, upper_right) = (lower_right - 1, lower_right - size.width);
            let upper_left = upper_right - 1;
            let falling = (at(upper_left) - at(lower_right)).norm_squared();
            let rising = (at(lower_left) - at(upper_right)).norm_squared();
            let split_falling =
                [[upper_left, lower_left, lower_right], [upper_left, lower_right, upper_right]];
            let split_rising =
                [[upper_left, lower_left, upper_right], [lower_left, lower_right, upper_right]];
            // With three corners defined, only the diagonal between two of them has a length, and
            // the one triangle is on one side of it.
            let falling_wins = falling <= rising || rising.is_nan();
            let split = if falling_wins { split_falling } else { split_rising };
            triangles.extend(split.into_iter().filter(whole));
        }
    }
    triangles
}

/// Writes a mesh as PLY (binary), OBJ or GLB (glTF 2.0), as the file's extension says.
///
/// Colours are sRGB-encoded in PLY (8 bits) and OBJ ("v x y z r g b"), linear in GLB
/// (`COLOR_0`): what readers of each expect.
///
/// # Errors
/// Another extension, a mesh without triangles, or what the system reports.
pub fn write_mesh(path: &Path, mesh: &Mesh) -> Result<(), IoError> {
    if mesh.triangles.is_empty() {
        let reason = "would hold no triangle; no two by two neighbouring pixels are defined";
        return Err(IoError::unsuitable(path, reason));
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "ply" => write_atomically(path, |out| ply::write(out, mesh)),
        "obj" => write_atomically(path, |out| obj::write(out, mesh)),
        "glb" => {
            let bytes = glb::encode(mesh).map_err(|e| IoError::unsuitable(path, e))?;
            write_atomically(path, |out| out.write_all(&bytes))
        }
        _ => Err(IoError::unsuitable(path, "is no mesh's name; let it end in .ply, .obj or .glb")),
    }
}

#[cfg(test)]
mod tests;
