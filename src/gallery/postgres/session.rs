//! One connection to a gallery's database, and a time limit on every word of it.
//!
//! A call holds the connection while it works. What fails in the middle drops it, and the next call
//! connects anew; nothing is tried twice behind the caller's back.

use super::address::Address;
use super::failure::{Failure, PostgresError, explain, why_not_connected};
use crate::gallery::GalleryError;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

/// How long a connection may take to be made, and one left idle to prove that it still stands.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection in use.
pub(super) struct Session {
    pub client: Client,
    /// pgvector's type, which has another number in every database.
    pub vector_type: Option<Type>,
    limit: Duration,
}

impl Session {
    /// Waits for one statement, no longer than the limit.
    pub async fn within<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        within(self.limit, statement).await
    }

    /// How long a statement may take, for those that borrow the client themselves.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

/// Waits for one statement, no longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::Silence),
    }
}

/// Makes connections when they are needed and keeps the one that works.
pub(super) struct Connector {
    pub address: Address,
    runtime: Runtime,
    session: Option<Session>,
}

impl Connector {
    pub fn new(address: Address) -> Result<Self, PostgresError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| address.unsuitable(format!("no connection can be made here ({e})")))?;
        Ok(Self { address, runtime, session: None })
    }

    /// Runs `work` on a connection that answers; `greet` runs first on a new one.
    ///
    /// # Errors
    /// What `work` says; a connection that cannot be made or breaks. The next call connects anew.
    pub fn call<T>(
        &mut self,
        greet: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, GalleryError> {
        let Self { address, runtime, session } = self;
        let kept = session.take();
        let (result, kept) = runtime.block_on(async {
            let mut session = match kept {
                Some(session) if answers(&session).await => session,
                _ => {
                    let client = match connect(address).await {
                        Ok(client) => client,
                        Err(error) => return (Err(error.into()), None),
                    };
                    let mut session = Session { client, vector_type: None, limit: address.limit };
                    if let Err(failure) = greet(&mut session).await {
                        return (Err(failure), None);
                    }
                    session
                }
            };
            let result = work(&mut session).await;
            // Said in one word, the rest of a broken connection is of no use.
            let broken = matches!(&result, Err(Failure::Silence | Failure::Commit(_)));
            let kept = (!broken && !session.client.is_closed()).then_some(session);
            (result, kept)
        });
        *session = kept;
        result.map_err(|failure| explain(address, failure))
    }
}

/// Whether an idle connection outlived the time since its last use.
async fn answers(session: &Session) -> bool {
    !session.client.is_closed()
        && within(session.limit.min(CONNECT_LIMIT), session.client.simple_query("")).await.is_ok()
}

/// Opens a connection.
async fn connect(address: &Address) -> Result<Client, PostgresError> {
    let fail = |reason| PostgresError::Connect { place: address.to_string(), reason };
    let limit = address.config.get_connect_timeout().copied().unwrap_or(CONNECT_LIMIT);
    // The library's own limit ends where the system has a connection; a server that hangs
    // accepts one and says nothing.
    let made = tokio::time::timeout(limit, address.config.connect(NoTls)).await;
    let made = made.map_err(|_| {
        let seconds = limit.as_secs();
        fail(format!("no answer within {seconds} s; see whether the server hangs"))
    })?;
    let (client, connection) = made.map_err(|e| fail(why_not_connected(&e)))?;
    // Ends with the client, or with the server; the client then says so at its next statement.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}
