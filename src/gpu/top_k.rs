//! Wrapper of `shaders/top_k.wgsl`; CPU twin: [`crate::gallery::top_k`].
//!
//! The rows stay on the device between searches. For each query it gives the largest similarity
//! among each [`TILE`] rows, and the host computes anew, with the twin's own sums, the rows of the
//! tiles that can hold a hit: branch and bound. The answer is the twin's bit for bit, whatever the
//! order in which a GPU sums:
//!
//! A dot product of n values that is summed in single precision, in any order and fused or not,
//! is off by at most γₙ|x||y|, γₙ = nu / (1 − nu) (Higham 2002, "Accuracy and Stability of
//! Numerical Algorithms", §3.1). The twin rounds to nearest, u = 2⁻²⁴. WGSL lets a GPU take either
//! neighbour, u = 2⁻²³, and put zero for subnormal numbers (§15.7), each of which is smaller than
//! 2⁻¹²⁶. So the two differ by at most a margin ε that is known before the search, 9.2e-5 for
//! unit vectors of 512 values. A tile whose maximum on the device is g has no row with more than
//! g + ε. Tiles are visited in falling order of g, and the search ends at the first with
//! g + ε below the k-th best that is found; equal ones are visited, since the lower row counts.
//!
//! Any k is as good as any other, and a person with many templates or many equal rows only make
//! the host visit more: at worst all rows, which is the search that a CPU does.
//!
//! Least to be moved are the rows, once a batch: the workgroups that read the same ones, of 64
//! queries each, are neighbours, so that all but the first find them in a cache. Beside that, 4
//! bytes a tile and query are written and brought to the host, and the host reads about k tiles a
//! query. A selection of the k best on the device would bring less, but has to write and read all
//! similarities, 32 times as many, or to hold k hits of each query in the few KiB of a workgroup.

use super::buffers::{Access, bind_group, bind_group_layout, pipeline};
use super::{Gpu, GpuError, wgpu};
use crate::gallery::top_k::{Hit, NO_GROUP, PartialSearch, Rows};
use rayon::prelude::*;
use std::borrow::Cow;

pub(super) const SOURCE: &str = include_str!("../../shaders/top_k.wgsl");
pub(super) const BINDINGS: [Access; 5] =
    [Access::Uniform, Access::Read, Access::Read, Access::Read, Access::ReadWrite];
/// Rows that share a maximum: the bits of a word.
pub const TILE: usize = 32;
/// Rows and queries of a workgroup of `many`.
const GROUP_ROWS: usize = 128;
const GROUP_QUERIES: usize = 64;
/// Values to a multiple of which rows and queries are filled up.
const STEP: usize = 16;
/// Most bytes of rows in a buffer; on its way up it is held twice on the host.
const CHUNK_BYTES: usize = 256 << 20;
/// Most queries at once, and most bytes of their maxima.
const BATCH: usize = 256;
const MAXIMA_BYTES: usize = 64 << 20;

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) rows: u32,
    pub(super) queries: u32,
    pub(super) quads: u32,
    pub(super) first_tile: u32,
    pub(super) all_tiles: u32,
}

/// The compiled kernels.
#[derive(Debug)]
pub struct TopKKernel {
    layout: wgpu::BindGroupLayout,
    many: wgpu::ComputePipeline,
    single: wgpu::ComputePipeline,
}

/// Rows on the device, for any number of searches.
#[derive(Debug)]
pub struct PreparedRows<'a> {
    rows: Rows<'a>,
    chunks: Vec<Chunk>,
    /// The largest length of a row that may be found.
    longest: f64,
}

/// Neighbouring rows in a buffer.
#[derive(Debug)]
struct Chunk {
    /// Whole tiles before it.
    first_tile: usize,
    rows: usize,
    values: wgpu::Buffer,
    served: wgpu::Buffer,
}

