//! `balefire send`: incidents from flags, files or standard input go to the server, and what became of each is told.

use super::client::{Client, Question, Reach, Reply, encoded};
use super::describe::Described;
use super::ends::Ends;
use super::output::{self, Output};
use super::parts::{self, Ended, Item, Part};
use super::why;
use super::{Exit, Failure, Place};
use crate::{clock, ids};
use anyhow::Context;
use balefire_intake::formats::cloudmarker::mock;
use balefire_model::text::one_line;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In a directory of Cloudmarker's `FileStore`: the marks of begin and end, which are sent after the records.
const MARKS: &str = "no_worker.json";

/// How often `--wait` looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  balefire send --title 'Disk full' --severity high --label host=web-1
  balefire send findings.json                    an object, a list, or one object a line
  some-scanner | balefire send                   the same from standard input
  balefire send --title Test --wait              and wait for its deliveries
  balefire send nightly_azcloud.json             the records of a cloud audit, as they are
  balefire send /tmp/cloudmarker                 all files of a directory, as runs
  balefire send --mock-audit                     such records without a cloud

Every item is answered for itself: `accepted ID severity title` on standard output, what was refused with its reason on
standard error. Accepted means that it is on the server's disk. Exit code 4: at least one was refused; 1 with --wait: not
everything was delivered.";

/// Send incidents to a running server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    #[command(flatten)]
    described: Described,
    /// Files with incidents, or directories with .json files; - is standard input, which is read without any, too
    #[arg(value_name = "FILE", conflicts_with = "title")]
    files: Vec<PathBuf>,
    /// Send the mock audit of Cloudmarker: ten records for stores, four events for alerts, begin and end
    #[arg(long, conflicts_with_all = ["title", "files"])]
    mock_audit: bool,
    /// When all is sent, end the runs of cloud audits whose end was not in it; goes without saying for a directory
    #[arg(long, conflicts_with_all = ["title", "mock_audit"])]
    end_runs: bool,
    /// What happens to the good items of a request (1,000 items or 8 MiB) that has bad ones
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_error: OnError,
    /// Sent twice with the same key it counts once; without one, a fresh key guards this call's own repeats
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until every delivery has ended or was put off, and print what became of it
    #[arg(long)]
    wait: bool,
    /// How long to try again while the server is busy, and how long --wait waits
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::incidents::duration)]
    timeout: Duration,
    /// Print the server's answers as JSON, one line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// What happens to good items beside bad ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// The good ones are accepted
    #[default]
    Keep,
    /// Nothing of the request is accepted
    Refuse,
}

impl OnError {
    fn as_str(self) -> &'static str {
        match self {
            OnError::Keep => "keep",
            OnError::Refuse => "refuse",
        }
    }
}

