//! Our own layout: a folder with `capture.toml`, see docs/capture-format.md.
//!
//! Everything the other layouts know can be said in it, and what none of them knows: near lamps,
//! camera, ambient frame, transfer function, labels.

use super::folders::{CaptureFolder, Listing, capture_folders};
use super::light_files::{rgb_intensity, unit};
use super::{CaptureError, CaptureSource, Inventory, LABEL_COLUMNS, Labels, Rig, Transfer};
use crate::config::{ConfigError, did_you_mean, read_toml};
use crate::geometry::{Camera, Vec3, light_from_zenith_azimuth};
use crate::io::image_size;
use crate::maps::{Lights, NearLights, Size};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use std::path::{Path, PathBuf};

/// The file that makes a folder a capture of this layout.
pub const CAPTURE_FILE: &str = "capture.toml";

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureToml {
    id: Option<String>,
    session: Option<String>,
    #[serde(default)]
    transfer: Transfer,
    ambient: Option<PathBuf>,
    mask: Option<PathBuf>,
    subject_distance_mm: Option<f64>,
    camera: Option<CameraToml>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    lights: Vec<LightToml>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CameraToml {
    focal_px: Numbers,
    centre_px: Option<Numbers>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LightToml {
    image: PathBuf,
    direction: Option<Numbers>,
    zenith_azimuth_deg: Option<Numbers>,
    position_mm: Option<Numbers>,
    intensity: Option<Numbers>,
}

/// One number or a list of them.
#[derive(Debug)]
struct Numbers(Vec<f64>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Numbers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or a list of numbers")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Numbers, E> {
                Ok(Numbers(vec![value]))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Numbers, E> {
                Ok(Numbers(vec![value as f64]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element::<f64>()? {
                    values.push(value);
                }
                Ok(Numbers(values))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl Numbers {
    /// Exactly N finite numbers of a usable size.
    fn exactly<const N: usize>(&self) -> Option<[f64; N]> {
        let usable = self.0.iter().all(|v| v.abs() < 1e12);
        <[f64; N]>::try_from(self.0.as_slice()).ok().filter(|_| usable)
    }
}

pub(super) fn is_capture(listing: &Listing) -> bool {
    listing.file(CAPTURE_FILE).is_some()
}

pub(super) fn find(root: &Path) -> Result<Inventory, CaptureError> {
    let (folders, problems) = capture_folders(root, &|listing, _| is_capture(listing))?;
    let mut inventory = Inventory { problems, ..Inventory::default() };
    for folder in folders {
        inventory.add(read(folder));
    }
    Ok(inventory)
}

fn read(found: CaptureFolder) -> Result<CaptureSource, CaptureError> {
    let folder = found.listing.folder.as_path();
    let path = found.listing.file(CAPTURE_FILE).unwrap_or(folder);
    let file: CaptureToml = read_toml(path).map_err(|error| match error {
        ConfigError::Io(error) => error.into(),
        ConfigError::Invalid { path, line, reason } => {
            CaptureError::malformed(&path, format!("line {line}: {reason}"))
        }
        ConfigError::Impossible { path, reason } => CaptureError::malformed(&path, reason),
    })?;
    resolve(file, found.id, found.session, folder)
        .map_err(|reason| CaptureError::malformed(path, reason))
}

fn resolve(
    file: CaptureToml,
    folder_id: String,
    folder_session: String,
    folder: &Path,
) -> Result<CaptureSource, String> {
    if file.lights.len() < 3 {
        let given = file.lights.len();
        return Err(format!("has {given} [[lights]]; give one for each of at least 3 images"));
    }
    let images: Vec<PathBuf> = file.lights.iter().map(|light| folder.join(&light.image)).collect();
    if let Some(twice) = (1..images.len()).find(|&i| images[..i].contains(&images[i])) {
        let image = file.lights[twice].image.display();
        return Err(format!("names the image {image} twice; each light has its own"));
    }
    // The size is wanted for what is given relative to the image's middle; where no image can be
    // read there is nothing to solve either, which loading reports.
    let size = images.iter().find_map(|image| image_size(image).ok()).unwrap_or(Size::new(1, 1));
    let camera = file.camera.as_ref().map(|camera| camera.resolve(size)).transpose()?;

    if file.subject_distance_mm.is_some_and(|mm| !(1.0..1e7).contains(&mm)) {
        return Err("has a subject_distance_mm that is no distance in millimetres".into());
    }
    let ambient = file.ambient.as_ref().map(|name| folder.join(name));
    if let Some(light) = ambient.as_ref().and_then(|a| images.iter().position(|i| i == a)) {
        let name = name_of(light, &file.lights[light]);
        return Err(format!("names the ambient frame as {name} too; it shows no lamp"));
    }

    let rgb = intensities(&file.lights)?;
    // A grey intensity is the light's strength, a colour what the channels are divided by.
    let coloured = rgb.iter().any(|[r, g, b]| r != g || g != b);
    let strengths = rgb.iter().map(|e| if coloured { 1.0 } else { e[0] }).collect();
    let (lights, near) = match places(&file.lights)? {
        Places::Distant(directions) => (Lights { directions, intensities: strengths }, None),
        Places::Near(positions_mm) => {
            let camera = camera.ok_or(
                "has lights with position_mm, but no [camera] that they stand around; give its \
                 focal_px",
            )?;
            let distance = file.subject_distance_mm.filter(|mm| (1.0..1e7).contains(mm)).ok_or(
                "has lights with position_mm, but no usable subject_distance_mm; give the \
                 distance from camera to subject in millimetres",
            )?;
            let near = NearLights {
                positions_mm,
                intensities: strengths,
                camera,
                subject_distance_mm: distance as f32,
            };
            (near.at_centre(size), Some(near))
        }
    };
    Ok(CaptureSource {
        images,
        labels: known_labels(file.labels)?,
        rig: Rig {
            ambient,
            mask: file.mask.map(|name| folder.join(name)),
            camera,
            near,
            colour_intensities: coloured.then_some(rgb),
            transfer: file.transfer,
        },
        ..CaptureSource::new(
            usable_name(file.id, "id", folder_id)?,
            usable_name(file.session, "session", folder_session)?,
            folder,
            lights,
        )
    })
}

impl CameraToml {
    fn resolve(&self, size: Size) -> Result<Camera, String> {
        let focal = match self.focal_px.exactly::<1>() {
            Some([both]) => Some([both; 2]),
            None => self.focal_px.exactly::<2>(),
        };
        let focal_px = focal
            .filter(|focal| focal.iter().all(|&f| f > 1.0))
            .ok_or("camera.focal_px is not one or two focal lengths of 1 to 1e12 pixels")?;
        let middle = [size.width, size.height].map(|length| (length as f64 - 1.0) / 2.0);
        let centre_px = match &self.centre_px {
            None => middle,
            Some(centre) => centre.exactly().ok_or("camera.centre_px is not [column, row]")?,
        };
        Ok(Camera { focal_px, centre_px })
    }
}

/// Unit directions, or positions in millimetres.
enum Places {
    Distant(Vec<Vec3>),
    Near(Vec<Vec3>),
}

/// "light 3 (im2.png)".
fn name_of(index: usize, light: &LightToml) -> String {
    format!("light {} ({})", index + 1, light.image.display())
}

fn places(lights: &[LightToml]) -> Result<Places, String> {
    let (mut distant, mut near) = (Vec::new(), Vec::new());
    for (index, light) in lights.iter().enumerate() {
        let name = name_of(index, light);
        match (&light.direction, &light.zenith_azimuth_deg, &light.position_mm) {
            (Some(Numbers(none)), None, None) if none.is_empty() => {
                return Err(format!(
                    "give the direction of {name}: direction = [x, y, z] from the subject to the \
                     light, x right, y up, z to the camera (or zenith_azimuth_deg, or position_mm)"
                ));
            }
            (Some(direction), None, None) => {
                let direction = direction.exactly().and_then(unit);
                distant.push(direction.ok_or_else(|| {
                    format!("the direction of {name} is not [x, y, z] of usable numbers, not all 0")
                })?);
            }
            (None, Some(angles), None) => {
                let [zenith, azimuth] = angles.exactly().ok_or_else(|| {
                    format!("zenith_azimuth_deg of {name} is not two angles in degrees")
                })?;
                distant.push(light_from_zenith_azimuth(zenith as f32, azimuth as f32));
            }
            (None, None, Some(position)) => {
                let position: [f64; 3] = position.exactly().ok_or_else(|| {
                    format!("position_mm of {name} is not [x, y, z] in millimetres")
                })?;
                near.push(Vec3::from(position.map(|mm| mm as f32)));
            }
            (None, None, None) => {
                return Err(format!(
                    "{name} has no place; give its direction, zenith_azimuth_deg or position_mm"
                ));
            }
            _ => {
                return Err(format!(
                    "{name} has more than one place; keep one of direction, zenith_azimuth_deg \
                     and position_mm"
                ));
            }
        }
    }
    match (distant.is_empty(), near.is_empty()) {
        (_, true) => Ok(Places::Distant(distant)),
        (true, false) => Ok(Places::Near(near)),
        (false, false) => Err("some lights have position_mm and some a direction; give all of \
                               them the same way"
            .into()),
    }
}

fn intensities(lights: &[LightToml]) -> Result<Vec<[f32; 3]>, String> {
    lights
        .iter()
        .enumerate()
        .map(|(index, light)| match &light.intensity {
            None => Ok([1.0; 3]),
            Some(Numbers(values)) => {
                rgb_intensity(values).map_err(|why| format!("{}: {why}", name_of(index, light)))
            }
        })
        .collect()
}

/// Names become folders of the results.
fn usable_name(given: Option<String>, what: &str, folder: String) -> Result<String, String> {
    let Some(name) = given else { return Ok(folder) };
    let odd = |c: char| c.is_control() || ['/', '\\', ':'].contains(&c);
    // What lumiface itself puts beside the captures' folders.
    let ours = ["manifest.csv", "problems.txt", "inspect.html"];
    if ours.contains(&name.as_str())
        || name.is_empty()
        || name.starts_with('.')
        || name.len() > 200
        || name.contains(odd)
    {
        return Err(format!(
            "the {what} {name:?} cannot name a folder; use letters, digits, `-` and `_`"
        ));
    }
    Ok(name)
}

fn known_labels(labels: Labels) -> Result<Labels, String> {
    match labels.keys().find(|name| !LABEL_COLUMNS.contains(&name.as_str())) {
        None => Ok(labels),
        Some(unknown) => Err(format!(
            "unknown label `{unknown}`{}; known: {}",
            did_you_mean(unknown, &LABEL_COLUMNS),
            LABEL_COLUMNS.join(", ")
        )),
    }
}
