//! One visit of one person: all that its pictures follow from, and the pictures.

use super::appearance::{Canvas, Grooming, Look, dress};
use super::attack::{Attack, AttackKind, BELOW_EYES_MM, HALF_SIZE_MM};
use super::draws::{Draws, mix};
use super::exact_math::{along, sin_cos_deg};
use super::head::{Expression, HeadModel, weight_field};
use super::labels::{Emotion, Gender, Labels, PoseClass};
use super::population::Member;
use super::render::{self, Frame, HeadPose, Options, Radiance, Scene, SceneError, Truth, View};
use super::rig::{Rig, RigPlan};
use super::spectacles::Spectacles;
use super::surface::Surface;
use crate::gpu::{Gpu, GpuError, SceneBuffers};
use crate::maps::Size;
use serde::{Deserialize, Serialize};

/// Where faces come from, ready to make any of them, and what traces them.
pub struct Studio {
    model: Box<dyn HeadModel>,
    canvas: Canvas,
    /// Where a vertex goes with the person's weight.
    weight: Vec<[f32; 3]>,
    /// Traces in place of the CPU.
    gpu: Option<Box<Gpu>>,
}

impl Studio {
    /// `detail_mm`: about the size of a pixel on the face.
    pub fn new(model: Box<dyn HeadModel>, detail_mm: f32, gpu: Option<Box<Gpu>>) -> Self {
        let canvas = Canvas::new(model.topology(), detail_mm);
        let weight = weight_field(model.topology());
        Self { model, canvas, weight, gpu }
    }
}

/// Why pictures could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(
        "the scene has {given} scores of identity, the face model {wanted}; give the model it was made with"
    )]
    OtherModel { given: usize, wanted: usize },
    #[error("{0}")]
    Impossible(&'static str),
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// A scene where it is traced.
struct Traced<'a> {
    scene: Scene,
    on_gpu: Option<(&'a Gpu, SceneBuffers)>,
}

impl<'a> Traced<'a> {
    fn new(studio: &'a Studio, surfaces: &[&Surface]) -> Result<Self, SessionError> {
        let scene = Scene::build(surfaces)?;
        let on_gpu = match &studio.gpu {
            None => None,
            Some(gpu) => Some((&**gpu, gpu.trace.upload(gpu, &scene)?)),
        };
        Ok(Self { scene, on_gpu })
    }

    fn image(
        &self,
        view: &View,
        size: Size,
        frame: &Frame,
        options: &Options,
    ) -> Result<Radiance, GpuError> {
        match &self.on_gpu {
            None => Ok(render::image(&self.scene, view, size, frame, options)),
            Some((gpu, buffers)) => {
                gpu.trace.image(gpu, (&self.scene, buffers), view, size, frame, options)
            }
        }
    }

    fn truth(
        &self,
        view: &View,
        size: Size,
        frame: &Frame,
        options: &Options,
    ) -> Result<Truth, GpuError> {
        match &self.on_gpu {
            None => Ok(render::truth(&self.scene, view, size, frame, options)),
            Some((gpu, buffers)) => {
                gpu.trace.truth(gpu, (&self.scene, buffers), view, size, frame, options)
            }
        }
    }
}

/// What the pictures of a session follow from: `scene.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionScene {
    pub labels: Labels,
    /// Scores of the face model.
    pub identity: Vec<f32>,
    /// What the person has gained since the first day of the set, in standard deviations of the
    /// population's weight.
    #[serde(default)]
    pub gained_weight: f32,
    pub look: Look,
    pub grooming: Grooming,
    /// Those that the person wears in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectacles: Option<Spectacles>,
    pub expression: Expression,
    /// Turn of the head in degrees: yaw to the right of the picture, pitch up, roll
    /// counter-clockwise.
    pub yaw_pitch_roll_deg: [f32; 3],
    pub rig: Rig,
    pub size: Size,
    pub noise_seed: u64,
    /// A picture of this person instead of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
}

