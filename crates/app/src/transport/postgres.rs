//! Rows for a PostgreSQL table: many in one statement, committed before anybody hears of success; an answer for each.
//! Nothing of a session outlives a transaction, so that a pooler may stand between. Knows no row's content and not what a
//! refusal means for an attempt.

use super::tls::{self, TlsError};
use super::{describe, harmless, no_answer};
use balefire_channels::{
    BulkBounds, PostgresLayout, PostgresMisfit, PostgresRows, PostgresStatement, PostgresTransport, Reply,
    is_about_row, is_about_table,
};
use balefire_model::Cause;
use std::future::Future;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::error::DbError;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tokio_rustls::TlsConnector;

mod dial;
mod newest;
use self::dial::{DialError, Wires, dial};
pub(crate) use self::newest::Newest;

/// What one statement carries: the server reads its list as a whole.
const STATEMENT_BYTES_MAX: usize = 8 << 20;

/// How many rows are looked up in one statement.
const ASKED_AT_ONCE_MAX: usize = 1000;

/// A row that somebody has acknowledged, as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Our id of it.
    pub(crate) id: String,
    /// Who.
    pub(crate) by: String,
    /// When; empty where that does not stand there.
    pub(crate) at: String,
    /// Whether other rows of it are not acknowledged.
    pub(crate) is_partial: bool,
}

/// The table of one channel, and the sessions with it.
pub(super) struct Postgres {
    target: Target,
    /// Sessions that have nothing to do; as many as there were statements under way at once.
    idle: Mutex<Vec<Link>>,
}

/// Where rows go, and how to get there.
struct Target {
    settings: PostgresTransport,
    connector: Option<TlsConnector>,
}

/// A session with a server that has the table.
struct Link {
    client: Client,
    /// `None` once it has ended.
    connection: Option<Wires>,
    place: String,
    layout: PostgresLayout,
}

impl Postgres {
    /// Reads the authorities, so that a file that cannot be used is told at once; connects nothing.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub(super) fn open(settings: PostgresTransport) -> Result<Postgres, TlsError> {
        let connector = dial::connector(&settings)?;
        Ok(Postgres { target: Target { settings, connector }, idle: Mutex::default() })
    }

    /// How much goes together.
    pub(super) fn bounds(&self) -> BulkBounds {
        self.target.settings.bounds
    }

    /// Inserts rows; one reply each. `Written` means: committed. Cancel-safe: what was under way may be there or not, and
    /// its ids say so when it is inserted again.
    pub(super) async fn exec(&self, parts: Vec<Vec<u8>>) -> Vec<Reply> {
        let mut link = match self.link().await {
            Ok(link) => link,
            Err(reply) => return vec![reply; parts.len()],
        };
        let (replies, is_sound) = self.target.insert_all(&mut link, &parts).await;
        if is_sound {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        }
        replies
    }

    /// How often [`Postgres::acknowledged`] is to be asked, if at all.
    pub(super) fn poll(&self) -> Option<Duration> {
        self.target.settings.poll
    }

    /// The table, for people.
    pub(super) fn table(&self) -> String {
        self.target.settings.table.to_string()
    }

    /// Which of these rows, by our ids, are acknowledged; none where the table or our role does not let us know.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The reply says why nothing is known.
    pub(super) async fn acknowledged(&self, ids: &[String]) -> Result<Vec<Acknowledged>, Reply> {
        let mut link = self.link().await?;
        let mut found = Vec::new();
        for ids in ids.chunks(ASKED_AT_ONCE_MAX) {
            found.extend(self.target.acknowledged(&mut link, ids).await?);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        Ok(found)
    }

    /// A session that is there and was not closed meanwhile, or a new one.
    async fn link(&self) -> Result<Link, Reply> {
        let next = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(mut link) = next() {
            // What the server has said since, above all that it goes.
            let quiet = drive(&mut link.connection, std::future::ready(Ok(()))).await;
            if quiet.is_ok() && link.connection.is_some() {
                return Ok(link);
            }
            tracing::debug!(place = %link.place, "a session has ended while it had nothing to do");
        }
        self.target.link().await
    }
}

impl Target {
    /// A new session with the first server that has the table and takes rows.
    async fn link(&self) -> Result<Link, Reply> {
        let mut last = no_answer("no server is set");
        for endpoint in &self.settings.endpoints {
            let place = endpoint.to_string();
            let dialled = dial(&self.settings, self.connector.as_ref(), endpoint);
            let (client, connection) = match tokio::time::timeout(self.settings.connect_timeout, dialled).await {
                Ok(Ok(session)) => session,
                Ok(Err(error)) => {
                    last = self.no_session(&place, &error);
                    continue;
                }
                Err(_) => {
                    last = no_answer(format!("{place}: no connection within {:?}", self.settings.connect_timeout));
                    continue;
                }
            };
            let layout = PostgresLayout::default();
            let mut link = Link { client, connection: Some(connection), place, layout };
            match self.look(&mut link).await {
                Ok(layout) => return Ok(Link { layout, ..link }),
                Err(reply) => last = reply,
            }
        }
        Err(last)
    }

