//! The gallery's commands.

use super::progress::Progress;
use super::{FAILED, OK, counted, say, tell};
use crate::capture::Layout;
use crate::gallery::{
    Accept, Answer, Damage, GalleryConfig, GalleryError, GalleryKey, Match, NewTemplate, OnDamage,
    Opened, PerPerson, SearchOptions, Store, Threshold, Writable,
};
use crate::gpu::DeviceRequest;
use crate::io::{EmbeddedCapture, Embeddings};
use crate::pipeline::{
    EmbeddingSource, embeddings_of, model_of_run, search_gallery, threshold_of_run,
};
use anyhow::bail;
use clap::Subcommand;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(super) enum GalleryCommand {
    /// Make an empty gallery for the embeddings of one network
    #[command(after_help = "Examples:\n  \
        lumiface gallery create people --run runs/albedo --far 1e-3\n  \
        lumiface gallery create people --embeddings new.safetensors --threshold 0.45 --key key")]
    Create(CreateArguments),
    /// Enrol captures, maps or embeddings; all of them or none
    #[command(
        after_help = "Example: lumiface gallery enrol people --run runs/albedo --data maps/staff"
    )]
    Enrol(EnrolArguments),
    /// Find who probes are, or that they are nobody who is enrolled
    ///
    /// Exact, among all templates, on all cores or a GPU, where it is worth the way there; the answer is
    /// the same. A person is accepted from the gallery's threshold on.
    #[command(
        after_help = "Example: lumiface gallery search people --run runs/albedo --data maps/visitors"
    )]
    Search(SearchArguments),
    /// Take a person, or one session, out of the gallery
    ///
    /// Hidden at once; `gallery compact` erases what was removed.
    Remove {
        #[command(flatten)]
        place: PlaceArguments,
        person: String,
        /// This session alone [default: all of the person's]
        #[arg(long)]
        session: Option<String>,
    },
    /// Rewrite the gallery without what was removed; a folder's old files are overwritten and deleted
    ///
    /// In PostgreSQL the table is written anew; the server's log, replicas and backups are its
    /// administrator's.
    Compact {
        #[command(flatten)]
        place: PlaceArguments,
        /// Go on without templates that are damaged, for good
        #[arg(long, conflicts_with = "store")]
        drop_damaged: bool,
    },
    /// List who is enrolled
    List {
        #[command(flatten)]
        place: PlaceArguments,
        /// As JSON, with labels
        #[arg(long)]
        json: bool,
    },
    /// Read everything and name what is damaged
    Verify {
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Write the enrolled templates as a file of embeddings
    ///
    /// In the lengths that the network gave them. The file is not encrypted, whatever the gallery is.
    Export {
        #[command(flatten)]
        place: PlaceArguments,
        #[arg(long)]
        out: PathBuf,
    },
    /// Set from which similarity on a person is accepted
    Threshold {
        #[command(flatten)]
        place: PlaceArguments,
        /// Cosine, -1 to 1
        #[arg(allow_negative_numbers = true)]
        similarity: f64,
    },
    /// Make a key file for galleries that are encrypted
    Key {
        /// File to write, readable by its owner alone; without it the gallery is lost
        file: PathBuf,
    },
}

/// Where the gallery lies.
#[derive(clap::Args)]
pub(super) struct PlaceArguments {
    /// Folder of the gallery; with --store its name there
    gallery: PathBuf,
    /// PostgreSQL with pgvector instead of a folder: postgres://USER@HOST/DATABASE
    ///
    /// The password stands before the host or in PGPASSWORD. `?timeout=SECONDS` is how long one
    /// statement may take [120]; compacting, exporting and verifying may take longer.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Key file that encrypts the gallery, as `gallery key` makes it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl PlaceArguments {
    fn store(&self) -> anyhow::Result<Store> {
        let place = self.gallery.to_string_lossy();
        if place.starts_with("postgres://") || place.starts_with("postgresql://") {
            // Not repeated: it may hold a password.
            bail!("a server's URL is no folder; give the gallery a name, and the URL with --store");
        }
        let key = self.key.as_deref().map(GalleryKey::read).transpose()?;
        match (&self.store, key) {
            (None, key) => Ok(Store::Folder { folder: self.gallery.clone(), key }),
            (Some(_), Some(_)) => Err(GalleryError::KeyForServer.into()),
            (Some(url), None) => {
                let (url, name) = (url.clone(), self.gallery.to_string_lossy().into_owned());
                Ok(Store::Postgres { url, name })
            }
        }
    }

    fn read(&self) -> anyhow::Result<Opened> {
        let (gallery, damage) = self.store()?.read()?;
        warn_of(&damage);
        Ok(gallery)
    }

    fn write(&self) -> anyhow::Result<Writable> {
        let (gallery, damage) = self.store()?.write()?;
        warn_of(&damage);
        Ok(gallery)
    }
}