/// Whether one search is expected to end earlier on a hardware GPU than on the cores, the way of
/// the rows to the device included. Rows that are there already are always worth it.
///
/// A core's speed is that of two cores in `docs/results.md`, of which sixteen of a server reach three
/// quarters each; the GPU's is an estimate on the low side, three times as much on an H200, whose rows go
/// up at 3.8 GB/s. How long a device takes to open is an estimate.
pub fn pays(rows: usize, dim: usize, queries: usize, cores: usize) -> bool {
    /// Multiply-adds a second, of one core and of the GPU.
    const CORE: f64 = 5e10;
    const GPU: f64 = 2e12;
    /// Bytes a second from the mapped file to the device.
    const UPLOAD: f64 = 4e9;
    /// Until the device is open and the kernels are compiled.
    const START_SECONDS: f64 = 0.5;
    let values = rows as f64 * dim as f64;
    let work = values * queries as f64;
    let upload = values * size_of::<f32>() as f64 / UPLOAD;
    work / (CORE * cores as f64) > START_SECONDS + upload + work / GPU
}

impl TopKKernel {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, &BINDINGS);
        Self {
            many: pipeline(device, &layout, SOURCE, "many", &[]),
            single: pipeline(device, &layout, SOURCE, "single", &[]),
            layout,
        }
    }

    /// Uploads rows. Those of [`NO_GROUP`] may hold anything; all others must be finite.
    ///
    /// # Errors
    /// More rows than the device has memory for, or rows too long for one of its buffers.
    ///
    /// # Panics
    /// If `rows.dim` is 0, or the lengths do not fit.
    pub fn prepare<'a>(&self, gpu: &Gpu, rows: Rows<'a>) -> Result<PreparedRows<'a>, GpuError> {
        assert!(rows.dim > 0, "at least one value");
        assert_eq!(rows.values.len(), rows.groups.len() * rows.dim, "a group per row");
        let limits = gpu.device.limits();
        let row_bytes = size_of::<f32>() * rows.dim.next_multiple_of(STEP);
        let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        // `single` starts a workgroup a tile.
        let most_rows = (limits.max_compute_workgroups_per_dimension as usize * TILE)
            .min(CHUNK_BYTES.min(most_bytes as usize) / row_bytes);
        let chunk_rows = (most_rows / GROUP_ROWS).max(1) * GROUP_ROWS;
        let mut prepared = PreparedRows { rows, chunks: Vec::new(), longest: 0.0 };
        for (number, groups) in rows.groups.chunks(chunk_rows).enumerate() {
            let first = number * chunk_rows;
            let values = &rows.values[first * rows.dim..][..groups.len() * rows.dim];
            let longest = groups
                .par_iter()
                .zip(values.par_chunks_exact(rows.dim))
                .filter(|(group, _)| **group != NO_GROUP)
                .map(|(_, row)| length(row))
                .reduce(|| 0.0, f64::max);
            prepared.longest = prepared.longest.max(longest);
            let served: Vec<u32> = groups.chunks(TILE).map(bits).collect();
            let values = filled_up(values, rows.dim);
            prepared.chunks.push(Chunk {
                first_tile: first / TILE,
                rows: groups.len(),
                values: gpu.upload_resident("the gallery", bytemuck::cast_slice(&values))?,
                served: gpu.upload_storage("the gallery", bytemuck::cast_slice(&served))?,
            });
            // The host's second copy goes before the next one comes.
            gpu.wait()?;
        }
        Ok(prepared)
    }

    /// What [`crate::gallery::top_k::top_k`] finds among the rows, bit for bit. Values must be
    /// finite.
    ///
    /// # Errors
    /// A device that gives no result.
    ///
    /// # Panics
    /// If `k` is 0 or there are no whole queries.
    pub fn run(
        &self,
        gpu: &Gpu,
        prepared: &PreparedRows,
        queries: &[f32],
        k: usize,
    ) -> Result<Vec<Vec<Hit>>, GpuError> {
        let (dim, tiles) = (prepared.rows.dim, prepared.tiles());
        assert!(k > 0 && queries.len().is_multiple_of(dim), "at least one of whole queries");
        let count = queries.len() / dim;
        if tiles == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let mut found = Vec::with_capacity(count);
        for batch in queries.chunks(prepared.batch() * dim) {
            let maxima = self.maxima(gpu, prepared, batch)?;
            let of_queries = batch.par_chunks_exact(dim).zip(maxima.par_chunks_exact(tiles));
            let search = |(query, maxima)| prepared.search(query, maxima, count == 1, k);
            found.par_extend(of_queries.map(search));
        }
        Ok(found)
    }

    /// The device's part of a search: the largest similarity among each [`TILE`] rows, (queries,
    /// tiles); the lowest number where none may be found.
    ///
    /// # Errors
    /// More queries or rows than a buffer has room for; a device that gives no result.
    ///
    /// # Panics
    /// If there are no whole queries.
    pub fn maxima(
        &self,
        gpu: &Gpu,
        prepared: &PreparedRows,
        queries: &[f32],
    ) -> Result<Vec<f32>, GpuError> {
        let (dim, tiles) = (prepared.rows.dim, prepared.tiles());
        assert!(queries.len().is_multiple_of(dim), "whole queries");
        let count = queries.len() / dim;
        if count * tiles == 0 {
            return Ok(Vec::new());
        }
        let values = filled_up(queries, dim);
        let values = gpu.upload_storage("the probes", bytemuck::cast_slice(&values))?;
        let maxima = gpu.create_storage("the similarities", count * tiles)?;
        for chunk in &prepared.chunks {
            let params = Params {
                rows: chunk.rows as u32,
                queries: count as u32,
                quads: (dim.next_multiple_of(STEP) / 4) as u32,
                first_tile: chunk.first_tile as u32,
                all_tiles: tiles as u32,
            };
            let (pipeline, groups) = if count == 1 {
                (&self.single, [chunk.rows.div_ceil(TILE), 1])
            } else {
                let groups = [count.div_ceil(GROUP_QUERIES), chunk.rows.div_ceil(GROUP_ROWS)];
                (&self.many, groups)
            };
            let uniform = gpu.upload_uniform(&params);
            let buffers = [&uniform, &chunk.values, &chunk.served, &values, &maxima];
            let bindings = bind_group(&gpu.device, &self.layout, &buffers);
            gpu.dispatch(pipeline, &bindings, groups.map(|n| n as u32))?;
        }
        let [maxima] = gpu.download([(&maxima, count * tiles)])?;
        Ok(maxima)
    }
}

