//! The gallery: search in 1,000,000 templates of 512 values, and enrolments a second.
//!
//!     cargo bench --bench gallery
//!     cargo bench --bench gallery -- 200000
//!
//! Top 10 for a batch of 256 queries and for one, of random unit vectors, as
//! `benches/peers/gallery.py` measures FAISS; the same on a GPU (see `LUMIFACE_GPU`), with the rows
//! there already, its part alone, and the way of the rows there; then from a gallery's mapped files, and enrolment of
//! 20,000 templates in batches of 1,000, plain and sealed.

use lumiface::gallery::top_k::{Rows, top_k};
use lumiface::gallery::{
    Accept, Gallery, GalleryConfig, GalleryKey, GalleryWriter, NewTemplate, PerPerson,
    SearchOptions,
};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

#[path = "support/mod.rs"]
mod support;
use support::{Timing, open_gpu};

const DIM: usize = 512;
const K: usize = 10;
const MODEL: &str = "model";
const BATCH: usize = 1000;

fn unit_rows(seed: u64, rows: usize) -> Vec<f32> {
    let mut values = vec![0.0; rows * DIM];
    values.par_chunks_mut(DIM).enumerate().for_each(|(number, row)| {
        let mut random = Pcg64::seed_from_u64(seed << 32 | number as u64);
        row.fill_with(|| StandardNormal.sample(&mut random));
        let length = row.iter().map(|v: &f32| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|value| *value /= length);
    });
    values
}

fn line(name: &str, timing: &Timing) {
    let (seconds, spread) = (timing.median(), timing.spread_percent());
    println!("{name:<40} {:>9.1} ms ± {spread:>4.1} %", 1e3 * seconds);
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let rows = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!("CPU: {} threads, {rows} templates", rayon::current_num_threads());
    search_memory(rows);
    search_gpu(rows);
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let key = GalleryKey::make(&home.path().join("key")).expect("a new file");
    enrol(&home.path().join("plain"), None);
    enrol(&home.path().join("sealed"), Some(&key));
    search_gallery(&home.path().join("large"), rows);
}

fn search_memory(count: usize) {
    let values = unit_rows(1, count);
    let groups: Vec<u32> = (0..count as u32).collect();
    let rows = Rows { values: &values, dim: DIM, groups: &groups };
    for queries in [256, 1] {
        let probes = unit_rows(2, queries);
        let timing = Timing::of(|| drop(std::hint::black_box(top_k(rows, &probes, K))));
        line(&format!("top {K} of {queries} queries, in memory"), &timing);
    }
}

fn search_gpu(count: usize) {
    let Some(gpu) = open_gpu() else { return };
    let values = unit_rows(1, count);
    let groups: Vec<u32> = (0..count as u32).collect();
    let rows = Rows { values: &values, dim: DIM, groups: &groups };
    let start = Instant::now();
    let prepared = gpu.top_k.prepare(&gpu, rows).expect("rows that fit the GPU");
    let seconds = start.elapsed().as_secs_f64();
    println!("{:<40} {:>9.1} ms", "upload to the GPU", 1e3 * seconds);
    for queries in [256, 1] {
        let probes = unit_rows(2, queries);
        let run = || gpu.top_k.run(&gpu, &prepared, &probes, K).expect("a sound device");
        let timing = Timing::of(|| drop(std::hint::black_box(run())));
        line(&format!("top {K} of {queries} queries, GPU"), &timing);
        let maxima = || gpu.top_k.maxima(&gpu, &prepared, &probes).expect("a sound device");
        let timing = Timing::of(|| drop(std::hint::black_box(maxima())));
        line(&format!("of these, the device and the download, {queries}"), &timing);
    }
}

fn templates(seed: u64, first: usize, count: usize) -> Vec<NewTemplate> {
    let new = |(number, embedding): (usize, &[f32])| NewTemplate {
        person: format!("person {}", first + number),
        session: "1".into(),
        labels: BTreeMap::new(),
        embedding: embedding.to_vec(),
    };
    unit_rows(seed, count).chunks(DIM).enumerate().map(new).collect()
}

fn create(folder: &Path, key: Option<&GalleryKey>) -> GalleryWriter {
    let config = GalleryConfig { model: MODEL.into(), dim: DIM, threshold: None };
    GalleryWriter::create(folder, &config, key).expect("an empty folder")
}

fn enrol(folder: &Path, key: Option<&GalleryKey>) {
    let mut writer = create(folder, key);
    let seconds = (0..20)
        .map(|number| {
            let batch = templates(3, number * BATCH, BATCH);
            let start = Instant::now();
            writer.enrol(MODEL, &batch).expect("new people");
            start.elapsed().as_secs_f64()
        })
        .collect();
    let timing = Timing::new(seconds);
    let kind = if key.is_some() { "sealed" } else { "plain" };
    let rate = BATCH as f64 / timing.median();
    let name = format!("enrolment in batches of {BATCH}, {kind}");
    println!("{name:<40} {rate:>9.0} a second ± {:>4.1} %", timing.spread_percent());
}

fn search_gallery(folder: &Path, count: usize) {
    let mut writer = create(folder, None);
    for first in (0..count).step_by(20 * BATCH) {
        let batch = templates(1 + first as u64, first, (20 * BATCH).min(count - first));
        writer.enrol(MODEL, &batch).expect("new people");
    }
    drop(writer);
    let start = Instant::now();
    let (gallery, damage) = Gallery::open(folder, None).expect("just written");
    assert!(damage.is_empty());
    println!("{:<40} {:>9.1} ms", "opening, every checksum", 1e3 * start.elapsed().as_secs_f64());
    let options = SearchOptions { accept: Accept::Everyone, per_person: PerPerson::Best };
    let k = NonZeroUsize::new(K).expect("not 0");
    for queries in [256, 1] {
        let probes = unit_rows(2, queries);
        let probes: Vec<&[f32]> = probes.chunks(DIM).collect();
        let timing = Timing::of(|| {
            drop(std::hint::black_box(gallery.search(MODEL, &probes, k, &options).expect("sound")))
        });
        line(&format!("top {K} of {queries} queries, gallery"), &timing);
    }
}
