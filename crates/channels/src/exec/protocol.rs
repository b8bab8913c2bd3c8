//! The lines between us and a program, version 1 (docs/exec.md): ours are written here, and the program's are read here.
//! Knows JSON; neither the process nor the pipe, nor what a reply leads to.

use crate::body::one_line_json;
use crate::{ExecReply, ExecRequest, ExecRun, ExecStatus, ExecTransport};
use balefire_model::text::{Secret, cut, one_line};
use balefire_model::{Cause, Delivery, DeliveryId, Reason};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the protocol that we speak. A program that cannot speak it says so in its own `hello`.
pub const EXEC_VERSION: u32 = 1;

/// The longest line that a program may write. Nothing that an answer has to say needs more.
pub const EXEC_LINE_BYTES_MAX: usize = 64 * 1024;

/// As much of a line as helps to find out who wrote it.
const SHOWN_BYTES_MAX: usize = 120;

/// Shorter values are no secrets, and hiding them would hide the words around them.
const HIDDEN_BYTES_MIN: usize = 8;

#[derive(Serialize)]
struct Hello<'a> {
    r#type: &'static str,
    version: u32,
    channel: &'a str,
    settings: &'a RawValue,
}

impl ExecTransport {
    /// The first line that a program gets. It may hold secrets.
    #[must_use]
    pub fn hello(&self, channel: &str) -> Vec<u8> {
        let settings: &RawValue = serde_json::from_str(self.settings.expose()).unwrap_or(RawValue::NULL);
        json(&Hello { r#type: "hello", version: EXEC_VERSION, channel, settings })
    }

    /// What the program must not repeat in a log or an answer: longer values of its environment and its settings' secrets.
    #[must_use]
    pub fn hidden(&self) -> Vec<&str> {
        let values = self.env.iter().map(|(_, value)| value).chain(&self.secrets);
        values.map(Secret::expose).filter(|text| text.len() >= HIDDEN_BYTES_MIN).collect()
    }
}

#[derive(Serialize)]
struct Write<'a> {
    r#type: &'static str,
    id: DeliveryId,
    attempt: u32,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands_in_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a ExecRun>,
    record: &'a RawValue,
}

/// One record for the program; `run` where it belongs to one.
pub(crate) fn write(delivery: &Delivery<'_>, record: &RawValue, run: Option<&ExecRun>) -> ExecRequest {
    let line = json(&Write {
        r#type: "write",
        id: delivery.id,
        attempt: delivery.attempt,
        reason: delivery.reason,
        stands_in_for: delivery.stands_in_for,
        run,
        record,
    });
    // Parts of a record stand in it as their sender wrote them, line breaks included.
    ExecRequest::Write { id: delivery.id.to_string(), line: one_line_json(line) }
}

#[derive(Serialize)]
struct Done<'a> {
    r#type: &'static str,
    id: &'a str,
    run: &'a ExecRun,
    records: u64,
}

/// The end of a run of which the program has acknowledged so many records. The same id for every attempt.
#[must_use]
pub fn exec_done(id: &str, run: &ExecRun, records: u64) -> ExecRequest {
    ExecRequest::Done { id: id.to_owned(), line: json(&Done { r#type: "done", id, run, records }) }
}

fn json<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and no failing serialisers")
}

/// A line of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecLine {
    /// The first one.
    Hello {
        /// What the program calls itself.
        name: String,
    },
    /// An answer.
    Reply {
        /// To which message.
        id: String,
        /// What it says.
        reply: ExecReply,
    },
}

/// A line that says nothing that we understand. Whoever wrote it cannot be trusted with the next message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecLineError {
    /// It is no JSON object, as if the program had printed something.
    #[error(
        "it wrote {found} to its standard output, which is only for the protocol; what it prints belongs to its standard error"
    )]
    NotJson {
        /// Its beginning.
        found: String,
    },
    /// It is of another type.
    #[error("it wrote a message of the type {found}; allowed: {allowed}")]
    Type {
        /// The type.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// It speaks another version.
    #[error("it speaks version {found} of the protocol; allowed: {EXEC_VERSION}")]
    Version {
        /// Its version.
        found: String,
    },
    /// A field is missing, or means nothing.
    #[error("it wrote a {message} whose field {field} is {found}; allowed: {allowed}")]
    Field {
        /// The message's type.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
}

/// A program's line as it came.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retry_after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cause: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    lost: Option<&'a RawValue>,
}

