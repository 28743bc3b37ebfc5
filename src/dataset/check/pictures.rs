//! Pictures that are in two captures: the same file, or nearly the same picture.
//!
//! Compared are the lit images, all with all; of a capture without a readable one, the normals (their x
//! component as a picture). Captures that are known to share images with others of the person
//! (`training_only`) may.

use super::similar::{PictureHash, SIMILAR_BITS, picture_hash};
use super::{Entry, Finding, Kind, MapKind, Severity, counted, examples};
use crate::io::{read_normals, read_picture, sha256_hex};
use crate::maps::Plane;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file that was read, and the entries that it belongs to.
struct Picture<'a> {
    path: &'a Path,
    owners: Vec<&'a Entry>,
    sha256: String,
    hash: Option<PictureHash>,
}

pub(super) fn check(entries: &[&Entry], on_file: &(dyn Fn() + Sync)) -> Vec<Finding> {
    let mut owners: BTreeMap<&Path, Vec<&Entry>> = BTreeMap::new();
    for &entry in entries {
        for image in &entry.images {
            owners.entry(image).or_default().push(entry);
        }
    }
    let (mut pictures, unreadable) = read_all(owners, MapKind::Preview, on_file);
    let mut findings = Vec::new();
    if !unreadable.is_empty() {
        let message = format!(
            "{} cannot be read and so not be compared with others: {}",
            counted(unreadable.len(), "lit image", "lit images"),
            examples(unreadable.iter().cloned())
        );
        let remedy =
            "restore them where `preprocess` found them, or take maps alone to be compared";
        findings.push(Finding::new(
            Kind::UnreadableFile,
            Severity::Warning,
            unreadable.len(),
            message,
            remedy,
        ));
    }
    let mut normals: BTreeMap<&Path, Vec<&Entry>> = BTreeMap::new();
    let shown: BTreeSet<(&str, &str)> = pictures
        .iter()
        .flat_map(|picture| &picture.owners)
        .map(|owner| (owner.id.as_str(), owner.session.as_str()))
        .collect();
    let unseen = |entry: &&&Entry| !shown.contains(&(entry.id.as_str(), entry.session.as_str()));
    for &entry in entries.iter().filter(unseen) {
        for (_, path) in entry.maps.iter().filter(|(kind, _)| *kind == MapKind::Normals) {
            normals.entry(path).or_default().push(entry);
        }
    }
    // Maps that cannot be read are found where maps are read.
    pictures.extend(read_all(normals, MapKind::Normals, on_file).0);
    findings.extend(identical(&pictures));
    findings.extend(similar(&pictures));
    findings
}

/// Reads each file once; what cannot be read, one line each.
fn read_all<'a>(
    owners: BTreeMap<&'a Path, Vec<&'a Entry>>,
    kind: MapKind,
    on_file: &(dyn Fn() + Sync),
) -> (Vec<Picture<'a>>, Vec<String>) {
    let read: Vec<Result<Picture<'a>, String>> = owners
        .into_par_iter()
        .map(|(path, owners)| {
            let grey = match kind {
                MapKind::Normals => read_normals(path).map(|normals| {
                    let across = normals.data[..normals.size.area()].to_vec();
                    Plane::new(normals.size, across)
                }),
                _ => read_picture(path).map(|picture| {
                    let luma =
                        |rgb: &[u8]| rgb.iter().map(|v| f32::from(*v)).sum::<f32>() / (3.0 * 255.0);
                    Plane::new(picture.size, picture.data.chunks_exact(3).map(luma).collect())
                }),
            };
            on_file();
            let grey = grey.map_err(|e| e.to_string())?;
            let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(Picture { path, owners, sha256: sha256_hex(&bytes), hash: picture_hash(&grey) })
        })
        .collect();
    let (mut pictures, mut unreadable) = (Vec::new(), Vec::new());
    for result in read {
        match result {
            Ok(picture) => pictures.push(picture),
            Err(reason) => unreadable.push(reason),
        }
    }
    (pictures, unreadable)
}

/// How bad it is that two captures show the same; `None` where it is no fault.
fn severity(a: &Entry, b: &Entry) -> Option<Severity> {
    // One capture's images are compared where its quality is judged, a session that is listed twice
    // is another finding.
    if a.id == b.id && a.session == b.session {
        return None;
    }
    if a.id != b.id || a.part != b.part {
        return Some(Severity::Error);
    }
    (!a.training_only && !b.training_only).then_some(Severity::Warning)
}

/// The worst of two pictures' captures.
fn worst<'a>(a: &Picture<'a>, b: &Picture<'a>) -> Option<(Severity, &'a Entry, &'a Entry)> {
    let pairs = a.owners.iter().flat_map(|x| b.owners.iter().map(move |y| (*x, *y)));
    pairs.filter_map(|(x, y)| Some((severity(x, y)?, x, y))).max_by_key(|(severity, ..)| *severity)
}

