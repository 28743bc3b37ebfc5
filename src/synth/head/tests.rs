//! What the procedural head promises, checked on the geometry.

use super::field::{Vec3, v};
use super::*;
use crate::synth::draws::Draws;

type V = nalgebra::Vector3<f64>;

fn head() -> &'static ProceduralHead {
    ProceduralHead::shared(Detail::Small)
}

fn at(positions: &[[f32; 3]], vertex: u32) -> V {
    V::from(positions[vertex as usize].map(f64::from))
}

/// Place of a landmark by its number.
fn mark(positions: &[[f32; 3]], number: usize) -> V {
    at(positions, head().topology().landmarks[number])
}

fn neutral(identity: &[f32]) -> Vec<[f32; 3]> {
    head().positions(identity, &Expression::default())
}

fn person(seed: u64) -> Vec<f32> {
    let masculinity = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
    head().sample_identity(masculinity, &mut Draws::new(seed))
}

/// Each action alone at full strength, and some together.
fn expressions() -> Vec<Expression> {
    let z = Expression::default();
    vec![
        z,
        Expression { brow_down: 1.0, eye_squint: 1.0, ..z },
        Expression { brow_inner_up: 1.0, brow_outer_up: 1.0, eye_wide: 1.0, ..z },
        Expression { eye_blink: 1.0, ..z },
        Expression { gaze_x: 1.0, gaze_y: -1.0, ..z },
        Expression { cheek_puff: 1.0, ..z },
        Expression { cheek_squint: 1.0, nose_sneer: 1.0, ..z },
        Expression { jaw_open: 1.0, ..z },
        Expression { mouth_smile: 1.0, asymmetry: 1.0, ..z },
        Expression { mouth_smile: 1.0, cheek_squint: 1.0, mouth_upper_up: 0.6, jaw_open: 0.2, ..z },
        Expression { mouth_frown: 1.0, brow_down: 1.0, ..z },
        Expression { mouth_stretch: 1.0, mouth_lower_down: 1.0, ..z },
        Expression { mouth_pucker: 1.0, mouth_press: 0.5, ..z },
    ]
}

#[test]
fn the_mesh_is_large_closed_and_faces_outward() {
    for detail in [Detail::Small, Detail::Full] {
        let head = ProceduralHead::shared(detail);
        let topology = head.topology();
        assert!(topology.rest.len() >= 10_000 && PARAMETERS.len() >= 40);
        assert_eq!(topology.triangles.len(), topology.parts.len());
        let mut edges = std::collections::HashMap::new();
        for t in &topology.triangles {
            for k in 0..3 {
                *edges.entry((t[k], t[(k + 1) % 3])).or_insert(0) += 1;
            }
        }
        for (&(a, b), &count) in &edges {
            assert_eq!(count, 1, "{detail:?}: edge {a} {b} is used twice in one direction");
            assert!(edges.contains_key(&(b, a)), "{detail:?}: edge {a} {b} is open");
        }
        // Volume under the triangles of each connected organ is positive: normals point out.
        let volume = |of: &dyn Fn(usize) -> bool| -> f64 {
            let chosen = topology.triangles.iter().filter(|t| of(t[0] as usize));
            chosen
                .map(|t| {
                    let [a, b, c] = t.map(|i| at(&topology.rest, i));
                    a.dot(&b.cross(&c)) / 6.0
                })
                .sum()
        };
        let skin = head.mirror().len();
        let litres = volume(&|i| i < skin) / 1e6;
        // A head of 4 to 5 litres, a neck, and shoulders down to the chest.
        assert!((8.0..20.0).contains(&litres), "{litres} litres");
        let eyes = volume(&|i| {
            i >= skin && topology.rest[i][1].abs() < 14.0 && topology.rest[i][0].abs() > 18.0
        });
        // Spheres of 12.1 mm hold 7,420 mm³ each; cut into facets less, with the cornea more.
        assert!((6_950.0 * 2.0..7_700.0 * 2.0).contains(&eyes), "eyes {eyes} mm³");
        let rest = volume(&|i| i >= skin && topology.rest[i][1] < -40.0);
        assert!(rest > 5_000.0, "teeth and tongue {rest} mm³");
    }
}

