//! Clothes: what the head's own mesh has of neck and shoulders is painted as cloth and lifted a
//! little; rings around the body carry on from there to the edge of the picture.

use super::super::exact_math::{Vector, add, cross, normalise, scale, sub};
use super::super::surface::{Material, Part, Surface};
use super::look::{Clothes, ClothesKind};
use super::noise::{bell, mix, smooth, value};
use super::plan::{Spot, atan2_deg, line_at};

const COLUMNS: usize = 64;

/// Adds the clothes. `body`: vertices of head, neck and whatever shoulders the head has, in mm.
/// `chin_y`: height of the chin.
pub(super) fn add_clothes(
    clothes: &Clothes,
    body: &[Vector],
    chin_y: f32,
    seed: u64,
    detail_mm: f32,
    surface: &mut Surface,
) {
    let neck = Neck::measure(body, chin_y);
    let rows = rows(clothes.kind, detail_mm);
    let mut first_row = surface.positions.len() as u32;
    for row in &rows {
        for column in 0..COLUMNS {
            let (c, s) = circle(column);
            let place = neck.place(clothes.kind, row, column, [c, s], seed);
            surface.positions.push(place);
            let mut material = cloth(clothes, place, detail_mm, seed);
            material.albedo = scale(material.albedo, row.shade);
            surface.materials.push(material);
            surface.normals.push([0.0, 0.0, 1.0]);
        }
    }
    let start = first_row;
    let first_triangle = surface.triangles.len();
    for _ in 1..rows.len() {
        for column in 0..COLUMNS as u32 {
            let next = (column + 1) % COLUMNS as u32;
            let (a, b) = (first_row + column, first_row + next);
            let (c, d) = (a + COLUMNS as u32, b + COLUMNS as u32);
            surface.triangles.extend([[a, b, c], [b, d, c]]);
            surface.parts.extend([Part::Clothes; 2]);
        }
        first_row += COLUMNS as u32;
    }
    // Normals of these rows alone; folds come with the places.
    let from = start as usize;
    let mut normals = vec![[0.0; 3]; surface.positions.len() - from];
    for t in &surface.triangles[first_triangle..] {
        let [a, b, c] = t.map(|v| surface.positions[v as usize]);
        let n = cross(sub(b, a), sub(c, a));
        for &v in t {
            let sum = &mut normals[v as usize - from];
            *sum = add(*sum, n);
        }
    }
    for (place, normal) in surface.normals[from..].iter_mut().zip(normals) {
        *place = normalise(normal);
    }
}

/// A ring of the clothes.
struct Row {
    /// 0 at the collar to 1 at the bottom.
    down: f32,
    /// Height over the collar's base and distance off the body in mm.
    rise: f32,
    off: f32,
    shade: f32,
    /// Opening at the throat: mm by which the front hangs lower; of a collar, how much its points
    /// hang, 1 for not at all.
    dip: f32,
}

fn rows(kind: ClothesKind, detail_mm: f32) -> Vec<Row> {
    let count = (60.0 / detail_mm.max(1.5)) as usize;
    let body = (0..=count).map(|i| {
        let down = 0.2 + 0.8 * i as f32 / count as f32;
        Row { down, rise: -3.0, off: 0.0, shade: 1.0, dip: 28.0 * (1.0 - down) }
    });
    let ring = |rise: f32, off: f32, shade: f32, dip: f32| Row { down: 0.0, rise, off, shade, dip };
    // A ribbed band, a rolled edge, or a collar that stands up, folds over and comes down again.
    let mut rows = match kind {
        ClothesKind::RoundNeck => vec![
            ring(-9.0, 1.5, 0.9, 1.0),
            ring(-8.0, 3.5, 1.0, 1.0),
            ring(-1.0, 4.0, 1.0, 1.0),
            ring(1.5, 3.0, 0.9, 1.0),
            ring(1.0, 0.5, 0.6, 1.0),
        ],
        ClothesKind::HighNeck => vec![
            ring(-14.0, 2.5, 0.9, 1.0),
            ring(-13.0, 5.0, 1.0, 1.0),
            ring(0.0, 5.5, 1.0, 1.0),
            ring(2.5, 4.0, 0.95, 1.0),
            ring(1.5, 1.0, 0.6, 1.0),
        ],
        ClothesKind::Shirt => vec![
            ring(-14.0, 8.0, 0.8, 1.6),
            ring(-19.0, 17.0, 0.75, 1.8),
            ring(-17.0, 18.0, 1.05, 1.8),
            ring(0.0, 13.0, 1.05, 1.4),
            ring(13.0, 8.0, 1.05, 1.1),
            ring(16.0, 6.0, 1.0, 1.0),
            ring(15.0, 4.0, 0.9, 1.0),
            ring(6.0, 2.5, 0.7, 1.0),
        ],
    };
    rows.reverse();
    rows.extend(body);
    rows
}