/// Most lamps of a session.
pub const MOST_LAMPS: usize = 64;
/// A blur wider than this is a grey picture, and takes for ever.
const MOST_BLUR_PX: f32 = 50.0;

/// The frame that truth is told of: the one that registration brings the others onto.
pub fn reference_frame(frames: usize) -> usize {
    frames.saturating_sub(1) / 2
}

/// What is true of the frame [`reference_frame`].
pub struct Truths {
    pub maps: Truth,
    /// Of the face; none where a picture is held before it.
    pub landmarks: Vec<render::Landmark>,
}

/// The pictures of a session and, if asked for, what is true of them.
pub struct Pictures {
    /// One per lamp, steps of the file: 8 or 16 bits.
    pub frames: Vec<Vec<u16>>,
    pub truths: Option<Truths>,
    /// The scene with its exposure set.
    pub scene: SessionScene,
}

impl SessionScene {
    /// Visit number `visit` of a person, so many years after the first day of the set.
    pub fn sample(
        studio: &Studio,
        member: &Member,
        visit: usize,
        years: f64,
        plan: &RigPlan,
    ) -> Self {
        let labels = member.sessions[visit];
        let mut lasting = Draws::new(mix(member.seed));
        let sign = if member.gender == Gender::Male { 1.0 } else { -1.0 };
        let masculinity = (sign * (1.0 + 0.35 * lasting.normal())) as f32;
        let identity = studio.model.sample_identity(masculinity, &mut lasting);
        let mut look = Look::sample(member.gender, &mut lasting);
        look.beard = member.facial_hair;
        let spectacles = Spectacles::sample(&mut lasting);
        let gained_weight = gained_weight(years, &mut lasting);
        let mut draws = Draws::new(mix(member.seed ^ mix(0x5e55 + visit as u64)));
        let grooming = Grooming::sample(&look, Some(labels.facial_hair), years, &mut draws);
        Self {
            labels,
            identity,
            gained_weight,
            look,
            grooming,
            spectacles: labels.spectacles.then_some(spectacles),
            expression: expression(labels.emotion, &mut draws),
            yaw_pitch_roll_deg: turn(labels.pose, &mut draws),
            rig: Rig::sample(plan, labels.quality, &mut draws),
            size: plan.size,
            noise_seed: mix(member.seed ^ mix(0x4e01 + visit as u64)),
            attack: None,
        }
    }

    fn pose(&self, frame: usize) -> HeadPose {
        let [yaw, pitch, roll] = self.yaw_pitch_roll_deg;
        let steps = frame as f32 - reference_frame(self.rig.lamps.len()) as f32;
        let place = [0, 1, 2].map(|a| self.rig.head_mm[a] + steps * self.rig.drift_mm[a]);
        HeadPose::from_angles_deg(yaw, pitch, roll, place)
    }

