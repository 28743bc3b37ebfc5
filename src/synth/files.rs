//! A set of synthetic sessions on disk, in the layout of Photoface.
//!
//! ```text
//! root/synth.json                     the numbers that everything follows from
//! root/metadata.csv                   labels, Photoface's columns (and `Attack` where there are any)
//! root/1001/2008-02-23_12-21-31/
//!     im0.png … LightSource.txt       a session as a rig leaves it
//!     truth/scene.json                all that the pictures follow from
//!     truth/{normals,albedo,depth}.exr mask.png parts.png shadow0.png … landmarks.json
//! ```
//!
//! Truth is that of the frame that registration brings the others onto. Albedo is in shares of the
//! file's full scale under a lamp of strength 1, depth in pixels as `lumiface integrate` gives it.

use super::attack::{Attack, AttackKind};
use super::draws::{Draws, mix};
use super::labels::{Labels, Quality};
use super::population::{Attendance, Member, population};
use super::rig::{Preset, RigPlan};
use super::session::{Pictures, SessionScene, Studio, Truths};
use crate::io::{
    IoError, MapCompression, StagedFolder, write_atomically, write_grey, write_json, write_mask,
    write_normals, write_plane, write_rgb,
};
use crate::maps::{ImageStack, Pixels, Size};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Seconds of a mean year.
const YEAR_S: f64 = 365.25 * 86_400.0;
/// Lies in the root of every set.
pub const SET_FILE: &str = "synth.json";
/// Lies in every session: zenith and azimuth of each lamp, degrees.
const LIGHT_FILE: &str = "LightSource.txt";
/// Of every session with truth, below its folder.
pub const TRUTH_FOLDER: &str = "truth";
const SCENE_FILE: &str = "scene.json";
/// Where a session with truth has its scene.
pub const SCENE_MARKER: &str = "truth/scene.json";

/// A capture set: everything in it follows from these numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthSet {
    pub preset: Preset,
    pub people: usize,
    pub attendance: Attendance,
    pub lamps: usize,
    pub zenith_deg: Option<f64>,
    pub size: Size,
    /// Whether light reaches the face by way of the face.
    pub inter_reflection: bool,
    pub seed: u64,
    /// SHA-256 of the file that faces come from; `None` for those made in code.
    pub faces: Option<String>,
    /// Whether truth is written beside the pictures.
    pub truth: bool,
    /// One session of each kind for each person.
    pub attacks: Vec<AttackKind>,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct SetRecord {
    version: String,
    set: SynthSet,
}

/// A session to be made.
struct Planned<'a> {
    member: &'a Member,
    visit: usize,
    attack: Option<AttackKind>,
    /// Since the first day of the set.
    years: f64,
    id: String,
    session: String,
}

impl SynthSet {
    /// So many sessions of each of so many people before the twin of Photoface's rig, without truth:
    /// what networks are trained on. Pictures are square, `side` pixels.
    pub const fn photoface_twin(people: usize, sessions: usize, side: usize, seed: u64) -> Self {
        Self {
            preset: Preset::PhotofaceTwin,
            people,
            attendance: Attendance::Each(sessions),
            lamps: 4,
            zenith_deg: None,
            size: Size { height: side, width: side },
            inter_reflection: false,
            seed,
            faces: None,
            truth: false,
            attacks: Vec::new(),
        }
    }

    /// Writes the set below `root`; sessions that are there are kept, so that a killed run goes on
    /// where it stopped. `done` is told the name of each session, from several threads.
    ///
    /// # Errors
    /// Another set or foreign files at `root`, or what the system reports.
    pub fn write(
        &self,
        root: &Path,
        studio: &Studio,
        done: &(dyn Fn(&str) + Sync),
    ) -> Result<usize, IoError> {
        self.check_root(root)?;
        write_json(&root.join(SET_FILE), &self.record())?;
        let members = self.members();
        let planned: Vec<Planned> =
            members.iter().enumerate().flat_map(|(i, m)| self.visits(i, m)).collect();
        planned.par_iter().try_for_each(|planned| {
            self.write_session(root, studio, planned)?;
            done(&format!("{}/{}", planned.id, planned.session));
            Ok::<_, IoError>(())
        })?;
        let with_attacks = !self.attacks.is_empty();
        let mut table =
            format!("{}{}\n", Labels::HEADER, if with_attacks { ",Attack" } else { "" });
        for Planned { member, visit, attack, id, session, .. } in &planned {
            table += &member.sessions[*visit].row(id, session);
            if with_attacks {
                table += &format!(",{}", attack.map_or("none", AttackKind::word));
            }
            table.push('\n');
        }
        write_atomically(&root.join("metadata.csv"), |out| out.write_all(table.as_bytes()))?;
        Ok(planned.len())
    }