impl PreparedRows<'_> {
    fn tiles(&self) -> usize {
        self.rows.groups.len().div_ceil(TILE)
    }

    /// Queries at once.
    fn batch(&self) -> usize {
        let most = MAXIMA_BYTES / (size_of::<f32>() * self.tiles());
        let whole = most / GROUP_QUERIES * GROUP_QUERIES;
        if whole > 0 { whole.min(BATCH) } else { most.max(1) }
    }

    /// The host's part of a search.
    fn search(&self, query: &[f32], maxima: &[f32], alone: bool, k: usize) -> Vec<Hit> {
        let mut search = PartialSearch::new(self.rows, query, alone, k);
        let margin = margin(self.rows.dim, self.longest, length(query));
        if !margin.is_finite() {
            // Similarities may overflow: the maxima say nothing.
            search.visit(0..self.rows.groups.len());
            return search.into_hits();
        }
        let visit = |search: &mut PartialSearch, from: f64, below: f64| {
            let mut tiles: Vec<(f64, usize)> = maxima
                .iter()
                .enumerate()
                .map(|(tile, &maximum)| (f64::from(maximum), tile))
                .filter(|(maximum, _)| *maximum >= from && *maximum < below)
                .collect();
            tiles.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
            for (maximum, tile) in tiles {
                if maximum + margin < f64::from(search.floor()) {
                    break;
                }
                let start = tile * TILE;
                search.visit(start..(start + TILE).min(self.rows.groups.len()));
            }
        };
        // The k-th maximum tells nearly where the search will end, so that few have to be sorted.
        let first = if k <= maxima.len() {
            let falling = |a: &f32, b: &f32| b.total_cmp(a);
            let mut maxima = maxima.to_vec();
            f64::from(*maxima.select_nth_unstable_by(k - 1, falling).1) - 2.0 * margin
        } else {
            f64::NEG_INFINITY
        };
        visit(&mut search, first, f64::INFINITY);
        // Some of those tiles may have shared a group.
        let floor = f64::from(search.floor());
        visit(&mut search, floor - margin, first);
        search.into_hits()
    }
}