    /// One reply for each, in order, and whether the session may be used again. Where a statement fails for what is in a
    /// row, its halves go on their own, so that only that row fails.
    async fn insert_all(&self, link: &mut Link, parts: &[Vec<u8>]) -> (Vec<Reply>, bool) {
        let mut replies = Vec::with_capacity(parts.len());
        let mut has_looked_again = false;
        // The last one is the next one.
        let mut waiting = statements(parts);
        while let Some(range) = waiting.pop() {
            let refused = match self.insert(link, &parts[range.clone()], PostgresRows::All).await {
                Ok(()) => {
                    replies.resize(range.end, Reply::Written(link.layout.receipt.clone()));
                    continue;
                }
                Err(refused) => refused,
            };
            let state = match &refused {
                Reply::SqlRefused { state, .. } => state.as_str(),
                _ => "",
            };
            if is_about_row(state) && range.len() > 1 {
                let middle = range.start + range.len() / 2;
                waiting.extend([middle..range.end, range.start..middle]);
            } else if is_about_row(state) {
                match self.insert_alert(link, &parts[range], refused).await {
                    Ok(reply) => replies.push(reply),
                    Err(failed) => return (fill(replies, parts.len(), failed), false),
                }
            } else if is_about_table(state) && !has_looked_again {
                has_looked_again = true;
                match self.look(link).await {
                    Ok(layout) => link.layout = layout,
                    Err(misfit) => return (fill(replies, parts.len(), misfit), false),
                }
                waiting.push(range);
            } else {
                // Whoever cannot take these cannot take the next ones; the time of the others is not spent on it.
                return (fill(replies, parts.len(), refused), false);
            }
        }
        (replies, true)
    }

    /// What becomes of a row that was refused with all that belongs to it: it may be the incident's row beside it that the
    /// database does not take, and the alert is worth more than the link.
    ///
    /// # Errors
    /// What keeps everything else from going on, too.
    async fn insert_alert(&self, link: &mut Link, part: &[Vec<u8>], refused: Reply) -> Result<Reply, Reply> {
        if !link.layout.has_incidents() {
            return Ok(refused);
        }
        match self.insert(link, part, PostgresRows::Alerts).await {
            Ok(()) => {
                let Reply::SqlRefused { state, text } = refused else { return Ok(refused) };
                let receipt = &link.layout.receipt;
                Ok(Reply::Written(format!("{receipt}; its incident's row was refused (error {state}: {text})")))
            }
            Err(Reply::SqlRefused { state, .. }) if is_about_row(&state) => Ok(refused),
            Err(failed) => Err(failed),
        }
    }

    /// One transaction, sent in one piece and answered in one. The time limits are the transaction's own: a pooler would
    /// hand a session's to somebody else.
    async fn insert(&self, link: &mut Link, parts: &[Vec<u8>], rows: PostgresRows) -> Result<(), Reply> {
        let statements = link.layout.statements(parts, rows);
        let begin = format!("BEGIN; {}", self.limits());
        let client = &link.client;
        let nth = |nth: usize| execute(client, statements.get(nth));
        debug_assert!(statements.len() <= 5, "each of them must be sent");
        let work = async {
            let (begun, first, second, third, fourth, fifth, committed) = tokio::join!(
                biased;
                client.batch_execute(&begin),
                nth(0),
                nth(1),
                nth(2),
                nth(3),
                nth(4),
                client.batch_execute("COMMIT"),
            );
            begun.and(first).and(second).and(third).and(fourth).and(fifth).and(committed)
        };
        let done = drive(&mut link.connection, work).await;
        done.map_err(|error| self.failure(&link.place, &error))
    }

    fn limits(&self) -> String {
        let (statement, lock) = (self.settings.statement_timeout.as_millis(), self.settings.lock_timeout.as_millis());
        format!("SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}")
    }

    /// Looks at the table, and makes what is missing where that is asked for.
    async fn look(&self, link: &mut Link) -> Result<PostgresLayout, Reply> {
        let mut found = self.ask(link).await?;
        if let Some(migration) = self.settings.table.migration(&found) {
            let script = format!("BEGIN; {};\n{migration};\nCOMMIT", self.limits());
            let made = drive(&mut link.connection, link.client.batch_execute(&script)).await;
            made.map_err(|error| self.failure(&link.place, &error))?;
            tracing::info!(table = %self.settings.table, place = %link.place, "made what was missing in the database");
            found = self.ask(link).await?;
        }
        // Nothing is given up for a table that somebody can mend.
        found.map_err(|misfit| no_answer(format!("{}: {}", link.place, harmless(&misfit.to_string()))))
    }