/// Height of the neckline by azimuth, canonical mm.
fn neckline(kind: ClothesKind, azimuth: f32) -> f32 {
    let line: [[f32; 2]; 4] = match kind {
        ClothesKind::RoundNeck => [[0.0, -195.0], [50.0, -186.0], [90.0, -170.0], [180.0, -150.0]],
        ClothesKind::Shirt => [[0.0, -205.0], [16.0, -188.0], [40.0, -168.0], [180.0, -146.0]],
        ClothesKind::HighNeck => [[0.0, -156.0], [50.0, -153.0], [90.0, -146.0], [180.0, -136.0]],
    };
    line_at(&line, azimuth)
}

/// Share of cloth over the skin of neck and shoulders, 0 to 1, and the height in mm by which it
/// lies over the skin.
pub(super) fn cover(clothes: &Clothes, rest: Vector, spot: &Spot, seed: u64) -> (f32, f32) {
    let below = neckline(clothes.kind, spot.azimuth) - spot.y;
    if below < -3.0 {
        return (0.0, 0.0);
    }
    let seam = 1.0 + 0.35 * bell((below - 8.0) / 2.5);
    let fold = 1.0 + 0.9 * smooth(10.0, 30.0, below) * value(rest, 19.0, seed ^ 2);
    (smooth(-0.8, 0.8, below), 2.6 * smooth(-0.5, 2.5, below) * seam * fold.max(0.3))
}

/// What cloth reflects at a place.
pub(super) fn cloth(clothes: &Clothes, place: Vector, detail_mm: f32, seed: u64) -> Material {
    let mut colour = clothes.colour;
    if clothes.stripes > 0.0 {
        let phase = place[1] / 14.0;
        let on = smooth(0.15, 0.3, (phase - phase.floor() - 0.5).abs());
        colour = [0, 1, 2].map(|i| mix(clothes.second[i], colour[i], on));
    }
    let weave = 1.0
        + 0.08 * value(place, (2.0f32).max(1.5 * detail_mm), seed)
        + 0.08 * value(place, 24.0, seed ^ 1);
    Material {
        albedo: scale(colour, weave).map(|a| a.clamp(0.01, 0.9)),
        specular: 0.012,
        roughness: 0.85,
        subsurface: 0.0,
    }
}

/// The neck: its radius from an upright axis by height and by column.
struct Neck {
    chin: f32,
    middle_z: f32,
    /// Rows from the chin down, [`SLAB_MM`] each.
    radius: [[f32; COLUMNS]; SLABS],
}

const SLABS: usize = 14;
const SLAB_MM: f32 = 9.0;
/// From here up the jaw is in the way.
const FIRST_SLAB: usize = 3;

