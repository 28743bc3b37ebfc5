//! What several tests need: the test data, an adapter, and skips that are heard.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod captures;
pub mod faces;
pub mod layouts;
pub mod postgres;

use lumiface::gpu::Gpu;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Says aloud that a test did not run; in CI that is a failure.
///
/// Writes past the test harness, which would hold the line back.
pub fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    assert!(std::env::var_os("CI").is_none(), "SKIPPED in CI: {reason}");
}

/// A file or folder of the test data, or `None` after a skip.
pub fn test_data(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("LUMIFACE_DATA").map(|root| PathBuf::from(root).join(name));
    match path {
        Some(path) if path.exists() => Some(path),
        _ => {
            skip(&format!("{name} not found; set LUMIFACE_DATA to the test data's folder"));
            None
        }
    }
}

/// An archive of the test data (`.tar.xz`) unpacked into a temporary folder, or `None` after a skip.
pub fn unpacked(archive: &str) -> Option<tempfile::TempDir> {
    let path = test_data(archive)?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tar = Command::new("tar").arg("xf").arg(&path).arg("-C").arg(folder.path()).status();
    if !tar.is_ok_and(|status| status.success()) {
        skip(&format!("{archive} cannot be unpacked; install tar and xz"));
        return None;
    }
    Some(folder)
}

/// Any adapter, a software one included, or `None` after a skip.
pub fn any_gpu() -> Option<Gpu> {
    match Gpu::open_any() {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            skip(&format!("no GPU adapter ({error})"));
            None
        }
    }
}

/// Runs the lumiface binary on the CPU side of things.
pub fn lumiface(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lumiface"))
        .args(arguments)
        .output()
        .expect("the binary was built with the tests")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a set of the studio without truth: people, sessions of each.
pub fn synthesise(out: &std::path::Path, [people, sessions]: [usize; 2], size: &str, seed: u64) {
    let numbers = [people.to_string(), sessions.to_string(), seed.to_string()];
    let output = lumiface(&[
        "synth",
        "--no-truth",
        "--people",
        &numbers[0],
        "--sessions",
        &numbers[1],
        "--seed",
        &numbers[2],
        "--size",
        size,
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
}