#[test]
fn the_mean_head_is_symmetric_and_its_landmarks_are_in_order() {
    let topology = head().topology();
    for (i, &other) in head().mirror().iter().enumerate() {
        let (a, b) = (topology.rest[i], topology.rest[other as usize]);
        assert_eq!([a[0], a[1], a[2]], [-b[0], b[1], b[2]], "vertices {i} and {other}");
    }
    let rest = &topology.rest;
    for number in 0..68 {
        let (a, b) = (mark(rest, number), mark(rest, landmarks::mirrored(number)));
        assert!((a - V::new(-b.x, b.y, b.z)).norm() < 1e-4, "landmark {number}");
        assert_eq!(landmarks::mirrored(landmarks::mirrored(number)), number);
    }
    let x = |n: usize| mark(rest, n).x;
    let y = |n: usize| mark(rest, n).y;
    assert!(x(0) < x(4) && x(4) < x(8) && x(8) < x(12) && x(12) < x(16));
    assert!(x(36) < x(39) && x(39) < x(42) && x(42) < x(45) && x(48) < x(54));
    assert!(y(37) > y(41) && y(44) > y(46) && y(51) > y(62) && y(66) > y(57) && y(57) > y(8));
    assert!(y(62) >= y(66) && y(62) - y(66) < 0.3, "lips are closed: {} {}", y(62), y(66));
}

/// Lengths of the mean head against the means of adults, both sexes half and half.
#[test]
fn the_mean_head_has_the_measures_of_an_adult() {
    let rest = &head().topology().rest;
    let apart = |a: usize, b: usize| (mark(rest, a) - mark(rest, b)).norm();
    let near = |name: &str, got: f64, want: f64, sd: f64| {
        assert!((got - want).abs() < sd, "{name}: {got:.1} mm, adults {want} ± {sd}");
    };
    // Rounded means of adults, the sexes half and half, within about one standard deviation;
    // of the order that Farkas (1994) reports.
    near("mouth width ch-ch", apart(48, 54), 52.0, 3.5);
    near("inner canthi en-en", apart(39, 42), 32.5, 2.6);
    near("outer canthi ex-ex", apart(36, 45), 89.5, 4.0);
    near("nose height n-sn", apart(27, 33), 51.5, 3.5);
    near("lower face sn-gn", apart(33, 8), 68.5, 5.0);
    let (low, high) = rest.iter().fold((f32::MAX, f32::MIN), |(l, h), p| {
        if p[1] > 15.0 { (l.min(p[0]), h.max(p[0])) } else { (l, h) }
    });
    near("head breadth eu-eu", f64::from(high - low), 148.0, 6.0);
    let (back, front) = rest.iter().fold((f32::MAX, f32::MIN), |(b, f), p| {
        if p[1] > 5.0 { (b.min(p[2]), f.max(p[2])) } else { (b, f) }
    });
    near("head length g-op", f64::from(front - back), 192.0, 7.0);
}

#[test]
fn people_in_any_expression_have_no_degenerate_triangles() {
    let topology = head().topology();
    let all = expressions();
    for seed in 0..300 {
        let expression = &all[seed as usize % all.len()];
        let positions = head().positions(&person(seed), expression);
        for (t, part) in topology.triangles.iter().zip(&topology.parts) {
            let [a, b, c] = t.map(|i| at(&positions, i));
            let area = 0.5 * (b - a).cross(&(c - a)).norm();
            assert!(area > 1e-7, "seed {seed}, {part:?} {t:?} at {a:?}: {area} mm²");
        }
    }
}

/// Triangles that look another way than on the mean face would be folds of the skin onto itself.
#[test]
fn neutral_faces_do_not_fold() {
    let topology = head().topology();
    let normal = |positions: &[[f32; 3]], t: &[u32; 3]| {
        let [a, b, c] = t.map(|i| at(positions, i));
        (b - a).cross(&(c - a)).normalize()
    };
    for seed in 0..100 {
        let positions = neutral(&person(seed));
        let turned = topology.triangles.iter().zip(&topology.parts).filter(|(t, part)| {
            **part == Part::Skin && normal(&positions, t).dot(&normal(&topology.rest, t)) < 0.0
        });
        let share = turned.count() as f64 / topology.triangles.len() as f64;
        assert!(share < 0.001, "seed {seed}: {share} of the triangles turned over");
    }
}