    fn members(&self) -> Vec<Member> {
        let mut members = population(self.people, self.attendance, self.seed);
        if self.preset == Preset::Ideal {
            // An ideal camera neither blurs nor underexposes.
            let all = members.iter_mut().flat_map(|member| &mut member.sessions);
            all.for_each(|labels| labels.quality = Quality::Ok);
        }
        members
    }

    fn record(&self) -> SetRecord {
        SetRecord { version: env!("CARGO_PKG_VERSION").into(), set: self.clone() }
    }

    /// Refuses to mix sets, and to write into a folder of the user's.
    ///
    /// # Errors
    /// Another set or other files at `root`.
    pub fn check_root(&self, root: &Path) -> Result<(), IoError> {
        let path = root.join(SET_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<SetRecord>(&bytes) {
                Ok(old) if old == self.record() => Ok(()),
                _ => Err(IoError::unsuitable(
                    &path,
                    "is of a set made with other options or by another version; choose another \
                     --out, or delete that set",
                )),
            },
            Err(_) => {
                let mut entries = std::fs::read_dir(root).into_iter().flatten().flatten();
                if entries.any(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
                    return Err(IoError::unsuitable(
                        root,
                        "holds files of another kind; choose an empty or a new folder",
                    ));
                }
                Ok(())
            }
        }
    }

    /// How many sessions there will be.
    pub fn sessions(&self) -> usize {
        self.members().iter().map(|m| m.sessions.len() + self.attacks.len()).sum()
    }

    fn visits<'a>(&self, index: usize, member: &'a Member) -> Vec<Planned<'a>> {
        let id = format!("{}", 1001 + index);
        let mut draws = Draws::new(mix(member.seed ^ 0xda7e));
        // Within the two years that Photoface was taken in, by day.
        let mut days: Vec<u32> =
            member.sessions.iter().map(|_| draws.range(0.0, 730.0) as u32).collect();
        days.sort_unstable();
        let mut planned: Vec<Planned> = Vec::new();
        let mut last = 0;
        for (visit, day) in days.iter().enumerate() {
            let second = u64::from(*day) * 86_400 + draws.range(8.0 * 3600.0, 18.0 * 3600.0) as u64;
            last = second.max(last + 60);
            let session = time_stamp(last);
            let years = last as f64 / YEAR_S;
            planned.push(Planned { member, visit, attack: None, years, id: id.clone(), session });
        }
        for (n, kind) in self.attacks.iter().enumerate() {
            let session = time_stamp(last + 3600 * (n as u64 + 1));
            let attack = Some(*kind);
            let years = last as f64 / YEAR_S;
            planned.push(Planned { member, visit: 0, attack, years, id: id.clone(), session });
        }
        planned
    }

    fn write_session(
        &self,
        root: &Path,
        studio: &Studio,
        planned: &Planned,
    ) -> Result<(), IoError> {
        let folder = root.join(&planned.id).join(&planned.session);
        if folder.join(LIGHT_FILE).exists() {
            return Ok(());
        }
        let Planned { member, visit, years, .. } = planned;
        let plan = RigPlan {
            preset: self.preset,
            lamps: self.lamps,
            zenith_deg: self.zenith_deg,
            size: self.size,
            inter_reflection: self.inter_reflection,
        };
        let mut scene = SessionScene::sample(studio, member, *visit, *years, &plan);
        if let Some(kind) = planned.attack {
            let mut draws = Draws::new(mix(scene.noise_seed ^ kind as u64));
            scene.attack = Some(Attack::sample(kind, &mut draws));
            scene.noise_seed = mix(scene.noise_seed ^ (1 + kind as u64));
        }
        let pictures = scene
            .pictures(studio, self.truth)
            .map_err(|error| IoError::unsuitable(&folder, error))?;
        let staged = StagedFolder::create(&folder, LIGHT_FILE)?;
        pictures.write(&staged)?;
        staged.commit()
    }
}

