//! Commands about who and what is in a data set.

use super::progress::Progress;
use super::{FAILED, OK, counted, say, tell, wrong_usage};
use crate::dataset::check::{CheckOptions, Entry, Finding, Severity, check, read_entries};
use crate::dataset::{
    Collection, LegacySets, Modality, PairConfig, PairList, Part, Sessions, Split, SplitCapture,
    SplitConfig, UndersamplePart,
};
use crate::pipeline::{Event, pairs_of_pictures};
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum DatasetCommand {
    /// Part people into training, validation, test and gallery, and write who is where
    ///
    /// Nobody is in two parts. The table names the part of every person, and in a third column the
    /// sessions that are left out; `train` takes it as split.file, and its SHA-256 stands in results.
    #[command(
        after_help = "Example: lumiface dataset split maps/photoface --gallery 60 --validation 40 --stratify gender,spectacles,sessions --max-sessions 20 --out split.csv"
    )]
    Split(SplitArguments),
    /// Find what makes results wrong or weak: leaks, duplicates, one person's dominance, gaps
    ///
    /// Errors (exit code 1) make results wrong: people, sessions or pictures on both sides of a split,
    /// conflicting labels, unreadable maps. Warnings make them weak: one person with much of a part,
    /// rare classes, people with a single session.
    #[command(after_help = "Examples:\n  \
        lumiface dataset check maps/photoface --split split.csv\n  \
        lumiface dataset check --list captures.csv\n  \
        lumiface dataset check --legacy photoface/")]
    Check(CheckArguments),
    /// Draw pairs for verification in folds, as LFW has them
    ///
    /// As many genuine as impostor pairs in each fold, and nobody in two folds; `evaluate --pairs` judges
    /// by them: the threshold of each fold is chosen on the others.
    #[command(
        after_help = "Example: lumiface dataset pairs maps/photoface --split split.csv --part test --folds 10 --pairs 30 --out pairs.csv"
    )]
    Pairs(PairsArguments),
}

#[derive(clap::Args)]
pub(super) struct SplitArguments {
    /// Folders of maps with their manifests
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Table to write
    #[arg(long)]
    out: PathBuf,
    /// People who are enrolled and asked about: a number, or a share such as 0.2
    #[arg(long, value_name = "N", default_value = "0")]
    gallery: Count,
    /// People who choose the best of the trained states
    #[arg(long, value_name = "N", default_value = "0")]
    validation: Count,
    /// People for reported figures alone
    #[arg(long, value_name = "N", default_value = "0")]
    test: Count,
    /// Traits of which every part gets its share, comma-separated label columns; `sessions` is how many
    /// a person has
    #[arg(long, value_delimiter = ',', value_name = "TRAITS")]
    stratify: Vec<String>,
    /// Sessions of one person at most, drawn by the seed; 0 is all
    #[arg(long, default_value_t = 0, value_name = "N")]
    max_sessions: usize,
    /// PART:TRAIT:RATIO, such as train:pose:3: no class of the part keeps more than so many times the
    /// sessions of its rarest; repeatable
    #[arg(long, value_name = "RULE", value_parser = undersample_rule)]
    undersample: Vec<UndersamplePart>,
    /// People who are in no part, comma-separated ids
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    leave_out: Vec<String>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder of the legacy protocol's tables, which say themselves who is where: its training captures
    /// are train, those of its test and gallery together gallery, all others left out
    #[arg(long, value_name = "DIR", conflicts_with_all = ["gallery", "validation", "test", "stratify",
        "max_sessions", "undersample", "leave_out", "seed"])]
    legacy: Option<PathBuf>,
}

/// People as a number, or as a share of all.
#[derive(Clone, Copy, Debug)]
struct Count {
    number: usize,
    share: f64,
}

impl std::str::FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self { number, share: 0.0 });
        }
        match text.parse() {
            Ok(share) if (0.0..1.0).contains(&share) => Ok(Self { number: 0, share }),
            _ => Err(format!("`{text}` is neither a number of people nor a share below 1")),
        }
    }
}

