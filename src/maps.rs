//! The data that flow through lumiface: stacks of lit images, their lights, and the maps made
//! from them. These types depend on nothing else in the crate.
//!
//! Maps are row-major, row 0 at the top. Vectors are of the camera frame (see
//! [`crate::geometry`]). A pixel that is not defined holds NaN in every float map and `false`
//! in the mask; NaN is never replaced by a number on the way.

use crate::geometry::{Camera, Vec3};

/// Height and width of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Size {
    pub height: usize,
    pub width: usize,
}

impl Size {
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// Number of pixels.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

/// "width×height", as image tools print it.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}

/// One value per pixel, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane<T> {
    pub size: Size,
    /// `size.area()` values, row-major, row 0 at the top.
    pub data: Vec<T>,
}

/// Albedo ρ ≥ 0: reflected share of full-scale intensity under a unit light; NaN off the mask.
pub type AlbedoMap = Plane<f32>;
/// Depth toward the camera in pixels, mean zero over the mask; NaN off the mask.
pub type DepthMap = Plane<f32>;
/// Root mean square over the lights of `I − ρ n·l`, as a share of full scale; NaN off the mask.
pub type ResidualMap = Plane<f32>;
/// How far a normal can be trusted, 0 (not at all) to 1, see [`crate::stereo::confidence`]; NaN
/// off the mask.
pub type ConfidenceMap = Plane<f32>;
/// True where the maps are defined.
pub type Mask = Plane<bool>;

/// Albedo in grey, or in linear red, green and blue: shares of full scale, NaN where undefined.
#[derive(Clone, Debug, PartialEq)]
pub enum Albedo {
    Grey(AlbedoMap),
    Rgb([AlbedoMap; 3]),
}

impl Albedo {
    /// The planes: one, or red, green and blue, all of one size.
    pub fn planes(&self) -> &[AlbedoMap] {
        match self {
            Self::Grey(plane) => std::slice::from_ref(plane),
            Self::Rgb(planes) => planes,
        }
    }

    pub fn size(&self) -> Size {
        self.planes()[0].size
    }

    /// The same change to each plane.
    pub fn map(&self, change: impl Fn(&AlbedoMap) -> AlbedoMap) -> Self {
        match self {
            Self::Grey(plane) => Self::Grey(change(plane)),
            Self::Rgb(planes) => Self::Rgb(planes.each_ref().map(change)),
        }
    }
}

impl<T> Plane<T> {
    /// # Panics
    /// If `data` does not hold exactly `size.area()` values.
    pub fn new(size: Size, data: Vec<T>) -> Self {
        assert_eq!(data.len(), size.area(), "a plane of {size} pixels");
        Self { size, data }
    }

    pub fn from_fn(size: Size, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(size.area());
        for row in 0..size.height {
            for column in 0..size.width {
                data.push(value(row, column));
            }
        }
        Self { size, data }
    }

    pub fn at(&self, row: usize, column: usize) -> &T {
        &self.data[row * self.size.width + column]
    }
}

impl<T: Clone> Plane<T> {
    pub fn filled(size: Size, value: T) -> Self {
        Self { size, data: vec![value; size.area()] }
    }
}

impl Plane<f32> {
    /// The same plane with NaN wherever `mask` is false.
    pub fn masked(mut self, mask: &Mask) -> Self {
        assert_eq!(self.size, mask.size);
        for (value, &defined) in self.data.iter_mut().zip(&mask.data) {
            if !defined {
                *value = f32::NAN;
            }
        }
        self
    }
}

impl Mask {
    /// Number of defined pixels.
    pub fn count(&self) -> usize {
        self.data.iter().filter(|&&defined| defined).count()
    }
}

/// Unit surface normals of the camera frame, planar (3, h, w): all n_x, then n_y, then n_z.
/// NaN in all three where undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalMap {
    pub size: Size,
    /// `3 * size.area()` values.
    pub data: Vec<f32>,
}