#[test]
fn lids_lie_on_the_eyeball_open_at_rest_and_meet_in_a_blink() {
    let rest = &head().topology().rest;
    for seed in 0..100 {
        let identity = person(seed);
        let open = neutral(&identity);
        let shut =
            head().positions(&identity, &Expression { eye_blink: 1.0, ..Default::default() });
        let anatomy = head().anatomy(&open);
        for (side, centre) in anatomy.eye_centres.iter().enumerate() {
            let centre = V::from(centre.map(f64::from));
            // Vertices of the lids' outer side over the eyeball, found on the mean head.
            for (i, &p) in rest[..head().mirror().len()].iter().enumerate() {
                let eye = V::new([-31.5, 31.5][side], 0.0, 0.0);
                let distance = (V::from(p.map(f64::from)) - eye).norm();
                if p[2] > 3.0 && distance > 13.0 && distance < 14.5 {
                    let now = (at(&open, i as u32) - centre).norm();
                    assert!(now > 12.5, "seed {seed}: lid at {p:?} is {now} mm from the centre");
                }
            }
            let lids = [[37, 41], [38, 40], [43, 47], [44, 46]];
            for [upper, lower] in lids.into_iter().skip(2 * side).take(2) {
                let gap = mark(&open, upper).y - mark(&open, lower).y;
                assert!((3.0..15.0).contains(&gap), "seed {seed}: open by {gap} mm");
                let gap = mark(&shut, upper).y - mark(&shut, lower).y;
                assert!(gap.abs() < 1.6, "seed {seed}: {gap} mm open in a blink");
            }
        }
    }
}

#[test]
fn the_origin_is_midway_between_the_eyes_of_everyone() {
    for seed in 0..20 {
        let anatomy = head().anatomy(&neutral(&person(seed)));
        let [right, left] = anatomy.eye_centres.map(|c| V::from(c.map(f64::from)));
        assert!((right + left).norm() < 1e-3, "{right:?} {left:?}");
        assert!((50.0..80.0).contains(&(left.x - right.x)));
        assert!(anatomy.nose_seat[2] > 8.0 && anatomy.ear_roots[1][2] < -60.0);
    }
}

#[test]
fn actions_move_what_they_name() {
    let z = Expression::default();
    let show = |e: Expression| head().positions(&[], &e);
    let rest = show(z);
    let y = |p: &[[f32; 3]], n: usize| mark(p, n).y;
    let smile = show(Expression { mouth_smile: 1.0, ..z });
    let width = |p: &[[f32; 3]]| mark(p, 54).x - mark(p, 48).x;
    assert!(width(&smile) > width(&rest) + 8.0 && y(&smile, 54) > y(&rest, 54) + 3.0);
    let frown = show(Expression { mouth_frown: 1.0, ..z });
    assert!(y(&frown, 54) < y(&rest, 54) - 3.0 && y(&frown, 48) < y(&rest, 48) - 3.0);
    let pucker = show(Expression { mouth_pucker: 1.0, ..z });
    assert!(width(&pucker) < width(&rest) - 10.0 && mark(&pucker, 51).z > mark(&rest, 51).z + 2.0);
    let jaw = show(Expression { jaw_open: 1.0, ..z });
    let opening = y(&jaw, 62) - y(&jaw, 66);
    assert!((20.0..40.0).contains(&opening), "mouth open by {opening} mm");
    assert!((mark(&jaw, 30) - mark(&rest, 30)).norm() < 0.1, "the nose stays");
    let down = show(Expression { brow_down: 1.0, ..z });
    assert!(y(&down, 22) < y(&rest, 22) - 2.0 && y(&down, 21) < y(&rest, 21) - 2.0);
    let up = show(Expression { brow_inner_up: 1.0, ..z });
    assert!(y(&up, 22) > y(&rest, 22) + 2.0 && (y(&up, 26) - y(&rest, 26)).abs() < 1.0);
    let wide = show(Expression { eye_wide: 1.0, ..z });
    assert!(y(&wide, 44) > y(&rest, 44) + 0.8);
    let look = |e| head().anatomy(&show(e)).pupils;
    let [right, left] = look(Expression { gaze_x: 1.0, gaze_y: 1.0, ..z });
    assert!(right[0] > -28.0 && left[0] > 35.0 && left[1] > 3.0, "{right:?} {left:?}");
    let uneven = show(Expression { mouth_smile: 0.7, asymmetry: 1.0, ..z });
    assert!(y(&uneven, 54) > y(&uneven, 48) + 1.0, "the person's left smiles more");
}

