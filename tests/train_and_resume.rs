//! Training, evaluation and their interruptions, on a small set made in code.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{lumiface, stderr, stdout};

const CONFIG: &str = r#"
modality = "albedo"
input_side = 32
seed = 3

[split]
gallery_count = 2

[network]
width = 8

[augment]
mirror = true

[[tasks]]
name = "emotion"
classes = ["blankstare", "positive", "*"]

[optimizer]
epochs = 8
batch_size = 6
learning_rate = 1e-3
checkpoint_epochs = 1
"#;

/// Captures, maps and a configuration in a temporary folder.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new(with_maps: bool) -> Self {
        let workshop = Self { folder: tempfile::tempdir().unwrap() };
        support::synthesise(&workshop.path("captures"), [6, 4], "48x48", 2);
        fs::write(workshop.path("config.toml"), CONFIG).unwrap();
        if with_maps {
            let output = lumiface(&workshop.preprocess_arguments("maps"));
            assert!(output.status.success(), "{}", stderr(&output));
        }
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    fn preprocess_arguments(&self, out: &str) -> Vec<&'static str> {
        leak(&[
            "preprocess",
            &self.text("captures"),
            "--layout",
            "photoface",
            "--device",
            "cpu",
            "--out",
            &self.text(out),
        ])
    }

    fn train_arguments(&self, run: &str) -> Vec<&'static str> {
        leak(&[
            "train",
            &self.text("config.toml"),
            "--data",
            &self.text("maps"),
            "--device",
            "cpu",
            "--out",
            &self.text(run),
        ])
    }

    fn evaluate(&self, run: &str) -> std::process::Output {
        lumiface(&leak(&[
            "evaluate",
            &self.text(run),
            "--data",
            &self.text("maps"),
            "--device",
            "cpu",
            "--baseline",
            "raw,albedo,normals",
            "--json",
        ]))
    }

    fn train(&self, run: &str) -> std::process::Output {
        lumiface(&self.train_arguments(run))
    }
}

/// Arguments outlive the temporary strings they are made of; a test process is short.
fn leak(arguments: &[&str]) -> Vec<&'static str> {
    arguments.iter().map(|a| &*Box::leak(a.to_string().into_boxed_str())).collect()
}

/// Runs a command again and again, killed a little later each time, until it ends by itself.
fn run_with_kills(arguments: &[&str], step: Duration) -> usize {
    for kills in 0..200 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lumiface"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(step * (kills as u32 + 1));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return kills;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    panic!("never came to an end");
}

/// Every file below a folder with its content, locks and records of time left out.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".lock" {
                found.push((
                    path.strip_prefix(folder).unwrap().to_path_buf(),
                    fs::read(&path).unwrap(),
                ));
            }
        }
    }
    found.sort();
    found
}

fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    let names =
        |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for ((name, left), (_, right)) in a.iter().zip(&b) {
        assert!(left == right, "{} differs", name.display());
    }
}

#[test]
fn preprocessing_killed_again_and_again_ends_with_the_same_files() {
    let workshop = Workshop::new(false);
    assert!(lumiface(&workshop.preprocess_arguments("unbroken")).status.success());
    let arguments = workshop.preprocess_arguments("broken");
    let kills = run_with_kills(&arguments, Duration::from_millis(4));
    assert!(kills > 0, "the command was never interrupted");
    assert_same_files(&workshop.path("unbroken"), &workshop.path("broken"));
}

#[test]
fn training_killed_again_and_again_ends_with_the_same_weights_and_losses() {
    let workshop = Workshop::new(true);
    let unbroken = workshop.train("unbroken");
    assert!(unbroken.status.success(), "{}", stderr(&unbroken));
    let kills = run_with_kills(&workshop.train_arguments("broken"), Duration::from_millis(60));
    assert!(kills > 0, "the command was never interrupted");
    let weights = "checkpoints/epoch-0008/weights.safetensors";
    for file in ["config.toml", "split.csv", "metrics.jsonl", weights] {
        let read = |run: &str| fs::read(workshop.path(run).join(file)).unwrap();
        assert!(read("unbroken") == read("broken"), "{file} differs");
    }
    let losses = fs::read_to_string(workshop.path("broken/metrics.jsonl")).unwrap();
    assert_eq!(losses.lines().count(), 8);
}

