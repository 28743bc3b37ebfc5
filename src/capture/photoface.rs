//! The Photoface layout: `<root>/<id>/<session>/im0..3.*` with a light file, and
//! `<root>/metadata.csv` (Zafeiriou et al. 2011, "The Photoface database").
//!
//! The light file, `LightSource.*`, gives zenith and azimuth in degrees for each image in turn
//! (see [`light_from_zenith_azimuth`]). An image called `ambient` or `dark` is a frame without
//! the lamps and is taken off the others; `mask` is the subject's.

use super::folders::{CaptureFolder, Listing, capture_folders, file_name, is_image, twice};
use super::light_files::read_small_text;
use super::{CaptureError, CaptureSource, Inventory, Rig, read_label_table};
use crate::geometry::light_from_zenith_azimuth;
use crate::maps::Lights;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LIGHT_FILE_STEM: &str = "lightsource";

pub(super) fn find(root: &Path, label_file: Option<&Path>) -> Result<Inventory, CaptureError> {
    let default_label_file = root.join("metadata.csv");
    let mut unlabelled_warning = None;
    let mut labels = match label_file {
        Some(path) => read_label_table(path)?,
        None if default_label_file.exists() => read_label_table(&default_label_file)?,
        None => {
            unlabelled_warning = Some("the data set has no metadata.csv: no labels".to_string());
            BTreeMap::new()
        }
    };
    // Where folders of people and sessions are, a stray image is not a capture, but a session
    // without its light file is one that wants mending.
    let is_session = |listing: &Listing, depth: usize| {
        let (lights, images) = signs(listing);
        if depth == 2 { lights || images } else { lights && images }
    };
    let (folders, problems) = capture_folders(root, &is_session)?;
    let mut inventory = Inventory { problems, ..Inventory::default() };
    for CaptureFolder { id, session, listing } in folders {
        let row = labels.remove(&(id.clone(), session.clone()));
        let mut warnings: Vec<String> = unlabelled_warning.iter().cloned().collect();
        if row.is_none() && unlabelled_warning.is_none() {
            warnings.push("no row in the label table".into());
        }
        inventory.add(read_session(&listing).map(|session_files| CaptureSource {
            images: session_files.images,
            labels: row.unwrap_or_default(),
            warnings,
            rig: session_files.rig,
            ..CaptureSource::new(id, session, &listing.folder, session_files.lights)
        }));
    }
    let label_file = label_file.unwrap_or(&default_label_file);
    for (id, session) in labels.into_keys() {
        inventory.problems.push(format!(
            "{}: the row {id}/{session} names a folder that is missing or empty; restore it or delete the row",
            label_file.display()
        ));
    }
    Ok(inventory)
}

/// `im12.png` → 12.
pub(super) fn image_number(path: &Path) -> Option<usize> {
    let stem = path.file_stem()?.to_str()?.to_lowercase();
    let digits = stem.strip_prefix("im").filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|_| is_image(path))
}

pub(super) fn is_light_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case(LIGHT_FILE_STEM))
}

/// Whether a folder holds a light file, and numbered images.
fn signs(listing: &Listing) -> (bool, bool) {
    let any = |is: fn(&Path) -> bool| listing.files.iter().any(|path| is(path));
    (any(is_light_file), any(|path| image_number(path).is_some()))
}

pub(super) fn is_capture(listing: &Listing) -> bool {
    signs(listing) == (true, true)
}

struct SessionFiles {
    images: Vec<PathBuf>,
    lights: Lights,
    rig: Rig,
}

/// Images by number and their lights. The light file says how many images there should be.
fn read_session(listing: &Listing) -> Result<SessionFiles, CaptureError> {
    let folder = listing.folder.as_path();
    let mut light_file: Option<&Path> = None;
    let mut numbered: BTreeMap<usize, &Path> = BTreeMap::new();
    for path in &listing.files {
        let first = if is_light_file(path) {
            light_file.replace(path)
        } else {
            image_number(path).and_then(|number| numbered.insert(number, path))
        };
        if let Some(first) = first {
            return Err(twice(folder, first, path));
        }
    }
    let light_file = light_file.ok_or_else(|| {
        CaptureError::malformed(
            folder,
            "has no light file; add LightSource.txt with zenith and azimuth in degrees for each image",
        )
    })?;
    let lights = read_light_file(light_file)?;
    if let Some((&number, path)) = numbered.iter().next_back()
        && number >= lights.len()
    {
        return Err(CaptureError::malformed(
            light_file,
            format!(
                "has {} lights, but there is an image {}; give one for each image",
                lights.len(),
                file_name(path)
            ),
        ));
    }
    // A missing image keeps its place, so that the others keep their lights; loading says so.
    let extension = numbered.values().next().and_then(|path| path.extension()).unwrap_or_default();
    let images = (0..lights.len())
        .map(|number| {
            numbered
                .get(&number)
                .map(|path| path.to_path_buf())
                .unwrap_or_else(|| folder.join(format!("im{number}")).with_extension(extension))
        })
        .collect();
    let optional =
        |stems: &[&str]| listing.image_called(stems).map(|path| path.map(Path::to_path_buf));
    let (ambient, mask) = (optional(&["ambient", "dark"])?, optional(&["mask"])?);
    Ok(SessionFiles { images, lights, rig: Rig { ambient, mask, ..Rig::default() } })
}

