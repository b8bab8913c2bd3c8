//! The doers: each opens what a channel asks for, carries its requests out and brings the replies back. They know bytes
//! and sockets; what to send, what a reply means and whether to try again is decided in `channels` and `engine`.

use balefire_channels::{Channel, Reply, Transport};
use balefire_model::{
    Acknowledgement, Cause, DeliveryId, Entry, Incident, IncidentId, Outcome, Reason, Record, Repeats, text,
};
use jiff::Timestamp;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

mod bulk;
mod console;
mod exec;
mod file;
mod heartbeat;
mod http;
mod mongo;
mod notes;
mod postgres;
mod run;
mod smtp;
mod store;
mod syslog;
#[cfg(test)]
mod testing;
pub(crate) mod tls;
mod worker;

pub(crate) use console::Terminal;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use notes::Notes;
pub(crate) use postgres::{Acknowledged, Newest};
pub(crate) use run::RunSource;
pub(crate) use worker::Worker;

/// One attempt of one delivery, for the worker of its channel.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The same for every attempt.
    pub(crate) delivery: DeliveryId,
    /// What it is about.
    pub(crate) subject: Subject,
    /// Why now.
    pub(crate) reason: Reason,
    /// The channel that should have carried it.
    pub(crate) stands_in_for: Option<String>,
    /// When the incident was resolved, where it tells of that.
    pub(crate) resolved_at: Option<Timestamp>,
    /// The acknowledgement that it tells of.
    pub(crate) acknowledgement: Option<Acknowledgement>,
    /// The incident that the subject is told as: another one where it is a repeat.
    pub(crate) told_as: IncidentId,
    /// How often that incident came, where the message tells of that.
    pub(crate) repeats: Option<Repeats>,
    /// The incident that this one belongs to, where the channel keeps acknowledgements.
    pub(crate) repeat_of: Option<IncidentId>,
    /// Without the user's template.
    pub(crate) plain: bool,
    /// The link by which its reader acknowledges the incident.
    pub(crate) ack_url: Option<String>,
    /// What of it has arrived in earlier attempts.
    pub(crate) reached: Option<String>,
    /// Where the message stands that it closes.
    pub(crate) opened: Option<String>,
    /// The records of the run that it is about, where the channel takes them.
    pub(crate) run: Option<RunSource>,
    /// 1 for the first attempt.
    pub(crate) attempt: u32,
}

/// An incident, as it stands in memory or in the journal. Whoever sends it decodes it, so that those who only hand it on
/// need not.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// It came in a moment ago.
    Known(Arc<Incident>),
    /// Its record.
    Stored(Entry),
}

impl Subject {
    /// The incident; the error says in words why it cannot be had.
    pub(crate) fn read(&self) -> Result<Arc<Incident>, String> {
        match self {
            Subject::Known(incident) => Ok(incident.clone()),
            Subject::Stored(entry) => match Record::decode(entry) {
                Ok(Record::Accepted(incident)) => Ok(incident),
                Ok(_) => Err("cannot read the incident back: another record stands there".to_owned()),
                Err(error) => Err(format!("cannot read the incident back: {error}")),
            },
        }
    }
}

/// What an attempt came to. Each [`Job`] gives exactly one, unless the worker is cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The job's delivery.
    pub(crate) delivery: DeliveryId,
    /// The job's attempt.
    pub(crate) attempt: u32,
    /// What it came to.
    pub(crate) outcome: Outcome,
}

/// Why a channel's transport could not be made ready. A far side that is down is no such reason: that is found, retried
/// and reported attempt by attempt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The channel's certificate authorities.
    #[error("channel {channel}")]
    Tls {
        /// The channel's name.
        channel: String,
        /// What is wrong.
        #[source]
        source: Box<tls::TlsError>,
    },
    /// The server name that the certificate must carry.
    #[error("channel {channel}: {name:?} is no server name; allowed: a DNS name or an IP address")]
    ServerName {
        /// The channel's name.
        channel: String,
        /// What was configured.
        name: String,
    },
    /// Standard error.
    #[error("channel {channel}: standard error cannot be used")]
    Console {
        /// The channel's name.
        channel: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Makes a channel's transport ready: reads certificate authorities, connects nothing. Must run inside the runtime.
/// `timeout` is how long an attempt may take, where the configuration says other than the kind.
///
/// # Errors
/// [`OpenError`] for what only a change of the configuration or the machine can mend.
pub(crate) fn open(
    name: &str,
    channel: Arc<dyn Channel>,
    timeout: Option<Duration>,
    terminal: Terminal,
) -> Result<Worker, OpenError> {
    let limits = channel.limits();
    let patience = timeout.unwrap_or(limits.attempt_timeout);
    let tls = |error| OpenError::Tls { channel: name.to_owned(), source: Box::new(error) };
    let line = match channel.transport() {
        Transport::Http(settings) => worker::Line::Http(http::Http::open(&settings, limits.in_flight).map_err(tls)?),
        Transport::Bulk(settings) => {
            let bounds = channel.bulk().map(balefire_channels::Bulk::bounds);
            let (requests, bytes) = bounds.map_or((1, 0), |bounds| (bounds.exchanges_max, bounds.reply_bytes_max));
            let requests = u32::try_from(requests).unwrap_or(u32::MAX);
            worker::Line::Bulk(http::Http::open(&settings, requests).map_err(tls)?.reading(bytes))
        }
        Transport::Smtp(settings) => worker::Line::Smtp(smtp::Smtp::open(settings, limits.in_flight).map_err(tls)?),
        Transport::Syslog(settings) => worker::Line::Syslog(syslog::Syslog::open(name, settings)?),
        Transport::File(settings) => worker::Line::File(file::File::open(settings)),
        Transport::Store(settings) => worker::Line::Store(store::Store::open(settings)),
        Transport::Mongo(settings) => worker::Line::Mongo(mongo::Mongo::open(settings).map_err(tls)?),
        Transport::Postgres(settings) => {
            worker::Line::Postgres(Arc::new(postgres::Postgres::open(*settings).map_err(tls)?))
        }
        Transport::Exec(settings) => worker::Line::Exec(exec::Exec::open(name, settings)),
        Transport::Console(stream) => {
            let console = console::Console::open(stream, terminal, patience)
                .map_err(|source| OpenError::Console { channel: name.to_owned(), source })?;
            worker::Line::Console(console)
        }
    };
    Ok(Worker::new(name, channel, patience, line))
}

/// No answer, for want of a network that works.
fn no_answer(detail: impl Into<String>) -> Reply {
    Reply::Failed { cause: Cause::Network, detail: detail.into() }
}

/// A request that this transport does not carry: a fault of the channel's kind.
fn mismatched(transport: &str) -> Reply {
    Reply::Failed { cause: Cause::Schema, detail: format!("this kind of request cannot go over {transport}") }
}

/// An error and its causes in one harmless line of at most [`DETAIL_BYTES_MAX`]: part of it may be the far side's words.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    harmless(&words)
}

/// Foreign words as one line of at most [`DETAIL_BYTES_MAX`].
fn harmless(words: &str) -> String {
    text::cut(&text::one_line(words), DETAIL_BYTES_MAX).into_owned()
}

/// Details go into the journal with each attempt; a longer one helps nobody.
const DETAIL_BYTES_MAX: usize = 1000;