/// How far a similarity may differ between device and twin, for vectors of `dim` values that are
/// so long. Infinite where single precision may overflow.
fn margin(dim: usize, row: f64, query: f64) -> f64 {
    let n = dim as f64;
    let gamma = |unit: f64| n * unit / (1.0 - n * unit);
    let product = row * query;
    let is_bounded = n * DEVICE_UNIT <= 0.5 && product < f64::from(f32::MAX) / 4.0;
    if !is_bounded {
        return f64::INFINITY;
    }
    // An input, product or sum below the smallest normal number may count as zero.
    let subnormal = 2.0 * n * f64::from(f32::MIN_POSITIVE) * (3.0 + row + query);
    // The last factor is for the rounding of these lines and of the lengths.
    ((gamma(DEVICE_UNIT) + gamma(HOST_UNIT)) * product + subnormal) * 1.001
}

/// Largest relative error of one operation.
const HOST_UNIT: f64 = 1.0 / (1 << 24) as f64;
const DEVICE_UNIT: f64 = 2.0 * HOST_UNIT;

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Which rows of a tile may be found.
fn bits(groups: &[u32]) -> u32 {
    groups.iter().rev().fold(0, |bits, &group| bits << 1 | u32::from(group != NO_GROUP))
}

/// Vectors as the kernels read them: the last values of each are zeros.
fn filled_up(values: &[f32], dim: usize) -> Cow<'_, [f32]> {
    let filled = dim.next_multiple_of(STEP);
    if filled == dim {
        return Cow::Borrowed(values);
    }
    let mut all = vec![0.0f32; values.len() / dim * filled];
    for (to, from) in all.chunks_exact_mut(filled).zip(values.chunks_exact(dim)) {
        to[..dim].copy_from_slice(from);
    }
    Cow::Owned(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::top_k::top_k;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    fn unit_rows(random: &mut impl Rng, rows: usize, dim: usize) -> Vec<f32> {
        let mut values: Vec<f32> =
            (0..rows * dim).map(|_| random.random_range(-1.0..1.0)).collect();
        for row in values.chunks_mut(dim) {
            let length = length(row) as f32;
            row.iter_mut().for_each(|value| *value /= length);
        }
        values
    }

    #[test]
    fn the_margin_is_that_of_higham() {
        // 512 · 2⁻²³ / (1 − 512 · 2⁻²³) and the same of 2⁻²⁴, by hand: 1 / 16383 + 1 / 32767.
        let wanted = 1.0 / 16_383.0 + 1.0 / 32_767.0;
        let found = margin(512, 1.0, 1.0);
        assert!(found >= wanted && found < 1.002 * wanted, "{found}");
        // In proportion to both lengths.
        assert!((margin(512, 3.0, 2.0) / found - 6.0).abs() < 1e-9);
        // Beside zeros only what may be taken for zero counts.
        assert!(margin(512, 0.0, 1.0) > 0.0 && margin(512, 0.0, 1.0) < 1e-34);
        assert_eq!(margin(512, 1e20, 1e20), f64::INFINITY);
        assert_eq!(margin(512, 1.0, f64::NAN), f64::INFINITY);
        assert_eq!(margin(1 << 23, 1.0, 1.0), f64::INFINITY);
    }

    #[test]
    fn any_device_within_the_margin_gives_the_twins_answer() {
        let mut random = Pcg64::seed_from_u64(4);
        let (count, dim) = (3000, 40);
        let centre = unit_rows(&mut random, 1, dim);
        let queries = [centre.clone(), unit_rows(&mut random, 3, dim)].concat();
        // Close to each other: neighbours in rank are nearer than the margin, or about as near.
        for (spread, per_group) in
            [(1e-6, 1), (1e-6, 400), (3e-5, 1), (3e-5, 7), (3e-5, 100), (3e-4, 100)]
        {
            let values: Vec<f32> = (0..count * dim)
                .map(|i| centre[i % dim] + spread * random.random_range(-1.0f32..1.0))
                .collect();
            let groups: Vec<u32> = (0..count as u32)
                .map(|row| if row % 5 == 0 { NO_GROUP } else { row / per_group })
                .collect();
            let rows = Rows { values: &values, dim, groups: &groups };
            let longest = values.chunks(dim).map(length).fold(0.0, f64::max);
            let prepared = PreparedRows { rows, chunks: Vec::new(), longest };
            for (query, k) in queries.chunks(dim).flat_map(|q| [1, 5, 20, 4000].map(|k| (q, k))) {
                let wanted = &top_k(rows, &[query, query].concat(), k)[0];
                // The twin's similarities of all rows, each as its own group.
                let own: Vec<u32> = (0..count as u32).collect();
                let own = Rows { values: &values, dim, groups: &own };
                let mut similarities = vec![f32::MIN; count];
                for hit in &top_k(own, &[query, query].concat(), count)[0] {
                    if groups[hit.row] != NO_GROUP {
                        similarities[hit.row] = hit.similarity;
                    }
                }
                let margin = 0.99 * margin(dim, longest, length(query)) as f32;
                for worst in [true, false] {
                    let mut maxima: Vec<f32> = similarities
                        .chunks(TILE)
                        .map(|tile| tile.iter().copied().fold(f32::MIN, f32::max))
                        .collect();
                    // At worst all tiles with a hit come out too low and all others too high.
                    for (tile, maximum) in maxima.iter_mut().enumerate() {
                        let has_hit = wanted.iter().any(|hit| hit.row / TILE == tile);
                        let is_low = if worst { has_hit } else { random.random() };
                        *maximum += if is_low { -margin } else { margin };
                    }
                    let found = prepared.search(query, &maxima, false, k);
                    assert_eq!(&found, wanted, "{spread}, {per_group} a group, top {k}");
                }
            }
        }
    }

    #[test]
    fn what_overflows_is_searched_on_the_host() {
        let values = [1e30, 0.0, 2e30, 0.0];
        let rows = Rows { values: &values, dim: 2, groups: &[0, 1] };
        let prepared = PreparedRows { rows, chunks: Vec::new(), longest: 2e30 };
        let query = [1e30, 0.0];
        let wanted = top_k(rows, &query, 2);
        assert_eq!(prepared.search(&query, &[f32::NAN], true, 2), wanted[0]);
    }

    #[test]
    fn bits_are_of_the_rows_that_may_be_found() {
        assert_eq!(bits(&[7, NO_GROUP, 0]), 0b101);
        let mut groups = [NO_GROUP; TILE];
        assert_eq!(bits(&groups), 0);
        groups[TILE - 1] = 3;
        assert_eq!(bits(&groups), 1 << 31);
    }

    #[test]
    fn the_device_pays_for_large_work_alone() {
        // By hand: 10⁶ · 512 · 256 / (5e10 · 2) = 1.31 s on two cores, against 0.5 to start,
        // 0.51 to upload and 0.07 to compute.
        assert!(pays(1_000_000, 512, 256, 2));
        assert!(!pays(1_000_000, 512, 256, 16));
        assert!(!pays(1_000_000, 512, 1, 2));
        assert!(!pays(10_000, 512, 256, 2));
    }
}
