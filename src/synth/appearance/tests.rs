use std::collections::{HashMap, HashSet};

use super::super::draws::Draws;
use super::super::head::fixture;
use super::super::labels::FacialHair;
use super::super::labels::Gender;
use super::super::surface::{Part, Surface};
use super::*;

fn canvas(detail_mm: f32) -> Canvas {
    Canvas::new(&fixture::topology(), detail_mm)
}

fn man() -> Look {
    let mut look = Look::sample(Gender::Male, &mut Draws::new(4));
    (look.melanin, look.hair, look.freckles) = (0.03, [3.0, 0.2, 0.0], 0.0);
    (look.beard_density, look.beard_cheeks, look.recession, look.hairline) = (1.0, 0.9, 0.0, 64.0);
    (look.moles, look.crown_loss) = (Vec::new(), 0.0);
    look
}

fn day(look: &Look, facial_hair: FacialHair, cut: HairCut) -> Grooming {
    let mut day = Grooming::sample(look, Some(facial_hair), 0.0, &mut Draws::new(9));
    (day.cut, day.fringe) = (cut, 0.0);
    day.length_mm = match cut {
        HairCut::Medium => 120.0,
        HairCut::Long | HairCut::Tied => 250.0,
        _ => 30.0,
    };
    day
}

fn grey(surface: &Surface, triangle: usize) -> f32 {
    let t = surface.triangles[triangle];
    t.iter().flat_map(|&v| surface.materials[v as usize].albedo).sum::<f32>() / 9.0
}

/// What a camera in front sees at (x, y): the foremost triangle.
fn seen(surface: &Surface, x: f32, y: f32) -> Option<usize> {
    let hit = |&[a, b, c]: &[u32; 3]| {
        let [a, b, c] = [a, b, c].map(|v| surface.positions[v as usize]);
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        let u = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area;
        let v = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area;
        (area != 0.0 && u >= 0.0 && v >= 0.0 && u + v <= 1.0)
            .then(|| a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2]))
    };
    let hits = surface.triangles.iter().enumerate().filter_map(|(i, t)| Some((i, hit(t)?)));
    hits.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

/// Mean grey that a camera in front sees in a box.
fn seen_grey(surface: &Surface, x: [f32; 2], y: [f32; 2]) -> f32 {
    let (mut sum, mut count) = (0.0, 0);
    for i in 0..12 {
        for j in 0..12 {
            let at = |range: [f32; 2], k: usize| {
                range[0] + (range[1] - range[0]) * (k as f32 + 0.5) / 12.0
            };
            if let Some(triangle) = seen(surface, at(x, i), at(y, j)) {
                sum += grey(surface, triangle);
                count += 1;
            }
        }
    }
    sum / count as f32
}

#[test]
fn refining_leaves_no_crack_and_follows_the_shape() {
    let topology = fixture::topology();
    let canvas = canvas(2.0);
    assert!(canvas.triangles.len() > 2 * topology.triangles.len());
    // Away from the balls' poles, where vertices are doubled, every edge has a triangle on
    // either side that runs through it the other way.
    let off_poles = |v: u32| match canvas.vertex_parts[v as usize] {
        Part::Eye => canvas.rest[v as usize][1].abs() < 10.0,
        _ => (canvas.rest[v as usize][1] + 5.0).abs() < 110.0,
    };
    let mut edges: HashMap<(u32, u32), i32> = HashMap::new();
    for t in &canvas.triangles {
        for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
            if off_poles(a) && off_poles(b) {
                *edges.entry((a.min(b), a.max(b))).or_default() += if a < b { 1 } else { -1 };
            }
        }
    }
    assert!(edges.len() > 10_000);
    assert_eq!(edges.values().filter(|n| **n != 0).count(), 0, "open edges");
    // New vertices of the eyeballs lie on the spheres (the chord's sagitta would be 0.1 mm).
    let posed = canvas.pose(&topology.rest);
    for (p, part) in posed.positions.iter().zip(&canvas.vertex_parts) {
        if *part == Part::Eye && p[1].abs() < 11.0 {
            let off = [p[0].abs() - 31.0, p[1], p[2] - 15.0];
            let radius = off.iter().map(|d| d * d).sum::<f32>().sqrt();
            assert!((radius - 12.0).abs() < 0.03, "{radius}");
        }
    }
    assert_eq!(posed.positions, canvas.rest);
}