/// "1001/a im0.png = 1002/b im0.png"
fn described(a: (&Entry, &Path), b: (&Entry, &Path), relation: &str) -> String {
    let name = |(entry, path): (&Entry, &Path)| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = entry.part.map(|part| format!(" ({part})")).unwrap_or_default();
        format!("{} {file}{part}", entry.name())
    };
    format!("{} {relation} {}", name(a), name(b))
}

/// The findings of two severities, where there is anything.
fn findings(
    kind: Kind,
    found: [(Severity, usize, Vec<String>); 2],
    what: [&str; 2],
    remedies: [&str; 2],
) -> Vec<Finding> {
    found
        .into_iter()
        .zip(remedies)
        .filter(|((_, count, _), _)| *count > 0)
        .map(|((severity, count, shown), remedy)| {
            let scope = match severity {
                Severity::Error => "in two parts or of two people",
                Severity::Warning => "in two sessions of one person",
            };
            let more = count.saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message =
                format!("{} {scope}: {}{more}", counted(count, what[0], what[1]), shown.join(", "));
            Finding::new(kind, severity, count, message, remedy)
        })
        .collect()
}

const REMEDIES: [&str; 2] = [
    "one of them is mislabelled or was copied: look at both and keep one",
    "keep one of them: a genuine pair of one picture says nothing",
];

/// Files of the same bytes, or one file that is listed for two captures.
fn identical(pictures: &[Picture<'_>]) -> Vec<Finding> {
    let mut groups: BTreeMap<&str, Vec<&Picture<'_>>> = BTreeMap::new();
    for picture in pictures {
        groups.entry(&picture.sha256).or_default().push(picture);
    }
    let mut found = [(Severity::Error, 0, Vec::new()), (Severity::Warning, 0, Vec::new())];
    for group in groups.values() {
        let owned: Vec<(&Entry, &Path)> = group
            .iter()
            .flat_map(|picture| picture.owners.iter().map(|owner| (*owner, picture.path)))
            .collect();
        let pairs = owned
            .iter()
            .enumerate()
            .flat_map(|(i, a)| owned[i + 1..].iter().map(move |b| (*a, *b)));
        let worst = pairs
            .filter_map(|(a, b)| Some((severity(a.0, b.0)?, a, b)))
            .max_by_key(|(severity, ..)| *severity);
        let Some((severity, a, b)) = worst else { continue };
        let (_, count, shown) = &mut found[usize::from(severity == Severity::Warning)];
        *count += 1;
        if shown.len() < 3 {
            shown.push(described(a, b, "="));
        }
    }
    findings(Kind::IdenticalPictures, found, ["picture is", "pictures are"], REMEDIES)
}

/// Pairs of pictures whose hashes nearly agree and whose bytes do not.
fn similar(pictures: &[Picture<'_>]) -> Vec<Finding> {
    let hashed: Vec<(&Picture<'_>, PictureHash)> =
        pictures.iter().filter_map(|picture| Some((picture, picture.hash?))).collect();
    /// How many, and the nearest few: (bits, positions).
    type Nearest = (usize, Vec<(u32, usize, usize)>);
    let keep = |(count, mut nearest): Nearest, (more, others): Nearest| {
        nearest.extend(others);
        nearest.sort_unstable();
        nearest.truncate(3);
        (count + more, nearest)
    };
    let found = (0..hashed.len())
        .into_par_iter()
        .map(|i| {
            let (a, hash) = hashed[i];
            let mut found = [Nearest::default(), Nearest::default()];
            for (j, (b, other)) in hashed.iter().enumerate().skip(i + 1) {
                let distance = hash.distance(*other);
                if distance > SIMILAR_BITS || a.sha256 == b.sha256 {
                    continue;
                }
                if let Some((severity, ..)) = worst(a, b) {
                    let of = &mut found[usize::from(severity == Severity::Warning)];
                    *of = keep(std::mem::take(of), (1, vec![(distance, i, j)]));
                }
            }
            found
        })
        .reduce(Default::default, |[a, b], [c, d]| [keep(a, c), keep(b, d)]);
    let severities = [Severity::Error, Severity::Warning];
    let mut described_pairs =
        severities.into_iter().zip(found).map(|(severity, (count, nearest))| {
            let shown = nearest.iter().filter_map(|&(bits, i, j)| {
                let (a, b) = (hashed[i].0, hashed[j].0);
                let (_, x, y) = worst(a, b)?;
                Some(described((x, a.path), (y, b.path), &format!("~ ({bits} bits)")))
            });
            (severity, count, shown.collect::<Vec<String>>())
        });
    let (Some(errors), Some(warnings)) = (described_pairs.next(), described_pairs.next()) else {
        return Vec::new();
    };
    findings(
        Kind::SimilarPictures,
        [errors, warnings],
        ["pair of pictures is nearly one", "pairs of pictures are nearly one"],
        REMEDIES,
    )
}