impl Send {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let client = place.client(&self.reach)?;
        let key = self.idempotency_key.clone().unwrap_or_else(ids::idempotency_key);
        let ends = self.ends_runs().then(Ends::default);
        let mut sender = Sender { send: self, client, key, parts: 0, sent: Sent::default(), ends };
        let ran = self.send_all(&mut sender, output);
        output::progress_ends();
        ran?;
        let Sender { client, sent, .. } = sender;
        if sent.accepted + sent.refused != 1 {
            output::tell(&format!("{} accepted, {} refused", sent.accepted, sent.refused));
        }
        output.flush()?;
        let all_delivered = !self.wait || self.wait_for(&client, &sent.ids, output)?;
        Ok(match (sent.refused, all_delivered) {
            (0, true) => Exit::Done,
            (0, false) => Exit::Failed,
            _ => Exit::Refused,
        })
    }

    fn send_all(&self, sender: &mut Sender<'_>, output: &mut Output) -> Result<(), Failure> {
        if let Some(incident) = self.described.json() {
            let title = self.described.title.clone().unwrap_or_default();
            let items = vec![Item { place: "the incident".to_owned(), title }];
            return sender.send(Part { content_type: parts::JSON, body: Bytes::from(incident), items }, "", output);
        }
        if self.mock_audit {
            let version = clock::now().strftime("%Y%m%d_%H%M%S").to_string();
            return sender.send(of_records(&mock::audit(&version))?, "the mock audit", output);
        }
        let stdin = PathBuf::from("-");
        if self.files.is_empty() && io::stdin().is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "nothing to send; allowed: --title TEXT, a FILE, or incidents on standard input (- reads a terminal)",
            ));
        }
        let files = if self.files.is_empty() { std::slice::from_ref(&stdin) } else { &self.files };
        for file in files {
            if file.is_dir() {
                self.send_directory(file, sender, output)?;
                continue;
            }
            match self.send_file(file, sender, output) {
                Ok(()) => {}
                Err(Ended::Sending(failure)) => return Err(failure),
                Err(Ended::Input(error)) => {
                    let name = if *file == stdin { "standard input".to_owned() } else { file.display().to_string() };
                    return Err(Failure { exit: Exit::Usage, error: anyhow::Error::from(error).context(name) });
                }
            }
        }
        let missing = sender.ends.take().map(|ends| ends.missing()).unwrap_or_default();
        for marks in missing.chunks(1_000) {
            sender.send(of_records(marks)?, "the ends of runs", output)?;
        }
        Ok(())
    }

    /// Whether runs end with what is sent: a directory holds all that there is of them.
    fn ends_runs(&self) -> bool {
        self.end_runs || self.files.iter().any(|file| file.is_dir())
    }

    fn send_file(&self, file: &Path, sender: &mut Sender<'_>, output: &mut Output) -> Result<(), Ended<Failure>> {
        if file == Path::new("-") {
            return parts::each_part(io::stdin().lock(), |part| sender.send(part, "standard input", output));
        }
        let name = file.display().to_string();
        let open = File::open(file).with_context(|| format!("{name} cannot be read")).map_err(Failure::from);
        parts::each_part(open.map_err(Ended::Sending)?, |part| sender.send(part, &name, output))
    }

    /// A directory's files by name, the marks last. One that is no JSON, such as the one of the marks that two of
    /// Cloudmarker's processes wrote at once, counts as refused and keeps the others from nothing.
    fn send_directory(&self, directory: &Path, sender: &mut Sender<'_>, output: &mut Output) -> Result<(), Failure> {
        let mut files = Vec::new();
        let entries = fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("{} cannot be read", directory.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            let text = format!("{} has no .json file; allowed: files, or directories with such", directory.display());
            return Err(Failure::new(Exit::Usage, text));
        }
        files.sort_by_key(|path| (path.file_name().is_some_and(|name| name == MARKS), path.clone()));
        for file in files {
            match self.send_file(&file, sender, output) {
                Ok(()) => {}
                Err(Ended::Sending(failure)) => return Err(failure),
                Err(Ended::Input(error)) => {
                    sender.sent.refused += 1;
                    let error = anyhow::Error::from(error);
                    output::tell(&one_line(&format!("refused: {}: {error:#}", file.display())));
                }
            }
        }
        Ok(())
    }

    /// Waits for the deliveries of each incident; returns whether all were delivered.
    fn wait_for(&self, client: &Client, ids: &[String], output: &mut Output) -> Result<bool, Failure> {
        let begin = clock::monotonic();
        let mut all_delivered = true;
        for id in ids {
            let rest = self.timeout.saturating_sub(begin.elapsed());
            let story = follow(client, id, rest)?;
            all_delivered &= why::is_delivered(&story);
            if self.json {
                output.json_line(&json!({ "id": id, "ending": story["ending"], "deliveries": story["deliveries"] }))?;
            } else {
                output.text(&why::endings(&story))?;
            }
            output.flush()?;
        }
        Ok(all_delivered)
    }
}

/// Asks for the story until no delivery waits for its first answer, or the time is over.
pub(crate) fn follow(client: &Client, id: &str, limit: Duration) -> Result<Value, Failure> {
    let begin = clock::monotonic();
    loop {
        let question = Question::get(format!("/api/v1/incidents/{}/why", encoded(id)));
        let story = client.ask_patiently(&question, limit)?.json()?;
        if why::is_settled(&story) || begin.elapsed() >= limit {
            return Ok(story);
        }
        client.rest(LOOK_EVERY);
    }
}

/// What was sent so far.
#[derive(Debug, Default)]
struct Sent {
    accepted: usize,
    refused: usize,
    /// Of what was accepted; only where somebody waits for it.
    ids: Vec<String>,
}

struct Sender<'a> {
    send: &'a Send,
    client: Client,
    key: String,
    parts: usize,
    sent: Sent,
    /// Of the runs that are to end with what is sent.
    ends: Option<Ends>,
}

