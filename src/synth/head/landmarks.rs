//! The 68 landmarks of iBUG 300-W as vertices of the mesh.

use super::contour::Contour;
use super::field::{Vec3, v};
use super::sculpt::{EYE, LIP_GAP_MM, Sculpt, lip_line, lower_lid, upper_lid};

/// Where the landmarks of the person's left half and the midline lie on the solid, by number.
/// A place is given as seen from the front (the depth is found), or in full.
fn places() -> Vec<(usize, Place)> {
    use Place::{Front, Near};
    let lid =
        |dx: f64, y: f64| Near(EYE + v(dx, y, (14.0f64 * 14.0 - dx * dx - y * y).max(36.0).sqrt()));
    let half_gap = 0.5 * LIP_GAP_MM;
    let inner = |x: f64, side: f64| Near(v(x, lip_line(x) + side * half_gap, 24.0 - 0.02 * x * x));
    vec![
        (16, Near(v(70.0, -4.0, -60.0))),
        (15, Near(v(68.0, -22.0, -58.0))),
        (14, Near(v(65.0, -40.0, -55.0))),
        (13, Near(v(60.0, -57.0, -50.0))),
        (12, Near(v(54.0, -74.0, -42.0))),
        (11, Near(v(45.0, -88.0, -29.0))),
        (10, Near(v(32.0, -101.0, -12.0))),
        (9, Near(v(17.0, -109.5, 5.0))),
        (8, Near(v(0.0, -112.5, 10.0))),
        (22, Front(11.0, 18.0)),
        (23, Front(20.0, 21.5)),
        (24, Front(30.0, 23.0)),
        (25, Front(39.5, 21.0)),
        (26, Front(47.0, 15.0)),
        (27, Front(0.0, 2.0)),
        (28, Front(0.0, -11.0)),
        (29, Front(0.0, -24.0)),
        (30, Front(0.0, -37.0)),
        (33, Near(v(0.0, -47.2, 22.5))),
        (34, Near(v(6.5, -47.8, 22.0))),
        (35, Near(v(13.5, -46.5, 19.0))),
        (42, Front(16.2, -2.5)),
        (43, lid(-5.0, upper_lid(-5.0))),
        (44, lid(4.5, upper_lid(4.5))),
        (45, Front(45.3, 0.7)),
        (46, lid(5.5, lower_lid(5.5))),
        (47, lid(-5.0, lower_lid(-5.0))),
        (51, Front(0.0, -61.2)),
        (52, Front(5.2, -59.8)),
        (53, Front(15.0, -63.2)),
        (54, Front(24.9, -68.4)),
        (55, Front(16.0, -74.6)),
        (56, Front(7.5, -78.2)),
        (57, Front(0.0, -78.8)),
        (62, inner(0.0, 1.0)),
        (63, inner(9.0, 1.0)),
        (64, Near(v(23.5, -68.3, 10.5))),
        (65, inner(9.0, -1.0)),
        (66, inner(0.0, -1.0)),
    ]
}

enum Place {
    Front(f64, f64),
    Near(Vec3),
}

/// The number of the landmark on the other side.
pub(super) fn mirrored(landmark: usize) -> usize {
    match landmark {
        0..=16 => 16 - landmark,
        17..=26 => 43 - landmark,
        27..=30 => landmark,
        31..=35 => 66 - landmark,
        36..=39 | 42..=45 => 81 - landmark,
        40 => 47,
        41 => 46,
        46 => 41,
        47 => 40,
        48..=54 => 102 - landmark,
        55..=59 => 114 - landmark,
        60..=64 => 124 - landmark,
        _ => 132 - landmark,
    }
}

/// Finds the landmarks on the solid's mesh. The mesh has no vertices on the midplane; where a
/// landmark lies there, the edge across it gets a vertex in its middle.
pub(super) fn find(sculpt: &Sculpt, mesh: &mut Contour) -> [u32; 68] {
    let mut landmarks = [0; 68];
    for (number, place) in places() {
        let target = match place {
            Place::Near(p) => p,
            Place::Front(x, y) => {
                let mut p = v(x, y, 60.0);
                for _ in 0..200 {
                    let step = sculpt.distance(p);
                    if step < 0.01 {
                        break;
                    }
                    p.z -= 0.6 * step;
                }
                p
            }
        };
        if target.x == 0.0 {
            landmarks[number] = vertex_on_midplane(mesh, target);
            continue;
        }
        let far = |i: usize| (mesh.positions[i] - target).norm_squared();
        let pool = (0..mesh.positions.len()).filter(|&i| mesh.positions[i].x > 0.0);
        let found = pool.min_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap_or(0);
        landmarks[number] = found as u32;
        landmarks[mirrored(number)] = mesh.mirror[found];
    }
    landmarks
}

/// Cuts the edge across the midplane that is nearest to `target` in two.
fn vertex_on_midplane(mesh: &mut Contour, target: Vec3) -> u32 {
    let middle = |mesh: &Contour, i: u32| {
        let p = mesh.positions[i as usize];
        v(0.0, p.y, p.z)
    };
    let edges = mesh.triangles.iter().flat_map(|t| [[t[0], t[1]], [t[1], t[2]], [t[2], t[0]]]);
    let across = edges.filter(|e| mesh.mirror[e[0] as usize] == e[1]);
    let far = |e: &[u32; 2]| (middle(mesh, e[0]) - target).norm_squared();
    let Some([a, b]) = across.min_by(|e, f| far(e).total_cmp(&far(f))) else { return 0 };
    let new = mesh.positions.len() as u32;
    mesh.positions.push(middle(mesh, a));
    mesh.mirror.push(new);
    for index in 0..mesh.triangles.len() {
        let t = mesh.triangles[index];
        if t.contains(&a) && t.contains(&b) {
            mesh.triangles[index] = t.map(|i| if i == a { new } else { i });
            mesh.triangles.push(t.map(|i| if i == b { new } else { i }));
        }
    }
    new
}