fn undersample_rule(text: &str) -> Result<UndersamplePart, String> {
    let fields: Vec<&str> = text.split(':').collect();
    let [part, task, ratio] = fields[..] else {
        return Err("give PART:TRAIT:RATIO, such as train:pose:3".into());
    };
    let ratio = ratio.parse().map_err(|_| format!("`{ratio}` is no number"))?;
    Ok(UndersamplePart { part: part.parse()?, task: task.to_string(), ratio })
}

#[derive(clap::Args)]
pub(super) struct CheckArguments {
    /// Folders of maps with their manifests
    #[arg(required_unless_present_any = ["list", "legacy"], conflicts_with_all = ["list", "legacy"])]
    data: Vec<PathBuf>,
    /// Who is in which part, as `dataset split` and `train` write it
    #[arg(long, requires = "data")]
    split: Option<PathBuf>,
    /// A CSV list of captures in place of maps: id, session, split, role, image, labels
    #[arg(long, value_name = "CSV", conflicts_with = "legacy")]
    list: Option<PathBuf>,
    /// Folder with the original study's author_train_set.csv, author_test_set.csv and
    /// author_gallery_set.csv
    #[arg(long, value_name = "DIR")]
    legacy: Option<PathBuf>,
    /// Do not compare pictures
    #[arg(long)]
    no_pictures: bool,
    /// Do not read maps
    #[arg(long)]
    no_maps: bool,
    /// Print findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct PairsArguments {
    /// Folders of maps with their manifests
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Table of names to write
    #[arg(long)]
    out: PathBuf,
    /// The same list as LFW's pairs.txt
    #[arg(long, value_name = "FILE")]
    lfw: Option<PathBuf>,
    /// The same pairs as InsightFace's .bin, pictures of 112 pixels, for networks that read such files
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// What the pictures of --bin show: albedo, normals, depth, or raw (one lit image)
    #[arg(long, default_value = "albedo", requires = "bin")]
    modality: Modality,
    /// Who is in which part
    #[arg(long)]
    split: Option<PathBuf>,
    /// Part of the split whose people are paired
    #[arg(long, default_value = "gallery", requires = "split")]
    part: Part,
    #[arg(long, default_value_t = 10)]
    folds: usize,
    /// Genuine pairs of a fold, and as many impostor pairs
    #[arg(long, default_value_t = 300, value_name = "N")]
    pairs: usize,
    /// Traits that both people of an impostor pair share, comma-separated label columns
    #[arg(long, value_delimiter = ',', value_name = "TRAITS")]
    matched: Vec<String>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(command: DatasetCommand) -> anyhow::Result<u8> {
    match command {
        DatasetCommand::Split(arguments) => run_split(arguments),
        DatasetCommand::Check(arguments) => run_check(arguments),
        DatasetCommand::Pairs(arguments) => run_pairs(arguments),
    }
}

fn run_split(arguments: SplitArguments) -> anyhow::Result<u8> {
    let collection = Collection::read(&arguments.data)?;
    let captures = collection.split_captures();
    let config = SplitConfig {
        gallery_count: arguments.gallery.number,
        gallery_share: arguments.gallery.share,
        validation_count: arguments.validation.number,
        validation_share: arguments.validation.share,
        test_count: arguments.test.number,
        test_share: arguments.test.share,
        stratify: arguments.stratify,
        max_captures_per_person: arguments.max_sessions,
        undersample: arguments.undersample,
        left_out_people: arguments.leave_out,
        seed: arguments.seed,
        ..SplitConfig::default()
    };
    let split = match &arguments.legacy {
        Some(folder) => {
            let sets = LegacySets::read(folder)?;
            let (split, found) = sets.split(&captures).map_err(anyhow::Error::msg)?;
            say!("{found} of the {} captures in the legacy tables are here", sets.captures());
            split
        }
        None => Split::new(&config, &captures).map_err(anyhow::Error::msg)?,
    };
    split.write(&arguments.out)?;
    for part in Part::EVALUATED {
        let people = split.people(part).count();
        let sessions =
            captures.iter().filter(|c| split.part_of(c.id, c.session) == Some(part)).count();
        say!("{part}: {people} people, {}", counted(sessions, "session"));
    }
    if !split.left_out.is_empty() {
        say!("left out: {}", counted(split.left_out.len(), "session"));
    }
    say!("{} (SHA-256 {})", arguments.out.display(), split.sha256());
    Ok(OK)
}

fn run_check(arguments: CheckArguments) -> anyhow::Result<u8> {
    let options = CheckOptions {
        pictures: !arguments.no_pictures,
        maps: !arguments.no_maps,
        ..CheckOptions::default()
    };
    let findings = if let Some(folder) = &arguments.legacy {
        LegacySets::read(folder)?.flaws()
    } else {
        let entries = match &arguments.list {
            Some(list) => read_entries(list)?,
            None => {
                let split = arguments.split.as_deref().map(Split::read).transpose()?;
                Entry::of_collection(&Collection::read(&arguments.data)?, split.as_ref())
            }
        };
        let progress = Progress::new();
        progress.show(Event::CapturesFound { total: entries.len() });
        let found = check(&entries, &options, &|| {});
        progress.finish();
        found
    };
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().try_for_each(print_finding)?;
        let warnings = findings.len() - errors;
        say!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    }
    Ok(if errors > 0 { FAILED } else { OK })
}

