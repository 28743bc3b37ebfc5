//! Memory over five hundred steps of training: it rises while buffers fill, and then no more.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{lumiface, stderr};

const CONFIG: &str = r#"
modalities = ["albedo", "normals"]
input_side = 32
[network]
width = 8
[fusion]
kind = "gated"
modality_dropout = 0.2
[augment]
mirror = true
rotation_deg = 10
[[tasks]]
name = "emotion"
classes = ["blankstare", "positive", "*"]
[optimizer]
epochs = 100
batch_size = 4
checkpoint_epochs = 100
"#;

/// Resident memory of a process in KiB, `None` when it is gone.
fn resident_kib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn memory_reaches_a_plateau() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    support::synthesise(&folder.path().join("captures"), [5, 4], "48x48", 2);
    let output =
        lumiface(&["preprocess", &path("captures"), "--device", "cpu", "--out", &path("maps")]);
    assert!(output.status.success(), "{}", stderr(&output));
    fs::write(folder.path().join("config.toml"), CONFIG).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lumiface"))
        .args(["train", &path("config.toml"), "--data", &path("maps")])
        .args(["--device", "cpu", "--out", &path("run")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut sizes = Vec::new();
    while child.try_wait().unwrap().is_none() {
        sizes.extend(resident_kib(child.id()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    let lines = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 100, "100 epochs of 5 steps");
    assert!(sizes.len() > 60, "{} looks at the memory", sizes.len());
    // The first third fills buffers; the last must not need more than the middle.
    let third = sizes.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (middle, last) = (mean(&sizes[third..2 * third]), mean(&sizes[2 * third..]));
    assert!(last < 1.05 * middle, "{middle:.0} KiB in the middle, {last:.0} at the end");
}
