//! Writes a first `capture.toml` for a folder of images: what is known of the lights filled in,
//! the rest commented, so that the user edits instead of composing.

use super::capture_toml::CAPTURE_FILE;
use super::folders::{Listing, file_name, file_stem, natural_order};
use super::light_files::{number_rows, read_intensities, read_small_text, same_count};
use super::lp::read_lp;
use super::photoface::{image_number, is_light_file, read_angles};
use super::psm_images::read_counted_lights;
use super::yaleb::light_in_name;
use super::{CaptureError, folders};
use crate::calibrate::{CalibratedLight, Calibration};
use crate::geometry::Camera;
use crate::io::{IoError, write_atomically};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// How `capture init` behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitOptions {
    /// Replace a `capture.toml` that is there.
    pub force: bool,
}

/// A `capture.toml` to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialCapture {
    pub path: PathBuf,
    /// The file whose lights it took; without one, directions are to be filled in.
    pub lights_from: Option<String>,
}

/// Where a light is, as the file it came from says it.
enum Place {
    Direction([f64; 3]),
    ZenithAzimuthDeg([f64; 2]),
    PositionMm([f64; 3]),
    Unknown,
}

struct Light {
    image: String,
    place: Place,
    intensity: Option<[f32; 3]>,
}

/// Lights by image, and the file they were read from.
struct Imported {
    lights: Vec<Light>,
    from: String,
    /// Of a calibration that knows them.
    camera: Option<Camera>,
    subject_distance_mm: Option<f32>,
}

/// Writes `folder/capture.toml`: one entry for each image in natural order (`im2` before `im10`).
///
/// Lights are taken from the first of these that is there: `lights.toml` (of `lumiface calibrate`),
/// `LightSource.*` (Photoface),
/// `light_directions.txt` with `filenames.txt` and `light_intensities.txt` where they are
/// (DiLiGenT; three lines are taken as x, y and z of the lights), an `.lp` file, `lights.txt` (a
/// count, then x y z), names like Yale B's. Without any, the directions are left empty, and
/// loading asks for them. Images called `ambient` or `dark`, and `mask`, get their own keys.
///
/// The file is written whole or not at all.
///
/// # Errors
/// A folder that is missing, has fewer than three images, or has a `capture.toml` already and
/// `force` is not set; a light file that is damaged or does not fit the images.
pub fn init_capture(folder: &Path, options: InitOptions) -> Result<InitialCapture, CaptureError> {
    if folder.is_file() {
        return Err(IoError::NotAFolder(folder.to_path_buf()).into());
    }
    let listing = Listing::of(folder)?;
    let path = folder.join(CAPTURE_FILE);
    if listing.file(CAPTURE_FILE).is_some() && !options.force {
        return Err(CaptureError::malformed(&path, "is there already; --force replaces it"));
    }
    let images: Vec<&PathBuf> = listing.images().filter(|path| !is_aside(path)).collect();
    let imported = import(&listing, &images)?;
    let lights = match &imported {
        Some(imported) => &imported.lights,
        None => &images.iter().map(|path| unknown(path)).collect(),
    };
    if lights.len() < 3 {
        return Err(CaptureError::malformed(
            folder,
            format!("holds {} images; photometric stereo needs at least 3", lights.len()),
        ));
    }
    let text = compose(&listing, lights, imported.as_ref())?;
    write_atomically(&path, |out| out.write_all(text.as_bytes()))?;
    Ok(InitialCapture { path, lights_from: imported.map(|imported| imported.from) })
}

fn unknown(path: &Path) -> Light {
    Light { image: file_name(path), place: Place::Unknown, intensity: None }
}

/// Frames that are not lit by one of the lamps.
fn is_aside(path: &Path) -> bool {
    let stem = file_stem(path).to_lowercase();
    let ending = stem.rsplit(['.', '_', '-', ' ']).next().unwrap_or_default();
    ["mask", "ambient", "dark"].contains(&ending)
}

