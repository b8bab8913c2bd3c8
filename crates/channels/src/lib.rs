//! Every channel kind, one pure file each: a delivery becomes requests, replies become an outcome. Knows no client, no
//! async and no clock; what is sent is bytes that tests can compare.
//!
//! To add a kind, write its file and add two lines here: `mod` and an entry in [`KINDS`].

use balefire_model::settings::{FieldDoc, Reader, Session};
use balefire_model::{Delivery, Outcome};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

mod body;
mod bulk;
mod console;
mod destination;
mod dialect;
mod elasticsearch;
mod email;
mod exec;
mod file;
mod fit;
#[cfg(test)]
mod fixture;
mod mark;
mod mongodb;
mod postgres;
mod record;
mod reply;
mod shown;
mod signature;
mod slack;
mod slack_webhook;
mod splunk_hec;
mod syslog;
mod template;
mod webhook;
mod wire;

pub use bulk::{Bulk, BulkBounds, BulkStep, Exchange};
pub use destination::is_metadata_address;
pub use exec::protocol::{EXEC_LINE_BYTES_MAX, EXEC_VERSION, ExecLine, ExecLineError, exec_done, read_exec_line};
pub use mongodb::is_about_content;
pub use postgres::{
    PostgresEndpoint, PostgresForm, PostgresLayout, PostgresMisfit, PostgresRows, PostgresStatement, PostgresTable,
    PostgresTls, PostgresTransport, is_about_row, is_about_table,
};
pub use wire::*;

/// Every kind that a configuration may name, in the order in which help lists them.
pub static KINDS: &[Kind] = &[
    console::KIND,
    syslog::KIND,
    email::KIND,
    file::KIND,
    webhook::KIND,
    slack::KIND,
    slack_webhook::KIND,
    mongodb::KIND,
    exec::KIND,
    elasticsearch::KIND,
    splunk_hec::KIND,
    postgres::KIND,
];

/// A channel kind.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The key in the configuration.
    pub key: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The fewest settings that make a channel of it, as `key: value` lines of YAML; none where nothing is required.
    pub sample: &'static [(&'static str, &'static str)],
    /// Reads the kind's settings. Problems go to the reader's session; the result may be used only without any.
    pub resolve: fn(&Reader<'_>, &Host) -> Box<dyn Channel>,
}

impl Kind {
    /// The kind of a key.
    #[must_use]
    pub fn find(key: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.key == key)
    }

    /// Whether its channels hear of every repeat by itself where nothing else is set: archives want to have all of them,
    /// people one message now and then.
    #[must_use]
    pub fn hears_repeats(&self) -> bool {
        ["elasticsearch", "mongodb", "splunk_hec", "file", "postgres"].contains(&self.key)
    }

    /// The kind's settings, described.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldDoc> {
        let load = |_: &str| Ok(String::new());
        let session = Session::new(&load);
        let reader = Reader::describing(&session);
        (self.resolve)(&reader, &Host::default());
        reader.finish()
    }
}

/// What a kind may know of the machine that it runs on.
#[derive(Clone, Debug)]
pub struct Host {
    /// The machine's name.
    pub name: String,
    /// Our process id.
    pub pid: u32,
    /// The machine's time zone, for the one format that knows no other: RFC 3164. UTC where it is not said.
    pub zone: jiff::tz::TimeZone,
}

impl Default for Host {
    fn default() -> Host {
        Host { name: String::new(), pid: 0, zone: jiff::tz::TimeZone::UTC }
    }
}

/// A configured channel: all its decisions, none of its acts.
pub trait Channel: Debug + Send + Sync {
    /// What its kind can and cannot do.
    fn limits(&self) -> Limits;

    /// What must be opened for it. Asked once, when the configuration comes into force.
    fn transport(&self) -> Transport;

    /// What to do next for a delivery, given the replies to what was sent so far (one per [`Step::Send`], in order).
    /// A function of its arguments: the same ones give the same bytes.
    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step;

    /// How it takes the records of a run together; `None` where it takes them one by one only.
    fn runs(&self) -> Option<TakesRuns> {
        None
    }

    /// Whether it keeps a note of who has acknowledged an incident, and so hears of that for
    /// [`balefire_model::Reason::Acked`], where it hears of ends.
    fn hears_acks(&self) -> bool {
        false
    }

    /// How its deliveries travel together, for a kind over [`Transport::Bulk`].
    fn bulk(&self) -> Option<&dyn Bulk> {
        None
    }
}

/// What a channel's kind can do, and how much of it at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many deliveries may be under way at once. What is more waits in the journal.
    pub in_flight: u32,
    /// The largest message that the far side takes, in bytes; messages are cut to it with a mark that says so.
    pub message_bytes_max: usize,
    /// How long one attempt may take in all.
    pub attempt_timeout: Duration,
    /// Whether people or programs there want to hear that an incident is over, where nothing else is set. Logs and
    /// archives do not: what they have stays true.
    pub follows_up: bool,
    /// Whether a template of the user's makes its messages.
    pub has_template: bool,
}

/// How a channel takes the records of a run together: with a delivery for [`balefire_model::Reason::Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakesRuns {
    /// What it gets of them.
    pub records: RunRecords,
    /// How many records a page holds at most.
    pub page_records_max: usize,
    /// How many bytes of stored records a page holds, unless a single record is larger.
    pub page_bytes_max: usize,
    /// Whether it gets the marks of begin and end, too, where nothing else is set.
    pub marks: bool,
    /// Whether it collects where nothing else is set.
    pub by_default: bool,
}