#[test]
fn a_run_is_evaluated_and_a_damaged_one_is_named() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("run").status.success());
    let output = workshop.evaluate("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    // Two people of four sessions: one enrolled each, three probes each.
    assert_eq!(result["enrolled"], 2);
    assert_eq!(result["probes"], 6);
    assert_eq!(result["genuine_pairs"], 6);
    assert_eq!(result["impostor_pairs"], 6);
    assert_eq!(result["results"].as_array().unwrap().len(), 4);
    assert_eq!(result["results"][0]["tasks"]["emotion"]["labelled"], 8);
    assert!(workshop.path("run/matches-gallery.png").exists());

    // The last checkpoint cut short: named, and the one before it used.
    let last = workshop.path("run/checkpoints/epoch-0008/weights.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    let output = workshop.evaluate("run");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("epoch-0008"), "{}", stderr(&output));
    let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(result["epoch"], 7);

    // Both damaged: one clear line.
    fs::write(workshop.path("run/checkpoints/epoch-0007/checkpoint.json"), "{").unwrap();
    let output = workshop.evaluate("run");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("checkpoint is damaged"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn another_configuration_or_architecture_is_refused() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("run").status.success());
    let again = workshop.train("run");
    assert!(again.status.success(), "a finished run ends at once: {}", stderr(&again));

    fs::write(workshop.path("config.toml"), CONFIG.replace("1e-3", "2e-3")).unwrap();
    let output = workshop.train("run");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("learning_rate = 0.001") && message.contains("--fresh"), "{message}");

    let resolved = workshop.path("run/config.toml");
    let text = fs::read_to_string(&resolved).unwrap();
    fs::write(&resolved, text.replace("width = 8", "width = 16")).unwrap();
    let output = workshop.evaluate("run");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("another architecture") && message.contains("width 8"), "{message}");

    // Weights of other people are not taken for this run's, whatever the files around them say.
    fs::write(&resolved, &text).unwrap();
    let split = workshop.path("run/split.csv");
    let parts = fs::read_to_string(&split).unwrap();
    let swapped =
        parts.replace("train", "x").replace("gallery", "train").replacen("x", "gallery", 2);
    fs::write(&split, swapped.replace('x', "train")).unwrap();
    let output = workshop.evaluate("run");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("trained on other people"), "{}", stderr(&output));

    let fresh = [workshop.train_arguments("run"), vec!["--fresh"]].concat();
    let output = lumiface(&fresh);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_label_without_a_class_and_a_batch_without_samples_say_so() {
    let workshop = Workshop::new(true);
    let config = CONFIG.replace(", \"*\"]", "]");
    fs::write(workshop.path("config.toml"), config).unwrap();
    let output = workshop.train("run");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is no class of the task"), "{}", stderr(&output));

    let config = CONFIG.replace("batch_size = 6", "batch_size = 600");
    fs::write(workshop.path("config.toml"), config).unwrap();
    let output = workshop.train("other");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("do not fill a batch"), "{}", stderr(&output));
}

#[test]
fn captures_without_a_label_train_identity_and_are_left_out_of_the_task() {
    let workshop = Workshop::new(false);
    let table = workshop.path("captures/metadata.csv");
    // Every second capture loses its emotion, the last column.
    let text: String = fs::read_to_string(&table)
        .unwrap()
        .lines()
        .enumerate()
        .map(|(i, line)| match line.rsplit_once(',') {
            Some((rest, _)) if i > 0 && i % 2 == 0 => format!("{rest},\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(&table, text).unwrap();
    assert!(lumiface(&workshop.preprocess_arguments("maps")).status.success());
    let output = workshop.train("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let losses = fs::read_to_string(workshop.path("run/metrics.jsonl")).unwrap();
    assert!(losses.lines().all(|line| line.contains("\"emotion\":")), "{losses}");

    let output = workshop.evaluate("run");
    let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    // Two gallery people of four sessions, half of them labelled.
    assert_eq!(result["results"][0]["tasks"]["emotion"]["labelled"], 4);
    assert_eq!(result["probes"], 6);
}
