//! Runs the networks over the windows of a picture: on the CPU tile by tile and on all cores, on other
//! devices in batches. Neither holds the picture at any other size.

use super::cpu::{CpuNets, Scratch};
use super::kernels::Features;
use super::nets::{BurnNets, Net};
use super::pyramid::Level;
use super::weights::WeightSet;
use crate::face::view::{Span, View, spans};
use crate::maps::Size;
use burn::tensor::Device;
use rayon::prelude::*;

pub enum Engine {
    Cpu(CpuNets),
    Device(Box<BurnNets>),
}

/// A window of a level that may show a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Of the output of P-net.
    pub row: usize,
    pub column: usize,
    pub score: f32,
    /// By which shares of its sides the left, upper, right and lower edge are to be moved.
    pub shifts: [f32; 4],
}

/// Part of the output of P-net at one level.
#[derive(Clone, Copy)]
struct Tile {
    level: usize,
    rows: Span,
    columns: Span,
}

/// Pixels from one output of P-net to the next.
pub const STRIDE: usize = 2;

impl Engine {
    pub fn new(weights: &WeightSet, device: &Device) -> Self {
        if *device == Device::flex() {
            Self::Cpu(CpuNets::new(weights))
        } else {
            Self::Device(Box::new(BurnNets::load(weights, device)))
        }
    }

    /// What P-net finds with at least this probability, level by level, each row by row.
    pub fn propose(&self, view: View, levels: &[Level], least: f32) -> Vec<Vec<Proposal>> {
        let source = view.size();
        let spans: Vec<[Vec<Span>; 2]> = levels
            .iter()
            .map(|level| {
                let of = |length, count| spans(0, length, count).collect();
                [of(source.height, level.size.height), of(source.width, level.size.width)]
            })
            .collect();
        // 32×64 outputs of the widest layer stay in the second-level cache; a device wants much at once.
        let most = match self {
            Self::Cpu(_) => Size::new(32, 64),
            Self::Device(_) => Size::new(1024, 1024),
        };
        let tiles: Vec<Tile> =
            levels.iter().enumerate().flat_map(|(at, level)| tiles(at, level.size, most)).collect();
        let search = |tile: &Tile, scratch: &mut Scratch| {
            let [rows, columns] = &spans[tile.level];
            let rows = &rows[input_of(tile.rows, rows.len())];
            let columns = &columns[input_of(tile.columns, columns.len())];
            let mut pixels = Vec::new();
            view.average(rows, columns, &mut pixels);
            let pixels = Features { shape: [1, rows.len(), columns.len(), 3], data: pixels };
            proposals(&self.forward(Net::P, &pixels, scratch), tile, least)
        };
        let found: Vec<Vec<Proposal>> = match self {
            Self::Cpu(_) => tiles
                .par_iter()
                .map_init(Scratch::default, |scratch, tile| search(tile, scratch))
                .collect(),
            Self::Device(_) => {
                tiles.iter().map(|tile| search(tile, &mut Scratch::default())).collect()
            }
        };
        let mut by_level = vec![Vec::new(); levels.len()];
        for (tile, found) in tiles.iter().zip(found) {
            by_level[tile.level].extend(found);
        }
        for found in &mut by_level {
            found.sort_by_key(|proposal: &Proposal| (proposal.row, proposal.column));
        }
        by_level
    }

    /// What R-net or O-net says of windows (rows, columns), a row of values each.
    pub fn judge<const N: usize>(
        &self,
        net: Net,
        view: View,
        windows: &[(Span, Span)],
    ) -> Vec<[f32; N]> {
        let side = if net == Net::R { 24 } else { 48 };
        let judge = |windows: &[(Span, Span)], scratch: &mut Scratch| {
            let mut pixels = Vec::new();
            for &(rows, columns) in windows {
                view.window(rows, columns, side, &mut pixels);
            }
            let pixels = Features { shape: [windows.len(), side, side, 3], data: pixels };
            let out = self.forward(net, &pixels, scratch);
            out.data.as_chunks::<N>().0.to_vec()
        };
        match self {
            Self::Cpu(_) => windows
                .par_chunks(8)
                .map_init(Scratch::default, |scratch, windows| judge(windows, scratch))
                .flatten_iter()
                .collect(),
            Self::Device(_) => windows
                .chunks(512)
                .flat_map(|windows| judge(windows, &mut Scratch::default()))
                .collect(),
        }
    }

    fn forward(&self, net: Net, pictures: &Features, scratch: &mut Scratch) -> Features {
        match self {
            Self::Cpu(nets) => nets.forward(net, pictures, scratch),
            Self::Device(nets) => nets.forward(net, pictures),
        }
    }
}

