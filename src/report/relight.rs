//! A face under a light that never shone on it.
//!
//! Lambert's law with attached shadows, `I = ρ (a + e max(n·l, 0))`: e the light's intensity, a
//! ambient light that reaches everything. Cast shadows are found on the depth map, if one is given,
//! by walking from each pixel toward the light (a horizon test in the image plane; Max 1988,
//! "Horizon mapping").

use crate::geometry::Vec3;
use crate::io::{Picture, srgb_encoded};
use crate::maps::{Albedo, AlbedoMap, DepthMap, Mask, NormalMap, Plane, Size};
use rayon::prelude::*;

/// Depth (pixels) by which a surface must stand over a ray to shade it: what noise and the grid
/// leave in a depth map.
const SHADOW_BIAS: f32 = 0.75;

/// A distant light and the light around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelightLight {
    /// From the surface to the light, camera frame; need not be of unit length.
    pub direction: Vec3,
    /// 1 shows albedo where the surface faces the light.
    pub intensity: f32,
    /// Light from everywhere, as a share of albedo.
    pub ambient: f32,
}

impl RelightLight {
    /// A light of intensity 1 without ambient light.
    pub fn new(direction: Vec3) -> Self {
        Self { direction, intensity: 1.0, ambient: 0.0 }
    }

    /// From azimuth (0 the camera, positive to the image's right) and elevation (positive up),
    /// degrees: `(cos E sin A, sin E, cos E cos A)`.
    pub fn from_angles(azimuth_deg: f32, elevation_deg: f32) -> Self {
        let (sin_a, cos_a) = azimuth_deg.to_radians().sin_cos();
        let (sin_e, cos_e) = elevation_deg.to_radians().sin_cos();
        Self::new(Vec3::new(cos_e * sin_a, sin_e, cos_e * cos_a))
    }
}

/// Light that reaches each pixel per albedo: `a + e max(n·l, 0)`, without the second term in a cast
/// shadow; linear, NaN off the mask and where the normal is undefined.
///
/// With `depth` (pixels toward the camera), the surface casts shadows on itself.
///
/// # Panics
/// If the maps differ in size.
pub fn shading(
    normals: &NormalMap,
    mask: &Mask,
    light: &RelightLight,
    depth: Option<&DepthMap>,
) -> Plane<f32> {
    let size = normals.size;
    assert_eq!(size, mask.size, "a mask of the normals' size");
    let relief = depth.map(|depth| {
        assert_eq!(size, depth.size, "a depth map of the normals' size");
        (depth, depth.data.iter().copied().fold(f32::NEG_INFINITY, f32::max))
    });
    let direction = light.direction.normalize();
    let data = (0..size.area())
        .into_par_iter()
        .with_min_len(1 << 12)
        .map(|p| {
            let facing = normals.at(p).dot(&direction);
            if !mask.data[p] || facing.is_nan() {
                return f32::NAN;
            }
            let shaded = facing <= 0.0
                || relief.is_some_and(|(depth, top)| in_shadow(depth, top, p, direction));
            light.ambient + if shaded { 0.0 } else { light.intensity * facing }
        })
        .collect();
    Plane::new(size, data)
}

/// Whether the depth map stands in the way from a pixel to the light.
fn in_shadow(depth: &DepthMap, top: f32, pixel: usize, light: Vec3) -> bool {
    let Size { height, width } = depth.size;
    let across = light.x.hypot(light.y);
    let start = depth.data[pixel];
    if across < 1e-6 || start.is_nan() {
        return false;
    }
    let (right, down, rise) = (light.x / across, -light.y / across, light.z / across);
    let (row, column) = ((pixel / width) as f32, (pixel % width) as f32);
    let mut distance = 1.0f32;
    loop {
        let (r, c) = (row + distance * down, column + distance * right);
        let ray = start + distance * rise;
        let inside = r >= 0.0 && c >= 0.0 && r < (height - 1) as f32 && c < (width - 1) as f32;
        // A light behind the image plane never rises over the highest point, but leaves the image.
        if !inside || ray > top {
            return false;
        }
        let (at, dr, dc) = (r as usize * width + c as usize, r.fract(), c.fract());
        let line = |at: usize| depth.data[at] * (1.0 - dc) + depth.data[at + 1] * dc;
        // NaN, off the mask, stands in nobody's way: the comparison is false.
        if line(at) * (1.0 - dr) + line(at + width) * dr > ray + SHADOW_BIAS {
            return true;
        }
        distance += 1.0;
    }
}

/// A relit image, linear: albedo times [`shading`]. For colour, call [`shading`] once and
/// [`times`] for each channel's albedo.
///
/// # Panics
/// If the maps differ in size.
pub fn relight(
    normals: &NormalMap,
    albedo: &AlbedoMap,
    mask: &Mask,
    light: &RelightLight,
    depth: Option<&DepthMap>,
) -> Plane<f32> {
    times(albedo, &shading(normals, mask, light, depth))
}

