//! What goes over a transport and what comes back, as data.

use balefire_model::Cause;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// What a channel wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// An HTTP request.
    Http(HttpRequest),
    /// A delivery's part of a request that carries many.
    Part(Vec<u8>),
    /// A mail.
    Mail(Mail),
    /// One syslog message without framing; the transport frames it (RFC 6587 octet counting on TCP and TLS).
    Syslog(Vec<u8>),
    /// One line for a file, without its line break.
    Line(Vec<u8>),
    /// Something for a person at a terminal.
    Screen(Screen),
    /// A document for a collection.
    Document(Document),
    /// A message for a program.
    Exec(ExecRequest),
    /// A part of a set of files that is replaced as a whole.
    Store(StorePart),
}

/// An HTTP request. Redirects are not followed: a reply of 3xx comes back as it is. Its debug form keeps the values of
/// the headers, the path and the body to itself, since each of them may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `POST`, `PUT`, ...
    pub method: &'static str,
    /// Absolute.
    pub url: String,
    /// In order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("origin", &crate::destination::origin(&self.url))
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A mail: the envelope and the message (RFC 5322) with CR LF line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender, an address without a name.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The message.
    pub message: Vec<u8>,
    /// Whether a server that asks for patience for one recipient is obeyed for all of them. Without it, the mail goes to
    /// those that it takes now.
    pub is_patient: bool,
}

impl Mail {
    /// The message as its reader sees it: headers and parts decoded, with line feeds. It is not safe to show.
    #[must_use]
    pub fn readable(&self) -> String {
        crate::email::readable(&self.message)
    }
}

/// A part of a set of files. Each file is written beside the one that it replaces, and takes its place when the last part
/// is in and on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePart {
    /// Which set: the same for all its parts and every attempt. Letters, digits and hyphens.
    pub set: String,
    /// When what it holds began: a file that is there from a set that began later stays. None for files of which there is
    /// only one version.
    pub begun: Option<Timestamp>,
    /// Whether it is the first part: what an earlier attempt has left is begun anew.
    pub is_first: bool,
    /// Whether it is the last one: the files take their places.
    pub is_last: bool,
    /// What is added to which file, by its name without a directory.
    pub files: Vec<StoreFile>,
    /// What stands before the first addition of a file, between two of them, and behind the last one.
    pub frame: [&'static str; 3],
}

/// What is added to one file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// The file's name; no path.
    pub name: String,
    /// The additions, in order.
    pub items: Vec<Vec<u8>>,
}

/// A document for a collection that keeps each id once.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Its `_id`: the same for every attempt, so that what is inserted twice is there once.
    pub id: String,
    /// BSON; `_id` is the first field.
    pub bson: Vec<u8>,
}

impl Document {
    /// The document as JSON text. It is not safe to show.
    #[must_use]
    pub fn readable(&self) -> String {
        crate::mongodb::readable(&self.bson)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("id", &self.id).field("bson_bytes", &self.bson.len()).finish()
    }
}

/// Both forms of a text for the terminal; the transport knows whether there is one, how wide it is, and whether it takes
/// colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// For a terminal: lines for a box.
    pub panel: Panel,
    /// For anything else: one line without a line break.
    pub plain: String,
}

/// A titled box; all text is already safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// In the box's upper edge.
    pub title: String,
    /// The paragraphs, in order.
    pub lines: Vec<String>,
    /// The colour of the box and of its first line.
    pub style: anstyle::Style,
}

/// What came back for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Http(HttpReply),
    /// The mail server's last answer.
    Smtp {
        /// The reply code, such as 250 or 535.
        code: u16,
        /// The reply's text.
        text: String,
    },
    /// A database refused one document and may have taken others of the same command.
    DocumentRefused {
        /// The error's code, such as 11000.
        code: i32,
        /// The error's text.
        text: String,
    },
    /// A database refused a command with all that was in it, or cannot say that it will keep what it took.
    CommandRefused {
        /// The error's code, such as 10107.
        code: i32,
        /// The error's text.
        text: String,
    },
    /// A database of SQL refused a row, or the statement that it stood in alone.
    SqlRefused {
        /// The error's SQLSTATE, such as 23505.
        state: String,
        /// The error's text.
        text: String,
    },
    /// It was written as far as the transport can tell; what it can tell, in words.
    Written(String),
    /// A program's answer.
    Exec(ExecReply),
    /// There was no answer.
    Failed {
        /// Why: `Network` in most cases, `Auth` where TLS refused the certificate, `Schema` where the address is
        /// forbidden.
        cause: Cause,
        /// In words, without secrets.
        detail: String,
    },
}

/// An HTTP answer, at most [`HTTP_REPLY_BYTES_MAX`] of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's beginning.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How much of an answer's body is read; more can only be hostile or useless.
pub const HTTP_REPLY_BYTES_MAX: usize = 64 * 1024;

/// A message for a program: one line of JSON without its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecRequest {
    /// A record.
    Write {
        /// By which the program's answer names it: the delivery's, the same for every attempt.
        id: String,
        /// The message.
        line: Vec<u8>,
    },
    /// A run is over.
    Done {
        /// By which the program's answer names it, the same for every attempt.
        id: String,
        /// The message.
        line: Vec<u8>,
    },
}

impl ExecRequest {
    /// By which the answer names it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            ExecRequest::Write { id, .. } | ExecRequest::Done { id, .. } => id,
        }
    }

    /// The message without its line break.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        match self {
            ExecRequest::Write { line, .. } | ExecRequest::Done { line, .. } => line,
        }
    }
}

/// A run of an audit, as Cloudmarker names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ExecRun {
    /// Which audit.
    pub audit_key: String,
    /// Which run of it.
    pub audit_version: String,
}

/// A program's answer to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecReply {
    /// What has become of the message.
    pub status: ExecStatus,
    /// In words. They are the program's, and not safe to show.
    pub detail: String,
    /// To a `done`: what was acknowledged of its run is not there any more, as after a crash in between. The run's records
    /// must be written again before its next `done`.
    pub is_lost: bool,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecStatus {
    /// The program has it.
    Ok,
    /// Not now.
    Retry {
        /// How long the program asks us to wait, if it does: patience, no failure.
        after_ms: Option<u64>,
        /// What fails; the network, if it does not say.
        cause: Option<Cause>,
    },
    /// Never.
    Rejected {
        /// Why; it is the message's form, if it does not say.
        cause: Option<Cause>,
    },
}
