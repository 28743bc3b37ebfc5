//! What an annotator would note of a session, in Photoface's words.

use serde::{Deserialize, Serialize};

macro_rules! label {
    ($(#[$meta:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in a label table.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }
    };
}

label!(Gender { Male = "male", Female = "female" });

label!(FacialHair {
    None = "none",
    Stubble = "stubble",
    Moustache = "moustache",
    /// On chin and jaw, none on the upper lip.
    Beard = "beard",
    Both = "both",
});

label!(
    /// What the face does.
    Emotion {
        BlankStare = "blankstare",
        Positive = "positive",
        Negative = "negative",
        /// Surprised, speaking, puffing, pursing.
        Other = "emoOther",
    }
);

label!(
    /// How far the head is turned from the camera. Photoface numbers its classes without saying
    /// what they are; here they are bands of the angle between the face's axis and the camera's:
    /// up to 8°, 16°, 24°, 32° and 42°.
    PoseClass { Frontal = "1", Slight = "2", Turned = "3", Strong = "4", Extreme = "5" }
);

impl PoseClass {
    /// Least and greatest angle between the face's axis and the camera's, degrees.
    pub fn angles_deg(self) -> [f64; 2] {
        match self {
            Self::Frontal => [0.0, 8.0],
            Self::Slight => [8.0, 16.0],
            Self::Turned => [16.0, 24.0],
            Self::Strong => [24.0, 32.0],
            Self::Extreme => [32.0, 42.0],
        }
    }
}

label!(Quality {
    Ok = "ok",
    /// Out of focus or moving.
    Blur = "blur",
    /// Exposed for less than it needs.
    Dark = "dark",
});

/// The labels of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels {
    pub gender: Gender,
    pub spectacles: bool,
    pub facial_hair: FacialHair,
    pub pose: PoseClass,
    pub quality: Quality,
    pub emotion: Emotion,
}

impl Labels {
    /// First line of a label table, Photoface's columns.
    pub const HEADER: &str =
        "id,session,Gender,Spectacles,Facial_Hair,Pose,Quality,Occlusion,Emotion";

    /// A line of a label table. Nothing is ever held before these faces.
    pub fn row(&self, id: &str, session: &str) -> String {
        format!(
            "{id},{session},{},{},{},{},{},,{}",
            self.gender.word(),
            if self.spectacles { "yes" } else { "no" },
            self.facial_hair.word(),
            self.pose.word(),
            self.quality.word(),
            self.emotion.word(),
        )
    }
}
