//! Light position files of reflectance transformation imaging (`.lp`; Cultural Heritage Imaging,
//! and the RTIBuilder that writes them): the number of images, then a line an image,
//! `path x y z`, the direction of its light: x right, y up, z to the camera.
//!
//! The path may hold spaces and be one of the machine that wrote it. The image is looked for
//! beside the file: at that path where it is relative, else by its bare name.

use super::folders::{CaptureFolder, Listing, capture_folders, has_extension, is_image, twice};
use super::light_files::{parse_number, read_small_text, unit};
use super::{CaptureError, CaptureSource, Inventory};
use crate::geometry::Vec3;
use crate::maps::Lights;
use std::path::{Path, PathBuf};

fn light_position_files(listing: &Listing) -> impl Iterator<Item = &PathBuf> {
    listing.files.iter().filter(|path| has_extension(path, &["lp"]))
}

pub(super) fn is_capture(listing: &Listing) -> bool {
    light_position_files(listing).next().is_some()
}

pub(super) fn find(root: &Path) -> Result<Inventory, CaptureError> {
    let (folders, problems) = capture_folders(root, &|listing, _| is_capture(listing))?;
    let mut inventory = Inventory { problems, ..Inventory::default() };
    for folder in folders {
        inventory.add(read(folder));
    }
    Ok(inventory)
}

fn read(
    CaptureFolder { id, session, listing }: CaptureFolder,
) -> Result<CaptureSource, CaptureError> {
    let mut files = light_position_files(&listing);
    let (Some(file), second) = (files.next(), files.next()) else {
        return Err(CaptureError::malformed(&listing.folder, "has no .lp file; restore it"));
    };
    if let Some(second) = second {
        return Err(twice(&listing.folder, file, second));
    }
    let (images, directions) = read_lp(file)?.into_iter().unzip();
    Ok(CaptureSource {
        images,
        ..CaptureSource::new(id, session, &listing.folder, Lights::directional(directions))
    })
}

/// Images and unit directions of their lights, in the file's order.
pub(super) fn read_lp(path: &Path) -> Result<Vec<(PathBuf, Vec3)>, CaptureError> {
    let text = read_small_text(path)?;
    let malformed = |reason: String| CaptureError::malformed(path, reason);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let first = lines.next().map_or("", |(_, line)| line.trim());
    let Ok(count) = first.parse::<usize>() else {
        let first: String = first.chars().take(40).collect();
        return Err(malformed(format!("the first line, `{first}`, is not the number of images")));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let lights = lines
        .map(|(index, line)| {
            let line_number = index + 1;
            // From the right: the path may hold spaces.
            let mut rest = line.trim();
            let mut number = || {
                let field = rest.rsplit([' ', '\t']).next().unwrap_or_default();
                rest = rest[..rest.len() - field.len()].trim_end();
                parse_number(path, line_number, field)
            };
            let (z, y, x) = (number()?, number()?, number()?);
            let listed = rest.trim_matches('"');
            if !is_image(Path::new(listed)) {
                let reason = format!(
                    "line {line_number} names no image that can be read; write `path x y z`"
                );
                return Err(malformed(reason));
            }
            let direction = unit([x, y, z]).ok_or_else(|| {
                malformed(format!("line {line_number}: the light (0, 0, 0) has no direction"))
            })?;
            Ok((resolve(folder, listed), direction))
        })
        .collect::<Result<Vec<_>, CaptureError>>()?;
    if lights.len() != count {
        let reason = format!(
            "announces {count} images, but {} lines follow; restore the file or mend its first line",
            lights.len()
        );
        return Err(malformed(reason));
    }
    Ok(lights)
}

fn resolve(folder: &Path, listed: &str) -> PathBuf {
    let listed = listed.replace('\\', "/");
    let foreign = listed.starts_with('/') || listed.as_bytes().get(1) == Some(&b':');
    let relative = folder.join(&listed);
    if !foreign && relative.is_file() {
        return relative;
    }
    folder.join(listed.rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(PathBuf, Vec3)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shell.lp");
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(folder.path().join("jpeg")).unwrap();
        std::fs::write(folder.path().join("jpeg/c.jpg"), "").unwrap();
        let strip = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_path_buf();
        let read = read_lp(&path).map_err(|e| e.to_string())?;
        Ok(read.into_iter().map(|(path, light)| (strip(path), light)).collect())
    }

    #[test]
    fn paths_with_spaces_and_of_other_machines_are_found_by_name() {
        let text = "4\r\n\
            C:\\RTI data\\shell 1\\my shell 01.jpg  0.0 0.0 2.0\r\n\
            /Volumes/rti/b.jpg\t1  0\t 0 \n\
            jpeg\\c.jpg 0 3 0\n\
            \n\
            ./d.png 0 0 1\n";
        let read = read_text(text).unwrap();
        let names: Vec<_> = read.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(names, ["my shell 01.jpg", "b.jpg", "jpeg/c.jpg", "d.png"]);
        let lights: Vec<_> = read.iter().map(|(_, light)| *light).collect();
        assert_eq!(lights, [Vec3::z(), Vec3::x(), Vec3::y(), Vec3::z()]);
    }

    #[test]
    fn damage_is_named() {
        for (text, want) in [
            ("", "the first line"),
            ("a.jpg 0 0 1\n", "the first line"),
            ("2\na.jpg 0 0 1\n", "announces 2 images, but 1 lines"),
            ("1\na.jpg 0 0 1\nb.jpg 0 0 1", "announces 1 images, but 2 lines"),
            ("1\na.jpg 0 1\n", "line 2"),
            ("1\na.jpg 0 x 1\n", "line 2: `x`"),
            ("1\na.jpg 0 0 0\n", "no direction"),
            ("1\n0 0 1\n", "line 2"),
        ] {
            let message = read_text(text).unwrap_err();
            assert!(message.contains(want) && message.contains("shell.lp"), "{text:?}: {message}");
        }
    }
}
