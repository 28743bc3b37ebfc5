//! Maps that cannot be read, or that do not fit each other.

use super::{Entry, Finding, Kind, MapKind, Severity, counted, examples};
use crate::io::{IoError, read_mask, read_normals, read_picture, read_plane};
use crate::maps::Size;
use rayon::prelude::*;
use std::path::Path;

/// The size that maps must have, or `None` for a picture of any size.
fn read(kind: MapKind, path: &Path) -> Result<Option<Size>, IoError> {
    match kind {
        MapKind::Normals => read_normals(path).map(|map| Some(map.size)),
        MapKind::Plane => read_plane(path).map(|map| Some(map.size)),
        MapKind::Mask => read_mask(path).map(|map| Some(map.size)),
        MapKind::Preview => read_picture(path).map(|_| None),
    }
}

pub(super) fn check(entries: &[&Entry], on_file: &(dyn Fn() + Sync)) -> Vec<Finding> {
    let of_entry = |entry: &&Entry| {
        let (mut unreadable, mut wrong) = (Vec::new(), Vec::new());
        let mut wanted = entry.size;
        for (kind, path) in &entry.maps {
            match read(*kind, path) {
                Err(error) => unreadable.push(error.to_string()),
                Ok(Some(size)) if *wanted.get_or_insert(size) != size => {
                    let wanted = wanted.map(|size| size.to_string()).unwrap_or_default();
                    wrong.push(format!("{} is {size}, not {wanted}", path.display()));
                }
                Ok(_) => {}
            }
            on_file();
        }
        (unreadable, wrong)
    };
    let (unreadable, wrong): (Vec<Vec<String>>, Vec<Vec<String>>) =
        entries.par_iter().map(of_entry).unzip();
    let (unreadable, wrong) = (unreadable.concat(), wrong.concat());
    let remedy = "run `lumiface preprocess` on these captures again";
    let mut findings = Vec::new();
    for (kind, lines, one, more) in [
        (Kind::UnreadableFile, unreadable, "map cannot be read", "maps cannot be read"),
        (Kind::WrongSize, wrong, "map is of another size", "maps are of another size"),
    ] {
        if !lines.is_empty() {
            let count = lines.len();
            let message = format!("{}: {}", counted(count, one, more), examples(lines.into_iter()));
            findings.push(Finding::new(kind, Severity::Error, count, message, remedy));
        }
    }
    findings
}
