//! What goes wrong with a gallery in PostgreSQL, in plain words.

use super::address::Address;
use crate::gallery::GalleryError;
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// A gallery in PostgreSQL that could not be reached, read or changed.
///
/// No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("store URL: {0}")]
    Url(String),
    #[error(
        "{0:?}: a gallery in PostgreSQL has a name of at most 63 lower-case letters, digits and _, \
         that begins neither with a digit nor with pg_; rename it"
    )]
    Name(String),
    #[error("{place}: cannot connect: {reason}")]
    Connect { place: String, reason: String },
    #[error("{place}: {reason}; see whether the server runs, then run the same command again")]
    Lost { place: String, reason: String },
    /// The server may or may not have carried out the last word it heard.
    #[error(
        "{place}: the connection broke while a change was being saved: it is there whole or not at \
         all; look at the list of templates, then repeat what is missing"
    )]
    Uncertain { place: String },
    #[error("{place}: {reason}")]
    Unsuitable { place: String, reason: String },
}

/// Why a call stopped.
pub(super) enum Failure {
    Statement(tokio_postgres::Error),
    /// The server did not answer a statement within the limit.
    Silence,
    /// The last word of a change was sent, and no answer came.
    Commit(Box<Failure>),
    Said(GalleryError),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<GalleryError> for Failure {
    fn from(error: GalleryError) -> Self {
        Self::Said(error)
    }
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        Self::Said(error.into())
    }
}

impl Failure {
    pub fn has_code(&self, code: &SqlState) -> bool {
        matches!(self, Self::Statement(error) if error.code() == Some(code))
    }
}

pub(super) fn explain(address: &Address, failure: Failure) -> GalleryError {
    let error = match failure {
        Failure::Said(error) => return error,
        Failure::Silence => {
            let seconds = address.limit.as_secs();
            PostgresError::Lost {
                place: address.to_string(),
                reason: format!(
                    "no answer within {seconds} s (a larger gallery may need ?timeout=SECONDS in the URL)"
                ),
            }
        }
        // The server's own word: nothing was saved.
        Failure::Commit(failure) => match *failure {
            Failure::Statement(error) if error.as_db_error().is_some() => {
                explain_statement(address, &error)
            }
            _ => PostgresError::Uncertain { place: address.to_string() },
        },
        Failure::Statement(error) => explain_statement(address, &error),
    };
    error.into()
}

fn explain_statement(address: &Address, error: &tokio_postgres::Error) -> PostgresError {
    let place = address.to_string();
    match error.as_db_error() {
        None if broken(error) => {
            let reason = format!("the connection was lost ({})", in_one_line(error));
            PostgresError::Lost { place, reason }
        }
        None => address.unsuitable(format!(
            "holds what no gallery writes ({}); `gallery verify` names it, or restore the database from \
             a backup",
            in_one_line(error)
        )),
        Some(said) if went_away(said.code()) => {
            let reason = format!("the server ended the connection ({})", one_line(said.message()));
            PostgresError::Lost { place, reason }
        }
        Some(said) => {
            address.unsuitable(format!("{}{}", one_line(said.message()), remedy(said.code())))
        }
    }
}

/// Whether it is the connection that failed, and not what came through it.
fn broken(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<std::io::Error>() {
            return true;
        }
        cause = inner.source();
    }
    error.is_closed()
}

fn went_away(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW]
        .contains(code)
}

fn remedy(code: &SqlState) -> &'static str {
    match code {
        c if *c == SqlState::DISK_FULL => {
            "; free space on the server and run the same command again"
        }
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => {
            "; have the schema's owner grant it, or connect as another user"
        }
        c if *c == SqlState::READ_ONLY_SQL_TRANSACTION => {
            "; this server only reads: give the URL of the primary one"
        }
        c if *c == SqlState::LOCK_NOT_AVAILABLE => {
            "; someone else holds the table: try again when they are done"
        }
        c if *c == SqlState::QUERY_CANCELED => {
            "; a larger gallery may need ?timeout=SECONDS in the URL"
        }
        c if *c == SqlState::DATA_CORRUPTED || *c == SqlState::INDEX_CORRUPTED => {
            "; the server's files are damaged: restore the database from a backup"
        }
        _ => "",
    }
}

pub(super) fn why_not_connected(error: &tokio_postgres::Error) -> String {
    let text = in_one_line(error);
    let remedy = match error.code() {
        Some(c)
            if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
                .contains(c) =>
        {
            "correct the user or the password in the URL (or PGPASSWORD)"
        }
        Some(c) if *c == SqlState::INVALID_CATALOG_NAME => "correct the URL or create the database",
        Some(c) if *c == SqlState::CANNOT_CONNECT_NOW => {
            "it is starting or stopping: try again in a moment"
        }
        Some(c) if *c == SqlState::TOO_MANY_CONNECTIONS => "try again when others have finished",
        Some(_) => "ask the server's administrator",
        None if text.contains("password missing") => "add it to the URL, or set PGPASSWORD",
        None => "see whether the server runs, and correct host and port in the URL",
    };
    format!("{text}; {remedy}")
}

/// An error with its causes.
pub(super) fn in_one_line(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return one_line(said.message());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
