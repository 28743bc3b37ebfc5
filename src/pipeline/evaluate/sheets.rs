//! What an evaluation shows of its probes: their best matches, and what carried them.

use super::saliency::{Saliency, saliency};
use super::{EvaluateError, Judge};
use crate::dataset::{CaptureRef, Modality, SampleSource, whole_view};
use crate::eval::{Undefined, answering_template, round_scores};
use crate::io::{IoError, Picture, write_atomically};
use crate::maps::{Plane, Size};
use crate::report::{Caption, Cell, Frame, contact_sheet, view_picture};
use crate::train::{Embedder, stored_side};
use std::path::Path;

/// Rows of the sheet of matches, and matches in each.
const ROWS: usize = 20;
const MATCHES: usize = 5;

/// A probe of the first round and everybody enrolled, the most similar first.
pub(super) struct Ranked {
    probe: usize,
    /// Person and similarity.
    ranking: Vec<(usize, f64)>,
    /// The place of the probe's own person, 1 for the first.
    rank: usize,
}

/// A map of a capture as the network would see all of it.
struct Shown {
    modality: Modality,
    picture: Picture,
}

impl Judge<'_> {
    /// Of the first round: wrong answers first, the worst at the top, then right ones spread over the
    /// probes.
    pub fn ranked(&self, vectors: &[Vec<f32>]) -> Result<Vec<Ranked>, EvaluateError> {
        let impossible = |reason: Undefined| EvaluateError::Impossible(reason.to_string());
        let round = &self.protocol.rounds[0];
        let scores = round_scores(round, &round.probes, vectors, self.merge).map_err(impossible)?;
        let ranked = round.probes.iter().zip(scores).map(|(&probe, scores)| {
            let own = self.protocol.person[probe];
            let as_similar = |&other: &usize| other != own && scores[other] >= scores[own];
            let rank = 1 + (0..scores.len()).filter(as_similar).count();
            let mut ranking: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
            ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
            Ranked { probe, ranking, rank }
        });
        let (mut wrong, right): (Vec<Ranked>, Vec<Ranked>) = ranked.partition(|r| r.rank > 1);
        wrong.sort_by_key(|ranked| std::cmp::Reverse(ranked.rank));
        wrong.truncate(ROWS / 2);
        let room = ROWS - wrong.len();
        let step = right.len().div_ceil(room).max(1);
        wrong.extend(right.into_iter().step_by(step));
        Ok(wrong)
    }

    fn capture(&self, at: usize) -> CaptureRef<'_> {
        self.captures[at]
    }

    fn maps(&self, source: &SampleSource, at: usize) -> Vec<Shown> {
        let sample = source.sample(self.capture(at));
        let side = stored_side(self.config.input_side);
        let view = whole_view(&sample, side);
        let maps = sample.maps.iter().zip(&view.maps);
        maps.map(|(&(modality, _), map)| Shown {
            modality,
            picture: view_picture(map, side, modality),
        })
        .collect()
    }

    fn pictures(&self, source: &SampleSource, at: usize) -> Vec<Picture> {
        self.maps(source, at).into_iter().map(|shown| shown.picture).collect()
    }

    /// "id/session" in two lines.
    fn name_lines(&self, at: usize) -> [Caption; 2] {
        let row = self.capture(at).row;
        [row.id.clone(), row.session.clone()].map(|text| Caption { text, quiet: false })
    }

    /// A line for each label; in grey those that are also `other`'s.
    fn label_lines(&self, at: usize, other: Option<usize>) -> Vec<Caption> {
        let labels = &self.capture(at).row.labels;
        let compared = other.map(|other| &self.capture(other).row.labels);
        let line = |(name, value): (&String, &String)| Caption {
            text: format!("{}: {value}", name.replace('_', " ")),
            quiet: compared.is_none_or(|compared| compared.get(name) == Some(value)),
        };
        labels.iter().map(line).collect()
    }

    fn match_cell(
        &self,
        source: &SampleSource,
        probe: usize,
        (person, similarity): (usize, f64),
        at: usize,
    ) -> Cell {
        let right = person == self.protocol.person[probe];
        let mut captions = self.name_lines(at).to_vec();
        captions.push(Caption { text: format!("{similarity:.3}"), quiet: false });
        captions.extend(self.label_lines(at, Some(probe)));
        let frame = if right { Frame::Right } else { Frame::Wrong };
        Cell { pictures: self.pictures(source, at), frame, captions }
    }

    /// Each probe with its best matches, in all modalities.
    pub fn match_sheet(
        &self,
        ranked: &[Ranked],
        vectors: &[Vec<f32>],
        source: &SampleSource,
    ) -> Result<Picture, EvaluateError> {
        let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(ranked.len());
        for Ranked { probe, ranking, rank } in ranked {
            let mut captions = self.name_lines(*probe).to_vec();
            captions.push(Caption { text: format!("right one: rank {rank}"), quiet: *rank == 1 });
            captions.extend(self.label_lines(*probe, None));
            let pictures = self.pictures(source, *probe);
            let mut cells = vec![Cell { pictures, frame: Frame::Neutral, captions }];
            for &found in ranking.iter().take(MATCHES) {
                let (at, _) = self.answering(found.0, *probe, vectors)?;
                cells.push(self.match_cell(source, *probe, found, at));
            }
            rows.push(cells);
        }
        let title = format!(
            "{} probes of {} people: mistakes first, then a selection",
            self.protocol.rounds[0].probes.len(),
            self.protocol.people()
        );
        let headings: Vec<String> = std::iter::once("probe".to_string())
            .chain((1..=MATCHES.min(self.protocol.people())).map(|rank| format!("match {rank}")))
            .collect();
        Ok(contact_sheet(&title, &headings, &rows))
    }

    /// The capture that answered for an enrolled person, and the vector that the probe was compared with.
    fn answering(
        &self,
        person: usize,
        probe: usize,
        vectors: &[Vec<f32>],
    ) -> Result<(usize, Vec<f32>), EvaluateError> {
        let templates = &self.protocol.rounds[0].enrolled[person];
        answering_template(templates, probe, vectors, self.merge)
            .map_err(|reason| EvaluateError::Impossible(reason.to_string()))
    }

    /// What carried the best match of the first `count` of these probes: a sheet, and a table of how
    /// similar they are with each map hidden.
    pub fn saliency_sheet(
        &self,
        ranked: &[Ranked],
        count: usize,
        vectors: &[Vec<f32>],
        source: &SampleSource,
        embedder: &Embedder<'_>,
        table: &Path,
    ) -> Result<Picture, EvaluateError> {
        let side = self.config.input_side;
        let mut rows = Vec::new();
        let mut lines = Vec::new();
        for Ranked { probe, ranking, .. } in ranked.iter().take(count) {
            let found = ranking[0];
            let (template, vector) = self.answering(found.0, *probe, vectors)?;
            let view = whole_view(&source.sample(self.capture(*probe)), side);
            let embed = |views: &[_]| -> Result<Vec<Vec<f32>>, String> {
                Ok(embedder.views(views)?.into_iter().map(|e| e.identity).collect())
            };
            let maps = saliency(&view, side, &vector, embed).map_err(EvaluateError::Impossible)?;
            let strongest =
                maps.iter().flat_map(|m| &m.plane.data).fold(0.0f32, |most, v| most.max(v.abs()));
            let shown = self.maps(source, *probe);
            let overlays = shown.iter().zip(&maps);
            let overlays =
                overlays.map(|(s, m)| overlaid(&s.picture, &m.plane, strongest)).collect();
            let mut captions = self.name_lines(*probe).to_vec();
            for (shown, Saliency { without, .. }) in shown.iter().zip(&maps) {
                let text = format!("no {}: {without:.3}", shown.modality.name());
                captions.push(Caption { text, quiet: false });
            }
            let plain = Cell {
                pictures: shown.iter().map(|s| s.picture.clone()).collect(),
                frame: Frame::Neutral,
                captions: self.name_lines(*probe).to_vec(),
            };
            let heat = Cell { pictures: overlays, frame: Frame::Neutral, captions };
            rows.push(vec![plain, heat, self.match_cell(source, *probe, found, template)]);
            for (shown, map) in shown.iter().zip(&maps) {
                lines.push(SaliencyLine {
                    probe: self.capture(*probe).row.name(),
                    matched: self.capture(template).row.name(),
                    right: found.0 == self.protocol.person[*probe],
                    similarity: found.1,
                    modality: shown.modality.name(),
                    similarity_without: map.without,
                });
            }
        }
        write_table(table, &lines)?;
        let title = "What carried the best match: red for, blue against it; strongest colour: most of a row";
        let headings = ["probe", "what carried it", "best match"];
        Ok(contact_sheet(title, &headings.map(String::from), &rows))
    }
}

