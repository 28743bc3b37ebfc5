//! The mean head as a mesh: the solid contoured, eyeballs and teeth put in, lips closed.

use super::Topology;
use super::contour::contour;
use super::field::{Vec3, v};
use super::motion::close_lips;
use super::normals::vertex_normals;
use super::patches::{Patch, eyeball, teeth, tongue};
use super::sculpt::{Sculpt, leaf_units, lip_line, mouth_bag};
use super::{landmarks, procedural::Detail};
use crate::synth::surface::Part;

/// What a vertex belongs to, as far as it moves differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Organ {
    Skin,
    RightEye,
    LeftEye,
    UpperTeeth,
    LowerTeeth,
}

pub(super) struct Template {
    pub topology: Topology,
    /// Vertices of the skin come first: as the solid has them, lips apart.
    pub solid: Vec<Vec3>,
    pub rest: Vec<Vec3>,
    /// Outward normals of the mean head; zero off the skin.
    pub normals: Vec<Vec3>,
    pub organs: Vec<Organ>,
    /// The vertex of the skin on the other side.
    pub mirror: Vec<u32>,
}

impl Template {
    pub(super) fn new(detail: Detail) -> Self {
        let sculpt = Sculpt::new();
        let (unit, coarseness) = detail.leaves();
        let mut mesh = contour(
            &|p| sculpt.distance(p),
            &|p| leaf_units(p, coarseness) * unit,
            v(0.0, -90.0, -60.0),
            unit,
        );
        let landmarks = landmarks::find(&sculpt, &mut mesh);
        let mut solid = mesh.positions;
        let mut rest: Vec<Vec3> = solid.iter().map(|&p| close_lips(p)).collect();
        let mut triangles = mesh.triangles;
        let mut parts: Vec<Part> = triangles
            .iter()
            .map(|t| {
                let inside = t.iter().all(|&i| inside_mouth(solid[i as usize]));
                if inside { Part::Mouth } else { Part::Skin }
            })
            .collect();
        let to_f32 = |p: &Vec3| [p.x as f32, p.y as f32, p.z as f32];
        let skin: Vec<[f32; 3]> = rest.iter().map(to_f32).collect();
        let mut normals: Vec<Vec3> = vertex_normals(&skin, &triangles)
            .iter()
            .map(|n| v(n[0].into(), n[1].into(), n[2].into()))
            .collect();
        let mut organs = vec![Organ::Skin; solid.len()];
        let fine = detail == Detail::Full;
        let mut add = |patch: Patch, part: Part, organ: Organ| {
            let base = solid.len() as u32;
            solid.extend(&patch.positions);
            rest.extend(&patch.positions);
            normals.extend(patch.positions.iter().map(|_| Vec3::zeros()));
            organs.extend(patch.positions.iter().map(|_| organ));
            parts.extend(patch.triangles.iter().map(|_| part));
            triangles.extend(patch.triangles.iter().map(|t| t.map(|i| base + i)));
        };
        add(eyeball(-1.0, fine), Part::Eye, Organ::RightEye);
        add(eyeball(1.0, fine), Part::Eye, Organ::LeftEye);
        add(teeth(true, fine), Part::Mouth, Organ::UpperTeeth);
        add(teeth(false, fine), Part::Mouth, Organ::LowerTeeth);
        add(tongue(fine), Part::Mouth, Organ::LowerTeeth);
        let topology =
            Topology { triangles, parts, rest: rest.iter().map(to_f32).collect(), landmarks };
        Self { topology, solid, rest, normals, organs, mirror: mesh.mirror }
    }
}

/// Whether a place on the solid is inside the mouth, behind the wet line of the lips.
fn inside_mouth(p: Vec3) -> bool {
    let behind = 17.5 - p.x * p.x / 45.0;
    mouth_bag(p) < 0.8 || ((p.y - lip_line(p.x)).abs() < 2.2 && p.x.abs() < 24.5 && p.z < behind)
}
