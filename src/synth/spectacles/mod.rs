//! Spectacles: three-dimensional frames and lenses that sit on a head.
//!
//! The front lies on one smooth surface: a plane that leans forward at the top and bends back to
//! the temples, on which each lens bulges with the radius of its base curve. Along its outlines
//! run tubes and bands (`sweep`); `style` says which. [`Spectacles::on`] seats them: lenses
//! around the pupils, at the least distance from the eyes at which no part of the front touches
//! brow, cheeks or nose and lashes have room, moved up or down a little where that lets them come
//! closer; pads on the flanks of the nose; temples along the sides of the head to where the ears
//! begin. The vertex distance that results is 11 to 18 mm, as opticians aim for 12 to 14
//! (ISO 13666).

mod relief;
mod style;
mod sweep;
#[cfg(test)]
mod tests;

pub use style::{Spectacles, Stuff, Style};

use super::exact_math::{Vector, add, along, normalise, scale, sin_cos_deg, sub};
use super::head::Topology;
use super::surface::{Material, Surface};
use relief::Relief;
use sweep::{Station, ellipsoid, lens, tube};

/// Points along a lens's edge.
const EDGE: usize = 56;
/// Room between the front and the skin, and between lens and cornea, mm.
const CLEARANCE_MM: f32 = 0.8;
const VERTEX_DISTANCE_MM: f32 = 11.0;
/// How far below the pupils the lenses' boxed centres lie before they give way, mm.
const DROP_MM: f32 = 3.0;
/// Half of the width over which the front turns from one side's bend to the other's, mm.
const TURN_MM: f32 = 6.0;

/// Where a front sits.
struct Seat {
    /// Boxed centre of the left lens; the other mirrors it.
    centre: [f32; 2],
    /// z of the front's surface where x = 0 and y is the centre's.
    depth: f32,
    lean: f32,
    wrap: f32,
    curve_mm: f32,
}

impl Seat {
    /// A place of the front and its unit normal; `u` toward the temple and `v` up from the centre
    /// of the lens on that side.
    fn place(&self, side: f32, [u, v]: [f32; 2]) -> (Vector, Vector) {
        let x = self.centre[0] + u;
        let bend = (x * x + TURN_MM * TURN_MM).sqrt();
        let bulge = (u * u + v * v) / (2.0 * self.curve_mm);
        let z = self.depth + self.lean * v - self.wrap * (bend - TURN_MM) - bulge;
        let slope_x = side * (-self.wrap * x / bend - u / self.curve_mm);
        let slope_y = self.lean - v / self.curve_mm;
        ([side * x, self.centre[1] + v, z], normalise([-slope_x, -slope_y, 1.0]))
    }
}

impl Spectacles {
    /// Frames and lenses on a head, in mm in the head frame.
    ///
    /// `positions`: of the vertices of `topology`, as its head model gave them.
    ///
    /// # Panics
    /// If `positions` is shorter than the topology's vertices.
    pub fn on(&self, topology: &Topology, positions: &[Vector]) -> Surface {
        let front = Relief::front(topology, positions);
        let mark = |index: usize| positions[topology.landmarks[index] as usize];
        // Half-way between the corners of each eye.
        let pupils = [(36, 39), (42, 45)].map(|(a, b)| scale(add(mark(a), mark(b)), 0.5));
        let seat = self.seat(&front, pupils);
        let mut surface = Surface::default();
        self.add_front(&seat, &mut surface);
        self.add_bridge(&seat, &front, &mut surface);
        self.add_pads(&seat, &front, &mut surface);
        for (side, jaw) in [(-1.0, mark(0)), (1.0, mark(16))] {
            let relief = Relief::side(topology, positions, side);
            self.add_temple(&seat, side, &relief, ear(&relief, jaw), &mut surface);
        }
        surface
    }

    /// Half-width of the rim across the edge and through its depth at a place of the edge, mm;
    /// `None` where there is no rim.
    fn rim(&self, [_, v]: [f32; 2]) -> Option<[f32; 2]> {
        let above = (v / (0.5 * self.lens_height_mm)).clamp(-1.0, 1.0);
        let rise = ((above + 0.15) / 0.3).clamp(0.0, 1.0);
        match self.style {
            Style::Round | Style::Rectangular if !self.is_metal() => Some([1.7 + 0.4 * rise, 1.7]),
            Style::Round | Style::Aviator => Some([0.75, 0.9]),
            Style::Rectangular => Some([0.8, 1.1]),
            Style::HalfRim => (above > 0.05).then_some([1.0, 1.2]),
            // The polished edge of the lens itself.
            Style::Rimless => Some([0.25, 0.8]),
            Style::Browline => Some([0.7 + 2.9 * rise, 0.9 + 1.2 * rise]),
            Style::Acetate => Some([2.3 + 0.7 * rise, 2.1]),
        }
    }

