//! The most similar rows of a matrix for each query: exact, blocked, on all cores.
//!
//! A similarity is a dot product. Many queries are a matrix product: rows are taken in blocks that
//! stay in the second-level cache while all queries pass over them, and within a block in tiles of
//! a few rows times a few vectors of queries, whose sums stay in registers (Goto and van de Geijn
//! 2008, "Anatomy of high-performance matrix multiplication"). The queries are transposed once, so
//! that a vector register holds one dimension of neighbouring queries and the rows are read where
//! they lie. One query is bound by memory: each row is read once and multiplied by it.
//!
//! Plain slices in, plain hits out; nothing here knows of files or people.

use rayon::prelude::*;

/// The group of a row that is not to be found.
pub const NO_GROUP: u32 = u32::MAX;
/// Rows that stay in the second-level cache: 192 of 512 values are 384 KiB.
const BLOCK_BYTES: usize = 384 << 10;
/// Spans a thread: enough that a thread which the system holds up does not hold up the search.
const SPANS_PER_THREAD: usize = 8;

/// A row-major matrix and to which group each row belongs.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// (rows, dim).
    pub values: &'a [f32],
    pub dim: usize,
    /// One a row; [`NO_GROUP`] leaves the row out.
    pub groups: &'a [u32],
}

/// A row and its dot product with the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub row: usize,
    pub similarity: f32,
}

impl Hit {
    /// Higher first; of equal ones the lower row.
    fn beats(&self, other: &Self) -> bool {
        self.similarity > other.similarity
            || (self.similarity == other.similarity && self.row < other.row)
    }
}

/// The k most similar rows to each query, best first, of each group its best row only; fewer where
/// there are fewer groups. `queries` is row-major, (queries, dim). Values must be finite.
///
/// # Panics
/// If `k` or `rows.dim` is 0, or the lengths do not fit.
pub fn top_k(rows: Rows, queries: &[f32], k: usize) -> Vec<Vec<Hit>> {
    assert!(k > 0 && rows.dim > 0, "at least one of each");
    assert_eq!(rows.values.len(), rows.groups.len() * rows.dim, "a group per row");
    assert!(queries.len().is_multiple_of(rows.dim), "whole queries");
    let count = queries.len() / rows.dim;
    if count == 0 {
        return Vec::new();
    }
    let scan = Scan::for_this_machine();
    let panels = if count == 1 { queries.to_vec() } else { scan.panels(queries, rows.dim) };
    let block = (BLOCK_BYTES / (rows.dim * size_of::<f32>())).max(scan.tile_rows);
    let block = block.next_multiple_of(scan.tile_rows);
    let spans = SPANS_PER_THREAD * rayon::current_num_threads();
    let span = rows.groups.len().div_ceil(spans).next_multiple_of(block).max(1);
    let empty = || (0..count).map(|_| Best::new(k, rows.groups)).collect::<Vec<_>>();
    let found: Vec<Vec<Best>> = (0..rows.groups.len().div_ceil(span))
        .into_par_iter()
        .map(|number| {
            let mut best = empty();
            let end = ((number + 1) * span).min(rows.groups.len());
            let part = Part { rows, start: number * span, end, block };
            if let [only] = best.as_mut_slice() {
                // SAFETY: chosen by what this machine can do.
                unsafe { (scan.single)(part, queries, only) };
            } else {
                // SAFETY: as above.
                unsafe { (scan.many)(part, &panels, &mut best) };
            }
            best
        })
        .collect();
    let mut merged = empty();
    for (best, more) in found.into_iter().flat_map(|span| span.into_iter().enumerate()) {
        for hit in more.hits {
            merged[best].offer(hit);
        }
    }
    merged.into_iter().map(|best| best.hits).collect()
}

/// The best hits so far, best first, one a group.
struct Best<'a> {
    k: usize,
    groups: &'a [u32],
    hits: Vec<Hit>,
}

impl<'a> Best<'a> {
    fn new(k: usize, groups: &'a [u32]) -> Self {
        Self { k, groups, hits: Vec::new() }
    }

