//! The DiLiGenT layout (Shi et al. 2019, "A benchmark dataset and evaluation for non-Lambertian
//! and uncalibrated photometric stereo"): a folder an object with `filenames.txt` (one image a
//! line), `light_directions.txt` (x y z a line, x right, y up, z to the camera),
//! `light_intensities.txt` (R G B a line; left out: all 1) and `mask.png` (left out: none).

use super::folders::{CaptureFolder, Listing, capture_folders, is_image};
use super::light_files::{
    read_directions, read_intensities, read_small_text, same_count, unit_directions,
};
use super::{CaptureError, CaptureSource, Inventory, Rig};
use crate::maps::Lights;
use std::path::Path;

const NAMES: &str = "filenames.txt";
const DIRECTIONS: &str = "light_directions.txt";
const INTENSITIES: &str = "light_intensities.txt";

pub(super) fn is_capture(listing: &Listing) -> bool {
    listing.file(NAMES).is_some() && listing.file(DIRECTIONS).is_some()
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
    let file = |name: &str| listing.file(name).map_or(listing.folder.join(name), Path::to_path_buf);
    let (name_file, light_file) = (file(NAMES), file(DIRECTIONS));
    let names = read_small_text(&name_file)?;
    let names: Vec<&str> = names.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(other) = names.iter().find(|name| !is_image(Path::new(name))) {
        let reason = format!("`{other}` is no image; list one image file a line");
        return Err(CaptureError::malformed(&name_file, reason));
    }
    let directions = unit_directions(&light_file, &read_directions(&light_file)?)?;
    let images = format!("images in {NAMES}");
    same_count(&light_file, (directions.len(), "lights"), (names.len(), &images))?;
    let colour_intensities = match listing.file(INTENSITIES) {
        None => None,
        Some(path) => {
            let intensities = read_intensities(path)?;
            same_count(path, (intensities.len(), "lights"), (names.len(), &images))?;
            Some(intensities)
        }
    };
    let mask = listing.image_called(&["mask"])?.map(Path::to_path_buf);
    Ok(CaptureSource {
        images: names.iter().map(|name| listing.folder.join(name)).collect(),
        rig: Rig { mask, colour_intensities, ..Rig::default() },
        ..CaptureSource::new(id, session, &listing.folder, Lights::directional(directions))
    })
}
