//! Verification lists against Python: sets that it pickles and reads, and its judgement over folds.

mod support;

use lumiface::dataset::{BinPairs, PairList, Sessions};
use lumiface::eval::tenfold;
use std::path::Path;
use std::process::Command;

/// What the script prints, or `None` after a skip.
fn python(command: &str, path: &Path) -> Option<String> {
    let python = std::env::var("LUMIFACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import numpy"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        support::skip(&format!("{python} has no numpy; pip install numpy and set LUMIFACE_PYTHON"));
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/pairs.py");
    let output = Command::new(&python).arg(script).arg(command).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn pairs() -> BinPairs {
    let bytes: Vec<u8> = (0..=255).collect();
    let images =
        vec![vec![255, 216, 0, 10, 39], b"I".to_vec(), bytes.repeat(300), b"\x89PNG".to_vec()];
    BinPairs { images, same: vec![true, false] }
}

#[test]
fn sets_pickled_by_python_are_read_and_ours_by_python() {
    let folder = tempfile::tempdir().unwrap();
    if python("write", folder.path()).is_none() {
        return;
    }
    for protocol in 0..6 {
        let path = folder.path().join(format!("protocol{protocol}.bin"));
        assert_eq!(BinPairs::read(&path).unwrap(), pairs(), "protocol {protocol}");
    }
    assert_eq!(BinPairs::read(&folder.path().join("integers.bin")).unwrap(), pairs());
    let message = BinPairs::read(&folder.path().join("arrays.bin")).unwrap_err().to_string();
    assert!(message.contains("export it anew"), "{message}");

    let ours = folder.path().join("ours.bin");
    pairs().write(&ours).unwrap();
    python("read", &ours).unwrap();

    let captures = [("Ann", "b"), ("Ann", "a"), ("Bo", "c"), ("Bo", "d")];
    let sessions: Sessions = captures.into_iter().collect();
    let theirs = folder.path().join("pairs.txt");
    let list = PairList::read_lfw(&theirs, &sessions).unwrap();
    assert_eq!(list.folds[0].impostor[0][0].session, "b");
    let again = folder.path().join("again.txt");
    list.write_lfw(&again, &sessions).unwrap();
    assert_eq!(std::fs::read(again).unwrap(), std::fs::read(theirs).unwrap());
}

#[test]
fn accuracy_over_folds_is_that_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 3u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    // Similarities on a fine grid, on one of few values, and ten folds of unequal length.
    for (turn, steps) in [4096u64, 16].into_iter().enumerate() {
        let rows: Vec<(f64, bool, usize)> = (0..400)
            .map(|_| {
                let same = next(2) == 0;
                let shift = if same { steps / 4 } else { 0 };
                ((next(steps) + shift) as f64 / steps as f64, same, next(10) as usize)
            })
            .collect();
        let path = folder.path().join(format!("{turn}.json"));
        std::fs::write(&path, serde_json::to_vec(&rows).unwrap()).unwrap();
        let Some(printed) = python("judge", &path) else { return };
        let [accuracy, error]: [f64; 2] = serde_json::from_str(&printed).unwrap();
        let column = |of: fn(&(f64, bool, usize)) -> f64| rows.iter().map(of).collect::<Vec<_>>();
        let same: Vec<bool> = rows.iter().map(|row| row.1).collect();
        let folds: Vec<usize> = rows.iter().map(|row| row.2).collect();
        let ours = tenfold(&column(|row| row.0), &same, &folds).unwrap();
        assert!((ours.accuracy - accuracy).abs() < 1e-12, "{} not {accuracy}", ours.accuracy);
        assert!((ours.standard_error - error).abs() < 1e-12);
    }
}
