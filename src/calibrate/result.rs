//! What every calibration returns, and its file.
//!
//! `lights.toml` is the whole result: one `[[lights]]` table a light, in the order of the images.
//! The plain form that photometric stereo programs exchange is a text file of directions,
//! `x y z` one light a line; intensities, where they are not 1, stand in a file of their own.

use super::CalibrateError;
use crate::config::{ConfigError, read_toml};
use crate::geometry::{Camera, Vec3};
use crate::io::{IoError, read_text, write_atomically};
use crate::maps::{Lights, NearLights};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a calibration was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    ChromeSphere,
    NearLights,
    MatteSphere,
    FlatField,
    Subject,
    Uncalibrated,
}

/// Something that makes a result less sure, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// Index of the light it speaks of, from 0; `None`: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub light: Option<usize>,
    pub what: String,
    pub remedy: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(light) = self.light {
            write!(f, "light {}: ", light + 1)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl Warning {
    pub(super) fn new(light: Option<usize>, what: impl Into<String>, remedy: &str) -> Self {
        Self { light, what: what.into(), remedy: remedy.into() }
    }
}

/// One light as it was calibrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedLight {
    /// The file that showed this light.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Unit vector of the camera frame, from the surface to the light.
    pub direction: [f32; 3],
    /// Relative to the mean of the set, > 0; 1 where the method cannot tell.
    #[serde(default = "one")]
    pub intensity: f32,
    /// Standard error of the direction, degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty_deg: Option<f32>,
    /// Millimetres of the camera frame, origin at the camera's centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_mm: Option<[f32; 3]>,
    /// Standard error along the position's worst axis, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_uncertainty_mm: Option<f32>,
}

fn one() -> f32 {
    1.0
}

/// A calibrated rig: one light an image, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub method: Method,
    /// Depth of the subject's centre, which the directions of near lights are given for, mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_distance_mm: Option<f32>,
    /// Not measured here: the one that positions are given for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Camera>,
    pub lights: Vec<CalibratedLight>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

impl Calibration {
    pub(super) fn new(
        method: Method,
        lights: Vec<CalibratedLight>,
        warnings: Vec<Warning>,
    ) -> Self {
        Self { method, subject_distance_mm: None, camera: None, lights, warnings }
    }

    /// The lights as a solver takes them.
    pub fn lights(&self) -> Lights {
        Lights {
            directions: self.lights.iter().map(|l| Vec3::from(l.direction)).collect(),
            intensities: self.lights.iter().map(|l| l.intensity).collect(),
        }
    }

    /// The lamps with their positions; `None` unless every light has one and the camera and the
    /// subject's distance are known.
    pub fn near_lights(&self) -> Option<NearLights> {
        Some(NearLights {
            positions_mm: self
                .lights
                .iter()
                .map(|l| l.position_mm.map(Vec3::from))
                .collect::<Option<_>>()?,
            intensities: self.lights.iter().map(|l| l.intensity).collect(),
            camera: self.camera?,
            subject_distance_mm: self.subject_distance_mm?,
        })
    }

    /// The camera that the images were taken with, where it is known.
    pub fn seen_by(mut self, camera: Option<&Camera>) -> Self {
        self.camera = camera.copied();
        self
    }

    /// Notes the name of each light's image.
    pub fn with_images(mut self, paths: &[PathBuf]) -> Self {
        for (light, path) in self.lights.iter_mut().zip(paths) {
            light.image = path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        self
    }

    /// Writes `lights.toml`.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        let text = toml::to_string(self)
            .map_err(|e| IoError::unsuitable(path, format!("cannot be written as TOML ({e})")))?;
        write_atomically(path, |out| out.write_all(text.as_bytes()))
    }

    /// Reads `lights.toml`; directions are brought to unit length.
    ///
    /// # Errors
    /// A missing or malformed file, no light, a direction without length or an intensity that is
    /// not positive.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let mut read: Self = read_toml(path).map_err(|error| match error {
            ConfigError::Io(error) => error,
            ConfigError::Invalid { line, reason, .. } => {
                IoError::unsuitable(path, format!("line {line}: {reason}"))
            }
            ConfigError::Impossible { reason, .. } => IoError::unsuitable(path, reason),
        })?;
        if read.lights.is_empty() {
            return Err(IoError::unsuitable(path, "holds no [[lights]]; calibrate again"));
        }
        for (number, light) in read.lights.iter_mut().enumerate() {
            light.direction = unit(light.direction).ok_or_else(|| {
                IoError::unsuitable(
                    path,
                    format!("light {}: its direction has no length", number + 1),
                )
            })?;
            if !(light.intensity > 0.0 && light.intensity.is_finite()) {
                let reason = format!("light {}: its intensity is not above 0", number + 1);
                return Err(IoError::unsuitable(path, reason));
            }
        }
        Ok(read)
    }

    /// Writes the directions as text, `x y z` one light a line.
    pub fn write_directions(&self, path: &Path) -> Result<(), IoError> {
        let line = |l: &CalibratedLight| {
            let [x, y, z] = l.direction;
            format!("{x:.7} {y:.7} {z:.7}\n")
        };
        let text: String = self.lights.iter().map(line).collect();
        write_atomically(path, |out| out.write_all(text.as_bytes()))
    }

    /// Multiplies all intensities so that their mean is 1.
    pub(super) fn with_mean_intensity_one(mut self) -> Self {
        let mean = self.lights.iter().map(|l| l.intensity).sum::<f32>() / self.lights.len() as f32;
        self.lights.iter_mut().for_each(|l| l.intensity /= mean);
        self
    }
}