/// Outputs of P-net over so many pixels.
fn outputs_over(pixels: usize) -> usize {
    // A convolution takes 2, pooling half of the rest and what is left over, two convolutions 4.
    (pixels.saturating_sub(2)).div_ceil(STRIDE).saturating_sub(4)
}

/// The pixels that a span of outputs of P-net depends on.
fn input_of(outputs: Span, pixels: usize) -> std::ops::Range<usize> {
    STRIDE * outputs.0..(STRIDE * outputs.1 + 10).min(pixels)
}

fn tiles(level: usize, size: Size, most: Size) -> impl Iterator<Item = Tile> {
    let cut = |length: usize, most: usize| {
        (0..length).step_by(most).map(move |from| (from, (from + most).min(length)))
    };
    let columns = outputs_over(size.width);
    cut(outputs_over(size.height), most.height).flat_map(move |rows| {
        cut(columns, most.width).map(move |columns| Tile { level, rows, columns })
    })
}

fn proposals(out: &Features, tile: &Tile, least: f32) -> Vec<Proposal> {
    let [_, _, width, _] = out.shape;
    let places = out.data.as_chunks::<5>().0.iter().enumerate();
    places
        .filter(|(_, place)| place[0] >= least)
        .map(|(at, &[score, left, top, right, bottom])| Proposal {
            row: tile.rows.0 + at / width,
            column: tile.columns.0 + at % width,
            score,
            shifts: [left, top, right, bottom],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::detector::pyramid::levels;
    use crate::face::view::Turn;
    use crate::io::Picture;

    fn picture(height: usize, width: usize) -> Picture {
        let value = |i: usize| (i * 7919 % 251) as u8 / 2 + (i / 300 % 128) as u8;
        let data = (0..3 * height * width).map(value).collect();
        Picture { size: Size::new(height, width), data }
    }

    fn engines() -> [Engine; 2] {
        let (weights, device) = (WeightSet::random(2), Device::flex());
        [
            Engine::new(&weights, &device),
            Engine::Device(Box::new(BurnNets::load(&weights, &device))),
        ]
    }

    fn close(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() < 1e-5, "{a}, not {b}");
        }
    }

    /// The one goes tile by tile through kernels, the other through modules with each level whole.
    #[test]
    fn tiles_of_kernels_find_what_modules_find_in_the_whole() {
        let [kernels, modules] = engines();
        assert!(matches!(kernels, Engine::Cpu(_)));
        // Sides whose last tiles end on a whole window of pooling and on half of one.
        for (height, width) in [(150, 301), (151, 300), (164, 292), (24, 40)] {
            let picture = picture(height, width);
            let view = View::new(&picture, Turn::None);
            let levels = levels(picture.size, 12.0, 0.709);
            let [ours, theirs] =
                [&kernels, &modules].map(|engine| engine.propose(view, &levels, 0.0));
            assert_eq!(ours.len(), levels.len());
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let size = levels[at].size;
                let places = outputs_over(size.height) * outputs_over(size.width);
                assert_eq!((ours.len(), theirs.len()), (places, places));
                for (a, b) in ours.iter().zip(theirs) {
                    assert_eq!((a.row, a.column), (b.row, b.column));
                    close(&[a.score], &[b.score]);
                    close(&a.shifts, &b.shifts);
                }
            }
        }
    }

    #[test]
    fn kernels_judge_windows_as_modules_do() {
        let [kernels, modules] = engines();
        let picture = picture(120, 90);
        let view = View::new(&picture, Turn::Left);
        // More than a batch, from a pixel to more than the network's own size.
        let windows: Vec<(Span, Span)> =
            (0..21).map(|i| ((i, i + 1 + 3 * i), (2 * i, 2 * i + 1 + 3 * i))).collect();
        let [ours, theirs] =
            [&kernels, &modules].map(|engine| engine.judge::<5>(Net::R, view, &windows));
        assert_eq!(ours.len(), windows.len());
        close(ours.as_flattened(), theirs.as_flattened());
        let [ours, theirs] =
            [&kernels, &modules].map(|engine| engine.judge::<15>(Net::O, view, &windows));
        close(ours.as_flattened(), theirs.as_flattened());
        assert!(ours[0] != ours[20]);
        assert!(kernels.judge::<5>(Net::R, view, &[]).is_empty());
    }

    #[test]
    fn a_threshold_keeps_what_reaches_it() {
        let [kernels, _] = engines();
        let picture = picture(60, 80);
        let view = View::new(&picture, Turn::None);
        let levels = levels(picture.size, 20.0, 0.709);
        let all: Vec<Proposal> = kernels.propose(view, &levels, 0.0).concat();
        let least = all[all.len() / 2].score;
        let kept: Vec<Proposal> = kernels.propose(view, &levels, least).concat();
        let expected: Vec<Proposal> = all.into_iter().filter(|p| p.score >= least).collect();
        assert!(kept.len() > 1 && kept == expected);
    }
}