#[test]
fn the_plan_finds_the_regions_of_a_face() {
    let canvas = canvas(4.0);
    let at = |x: f32, y: f32| {
        let front = canvas.rest.iter().zip(&canvas.spots).filter(|(p, _)| p[2] > -60.0);
        let off = |p: &[f32; 3]| (p[0] - x) * (p[0] - x) + (p[1] - y) * (p[1] - y);
        *front.min_by(|a, b| off(a.0).total_cmp(&off(b.0))).unwrap().1
    };
    assert!(at(0.0, -72.0).lip < 0.0 && at(0.0, -95.0).lip > 5.0);
    assert!(at(34.0, 22.0).brow[1].abs() < 7.0 && (0.3..0.8).contains(&at(34.0, 22.0).brow[0]));
    assert!(at(-42.0, -36.0).cheek > 0.5 && at(0.0, 50.0).cheek == 0.0);
    assert!(at(0.0, 45.0).forehead > 0.8);
    let look = man();
    let inside = |x, y| hair::over_hairline(&look, &at(x, y));
    assert!(inside(0.0, 85.0) > 10.0 && inside(0.0, 40.0) < -10.0 && inside(30.0, -40.0) < -10.0);
}

#[test]
fn a_surface_is_whole_and_comes_out_the_same_again() {
    let topology = fixture::topology();
    let canvas = canvas(3.0);
    for (number, cut) in [
        HairCut::Bare,
        HairCut::Buzz,
        HairCut::Short,
        HairCut::Medium,
        HairCut::Long,
        HairCut::Tied,
    ]
    .into_iter()
    .enumerate()
    {
        let gender = if number % 2 == 0 { Gender::Female } else { Gender::Male };
        let look = Look::sample(gender, &mut Draws::new(number as u64));
        let mut day = Grooming::sample(&look, None, 0.0, &mut Draws::new(1));
        day.cut = cut;
        let surface = dress(&canvas, &topology.rest, &look, &day);
        let again = dress(&canvas, &topology.rest, &look, &day);
        assert_eq!(surface.positions, again.positions);
        assert_eq!(surface.normals, again.normals);
        assert_eq!(surface.materials, again.materials);
        let count = surface.positions.len();
        assert_eq!([surface.normals.len(), surface.materials.len()], [count; 2]);
        assert_eq!(surface.parts.len(), surface.triangles.len());
        assert!(surface.triangles.iter().flatten().all(|&v| (v as usize) < count));
        assert!(surface.positions.iter().flatten().all(|c| c.abs() < 600.0));
        for normal in &surface.normals {
            let length = normal.iter().map(|c| c * c).sum::<f32>().sqrt();
            assert!((length - 1.0).abs() < 1e-3 || length == 0.0, "{cut:?} {normal:?}");
        }
        for m in &surface.materials {
            assert!(m.albedo.iter().all(|a| (0.0..=0.95).contains(a)), "{m:?}");
            assert!((0.0..0.1).contains(&m.specular) && (0.02..=1.0).contains(&m.roughness));
            assert!((0.0..=1.0).contains(&m.subsurface), "{m:?}");
        }
    }
}

#[test]
fn facial_hair_shows_where_it_grows() {
    let topology = fixture::topology();
    let canvas = canvas(2.0);
    let look = man();
    // Grey of upper lip, chin and forehead.
    let greys = |class: FacialHair| {
        let surface = dress(&canvas, &topology.rest, &look, &day(&look, class, HairCut::Bare));
        [
            seen_grey(&surface, [-18.0, 18.0], [-58.0, -52.0]),
            seen_grey(&surface, [-20.0, 20.0], [-108.0, -96.0]),
            seen_grey(&surface, [-20.0, 20.0], [38.0, 52.0]),
        ]
    };
    let none = greys(FacialHair::None);
    let share = |class: FacialHair| {
        let now = greys(class);
        assert!((now[2] / none[2] - 1.0).abs() < 1e-3, "the forehead stays as it is");
        [now[0] / none[0], now[1] / none[1]]
    };
    let stubble = share(FacialHair::Stubble);
    assert!(stubble.iter().all(|s| (0.45..0.9).contains(s)), "stubble {stubble:?}");
    let moustache = share(FacialHair::Moustache);
    assert!(moustache[0] < 0.45 && moustache[1] > 0.85, "moustache {moustache:?}");
    let beard = share(FacialHair::Beard);
    assert!(beard[0] > 0.8 && beard[1] < 0.35, "beard {beard:?}");
    let both = share(FacialHair::Both);
    assert!(both.iter().all(|s| *s < 0.45), "both {both:?}");
}

