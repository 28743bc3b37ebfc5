//! `gallery search`: who probes are, on the device that is expected to answer first.

use super::{Event, EventSink, open_compute};
use crate::gallery::{Answer, GalleryError, Opened, SearchOptions};
use crate::gpu::{self, DeviceRequest, GpuError};
use crate::io::Embeddings;
use crate::reconstruct::Compute;
use crate::train::TrainEvent;
use std::num::NonZeroUsize;

#[derive(Debug, thiserror::Error)]
pub enum GallerySearchError {
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// The at most `k` most similar people to each probe. `auto` takes a hardware GPU where the way of
/// the rows there is expected to pay and they fit; the answer is the same on any device. PostgreSQL
/// searches by itself.
pub fn search_gallery(
    gallery: &mut Opened,
    probes: &Embeddings,
    k: NonZeroUsize,
    options: &SearchOptions,
    device: &DeviceRequest,
    emit: EventSink<'_>,
) -> Result<Vec<Answer>, GallerySearchError> {
    let vectors: Vec<&[f32]> = (0..probes.captures.len()).map(|at| probes.row(at)).collect();
    let Opened::Folder(folder) = gallery else {
        return Ok(gallery.search(&probes.model, &vectors, k, options)?);
    };
    let on_cpu = || Ok(folder.search(&probes.model, &vectors, k, options)?);
    let rows = folder.rows(options.per_person);
    let is_auto = *device == DeviceRequest::Auto;
    let cores = rayon::current_num_threads();
    if is_auto && !gpu::pays(rows.groups.len(), rows.dim, vectors.len(), cores) {
        return on_cpu();
    }
    let Compute::Gpu(gpu) = open_compute(device, emit)? else { return on_cpu() };
    let index = match gpu.top_k.prepare(&gpu, rows) {
        Err(error @ GpuError::OutOfMemory { .. }) if is_auto => {
            let text = format!("{error}: searched on the CPU");
            emit(Event::Train(TrainEvent::Warning { text }));
            return on_cpu();
        }
        index => index?,
    };
    folder.search_by(&probes.model, &vectors, k, options, |_, queries, wanted| {
        Ok(gpu.top_k.run(&gpu, &index, queries, wanted)?)
    })
}
