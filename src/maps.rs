//! The data that flow through lumiface: stacks of lit images, their lights, and the maps made
//! from them. These types depend on nothing else in the crate.
//!
//! Maps are row-major, row 0 at the top. Vectors are of the camera frame (see
//! [`crate::geometry`]). A pixel that is not defined holds NaN in every float map and `false`
//! in the mask; NaN is never replaced by a number on the way.

use crate::geometry::Vec3;

/// Height and width of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
/// True where the maps are defined.
pub type Mask = Plane<bool>;

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

/// Raw sensor values as the files hold them.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

impl Pixels {
    pub fn len(&self) -> usize {
        match self {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a saturated pixel: 255 or 65,535.
    pub fn full_scale(&self) -> f32 {
        match self {
            Pixels::U8(_) => f32::from(u8::MAX),
            Pixels::U16(_) => f32::from(u16::MAX),
        }
    }

    /// The raw value at a flat index, 0 to `full_scale`.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Pixels::U8(values) => f32::from(values[index]),
            Pixels::U16(values) => f32::from(values[index]),
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
}

impl ImageStack {
    /// # Panics
    /// If `pixels` does not hold exactly `count * size.area()` values.
    pub fn new(size: Size, count: usize, pixels: Pixels) -> Self {
        assert_eq!(pixels.len(), count * size.area(), "{count} images of {size} pixels");
        Self { size, count, pixels }
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
