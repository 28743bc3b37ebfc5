//! A gallery searched on the GPU gives the answers of the CPU.

mod support;

use lumiface::gallery::{
    Accept, Gallery, GalleryConfig, GalleryError, GalleryKey, GalleryWriter, NewTemplate,
    PerPerson, SearchOptions,
};
use lumiface::gpu::GpuError;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::num::NonZeroUsize;

const DIM: usize = 96;

#[derive(Debug)]
enum Refused {
    Gallery,
    Gpu,
}

impl From<GalleryError> for Refused {
    fn from(_: GalleryError) -> Self {
        Self::Gallery
    }
}

impl From<GpuError> for Refused {
    fn from(_: GpuError) -> Self {
        Self::Gpu
    }
}

#[test]
fn a_gallery_answers_the_same_on_both_sides() {
    let Some(gpu) = support::any_gpu() else { return };
    let home = tempfile::tempdir().unwrap();
    let key = GalleryKey::make(&home.path().join("key")).unwrap();
    let mut random = Pcg64::seed_from_u64(1);
    for (name, key) in [("plain", None), ("sealed", Some(&key))] {
        let folder = home.path().join(name);
        let config = GalleryConfig { model: "m".into(), dim: DIM, threshold: None };
        let mut writer = GalleryWriter::create(&folder, &config, key).unwrap();
        let mut embedding = || (0..DIM).map(|_| random.random_range(-1.0..1.0)).collect();
        let new: Vec<NewTemplate> = (0..500)
            .map(|at| NewTemplate {
                person: format!("person {}", at % 200),
                session: format!("{at}"),
                labels: Default::default(),
                embedding: embedding(),
            })
            .collect();
        writer.enrol("m", &new).unwrap();
        writer.remove("person 3", None).unwrap();
        drop(writer);
        let (gallery, _) = Gallery::open(&folder, key).unwrap();
        let mut probes: Vec<Vec<f32>> = (0..9).map(|_| embedding()).collect();
        probes[0] = new[3].embedding.clone();
        probes[1] = new[77].embedding.clone();
        for per_person in [PerPerson::Best, PerPerson::Mean] {
            let index = gpu.top_k.prepare(&gpu, gallery.rows(per_person)).unwrap();
            for accept in [Accept::Everyone, Accept::From(0.2)] {
                let options = SearchOptions { accept, per_person };
                for probes in [&probes[..], &probes[1..2]] {
                    let k = NonZeroUsize::new(5).unwrap();
                    let here = gallery.search("m", probes, k, &options).unwrap();
                    let there: Result<_, Refused> =
                        gallery.search_by("m", probes, k, &options, |_, queries, wanted| {
                            Ok(gpu.top_k.run(&gpu, &index, queries, wanted)?)
                        });
                    assert_eq!(there.unwrap(), here, "{name}, {per_person:?}, {accept:?}");
                }
            }
        }
    }
}