/// Where templates or probes come from.
#[derive(clap::Args)]
pub(super) struct SourceArguments {
    /// File of embeddings, as `embed` writes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "data", "captures"])]
    embeddings: Option<PathBuf>,
    /// Run folder whose network embeds
    #[arg(long, required_unless_present = "embeddings")]
    run: Option<PathBuf>,
    /// Folder of maps with its manifest; repeatable
    #[arg(long, required_unless_present_any = ["embeddings", "captures"], conflicts_with = "captures")]
    data: Vec<PathBuf>,
    /// Folder of captures, whose maps are made on the way and not kept
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
    /// How the captures lie, as for `preprocess`
    #[arg(long, default_value = "auto", requires = "captures")]
    layout: Layout,
    /// auto, cpu, gpu or gpu:NAME: for maps, embeddings and the search in a folder; PostgreSQL searches
    /// by itself
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,
}

impl SourceArguments {
    fn embeddings(self) -> anyhow::Result<Embeddings> {
        let source = match (self.embeddings, self.run, self.captures) {
            (Some(file), ..) => EmbeddingSource::File(file),
            (None, Some(run), Some(root)) => {
                EmbeddingSource::Captures { run, root, layout: self.layout }
            }
            (None, Some(run), None) => {
                EmbeddingSource::Maps { run, data: self.data, part: None, packs: None }
            }
            (None, None, _) => bail!("give --embeddings, or --run with --data or --captures"),
        };
        let progress = Progress::new();
        let found = embeddings_of(&source, &self.device, &|event| progress.show(event))?;
        progress.finish();
        Ok(found)
    }
}

#[derive(clap::Args)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Run folder whose network's embeddings it will hold
    #[arg(long, required_unless_present = "embeddings", conflicts_with = "embeddings")]
    run: Option<PathBuf>,
    /// File of embeddings whose model and width it is for
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    /// Cosine from which on a person is accepted [default: everybody is]
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// False accept rate whose threshold the run's evaluation tells: 1e-1, 1e-2 … 1e-6
    #[arg(long, requires = "run", conflicts_with = "threshold")]
    far: Option<f64>,
}

#[derive(clap::Args)]
pub(super) struct EnrolArguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    source: SourceArguments,
}

#[derive(clap::Args)]
pub(super) struct SearchArguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    source: SourceArguments,
    /// So many people for each probe
    #[arg(long, default_value = "5", value_name = "N")]
    top: NonZeroUsize,
    /// Cosine from which on a person is accepted [default: the gallery's]
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Compare with each person's most similar template (best) or with all of them (mean)
    #[arg(long, default_value = "best")]
    per_person: PerPerson,
    /// Print the answers as JSON
    #[arg(long)]
    json: bool,
}

impl std::str::FromStr for PerPerson {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "best" => Ok(Self::Best),
            "mean" => Ok(Self::Mean),
            _ => Err(format!("unknown way to compare with a person `{name}`; give best or mean")),
        }
    }
}

pub(super) fn run(command: GalleryCommand) -> anyhow::Result<u8> {
    match command {
        GalleryCommand::Create(arguments) => create(arguments),
        GalleryCommand::Enrol(arguments) => enrol(arguments),
        GalleryCommand::Search(arguments) => search(arguments),
        GalleryCommand::Remove { place, person, session } => {
            let removed = place.write()?.remove(&person, session.as_deref())?;
            say!("removed {}; `gallery compact` erases", counted(removed.len(), "template"));
            Ok(OK)
        }
        GalleryCommand::Compact { place, drop_damaged } => {
            let on_damage = if drop_damaged { OnDamage::Drop } else { OnDamage::Refuse };
            let done = place.write()?.compact(on_damage)?;
            say!("{} kept", counted(done.kept, "template"));
            if !done.erased {
                tell!("a reader still holds what was removed; compact again when it is gone");
            }
            Ok(OK)
        }
        GalleryCommand::List { place, json } => list(&place, json),
        GalleryCommand::Verify { place } => {
            let found = place.store()?.verify()?;
            let templates = counted(found.templates as usize, "template");
            say!("{templates} of {} people served", found.persons);
            found.findings.iter().for_each(|finding| tell!("damaged: {finding}"));
            Ok(if found.findings.is_empty() { OK } else { FAILED })
        }
        GalleryCommand::Export { place, out } => export(&place, &out),
        GalleryCommand::Threshold { place, similarity } => {
            place.write()?.set_threshold(Some(Threshold { similarity, far: None }))?;
            say!("accepted from {similarity} on");
            Ok(OK)
        }
        GalleryCommand::Key { file } => {
            GalleryKey::make(&file)?;
            say!("{}", file.display());
            Ok(OK)
        }
    }
}

fn warn_of(damage: &[Damage]) {
    damage.iter().for_each(|damage| tell!("warning: {damage}"));
}

