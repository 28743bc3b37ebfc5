//! The tables of a gallery: made, found again, and what stands in the settings.

use super::address::Address;
use super::failure::Failure;
use super::session::{Session, within};
use super::unsure;
use crate::gallery::{GalleryConfig, GalleryError, Threshold};
use std::time::Duration;
use tokio_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

/// Raised whenever the tables change.
const FORMAT: i32 = 1;
/// What pgvector's type holds.
const MOST_DIMENSIONS: usize = 16_000;
/// Up to so many, a vector lies in its row, on one page of 8 KiB; read from a place of its own, as
/// PostgreSQL has it otherwise, it makes a search five times as slow.
const DIMENSIONS_IN_ROW: usize = 1_800;

pub(super) fn check_config(config: &GalleryConfig) -> Result<(), GalleryError> {
    if config.model.is_empty() || config.model.contains('\0') {
        return Err(GalleryError::BadConfig("the model's hash is empty or has a zero byte".into()));
    }
    let dim = config.dim;
    if !(1..=MOST_DIMENSIONS).contains(&dim) {
        let text = format!("{dim} values of an embedding: pgvector holds 1 to {MOST_DIMENSIONS}");
        return Err(GalleryError::BadConfig(text));
    }
    config.threshold.map_or(Ok(()), Threshold::check)
}

pub(super) async fn install_pgvector(session: &Session, address: &Address) -> Result<(), Failure> {
    let installed = "SELECT 1 FROM pg_extension WHERE extname = 'vector'";
    if session.within(session.client.query_opt(installed, &[])).await?.is_some() {
        return Ok(());
    }
    let make = session.client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector");
    match session.within(make).await {
        Err(Failure::Statement(error)) if error.as_db_error().is_some() => {
            // Someone else may have made it at the same moment.
            if session.within(session.client.query_opt(installed, &[])).await?.is_some() {
                return Ok(());
            }
            let said = error.as_db_error().map_or("", |said| said.message());
            Err(address
                .unsuitable(format!(
                    "pgvector cannot be had here ({said}); install it on the server and have its \
                     administrator run CREATE EXTENSION vector in this database"
                ))
                .into())
        }
        made => made,
    }
}

pub(super) async fn make_tables(
    session: &mut Session,
    address: &Address,
    config: &GalleryConfig,
) -> Result<(), Failure> {
    let limit = session.limit();
    let transaction = within(limit, session.client.transaction()).await?;
    let schema = &address.schema;
    // The name was checked: it needs no quotes but where it is a word of SQL.
    within(limit, transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")))
        .await?;
    search_only(&transaction, schema, limit).await?;
    let dim = config.dim;
    // Embeddings do not compress: PostgreSQL need not try.
    let storage = if dim <= DIMENSIONS_IN_ROW { "PLAIN" } else { "EXTERNAL" };
    let tables = format!(
        r#"CREATE TABLE settings (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            format integer NOT NULL,
            dim integer NOT NULL,
            model text NOT NULL,
            threshold double precision,
            far double precision,
            next_number bigint NOT NULL DEFAULT 1
        );
        CREATE TABLE templates (
            number bigint PRIMARY KEY,
            person text COLLATE "C" NOT NULL,
            session text COLLATE "C" NOT NULL,
            labels jsonb NOT NULL,
            quality real NOT NULL,
            vector vector({dim}) NOT NULL,
            UNIQUE (person, session)
        );
        ALTER TABLE templates ALTER COLUMN vector SET STORAGE {storage};"#
    );
    if let Err(failure) = within(limit, transaction.batch_execute(&tables)).await {
        if failure.has_code(&SqlState::DUPLICATE_TABLE) {
            let reason = "a gallery is there already; choose another name";
            return Err(address.unsuitable(reason).into());
        }
        return Err(failure);
    }
    let insert =
        "INSERT INTO settings (format, dim, model, threshold, far) VALUES ($1, $2, $3, $4, $5)";
    let dim = dim as i32;
    let similarity = config.threshold.map(|threshold| threshold.similarity);
    let far = config.threshold.and_then(|threshold| threshold.far);
    let values: [&(dyn ToSql + Sync); 5] = [&FORMAT, &dim, &config.model, &similarity, &far];
    within(limit, transaction.execute(insert, &values)).await?;
    within(limit, transaction.commit()).await.map_err(unsure)
}

/// Names then mean what stands in the gallery's schema and in pgvector's, nothing else.
async fn search_only(
    client: &impl GenericClient,
    schema: &str,
    limit: Duration,
) -> Result<bool, Failure> {
    let set = "SELECT set_config('search_path', quote_ident($1) || ', ' || quote_ident(nspname), false) \
               FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'";
    Ok(within(limit, client.query_opt(set, &[&schema])).await?.is_some())
}

/// Turns a new connection to the gallery's schema.
pub(super) async fn enter(session: &mut Session, address: &Address) -> Result<(), Failure> {
    let limit = session.limit();
    if !search_only(&session.client, &address.schema, limit).await? {
        return Err(address.unsuitable(NO_GALLERY).into());
    }
    // Names are looked for in pgvector's schema too: what is there is another gallery.
    let (settings, templates) =
        (format!("\"{}\".settings", address.schema), format!("\"{}\".templates", address.schema));
    let there = "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL";
    let row = session.within(session.client.query_one(there, &[&settings, &templates])).await?;
    match (row.try_get(0)?, row.try_get(1)?) {
        (true, true) => {}
        (false, false) => return Err(address.unsuitable(NO_GALLERY).into()),
        _ => return Err(address.unsuitable(FOREIGN).into()),
    }
    // Nobody waits longer for a table that someone else holds.
    let patience = format!("SET lock_timeout = {}", limit.as_millis());
    session.within(session.client.batch_execute(&patience)).await?;
    let statement = session.within(session.client.prepare("SELECT $1::vector")).await?;
    session.vector_type = statement.params().first().cloned();
    Ok(())
}

const NO_GALLERY: &str =
    "no gallery is there; create one, or correct its name or the database in the URL";

const FOREIGN: &str = "holds tables named as a gallery's that are none; choose another name";
const DAMAGED_SETTINGS: &str = "its settings are gone or damaged; restore them from a backup";

pub(super) async fn read_config(
    session: &mut Session,
    address: &Address,
) -> Result<GalleryConfig, Failure> {
    let statement = "SELECT format, dim, model, threshold, far FROM settings";
    let row = match session.within(session.client.query_opt(statement, &[])).await {
        Err(failure) if failure.has_code(&SqlState::UNDEFINED_COLUMN) => {
            return Err(address.unsuitable(FOREIGN).into());
        }
        row => row?.ok_or_else(|| address.unsuitable(DAMAGED_SETTINGS))?,
    };
    let format: i32 = row.try_get(0)?;
    if format != FORMAT {
        let reason = format!(
            "format {format} is not that of this version ({FORMAT}); use the version that wrote it"
        );
        return Err(address.unsuitable(reason).into());
    }
    let dim: i32 = row.try_get(1)?;
    let (similarity, far): (Option<f64>, Option<f64>) = (row.try_get(3)?, row.try_get(4)?);
    let threshold = similarity.map(|similarity| Threshold { similarity, far });
    if threshold.is_some_and(|threshold| threshold.check().is_err()) {
        return Err(address.unsuitable(DAMAGED_SETTINGS).into());
    }
    Ok(GalleryConfig { model: row.try_get(2)?, dim: dim.unsigned_abs() as usize, threshold })
}