impl Neck {
    fn measure(body: &[Vector], chin_y: f32) -> Self {
        let lowest = chin_y - SLABS as f32 * SLAB_MM;
        let neck: Vec<&Vector> = body
            .iter()
            .filter(|p| p[1] > lowest && p[1] < chin_y - FIRST_SLAB as f32 * SLAB_MM)
            .collect();
        let (low, high) = neck
            .iter()
            .filter(|p| p[1] > chin_y - 60.0 && p[0].abs() < 60.0)
            .fold((f32::MAX, f32::MIN), |(l, h), p| (l.min(p[2]), h.max(p[2])));
        let middle_z = if low > high { -60.0 } else { (0.5 * (low + high)).clamp(-90.0, -30.0) };
        let mut radius = [[0.0f32; COLUMNS]; SLABS];
        for p in &neck {
            let (x, z) = (p[0], p[2] - middle_z);
            let angle = atan2_deg(z.abs(), x);
            let angle = if z < 0.0 { 360.0 - angle } else { angle };
            let column = (angle / 360.0 * COLUMNS as f32 + 0.5) as usize % COLUMNS;
            let slab = (((chin_y - p[1]) / SLAB_MM) as usize).min(SLABS - 1);
            let cell = &mut radius[slab][column];
            *cell = cell.max((x * x + z * z).sqrt());
        }
        // Cells without a vertex take their neighbours' mean, rows without any the row above.
        for slab in 0..SLABS {
            for _ in 0..COLUMNS {
                if radius[slab].iter().all(|&r| r > 0.0) {
                    break;
                }
                let old = radius[slab];
                for (column, cell) in radius[slab].iter_mut().enumerate() {
                    let beside =
                        [old[(column + COLUMNS - 1) % COLUMNS], old[(column + 1) % COLUMNS]];
                    let known = beside.iter().filter(|r| **r > 0.0).count();
                    if *cell == 0.0 && known > 0 {
                        *cell = (beside[0] + beside[1]) / known as f32;
                    }
                }
            }
            if radius[slab][0] == 0.0 {
                radius[slab] = if slab > FIRST_SLAB { radius[slab - 1] } else { [62.0; COLUMNS] };
            }
        }
        let old = radius;
        for slab in FIRST_SLAB..SLABS {
            for column in 0..COLUMNS {
                let (before, after) = ((column + COLUMNS - 1) % COLUMNS, (column + 1) % COLUMNS);
                let mean = 0.25 * (old[slab][before] + old[slab][after]) + 0.5 * old[slab][column];
                radius[slab][column] = mean.clamp(40.0, 140.0);
            }
        }
        Self { chin: chin_y, middle_z, radius }
    }

    fn radius_at(&self, y: f32, column: usize) -> f32 {
        let at = ((self.chin - y) / SLAB_MM - 0.5).clamp(FIRST_SLAB as f32, (SLABS - 1) as f32);
        let low = (at as usize).min(SLABS - 2);
        mix(self.radius[low][column], self.radius[low + 1][column], at - low as f32)
    }

    /// Place of a ring's point in a column; (cos, sin) of its angle, sin +1 in front.
    fn place(
        &self,
        kind: ClothesKind,
        row: &Row,
        column: usize,
        [c, s]: [f32; 2],
        seed: u64,
    ) -> Vector {
        if row.down == 0.0 {
            // A collar follows the neckline; its points hang lower in front.
            let line = neckline(kind, atan2_deg(c.abs(), s)) + self.chin + 112.0;
            let front = smooth(0.2, 1.0, s) * if kind == ClothesKind::Shirt { 1.0 } else { 0.0 };
            let y = line + row.rise - 10.0 * (row.dip - 1.0) * front;
            // Over the bare neck the collar keeps the width of its own base.
            let r = self.radius_at(y.min(line), column) + row.off;
            return [c * r, y, self.middle_z + s * r];
        }
        // Shoulders slope from the neck, then drop.
        let d = row.down;
        let slope = smooth(0.0, 0.55, d);
        let collar = self.radius[FIRST_SLAB][column].min(75.0);
        let wide = slope * (1.6 - 0.6 * slope);
        let width = mix(collar, 215.0, wide) + 12.0 * d;
        let depth = mix(collar, 112.0, smooth(0.0, 0.75, d)) + if s > 0.0 { 0.0 } else { 10.0 * d };
        let y = self.chin - 62.0 - 62.0 * d * (1.0 - 0.3 * d) - 190.0 * d * d + row.rise;
        let back_rise = 16.0 * (1.0 - d);
        let y = y + mix(-row.dip, back_rise, 0.5 - 0.5 * s);
        // Squarer toward the shoulders.
        let power = mix(0.0, 0.35, slope);
        let square = |v: f32| v * (1.0 + power * (1.0 - v * v));
        let place =
            [square(c) * (width + row.off), y, self.middle_z + square(s) * (depth + row.off)];
        let fold = 5.0 * smooth(0.05, 0.3, d);
        let crease = value([place[0] * 0.6, place[1] * 0.25, place[2] * 0.5], 26.0, seed ^ 2);
        let fine = value(place, 17.0, seed ^ 3);
        [place[0], place[1] + fold * crease, place[2] + fold * (crease + 0.4 * fine)]
    }
}

/// Cosine and sine of a column's angle, by halving: exact to rounding and free of any library.
fn circle(column: usize) -> (f32, f32) {
    let angle = column as f64 * 360.0 / COLUMNS as f64;
    let (sin, cos) = super::super::exact_math::sin_cos_deg(angle);
    (cos as f32, sin as f32)
}
