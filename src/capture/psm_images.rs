//! The University of Washington's course set ("psmImages"): beside `lights.txt` (a count, then
//! x y z a line: x right, y up, z to the camera) one text file an object, `cat.txt`: the number
//! of images, their paths as seen from the folder above, and the mask's path (may be left out).
//!
//! The objects `chrome` and `gray` are light probes, not subjects, and are left out. Highlights on
//! the chrome sphere confirm the frame of `lights.txt`; a test looks at them.

use super::folders::{Listing, ONLY_SESSION, capture_folders, file_name, file_stem, is_image};
use super::light_files::{number_rows, read_small_text, same_count, unit_directions};
use super::{CaptureError, CaptureSource, Inventory, Rig};
use crate::geometry::Vec3;
use crate::maps::Lights;
use std::path::{Path, PathBuf};

const LIGHTS: &str = "lights.txt";
const PROBES: [&str; 3] = ["chrome", "gray", "grey"];

/// A text file that is named after an object and says how many images there are.
fn object_lists(listing: &Listing) -> impl Iterator<Item = &PathBuf> {
    listing.files.iter().filter(|path| {
        let name = file_name(path).to_lowercase();
        name.ends_with(".txt") && name != LIGHTS && names_images(path)
    })
}

fn names_images(path: &Path) -> bool {
    read_small_text(path)
        .is_ok_and(|text| text.lines().skip(1).any(|line| is_image(Path::new(line.trim()))))
}

pub(super) fn is_capture(listing: &Listing) -> bool {
    listing.file(LIGHTS).is_some() && object_lists(listing).next().is_some()
}

pub(super) fn find(root: &Path) -> Result<Inventory, CaptureError> {
    let (folders, problems) = capture_folders(root, &|listing, _| is_capture(listing))?;
    let mut inventory = Inventory { problems, ..Inventory::default() };
    for found in folders {
        // One folder holds several objects: they are the ids, and the folders the sessions.
        let below = found.listing.folder.strip_prefix(root).unwrap_or(Path::new(""));
        let names: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
        let session = if names.is_empty() { ONLY_SESSION.to_string() } else { names.join("-") };
        match read_lights(&found.listing) {
            Err(error) => inventory.problems.push(error.to_string()),
            Ok(lights) => {
                for list in object_lists(&found.listing) {
                    let object = file_stem(list);
                    if !PROBES.contains(&object.to_lowercase().as_str()) {
                        inventory.add(read_object(&found.listing, list, &session, &lights));
                    }
                }
            }
        }
    }
    Ok(inventory)
}

fn read_lights(listing: &Listing) -> Result<Vec<Vec3>, CaptureError> {
    let path = listing.file(LIGHTS).map_or_else(|| listing.folder.join(LIGHTS), Path::to_path_buf);
    read_counted_lights(&path)
}

/// Reads a count, then x, y and z a line.
pub(super) fn read_counted_lights(path: &Path) -> Result<Vec<Vec3>, CaptureError> {
    let rows = number_rows(path, &read_small_text(path)?)?;
    let malformed = |reason: String| Err(CaptureError::malformed(path, reason));
    let Some(([count], rows)) = rows.split_first().map(|(first, rest)| (first.as_slice(), rest))
    else {
        return malformed("the first line is not the number of lights; add it".into());
    };
    if *count != rows.len() as f64 {
        return malformed(format!("announces {count} lights, but {} follow", rows.len()));
    }
    let mut directions = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        match row.as_slice() {
            &[x, y, z] => directions.push([x, y, z]),
            other => {
                let reason = format!("light {} has {} numbers; give x, y, z", i + 1, other.len());
                return malformed(reason);
            }
        }
    }
    unit_directions(path, &directions)
}

fn read_object(
    listing: &Listing,
    list: &Path,
    session: &str,
    lights: &[Vec3],
) -> Result<CaptureSource, CaptureError> {
    let text = read_small_text(list)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let malformed = |reason: String| Err(CaptureError::malformed(list, reason));
    let first = lines.next().unwrap_or_default();
    let Ok(count) = first.parse::<usize>() else {
        return malformed(format!("the first line, `{first}`, is not the number of images"));
    };
    let paths: Vec<PathBuf> = lines.map(|line| resolve(&listing.folder, line)).collect();
    let mask = match paths.len().checked_sub(count) {
        Some(0) => None,
        Some(1) => paths.last().cloned(),
        _ => {
            let reason =
                format!("announces {count} images and perhaps a mask, {} follow", paths.len());
            return malformed(reason);
        }
    };
    same_count(list, (count, "images"), (lights.len(), &format!("lights in {LIGHTS}")))?;
    let lights = Lights::directional(lights.to_vec());
    Ok(CaptureSource {
        images: paths[..count].to_vec(),
        rig: Rig { mask, ..Rig::default() },
        ..CaptureSource::new(file_stem(list), session.to_string(), &listing.folder, lights)
    })
}

/// The listed path as seen from the folder above, else with leading folders left out until a file
/// is found: the set is often unpacked under another name.
fn resolve(folder: &Path, listed: &str) -> PathBuf {
    let listed = listed.replace('\\', "/");
    let parts: Vec<&str> = listed.split('/').filter(|p| !["", ".", ".."].contains(p)).collect();
    let named = |skipped: usize| folder.join(parts[skipped..].iter().collect::<PathBuf>());
    let candidates = (0..parts.len()).map(named);
    candidates.into_iter().find(|path| path.is_file()).unwrap_or_else(|| named(parts.len().min(1)))
}