    /// A later row with no more than this similarity is none of the best.
    fn floor(&self) -> f32 {
        if self.hits.len() < self.k { f32::NEG_INFINITY } else { self.hits[self.k - 1].similarity }
    }

    #[inline(never)]
    fn offer(&mut self, hit: Hit) {
        let group = self.groups[hit.row];
        if group == NO_GROUP {
            return;
        }
        if self.hits.len() == self.k && !hit.beats(&self.hits[self.k - 1]) {
            return;
        }
        if let Some(at) = self.hits.iter().position(|h| self.groups[h.row] == group) {
            if !hit.beats(&self.hits[at]) {
                return;
            }
            self.hits.remove(at);
        }
        let place = self.hits.partition_point(|h| h.beats(&hit));
        self.hits.insert(place, hit);
        self.hits.truncate(self.k);
    }
}

/// The search of one query among parts of the rows, in any order: once it has seen all parts that
/// can hold a hit, its hits are those of [`top_k`], bit for bit.
///
/// For whoever knows beforehand which parts are worth reading, as the GPU's side does.
pub(crate) struct PartialSearch<'a> {
    rows: Rows<'a>,
    query: Vec<f32>,
    scan: Scan,
    similarities: Vec<f32>,
    best: Best<'a>,
}

impl<'a> PartialSearch<'a> {
    /// `alone`: [`top_k`] sums in another order for one query than for many.
    ///
    /// # Panics
    /// If `k` is 0, or the lengths do not fit.
    pub(crate) fn new(rows: Rows<'a>, query: &[f32], alone: bool, k: usize) -> Self {
        assert!(k > 0 && query.len() == rows.dim, "a query of the rows' width");
        let query = Scan::prepared(query, alone);
        let scan = Scan::for_this_machine();
        let best = Best::new(k, rows.groups);
        Self { rows, query, scan, similarities: Vec::new(), best }
    }

    /// A row with a similarity below this is none of the best. −∞ while fewer than k are found.
    pub(crate) fn floor(&self) -> f32 {
        self.best.floor()
    }

    /// Compares with the rows of a part.
    pub(crate) fn visit(&mut self, part: std::ops::Range<usize>) {
        let dim = self.rows.dim;
        let values = &self.rows.values[part.start * dim..part.end * dim];
        self.similarities.resize(part.len(), 0.0);
        // SAFETY: chosen by what this machine can do.
        unsafe { (self.scan.some)(values, dim, &self.query, &mut self.similarities) };
        for (row, &similarity) in part.zip(&self.similarities) {
            // Not only above: an equal one of a lower row may come later here. What overflowed to
            // −∞ is never found.
            if similarity >= self.best.floor().max(f32::MIN) {
                self.best.offer(Hit { row, similarity });
            }
        }
    }

    /// The hits, best first.
    pub(crate) fn into_hits(self) -> Vec<Hit> {
        self.best.hits
    }
}

/// Some of the rows.
#[derive(Clone, Copy)]
struct Part<'a> {
    rows: Rows<'a>,
    start: usize,
    end: usize,
    block: usize,
}

/// The loops as compiled for one set of instructions.
struct Scan {
    tile_rows: usize,
    /// Queries side by side in a panel.
    lanes: usize,
    single: unsafe fn(Part, &[f32], &mut Best),
    many: unsafe fn(Part, &[f32], &mut [Best]),
    /// Similarities of a few rows with one query, see [`Scan::prepared`].
    some: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
}

impl Scan {
    #[cfg(target_arch = "x86_64")]
    const AVX512: Self = Self {
        tile_rows: 12,
        lanes: 32,
        single: single_avx512,
        many: many_avx512,
        some: some_avx512,
    };
    #[cfg(target_arch = "x86_64")]
    const AVX2: Self =
        Self { tile_rows: 6, lanes: 16, single: single_avx2, many: many_avx2, some: some_avx2 };
    const PLAIN: Self =
        Self { tile_rows: 4, lanes: 8, single: single_plain, many: many_plain, some: some_plain };