fn read_light_file(path: &Path) -> Result<Lights, CaptureError> {
    let angles = read_angles(path)?;
    let directions = angles.iter().map(|&[z, a]| light_from_zenith_azimuth(z, a)).collect();
    Ok(Lights::directional(directions))
}

/// Reads zenith and azimuth of each image in turn, in degrees, separated by any white space or
/// commas: the set has files with all numbers in one line.
pub(super) fn read_angles(path: &Path) -> Result<Vec<[f32; 2]>, CaptureError> {
    let malformed = |reason: String| CaptureError::malformed(path, reason);
    let text = read_small_text(path)?;
    let angles = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|field| !field.is_empty())
        .map(|field| match field.parse::<f32>() {
            // More than a turn is no angle, and its sine has no digits left.
            Ok(value) if value.abs() <= 360.0 => Ok(value),
            Ok(value) if value.is_finite() => {
                Err(malformed(format!("`{value}` is no angle between −360 and 360 degrees")))
            }
            _ => {
                let field: String = field.chars().take(40).collect();
                Err(malformed(format!("`{field}` is not a number; give angles in degrees")))
            }
        })
        .collect::<Result<Vec<f32>, _>>()?;
    let (pairs, rest) = angles.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() < 3 {
        return Err(malformed(format!(
            "has {} entries; give zenith and azimuth in degrees for each of at least 3 images",
            angles.len()
        )));
    }
    Ok(pairs.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FOUR_LIGHTS: &str = "15.7 117.3 17.9 50.3 18.4 302.8 20.0 229.3";

    fn session(root: &Path, name: &str, lights: &str, images: &[usize]) {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("LightSource.txt"), lights).unwrap();
        for i in images {
            fs::write(folder.join(format!("im{i}.bmp")), "").unwrap();
        }
    }

    #[test]
    fn sessions_labels_and_missing_folders_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        session(root.path(), "1001/s1", FOUR_LIGHTS, &[0, 1, 2, 3]);
        session(root.path(), "1002/s1", FOUR_LIGHTS, &[0, 1, 3]);
        fs::write(
            root.path().join("metadata.csv"),
            "id,session,Gender\n1001,s1,male\n1009,s1,female\n",
        )
        .unwrap();
        let found = find(root.path(), None).unwrap();
        assert_eq!(found.captures.len(), 2);
        assert_eq!(found.captures[0].labels["gender"], "male");
        assert_eq!(found.captures[0].lights.len(), 4);
        assert!(
            found.captures[1].images[2].ends_with("im2.bmp"),
            "the missing image keeps its place"
        );
        assert_eq!(found.captures[1].warnings, ["no row in the label table"]);
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].contains("1009/s1"), "{}", found.problems[0]);
    }

    #[test]
    fn bad_light_files_are_named() {
        let cases = [
            ("15.7 117.3\n17.9\n18.4 302.8\n20 229", "has 7 entries"),
            ("15.7 117.3\n17.9 abc\n18.4 302.8\n20 229", "`abc` is not a number"),
            ("15.7 117.3\n17.9 NaN\n18.4 302.8\n20 229", "`NaN` is not a number"),
            ("15.7 117.3\n17.9 50.3", "has 4 entries"),
            ("15.7 117.3\n17.9 50.3\n18.4 302.8", "has 3 lights, but there is an image im3.bmp"),
        ];
        for (lights, want) in cases {
            let root = tempfile::tempdir().unwrap();
            session(root.path(), "1001/s1", lights, &[0, 1, 2, 3]);
            let found = find(root.path(), None).unwrap();
            assert!(found.captures.is_empty());
            let message = &found.problems[0];
            assert!(message.contains(want) && message.contains("LightSource.txt"), "{message}");
        }
    }
}