fn import(listing: &Listing, images: &[&PathBuf]) -> Result<Option<Imported>, CaptureError> {
    let imported = |lights, path: &Path| {
        Some(Imported { lights, from: file_name(path), camera: None, subject_distance_mm: None })
    };
    if let Some(path) = listing.file("lights.toml") {
        let calibration = Calibration::read(path)?;
        let (camera, subject_distance_mm) = (calibration.camera, calibration.subject_distance_mm);
        let lights = import_calibration(path, calibration, images)?;
        let from = file_name(path);
        return Ok(Some(Imported { lights, from, camera, subject_distance_mm }));
    }
    if let Some(path) = listing.files.iter().find(|path| is_light_file(path)) {
        return Ok(imported(import_angles(path, images)?, path));
    }
    if let Some(path) = listing.file("light_directions.txt") {
        return Ok(imported(import_directions(listing, path, images)?, path));
    }
    if let Some(path) = listing.files.iter().find(|path| folders::has_extension(path, &["lp"])) {
        let mut lights: Vec<Light> = read_lp(path)?
            .into_iter()
            .map(|(image, l)| Light {
                image: image.strip_prefix(&listing.folder).unwrap_or(&image).display().to_string(),
                place: Place::Direction([l.x, l.y, l.z].map(shortest)),
                intensity: None,
            })
            .collect();
        lights.sort_by(|a, b| natural_order(&a.image, &b.image));
        return Ok(imported(lights, path));
    }
    if let Some(path) = listing.file("lights.txt") {
        let directions = read_counted_lights(path)?;
        same_count(path, (directions.len(), "lights"), (images.len(), "images beside it"))?;
        let place = |l: crate::geometry::Vec3| Place::Direction([l.x, l.y, l.z].map(shortest));
        let places = directions.into_iter().map(place);
        return Ok(imported(in_order(images, places), path));
    }
    let named: Vec<Light> = images
        .iter()
        .filter_map(|path| {
            let l = light_in_name(path)?;
            let place = Place::Direction([l.x, l.y, l.z].map(shortest));
            Some(Light { image: file_name(path), place, intensity: None })
        })
        .collect();
    let from = "the images' names".to_string();
    let (camera, subject_distance_mm) = (None, None);
    Ok((named.len() >= 3).then_some(Imported { lights: named, from, camera, subject_distance_mm }))
}

/// The f64 that prints like the f32.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_default()
}

fn in_order(images: &[&PathBuf], places: impl Iterator<Item = Place>) -> Vec<Light> {
    let light = |(path, place): (&&PathBuf, Place)| Light { place, ..unknown(path) };
    images.iter().zip(places).map(light).collect()
}

fn import_calibration(
    path: &Path,
    calibration: Calibration,
    images: &[&PathBuf],
) -> Result<Vec<Light>, CaptureError> {
    let calibrated = calibration.lights;
    same_count(path, (calibrated.len(), "lights"), (images.len(), "images beside it"))?;
    let light = |(image, light): (&&PathBuf, CalibratedLight)| Light {
        place: match light.position_mm {
            Some(position) => Place::PositionMm(position.map(shortest)),
            None => Place::Direction(light.direction.map(shortest)),
        },
        intensity: Some([light.intensity; 3]),
        ..unknown(image)
    };
    Ok(images.iter().zip(calibrated).map(light).collect())
}

fn import_angles(path: &Path, images: &[&PathBuf]) -> Result<Vec<Light>, CaptureError> {
    let angles = read_angles(path)?;
    let angles = angles.into_iter().map(|angles| angles.map(shortest));
    let numbered: Vec<(usize, &PathBuf)> =
        images.iter().filter_map(|path| Some((image_number(path)?, *path))).collect();
    let place = |(number, angles): (usize, [f64; 2])| {
        let (_, path) = numbered.iter().find(|(n, _)| *n == number)?;
        Some(Light { place: Place::ZenithAzimuthDeg(angles), ..unknown(path) })
    };
    if !numbered.is_empty() {
        return Ok(angles.enumerate().filter_map(place).collect());
    }
    same_count(path, (angles.len(), "lights"), (images.len(), "images beside it"))?;
    Ok(in_order(images, angles.map(Place::ZenithAzimuthDeg)))
}