/// What a channel gets of a run's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunRecords {
    /// One page. What does not fit is counted and left out.
    OnePage,
    /// All of them, page by page. An attempt that does not end with its last page begins with the first one again.
    All,
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send this and come back with the reply.
    Send(Request),
    /// The attempt is over.
    Done(Outcome),
}

/// Where a console shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleStream {
    /// Standard error: panels on a terminal, lines elsewhere.
    Stderr,
    /// Standard output: lines, for programs.
    Stdout,
}

/// What the application opens for a channel.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Standard error or standard output.
    Console(ConsoleStream),
    /// HTTP/1.1 requests.
    Http(HttpTransport),
    /// HTTP/1.1 requests with many deliveries in each.
    Bulk(HttpTransport),
    /// An SMTP session.
    Smtp(SmtpTransport),
    /// Syslog frames.
    Syslog(SyslogTransport),
    /// Lines at the end of a file.
    File(FileTransport),
    /// Sets of files in a directory.
    Store(StoreTransport),
    /// Documents for a MongoDB collection.
    Mongo(MongoTransport),
    /// Rows for a PostgreSQL table.
    Postgres(Box<PostgresTransport>),
    /// Lines to a program and back.
    Exec(ExecTransport),
}

/// How to make HTTP requests.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// Own certificate authorities, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

impl HttpTransport {
    /// The settings of the connection, the same for every kind that speaks HTTP.
    pub(crate) fn read(reader: &Reader<'_>) -> HttpTransport {
        let connect_timeout = reader
            .duration("connect_timeout", "How long to wait for a connection.")
            .default_shown(Duration::from_secs(5), "5s");
        let ca_file = reader
            .text("ca_file", "A PEM file of certificate authorities to trust instead of the system's.")
            .optional()
            .map(PathBuf::from);
        HttpTransport { connect_timeout, ca_file }
    }
}

/// How to talk to a mail server.
#[derive(Clone, Debug)]
pub struct SmtpTransport {
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the session is protected.
    pub tls: SmtpTls,
    /// User and password, where the server wants them.
    pub credentials: Option<(String, balefire_model::text::Secret)>,
    /// Own certificate authorities, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// The name that we say in EHLO.
    pub hello: String,
    /// How long each step of the session may take.
    pub timeout: Duration,
}

/// How an SMTP session is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// STARTTLS, or no session.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// Where syslog frames go.
#[derive(Clone, Debug)]
pub struct SyslogTransport {
    /// The receiver.
    pub to: SyslogTarget,
    /// How long to wait for a connection or a write.
    pub timeout: Duration,
}

/// A syslog receiver.
#[derive(Clone, Debug)]
pub enum SyslogTarget {
    /// A local datagram or stream socket such as `/dev/log`.
    Local(PathBuf),
    /// UDP (RFC 5426), `host:port`.
    Udp(String),
    /// TCP (RFC 6587), `host:port`.
    Tcp(String),
    /// TLS (RFC 5425).
    Tls {
        /// `host:port`.
        address: String,
        /// The name that the certificate must carry.
        server_name: String,
        /// Own certificate authorities, PEM; the system's where there is none.
        ca_file: Option<PathBuf>,
    },
}

/// A file that lines are appended to.
#[derive(Clone, Debug)]
pub struct FileTransport {
    /// The file.
    pub path: PathBuf,
    /// The size after which it is renamed and a new one begun.
    pub rotate_bytes: Option<u64>,
    /// How many renamed files are kept.
    pub keep: u32,
}

/// A directory in which sets of files are replaced.
#[derive(Clone, Debug)]
pub struct StoreTransport {
    /// The directory; it is made where it does not exist.
    pub directory: PathBuf,
}

/// A program that is kept running, and how long it may take for what.
#[derive(Clone, Debug)]
pub struct ExecTransport {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs; our own directory where there is none.
    pub directory: Option<PathBuf>,
    /// Its environment beside PATH, HOME and LANG.
    pub env: Vec<(String, balefire_model::text::Secret)>,
    /// What it learns in `hello`: a JSON object.
    pub settings: balefire_model::text::Secret,
    /// Those of its settings that it must not repeat.
    pub secrets: Vec<balefire_model::text::Secret>,
    /// How long it may stay silent while a message waits for its answer.
    pub timeout: Duration,
    /// How long it may take to its `hello`.
    pub start_timeout: Duration,
    /// How long it may take to end once its input has ended.
    pub stop_timeout: Duration,
    /// How many messages may wait for their answers at once.
    pub in_flight: u32,
}

/// How to insert into a collection.
#[derive(Clone, Debug)]
pub struct MongoTransport {
    /// The connection string, with the credentials if there are any.
    pub uri: balefire_model::text::Secret,
    /// Its hosts, for people.
    pub hosts: String,
    /// The database.
    pub database: String,
    /// The collection in it.
    pub collection: String,
    /// Whether connections are TLS, where the connection string does not say so.
    pub tls: bool,
    /// Own certificate authorities, PEM; Mozilla's, as of the build, where there is none.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for a connection, and for a server that takes writes.
    pub connect_timeout: Duration,
    /// How long the server may wait for the majority.
    pub majority_timeout: Duration,
    /// How much goes together; each insert is an exchange, each document a part.
    pub bounds: BulkBounds,
}