/// Reads one line without its line break. Fields that are not known are skipped.
///
/// # Errors
/// [`ExecLineError`] for what is no message of version 1.
pub fn read_exec_line(line: &[u8]) -> Result<ExecLine, ExecLineError> {
    let not_json = || ExecLineError::NotJson { found: shown(line) };
    let message: Message<'_> = match line.trim_ascii().first() {
        Some(b'{') => serde_json::from_slice(line).map_err(|_| not_json())?,
        _ => return Err(not_json()),
    };
    match text(message.r#type).as_deref() {
        Some("hello") => hello(&message),
        Some("reply") => reply(&message),
        _ => Err(ExecLineError::Type { found: found(message.r#type), allowed: "\"hello\" once, then \"reply\"" }),
    }
}

fn hello(message: &Message<'_>) -> Result<ExecLine, ExecLineError> {
    match message.version.map(RawValue::get) {
        Some("1") => Ok(ExecLine::Hello { name: text(message.name).unwrap_or_default() }),
        _ => Err(ExecLineError::Version { found: found(message.version) }),
    }
}

fn reply(message: &Message<'_>) -> Result<ExecLine, ExecLineError> {
    let refuse = |field, json, allowed| ExecLineError::Field { message: "reply", field, found: found(json), allowed };
    let id = text(message.id).ok_or_else(|| refuse("id", message.id, "the id of the message that it answers"))?;
    let after_ms = match message.retry_after.filter(|json| json.get() != "null") {
        None => None,
        Some(json) => Some(seconds(json).ok_or_else(|| refuse("retry_after", Some(json), "seconds, not negative"))?),
    };
    let cause = match message.cause.filter(|json| json.get() != "null") {
        None => None,
        Some(json) => {
            let allowed = "\"auth\", \"gone\", \"network\", \"quota\", \"schema\", \"size\"";
            Some(
                text(Some(json))
                    .and_then(|word| self::cause(&word))
                    .ok_or_else(|| refuse("cause", Some(json), allowed))?,
            )
        }
    };
    let status = match text(message.status).as_deref() {
        Some("ok") => ExecStatus::Ok,
        Some("retry") => ExecStatus::Retry { after_ms, cause },
        Some("rejected") => ExecStatus::Rejected { cause },
        _ => return Err(refuse("status", message.status, "\"ok\", \"retry\", \"rejected\"")),
    };
    let is_lost = message.lost.is_some_and(|json| json.get() == "true");
    Ok(ExecLine::Reply { id, reply: ExecReply { status, detail: text(message.detail).unwrap_or_default(), is_lost } })
}

fn text(json: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(json?.get()).ok()
}

fn cause(word: &str) -> Option<Cause> {
    [Cause::Auth, Cause::Gone, Cause::Network, Cause::Quota, Cause::Schema, Cause::Size]
        .into_iter()
        .find(|cause| cause.as_str() == word)
}

/// Seconds, with fractions, as milliseconds.
fn seconds(json: &RawValue) -> Option<u64> {
    let seconds: f64 = serde_json::from_str(json.get()).ok()?;
    let wait = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

fn found(json: Option<&RawValue>) -> String {
    json.map_or_else(|| "nothing".to_owned(), |json| cut(&one_line(json.get()), SHOWN_BYTES_MAX).into_owned())
}

fn shown(line: &[u8]) -> String {
    let start = &line[..line.len().min(SHOWN_BYTES_MAX)];
    let mark = if line.len() > start.len() { "…" } else { "" };
    format!("{:?}{mark}", String::from_utf8_lossy(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &str) {
        let told = match read_exec_line(line.as_bytes()) {
            Ok(line) => format!("{line:?}"),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{line}: {told}");
    }

    #[test]
    fn answers_are_read_and_what_they_add_is_skipped() {
        check(r#"{"type":"hello","version":1,"name":"x","more":{}}"#, r#"Hello { name: "x" }"#);
        check(r#"{"type":"hello","version":1}"#, r#"Hello { name: "" }"#);
        check(r#"{"type":"reply","id":"1","status":"ok"}"#, "status: Ok");
        check(r#" {"status":"retry","retry_after":1.5,"type":"reply","id":"1"} "#, "after_ms: Some(1500)");
        check(r#"{"type":"reply","id":"1","status":"retry","retry_after":null,"cause":"quota"}"#, "cause: Some(Quota)");
        check(r#"{"type":"reply","id":"1","status":"rejected","cause":"size","detail":"d"}"#, r#"detail: "d""#);
        check(r#"{"type":"reply","id":"1","status":"retry","lost":true}"#, "is_lost: true");
        check(r#"{"type":"reply","id":"1","status":"retry","retry_after":1e300}"#, "field retry_after is 1e300");
    }

    #[test]
    fn a_line_that_is_no_message_says_what_it_is() {
        check("Connecting ...", "it wrote \"Connecting ...\" to its standard output");
        check("", "it wrote \"\" to");
        check("[1]", "it wrote \"[1]\" to");
        check("{\"type\":", "only for the protocol");
        check(&format!("x{}", "y".repeat(1000)), "y\"… to its");
        check("{}", "the type nothing");
        check(r#"{"type":"write","id":"1"}"#, "the type \"write\"; allowed: \"hello\" once, then \"reply\"");
        check(r#"{"type":"hello","version":2}"#, "version 2 of the protocol; allowed: 1");
        check(r#"{"type":"reply","status":"ok"}"#, "field id is nothing");
        check(r#"{"type":"reply","id":1,"status":"ok"}"#, "field id is 1");
        check(r#"{"type":"reply","id":"1","status":"done"}"#, "field status is \"done\"; allowed: \"ok\"");
        check(r#"{"type":"reply","id":"1","status":"retry","retry_after":-1}"#, "seconds, not negative");
        check(r#"{"type":"reply","id":"1","status":"retry","cause":"bad"}"#, "field cause is \"bad\"");
    }

    #[test]
    fn a_done_names_its_run_and_how_many_records_the_run_has() {
        let run = ExecRun { audit_key: "mock\naudit".into(), audit_version: "20261122_000000".into() };
        let ExecRequest::Done { id, line } = exec_done("run-1", &run, 7) else { panic!("no done") };
        let expected = concat!(
            r#"{"type":"done","id":"run-1","run":{"audit_key":"mock\naudit","#,
            r#""audit_version":"20261122_000000"},"records":7}"#
        );
        assert_eq!((id.as_str(), String::from_utf8(line).expect("UTF-8").as_str()), ("run-1", expected));
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange_to_be_told(line: Vec<u8>) {
            if let Err(error) = read_exec_line(&line) {
                let told = error.to_string();
                prop_assert!(told.len() < 2000 && !told.chars().any(balefire_model::text::is_unsafe), "{}", told);
            }
        }
    }
}
