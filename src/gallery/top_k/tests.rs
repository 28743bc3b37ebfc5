use super::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

fn unit_rows(random: &mut impl Rng, rows: usize, dim: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows * dim);
    for _ in 0..rows {
        let row: Vec<f64> = (0..dim).map(|_| random.random_range(-1.0..1.0)).collect();
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        values.extend(row.iter().map(|v| (v / length) as f32));
    }
    values
}

fn dot64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Every group's best similarity in double precision, best first.
fn brute_force(rows: Rows, query: &[f32], k: usize) -> Vec<f64> {
    let mut best = std::collections::BTreeMap::new();
    for (row, &group) in rows.values.chunks(rows.dim).zip(rows.groups) {
        if group != NO_GROUP {
            let similarity = dot64(row, query);
            let best = best.entry(group).or_insert(similarity);
            *best = best.max(similarity);
        }
    }
    let mut best: Vec<f64> = best.into_values().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    best.truncate(k);
    best
}

#[test]
fn finds_what_a_search_in_double_precision_finds() {
    let mut random = Pcg64::seed_from_u64(1);
    for (count, dim, queries, k) in [
        (1, 1, 1, 1),
        (3, 7, 2, 5),
        (1000, 64, 1, 10),
        (5003, 96, 33, 10),
        (4001, 512, 70, 3),
        (2000, 67, 1, 2500),
        (500, 130, 5, 40),
    ] {
        let values = unit_rows(&mut random, count, dim);
        let groups: Vec<u32> = (0..count)
            .map(|_| match random.random_range(0..count as u32 + 1) {
                0 => NO_GROUP,
                person => person / 2,
            })
            .collect();
        let rows = Rows { values: &values, dim, groups: &groups };
        let probes = unit_rows(&mut random, queries, dim);
        let found = top_k(rows, &probes, k);
        assert_eq!(found.len(), queries);
        for (query, found) in probes.chunks(dim).zip(&found) {
            let wanted = brute_force(rows, query, k);
            assert_eq!(found.len(), wanted.len(), "{count} x {dim}");
            for (hit, wanted) in found.iter().zip(wanted) {
                // The rank's similarity, and that the row has it.
                assert!((f64::from(hit.similarity) - wanted).abs() < 1e-6, "{count} x {dim}");
                let own = dot64(&values[hit.row * dim..][..dim], query);
                assert!((own - wanted).abs() < 1e-6, "{count} x {dim}");
            }
            let mut seen: Vec<u32> = found.iter().map(|hit| groups[hit.row]).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), found.len(), "a group twice");
        }
    }
}

#[test]
fn every_set_of_instructions_finds_the_same() {
    let mut random = Pcg64::seed_from_u64(2);
    let (count, dim) = (700, 100);
    let values = unit_rows(&mut random, count, dim);
    let groups: Vec<u32> = (0..count as u32).collect();
    let rows = Rows { values: &values, dim, groups: &groups };
    let queries = unit_rows(&mut random, 21, dim);
    let found = top_k(rows, &queries, 5);
    let mut scans = vec![Scan::PLAIN];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        scans.push(Scan::AVX2);
    }
    let part = Part { rows, start: 0, end: count, block: 24 };
    scans.push(Scan::for_this_machine());
    for scan in scans {
        let mut many: Vec<Best> = (0..21).map(|_| Best::new(5, &groups)).collect();
        // SAFETY: only what this machine has is in the list.
        unsafe { (scan.many)(part, &scan.panels(&queries, dim), &mut many) };
        for (number, query) in queries.chunks(dim).enumerate() {
            let mut single = Best::new(5, &groups);
            // SAFETY: as above.
            unsafe { (scan.single)(part, query, &mut single) };
            for (hits, alone) in [(&single.hits, true), (&many[number].hits, false)] {
                let mut some = vec![0.0; count];
                let query = Scan::prepared(query, alone);
                // SAFETY: as above.
                unsafe { (scan.some)(&values, dim, &query, &mut some) };
                assert!(hits.iter().all(|hit| some[hit.row] == hit.similarity), "{alone}");
            }
            for other in [&single.hits, &many[number].hits] {
                assert_eq!(other.len(), 5);
                for (hit, other) in found[number].iter().zip(other) {
                    assert_eq!(hit.row, other.row);
                    assert!((hit.similarity - other.similarity).abs() < 1e-6);
                }
            }
        }
    }
}

#[test]
fn equal_similarities_go_to_the_lower_row() {
    // 2000 equal rows in 500 groups, on spans of several threads.
    let dim = 16;
    let values = vec![0.25; 2000 * dim];
    let groups: Vec<u32> = (0..2000).map(|row| row % 500).collect();
    let rows = Rows { values: &values, dim, groups: &groups };
    for queries in [1, 3] {
        for found in top_k(rows, &vec![0.25; queries * dim], 4) {
            let rows: Vec<usize> = found.iter().map(|hit| hit.row).collect();
            assert_eq!(rows, [0, 1, 2, 3]);
        }
    }
}

#[test]
fn parts_in_any_order_give_the_same_bits() {
    let mut random = Pcg64::seed_from_u64(3);
    let (count, dim) = (1003, 67);
    // Every row twice over, far apart: equal similarities of which the lower row counts.
    let half = unit_rows(&mut random, count, dim);
    let values = [half.as_slice(), &half].concat();
    let groups: Vec<u32> =
        (0..2 * count as u32).map(|row| if row % 11 == 0 { NO_GROUP } else { row / 3 }).collect();
    let rows = Rows { values: &values, dim, groups: &groups };
    let queries = unit_rows(&mut random, 5, dim);
    for queries in [&queries, &queries[..dim]] {
        for k in [1, 10, 5000] {
            let wanted = top_k(rows, queries, k);
            for (query, wanted) in queries.chunks(dim).zip(wanted) {
                let alone = queries.len() == dim;
                let mut search = PartialSearch::new(rows, query, alone, k);
                for start in (0..groups.len()).step_by(13).rev() {
                    search.visit(start..(start + 13).min(groups.len()));
                }
                assert_eq!(search.into_hits(), wanted, "{k}");
            }
        }
    }
}

#[test]
fn nothing_is_found_in_nothing() {
    let rows = Rows { values: &[], dim: 4, groups: &[] };
    assert_eq!(top_k(rows, &[1.0, 0.0, 0.0, 0.0], 3), [vec![]]);
    assert_eq!(top_k(rows, &[], 3), Vec::<Vec<Hit>>::new());
    let left_out = Rows { values: &[1.0, 0.0], dim: 2, groups: &[NO_GROUP] };
    assert_eq!(top_k(left_out, &[1.0, 0.0], 3), [vec![]]);
}
