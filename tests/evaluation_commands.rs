//! From a trained run to a comparison, a list of pairs and a gallery, as a user types it.

mod support;

use lumiface::eval::cosine;
use lumiface::io::Embeddings;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use support::{lumiface, stderr, stdout};

const CONFIG: &str = r#"
input_side = 32
seed = 3
[split]
file = "SPLIT"
[network]
width = 8
[[tasks]]
name = "spectacles"
classes = ["no", "yes"]
[optimizer]
epochs = 3
batch_size = 6
"#;

struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// Runs a command whose words that begin with `/` are paths in the workshop.
    fn run(&self, command: &str) -> Output {
        let word = |word: &str| match word.strip_prefix('/') {
            Some(name) => self.text(name),
            None => word.to_string(),
        };
        let words: Vec<String> = command.split_whitespace().map(word).collect();
        lumiface(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn done(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    fn refused(&self, command: &str, code: i32, said: &str) {
        let output = self.run(command);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
        assert!(!text.contains("panicked"), "{command}: {text}");
    }
}

/// A table of the legacy protocol of rows of a manifest.
fn table_of(workshop: &Workshop, name: &str, rows: &[&str]) {
    let header = "id,session,Gender,Spectacles,Facial_Hair,Pose,Emotion,combined_labels";
    let rows: Vec<String> = rows
        .iter()
        .map(|row| row.splitn(3, ',').take(2).collect::<Vec<_>>().join(","))
        .map(|name| format!("{name},1,0,0,0,0,1_0_0_0_0"))
        .collect();
    let text = format!("{header}\n{}\n", rows.join("\n"));
    fs::write(workshop.path(&format!("legacy/author_{name}_set.csv")), text).unwrap();
}

#[test]
fn from_a_split_to_a_gallery() {
    let workshop = Workshop { folder: tempfile::tempdir().unwrap() };
    support::synthesise(&workshop.path("captures"), [12, 4], "48x48", 2);
    workshop.done("preprocess /captures --layout photoface --device cpu --out /maps");

    // Who is where, and whether that is sound.
    let said = workshop.done(
        "dataset split /maps --gallery 4 --validation 2 --test 2 --stratify gender,sessions \
         --out /split.csv",
    );
    assert!(said.contains("gallery: 4 people, 16 sessions"), "{said}");
    let said = workshop.done("dataset check /maps --split /split.csv");
    assert!(said.contains("0 errors"), "{said}");
    workshop.refused("dataset split /maps --gallery 11 --out /x.csv", 1, "left for training");
    workshop.refused("dataset split /maps --gallery 1.5 --out /x.csv", 2, "nor a share");
    // A session twice under two names is a leak.
    let manifest = fs::read_to_string(workshop.path("maps/manifest.csv")).unwrap();
    let split = fs::read_to_string(workshop.path("split.csv")).unwrap();
    let of = |part: &str| split.lines().find_map(|l| l.strip_suffix(part)).unwrap().to_string();
    let (trained, held) = (of(",train"), of(",gallery"));
    let row = manifest.lines().find(|l| l.starts_with(&format!("{trained},"))).unwrap();
    let stolen = row.replacen(&trained, &held, 1).replacen(",", ",again-", 1);
    fs::create_dir(workshop.path("leaky")).unwrap();
    for file in fs::read_dir(workshop.path("maps")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "manifest.csv" {
            #[cfg(unix)]
            std::os::unix::fs::symlink(&path, workshop.path("leaky").join(name)).unwrap();
        }
    }
    fs::write(workshop.path("leaky/manifest.csv"), format!("{manifest}{stolen}\n")).unwrap();
    workshop.refused("dataset check /leaky --split /split.csv --no-maps", 1, "error");

    // Two runs on the same people, evaluated in the same way.
    for modality in ["albedo", "normals"] {
        let config = CONFIG.replace("SPLIT", &workshop.text("split.csv"));
        let config = format!("modalities = [\"{modality}\"]\n{config}");
        fs::write(workshop.path("config.toml"), config).unwrap();
        workshop.done(&format!("train /config.toml --data /maps --device cpu --out /{modality}"));
        workshop.done(&format!(
            "evaluate /{modality} --data /maps --device cpu --enrol each --replicates 100 \
             --baseline raw"
        ));
    }
    let json = fs::read(workshop.path("albedo/evaluation-gallery.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let model = &evaluation["results"][0];
    assert_eq!(model["identity"]["identification"]["searches"], 4 * 3 * 4);
    assert!(model["tasks"]["spectacles"]["confusion"]["counts"].is_array(), "{model}");
    assert!(model["leakage"][0]["before_separation"]["value"].is_number(), "{model}");
    // Four people are too few for an interval.
    assert!(model["identity"]["verification"]["auc"]["interval"].is_null(), "{model}");
    let page = fs::read_to_string(workshop.path("albedo/report-gallery/report.html")).unwrap();
    assert!(page.contains("model (albedo)") && page.contains("pixels (raw)"));
    for file in ["roc.svg", "cmc.svg", "figures.csv"] {
        assert!(workshop.path("albedo/report-gallery").join(file).exists(), "{file}");
    }
    let said = workshop.done("evaluate /albedo --data /maps --split test --device cpu");
    assert!(said.contains("split test: 2 people"), "{said}");

    let said = workshop.done("compare /albedo /normals --out /comparison --json");
    let differences: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(differences.as_array().unwrap().iter().any(|d| d["figure"] == "rank_1"), "{said}");
    assert!(workshop.path("comparison/report.html").exists());
    workshop.done("evaluate /normals --data /maps --device cpu --templates 2 --merge mean");
    workshop.refused("compare /albedo /normals --out /c2", 1, "otherwise enrolled");
    workshop.refused("compare /albedo /captures --out /c2", 1, "lumiface evaluate");

    // Pairs in folds.
    workshop.done(
        "dataset pairs /maps --split /split.csv --folds 2 --pairs 6 --out /pairs.csv --lfw /pairs.txt",
    );
    for list in ["/pairs.csv", "/pairs.txt"] {
        let said = workshop.done(&format!(
            "evaluate /albedo --data /maps --device cpu --pairs {list} --flip-sum --replicates 0"
        ));
        assert!(said.contains("24 pairs in 2 folds"), "{said}");
    }
    workshop.refused(
        "evaluate /albedo --data /maps --device cpu --split test --pairs /pairs.csv",
        1,
        "not in the evaluated part",
    );

    // Pairs as pictures.
    workshop.done(
        "dataset pairs /maps --split /split.csv --folds 2 --pairs 6 --out /p2.csv --bin /faces.bin \
         --modality raw",
    );
    workshop.refused(
        "evaluate /albedo --data /maps --device cpu --pairs /faces.bin",
        1,
        "shown albedo",
    );
    let raw = CONFIG.replace("SPLIT", &workshop.text("split.csv"));
    fs::write(workshop.path("raw.toml"), format!("modalities = [\"raw\"]\n{raw}")).unwrap();
    workshop.done("train /raw.toml --data /maps --device cpu --out /raw");
    let said = workshop.done(
        "evaluate /raw --data /maps --device cpu --pairs /faces.bin --flip-sum --replicates 0",
    );
    assert!(said.contains("24 pairs in 10 folds"), "{said}");
    workshop.refused(
        "evaluate /raw --data /maps --device cpu --pairs /split.csv --replicates 0",
        1,
        "split.csv",
    );

    // What carried a match, and the protocol of old.
    fs::create_dir(workshop.path("legacy")).unwrap();
    let rows_of = |person: &str| -> Vec<&str> {
        manifest.lines().filter(|line| line.starts_with(&format!("{person},"))).collect()
    };
    let people: Vec<String> =
        split.lines().filter_map(|l| l.strip_suffix(",gallery")).map(String::from).collect();
    let (a, b, c) = (rows_of(&people[0]), rows_of(&people[1]), rows_of(&people[2]));
    let stranger = "9999,2001-01-01_00-00-00,";
    table_of(&workshop, "train", &rows_of(&trained));
    table_of(&workshop, "test", &[a[0], b[0], c[0], stranger]);
    table_of(&workshop, "gallery", &[a[1], a[2], b[1]]);
    let said = workshop.done("dataset split /maps --legacy /legacy --out /legacy.csv");
    assert!(said.contains("train: 1 people, 4 sessions"), "{said}");
    assert!(said.contains("gallery: 3 people, 6 sessions"), "{said}");
    let said = workshop.done(
        "evaluate /albedo --data /maps --device cpu --replicates 0 --legacy /legacy --saliency 2 --json",
    );
    let evaluation: serde_json::Value = serde_json::from_str(&said).unwrap();
    let legacy = &evaluation["legacy"];
    assert_eq!(legacy["test"], serde_json::json!([3, 4]), "{legacy}");
    assert_eq!((&legacy["genuine_pairs"], &legacy["impostor_pairs"]), (&3.into(), &6.into()));
    assert_eq!(legacy["probes_with_mate"], 2);
    let flaws = legacy["flaws"].to_string();
    assert!(flaws.contains("2 people are in test and in gallery"), "{flaws}");
    let page = fs::read_to_string(workshop.path("albedo/report-gallery/report.html")).unwrap();
    for words in ["Measured here by that protocol", "not measured here", "What carried the best"] {
        assert!(page.contains(words), "{words}");
    }
    let table = fs::read_to_string(workshop.path("albedo/saliency-gallery.csv")).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("probe,match,right,similarity,modality,similarity_without\n"));
    workshop.refused(
        "evaluate /albedo --data /maps --legacy /maps --device cpu",
        1,
        "author_train",
    );
    // Of two templates the one that answered is shown, and its cosine told.
    workshop.done(
        "evaluate /albedo --data /maps --device cpu --replicates 0 --templates 2 --saliency 3 --out /two",
    );
    let kept = Embeddings::read(&workshop.path("two/embeddings-gallery.safetensors")).unwrap();
    let vector = |name: &str| {
        let (id, session) = name.split_once('/').unwrap();
        let at = kept.captures.iter().position(|c| c.id == id && c.session == session).unwrap();
        kept.row(at)
    };
    let table = fs::read_to_string(workshop.path("two/saliency-gallery.csv")).unwrap();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let told: f64 = fields[3].parse().unwrap();
        assert!((cosine(vector(fields[0]), vector(fields[1])) - told).abs() < 1e-6, "{line}");
    }
    workshop.done("evaluate /albedo --data /maps --device cpu --replicates 0 --out /two");
    assert!(!workshop.path("two/saliency-gallery.csv").exists());
    // A person on both sides, tables of other captures, and captures that are listed twice.
    let (first, second) = (rows_of(&trained), rows_of(&people[0]));
    let split_by_tables = "dataset split /maps --legacy /legacy --out /x.csv";
    table_of(&workshop, "train", &[first[0]]);
    table_of(&workshop, "test", &[first[1], second[0]]);
    workshop.refused(split_by_tables, 1, "in training and elsewhere");
    for name in ["train", "test", "gallery"] {
        table_of(&workshop, name, &[stranger, stranger]);
    }
    workshop.refused(split_by_tables, 1, "no capture of the legacy");
    workshop.refused("dataset check --legacy /legacy", 1, "listed again in train");

    // A gallery of the first two sessions; the others ask.
    workshop.done("embed /albedo --data /maps --device cpu --split gallery --out /all.safetensors");
    workshop.done("gallery key /key");
    workshop.done("gallery create /people --run /albedo --far 1e-1 --key /key");
    workshop.refused("gallery enrol /people --embeddings /all.safetensors", 1, "is encrypted");
    let said = workshop.done("gallery enrol /people --embeddings /all.safetensors --key /key");
    assert!(said.contains("enrolled 16 templates; the gallery holds 16 of 4 people"), "{said}");
    workshop.refused(
        "gallery enrol /people --run /albedo --data /maps --device cpu --key /key",
        1,
        "is enrolled already",
    );
    let said = workshop
        .done("gallery search /people --embeddings /all.safetensors --key /key --top 1 --json");
    let answers: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 16);
    for answer in answers.as_array().unwrap() {
        assert_eq!(answer["matches"][0]["person"], answer["probe"]["id"], "{answer}");
        assert!((answer["matches"][0]["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    }
    workshop.done(&format!("gallery remove /people {held} --key /key"));
    let said = workshop.done("gallery compact /people --key /key");
    assert!(said.contains("12 templates kept"), "{said}");
    assert!(!workshop.done("gallery list /people --key /key").contains(&format!("{held}/")));
    let said = workshop.done("gallery verify /people --key /key");
    assert!(said.contains("12 templates of 3 people"), "{said}");
    workshop.done("gallery export /people --out /out.safetensors --key /key");
    // Whoever is gone is nobody, if the threshold is high.
    workshop.done("gallery threshold /people 0.9999999 --key /key");
    let said = workshop.done("gallery search /people --embeddings /all.safetensors --key /key");
    let nobody = said.lines().filter(|line| line.contains(": nobody (the most similar is")).count();
    assert_eq!(nobody, 4, "{said}");
    // Embeddings of another network.
    workshop.done("embed /normals --data /maps --device cpu --out /others.safetensors");
    workshop.refused(
        "gallery search /people --embeddings /others.safetensors --key /key",
        1,
        "holds templates of model",
    );
    // Straight from the rig.
    workshop.done("gallery create /plain --run /albedo");
    let said = workshop.done(
        "gallery enrol /plain --run /albedo --captures /captures --layout photoface --device cpu",
    );
    assert!(said.contains("enrolled 48 templates"), "{said}");
}