    async fn acknowledged(&self, link: &mut Link, ids: &[String]) -> Result<Vec<Acknowledged>, Reply> {
        let Some(statement) = link.layout.acknowledged.clone() else { return Ok(Vec::new()) };
        let list = serde_json::to_string(ids).expect("a list of texts is JSON");
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&list, Type::TEXT)];
        let rows = self.read(link, &statement, &parameters).await?;
        let text = |row: &Row, place: usize| row.try_get(place).map(str::to_owned);
        let read = |row: &Row| {
            let is_partial = text(row, 3)? == "true";
            Ok(Acknowledged { id: text(row, 0)?, by: text(row, 1)?, at: text(row, 2)?, is_partial })
        };
        rows.iter().map(read).collect::<Result<_, Error>>().map_err(|error| self.failure(&link.place, &error))
    }

    async fn ask(&self, link: &mut Link) -> Result<Result<PostgresLayout, PostgresMisfit>, Reply> {
        let table = &self.settings.table;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&table.schema, Type::TEXT), (&table.name, Type::TEXT)];
        let rows = self.read(link, table.look(), &parameters).await?;
        let answer: Option<&str> = rows.first().and_then(|row| row.try_get(0).ok());
        Ok(table.read(answer.unwrap_or_default()))
    }

    /// One transaction that changes nothing.
    async fn read(
        &self,
        link: &mut Link,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Reply> {
        let (begin, client) = (format!("BEGIN READ ONLY; {}", self.limits()), &link.client);
        let work = async {
            let (begun, rows, ended) = tokio::join!(
                biased;
                client.batch_execute(&begin),
                client.query_typed(statement, parameters),
                client.batch_execute("COMMIT"),
            );
            begun.and(rows).and_then(|rows| ended.map(|()| rows))
        };
        drive(&mut link.connection, work).await.map_err(|error| self.failure(&link.place, &error))
    }

    fn no_session(&self, place: &str, error: &DialError) -> Reply {
        let cause = match error {
            DialError::Login(error) if error.as_db_error().is_some() => return self.failure(place, error),
            // Without a word of the server's: it wants a password and we have none, or the reverse.
            DialError::Login(error) if tls::find::<std::io::Error>(error).is_none() && !error.is_closed() => {
                Cause::Auth
            }
            DialError::Login(error) if tls::is_refused_identity(error) => Cause::Auth,
            DialError::Io(io) if tls::is_certificate_fault(io) || tls::is_refused_identity(io) => Cause::Auth,
            DialError::NoTls | DialError::ServerName | DialError::Metadata => Cause::Auth,
            _ => Cause::Network,
        };
        Reply::Failed { cause, detail: format!("{place}: {}", describe(error)) }
    }

    fn failure(&self, place: &str, error: &Error) -> Reply {
        match error.as_db_error() {
            Some(error) => Reply::SqlRefused { state: error.code().code().to_owned(), text: harmless(&words(error)) },
            None => no_answer(format!("{place}: {}", describe(error))),
        }
    }
}

/// Polls a session while something is done with it. Where the session ends, what was being done hears of it, in the
/// server's words if it had any.
async fn drive<T>(connection: &mut Option<Wires>, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    let Some(wires) = connection else { return work.await };
    let ended = tokio::select! {
        biased;
        ended = &mut *wires => ended,
        done = &mut work => return done,
    };
    // Until its end is dropped, nobody who waits for an answer hears that none will come.
    *connection = None;
    match (work.await, ended) {
        (Err(error), Err(last)) if error.as_db_error().is_none() => Err(last),
        (done, _) => done,
    }
}

/// One statement of a transaction, where there is one.
async fn execute(client: &Client, statement: Option<&PostgresStatement<'_>>) -> Result<(), Error> {
    let Some(PostgresStatement { text, list }) = statement else { return Ok(()) };
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(list, Type::TEXT)];
    client.query_typed(text, &parameters).await.map(drop)
}

fn fill(mut replies: Vec<Reply>, count: usize, reply: Reply) -> Vec<Reply> {
    replies.resize(count, reply);
    replies
}

/// The server's message and the rule that was broken. Not its detail, which repeats the row.
fn words(error: &DbError) -> String {
    match error.constraint() {
        Some(constraint) if !error.message().contains(constraint) => {
            format!("{} (constraint {constraint})", error.message())
        }
        _ => error.message().to_owned(),
    }
}

/// Which parts go together, the last ones first.
fn statements(parts: &[Vec<u8>]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, part) in parts.iter().enumerate() {
        if index > start && bytes + part.len() > STATEMENT_BYTES_MAX {
            ranges.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += part.len();
    }
    if start < parts.len() {
        ranges.push(start..parts.len());
    }
    ranges.reverse();
    ranges
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
