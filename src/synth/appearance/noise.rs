//! Hashed lattice noise on rest coordinates: the same on every platform, no table, no libm.
//!
//! Values at the corners of a cubic lattice come from an integer hash; between them runs the
//! fifth-order fade of Perlin ("Improving Noise", SIGGRAPH 2002).

use super::super::exact_math::Vector;

/// 64 scrambled bits of a lattice point.
pub fn hash(x: i32, y: i32, z: i32, seed: u64) -> u64 {
    let mut h = seed
        ^ (x as u32 as u64).wrapping_mul(0x8da6_b343_9e37_79b9)
        ^ (y as u32 as u64).wrapping_mul(0xd816_3841_7f4a_7c15)
        ^ (z as u32 as u64).wrapping_mul(0xcb1a_b31f_94d0_49bb);
    h = (h ^ (h >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    h = (h ^ (h >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    h ^ (h >> 32)
}

/// Number `part` (0 to 2) of a hash, from −1 to 1.
fn signed(h: u64, part: u32) -> f32 {
    ((h >> (21 * part)) & 0x1f_ffff) as f32 * (2.0 / 2_097_151.0) - 1.0
}

/// Number of a hash from 0 to 1.
pub fn unit(h: u64, part: u32) -> f32 {
    ((h >> (21 * part)) & 0x1f_ffff) as f32 * (1.0 / 2_097_151.0)
}

struct Cell {
    corner: [i32; 3],
    inside: [f32; 3],
}

fn cell(p: Vector, size: f32) -> Cell {
    let scaled = p.map(|c| c / size);
    let corner = scaled.map(|c| c.floor() as i32);
    let inside = [0, 1, 2].map(|i| scaled[i] - corner[i] as f32);
    Cell { corner, inside }
}

fn fade(t: f32) -> f32 {
    t * t * t * (t * (6.0 * t - 15.0) + 10.0)
}

/// Smooth noise in −1..1 with cells of `size` mm.
pub fn value(p: Vector, size: f32, seed: u64) -> f32 {
    vector_parts::<1>(p, size, seed)[0]
}

/// Three independent smooth noises in −1..1.
pub fn vector(p: Vector, size: f32, seed: u64) -> Vector {
    vector_parts::<3>(p, size, seed)
}

fn vector_parts<const N: usize>(p: Vector, size: f32, seed: u64) -> [f32; N] {
    let Cell { corner, inside } = cell(p, size);
    let [u, v, w] = inside.map(fade);
    let mut sum = [0.0; N];
    for at in 0..8 {
        let (dx, dy, dz) = (at & 1, (at >> 1) & 1, at >> 2);
        let weight = if dx == 1 { u } else { 1.0 - u }
            * if dy == 1 { v } else { 1.0 - v }
            * if dz == 1 { w } else { 1.0 - w };
        let h = hash(corner[0] + dx, corner[1] + dy, corner[2] + dz, seed);
        for (part, total) in sum.iter_mut().enumerate() {
            *total += weight * signed(h, part as u32);
        }
    }
    sum
}

/// Round spots strewn at random: 1 in the middle of a spot, 0 outside. `share` of the cells of
/// `size` mm hold one, its radius up to 0.45 cells.
pub fn spots(p: Vector, size: f32, share: f32, seed: u64) -> f32 {
    let Cell { corner, inside } = cell(p, size);
    let mut most = 0.0f32;
    for at in 0..8 {
        let step = [at & 1, (at >> 1) & 1, at >> 2];
        // The half of the neighbours that can reach here.
        let offset = [0, 1, 2].map(|i| if inside[i] < 0.5 { step[i] - 1 } else { step[i] });
        let h = hash(corner[0] + offset[0], corner[1] + offset[1], corner[2] + offset[2], seed);
        if (h >> 42) as f32 / 4_194_303.0 > share {
            continue;
        }
        let radius = 0.2 + 0.25 * unit(h, 1);
        let centre = [0, 1, 2].map(|i| {
            offset[i] as f32 + 0.5 + 0.25 * (((h >> (14 * i)) & 0xff) as f32 / 127.5 - 1.0)
        });
        let away = [0, 1, 2].map(|i| inside[i] - centre[i]);
        let d2 = away.iter().map(|d| d * d).sum::<f32>() / (radius * radius);
        most = most.max((1.0 - d2).max(0.0) * (0.4 + 0.6 * unit(h, 0)));
    }
    most
}

/// 0 below `low`, 1 above `high`, smooth between; falls if `low > high`.
pub fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + share * (b - a)
}

/// 1 at 0, about 0 beyond ±2: a bell without an exponential.
pub fn bell(x: f32) -> f32 {
    let t = (1.0 - 0.25 * x * x).max(0.0);
    t * t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_bounded_smooth_and_balanced() {
        let (mut sum, mut square, mut steepest) = (0.0f64, 0.0f64, 0.0f32);
        for i in 0..20_000 {
            let h = hash(i, 0, 0, 1);
            let p = [0, 1, 2].map(|k| 400.0 * unit(h, k) - 200.0);
            let v = value(p, 5.0, 7);
            assert!(v.abs() <= 1.0);
            sum += f64::from(v);
            square += f64::from(v * v);
            steepest = steepest.max((value([p[0] + 0.01, p[1], p[2]], 5.0, 7) - v).abs() / 0.01);
        }
        assert!((sum / 20_000.0).abs() < 0.02, "{sum}");
        assert!((0.05..0.3).contains(&(square / 20_000.0)));
        // The fade is at most 1.875 steep over a cell, from −1 to 1.
        assert!(steepest < 2.0 * 1.875 / 5.0 + 0.02, "{steepest}");
    }

    #[test]
    fn other_seeds_and_places_give_other_noise() {
        let p = [3.3, -8.1, 40.7];
        assert_ne!(value(p, 4.0, 1), value(p, 4.0, 2));
        assert_ne!(value(p, 4.0, 1), value([p[0] + 4.0, p[1], p[2]], 4.0, 1));
        let [a, b, c] = vector(p, 4.0, 1);
        assert!(a != b && b != c && a == value(p, 4.0, 1));
    }

    #[test]
    fn spots_take_their_share() {
        let covered = |share: f32| {
            let inside = (0..20_000).filter(|&i| {
                let h = hash(i, 1, 0, 1);
                spots([0, 1, 2].map(|k| 300.0 * unit(h, k)), 4.0, share, 3) > 0.0
            });
            inside.count() as f32 / 20_000.0
        };
        assert_eq!(covered(0.0), 0.0);
        let (few, many) = (covered(0.2), covered(0.6));
        assert!(few > 0.01 && (many / few - 3.0).abs() < 0.5, "{few} {many}");
    }
}