    /// Makes the pictures; where the exposure is not set (NaN) it is set for
    /// [`Rig::bright_dn`].
    ///
    /// # Errors
    /// A scene that cannot be traced (numbers that are not finite, another face model), or a GPU
    /// that fails.
    pub fn pictures(&self, studio: &Studio, with_truth: bool) -> Result<Pictures, SessionError> {
        if !(1..=MOST_LAMPS).contains(&self.rig.lamps.len()) {
            return Err(SessionError::Impossible("has no lamps, or more than 64; give 1 to 64"));
        }
        if !(0.0..=MOST_BLUR_PX).contains(&self.rig.sensor.blur_px) {
            return Err(SessionError::Impossible(
                "blur_px is not within 0 and 50; give a blur that is",
            ));
        }
        let wanted = studio.model.identity_scores();
        if self.identity.len() != wanted {
            return Err(SessionError::OtherModel { given: self.identity.len(), wanted });
        }
        let mut positions = studio.model.positions(&self.identity, &self.expression);
        if self.gained_weight != 0.0 {
            for (place, &way) in positions.iter_mut().zip(&studio.weight) {
                *place = along(*place, self.gained_weight, way);
            }
        }
        let surface = dress(&studio.canvas, &positions, &self.look, &self.grooming);
        let worn = self.spectacles.as_ref().map(|s| s.on(studio.model.topology(), &positions));
        let surfaces: Vec<&Surface> = [&surface].into_iter().chain(&worn).collect();
        let person = Traced::new(studio, &surfaces)?;
        let (traced, glow) = match &self.attack {
            None => (person, None),
            Some(attack) => {
                let photograph = portrait(&person, self.rig.options.bounce_rays > 0)?;
                let glow = (attack.kind == AttackKind::Screen)
                    .then(|| Traced::new(studio, &[&attack.surface(&photograph, true)]))
                    .transpose()?;
                (Traced::new(studio, &[&attack.surface(&photograph, false)])?, glow)
            }
        };
        let Rig { view, options, .. } = &self.rig;
        let frame = |index: usize, lamps: &[render::Light]| Frame {
            pose: self.pose(index),
            lights: lamps.to_vec(),
        };
        let radiance: Vec<crate::maps::Plane<f32>> = (0..self.rig.lamps.len())
            .map(|i| {
                let frame = frame(i, &self.rig.lamps[i..=i]);
                let mut image =
                    traced.image(view, self.size, &frame, options)?.weighted(render::LUMINANCE);
                if let (Some(glow), Some(attack)) = (&glow, &self.attack) {
                    let shown = glow.truth(view, self.size, &frame, options)?.albedo;
                    for (value, shown) in image.data.iter_mut().zip(&shown.data) {
                        *value += if shown.is_nan() { 0.0 } else { attack.glow * shown };
                    }
                }
                Ok(image)
            })
            .collect::<Result<_, GpuError>>()?;
        let mut scene = self.clone();
        let sensor = &mut scene.rig.sensor;
        if !sensor.exposure_dn.is_finite() {
            let brightest = radiance.iter().map(|plane| share_below(&plane.data, 0.99));
            let brightest = brightest.fold(1e-6, f32::max);
            sensor.exposure_dn = (self.rig.bright_dn - sensor.offset_dn) / brightest;
        }
        let frames = radiance
            .iter()
            .enumerate()
            .map(|(i, plane)| sensor.expose(plane, mix(self.noise_seed ^ i as u64)))
            .collect();
        let mut truths = None;
        if with_truth {
            let reference = frame(reference_frame(self.rig.lamps.len()), &self.rig.lamps);
            let of_face = self.attack.is_none();
            let marks = studio.model.topology().landmarks.iter().filter(|_| of_face);
            let points: Vec<_> = marks.map(|&v| positions[v as usize]).collect();
            truths = Some(Truths {
                maps: traced.truth(view, self.size, &reference, options)?,
                landmarks: render::landmarks(&traced.scene, view, &reference.pose, &points),
            });
        }
        Ok(Pictures { frames, truths, scene })
    }
}

/// A photograph of the person by soft light from the camera's side, life-size.
fn portrait(person: &Traced, inter_reflection: bool) -> Result<Radiance, GpuError> {
    let size = Attack::photograph_size();
    let mm_per_px = f64::from(2.0 * HALF_SIZE_MM[0]) / size.width as f64;
    let up = f64::from(BELOW_EYES_MM) / mm_per_px;
    let centre_px = [(size.width as f64 - 1.0) / 2.0, (size.height as f64 - 1.0) / 2.0 - up];
    let view = View::Orthographic { mm_per_px, centre_px };
    let lamp = |x: f32, y: f32| render::Light::distant([x, y, 1.0], 0.5);
    let frame = Frame { pose: HeadPose::FRONTAL, lights: vec![lamp(-0.35, 0.3), lamp(0.35, 0.3)] };
    let mut options = Options::default();
    if inter_reflection {
        options = options.with_inter_reflection();
    }
    person.image(&view, size, &frame, &options)
}

/// The value that a share of the values lie below.
fn share_below(values: &[f32], share: f64) -> f32 {
    let mut values = values.to_vec();
    crate::order_statistics::quantile(&mut values, share).unwrap_or(0.0)
}