impl Sender<'_> {
    fn send(&mut self, part: Part, file: &str, output: &mut Output) -> Result<(), Failure> {
        if let Some(ends) = &mut self.ends {
            ends.see(&part.body);
        }
        // Each request needs a key of its own; the first one keeps the user's.
        let key = if self.parts == 0 { self.key.clone() } else { format!("{}-{}", self.key, self.parts) };
        self.parts += 1;
        let question = Question {
            method: Method::POST,
            path: format!("/api/v1/incidents?on_error={}", self.send.on_error.as_str()),
            body: Some((part.content_type, part.body)),
            idempotency_key: Some(key),
        };
        let reply = self.client.ask_patiently(&question, self.send.timeout)?;
        let receipt = receipt(&reply)?;
        output::progress_ends();
        if self.send.json {
            output.json_line(&receipt)?;
        }
        for result in receipt["results"].as_array().into_iter().flatten() {
            self.tell(result, &part.items, file, output)?;
        }
        output.flush()?;
        if self.parts > 1 {
            output::progress(&format!("{} accepted, {} refused", self.sent.accepted, self.sent.refused));
        }
        Ok(())
    }

    fn tell(&mut self, result: &Value, items: &[Item], file: &str, output: &mut Output) -> Result<(), Failure> {
        let index = result["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        let item = index.and_then(|index| items.get(index));
        let place = item.map_or("an item", |item| item.place.as_str());
        let place = if file.is_empty() { place.to_owned() } else { format!("{file}, {place}") };
        match result["status"].as_str() {
            Some("accepted") => {
                self.sent.accepted += 1;
                let id = result["id"].as_str().unwrap_or_default();
                if self.send.wait {
                    self.sent.ids.push(id.to_owned());
                }
                if !self.send.json {
                    let severity = result["severity"].as_str().unwrap_or_default();
                    let title = item.map(|item| item.title.as_str()).unwrap_or_default();
                    output.line(&one_line(&format!("accepted {id} {severity} {title}")))?;
                }
                for note in result["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    output::tell(&format!("note: {place}: {note}"));
                }
            }
            Some("refused") => {
                self.sent.refused += 1;
                output::tell(&format!("refused: {place}: {}", reasons(result)));
            }
            _ => {
                self.sent.refused += 1;
                output::tell(&format!("left out: {place}: another item of the request is no good"));
            }
        }
        Ok(())
    }
}

/// Records that are made here, as one request.
fn of_records(records: &[Value]) -> Result<Part, Failure> {
    let item = |(index, record): (usize, &Value)| Item {
        place: format!("item {}", index + 1),
        title: record["com"]["record_type"].as_str().unwrap_or_default().to_owned(),
    };
    let items = records.iter().enumerate().map(item).collect();
    let body = Bytes::from(serde_json::to_vec(records).context("the records are no JSON")?);
    Ok(Part { content_type: parts::JSON, body, items })
}

/// The receipt, also of a request of which something was refused.
fn receipt(reply: &Reply) -> Result<Value, Failure> {
    let value: Option<Value> = serde_json::from_slice(&reply.body).ok();
    match value {
        Some(value) if value.get("results").is_some() => Ok(value),
        _ if reply.status == StatusCode::BAD_REQUEST || reply.status == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Failure { exit: Exit::Refused, ..reply.failure() })
        }
        _ if reply.status.is_success() => {
            Err(Failure::new(Exit::Failed, "the answer is no receipt; is this the address of a balefire server?"))
        }
        _ => Err(reply.failure()),
    }
}

/// What is wrong with an item.
fn reasons(result: &Value) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for error in result["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        let field = if text("field").is_empty() { String::new() } else { format!("{}: ", text("field")) };
        let hint = if text("hint").is_empty() { String::new() } else { format!("; {}", text("hint")) };
        reasons.push(format!("{field}found {}; allowed: {}{hint}", text("found"), text("allowed")));
    }
    if let Some(more) = result["errors_left_out"].as_u64() {
        reasons.push(format!("and {more} more"));
    }
    one_line(&reasons.join(" | ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_field_found_and_allowed() {
        let result = json!({ "status": "refused", "index": 0, "errors_left_out": 2, "errors": [
            { "field": "severity", "found": "a number (3)", "allowed": "critical, high", "hint": "write \"high\"" },
            { "found": "x\u{1b}", "allowed": "an object" },
        ]});
        let expected = "severity: found a number (3); allowed: critical, high; write \"high\" | found x\\u{1b}; \
                        allowed: an object | and 2 more";
        assert_eq!(reasons(&result), expected);
    }

    #[test]
    fn a_bad_body_is_a_refusal_and_a_bad_token_a_failure() {
        let reply = |status, body: &str| Reply { status, retry_after: None, body: Bytes::from(body.to_owned()) };
        let exit = |status, body| receipt(&reply(status, body)).unwrap_err().exit;
        assert_eq!(exit(StatusCode::BAD_REQUEST, "{\"detail\":\"body: found nothing\"}"), Exit::Refused);
        assert_eq!(exit(StatusCode::UNAUTHORIZED, "{\"detail\":\"no token\"}"), Exit::Failed);
        assert!(receipt(&reply(StatusCode::BAD_REQUEST, "{\"results\":[]}")).is_ok());
    }
}
