//! The Photoface layout: `<root>/<id>/<session>/im0..3.*` with a light file, and
//! `<root>/metadata.csv` (Zafeiriou et al. 2011, "The Photoface database").
//!
//! The light file, `LightSource.*`, gives zenith and azimuth in degrees for each image in turn
//! (see [`light_from_zenith_azimuth`]).

use super::{CaptureError, CaptureSource, Inventory, Rig, read_label_table};
use crate::geometry::light_from_zenith_azimuth;
use crate::io::{IoError, read_text};
use crate::maps::Lights;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const IMAGE_EXTENSIONS: [&str; 9] =
    ["bmp", "png", "tif", "tiff", "pgm", "ppm", "jpg", "jpeg", "tga"];
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
    let mut inventory = Inventory::default();
    for id_folder in subfolders(root)? {
        let sessions = match subfolders(&id_folder) {
            Ok(sessions) => sessions,
            Err(error) => {
                inventory.problems.push(error.to_string());
                continue;
            }
        };
        for session_folder in sessions {
            if session_folder.to_str().is_none() {
                inventory.problems.push(format!(
                    "{}: the name is not UTF-8; rename the folder",
                    session_folder.display()
                ));
                continue;
            }
            let (id, session) = (file_name(&id_folder), file_name(&session_folder));
            let found = match read_session(&session_folder) {
                // Neither images nor lights: notes, or a folder of maps below the same root.
                Ok(None) => continue,
                Ok(Some(found)) => Ok(found),
                Err(error) => Err(error),
            };
            let row = labels.remove(&(id.clone(), session.clone()));
            let mut warnings: Vec<String> = unlabelled_warning.iter().cloned().collect();
            if row.is_none() && unlabelled_warning.is_none() {
                warnings.push("no row in the label table".into());
            }
            match found {
                Ok((images, lights)) => inventory.captures.push(CaptureSource {
                    id,
                    session,
                    folder: session_folder,
                    images,
                    lights,
                    labels: row.unwrap_or_default(),
                    training_only: false,
                    warnings,
                    rig: Rig::default(),
                }),
                Err(error) => inventory.problems.push(error.to_string()),
            }
        }
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

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let entries = std::fs::read_dir(folder).map_err(|e| IoError::from_system(folder, e))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| IoError::from_system(folder, e))?.path();
        let hidden = file_name(&path).starts_with('.');
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Images by number and their lights, or `None` where the folder holds neither. The light file
/// says how many images there should be.
fn read_session(folder: &Path) -> Result<Option<(Vec<PathBuf>, Lights)>, CaptureError> {
    let mut light_file: Option<PathBuf> = None;
    let mut numbered: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let entries = std::fs::read_dir(folder).map_err(|e| IoError::from_system(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| IoError::from_system(folder, e))?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let twice = |first: &Path| {
            CaptureError::malformed(
                folder,
                format!(
                    "has {} and {} for the same thing; keep one of them",
                    file_name(first),
                    file_name(&path)
                ),
            )
        };
        let digits = stem.strip_prefix("im").filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if stem == LIGHT_FILE_STEM {
            if let Some(first) = &light_file {
                return Err(twice(first));
            }
            light_file = Some(path);
        } else if let Some(number) = digits.and_then(|n| n.parse::<usize>().ok())
            && IMAGE_EXTENSIONS.contains(&extension.as_str())
        {
            if let Some(first) = numbered.get(&number) {
                return Err(twice(first));
            }
            numbered.insert(number, path);
        }
    }
    if light_file.is_none() && numbered.is_empty() {
        return Ok(None);
    }
    let light_file = light_file.ok_or_else(|| {
        CaptureError::malformed(
            folder,
            "has no light file; add LightSource.txt with zenith and azimuth in degrees for each image",
        )
    })?;
    let lights = read_light_file(&light_file)?;
    if let Some((&number, path)) = numbered.iter().next_back()
        && number >= lights.len()
    {
        return Err(CaptureError::malformed(
            &light_file,
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
                .cloned()
                .unwrap_or_else(|| folder.join(format!("im{number}")).with_extension(extension))
        })
        .collect();
    Ok(Some((images, lights)))
}

/// Reads zenith and azimuth of each image in turn, in degrees, separated by any white space or
/// commas: the set has files with all numbers in one line.
fn read_light_file(path: &Path) -> Result<Lights, CaptureError> {
    let malformed = |reason: String| CaptureError::malformed(path, reason);
    let text = read_text(path)?;
    let angles = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|field| !field.is_empty())
        .map(|field| match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(malformed(format!("`{field}` is not a number; give angles in degrees"))),
        })
        .collect::<Result<Vec<f32>, _>>()?;
    let (pairs, rest) = angles.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() < 3 {
        return Err(malformed(format!(
            "has {} entries; give zenith and azimuth in degrees for each of at least 3 images",
            angles.len()
        )));
    }
    let directions = pairs.iter().map(|&[z, a]| light_from_zenith_azimuth(z, a)).collect();
    Ok(Lights::directional(directions))
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
