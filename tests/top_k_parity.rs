//! The search of the gallery on the GPU against its CPU twin, on whatever adapter there is. The
//! answers must be equal, similarities included: the host computes what it returns as the twin
//! does. So that a kernel which is only roughly right is found out too, what it gives to the host
//! is compared with sums in double precision.

mod support;

use lumiface::gallery::top_k::{NO_GROUP, Rows, top_k};
use lumiface::gpu::{Gpu, TILE};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

fn unit_rows(random: &mut impl Rng, rows: usize, dim: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..rows * dim).map(|_| random.random_range(-1.0..1.0)).collect();
    for row in values.chunks_mut(dim) {
        let length = dot(row, row).sqrt() as f32;
        row.iter_mut().for_each(|value| *value /= length);
    }
    values
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The device's maxima against double precision. Off by at most what n roundings to one of the two
/// neighbours make of it, n · 2⁻²³ · |x||y|, and of unit vectors therefore n · 1.2e-7.
fn compare_maxima(what: &str, gpu: &Gpu, rows: Rows, queries: &[f32]) {
    let prepared = gpu.top_k.prepare(gpu, rows).unwrap();
    let maxima = gpu.top_k.maxima(gpu, &prepared, queries).unwrap();
    let tolerance = 1.2e-7 * rows.dim as f64;
    let tiles = rows.groups.len().div_ceil(TILE);
    assert_eq!(maxima.len(), queries.len() / rows.dim * tiles);
    for (query, maxima) in queries.chunks(rows.dim).zip(maxima.chunks(tiles)) {
        for (tile, maximum) in maxima.iter().enumerate() {
            let wanted = (tile * TILE..rows.groups.len().min((tile + 1) * TILE))
                .filter(|row| rows.groups[*row] != NO_GROUP)
                .map(|row| dot(&rows.values[row * rows.dim..][..rows.dim], query))
                .reduce(f64::max);
            match wanted {
                None => assert_eq!(*maximum, f32::MIN, "{what}: tile {tile} is empty"),
                Some(wanted) => assert!(
                    (f64::from(*maximum) - wanted).abs() <= tolerance,
                    "{what}: tile {tile}: GPU {maximum}, CPU {wanted}"
                ),
            }
        }
    }
}

fn compare(what: &str, gpu: &Gpu, rows: Rows, queries: &[f32], k: usize) {
    let prepared = gpu.top_k.prepare(gpu, rows).unwrap();
    let there = gpu.top_k.run(gpu, &prepared, queries, k).unwrap();
    let here = top_k(rows, queries, k);
    assert_eq!(there.len(), here.len(), "{what}");
    for (query, (there, here)) in there.iter().zip(&here).enumerate() {
        assert_eq!(there, here, "{what}: query {query}");
    }
}

const DIMS: [usize; 4] = [512, 128, 3, 513];
const BATCHES: [usize; 3] = [1, 7, 256];

#[test]
fn maxima_are_those_of_double_precision() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(1);
    for dim in DIMS {
        for count in [1, 31, 128, 1000] {
            let mut values = unit_rows(&mut random, count, dim);
            // Whole tiles and single rows that may not be found.
            let groups: Vec<u32> = (0..count as u32)
                .map(|row| if row % 3 == 1 || row / 32 == 2 { NO_GROUP } else { row })
                .collect();
            // What a damaged row holds does not matter.
            for (row, group) in groups.iter().enumerate().filter(|(row, _)| row % 2 == 0) {
                if *group == NO_GROUP {
                    values[row * dim..][..dim].fill(f32::NAN);
                }
            }
            let rows = Rows { values: &values, dim, groups: &groups };
            for batch in [1, 2, 63, 65] {
                let queries = unit_rows(&mut random, batch, dim);
                let what = format!("{count} rows of {dim}, {batch} queries");
                compare_maxima(&what, &gpu, rows, &queries);
            }
        }
    }
}

#[test]
fn answers_are_the_same_on_both_sides() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(2);
    for dim in DIMS {
        let count = 1500;
        let values = unit_rows(&mut random, count, dim);
        // Several templates a person, some removed.
        let groups: Vec<u32> = (0..count)
            .map(|_| match random.random_range(0..count as u32 + 300) {
                person if person >= count as u32 => NO_GROUP,
                person => person / 3,
            })
            .collect();
        let rows = Rows { values: &values, dim, groups: &groups };
        for batch in BATCHES {
            let mut queries = unit_rows(&mut random, batch, dim);
            // One of them is enrolled.
            queries[..dim].copy_from_slice(&values[7 * dim..8 * dim]);
            for k in [1, 13, 100, 2 * count] {
                if k > count && batch > 7 {
                    continue;
                }
                let what = format!("{dim} values, {batch} queries, top {k}");
                compare(&what, &gpu, rows, &queries, k);
            }
        }
    }
}