/// Albedo times shading, pixel by pixel; NaN where either is.
///
/// # Panics
/// If the planes differ in size.
pub fn times(albedo: &AlbedoMap, shading: &Plane<f32>) -> Plane<f32> {
    assert_eq!(albedo.size, shading.size, "shading of the albedo's size");
    let product = albedo.data.iter().zip(&shading.data).map(|(a, s)| a * s).collect();
    Plane::new(albedo.size, product)
}

/// A linear image as a screen shows it: values times `exposure`, cut to 0–1, under the sRGB curve
/// (IEC 61966-2-1). `background` where undefined.
pub fn srgb_grey(linear: &Plane<f32>, exposure: f32, background: [u8; 3]) -> Picture {
    Picture::from_fn(linear.size, |p| {
        let value = linear.data[p];
        if value.is_nan() { background } else { [srgb_byte(value * exposure); 3] }
    })
}

/// As `srgb_grey`, in colour where there is one.
pub fn srgb_albedo(linear: &Albedo, exposure: f32, background: [u8; 3]) -> Picture {
    let planes = match linear {
        Albedo::Grey(plane) => return srgb_grey(plane, exposure, background),
        Albedo::Rgb(planes) => planes,
    };
    Picture::from_fn(linear.size(), |p| {
        let value = planes.each_ref().map(|plane| plane.data[p]);
        if value.iter().any(|v| v.is_nan()) {
            background
        } else {
            value.map(|v| srgb_byte(v * exposure))
        }
    })
}

fn srgb_byte(linear: f32) -> u8 {
    (255.0 * srgb_encoded(linear)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 21, width: 41 };

    #[test]
    fn a_tilted_plane_follows_lamberts_law() {
        let normal = Vec3::new(0.6, 0.0, 0.8);
        let normals = NormalMap::from_fn(SIZE, |_, _| normal);
        let mut mask = Plane::filled(SIZE, true);
        mask.data[3] = false;
        let albedo = Plane::filled(SIZE, 0.5);
        let lit = |direction: Vec3| {
            let light = RelightLight { direction, intensity: 2.0, ambient: 0.1 };
            relight(&normals, &albedo, &mask, &light, None)
        };
        // 0.5 (0.1 + 2 · 0.8), the length of the direction being no matter.
        assert!((lit(Vec3::new(0.0, 0.0, 7.0)).data[0] - 0.85).abs() < 1e-6);
        assert!((lit(normal).data[0] - 1.05).abs() < 1e-6);
        assert!((lit(-normal).data[0] - 0.05).abs() < 1e-6, "only ambient light behind");
        assert!(lit(normal).data[3].is_nan());
        let right = RelightLight::from_angles(90.0, 0.0).direction;
        assert!((right - Vec3::x()).norm() < 1e-6);
        assert!((RelightLight::from_angles(0.0, 90.0).direction - Vec3::y()).norm() < 1e-6);
    }

    #[test]
    fn a_wall_casts_a_shadow_of_its_height_away_from_the_light() {
        // A wall 10 px high at column 20 on a flat floor, light from the right at 45°.
        let normals = NormalMap::from_fn(SIZE, |_, _| Vec3::z());
        let mask = Plane::filled(SIZE, true);
        let depth = Plane::from_fn(SIZE, |_, c| if c == 20 { 10.0 } else { 0.0 });
        let light = RelightLight::new(Vec3::new(1.0, 0.0, 1.0));
        let lit = shading(&normals, &mask, &light, Some(&depth));
        let shadow: Vec<usize> = (0..40).filter(|&c| *lit.at(10, c) == 0.0).collect();
        assert_eq!(shadow.last(), Some(&19), "{shadow:?}");
        assert!((9..=10).contains(&shadow.len()), "{shadow:?}");
        // The same from above: rows run down, so the shadow falls on larger rows.
        let depth = Plane::from_fn(SIZE, |r, _| if r == 10 { 5.0 } else { 0.0 });
        let light = RelightLight::new(Vec3::new(0.0, 1.0, 1.0));
        let lit = shading(&normals, &mask, &light, Some(&depth));
        let shadow: Vec<usize> = (0..20).filter(|&r| *lit.at(r, 20) == 0.0).collect();
        assert_eq!(shadow.first(), Some(&11), "{shadow:?}");
        assert!((4..=5).contains(&shadow.len()), "{shadow:?}");
    }

    #[test]
    fn the_screen_curve_is_srgb() {
        let linear = Plane::new(Size::new(1, 4), vec![0.0, 0.215_861, 2.0, f32::NAN]);
        let picture = srgb_grey(&linear, 1.0, [1, 2, 3]);
        // IEC 61966-2-1: code 128 is linear ((128/255 + 0.055) / 1.055)^2.4.
        let want = [[0; 3], [128; 3], [255; 3], [1, 2, 3]];
        assert_eq!(picture.data, want.concat());
        let colour = Albedo::Rgb([linear.clone(), linear.clone(), linear]);
        assert_eq!(srgb_albedo(&colour, 1.0, [1, 2, 3]), picture);
    }
}