    /// The closest seat at which nothing touches.
    fn seat(&self, front: &Relief, pupils: [Vector; 2]) -> Seat {
        let tangent = |degrees: f32| {
            let (sin, cos) = sin_cos_deg(f64::from(degrees));
            (sin / cos) as f32
        };
        let edge = self.outline(EDGE);
        let seated = |lift: f32, spread: f32| {
            let mut seat = Seat {
                centre: [0.5 * (self.lens_width_mm + self.between_mm + spread), lift - DROP_MM],
                depth: 0.0,
                lean: tangent(self.lean_deg),
                wrap: tangent(self.wrap_deg),
                curve_mm: self.curve_mm,
            };
            let mut depth = f32::NEG_INFINITY;
            let mut ask = |[x, y, z]: Vector, half: [f32; 2]| {
                let skin = front.highest(x, y, half[0].max(0.6));
                depth = depth.max(skin + CLEARANCE_MM + half[1] - z);
            };
            for (side, pupil) in [(-1.0, pupils[0]), (1.0, pupils[1])] {
                for &at in &edge {
                    let half = self.rim(at).unwrap_or([0.5; 2]);
                    ask(seat.place(side, at).0, half);
                    // The lens between its edge and its centre.
                    ask(seat.place(side, at.map(|x| 0.75 * x)).0, [0.5; 2]);
                }
                // The lens before the cornea, wherever the eye is turned.
                for beside in [-4.0f32, 0.0, 4.0] {
                    let at = [side * pupil[0] + beside - seat.centre[0], pupil[1] - seat.centre[1]];
                    ask(seat.place(side, at).0, [1.0, VERTEX_DISTANCE_MM - CLEARANCE_MM]);
                }
            }
            seat.depth = depth;
            seat
        };
        // Half a millimetre up or down, or a wider bridge, for each that it sits closer.
        let choices = [0.0f32, 1.0, -1.0, 2.0, -2.0, 3.0]
            .into_iter()
            .flat_map(|lift| [0.0f32, 1.5, 3.0].map(|spread| (lift, spread)));
        let mut best = (f32::INFINITY, seated(0.0, 0.0));
        for (lift, spread) in choices {
            let seat = seated(lift, spread);
            let cost = seat.depth + 0.5 * (lift.abs() + spread);
            if cost < best.0 {
                best = (cost, seat);
            }
        }
        best.1
    }