#[test]
fn ties_go_to_the_same_rows() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(3);
    for dim in DIMS {
        let count = 1100;
        let few = unit_rows(&mut random, 5, dim);
        let zeros = vec![0.0; count * dim];
        // Five vectors again and again; all the same; differing in the last bits alone.
        let repeated: Vec<f32> =
            (0..count).flat_map(|row| few[row * 7 % 5 * dim..][..dim].to_vec()).collect();
        let same: Vec<f32> = (0..count).flat_map(|_| few[..dim].to_vec()).collect();
        let nearly: Vec<f32> =
            same.iter().map(|v| v * (1.0 + 1e-7 * random.random_range(-4i32..4) as f32)).collect();
        let people: Vec<u32> = (0..count as u32).collect();
        let shared: Vec<u32> = (0..count as u32).map(|row| row % 40).collect();
        let removed: Vec<u32> =
            (0..count as u32).map(|row| if row < 500 { NO_GROUP } else { row }).collect();
        let nobody = vec![NO_GROUP; count];
        for (name, values) in
            [("repeated", &repeated), ("same", &same), ("nearly", &nearly), ("zeros", &zeros)]
        {
            for groups in [&people, &shared, &removed, &nobody] {
                let rows = Rows { values, dim, groups };
                for batch in [1, 7] {
                    let mut queries = unit_rows(&mut random, batch, dim);
                    queries[..dim].copy_from_slice(&few[..dim]);
                    for k in [1, 30, 200] {
                        let what = format!("{name}, {dim} values, {batch} queries, top {k}");
                        compare(&what, &gpu, rows, &queries, k);
                    }
                }
            }
        }
    }
}

#[test]
fn lengths_other_than_one_do_not_matter() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(4);
    let (count, dim) = (700, 128);
    let groups: Vec<u32> = (0..count as u32).collect();
    // The last two overflow and underflow.
    for scale in [1e3, 1e-3, 3e19, 1e-20] {
        let mut values = unit_rows(&mut random, count, dim);
        let mut queries = unit_rows(&mut random, 7, dim);
        values.iter_mut().chain(&mut queries).for_each(|value| *value *= scale);
        let rows = Rows { values: &values, dim, groups: &groups };
        for queries in [&queries, &queries[..dim]] {
            compare(&format!("{scale}"), &gpu, rows, queries, 9);
        }
    }
}

#[test]
fn rows_of_several_buffers_are_one_gallery() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(5);
    // More than a device starts workgroups of 32 rows.
    let (count, dim) = (65_535 * 32 + 5000, 3);
    let mut values = unit_rows(&mut random, count, dim);
    let queries = unit_rows(&mut random, 7, dim);
    // The best on both sides of where a buffer ends, in the first and in the last row.
    for (query, row) in [65_535 * 32 - 127, 65_535 * 32, 0, count - 1].into_iter().enumerate() {
        values[row * dim..][..dim].copy_from_slice(&queries[query * dim..][..dim]);
    }
    let groups: Vec<u32> = (0..count as u32).collect();
    let rows = Rows { values: &values, dim, groups: &groups };
    for queries in [&queries, &queries[dim..2 * dim]] {
        compare("two buffers", &gpu, rows, queries, 13);
    }
}

#[test]
fn more_queries_than_a_batch_are_all_answered() {
    let Some(gpu) = support::any_gpu() else { return };
    let mut random = Pcg64::seed_from_u64(6);
    let (count, dim) = (300, 16);
    let values = unit_rows(&mut random, count, dim);
    let groups: Vec<u32> = (0..count as u32).collect();
    let rows = Rows { values: &values, dim, groups: &groups };
    // The last batch is of one query, which is not alone.
    let queries = unit_rows(&mut random, 513, dim);
    compare("513 queries", &gpu, rows, &queries, 4);
}

#[test]
fn nothing_is_found_in_nothing() {
    let Some(gpu) = support::any_gpu() else { return };
    let rows = Rows { values: &[], dim: 4, groups: &[] };
    compare("no rows", &gpu, rows, &[1.0, 0.0, 0.0, 0.0], 3);
    compare("no rows, no queries", &gpu, rows, &[], 3);
    let rows = Rows { values: &[1.0, 0.0], dim: 2, groups: &[NO_GROUP] };
    compare("nobody", &gpu, rows, &[1.0, 0.0], 3);
    compare("nobody, no queries", &gpu, rows, &[], 3);
}