impl NormalMap {
    /// # Panics
    /// If `data` does not hold exactly `3 * size.area()` values.
    pub fn new(size: Size, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), 3 * size.area(), "a normal map of {size} pixels");
        Self { size, data }
    }

    pub fn from_fn(size: Size, normal: impl FnMut(usize, usize) -> Vec3) -> Self {
        let vectors = Plane::from_fn(size, normal);
        let component = |c: usize| vectors.data.iter().map(move |v| v[c]);
        Self { size, data: component(0).chain(component(1)).chain(component(2)).collect() }
    }

    pub fn x(&self) -> &[f32] {
        &self.data[..self.size.area()]
    }

    pub fn y(&self) -> &[f32] {
        &self.data[self.size.area()..2 * self.size.area()]
    }

    pub fn z(&self) -> &[f32] {
        &self.data[2 * self.size.area()..]
    }

    /// The normal at a flat pixel index.
    pub fn at(&self, pixel: usize) -> Vec3 {
        Vec3::new(self.x()[pixel], self.y()[pixel], self.z()[pixel])
    }

    /// The same map with NaN wherever `mask` is false.
    pub fn masked(mut self, mask: &Mask) -> Self {
        assert_eq!(self.size, mask.size);
        for component in self.data.chunks_exact_mut(mask.size.area()) {
            for (value, &defined) in component.iter_mut().zip(&mask.data) {
                if !defined {
                    *value = f32::NAN;
                }
            }
        }
        self
    }
}

/// Intensities: raw sensor values as the files hold them, or prepared ones (ambient light taken
/// off, linearised, registered) as a share of full scale.
///
/// A prepared value can be negative by noise, above 1 where a light's intensity was divided out,
/// and NaN where there is no observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    U8(Vec<u8>),
    U16(Vec<u16>),
    F32(Vec<f32>),
}

impl Pixels {
    pub fn len(&self) -> usize {
        match self {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len(),
            Pixels::F32(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value that albedo 1 under a unit light gives: 255, 65,535 or 1.
    pub fn full_scale(&self) -> f32 {
        match self {
            Pixels::U8(_) => f32::from(u8::MAX),
            Pixels::U16(_) => f32::from(u16::MAX),
            Pixels::F32(_) => 1.0,
        }
    }

    /// The value at a flat index, in units of `full_scale`'s.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Pixels::U8(values) => f32::from(values[index]),
            Pixels::U16(values) => f32::from(values[index]),
            Pixels::F32(values) => values[index],
        }
    }
}

/// k linear grey images of one size, (k, h, w) row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageStack {
    pub size: Size,
    /// Number of images, k.
    pub count: usize,
    /// `count * size.area()` values.
    pub pixels: Pixels,
    /// Per image, the value at and above which a pixel counts as saturated, in the pixels' units:
    /// full scale, unless the sensor clips below it or something was subtracted or divided out.
    pub white: Vec<f32>,
}

impl ImageStack {
    /// A stack whose pixels saturate at full scale.
    ///
    /// # Panics
    /// If `pixels` does not hold exactly `count * size.area()` values.
    pub fn new(size: Size, count: usize, pixels: Pixels) -> Self {
        assert_eq!(pixels.len(), count * size.area(), "{count} images of {size} pixels");
        let white = vec![pixels.full_scale(); count];
        Self { size, count, pixels, white }
    }

    /// The same stack with another saturation level per image.
    ///
    /// # Panics
    /// If there is not one level per image.
    pub fn with_white(mut self, white: Vec<f32>) -> Self {
        assert_eq!(white.len(), self.count, "one saturation level per image");
        self.white = white;
        self
    }

    /// The stack with a constant taken off every value, given as a share of full scale. A
    /// saturated value stays at its saturation level.
    pub fn minus(&self, level: f32) -> Self {
        let unit = 1.0 / self.pixels.full_scale();
        let values = match &self.pixels {
            Pixels::U8(values) => values.iter().map(|&v| f32::from(v) * unit - level).collect(),
            Pixels::U16(values) => values.iter().map(|&v| f32::from(v) * unit - level).collect(),
            Pixels::F32(values) => values.iter().map(|&v| v - level).collect(),
        };
        let white = self.white.iter().map(|w| w * unit - level).collect();
        Self { size: self.size, count: self.count, pixels: Pixels::F32(values), white }
    }

    /// The values as shares of full scale, (k, h, w) row-major, and the saturation levels in the
    /// same unit.
    pub fn to_shares(&self) -> (Vec<f32>, Vec<f32>) {
        let unit = 1.0 / self.pixels.full_scale();
        let values = match &self.pixels {
            Pixels::U8(values) => values.iter().map(|&v| f32::from(v) * unit).collect(),
            Pixels::U16(values) => values.iter().map(|&v| f32::from(v) * unit).collect(),
            Pixels::F32(values) => values.clone(),
        };
        (values, self.white.iter().map(|w| w * unit).collect())
    }
}

/// k distant lights: unit directions of the camera frame, from the surface to the light, and
/// relative intensities > 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Lights {
    pub directions: Vec<Vec3>,
    pub intensities: Vec<f32>,
}

