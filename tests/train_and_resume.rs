//! Training, evaluation and their interruptions, on a small set made in code.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{lumiface, stderr, stdout};

const CONFIG: &str = r#"
modalities = ["albedo"]
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
        self.evaluate_with(run, &["--baseline", "raw,albedo,normals"])
    }

    fn evaluate_with(&self, run: &str, more: &[&str]) -> std::process::Output {
        let (run, maps) = (self.text(run), self.text("maps"));
        let all = ["evaluate", &run, "--data", &maps, "--device", "cpu", "--json"];
        lumiface(&[&all, more].concat())
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
    // A checkpoint after every step, and people who choose the best state.
    let config = CONFIG
        .replace("gallery_count = 2", "gallery_count = 1\nvalidation_count = 2")
        .replace("batch_size = 6", "batch_size = 4\ncheckpoint_steps = 1");
    fs::write(workshop.path("config.toml"), config).unwrap();
    let unbroken = workshop.train("unbroken");
    assert!(unbroken.status.success(), "{}", stderr(&unbroken));
    let kills = run_with_kills(&workshop.train_arguments("broken"), Duration::from_millis(60));
    assert!(kills > 0, "the command was never interrupted");
    let state = |name: &str, file: &str| format!("checkpoints/{name}/{file}");
    for file in [
        "config.toml",
        "split.csv",
        "metrics.jsonl",
        &state("epoch-0008", "weights.safetensors"),
        &state("best", "weights.safetensors"),
        &state("best", "checkpoint.json"),
    ] {
        let read = |run: &str| fs::read(workshop.path(run).join(file)).unwrap();
        assert!(read("unbroken") == read("broken"), "{file} differs");
    }
    let losses = fs::read_to_string(workshop.path("broken/metrics.jsonl")).unwrap();
    assert_eq!(losses.lines().count(), 8);
    assert!(losses.lines().all(|line| line.contains("\"auc\":")), "{losses}");
    // The curves of TensorBoard have every step once: 8 epochs of 3 steps, and a line an epoch.
    let events = |run: &str| {
        fs::metadata(workshop.path(run).join("events.out.tfevents.lumiface")).unwrap().len()
    };
    assert_eq!(events("unbroken"), events("broken"));
    assert!(events("broken") > 1000);
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
    let model = &result["results"][0];
    assert_eq!(model["identity"]["verification"]["genuine_pairs"], 6);
    assert_eq!(model["identity"]["verification"]["impostor_pairs"], 6);
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
    assert!(message.contains("optimizer.learning_rate was 0.001, is 0.002"), "{message}");
    assert!(message.contains("--fresh") && message.contains("--accept-changes"), "{message}");
    let accepted = [workshop.train_arguments("run"), vec!["--accept-changes"]].concat();
    let output = lumiface(&accepted);
    assert!(output.status.success(), "{}", stderr(&output));
    let resolved = fs::read_to_string(workshop.path("run/config.toml")).unwrap();
    assert!(resolved.contains("learning_rate = 0.002"), "{resolved}");

    // What the weights cannot follow is refused even so, and the run left as it is.
    let resolved = workshop.path("run/config.toml");
    let text = fs::read_to_string(&resolved).unwrap();
    for (change, to, said) in [
        ("width = 8", "width = 16", "width 8 instead of 16"),
        ("\"blankstare\", \"positive\"", "\"positive\", \"blankstare\"", "other classes"),
    ] {
        fs::write(workshop.path("config.toml"), CONFIG.replace(change, to)).unwrap();
        let output = lumiface(&accepted);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&resolved).unwrap(), text);
    }

    fs::write(&resolved, text.replace("width = 8", "width = 16")).unwrap();
    let output = workshop.evaluate("run");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("another architecture"), "{message}");
    assert!(message.contains("width 8 instead of 16"), "{message}");

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

