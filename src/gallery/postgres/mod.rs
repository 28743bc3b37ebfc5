//! A gallery in PostgreSQL with pgvector, for those that outgrow one machine.
//!
//! Two tables in a schema of their own, so that a database holds several galleries:
//!
//! ```text
//! settings    one row: format, dimension, model, threshold, false accept rate, next number
//! templates   one row a template: number, person, session, labels, quality, vector
//! ```
//!
//! A search is exact. The server ranks by pgvector's inner product, a sum in float 32 that depends
//! on the order of its terms; two templates may change places by that alone. A sum of n products of
//! unit vectors is off by at most n·u, u = 2⁻²⁴ (Higham, *Accuracy and Stability of Numerical
//! Algorithms*, §3.1: γₙ). So the server is asked for every template within twice that of the k-th
//! person, and the answer is taken from these by sums in float 64. The embedded store does the same with single
//! templates; of a mean it knows the vector in float 32, and agrees to 1e-7.
//!
//! <https://github.com/pgvector/pgvector>: `<#>` is the negative inner product, `vector` holds up to
//! 16,000 float 32.

mod address;
mod failure;
mod ranking;
mod session;
mod tables;

pub use failure::PostgresError;

use super::template::{NewTemplate, Template, TemplateNumber, check_names, normalised};
use super::{Answer, GalleryConfig, GalleryError, PerPerson, SearchOptions, Threshold, Verified};
use address::Address;
use failure::Failure;
use pgvector::Vector;
use ranking::{NEAREST_MEANS, NEAREST_TEMPLATES, best_of_each, mean_of_each, within_reach};
use session::{Connector, Session, within};
use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::pin::pin;
use tables::{check_config, enter, install_pgvector, make_tables, read_config};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{IsolationLevel, Row};

/// How far from 1 the length of a stored vector may be: the rounding of float 32 and no more.
const LENGTH_TOLERANCE: f64 = 1e-5;
/// How many findings of a kind a verification lists.
const MOST_FINDINGS: i64 = 10;

/// What compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresCompacted {
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Whether nothing of what was removed is left in the table's files.
    pub erased: bool,
}

/// A gallery in PostgreSQL.
pub struct PostgresGallery {
    connector: Connector,
    config: GalleryConfig,
}

impl PostgresGallery {
    /// Makes an empty gallery; its schema is made where there is none, and pgvector's extension
    /// likewise, for which the user may need rights of their own.
    ///
    /// # Errors
    /// A gallery is there already; pgvector is not; a configuration without sense; no connection.
    pub fn create(url: &str, name: &str, config: &GalleryConfig) -> Result<Self, GalleryError> {
        let address = Address::parse(url, name)?;
        check_config(config)?;
        let mut connector = Connector::new(address.clone())?;
        connector.call(
            async |_| Ok(()),
            async |session| {
                install_pgvector(session, &address).await?;
                make_tables(session, &address, config).await
            },
        )?;
        // What was made is used as any other gallery is: on a connection that was greeted.
        Self::open(url, name)
    }

    /// Opens a gallery for reading and writing.
    ///
    /// # Errors
    /// No gallery there, or one of another format; no connection.
    pub fn open(url: &str, name: &str) -> Result<Self, GalleryError> {
        let address = Address::parse(url, name)?;
        let mut connector = Connector::new(address.clone())?;
        let greet = async |session: &mut Session| enter(session, &address).await;
        let config = connector.call(greet, async |session| read_config(session, &address).await)?;
        Ok(Self { connector, config })
    }

    /// Hash of the model whose embeddings it holds.
    pub fn model(&self) -> &str {
        &self.config.model
    }

    /// Values of an embedding.
    pub fn dim(&self) -> usize {
        self.config.dim
    }

    pub fn threshold(&self) -> Option<Threshold> {
        self.config.threshold
    }