/// Some gain a little every year, some lose; all are heavier in winter than in summer.
fn gained_weight(years: f64, lasting: &mut Draws) -> f32 {
    let (trend, swing) = (0.3 * lasting.normal().clamp(-2.0, 2.0), 0.08 * lasting.normal().abs());
    let season = 1.0 - sin_cos_deg(360.0 * years).1;
    (trend * years - swing * season) as f32
}

/// What the face does. Nobody is quite still.
fn expression(emotion: Emotion, draws: &mut Draws) -> Expression {
    let mut up_to = |most: f64| draws.range(0.0, most) as f32;
    let mut face = Expression {
        brow_down: up_to(0.12),
        brow_inner_up: up_to(0.08),
        eye_blink: up_to(0.15),
        mouth_smile: up_to(0.06),
        mouth_press: up_to(0.15),
        ..Default::default()
    };
    match emotion {
        Emotion::BlankStare => {}
        Emotion::Positive => {
            let strength = 0.65 + up_to(0.35);
            face.mouth_smile = strength;
            face.cheek_squint = strength * (0.5 + up_to(0.5));
            face.eye_squint = strength * (0.1 + up_to(0.4));
            face.brow_down = 0.0;
            face.mouth_press = 0.0;
            // Some smile with closed lips, most show teeth.
            if up_to(1.0) > 0.35 {
                face.mouth_upper_up = strength * (0.35 + up_to(0.5));
                face.mouth_lower_down = strength * up_to(0.35);
                face.jaw_open = strength * (0.08 + up_to(0.25));
            }
        }
        Emotion::Negative => {
            let strength = 0.5 + up_to(0.5);
            face.brow_down = strength;
            face.mouth_frown = strength * (0.4 + up_to(0.6));
            face.nose_sneer = strength * up_to(0.7);
            face.mouth_press = strength * up_to(0.6);
            face.eye_squint = strength * up_to(0.4);
            face.mouth_smile = 0.0;
        }
        Emotion::Other => match up_to(4.0) {
            // Surprise, speech, puffed cheeks, pursed lips.
            x if x < 1.2 => {
                face.brow_inner_up = 0.5 + up_to(0.5);
                face.brow_outer_up = 0.5 + up_to(0.5);
                face.brow_down = 0.0;
                face.eye_wide = 0.4 + up_to(0.6);
                face.eye_blink = 0.0;
                face.jaw_open = 0.2 + up_to(0.5);
                face.mouth_press = 0.0;
            }
            x if x < 2.6 => {
                face.jaw_open = 0.25 + up_to(0.5);
                face.mouth_pucker = up_to(0.6);
                face.mouth_stretch = up_to(0.4);
                face.mouth_press = 0.0;
            }
            x if x < 3.2 => face.cheek_puff = 0.5 + up_to(0.5),
            _ => {
                face.mouth_pucker = 0.6 + up_to(0.4);
                face.mouth_press = 0.0;
            }
        },
    }
    face.gaze_x = (0.12 * draws.normal()) as f32;
    face.gaze_y = (0.08 * draws.normal()) as f32;
    face.asymmetry = (0.12 * draws.normal()).clamp(-0.4, 0.4) as f32;
    face
}

/// Yaw, pitch and roll of a pose class: the face's axis lies between the class's angles from the
/// camera's, mostly turned aside rather than up or down.
fn turn(class: PoseClass, draws: &mut Draws) -> [f32; 3] {
    let [low, high] = class.angles_deg();
    let angle = draws.range(low, high);
    // About one in four turns is more up or down than aside, by at most 20°.
    let tilt = 0.35 * draws.normal();
    let pitch = (angle * tilt).clamp(-20.0, 20.0).clamp(-angle, angle);
    let yaw = (angle * angle - pitch * pitch).max(0.0).sqrt();
    let yaw = if draws.chance(0.5) { yaw } else { -yaw };
    [yaw, pitch, 2.5 * draws.normal()].map(|v| v as f32)
}