impl Lights {
    /// Lights of intensity 1.
    pub fn directional(directions: Vec<Vec3>) -> Self {
        let intensities = vec![1.0; directions.len()];
        Self { directions, intensities }
    }

    pub fn len(&self) -> usize {
        self.directions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
    }

    /// The lights at `indices`, in their order.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            directions: indices.iter().map(|&i| self.directions[i]).collect(),
            intensities: indices.iter().map(|&i| self.intensities[i]).collect(),
        }
    }

    /// `L` (k × 3), each row a direction times its intensity: `I = L g`.
    pub fn light_matrix(&self) -> nalgebra::MatrixXx3<f64> {
        nalgebra::MatrixXx3::from_fn(self.len(), |row, column| {
            f64::from(self.directions[row][column]) * f64::from(self.intensities[row])
        })
    }

    /// Ratio of the largest to the smallest singular value of the light matrix: how much the
    /// worst direction of `g` amplifies image noise. Infinite for fewer than three lights or
    /// lights in one plane through the origin.
    pub fn condition_number(&self) -> f64 {
        if self.len() < 3 {
            return f64::INFINITY;
        }
        let singular_values = self.light_matrix().singular_values();
        let (largest, smallest) = (singular_values.max(), singular_values.min());
        if smallest > largest * f64::from(f32::EPSILON) {
            largest / smallest
        } else {
            f64::INFINITY
        }
    }
}

/// k lamps near the subject, and the camera that their positions are given for.
///
/// A lamp at s with intensity e lights a point x with `e (d/|s − x|)² (s − x)/|s − x|`, d the
/// lamp's distance from the subject's centre: at the centre it is a distant light of intensity e.
#[derive(Clone, Debug, PartialEq)]
pub struct NearLights {
    /// Millimetres of the camera frame; the origin is the camera's centre, so the subject lies at
    /// negative z.
    pub positions_mm: Vec<Vec3>,
    /// Relative intensities > 0 at the subject's centre.
    pub intensities: Vec<f32>,
    pub camera: Camera,
    /// Depth of the subject's centre along the optical axis, > 0.
    pub subject_distance_mm: f32,
}

impl NearLights {
    /// The subject's centre: where the middle of an image of this size looks, at the subject's
    /// distance.
    pub fn subject_centre_mm(&self, size: Size) -> Vec3 {
        let middle = |length: usize| (length as f64 - 1.0) / 2.0;
        let ray = self.camera.ray(middle(size.height), middle(size.width));
        (ray * f64::from(self.subject_distance_mm)).cast()
    }

    /// The distant lights that these are at the subject's centre.
    pub fn at_centre(&self, size: Size) -> Lights {
        let centre = self.subject_centre_mm(size);
        let directions = self.positions_mm.iter().map(|s| (s - centre).normalize()).collect();
        Lights { directions, intensities: self.intensities.clone() }
    }

    /// The lamps at `indices`, in their order.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            positions_mm: indices.iter().map(|&i| self.positions_mm[i]).collect(),
            intensities: indices.iter().map(|&i| self.intensities[i]).collect(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_lights_have_condition_one_and_coplanar_lights_infinite() {
        let axes = Lights::directional(vec![Vec3::x(), Vec3::y(), Vec3::z()]);
        assert!((axes.condition_number() - 1.0).abs() < 1e-12);
        let coplanar = Lights::directional(vec![
            Vec3::z(),
            Vec3::new(0.6, 0.0, 0.8),
            Vec3::new(-0.6, 0.0, 0.8),
            Vec3::new(0.8, 0.0, 0.6),
        ]);
        assert_eq!(coplanar.condition_number(), f64::INFINITY);
        assert_eq!(Lights::directional(vec![Vec3::z(); 2]).condition_number(), f64::INFINITY);
    }

    #[test]
    fn a_dim_light_worsens_the_condition() {
        let mut lights = Lights::directional(vec![Vec3::x(), Vec3::y(), Vec3::z()]);
        lights.intensities[1] = 0.25;
        assert!((lights.condition_number() - 4.0).abs() < 1e-12);
    }

    #[test]
    fn normal_map_is_planar() {
        let map = NormalMap::from_fn(Size::new(1, 2), |_, column| {
            Vec3::new(column as f32, 10.0 + column as f32, 20.0 + column as f32)
        });
        assert_eq!(map.data, [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
        assert_eq!(map.at(1), Vec3::new(1.0, 11.0, 21.0));
    }
}