#[test]
fn a_concatenation_joins_trained_networks_and_refuses_others() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("albedo").status.success());
    let single = CONFIG.replace("albedo", "normals");
    fs::write(workshop.path("config.toml"), &single).unwrap();
    assert!(workshop.train("normals").status.success());
    let joint = |members: [&str; 2], extra: &str| {
        let runs = members.map(|run| format!("{:?}", workshop.text(run))).join(", ");
        let text = CONFIG.replace("[\"albedo\"]", "[\"albedo\", \"normals\"]");
        fs::write(
            workshop.path("config.toml"),
            format!("{text}\n[fusion]\nmembers = [{runs}]\n{extra}"),
        )
        .unwrap();
        workshop.train("joint")
    };
    let output = joint(["normals", "albedo"], "");
    assert!(stderr(&output).contains("was not trained on albedo alone"), "{}", stderr(&output));

    let output = joint(["albedo", "normals"], "");
    assert!(output.status.success(), "{}", stderr(&output));
    let metrics = fs::read_to_string(workshop.path("joint/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"adversarial\":{}"), "frozen, yet with adversaries: {metrics}");
    let output = workshop.evaluate("joint");
    let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(result["results"][0]["method"], "model (albedo + normals)");

    // Members that are not trained to their end, or not at all.
    fs::remove_dir_all(workshop.path("joint")).unwrap();
    let output = joint(["albedo", "nothing"], "");
    assert!(stderr(&output).contains("train it first"), "{}", stderr(&output));
    let settings = workshop.path("albedo/config.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("epochs = 8", "epochs = 9")).unwrap();
    let output = joint(["albedo", "normals"], "");
    assert!(stderr(&output).contains("is at epoch 8 of 9"), "{}", stderr(&output));
    fs::write(&settings, text).unwrap();

    // Members whose training saw other people are refused.
    let split = workshop.path("albedo/split.csv");
    let parts = fs::read_to_string(&split).unwrap();
    fs::write(&split, parts.replacen("gallery", "train", 1)).unwrap();
    let output = joint(["albedo", "normals"], "freeze = false");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another split of people"), "{}", stderr(&output));
}

#[test]
fn one_network_serves_any_subset_of_its_modalities() {
    let workshop = Workshop::new(true);
    let text = CONFIG.replace("[\"albedo\"]", "[\"albedo\", \"normals\", \"depth\"]");
    let fusion = "\n[fusion]\nkind = \"attention\"\nmodality_dropout = 0.3\n";
    fs::write(workshop.path("config.toml"), format!("{text}{fusion}")).unwrap();
    let output = workshop.train("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let evaluate = |shown: &str| workshop.evaluate_with("run", &["--modalities", shown]);
    let auc = |modalities: &str| {
        let output = evaluate(modalities);
        assert!(output.status.success(), "{}", stderr(&output));
        let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        result["results"][0]["identity"]["verification"]["auc_euclidean"]["value"].as_f64().unwrap()
    };
    let figures = [auc("albedo"), auc("normals,depth"), auc("albedo,normals,depth")];
    assert!(figures.iter().all(|figure| (0.0..=1.0).contains(figure)), "{figures:?}");
    let output = evaluate("raw");
    assert!(stderr(&output).contains("not trained on raw"), "{}", stderr(&output));
}

#[test]
fn a_damaged_pack_is_made_anew_and_gone_maps_are_named() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("run").status.success());
    let shard = workshop.path("maps/packs/albedo-40/shard-0000.safetensors");
    let whole = fs::read(&shard).unwrap();
    for damaged in [&whole[..whole.len() - 4], &[&whole[..999], &[7][..], &whole[1000..]].concat()]
    {
        fs::write(&shard, damaged).unwrap();
        let output = workshop.evaluate("run");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("made anew"), "{}", stderr(&output));
        assert!(fs::read(&shard).unwrap() == whole);
    }
    let index = workshop.path("maps/packs/albedo-40/pack.json");
    let text = fs::read_to_string(&index).unwrap();
    for damaged in [text.replacen("\"side\": 40", "\"side\": 41", 1), text[..99].to_string()] {
        fs::write(&index, damaged).unwrap();
        let output = workshop.evaluate("run");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("pack.json"), "{}", stderr(&output));
        assert!(fs::read_to_string(&index).unwrap() == text);
    }
    // Another place for packs leaves the folder of maps alone.
    fs::remove_dir_all(workshop.path("maps/packs")).unwrap();
    let output = workshop.evaluate_with("run", &["--packs", &workshop.text("packs")]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!workshop.path("maps/packs").exists() && workshop.path("packs").exists());
    // Maps that changed are packed anew without a word, maps that are gone are named.
    let manifest = fs::read_to_string(workshop.path("maps/manifest.csv")).unwrap();
    let first = manifest.lines().nth(1).unwrap();
    let albedo = first.split(',').find(|field| field.ends_with("albedo.exr")).unwrap();
    fs::remove_file(workshop.path("maps").join(albedo)).unwrap();
    let output = workshop.evaluate("run");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(albedo), "{}", stderr(&output));
}