fn import_directions(
    listing: &Listing,
    path: &Path,
    images: &[&PathBuf],
) -> Result<Vec<Light>, CaptureError> {
    let rows = number_rows(path, &read_small_text(path)?)?;
    let by_component = rows.len() == 3 && rows[0].len() > 3;
    let directions: Vec<[f64; 3]> = if by_component && rows.iter().all(|r| r.len() == rows[0].len())
    {
        (0..rows[0].len()).map(|i| [rows[0][i], rows[1][i], rows[2][i]]).collect()
    } else {
        super::light_files::read_directions(path)?
    };
    let names: Vec<String> = match listing.file("filenames.txt") {
        Some(list) => {
            let text = read_small_text(list)?;
            text.lines().map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect()
        }
        None => images.iter().map(|path| file_name(path)).collect(),
    };
    same_count(path, (directions.len(), "lights"), (names.len(), "images beside it"))?;
    let intensities = match listing.file("light_intensities.txt") {
        None => vec![None; names.len()],
        Some(list) => {
            let intensities = read_intensities(list)?;
            same_count(list, (intensities.len(), "lights"), (names.len(), "images beside it"))?;
            intensities.into_iter().map(Some).collect()
        }
    };
    let lights = names.into_iter().zip(directions).zip(intensities);
    Ok(lights
        .map(|((image, direction), intensity)| Light {
            image,
            place: Place::Direction(direction),
            intensity,
        })
        .collect())
}

fn compose(
    listing: &Listing,
    lights: &[Light],
    imported: Option<&Imported>,
) -> Result<String, CaptureError> {
    let quoted = |text: &str| toml::Value::String(text.to_string()).to_string();
    let file = |stems: &[&str], key: &str, example: &str| -> Result<String, CaptureError> {
        Ok(match listing.image_called(stems)? {
            Some(path) => format!("{key} = {}", quoted(&file_name(path))),
            None => format!("# {key} = \"{example}\""),
        })
    };
    let ambient = file(&["ambient", "dark"], "ambient", "ambient.png")?;
    let mask = file(&["mask"], "mask", "mask.png")?;
    let distance = match imported.and_then(|imported| imported.subject_distance_mm) {
        Some(distance) => format!("subject_distance_mm = {distance:?}"),
        None => "# subject_distance_mm = 1200.0".into(),
    };
    let camera = match imported.and_then(|imported| imported.camera) {
        Some(Camera { focal_px, centre_px }) => {
            format!("camera = {{ focal_px = {focal_px:?}, centre_px = {centre_px:?} }}")
        }
        None => "# camera = { focal_px = 2800.0 }".into(),
    };
    let mut text = format!(
        "# What the images of this folder show and how they were lit; docs/capture-format.md\n\
         # explains every key. Directions point from the subject to the light: x right, y up, z to\n\
         # the camera, as the camera sees it.\n\
         \n\
         # Who and which visit; left out: the names of the folders.\n\
         # id = \"1001\"\n\
         # session = \"s1\"\n\
         \n\
         # How file values stand to light: by-format (JPEG is sRGB, the rest linear), linear, srgb.\n\
         # transfer = \"by-format\"\n\
         \n\
         # Taken off every image: the same view with the lamps off.\n\
         {ambient}\n\
         # White where the subject is; left out: found in the images.\n\
         {mask}\n\
         \n\
         # For lamps given by position_mm.\n\
         {distance}\n\
         {camera}\n\
         \n"
    );
    text += &match imported.map(|imported| &imported.from) {
        Some(from) => format!("# The lights were taken from {from}.\n"),
        None => "# Give each light one of\n\
                 #   direction = [x, y, z]\n\
                 #   zenith_azimuth_deg = [from the camera's axis, clockwise from up]\n\
                 #   position_mm = [x, y, z], from the camera's centre; the subject lies at negative z\n\
                 # and, where the lamps differ, intensity = 1.0 or [red, green, blue].\n"
            .to_string(),
    };
    for light in lights {
        let place = match light.place {
            Place::Direction([x, y, z]) => format!("direction = [{x:?}, {y:?}, {z:?}]"),
            Place::ZenithAzimuthDeg([z, a]) => format!("zenith_azimuth_deg = [{z:?}, {a:?}]"),
            Place::PositionMm([x, y, z]) => format!("position_mm = [{x:?}, {y:?}, {z:?}]"),
            Place::Unknown => "direction = []".to_string(),
        };
        let image = quoted(&light.image);
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[[lights]]\nimage = {image}\n{place}\n");
        if let Some([r, g, b]) = light.intensity {
            let _ = if r == g && g == b {
                writeln!(text, "intensity = {r:?}")
            } else {
                writeln!(text, "intensity = [{r:?}, {g:?}, {b:?}]")
            };
        }
    }
    Ok(text)
}