    fn material(&self) -> impl Fn(Vector) -> Material + '_ {
        move |place| self.stuff_at(self.stuff, place)
    }

    fn add_front(&self, seat: &Seat, surface: &mut Surface) {
        for side in [-1.0f32, 1.0] {
            let mut edge = self.outline(EDGE);
            if side < 0.0 {
                // Mirrored, the edge would run clockwise.
                edge.reverse();
            }
            // The lens plane's x is toward the temple; the camera's is to the right.
            lens(surface, &edge, &|at| seat.place(side, at), self.glass());
            let station = |&at: &[f32; 2]| {
                let (place, depth) = seat.place(side, at);
                self.rim(at).map(|half| Station { place, depth, half })
            };
            let power = if self.is_metal() { 2.2 } else { 3.2 };
            if self.style == Style::HalfRim {
                // The run of stations above, from where the run below ends.
                let stations: Vec<Option<Station>> = edge.iter().map(station).collect();
                let start = (0..EDGE)
                    .find(|&k| stations[k].is_some() && stations[(k + EDGE - 1) % EDGE].is_none())
                    .unwrap_or(0);
                let bar: Vec<Station> =
                    (0..EDGE).map_while(|k| stations[(start + k) % EDGE]).collect();
                tube(surface, &bar, false, power, &self.material());
                continue;
            }
            let ring: Vec<Station> = edge.iter().filter_map(station).collect();
            let middle = seat.centre[1];
            let material = |place: Vector| match self.style {
                Style::Browline if place[1] < middle - 1.0 => self.stuff_at(Stuff::Steel, place),
                Style::Rimless => {
                    Material { albedo: [0.4; 3], ..self.stuff_at(Stuff::Clear, place) }
                }
                _ => self.stuff_at(self.stuff, place),
            };
            tube(surface, &ring, true, power, &material);
        }
    }

    /// The place of the edge at a height above the centre, on the nasal or the temporal side.
    fn edge_at(&self, height: f32, temporal: bool) -> [f32; 2] {
        let distance = |at: &[f32; 2]| (at[1] - height).abs();
        let own = self.outline(4 * EDGE).into_iter().filter(|at| (at[0] > 0.0) == temporal);
        own.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or([0.0; 2])
    }

    /// Bars between the lenses, bowed over the nose as far as they must.
    fn bridges(&self, seat: &Seat, front: &Relief) -> Vec<Vec<Station>> {
        let half_height = 0.5 * self.lens_height_mm;
        let thick = !self.is_metal() && self.style != Style::Browline;
        // Height of the ends over the centre, rise in the middle, half-widths.
        let bars: &[(f32, f32, [f32; 2])] = match self.style {
            Style::Aviator => &[(0.28, 1.0, [0.8, 0.8]), (0.86, 0.4, [0.8, 0.8])],
            Style::Round if !thick => &[(0.22, 2.8, [0.8, 0.8])],
            Style::Browline => &[(0.5, 1.5, [1.4, 1.1])],
            Style::Acetate => &[(0.38, 1.5, [2.6, 1.9])],
            _ if thick => &[(0.4, 1.2, [2.0, 1.6])],
            _ => &[(0.4, 1.6, [0.8, 0.9])],
        };
        bars.iter()
            .map(|&(height, rise, half)| {
                let end = self.edge_at(height * half_height, false);
                let (from, tilt) = seat.place(1.0, end);
                let bar = |across: f32, bow: f32| {
                    let arch = 1.0 - across * across;
                    let side = if across < 0.0 { -1.0 } else { 1.0 };
                    let place =
                        [across * from[0], from[1] + rise * arch, from[2] + (0.5 + bow) * arch];
                    let depth = [across.abs() * side * tilt[0], tilt[1], tilt[2]];
                    Station { place, depth, half }
                };
                let stations = |bow: f32| (-8..=8).map(move |k| bar(k as f32 / 8.0, bow));
                let clears = |bow: &f32| {
                    stations(*bow).all(|Station { place: [x, y, z], .. }| {
                        z - half[1] - CLEARANCE_MM >= front.highest(x, y, half[0])
                    })
                };
                let bow = (0..24).map(|k| 0.5 * k as f32).find(clears).unwrap_or(12.0);
                stations(bow).collect()
            })
            .collect()
    }

    fn add_bridge(&self, seat: &Seat, front: &Relief, surface: &mut Surface) {
        let power = if self.is_metal() { 2.0 } else { 3.0 };
        for line in self.bridges(seat, front) {
            if self.style == Style::Browline {
                tube(surface, &line, false, 2.5, &|place| self.stuff_at(Stuff::Steel, place));
            } else {
                tube(surface, &line, false, power, &self.material());
            }
        }
    }

    /// Pads on the flanks of the nose: of silicone on wires, or of one piece with plastic rims.
    fn add_pads(&self, seat: &Seat, front: &Relief, surface: &mut Surface) {
        let below = -0.16 * self.lens_height_mm;
        let nasal = self.edge_at(below, false);
        for side in [-1.0, 1.0] {
            let (rim, _) = seat.place(side, nasal);
            let y = rim[1] - 1.0;
            let behind = rim[2] - 3.0;
            // From the rim inward to the flank.
            let skin = |x: f32, y: f32| front.highest(side * x, y, 0.0);
            let outer = side * rim[0];
            // Not further in than where pads are ever set, however low the bridge of the nose.
            let x = (0..=(outer as usize))
                .map(|k| outer - 0.5 * k as f32)
                .find(|&x| skin(x, y) >= behind)
                .unwrap_or(0.5 * outer);
            let slope_x = side * (skin(x + 2.0, y) - skin(x - 2.0, y)) / 4.0;
            let slope_y = (skin(x, y + 2.0) - skin(x, y - 2.0)) / 4.0;
            let steep = |slope: f32| if slope.is_finite() { slope.clamp(-2.5, 2.5) } else { 0.0 };
            let normal = normalise([-steep(slope_x), -steep(slope_y), 1.0]);
            let upright = normalise(along([0.0, 1.0, 0.15], -normal[1], normal));
            let across = super::exact_math::cross(upright, normal);
            let at = along([side * x, y, skin(x, y).max(behind - 7.0)], 0.9, normal);
            if self.is_metal() {
                let silicone = Material {
                    albedo: [0.55, 0.52, 0.48],
                    specular: 0.03,
                    roughness: 0.2,
                    subsurface: 0.0,
                };
                ellipsoid(surface, at, [across, upright, normal], [2.6, 5.0, 0.9], silicone);
                let station = |place: Vector| Station { place, depth: upright, half: [0.4, 0.4] };
                let wire = [station(rim), station(along(at, 0.6, normal))];
                tube(surface, &wire, false, 2.0, &self.material());
            } else {
                // Grown from the rim: reaches from it to the skin.
                let middle = scale(add(rim, at), 0.5);
                let way = sub(rim, at);
                let reach = 0.5 * super::exact_math::length(way) + 1.0;
                let toward = normalise(way);
                let flat = normalise(super::exact_math::cross(upright, toward));
                let tall = super::exact_math::cross(toward, flat);
                let material = self.stuff_at(self.stuff, middle);
                ellipsoid(surface, middle, [toward, flat, tall], [reach, 1.6, 5.5], material);
            }
        }
    }

    /// End piece, hinge and temple of one side.
    fn add_temple(
        &self,
        seat: &Seat,
        side: f32,
        relief: &Relief,
        (ear_y, ear_back): (f32, f32),
        surface: &mut Surface,
    ) {
        let height = match self.style {
            Style::Round => 0.25,
            Style::Aviator => 0.55,
            _ => 0.62,
        };
        let start = self.edge_at(0.5 * height * self.lens_height_mm, true);
        let (rim, _) = seat.place(side, start);
        let thick = !self.is_metal();
        let ([thin, tall], [thin_end, tall_end]) = match (self.style, thick) {
            (Style::Acetate, _) => ([2.0, 3.2], [1.5, 2.4]),
            (_, true) => ([1.6, 2.4], [1.3, 2.0]),
            _ => ([0.7, 1.5], [0.6, 1.2]),
        };
        let out = if thick { 2.5 } else { 3.5 };
        let skin = |back: f32, y: f32| relief.highest(back, y, 2.0);
        // Places by distance from the midplane, height and distance back.
        let hinge_back = 6.0 - rim[2];
        let far = (skin(hinge_back + 6.0, rim[1]) + thin + 2.0).min(side * rim[0] + 12.0);
        let hinge_x = (side * rim[0] + out).max(far);
        let ear_x = skin(ear_back - 6.0, ear_y) + thin_end + 0.3;
        let mut line: Vec<([f32; 3], [f32; 2])> = vec![
            ([side * rim[0] - 0.5, rim[1], -rim[2]], [thin, tall]),
            ([0.5 * (side * rim[0] + hinge_x), rim[1], 0.4 - rim[2]], [thin, tall]),
            ([hinge_x - 0.7, rim[1], 2.0 - rim[2]], [thin, tall]),
            ([hinge_x, rim[1], hinge_back], [thin, tall]),
        ];
        let steps = 14;
        for step in 1..=steps {
            let share = step as f32 / steps as f32;
            let mix = |from: f32, to: f32| from + share * (to - from);
            let (y, back) = (mix(rim[1], ear_y), mix(hinge_back, ear_back));
            let x = mix(hinge_x, ear_x)
                .max(skin(back.min(ear_back - 4.0), y) + mix(thin, thin_end) + 0.3);
            line.push(([x, y, back], [mix(thin, thin_end), mix(tall, tall_end)]));
        }
        // Behind the ear: down and inward, close to the skull.
        let x = line.last().map_or(ear_x, |(place, _)| place[0]);
        for (inward, down, back) in [(0.5, 1.5, 7.0), (2.0, 8.0, 13.0), (4.5, 20.0, 17.0)] {
            line.push(([x - inward, ear_y - down, ear_back + back], [thin_end, tall_end]));
        }
        let stations: Vec<Station> = line
            .iter()
            .map(|&([x, y, back], half)| Station {
                place: [side * x, y, -back],
                depth: [0.0, 1.0, 0.25],
                half,
            })
            .collect();
        let power = if thick { 3.5 } else { 2.6 };
        tube(surface, &stations, false, power, &self.material());
    }
}

/// Height of the ear's upper root and how far behind the origin it begins, in mm.
///
/// The ear is where the side of the head, followed backward from the jaw's end (the landmark just
/// before the ear), stands out within a centimetre as the skull nowhere does.
fn ear(relief: &Relief, jaw: Vector) -> (f32, f32) {
    let start = -jaw[2];
    let stands_out = |y: f32, back: f32, by: f32| {
        relief.highest(back, y, 0.0) - relief.highest(back - 10.0, y, 1.0) > by
    };
    let behind = || (0..60).map(|k| start + k as f32);
    let rows = || (0..40).map(|k| jaw[1] + 25.0 - k as f32);
    let top = rows().find(|&y| behind().any(|back| stands_out(y, back, 5.0)));
    let top = top.unwrap_or(jaw[1] + 8.0);
    let begins = behind().find(|&back| stands_out(top - 5.0, back, 3.5)).unwrap_or(start + 28.0);
    (top - 2.0, begins + 1.0)
}