#[test]
fn weights_go_out_and_come_back_under_the_originals_names() {
    let workshop = Workshop::new(true);
    let legacy = "preset = \"legacy\"\nmodalities = [\"albedo\"]\ninput_side = 32\n\
        [split]\ngallery_count = 2\n[network]\nwidth = 8\n\
        [optimizer]\nepochs = 2\nbatch_size = 6\n";
    fs::write(workshop.path("config.toml"), legacy).unwrap();
    let output = workshop.train("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let run = |arguments: &[&str]| lumiface(arguments);
    let (file, imported) = (workshop.text("w.safetensors"), workshop.text("imported"));
    let output = run(&["weights", "export", &workshop.text("run"), "--out", &file]);
    assert!(stdout(&output).starts_with("229 tensors"), "{}{}", stdout(&output), stderr(&output));
    let import = |file: &str| {
        run(&[
            "weights",
            "import",
            file,
            "--modality",
            "albedo",
            "--input-side",
            "32",
            "--out",
            &imported,
        ])
    };
    let output = import(&file);
    assert!(output.status.success(), "{}", stderr(&output));
    // The same weights say the same of the same people; the import knows nobody, so it takes all.
    let width = "width = 64";
    let resolved = fs::read_to_string(workshop.path("imported/config.toml")).unwrap();
    assert!(!resolved.contains(width), "{resolved}");
    let result = |run: &str| -> serde_json::Value {
        let output = workshop.evaluate(run);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    assert_eq!(result("imported")["enrolled"], 6);
    let again = import(&file);
    assert!(stderr(&again).contains("choose another --out"), "{}", stderr(&again));
    fs::remove_dir_all(&imported).unwrap();
    // A file that lacks one parameter leaves nothing behind.
    let bytes = fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60_000)]).into_owned();
    let at = text.find("pose_head.pose_linear.bias").unwrap();
    let mut broken = bytes.clone();
    broken[at] = b'q';
    fs::write(workshop.path("broken.safetensors"), &broken).unwrap();
    let output = import(&workshop.text("broken.safetensors"));
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("missing: "), "{message}");
    assert!(message.contains("unexpected: da_poqe_head"), "{message}");
    assert!(!workshop.path("imported").exists());
}

#[test]
fn weights_of_another_head_are_no_checkpoint_of_the_original() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("run").status.success());
    let file = workshop.text("w.safetensors");
    let output = lumiface(&["weights", "export", &workshop.text("run"), "--out", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let imported = workshop.text("imported");
    let import = ["weights", "import", &file, "--modality", "albedo", "--out", &imported];
    let output = lumiface(&import);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no checkpoint of this network"), "{}", stderr(&output));
    assert!(!workshop.path("imported").exists());
}

#[test]
fn a_loss_that_explodes_stops_with_the_names_of_the_batch() {
    let workshop = Workshop::new(true);
    let config = CONFIG.replace("[augment]", "[identity]\nweight = 1e6\n\n[augment]");
    fs::write(workshop.path("config.toml"), config).unwrap();
    let output = workshop.train("run");
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains("the loss is") && message.contains("optimizer.learning_rate"),
        "{message}"
    );
    let manifest = fs::read_to_string(workshop.path("maps/manifest.csv")).unwrap();
    let named = manifest.lines().skip(1).filter(|line| {
        let mut fields = line.split(',');
        let name = format!("{}/{}", fields.next().unwrap(), fields.next().unwrap());
        message.contains(&name)
    });
    assert_eq!(named.count(), 6, "{message}");
}

