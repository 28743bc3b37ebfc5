//! The head as seen from the front and from its sides: how far it reaches at each place.

use crate::synth::exact_math::Vector;
use crate::synth::head::Topology;

/// Highest place of a head over a grid of 1 mm.
pub(super) struct Relief {
    low: [f32; 2],
    width: usize,
    height: usize,
    /// −∞ where there is nothing.
    values: Vec<f32>,
}

impl Relief {
    /// z over x and y, for places within 95 mm of the origin to the sides and 80 mm up and down.
    pub fn front(topology: &Topology, positions: &[Vector]) -> Self {
        Self::new(topology, positions, [-95.0, -80.0], [95.0, 80.0], |p| p)
    }

    /// The person's left (`side` 1) or right (−1) side: `side · x` over −z and y, to 150 mm back.
    pub fn side(topology: &Topology, positions: &[Vector], side: f32) -> Self {
        Self::new(topology, positions, [-40.0, -80.0], [150.0, 80.0], |[x, y, z]| [-z, y, side * x])
    }

    fn new(
        topology: &Topology,
        positions: &[Vector],
        low: [f32; 2],
        high: [f32; 2],
        turn: impl Fn(Vector) -> Vector,
    ) -> Self {
        let (width, height) = ((high[0] - low[0]) as usize + 1, (high[1] - low[1]) as usize + 1);
        let mut relief =
            Self { low, width, height, values: vec![f32::NEG_INFINITY; width * height] };
        for triangle in &topology.triangles {
            let [a, b, c] = triangle.map(|v| turn(positions[v as usize]));
            relief.cover(a, b, c);
        }
        relief
    }

    fn cover(&mut self, a: Vector, b: Vector, c: Vector) {
        let det = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if det == 0.0 {
            return;
        }
        let range = |axis: usize, cells: usize| {
            let least = a[axis].min(b[axis]).min(c[axis]) - self.low[axis];
            let most = a[axis].max(b[axis]).max(c[axis]) - self.low[axis];
            // Negative numbers become 0, so that triangles outside cover nothing.
            least.ceil().max(0.0) as usize..((most.floor() + 1.0).max(0.0) as usize).min(cells)
        };
        for row in range(1, self.height) {
            for column in range(0, self.width) {
                let (x, y) = (column as f32 + self.low[0], row as f32 + self.low[1]);
                let v = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / det;
                let w = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / det;
                if v >= 0.0 && w >= 0.0 && v + w <= 1.0 {
                    let value = &mut self.values[row * self.width + column];
                    *value = value.max(a[2] + v * (b[2] - a[2]) + w * (c[2] - a[2]));
                }
            }
        }
    }

    /// The highest place within a square of half-width `reach` mm; −∞ off the head.
    pub fn highest(&self, x: f32, y: f32, reach: f32) -> f32 {
        let range = |at: f32, low: f32, cells: usize| {
            let first = (at - reach - low).round().max(0.0) as usize;
            first..((at + reach - low).round() + 1.0).max(0.0).min(cells as f32) as usize
        };
        let mut best = f32::NEG_INFINITY;
        for row in range(y, self.low[1], self.height) {
            for column in range(x, self.low[0], self.width) {
                best = best.max(self.values[row * self.width + column]);
            }
        }
        best
    }
}