#[test]
fn hair_covers_the_head_and_leaves_the_face_free() {
    let topology = fixture::topology();
    let canvas = canvas(2.0);
    let look = man();
    let share = |cut: HairCut, x: [f32; 2], y: [f32; 2]| {
        let surface = dress(&canvas, &topology.rest, &look, &day(&look, FacialHair::None, cut));
        let mut hair = 0;
        for i in 0..10 {
            for j in 0..10 {
                let at = |r: [f32; 2], k: usize| r[0] + (r[1] - r[0]) * (k as f32 + 0.5) / 10.0;
                let part = seen(&surface, at(x, i), at(y, j)).map(|t| surface.parts[t]);
                hair += usize::from(part == Some(Part::Hair));
            }
        }
        hair as f32 / 100.0
    };
    let (top, face) = ([[-30.0, 30.0], [88.0, 108.0]], [[-46.0, 46.0], [-72.0, -14.0]]);
    for cut in [HairCut::Short, HairCut::Medium, HairCut::Long, HairCut::Tied] {
        assert!(share(cut, top[0], top[1]) > 0.85, "{cut:?}");
        assert!(share(cut, face[0], face[1]) < 0.02, "{cut:?} over the face");
    }
    assert!(share(HairCut::Bare, top[0], top[1]) == 0.0);
    // Long hair hangs beside the neck, short hair does not.
    let beside = [[70.0, 95.0], [-110.0, -60.0]];
    let hanging = share(HairCut::Long, beside[0], beside[1]);
    assert!(hanging > 0.5, "{hanging}");
    assert!(share(HairCut::Short, beside[0], beside[1]) < 0.05);
}

#[test]
fn eyes_have_pupil_iris_and_white() {
    let topology = fixture::topology();
    let canvas = canvas(0.7);
    let look = man();
    let surface =
        dress(&canvas, &topology.rest, &look, &day(&look, FacialHair::None, HairCut::Buzz));
    let centre = 31.0;
    let ring = |r: f32| {
        let points = [[r, 0.0], [-r, 0.0], [0.0, 0.5 * r], [0.0, -0.5 * r]].into_iter().take(2);
        let seen = points.filter_map(|[x, y]| seen(&surface, centre + x, y));
        let greys: Vec<f32> = seen.map(|t| grey(&surface, t)).collect();
        greys.iter().sum::<f32>() / greys.len() as f32
    };
    let (pupil, iris, limbus, white) = (ring(0.2), ring(3.2), ring(5.2), ring(8.0));
    assert!(pupil < 0.03 && iris > 2.0 * pupil, "{pupil} {iris}");
    assert!(limbus < 0.8 * iris, "ring {limbus} iris {iris}");
    assert!(white > 0.3 && white > 2.0 * iris, "white {white} iris {iris}");
}

#[test]
fn looks_last_and_days_change() {
    let (mut women, mut bearded, mut cuts) = (0, HashSet::new(), HashSet::new());
    let mut dark_hair = [Vec::new(), Vec::new()];
    for seed in 0..400 {
        let gender = if seed % 2 == 0 { Gender::Female } else { Gender::Male };
        let look = Look::sample(gender, &mut Draws::new(seed));
        assert_eq!(look, Look::sample(gender, &mut Draws::new(seed)));
        assert!((0.02..0.3).contains(&look.melanin) && (18.0..75.0).contains(&look.age_years));
        cuts.insert(look.cut);
        dark_hair[usize::from(look.melanin > 0.12)].push(look.hair[0]);
        for session in 0..4 {
            let day = Grooming::sample(&look, None, 0.0, &mut Draws::new(1000 * seed + session));
            if gender == Gender::Female {
                women += 1;
                assert_eq!(day.facial_hair, FacialHair::None);
                assert_eq!(look.recession.max(0.1), 0.1);
            } else {
                bearded.insert(day.facial_hair);
            }
        }
        let wanted = Grooming::sample(&look, Some(FacialHair::Both), 0.0, &mut Draws::new(seed));
        assert_eq!(wanted.facial_hair, FacialHair::Both);
    }
    assert_eq!((women, bearded.len(), cuts.len()), (800, 5, 6));
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    assert!(mean(&dark_hair[1]) > 1.5 * mean(&dark_hair[0]));
    // Old people are greyer.
    let grey = |old: bool| {
        let people = (0..2000).map(|s| Look::sample(Gender::Male, &mut Draws::new(s)));
        let of: Vec<f32> =
            people.filter(|l| (l.age_years > 50.0) == old).map(|l| l.hair[2]).collect();
        mean(&of)
    };
    assert!(grey(true) > grey(false) + 0.2);
}

#[test]
fn hair_grows_between_cuts_and_is_as_long_tied_as_open() {
    let mut look = Look::sample(Gender::Female, &mut Draws::new(3));
    for cut in [HairCut::Short, HairCut::Long] {
        look.cut = cut;
        let lengths: Vec<f32> = (0..100u32)
            .map(|week| {
                let years = f64::from(week) / 52.18;
                Grooming::sample(&look, None, years, &mut Draws::new(week.into())).length_mm
            })
            .collect();
        let (mut grown, mut cuts) = (0i32, 0i32);
        for pair in lengths.windows(2) {
            match pair[1] - pair[0] {
                week if (week - 2.6).abs() < 0.05 => grown += 1,
                week if week < 0.0 => cuts += 1,
                week => panic!("{week} mm in a week"),
            }
        }
        let every = if cut == HairCut::Short { 6 } else { 16 };
        assert!((cuts - 100 / every).abs() <= 1 && grown + cuts == 99, "{cuts} cuts");
    }
}