#[test]
fn what_is_not_of_a_run_is_left_alone() {
    let workshop = Workshop::new(true);
    let foreign = workshop.path("foreign/checkpoints/best/model.pt");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "somebody's").unwrap();
    let fresh = [workshop.train_arguments("foreign"), vec!["--fresh"]].concat();
    fs::write(workshop.path("foreign/config.toml"), "somebody's").unwrap();
    let output = lumiface(&fresh);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not of a training run"), "{}", stderr(&output));
    fs::remove_file(workshop.path("foreign/config.toml")).unwrap();
    let output = lumiface(&fresh);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "somebody's");
}

#[test]
fn a_refused_resume_leaves_the_run_as_it_was() {
    let workshop = Workshop::new(true);
    assert!(workshop.train("run").status.success());
    let resolved = fs::read_to_string(workshop.path("run/config.toml")).unwrap();
    let refused = |said: &str| {
        let output =
            lumiface(&[workshop.train_arguments("run"), vec!["--accept-changes"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
        let now = fs::read_to_string(workshop.path("run/config.toml")).unwrap();
        assert_eq!(now, resolved);
    };
    // Fewer epochs than are done; mirrored people, of whom the classifier knows nothing.
    fs::write(workshop.path("config.toml"), CONFIG.replace("epochs = 8", "epochs = 3")).unwrap();
    refused("more than optimizer.epochs 3");
    let mirrored =
        CONFIG.replace("mirror = true", "mirror = true\nmirror_is_another_person = true");
    fs::write(workshop.path("config.toml"), mirrored).unwrap();
    refused("other people");
    // One capture less than it was begun with.
    fs::write(workshop.path("config.toml"), CONFIG.replace("1e-3", "2e-3")).unwrap();
    let manifest = workshop.path("maps/manifest.csv");
    let rows = fs::read_to_string(&manifest).unwrap();
    let split = fs::read_to_string(workshop.path("run/split.csv")).unwrap();
    let trained = split.lines().find_map(|line| line.strip_suffix(",train")).unwrap();
    let gone = rows.lines().find(|line| line.starts_with(&format!("{trained},"))).unwrap();
    fs::write(&manifest, rows.replace(&format!("{gone}\n"), "")).unwrap();
    refused("other captures or labels");
}

#[test]
fn a_finished_run_that_lost_its_report_or_best_state_says_so() {
    let workshop = Workshop::new(true);
    let config = CONFIG.replace("gallery_count = 2", "gallery_count = 1\nvalidation_count = 2");
    fs::write(workshop.path("config.toml"), config).unwrap();
    assert!(workshop.train("run").status.success());
    let report = || -> serde_json::Value {
        serde_json::from_slice(&fs::read(workshop.path("run/report.json")).unwrap()).unwrap()
    };
    let first = report();
    fs::remove_file(workshop.path("run/report.json")).unwrap();
    assert!(workshop.train("run").status.success());
    for key in ["losses", "validation", "best", "steps", "tasks"] {
        assert!(!first[key].is_null());
        assert_eq!(report()[key], first[key], "{key}");
    }
    fs::remove_dir_all(workshop.path("run/checkpoints/best")).unwrap();
    let output = workshop.train("run");
    assert!(output.status.success());
    assert!(stderr(&output).contains("did best"), "{}", stderr(&output));
}

#[test]
fn balanced_batches_thinned_classes_and_learned_weights_train() {
    let workshop = Workshop::new(true);
    let sampler = "[sampler]\ncaptures_per_person = 2\nmax_captures_per_person = 3\n\
                   undersample = [{ task = \"emotion\", ratio = 2.0 }]\n";
    let triplet = format!("{sampler}[identity]\nloss = \"triplet\"\n");
    let learned = format!("loss_weights = \"learned\"\n{sampler}[identity.magface]\nscale = 16\n");
    for (run, head) in [("triplet", triplet), ("learned", learned)] {
        let config = CONFIG.replacen("[split]", &format!("{head}[split]"), 1);
        let config = config.replace("\"*\"]", "\"*\"]\nbalanced = true");
        let config = config
            .replace("epochs = 8", "epochs = 30")
            .replace("mirror = true", "min_crop = 0.95\npatch_noise = 0.0");
        fs::write(workshop.path("config.toml"), config).unwrap();
        let output = workshop.train(run);
        assert!(output.status.success(), "{}", stderr(&output));
        let losses = fs::read_to_string(workshop.path(run).join("metrics.jsonl")).unwrap();
        let identity = |line: &str| -> f64 {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["losses"]["identity"].as_f64().unwrap()
        };
        let identity: Vec<f64> = losses.lines().map(identity).collect();
        let first: f64 = identity[..5].iter().sum();
        let last: f64 = identity[25..].iter().sum();
        assert!(last < first, "{run}: identity loss {identity:?}");
    }
}

#[test]
fn a_study_killed_again_and_again_ends_with_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let study = r#"
        [captures]
        people = 6
        sessions = 3
        size = 48
        [train]
        input_side = 32
        network.width = 8
        split.gallery_count = 2
        optimizer.epochs = 2
        optimizer.batch_size = 4
        [[variants]]
        name = "albedo"
        modalities = ["albedo"]
        [[variants]]
        name = "depth"
        modalities = ["depth"]
        [[variants]]
        name = "both"
        modalities = ["albedo", "depth"]
        members = ["albedo", "depth"]
    "#;
    fs::write(path("study.toml"), study).unwrap();
    let arguments =
        |out: &str| leak(&["study", &path("study.toml"), "--device", "cpu", "--out", &path(out)]);
    let output = lumiface(&arguments("unbroken"));
    assert!(output.status.success(), "{}", stderr(&output));
    let kills = run_with_kills(&arguments("broken"), Duration::from_millis(100));
    assert!(kills > 0, "the command was never interrupted");
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("unbroken/study.md"), read("broken/study.md"));
    assert_eq!(read("unbroken/study.json"), read("broken/study.json"));
    assert!(read("unbroken/study.md").contains("| both  "), "{}", read("unbroken/study.md"));
}

#[test]
fn thirty_two_captures_are_learned_by_heart() {
    let workshop = Workshop::new(false);
    support::synthesise(&workshop.path("more"), [8, 4], "64x64", 3);
    let maps = workshop.text("maps");
    let output =
        lumiface(&["preprocess", &workshop.text("more"), "--device", "cpu", "--out", &maps]);
    assert!(output.status.success(), "{}", stderr(&output));
    let config = r#"
        modalities = ["albedo", "normals"]
        input_side = 64
        [network]
        width = 16
        [fusion]
        kind = "gated"
        [identity.magface]
        scale = 16
        [augment]
        min_crop = 1.0
        patch_noise = 0.0
        [[tasks]]
        name = "spectacles"
        classes = ["no", "yes"]
        adversarial_weight = 0.1
        [[tasks]]
        name = "emotion"
        classes = ["blankstare", "positive", "*"]
        adversarial_weight = 0.1
        [[tasks]]
        name = "pose"
        classes = ["1", "2", "*"]
        adversarial_weight = 0.1
        [optimizer]
        epochs = 40
        batch_size = 16
        learning_rate = 2e-3
        weight_decay = 0.0
    "#;
    fs::write(workshop.path("config.toml"), config).unwrap();
    let output = workshop.train("run");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = workshop.evaluate_with("run", &["--split", "train"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let model = &result["results"][0];
    assert_eq!(model["identity"]["identification"]["rank_1"]["value"], 1.0, "{model}");
    for task in ["spectacles", "emotion", "pose"] {
        let accuracy = model["tasks"][task]["accuracy"]["value"].as_f64().unwrap();
        assert!(accuracy > 0.99, "{task}: {accuracy}");
    }
}
