//! Documents for a MongoDB collection: many in one command, acknowledged by the majority and its journals before anybody
//! hears of success; an answer for each. Knows no document's content and not what a refusal means for an attempt.

use super::tls::{self, TlsError};
use super::{describe, harmless, no_answer};
use balefire_channels::{BulkBounds, Document, MongoTransport, Reply, is_about_content};
use balefire_model::Cause;
use mongodb::bson::RawDocumentBuf;
use mongodb::error::{Error, ErrorKind, InsertManyError};
use mongodb::options::{Acknowledgment, ClientOptions, InsertManyOptions, Tls, TlsOptions, WriteConcern};
use mongodb::{Client, Collection};
use std::ops::Range;
use tokio::sync::OnceCell;

/// What one command carries: below MongoDB's 48 MB for a message, so that the driver makes one command of one insert.
const COMMAND_BYTES_MAX: usize = 32 << 20;
/// The collection of one channel. The driver keeps the connections, and looks for a server that takes writes.
pub(super) struct Mongo {
    settings: MongoTransport,
    collection: OnceCell<Collection<RawDocumentBuf>>,
}

impl Mongo {
    /// Reads the authorities, so that a file that cannot be used is told at once; connects nothing.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub(super) fn open(settings: MongoTransport) -> Result<Mongo, TlsError> {
        if let Some(path) = &settings.ca_file {
            tls::client_config(Some(path))?;
        }
        Ok(Mongo { settings, collection: OnceCell::new() })
    }

    /// Inserts documents; one reply each. `Written` means: in the journals of the majority. Cancel-safe: what was under
    /// way may be there or not, and its ids say so when it is inserted again.
    pub(super) async fn exec(&self, documents: Vec<Document>) -> Vec<Reply> {
        let count = documents.len();
        let collection = match self.collection.get_or_try_init(|| self.connect()).await {
            Ok(collection) => collection,
            Err(error) => return vec![self.failure(&error); count],
        };
        let mut replies = Vec::with_capacity(count);
        let mut raw = Vec::with_capacity(count);
        for Document { id, bson } in documents {
            match RawDocumentBuf::from_bytes(bson) {
                Ok(document) => {
                    raw.push(document);
                    replies.push(None);
                }
                Err(error) => {
                    let detail = format!("document {id} is no BSON: {}", harmless(&error.to_string()));
                    replies.push(Some(Reply::Failed { cause: Cause::Schema, detail }));
                }
            }
        }
        let mut inserted = self.insert_all(collection, &raw).await.into_iter();
        let mut next = || inserted.next().unwrap_or_else(|| no_answer("the driver gave no answer"));
        replies.into_iter().map(|reply| reply.unwrap_or_else(&mut next)).collect()
    }

    /// One reply for each, in order. Where a command fails for what one of many documents may hold, its halves go on
    /// their own, so that only that one fails.
    async fn insert_all(&self, collection: &Collection<RawDocumentBuf>, documents: &[RawDocumentBuf]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(documents.len());
        // The last one is the next one.
        let mut waiting = commands(documents);
        while let Some(range) = waiting.pop() {
            let options = InsertManyOptions::builder().ordered(false).build();
            match collection.insert_many(&documents[range.clone()]).with_options(options).await {
                Ok(_) => replies.resize(range.end, self.written()),
                Err(error) if range.len() > 1 && is_about_one(&error) => {
                    let middle = range.start + range.len() / 2;
                    waiting.extend([middle..range.end, range.start..middle]);
                }
                Err(error) => match *error.kind {
                    ErrorKind::InsertMany(partly) => replies.extend(self.sort_out(range.len(), &partly)),
                    // Who does not answer now will not answer a moment later; the time of the others is not spent on it.
                    ErrorKind::ServerSelection { .. } | ErrorKind::Authentication { .. } => {
                        replies.resize(documents.len(), self.failure(&error));
                        return replies;
                    }
                    _ => replies.resize(range.end, self.failure(&error)),
                },
            }
        }
        replies
    }

    /// What has become of each of a command's documents.
    fn sort_out(&self, count: usize, partly: &InsertManyError) -> Vec<Reply> {
        // Where the majority has not confirmed, that holds for what was there already, too.
        let (unsure, rest) = match &partly.write_concern_error {
            Some(error) => (true, Reply::CommandRefused { code: error.code, text: harmless(&error.message) }),
            None => (false, self.written()),
        };
        let mut replies = vec![rest; count];
        for error in partly.write_errors.iter().flatten() {
            if let Some(reply) = replies.get_mut(error.index)
                && !(unsure && error.code == DUPLICATE_KEY)
            {
                *reply = Reply::DocumentRefused { code: error.code, text: harmless(&error.message) };
            }
        }
        replies
    }

    fn written(&self) -> Reply {
        Reply::Written(format!("in {}.{}", self.settings.database, self.settings.collection))
    }

    fn failure(&self, error: &Error) -> Reply {
        let words = harmless(&error.kind.to_string());
        let hosts = &self.settings.hosts;
        let cause = match &*error.kind {
            ErrorKind::Command(refused) => {
                return Reply::CommandRefused { code: refused.code, text: harmless(&refused.message) };
            }
            ErrorKind::Authentication { .. } | ErrorKind::InvalidTlsConfig { .. } => Cause::Auth,
            // The driver tells in words alone why it has found no server.
            ErrorKind::ServerSelection { message, .. } if message.contains(CERTIFICATE_FAULT) => Cause::Auth,
            ErrorKind::Io(io) if tls::is_certificate_fault(io.as_ref()) => Cause::Auth,
            // The only argument of ours is the document, and all that the driver looks at is its size.
            ErrorKind::InvalidArgument { .. } => Cause::Size,
            ErrorKind::Bson(_) => Cause::Schema,
            ErrorKind::Io(io) => return no_answer(format!("{hosts}: {}", describe(io.as_ref()))),
            _ => Cause::Network,
        };
        Reply::Failed { cause, detail: format!("{hosts}: {words}") }
    }

    /// How much goes together.
    pub(super) fn bounds(&self) -> BulkBounds {
        self.settings.bounds
    }

    async fn connect(&self) -> Result<Collection<RawDocumentBuf>, Error> {
        let settings = &self.settings;
        let mut options = ClientOptions::parse(settings.uri.expose()).await?;
        options.app_name.get_or_insert_with(|| "balefire".to_owned());
        options.connect_timeout = Some(settings.connect_timeout);
        options.server_selection_timeout = Some(settings.connect_timeout);
        // One to spare, for what a broken one leaves behind.
        options.max_pool_size = u32::try_from(settings.bounds.exchanges_max + 1).ok();
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).journal(true);
        options.write_concern = Some(majority.w_timeout(settings.majority_timeout).build());
        if settings.tls {
            let tls = TlsOptions::builder().ca_file_path(settings.ca_file.clone()).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        let client = Client::with_options(options)?;
        Ok(client.database(&settings.database).collection(&settings.collection))
    }
}

/// What rustls says of a certificate that it does not take.
const CERTIFICATE_FAULT: &str = "invalid peer certificate";
const DUPLICATE_KEY: i32 = 11_000;

/// Whether a whole command has failed for what one of its documents may hold.
fn is_about_one(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Command(refused) => is_about_content(refused.code),
        // Larger than this server takes.
        ErrorKind::InvalidArgument { .. } => true,
        // A server may end a connection on what it cannot read. Where it has gone, the next half finds none.
        ErrorKind::Io(io) => io.kind() != std::io::ErrorKind::TimedOut,
        _ => false,
    }
}

/// Which documents go together, the last ones first.
fn commands(documents: &[RawDocumentBuf]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, document) in documents.iter().enumerate() {
        let size = document.as_bytes().len();
        if index > start && bytes + size > COMMAND_BYTES_MAX {
            ranges.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < documents.len() {
        ranges.push(start..documents.len());
    }
    ranges.reverse();
    ranges
}

#[cfg(test)]
#[path = "mongo_tests.rs"]
pub(super) mod tests;