#[test]
fn scores_have_the_documented_statistics() {
    const PEOPLE: usize = 6000;
    let mut draws = Draws::new(17);
    let people: Vec<Vec<f32>> =
        (0..PEOPLE).map(|_| head().sample_identity(1.0, &mut draws)).collect();
    let n = PARAMETERS.len();
    let mean = |j: usize| people.iter().map(|p| f64::from(p[j])).sum::<f64>() / PEOPLE as f64;
    let means: Vec<f64> = (0..n).map(mean).collect();
    let covariance = |j: usize, k: usize| {
        let of = |p: &Vec<f32>| (f64::from(p[j]) - means[j]) * (f64::from(p[k]) - means[k]);
        people.iter().map(of).sum::<f64>() / PEOPLE as f64
    };
    let spread: Vec<f64> = (0..n).map(|j| covariance(j, j).sqrt()).collect();
    for j in 0..n {
        let (p, within) = (&PARAMETERS[j], f64::from(1.0 - PARAMETERS[j].masculine.powi(2)).sqrt());
        assert!((means[j] - f64::from(p.masculine)).abs() < 0.06, "{}: mean {}", p.name, means[j]);
        assert!((spread[j] - within).abs() < 0.06, "{}: spread {}", p.name, spread[j]);
        for k in 0..j {
            let q = &PARAMETERS[k];
            let want: f32 = p.loads.iter().zip(q.loads).map(|(a, b)| a * b).sum();
            let got = covariance(j, k) / (spread[j] * spread[k]);
            assert!((got - f64::from(want)).abs() < 0.07, "{} {}: {got}", p.name, q.name);
        }
    }
}

/// Men's mean head over women's: the ranges hold what surveys report (about 5 to 10 % in widths
/// and heights of the face).
#[test]
fn men_and_women_differ_as_measured() {
    let of = |sign: f32| -> Vec<f32> { PARAMETERS.iter().map(|p| sign * p.masculine).collect() };
    let (man, woman) = (neutral(&of(1.0)), neutral(&of(-1.0)));
    let apart = |p: &[[f32; 3]], a: usize, b: usize| (mark(p, a) - mark(p, b)).norm();
    let check = |name: &str, low: f64, high: f64, a: usize, b: usize| {
        let ratio = apart(&man, a, b) / apart(&woman, a, b);
        assert!((low..high).contains(&ratio), "{name}: men / women {ratio:.3}");
    };
    check("face width", 1.03, 1.10, 1, 15);
    check("jaw width", 1.05, 1.16, 4, 12);
    check("face height", 1.05, 1.13, 27, 8);
    check("nose width", 1.04, 1.16, 31, 35);
    check("mouth width", 1.02, 1.10, 48, 54);
    check("outer canthi", 1.005, 1.07, 36, 45);
    // Fuller lips for the size, higher brows, and a flatter brow ridge in women.
    let vermilion = |p: &[[f32; 3]]| (mark(p, 51).y - mark(p, 57).y) / apart(p, 27, 8);
    let lips = vermilion(&woman) / vermilion(&man);
    assert!(lips > 1.04, "lips {lips}");
    let brow = |p: &[[f32; 3]]| (mark(p, 24).y - mark(p, 43).y) / apart(p, 27, 8);
    assert!(brow(&woman) > 1.05 * brow(&man));
    // Before the eyeballs' centres, where the origin is.
    let ridge = |p: &[[f32; 3]]| mark(p, 23).z;
    assert!(ridge(&man) > ridge(&woman) + 1.0);
}

