//! What the renderer sees: triangles, and what light does on them.

/// What a triangle belongs to. The truth maps tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Part {
    /// Face, ears, neck.
    Skin,
    /// Hair of the head, brows and beard where it stands off the skin as geometry.
    Hair,
    Eye,
    /// Teeth, tongue and the inside of the mouth.
    Mouth,
    /// Rims, bridge and temples of spectacles.
    Frame,
    /// A spectacle lens: seen through, but it shines.
    Lens,
    Clothes,
    /// Paper or a screen that shows a face.
    Medium,
}

/// Reflectance at a vertex, interpolated over the triangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Material {
    /// Diffuse reflectance in linear red, green, blue, 0 to 1.
    pub albedo: [f32; 3],
    /// Fresnel reflectance at normal incidence (0.028 for skin, 0.04 for glass, 0 for none).
    pub specular: f32,
    /// GGX roughness α (the square of the "perceptual" roughness), 0.02 to 1.
    pub roughness: f32,
    /// How far light creeps below the surface, as a share of skin's mean free path; 0 for none.
    pub subsurface: f32,
}

/// A triangle mesh in millimetres.
///
/// Frame: of the head, as the camera sees a frontal face: x right in the picture (the person's
/// left), y up, z out of the face toward the camera; origin midway between the eye centres.
/// Triangles wind counter-clockwise seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Surface {
    pub positions: Vec<[f32; 3]>,
    /// Unit shading normals at the vertices, outward.
    pub normals: Vec<[f32; 3]>,
    /// One per vertex.
    pub materials: Vec<Material>,
    pub triangles: Vec<[u32; 3]>,
    /// One per triangle.
    pub parts: Vec<Part>,
}