impl Pictures {
    /// Writes images, light file and, where it was asked for, truth.
    ///
    /// # Errors
    /// What the system reports.
    pub fn write(&self, staged: &StagedFolder) -> Result<(), IoError> {
        let scene = &self.scene;
        let values = self.frames.concat();
        let pixels = if scene.rig.sensor.sixteen_bit {
            Pixels::U16(values)
        } else {
            Pixels::U8(values.iter().map(|&v| v as u8).collect())
        };
        let images = ImageStack::new(scene.size, self.frames.len(), pixels);
        for index in 0..images.count {
            write_grey(&staged.path(&format!("im{index}.png")), &images, index)?;
        }
        if let Some(truths) = &self.truths {
            self.write_truths(truths, &staged.path(TRUTH_FOLDER))?;
        }
        let angles = scene.rig.light_angles_deg();
        let lights: String = angles.iter().map(|[z, a]| format!("{z:.2} {a:.2}\n")).collect();
        write_atomically(&staged.path(LIGHT_FILE), |out| out.write_all(lights.as_bytes()))
    }

    fn write_truths(&self, truths: &Truths, folder: &Path) -> Result<(), IoError> {
        std::fs::create_dir_all(folder).map_err(|e| IoError::from_system(folder, e))?;
        let at = |name: &str| folder.join(name);
        let none = MapCompression::None;
        let truth = &truths.maps;
        let share = self.scene.rig.sensor.exposure_dn / 255.0;
        let scaled = |plane: &crate::maps::AlbedoMap| {
            crate::maps::Plane::new(plane.size, plane.data.iter().map(|v| v * share).collect())
        };
        write_normals(&at("normals.exr"), &truth.normals, none)?;
        write_plane(&at("albedo.exr"), &scaled(&truth.albedo), none)?;
        write_rgb(&at("albedo_rgb.exr"), &truth.albedo_rgb.each_ref().map(scaled), none)?;
        write_plane(&at("depth.exr"), &truth.depth, none)?;
        write_mask(&at("mask.png"), &truth.mask)?;
        let grey = |name: &str, values: Vec<u8>| {
            write_grey(&at(name), &ImageStack::new(truth.mask.size, 1, Pixels::U8(values)), 0)
        };
        grey("parts.png", truth.part.data.clone())?;
        grey("lens.png", truth.behind_lens.data.iter().map(|&b| 255 * u8::from(b)).collect())?;
        for (index, light) in truth.lights.iter().enumerate() {
            let shadow = light.attached_shadow.data.iter().zip(&light.cast_shadow.data);
            let value = |(&attached, &cast): (&bool, &bool)| match (attached, cast) {
                (true, _) => 128,
                (_, true) => 255,
                _ => 0,
            };
            grey(&format!("shadow{index}.png"), shadow.map(value).collect())?;
        }
        #[derive(Serialize)]
        struct Point {
            column: f64,
            row: f64,
            visible: bool,
        }
        let points: Vec<Point> = truths
            .landmarks
            .iter()
            .map(|l| Point { column: l.column, row: l.row, visible: l.visible })
            .collect();
        write_json(&at("landmarks.json"), &points)?;
        write_json(&at(SCENE_FILE), &self.scene)
    }
}

/// `YYYY-MM-DD_HH-MM-SS` so many seconds after the beginning of 2008.
fn time_stamp(seconds: u64) -> String {
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 2008;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{:02}_{hour:02}-{minute:02}-{second:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_follow_the_calendar() {
        assert_eq!(time_stamp(0), "2008-01-01_00-00-00");
        // 2008 had a 29th of February.
        assert_eq!(time_stamp(59 * 86_400 + 3_661), "2008-02-29_01-01-01");
        assert_eq!(time_stamp(366 * 86_400 - 1), "2008-12-31_23-59-59");
        assert_eq!(time_stamp(366 * 86_400), "2009-01-01_00-00-00");
        assert_eq!(time_stamp((366 + 365) * 86_400), "2010-01-01_00-00-00");
    }
}