    fn for_this_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                return Self::AVX512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::AVX2;
            }
        }
        Self::PLAIN
    }

    /// A query as `some` takes it: as it is where it is alone, else each value several times.
    fn prepared(query: &[f32], alone: bool) -> Vec<f32> {
        let copies = if alone { 1 } else { COPIES };
        query.iter().flat_map(|value| std::iter::repeat_n(*value, copies)).collect()
    }

    /// Transposes queries to panels of (dim, lanes), the last one filled up with zeros.
    fn panels(&self, queries: &[f32], dim: usize) -> Vec<f32> {
        let count = queries.len() / dim;
        let mut panels = vec![0.0; count.div_ceil(self.lanes) * dim * self.lanes];
        for (number, query) in queries.chunks_exact(dim).enumerate() {
            let panel = &mut panels[number / self.lanes * dim * self.lanes..];
            for (value, lanes) in query.iter().zip(panel.chunks_exact_mut(self.lanes)) {
                lanes[number % self.lanes] = *value;
            }
        }
        panels
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn many_avx512(part: Part, panels: &[f32], best: &mut [Best]) {
    many::<12, 16, 2, true>(part, panels, best);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn single_avx512(part: Part, query: &[f32], best: &mut Best) {
    single::<16, true>(part, query, best);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn some_avx512(values: &[f32], dim: usize, query: &[f32], out: &mut [f32]) {
    some::<16, true>(values, dim, query, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn many_avx2(part: Part, panels: &[f32], best: &mut [Best]) {
    many::<6, 8, 2, true>(part, panels, best);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn single_avx2(part: Part, query: &[f32], best: &mut Best) {
    single::<8, true>(part, query, best);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn some_avx2(values: &[f32], dim: usize, query: &[f32], out: &mut [f32]) {
    some::<8, true>(values, dim, query, out);
}

/// Every 64-bit ARM has fused multiply-adds; elsewhere a function would stand in for them.
const PLAIN_FUSED: bool = cfg!(target_arch = "aarch64");

fn many_plain(part: Part, panels: &[f32], best: &mut [Best]) {
    many::<4, 4, 2, PLAIN_FUSED>(part, panels, best);
}

fn single_plain(part: Part, query: &[f32], best: &mut Best) {
    single::<4, PLAIN_FUSED>(part, query, best);
}

fn some_plain(values: &[f32], dim: usize, query: &[f32], out: &mut [f32]) {
    some::<4, PLAIN_FUSED>(values, dim, query, out);
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

/// All queries against a part, T rows times V vectors of L queries at a time.
#[inline(always)]
fn many<const T: usize, const L: usize, const V: usize, const FUSED: bool>(
    part: Part,
    panels: &[f32],
    best: &mut [Best],
) {
    let dim = part.rows.dim;
    // The last rows where they are fewer than a tile has; what lies behind them is not looked at.
    let mut last = vec![0.0; T * dim];
    let mut sums = vec![[[0.0; L]; V]; T];
    let mut floors = vec![[[f32::NEG_INFINITY; L]; V]; best.len().div_ceil(L * V)];
    for block_start in (part.start..part.end).step_by(part.block) {
        let block_end = (block_start + part.block).min(part.end);
        for (number, panel) in panels.chunks_exact(dim * L * V).enumerate() {
            let floor = &mut floors[number];
            let of_panel = &mut best[number * L * V..];
            for start in (block_start..block_end).step_by(T) {
                let rows = T.min(block_end - start);
                let values = &part.rows.values[start * dim..(start + rows) * dim];
                let values = if rows == T {
                    values
                } else {
                    last[..values.len()].copy_from_slice(values);
                    &last
                };
                tile::<T, L, V, FUSED>(values, panel, dim, &mut sums);
                for (t, of_row) in sums.iter().enumerate().take(rows) {
                    if above(of_row, floor) {
                        for (lane, best) in of_panel.iter_mut().enumerate().take(L * V) {
                            let similarity = of_row[lane / L][lane % L];
                            if similarity > floor[lane / L][lane % L] {
                                best.offer(Hit { row: start + t, similarity });
                                floor[lane / L][lane % L] = best.floor();
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn above<const L: usize, const V: usize>(sums: &[[f32; L]; V], floor: &[[f32; L]; V]) -> bool {
    let mut any = false;
    for (sums, floor) in sums.iter().zip(floor) {
        for (sum, floor) in sums.iter().zip(floor) {
            any |= sum > floor;
        }
    }
    any
}

/// Dot products of T rows with a panel of queries; each sum runs over the dimensions in order.
#[inline(always)]
fn tile<const T: usize, const L: usize, const V: usize, const FUSED: bool>(
    values: &[f32],
    panel: &[f32],
    dim: usize,
    out: &mut [[[f32; L]; V]],
) {
    let rows: [&[f32]; T] = std::array::from_fn(|t| &values[t * dim..][..dim]);
    let lanes = &panel.as_chunks::<L>().0.as_chunks::<V>().0[..dim];
    let mut sums = [[[0.0; L]; V]; T];
    for d in 0..dim {
        for t in 0..T {
            let value = rows[t][d];
            for v in 0..V {
                for l in 0..L {
                    sums[t][v][l] = multiply_add::<FUSED>(value, lanes[d][v][l], sums[t][v][l]);
                }
            }
        }
    }
    // Only here do the sums leave the registers.
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = sums;
    }
}

/// One query against a part.
#[inline(always)]
fn single<const L: usize, const FUSED: bool>(part: Part, query: &[f32], best: &mut Best) {
    let dim = part.rows.dim;
    let mut floor = best.floor();
    for row in part.start..part.end {
        let similarity = dot::<L, FUSED>(&part.rows.values[row * dim..][..dim], query);
        if similarity > floor {
            best.offer(Hit { row, similarity });
            floor = best.floor();
        }
    }
}

#[inline(always)]
fn dot<const L: usize, const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    // Four sums: a multiply-add takes four cycles, and the next must not wait for it.
    const SUMS: usize = 4;
    let mut sums = [[0.0f32; L]; SUMS];
    let (a_lanes, a_rest) = a.as_chunks::<L>();
    let (b_lanes, b_rest) = b.as_chunks::<L>();
    let (a_four, a_three) = a_lanes.as_chunks::<SUMS>();
    let (b_four, b_three) = b_lanes.as_chunks::<SUMS>();
    for (a, b) in a_four.iter().zip(b_four) {
        for s in 0..SUMS {
            for l in 0..L {
                sums[s][l] = multiply_add::<FUSED>(a[s][l], b[s][l], sums[s][l]);
            }
        }
    }
    for (a, b) in a_three.iter().zip(b_three) {
        for l in 0..L {
            sums[0][l] = multiply_add::<FUSED>(a[l], b[l], sums[0][l]);
        }
    }
    let [first, others @ ..] = &mut sums;
    for other in others {
        for l in 0..L {
            first[l] += other[l];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    first.iter().sum::<f32>() + rest
}

/// Rows abreast in `some`.
const ABREAST: usize = 8;
/// Times that `some` wants each value of a query which is not alone: a vector register's worth, of
/// which one lane is looked at. That is faster than the same sums one by one.
const COPIES: usize = 4;

/// Similarities of rows with one query: each sum as `single` makes it where the query is alone,
/// else as `many` does.
#[inline(always)]
fn some<const L: usize, const FUSED: bool>(
    values: &[f32],
    dim: usize,
    query: &[f32],
    out: &mut [f32],
) {
    if query.len() == dim {
        for (similarity, row) in out.iter_mut().zip(values.chunks_exact(dim)) {
            *similarity = dot::<L, FUSED>(row, query);
        }
        return;
    }
    // As in `many`: what lies behind the last rows is not looked at.
    let mut last = Vec::new();
    let mut sums = [[[0.0; COPIES]; 1]; ABREAST];
    for (out, mut values) in out.chunks_mut(ABREAST).zip(values.chunks(ABREAST * dim)) {
        if out.len() < ABREAST {
            last.extend_from_slice(values);
            last.resize(ABREAST * dim, 0.0);
            values = &last;
        }
        tile::<ABREAST, COPIES, 1, FUSED>(values, query, dim, &mut sums);
        for (similarity, sums) in out.iter_mut().zip(&sums) {
            *similarity = sums[0][0];
        }
    }
}

#[cfg(test)]
mod tests;