/// Median root mean square difference of frontal depth maps, each pair fitted by a plane. For
/// N(0, 1) identities of ICT-FaceKit the same measure gives 3.9 mm.
#[test]
fn people_differ_as_much_as_those_of_a_scanned_population() {
    const SIDE: usize = 30;
    let depth = |positions: &[[f32; 3]]| -> Vec<f64> {
        let mut map = vec![f64::NAN; SIDE * SIDE];
        for t in &head().topology().triangles {
            let q = t.map(|i| {
                let p = at(positions, i);
                V::new((p.x + 58.0) / 4.0, (p.y + 98.0) / 4.8, p.z)
            });
            let (low, high) = (q[0].inf(&q[1]).inf(&q[2]), q[0].sup(&q[1]).sup(&q[2]));
            let cells = |low: f64, high: f64| {
                low.ceil().max(0.0) as usize
                    ..=(high.floor().min(SIDE as f64 - 1.0).max(-1.0) + 1.0) as usize
            };
            for y in cells(low.y, high.y) {
                for x in cells(low.x, high.x) {
                    let p = V::new(x as f64, y as f64, 0.0);
                    let cross = |a: V, b: V| (a.x - p.x) * (b.y - p.y) - (a.y - p.y) * (b.x - p.x);
                    let w = [cross(q[1], q[2]), cross(q[2], q[0]), cross(q[0], q[1])];
                    let sum: f64 = w.iter().sum();
                    let (u, v) = ((p.x * 4.0 - 58.0) / 58.0, (p.y * 4.8 - 70.0) / 72.0);
                    let inside = x < SIDE && y < SIDE && u * u + v * v < 1.0;
                    if inside && sum > 0.0 && w.iter().all(|&w| w >= 0.0) {
                        let z = (w[0] * q[0].z + w[1] * q[1].z + w[2] * q[2].z) / sum;
                        let old = &mut map[y * SIDE + x];
                        *old = if old.is_nan() { z } else { old.max(z) };
                    }
                }
            }
        }
        map
    };
    let maps: Vec<Vec<f64>> = (0..40).map(|seed| depth(&neutral(&person(seed + 500)))).collect();
    let distance = |a: &[f64], b: &[f64]| {
        let (mut m, mut r) = (nalgebra::Matrix3::zeros(), V::zeros());
        let mut rows = Vec::new();
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let row = V::new(1.0, (i % SIDE) as f64 / 15.0 - 1.0, (i / SIDE) as f64 / 15.0 - 1.0);
            if !(a - b).is_nan() {
                m += row * row.transpose();
                r += row * (a - b);
                rows.push((row, a - b));
            }
        }
        let plane = m.try_inverse().unwrap_or_default() * r;
        let error = |(row, d): &(V, f64)| (d - row.dot(&plane)).abs().min(15.0).powi(2);
        (rows.iter().map(error).sum::<f64>() / rows.len() as f64).sqrt()
    };
    let mut all: Vec<f64> = (0..maps.len())
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| distance(&maps[i], &maps[j]))
        .collect();
    all.sort_by(f64::total_cmp);
    let median = all[all.len() / 2];
    assert!((3.9 / 1.5..3.9 * 1.5).contains(&median), "median {median} mm");
    assert!(all[0] > 1.0, "the most alike pair is {} mm apart", all[0]);
}

#[test]
fn a_head_is_the_same_at_any_number_of_threads_and_forever() {
    let make = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let head = pool.expect("threads").install(|| ProceduralHead::new(Detail::Small));
        let expression =
            Expression { mouth_smile: 0.5, eye_blink: 0.3, jaw_open: 0.2, ..Default::default() };
        head.positions(&person(3), &expression)
    };
    let (one, three) = (make(1), make(3));
    assert_eq!(one, three);
    // FNV-1a over the bytes, pinned so that no change of shape goes unseen.
    let hash = one
        .iter()
        .flatten()
        .flat_map(|c| c.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(hash, 0x3d0c3060394153f0, "{} vertices, {hash:#x}", one.len());
}

#[test]
fn weight_fills_cheeks_and_leaves_eyes_and_nose_where_they_are() {
    let topology = head().topology();
    let field = super::weight_field(topology);
    let moved = |vertex: u32| Vec3::from(field[vertex as usize].map(f64::from));
    let at = |x: f64, y: f64, z: f64| {
        let far = |p: &[f32; 3]| (Vec3::from(p.map(f64::from)) - v(x, y, z)).norm_squared();
        let near = (0..topology.rest.len())
            .min_by(|&a, &b| far(&topology.rest[a]).total_cmp(&far(&topology.rest[b])));
        moved(near.unwrap() as u32)
    };
    for side in [-1.0, 1.0] {
        let cheek = at(side * 46.0, -50.0, -8.0);
        assert!(side * cheek.x > 0.3, "a cheek of more weight bulges: {cheek}");
    }
    assert!(at(0.0, -112.0, -10.0).y < -0.3, "so does the chin's underside");
    // Tip of the nose, corners of the eyes.
    for landmark in [30, 36, 39, 42, 45] {
        let moved = moved(topology.landmarks[landmark]).norm();
        assert!(moved < 0.1, "landmark {landmark} moves by {moved} mm");
    }
    for (triangle, part) in topology.triangles.iter().zip(&topology.parts) {
        if *part != Part::Skin {
            assert!(triangle.iter().all(|&v| moved(v).norm() == 0.0));
        }
    }
}