/// A row of the table of saliency.
#[derive(serde::Serialize)]
struct SaliencyLine {
    probe: String,
    #[serde(rename = "match")]
    matched: String,
    right: bool,
    similarity: f64,
    modality: &'static str,
    /// With the whole of this map hidden.
    similarity_without: f64,
}

fn write_table(path: &Path, lines: &[SaliencyLine]) -> Result<(), IoError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let unsuitable = |e: String| IoError::unsuitable(path, e);
    for line in lines {
        table.serialize(line).map_err(|e| unsuitable(e.to_string()))?;
    }
    let bytes = table.into_inner().map_err(|e| unsuitable(e.to_string()))?;
    write_atomically(path, |out| out.write_all(&bytes))
}

/// A picture in faint grey under red where `plane` is positive and blue where it is negative.
fn overlaid(picture: &Picture, plane: &Plane<f32>, strongest: f32) -> Picture {
    let Size { height, width } = picture.size;
    Picture::from_fn(picture.size, |p| {
        let (row, column) = (p / width, p % width);
        let at = |i: usize, from: usize, to: usize| (i * to / from).min(to - 1);
        let value =
            *plane.at(at(row, height, plane.size.height), at(column, width, plane.size.width));
        let share = (value / strongest.max(1e-12)).clamp(-1.0, 1.0);
        let colour = if share > 0.0 { [220.0, 30.0, 20.0] } else { [30.0, 70.0, 220.0] };
        let [r, g, b] = picture.get(row, column).map(f32::from);
        let grey = 60.0 + 0.7 * (0.2126 * r + 0.7152 * g + 0.0722 * b);
        colour.map(|c: f32| (grey + share.abs() * 0.85 * (c - grey)).round() as u8)
    })
}
