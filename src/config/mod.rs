//! Configuration files: TOML, every key known, mistakes named with the nearest known key.

use crate::io::{IoError, read_text_of};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A configuration file that cannot be used: where, why, and what was probably meant.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Invalid { path: PathBuf, line: usize, reason: String },
    #[error("{path}: {reason}", path = .path.display())]
    Impossible { path: PathBuf, reason: String },
}

/// No configuration is longer; a parser takes several times as much memory.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a TOML file into a type that refuses unknown keys.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = read_text_of(path, MAX_BYTES)?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid {
        path: path.to_path_buf(),
        line: error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1),
        reason: explain(error.message()),
    })
}

/// Adds the nearest known name to serde's "unknown field `x`, expected one of `a`, `b`".
fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, rest) = if message.starts_with("unknown field") {
        ("key", &quoted)
    } else if message.starts_with("unknown variant") {
        ("value", &quoted)
    } else {
        return message.trim().replace('\n', " ");
    };
    let Some((unknown, known)) = rest.split_first() else { return message.to_string() };
    format!(
        "unknown {what} `{unknown}`{}; known: {}",
        did_you_mean(unknown, known),
        known.join(", ")
    )
}

/// " (did you mean `near`?)", or nothing where no known name is near.
pub fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(&unknown.to_lowercase(), &name.to_lowercase()), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.7)
        .map_or_else(String::new, |(_, name)| format!(" (did you mean `{name}`?)"))
}

/// The value of a name from a closed list, or a line that lists the names.
pub fn parse_name<T: Copy>(what: &str, name: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(n, _)| *n == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
        format!(
            "unknown {what} `{name}`{}; known: {}",
            did_you_mean(name, &names),
            names.join(", ")
        )
    })
}

/// The name of a value from a closed list.
///
/// # Panics
/// If the list lacks the value.
pub fn name_of<T: Copy + PartialEq>(value: T, known: &[(&'static str, T)]) -> &'static str {
    known.iter().find(|(_, v)| *v == value).map(|(n, _)| *n).expect("every value has a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(default, rename = "optimizer")]
        _optimizer: Option<Optimizer>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Optimizer {
        #[serde(rename = "learning_rate")]
        _learning_rate: f64,
    }

    #[test]
    fn an_unknown_key_is_placed_and_the_nearest_one_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\n[optimizer]\nlearning_rat = 1\n").unwrap();
        let message = read_toml::<Example>(file.path()).unwrap_err().to_string();
        assert!(message.contains(":3: unknown key `learning_rat`"), "{message}");
        assert!(message.contains("did you mean `learning_rate`?"), "{message}");
    }

    #[test]
    fn broken_toml_is_placed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[optimizer]\nlearning_rate = \n").unwrap();
        let message = read_toml::<Example>(file.path()).unwrap_err().to_string();
        assert!(message.contains(":2:"), "{message}");
    }

    #[test]
    fn far_names_are_not_suggested() {
        assert_eq!(did_you_mean("zzzz", &["albedo", "normals"]), "");
        assert_eq!(did_you_mean("albdo", &["normals", "albedo"]), " (did you mean `albedo`?)");
    }
}
