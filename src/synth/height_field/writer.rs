//! A set of synthetic captures on disk, in the layout of Photoface.

use super::{Emotion, FacialHair, Gender, Scene, Traits, render};
use crate::io::{IoError, StagedFolder, TEMPORARY_PREFIX, write_atomically, write_grey};
use crate::maps::Size;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Lies in the root of every set.
pub const SET_FILE: &str = "synth.json";

/// A capture set: everything in it follows from these numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynthSet {
    pub people: usize,
    pub sessions_per_person: usize,
    /// Height and width of the images.
    pub side: usize,
    pub seed: u64,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct SetRecord {
    version: String,
    set: SynthSet,
}

impl SynthSet {
    /// Writes `root/ID/SESSION/{im0..3.png, LightSource.txt}` and `root/metadata.csv`; sessions
    /// that are there already are kept, a set of other numbers or another version is replaced.
    pub fn write(&self, root: &Path) -> Result<(), IoError> {
        let record = SetRecord { version: env!("CARGO_PKG_VERSION").into(), set: self.clone() };
        let record_path = root.join(SET_FILE);
        let old = std::fs::read(&record_path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<SetRecord>(&bytes).ok());
        if old.is_some_and(|old| old != record) {
            // Renamed first: killed in between, no session of the old set is taken for the new.
            let name = root.file_name().unwrap_or_default().to_string_lossy();
            let away = root.with_file_name(format!("{TEMPORARY_PREFIX}{name}"));
            let fail = |e| IoError::from_system(root, e);
            std::fs::rename(root, &away).map_err(fail)?;
            std::fs::remove_dir_all(&away).map_err(fail)?;
        }
        let json =
            serde_json::to_vec_pretty(&record).map_err(|e| IoError::unsuitable(&record_path, e))?;
        write_atomically(&record_path, |out| out.write_all(&json))?;

        let sessions: Vec<(usize, usize)> = (0..self.people)
            .flat_map(|person| (0..self.sessions_per_person).map(move |session| (person, session)))
            .collect();
        let rows = sessions
            .into_par_iter()
            .map(|(person, session)| self.write_session(root, person, session))
            .collect::<Result<Vec<String>, IoError>>()?;
        let table = format!("id,session,Gender,Spectacles,Facial_Hair,Emotion\n{}", rows.concat());
        write_atomically(&root.join("metadata.csv"), |out| out.write_all(table.as_bytes()))
    }

    /// Writes one session and returns its row of the label table.
    fn write_session(&self, root: &Path, person: usize, session: usize) -> Result<String, IoError> {
        let size = Size::new(self.side, self.side);
        let person_seed = self.seed.wrapping_mul(1_000_003).wrapping_add(person as u64);
        let scene = Scene::sample(person_seed, session as u32, size);
        let (id, name) = (format!("p{person:03}"), format!("s{session:02}"));
        let row = format!("{id},{name},{}\n", label_values(&scene.traits));
        let folder = root.join(&id).join(&name);
        if folder.exists() {
            return Ok(row);
        }
        let rendering = render(&scene);
        let staged = StagedFolder::create(&folder, "LightSource.txt")?;
        for light in 0..rendering.images.count {
            write_grey(&staged.path(&format!("im{light}.png")), &rendering.images, light)?;
        }
        let lights: String = scene
            .light_angles_deg
            .iter()
            .map(|[zenith, azimuth]| format!("{zenith} {azimuth}\n"))
            .collect();
        write_atomically(&staged.path("LightSource.txt"), |out| out.write_all(lights.as_bytes()))?;
        staged.commit()?;
        Ok(row)
    }
}

/// Gender, Spectacles, Facial_Hair, Emotion in Photoface's words.
fn label_values(traits: &Traits) -> String {
    let gender = match traits.gender {
        Gender::Male => "male",
        Gender::Female => "female",
    };
    let spectacles = if traits.spectacles { "yes" } else { "no" };
    let facial_hair = match traits.facial_hair {
        FacialHair::None => "none",
        FacialHair::Stubble => "stubble",
        FacialHair::Moustache => "moustache",
        FacialHair::Beard => "beard",
    };
    let emotion = match traits.emotion {
        Emotion::BlankStare => "blankstare",
        Emotion::Positive => "positive",
        Emotion::Negative => "negative",
    };
    format!("{gender},{spectacles},{facial_hair},{emotion}")
}