fn unit(v: [f32; 3]) -> Option<[f32; 3]> {
    let length = Vec3::from(v).norm();
    (length > 0.0 && length.is_finite()).then(|| v.map(|c| c / length))
}

/// Reads directions: those of a `lights.toml`, or text, `x y z` one light a line. Lines that are
/// empty or begin with `#` are passed over, and so is a first line that holds nothing but the number
/// of lights; three lines of more than three numbers are x, y and z of the lights.
///
/// # Errors
/// A missing file, a line that is not three numbers, or a direction without length.
pub fn read_directions(path: &Path) -> Result<Vec<Vec3>, CalibrateError> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
        return Ok(Calibration::read(path)?.lights().directions);
    }
    let unsuitable = |reason: String| CalibrateError::from(IoError::unsuitable(path, reason));
    let text = read_text(path)?;
    let mut rows: Vec<(usize, Vec<f32>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let numbers = line
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().ok())
            .collect::<Option<Vec<f32>>>();
        let line = index + 1;
        let numbers = numbers.ok_or_else(|| {
            unsuitable(format!("line {line} is not a direction `x y z`; give one light a line"))
        })?;
        rows.push((line, numbers));
    }
    if rows.first().is_some_and(|(_, numbers)| numbers.len() == 1) {
        rows.remove(0);
    }
    if let [(line, x), (_, y), (_, z)] = rows.as_slice()
        && x.len() > 3
        && [y.len(), z.len()] == [x.len(); 2]
    {
        let columns = (0..x.len()).map(|i| (*line, vec![x[i], y[i], z[i]]));
        rows = columns.collect();
    }
    rows.into_iter()
        .map(|(line, numbers)| match *numbers.as_slice() {
            [x, y, z] if unit([x, y, z]).is_some() => Ok(Vec3::new(x, y, z).normalize()),
            _ => Err(unsuitable(format!(
                "line {line} is not a direction `x y z`; give one light a line"
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lights.toml");
        let light = |x: f32, position_mm| CalibratedLight {
            image: None,
            direction: [x, 0.0, (1.0 - x * x).sqrt()],
            intensity: 1.25,
            uncertainty_deg: Some(0.5),
            position_mm,
            position_uncertainty_mm: None,
        };
        let mut written = Calibration::new(
            Method::NearLights,
            vec![light(0.6, Some([1.0, 2.0, 3.0])), light(0.0, None)],
            vec![Warning::new(Some(1), "dim", "open the aperture")],
        );
        written.camera = Some(Camera { focal_px: [900.0, 901.0], centre_px: [320.5, 240.0] });
        written.subject_distance_mm = Some(700.0);
        written.write(&path).unwrap();
        assert_eq!(Calibration::read(&path).unwrap(), written);
        assert!(written.near_lights().is_none(), "one lamp has no position");
        assert_eq!(written.warnings[0].to_string(), "light 2: dim; open the aperture");

        std::fs::write(&path, "method = \"subject\"\n[[lights]]\ndirection = [0, 0, 2]\n").unwrap();
        assert_eq!(Calibration::read(&path).unwrap().lights[0].direction, [0.0, 0.0, 1.0]);
        std::fs::write(&path, "method = \"subject\"\n[[lights]]\ndirection = [0, 0, 0]\n").unwrap();
        assert!(Calibration::read(&path).unwrap_err().to_string().contains("light 1"));
    }

    #[test]
    fn directions_one_per_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lights.txt");
        std::fs::write(&path, "2\n0 0 2\n\n# second\n0.6, 0 0.8\n").unwrap();
        let read = read_directions(&path).unwrap();
        assert_eq!(read, [Vec3::new(0.0, 0.0, 1.0), Vec3::new(0.6, 0.0, 0.8)]);
        std::fs::write(&path, "0 0 1\n0 1\n").unwrap();
        assert!(read_directions(&path).unwrap_err().to_string().contains("line 2"));
    }
}
