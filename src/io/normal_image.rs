//! Normal maps and cameras as other programs write them.

use super::decode::decode;
use super::{IoError, read_normals, read_text};
use crate::geometry::{Camera, Vec3};
use crate::maps::{NormalMap, Size};
use std::path::Path;

/// Which way the second component of a stored normal points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum YAxis {
    /// Up, as here, in OpenGL and in the DiLiGenT set.
    #[default]
    Up,
    /// Down, as in DirectX and in OpenCV's camera frame.
    Down,
}

/// Lengths that a stored unit normal can have by rounding and by averaging in resampling; a
/// background of black (−1, −1, −1) or middle grey (0, 0, 0) lies outside.
const PLAUSIBLE_LENGTHS: std::ops::Range<f32> = 0.5..1.5;

/// Lengths of unit normals after rounding to 8 bits and a mild resampling.
const UNIT_LENGTHS: std::ops::Range<f32> = 0.9..1.1;

/// Reads a normal map: EXR with channels R, G, B = n_x, n_y, n_z, or an 8- or 16-bit image with
/// `n = 2 v / full scale − 1`.
///
/// Normals are brought to unit length; what has no plausible length is undefined (NaN).
///
/// # Errors
/// A missing or undecodable file, one that holds no unit normals for the most part, or normals
/// most of which face away from the camera.
pub fn read_normal_image(path: &Path, y_axis: YAxis) -> Result<NormalMap, IoError> {
    let is_exr = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("exr"));
    let stored = if is_exr {
        read_normals(path)?
    } else {
        let rgb = decode(path)?.into_rgb16();
        let size = Size::new(rgb.height() as usize, rgb.width() as usize);
        let raw = rgb.into_raw();
        let component = |value: u16| f32::from(value) / 32_767.5 - 1.0;
        NormalMap::from_fn(size, |row, column| {
            let at = 3 * (row * size.width + column);
            Vec3::new(component(raw[at]), component(raw[at + 1]), component(raw[at + 2]))
        })
    };
    let y_sign = if y_axis == YAxis::Up { 1.0 } else { -1.0 };
    let normals = NormalMap::from_fn(stored.size, |row, column| {
        let n = stored.at(row * stored.size.width + column);
        let length = n.norm();
        if PLAUSIBLE_LENGTHS.contains(&length) {
            Vec3::new(n.x, y_sign * n.y, n.z) / length
        } else {
            Vec3::repeat(f32::NAN)
        }
    });
    let defined = normals.z().iter().filter(|z| !z.is_nan()).count();
    let lengths = (0..stored.size.area()).map(|pixel| stored.at(pixel).norm());
    // A photograph's colours have any length.
    if 2 * lengths.filter(|length| UNIT_LENGTHS.contains(length)).count() <= defined {
        return Err(IoError::unsuitable(
            path,
            "holds no unit normals; give an EXR with n_x, n_y, n_z in R, G, B or an image with (n + 1) / 2",
        ));
    }
    if 2 * normals.z().iter().filter(|z| **z < 0.0).count() > defined {
        return Err(IoError::unsuitable(
            path,
            "has normals that face away from the camera; its third component must point to the camera",
        ));
    }
    Ok(normals)
}

/// Reads a camera from its 3×3 matrix K as text, row by row: `fx s cx, 0 fy cy, 0 0 1`, pixels.
///
/// # Errors
/// Anything but nine finite numbers, focal lengths that are not positive, or a skew, which this
/// crate's cameras do not have.
pub fn read_camera(path: &Path) -> Result<Camera, IoError> {
    let unsuitable = |reason: String| IoError::unsuitable(path, reason);
    let text = read_text(path)?;
    let numbers = text
        .split(|c: char| c.is_whitespace() || ",;[]".contains(c))
        .filter(|field| !field.is_empty())
        .map(|field| match field.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(unsuitable(format!("`{field}` is not a number; give the nine of K"))),
        })
        .collect::<Result<Vec<f64>, _>>()?;
    let &[fx, skew, cx, _, fy, cy, _, _, one] = numbers.as_slice() else {
        return Err(unsuitable(format!("has {} numbers; give the nine of K", numbers.len())));
    };
    if fx <= 0.0 || fy <= 0.0 || one != 1.0 || skew.abs() > 1e-6 * fx {
        return Err(unsuitable(
            "is no matrix K (fx 0 cx, 0 fy cy, 0 0 1) with positive focal lengths and no skew"
                .into(),
        ));
    }
    Ok(Camera { focal_px: [fx, fy], centre_px: [cx, cy] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_normals_come_back_and_backgrounds_are_undefined() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.png");
        let stored = |v: f32| ((v + 1.0) * 32_767.5).round() as u16;
        let mut raw: Vec<u16> = [0.6f32, -0.48, 0.64].map(stored).to_vec();
        raw.extend([0, 0, 0]);
        raw.extend([32_768; 3]);
        image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(3, 1, raw).unwrap().save(&path).unwrap();
        let up = read_normal_image(&path, YAxis::Up).unwrap();
        assert!((up.at(0) - Vec3::new(0.6, -0.48, 0.64)).norm() < 5e-5, "{:?}", up.at(0));
        assert!(up.at(1).x.is_nan() && up.at(2).x.is_nan());
        let down = read_normal_image(&path, YAxis::Down).unwrap();
        assert!((down.at(0).y - 0.48).abs() < 5e-5);
    }

    #[test]
    fn photographs_and_normals_turned_away_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.png");
        let photo = image::RgbImage::from_fn(32, 32, |x, y| {
            image::Rgb([(40 + 5 * x) as u8, (20 + 3 * x + 2 * y) as u8, (90 + y) as u8])
        });
        photo.save(&path).unwrap();
        let message = read_normal_image(&path, YAxis::Up).unwrap_err().to_string();
        assert!(message.contains("n.png") && message.contains("no unit normals"), "{message}");
        // (0.6, 0, −0.8).
        image::RgbImage::from_pixel(8, 8, image::Rgb([204, 128, 26])).save(&path).unwrap();
        let message = read_normal_image(&path, YAxis::Up).unwrap_err().to_string();
        assert!(message.contains("face away"), "{message}");
    }

    #[test]
    fn cameras_are_read_and_other_matrices_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("K.txt");
        std::fs::write(&path, "3700.5 0 120\n0 3701 130.25\n0 0 1\n").unwrap();
        let camera = read_camera(&path).unwrap();
        assert_eq!(camera, Camera { focal_px: [3700.5, 3701.0], centre_px: [120.0, 130.25] });
        for (text, want) in [
            ("1 2 3", "has 3 numbers"),
            ("1 0 x 0 1 0 0 0 1", "`x` is not a number"),
            ("-1 0 3 0 1 0 0 0 1", "is no matrix K"),
            ("100 9 3 0 100 0 0 0 1", "is no matrix K"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = read_camera(&path).unwrap_err().to_string();
            assert!(message.contains(want) && message.contains("K.txt"), "{message}");
        }
    }
}