    /// Enrols a batch of templates, all or none; returns their numbers.
    ///
    /// # Errors
    /// Another model than the gallery's; an embedding that is none of its width; a name that cannot
    /// be one; a session that is enrolled already; a connection that cannot be made or breaks.
    pub fn enrol(
        &mut self,
        model: &str,
        batch: &[NewTemplate],
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        self.check_model(model)?;
        let mut seen = HashSet::new();
        let mut rows = Vec::with_capacity(batch.len());
        for new in batch {
            let NewTemplate { person, session, labels, embedding } = new;
            check_names(person, session, labels)?;
            if !seen.insert((person, session)) {
                return Err(duplicate(person, session));
            }
            let which = || format!("{person}/{session}");
            let (vector, length) = normalised(which, embedding, self.config.dim)?;
            rows.push((new, Vector::from(vector), length as f32));
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.call(async |session| match copy_in(session, &rows).await {
            Err(failure) if failure.has_code(&SqlState::UNIQUE_VIOLATION) => {
                Err(name_the_double(session, batch).await.unwrap_or(failure))
            }
            result => result,
        })
    }

    /// Removes one session of a person, or all of them; returns the numbers of what went.
    ///
    /// The bytes stay in the table's files until [`Self::compact`].
    ///
    /// # Errors
    /// Nobody of that name; a connection that cannot be made or breaks.
    pub fn remove(
        &mut self,
        person: &str,
        session: Option<&str>,
    ) -> Result<Vec<TemplateNumber>, GalleryError> {
        let mut numbers: Vec<TemplateNumber> = self.call(async |connection| {
            let which: [&(dyn ToSql + Sync); 2] = [&person, &session];
            // A statement by itself is saved when it answers.
            let rows = connection.within(connection.client.query(REMOVE, &which));
            rows.await.map_err(unsure)?.iter().map(|row| number_in(row, 0)).collect()
        })?;
        if numbers.is_empty() {
            let name = session.map_or(person.to_string(), |session| format!("{person}/{session}"));
            return Err(GalleryError::NotEnrolled(name));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes the table anew without what was removed.
    ///
    /// Takes as long as it takes, and nobody reads meanwhile. What was removed is then gone from
    /// the table's files, unless somebody's open transaction may still see it; the server's log, its
    /// replicas and backups are its administrator's.
    ///
    /// # Errors
    /// Another user than the table's owner; a table that others hold; a connection that cannot be made
    /// or breaks.
    pub fn compact(&mut self) -> Result<PostgresCompacted, GalleryError> {
        let address = self.connector.address.clone();
        self.call(async |session| {
            let before = session.within(session.client.query_one(FILE, &[])).await?;
            // Asked before: who comes later sees the new table alone.
            let watched = session.within(session.client.query_one(OLDER_VIEWS, &[])).await?;
            session.client.batch_execute("VACUUM (FULL, ANALYZE) templates").await?;
            let after = session.within(session.client.query_one(FILE, &[])).await?;
            // The server only warns those who may not.
            if before.try_get::<_, Option<u32>>(1)? == after.try_get::<_, Option<u32>>(1)? {
                let reason = "only the owner of the table can write it anew; have them compact";
                return Err(address.unsuitable(reason).into());
            }
            Ok(PostgresCompacted {
                bytes_before: number_in(&before, 0)?,
                bytes_after: number_in(&after, 0)?,
                erased: !watched.try_get::<_, bool>(0)?,
            })
        })
    }

    /// Sets from which similarity on two faces count as one person's.
    ///
    /// # Errors
    /// A threshold without sense; a connection that cannot be made or breaks.
    pub fn set_threshold(&mut self, threshold: Option<Threshold>) -> Result<(), GalleryError> {
        threshold.map_or(Ok(()), Threshold::check)?;
        let (similarity, far) = (threshold.map(|t| t.similarity), threshold.and_then(|t| t.far));
        self.call(async |session| {
            let values: [&(dyn ToSql + Sync); 2] = [&similarity, &far];
            let set =
                session.client.execute("UPDATE settings SET threshold = $1, far = $2", &values);
            session.within(set).await.map_err(unsure)
        })?;
        self.config.threshold = threshold;
        Ok(())
    }

    /// How many templates, and of how many people.
    pub fn counts(&mut self) -> Result<(u64, u64), GalleryError> {
        self.call(async |session| {
            let row = session.within(session.client.query_one(COUNTS, &[])).await?;
            Ok((number_in(&row, 0)?, number_in(&row, 1)?))
        })
    }

    /// All templates with their vectors of unit length, in the order of their numbers.
    pub fn vectors(&mut self) -> Result<Vec<(Template, Vec<f32>)>, GalleryError> {
        self.call(async |session| {
            let rows = session.client.query(LIST_VECTORS, &[]).await?;
            rows.iter().map(|row| Ok((listed(row)?, row.try_get::<_, Vector>(5)?.into()))).collect()
        })
    }

    /// All templates in the order of their numbers.
    pub fn templates(&mut self) -> Result<Vec<Template>, GalleryError> {
        self.call(async |session| {
            let rows = session.within(session.client.query(LIST, &[])).await?;
            rows.iter().map(listed).collect()
        })
    }

    /// The at most `k` most similar people to each probe. Exact: all templates are compared.
    ///
    /// Probes are embeddings of `model`, of any length but zero. All are answered from the gallery
    /// as it was at the first of them.
    ///
    /// # Errors
    /// Another model than the gallery's; a probe that is no embedding of its width; a connection
    /// that cannot be made or breaks.
    pub fn search<P: AsRef<[f32]>>(
        &mut self,
        model: &str,
        probes: &[P],
        k: NonZeroUsize,
        options: &SearchOptions,
    ) -> Result<Vec<Answer>, GalleryError> {
        self.check_model(model)?;
        let unit = |(number, probe): (usize, &P)| {
            let which = || format!("probe {}", number + 1);
            Ok(normalised(which, probe.as_ref(), self.config.dim)?.0)
        };
        let probes =
            probes.iter().enumerate().map(unit).collect::<Result<Vec<_>, GalleryError>>()?;
        let threshold = options.accept.threshold(self.config.threshold);
        let per_person = options.per_person;
        self.call(async |session| {
            let limit = session.limit();
            let builder = session.client.build_transaction().read_only(true);
            let snapshot = builder.isolation_level(IsolationLevel::RepeatableRead);
            let transaction = within(limit, snapshot.start()).await?;
            // An approximate index that someone made of the vectors would lose people. Sorted by
            // person, whole vectors would go through temporary files. The server's limit stops
            // there what nobody here waits for any more.
            let milliseconds = limit.as_millis();
            let settings = format!(
                "SET LOCAL enable_indexscan = off; SET LOCAL work_mem = '64MB'; \
                 SET LOCAL statement_timeout = {milliseconds}"
            );
            within(limit, transaction.batch_execute(&settings)).await?;
            let ranking = match per_person {
                PerPerson::Best => NEAREST_TEMPLATES,
                PerPerson::Mean => NEAREST_MEANS,
            };
            let ranking = within(limit, transaction.prepare(ranking)).await?;
            let mut answers = Vec::with_capacity(probes.len());
            for probe in &probes {
                let rows = within_reach(&transaction, &ranking, probe, k.get(), limit).await?;
                let people = match per_person {
                    PerPerson::Best => best_of_each(&rows, probe)?,
                    PerPerson::Mean => mean_of_each(&transaction, &rows, probe, limit).await?,
                };
                answers.push(Answer::of(people, k, threshold));
            }
            within(limit, transaction.commit()).await?;
            Ok(answers)
        })
    }

    /// Reads every template and says what is wrong; the server compares the checksums of its pages
    /// where it keeps them.
    ///
    /// # Errors
    /// A page that the server cannot read; a connection that cannot be made or breaks.
    pub fn verify(&mut self) -> Result<Verified, GalleryError> {
        self.call(async |session| {
            // As long as it takes: a gallery may be large.
            let counts = session.client.query_one(COUNTS, &[]).await?;
            let not_of_unit_length = format!(
                "SELECT person, session FROM templates \
                 WHERE NOT abs(vector_norm(vector) - 1) <= {LENGTH_TOLERANCE} \
                 ORDER BY number LIMIT $1"
            );
            let mut findings = Vec::new();
            for (statement, what) in [
                (not_of_unit_length.as_str(), "its vector is not of unit length"),
                (NEVER_GIVEN, "its number was never given"),
                (OTHER_LABELS, "its labels are no texts by name"),
            ] {
                for row in session.client.query(statement, &[&MOST_FINDINGS]).await? {
                    let (person, session): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
                    findings
                        .push(format!("{person}/{session}: {what}; remove it and enrol it again"));
                }
            }
            Ok(Verified {
                templates: number_in(&counts, 0)?,
                persons: number_in(&counts, 1)?,
                findings,
            })
        })
    }

    fn check_model(&self, model: &str) -> Result<(), PostgresError> {
        if model == self.config.model {
            return Ok(());
        }
        let own = &self.config.model;
        Err(self.connector.address.unsuitable(format!(
            "holds templates of model {own}, not of {model}; use that model or another gallery"
        )))
    }

    /// Runs `work` on a connection of which it is known that the same gallery is at its other end.
    fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, GalleryError> {
        let address = self.connector.address.clone();
        let greet = async |session: &mut Session| {
            enter(session, &address).await?;
            let now = read_config(session, &address).await?;
            if (now.dim, &now.model) != (self.config.dim, &self.config.model) {
                let reason = "another gallery was put in this one's place; open it again";
                return Err(address.unsuitable(reason).into());
            }
            Ok(())
        };
        self.connector.call(greet, work)
    }
}

const REMOVE: &str = "DELETE FROM templates \
     WHERE person = $1 AND ($2::text IS NULL OR session = $2) RETURNING number";
const FILE: &str =
    "SELECT pg_total_relation_size('templates'), pg_relation_filenode('templates')::oid";
/// Whether anybody may still see rows that are removed by now: they are carried over.
const OLDER_VIEWS: &str = "SELECT \
     EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_xmin IS NOT NULL \
             AND pid <> pg_backend_pid() AND datname = current_database() \
             AND backend_type <> 'autovacuum worker') \
     OR EXISTS (SELECT 1 FROM pg_prepared_xacts) \
     OR EXISTS (SELECT 1 FROM pg_replication_slots WHERE xmin IS NOT NULL)";
const LIST: &str = "SELECT number, person, session, labels, quality FROM templates ORDER BY number";
const LIST_VECTORS: &str =
    "SELECT number, person, session, labels, quality, vector FROM templates ORDER BY number";
const COUNTS: &str = "SELECT count(*), count(DISTINCT person) FROM templates";
const OTHER_LABELS: &str = "SELECT person, session FROM templates \
     WHERE jsonb_typeof(labels) <> 'object' OR EXISTS ( \
         SELECT 1 FROM jsonb_each(CASE jsonb_typeof(labels) WHEN 'object' THEN labels ELSE '{}' END) \
         WHERE jsonb_typeof(value) <> 'string') \
     ORDER BY number LIMIT $1";
const NEVER_GIVEN: &str = "SELECT person, session FROM templates \
     WHERE number < 1 OR number >= (SELECT next_number FROM settings) ORDER BY number LIMIT $1";

/// One transaction: numbers from the settings' row, which other writers wait for, then the rows.
async fn copy_in(
    session: &mut Session,
    rows: &[(&NewTemplate, Vector, f32)],
) -> Result<Vec<TemplateNumber>, Failure> {
    let limit = session.limit();
    let vector_type = session.vector_type.clone().unwrap_or(Type::UNKNOWN);
    let transaction = within(limit, session.client.transaction()).await?;
    let claim = "UPDATE settings SET next_number = next_number + $1 RETURNING next_number - $1";
    let count = rows.len() as i64;
    let first: i64 = within(limit, transaction.query_one(claim, &[&count])).await?.try_get(0)?;
    let copy = "COPY templates (number, person, session, labels, quality, vector) \
                FROM STDIN (FORMAT binary)";
    let sink = within(limit, transaction.copy_in(copy)).await?;
    let types = [Type::INT8, Type::TEXT, Type::TEXT, Type::JSONB, Type::FLOAT4, vector_type];
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for (number, (new, vector, quality)) in (first..).zip(rows) {
        let labels = Json(&new.labels);
        let row: [&(dyn ToSql + Sync); 6] =
            [&number, &new.person, &new.session, &labels, quality, vector];
        within(limit, writer.as_mut().write(&row)).await?;
    }
    within(limit, writer.finish()).await?;
    within(limit, transaction.commit()).await.map_err(unsure)?;
    Ok((first..first + count).map(i64::unsigned_abs).collect())
}

fn unsure(failure: Failure) -> Failure {
    Failure::Commit(Box::new(failure))
}

/// Which of these templates is enrolled already.
async fn name_the_double(session: &Session, batch: &[NewTemplate]) -> Option<Failure> {
    let statement = "SELECT person, session FROM templates \
                     JOIN unnest($1::text[], $2::text[]) AS given (person, session) \
                     USING (person, session) ORDER BY number LIMIT 1";
    let people = batch.iter().map(|t| t.person.as_str()).collect::<Vec<_>>();
    let sessions = batch.iter().map(|t| t.session.as_str()).collect::<Vec<_>>();
    let given: [&(dyn ToSql + Sync); 2] = [&people, &sessions];
    let row = session.within(session.client.query_opt(statement, &given)).await.ok()??;
    Some(duplicate(row.try_get(0).ok()?, row.try_get(1).ok()?).into())
}

fn duplicate(person: &str, session: &str) -> GalleryError {
    GalleryError::Duplicate { person: person.into(), session: session.into() }
}

fn listed(row: &Row) -> Result<Template, Failure> {
    let Json(labels): Json<BTreeMap<String, String>> = row.try_get(3)?;
    Ok(Template {
        number: number_in(row, 0)?,
        person: row.try_get::<_, &str>(1)?.into(),
        session: row.try_get(2)?,
        labels,
        quality: row.try_get(4)?,
    })
}

/// PostgreSQL counts with a sign.
fn number_in(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}