fn print_finding(finding: &Finding) -> anyhow::Result<()> {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    say!("{severity}: {}; {}", finding.message, finding.remedy);
    Ok(())
}

fn run_pairs(arguments: PairsArguments) -> anyhow::Result<u8> {
    if arguments.folds < 2 {
        wrong_usage("--folds: two or more, for a threshold is chosen on others than it judges");
    }
    let collection = Collection::read(&arguments.data)?;
    let split = arguments.split.as_deref().map(Split::read).transpose()?;
    let all = collection.split_captures();
    let captures: Vec<SplitCapture<'_>> = all
        .iter()
        .filter(|c| match &split {
            Some(split) => split.part_of(c.id, c.session) == Some(arguments.part),
            None => true,
        })
        .copied()
        .collect();
    let config = PairConfig {
        folds: arguments.folds,
        pairs_per_fold: arguments.pairs,
        matched: arguments.matched,
        seed: arguments.seed,
    };
    let outputs = [Some(&arguments.out), arguments.lfw.as_ref(), arguments.bin.as_ref()];
    let outputs: Vec<&PathBuf> = outputs.into_iter().flatten().collect();
    if outputs.iter().enumerate().any(|(i, path)| outputs[..i].contains(path)) {
        wrong_usage("--out, --lfw and --bin: give each file a name of its own");
    }
    let list = PairList::draw(&config, &captures).map_err(anyhow::Error::msg)?;
    // Drawn before anything is written: a map that cannot be read leaves no half.
    let pictures = match &arguments.bin {
        Some(bin) => Some(pairs_of_pictures(bin, &list, &collection, arguments.modality)?),
        None => None,
    };
    list.write(&arguments.out)?;
    if let Some(lfw) = &arguments.lfw {
        let sessions: Sessions = all.iter().map(|c| (c.id, c.session)).collect();
        list.write_lfw(lfw, &sessions)?;
        say!("{}", lfw.display());
    }
    if let (Some(bin), Some(pictures)) = (&arguments.bin, pictures) {
        pictures.write(bin)?;
        say!("{}", bin.display());
    }
    say!(
        "{} folds of {} genuine and as many impostor pairs: {} (SHA-256 {})",
        arguments.folds,
        arguments.pairs,
        arguments.out.display(),
        list.sha256()
    );
    if split.is_none() {
        tell!("no --split: the pairs hold people whom a network may have been trained on");
    }
    Ok(OK)
}