fn create(arguments: CreateArguments) -> anyhow::Result<u8> {
    let (model, dim) = match (&arguments.run, &arguments.embeddings) {
        (Some(run), _) => model_of_run(run)?,
        (None, Some(file)) => {
            let embeddings = Embeddings::read(file)?;
            (embeddings.model, embeddings.dim)
        }
        (None, None) => bail!("give --run or --embeddings"),
    };
    let threshold = match (arguments.threshold, arguments.far, &arguments.run) {
        (Some(similarity), ..) => Some(Threshold { similarity, far: None }),
        (None, Some(far), Some(run)) => {
            let similarity = threshold_of_run(run, far)?;
            Some(Threshold { similarity, far: Some(far) })
        }
        _ => None,
    };
    arguments.place.store()?.create(&GalleryConfig { model, dim, threshold })?;
    match threshold {
        Some(Threshold { similarity, far: Some(far) }) => {
            say!("accepted from {similarity:.4} on, the threshold of FAR {far}");
        }
        Some(Threshold { similarity, .. }) => say!("accepted from {similarity} on"),
        None => say!("no threshold: everybody is accepted, and nobody is nobody"),
    }
    say!("{}", arguments.place.gallery.display());
    Ok(OK)
}

fn enrol(arguments: EnrolArguments) -> anyhow::Result<u8> {
    let mut writer = arguments.place.write()?;
    let embeddings = arguments.source.embeddings()?;
    let new: Vec<NewTemplate> = embeddings
        .captures
        .iter()
        .enumerate()
        .map(|(at, EmbeddedCapture { id, session, labels })| NewTemplate {
            person: id.clone(),
            session: session.clone(),
            labels: labels.clone(),
            embedding: embeddings.row(at).to_vec(),
        })
        .collect();
    let enrolled = writer.enrol(&embeddings.model, &new)?;
    let (templates, people) = writer.counts()?;
    say!(
        "enrolled {}; the gallery holds {templates} of {people} people",
        counted(enrolled.len(), "template"),
    );
    Ok(OK)
}

fn search(arguments: SearchArguments) -> anyhow::Result<u8> {
    let mut gallery = arguments.place.read()?;
    let device = arguments.source.device.clone();
    let embeddings = arguments.source.embeddings()?;
    let options = SearchOptions {
        accept: arguments.threshold.map_or(Accept::GalleryThreshold, Accept::From),
        per_person: arguments.per_person,
    };
    let progress = Progress::new();
    let emit = |event| progress.show(event);
    let answers =
        search_gallery(&mut gallery, &embeddings, arguments.top, &options, &device, &emit)?;
    progress.finish();
    let named = embeddings.captures.iter().zip(&answers);
    if arguments.json {
        let lines: Vec<_> = named.map(|(capture, answer)| answer_json(capture, answer)).collect();
        say!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(OK);
    }
    for (capture, answer) in named {
        let text = |m: &Match| {
            let session = m.session.as_ref().map_or(String::new(), |session| format!("/{session}"));
            format!("{}{session} {:.4}", m.person, m.similarity)
        };
        let found = match (answer.is_nobody(), &answer.best_rejected) {
            (false, _) => answer.matches.iter().map(text).collect::<Vec<_>>().join(", "),
            (true, Some(rejected)) => format!("nobody (the most similar is {})", text(rejected)),
            (true, None) => "nobody".to_string(),
        };
        say!("{}/{}: {found}", capture.id, capture.session);
    }
    Ok(OK)
}

fn answer_json(capture: &EmbeddedCapture, answer: &Answer) -> serde_json::Value {
    let found = |m: &Match| {
        serde_json::json!({
            "person": m.person, "session": m.session, "similarity": m.similarity,
        })
    };
    serde_json::json!({
        "probe": {"id": capture.id, "session": capture.session},
        "matches": answer.matches.iter().map(found).collect::<Vec<_>>(),
        "best_rejected": answer.best_rejected.as_ref().map(found),
    })
}

fn list(place: &PlaceArguments, json: bool) -> anyhow::Result<u8> {
    let mut gallery = place.read()?;
    let templates = gallery.templates()?;
    if json {
        let templates: Vec<_> = templates
            .iter()
            .map(|t| {
                serde_json::json!({
                    "person": &*t.person, "session": t.session, "labels": t.labels,
                    "quality": t.quality,
                })
            })
            .collect();
        let threshold = gallery.threshold();
        say!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "model": gallery.model(), "dim": gallery.dim(), "threshold": threshold,
                "encrypted": gallery.is_encrypted(), "templates": templates,
            }))?
        );
        return Ok(OK);
    }
    for template in &templates {
        say!("{}/{}", template.person, template.session);
    }
    tell!("{}", counted(templates.len(), "template"));
    Ok(OK)
}

fn export(place: &PlaceArguments, out: &Path) -> anyhow::Result<u8> {
    let mut gallery = place.read()?;
    let mut embeddings = Embeddings {
        model: gallery.model().to_string(),
        dim: gallery.dim(),
        ..Embeddings::default()
    };
    for (template, vector) in gallery.vectors()? {
        embeddings.vectors.extend(vector.iter().map(|v| v * template.quality));
        embeddings.captures.push(EmbeddedCapture {
            id: template.person.to_string(),
            session: template.session,
            labels: template.labels,
        });
    }
    embeddings.write(out)?;
    say!("{}: {}", counted(embeddings.captures.len(), "template"), out.display());
    Ok(OK)
}
