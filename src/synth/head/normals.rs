//! Vertex normals for smooth shading.

/// Unit normals at the vertices: the normals of the triangles around each, weighted by the angle
/// that the triangle has there (Thürmer and Wüthrich 1998), which does not depend on how a flat
/// piece is cut into triangles. A vertex of no triangle gets (0, 0, 1).
pub fn vertex_normals(positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Vec<[f32; 3]> {
    type V = nalgebra::Vector3<f32>;
    let at = |i: u32| V::from(positions[i as usize]);
    let mut sums = vec![V::zeros(); positions.len()];
    for triangle in triangles {
        let [a, b, c] = triangle.map(at);
        let sides = [b - a, c - b, a - c];
        let cross = sides[0].cross(&sides[1]);
        let area = cross.norm();
        if area <= f32::MIN_POSITIVE {
            continue;
        }
        let normal = cross / area;
        for k in 0..3 {
            let (to, from) = (sides[k], -sides[(k + 2) % 3]);
            sums[triangle[k] as usize] += normal * angle(area, to.dot(&from));
        }
    }
    let unit = |s: &V| {
        let length = s.norm();
        if length > 0.0 { (s / length).into() } else { [0.0, 0.0, 1.0] }
    };
    sums.iter().map(unit).collect()
}

/// The angle with this (positive) sine and cosine, of any common length: `atan2` to 0.0003.
fn angle(sine: f32, cosine: f32) -> f32 {
    // Abramowitz and Stegun 4.4.49 on the half of the octant that holds it.
    let (t, base, sign) = if cosine.abs() >= sine {
        if cosine > 0.0 {
            (sine / cosine, 0.0, 1.0)
        } else {
            (-sine / cosine, std::f32::consts::PI, -1.0)
        }
    } else {
        (cosine / sine, std::f32::consts::FRAC_PI_2, -1.0)
    };
    let t2 = t * t;
    let atan = t
        * (0.999_866
            + t2 * (-0.330_299_5 + t2 * (0.180_141 + t2 * (-0.085_133 + t2 * 0.020_835_1))));
    base + sign * atan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_angle_is_that_of_the_platform() {
        for k in 1..180 {
            let (sine, cosine) = (k as f32).to_radians().sin_cos();
            assert!(
                (angle(3.0 * sine, 3.0 * cosine) - (k as f32).to_radians()).abs() < 3e-4,
                "{k}"
            );
        }
    }

    /// A cube's corner looks along its diagonal however its squares are cut in two.
    #[test]
    fn corners_of_a_cube_do_not_feel_its_diagonals() {
        let corner = |i: u32| [0, 1, 2].map(|axis| if i >> axis & 1 == 1 { 1.0 } else { -1.0 });
        let positions: Vec<[f32; 3]> = (0..8).map(corner).collect();
        let squares =
            [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
        let triangles: Vec<[u32; 3]> =
            squares.iter().flat_map(|&[a, b, c, d]| [[a, b, c], [a, c, d]]).collect();
        for (p, n) in positions.iter().zip(vertex_normals(&positions, &triangles)) {
            for axis in 0..3 {
                assert!((n[axis] - p[axis] / 3f32.sqrt()).abs() < 1e-3, "{p:?}: {n:?}");
            }
        }
    }

    #[test]
    fn a_vertex_of_no_triangle_looks_at_the_camera() {
        assert_eq!(vertex_normals(&[[1.0; 3]], &[]), [[0.0, 0.0, 1.0]]);
    }
}
