//! The records of one run on their way in: what names no run becomes part of this one, between marks of its own. Knows no
//! process and no file.

use super::patience::{self, Stopped};
use crate::reception::{Declined, ItemResult, OnError, Parcel, Receipt, Reception};
use crate::{clock, ids};
use balefire_engine::{Idempotency, Submission};
use balefire_intake::Draft;
use balefire_intake::formats::Format;
use balefire_intake::formats::json::Shape;
use balefire_intake::lines::{Line, LineSplitter};
use balefire_intake::normalise::{Context, normalise};
use balefire_model::id::hex;
use balefire_model::text::{cut, one_line};
use balefire_model::{Incident, RunKey, RunMark, RunPart, Severity};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// How much is read at once, and at most handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// As much of a refusal as is quoted.
const REFUSAL_BYTES_MAX: usize = 300;
/// Refusals that are logged one by one.
const LOGGED_MAX: u64 = 10;

/// What was taken of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// What was wrong first.
    pub(super) trouble: Option<String>,
}

/// Takes the records of one run.
pub(super) struct Taker {
    reception: Reception,
    source: String,
    run: RunKey,
    started: Timestamp,
    /// The mark of the begin is accepted, together with the first record that needed it.
    has_begun: bool,
    /// There are records that name their own run.
    has_own: bool,
    taken: Taken,
    stop: watch::Receiver<bool>,
}

impl Taker {
    /// For the run of the schedule `source` that was started at `started`.
    pub(super) fn new(reception: Reception, source: String, started: Timestamp, stop: watch::Receiver<bool>) -> Taker {
        let version = started.strftime("%Y%m%d_%H%M%S").to_string();
        let run = RunKey { key: source.clone(), version, worker: String::new() };
        let taken = Taken::default();
        Taker { reception, source, run, started, has_begun: false, has_own: false, taken, stop }
    }

    /// Takes lines until the pipe is at its end, each an object.
    pub(super) async fn take_lines(&mut self, mut pipe: impl AsyncRead + Unpin) -> Result<(), Stopped> {
        let mut splitter = LineSplitter::new(self.reception.limits.item_bytes_max, 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // A pipe that fails is at its end.
            let count = pipe.read(&mut chunk).await.unwrap_or(0);
            let mut body = Vec::with_capacity(count);
            let mut too_long = Vec::new();
            let mut hold = |line: Line<'_>| match line.content {
                Ok(content) => {
                    body.extend_from_slice(&content);
                    body.push(b'\n');
                }
                Err(error) => too_long.push(error),
            };
            match count {
                0 => splitter.finish().into_iter().for_each(&mut hold),
                count => splitter.push(&chunk[..count], hold),
            }
            too_long.iter().for_each(|error| self.refuse(1, &error.to_string()));
            if !body.trim_ascii().is_empty() {
                self.take(&body, Shape::Ndjson, None).await?;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Takes objects. With a `key` that is the same for the same part of the run, a repeat is harmless.
    pub(super) async fn take(&mut self, body: &[u8], shape: Shape, key: Option<&str>) -> Result<(), Stopped> {
        let idempotency = key.map(|key| self.idempotency(key, body));
        loop {
            let (mut adopted, mut has_own) = (false, false);
            let begin = (!self.has_begun).then(|| self.mark(RunMark::Begin));
            let part = RunPart { run: self.run.clone(), mark: RunMark::Record };
            let amend = |incidents: &mut Vec<Arc<Incident>>| {
                for incident in incidents.iter_mut() {
                    if incident.run.is_some() {
                        has_own = true;
                    } else {
                        Arc::make_mut(incident).run = Some(part.clone());
                        adopted = true;
                    }
                }
                if adopted && let Some(begin) = begin {
                    incidents.insert(0, begin);
                }
            };
            let source = self.source.as_str();
            let (on_error, format) = (OnError::Keep, Format::Auto);
            let parcel = Parcel { body, shape, format, source, on_error, idempotency: idempotency.clone(), read: None };
            match self.reception.take_amended(parcel, amend).await {
                Ok(receipt) => {
                    self.has_begun |= adopted;
                    self.has_own |= has_own;
                    self.count(receipt);
                    return Ok(());
                }
                Err(declined @ (Declined::Body(_) | Declined::KeyReused)) => {
                    self.refuse(1, &declined.to_string());
                    return Ok(());
                }
                Err(declined) => patience::rest(patience::after(&declined), &mut self.stop).await?,
            }
        }
    }

    /// Closes the run, where it did not come with marks of its own.
    pub(super) async fn finish(mut self) -> Result<Taken, Stopped> {
        let mut incidents = Vec::new();
        if !self.has_begun && !self.has_own {
            incidents.push(self.mark(RunMark::Begin));
        }
        if self.has_begun || !self.has_own {
            incidents.push(self.mark(RunMark::End));
        }
        while !incidents.is_empty() {
            let idempotency = Some(self.idempotency("end", b""));
            let submission = Submission { incidents: incidents.clone(), idempotency, ..Submission::default() };
            match self.reception.submit(submission, 1024).await {
                Ok(_) => break,
                Err(declined @ (Declined::Body(_) | Declined::KeyReused)) => {
                    self.refuse(1, &declined.to_string());
                    break;
                }
                Err(declined) => patience::rest(patience::after(&declined), &mut self.stop).await?,
            }
        }
        Ok(self.taken)
    }

    /// Notes something that could not be taken.
    pub(super) fn refuse(&mut self, count: u64, why: &str) {
        let why = cut(&one_line(why), REFUSAL_BYTES_MAX).into_owned();
        if self.taken.refused < LOGGED_MAX {
            tracing::error!(schedule = self.source, why, "record of a run refused");
        }
        self.taken.refused += count;
        self.taken.trouble.get_or_insert(why);
    }

    fn count(&mut self, receipt: Receipt) {
        self.taken.accepted += receipt.accepted as u64;
        for result in receipt.results {
            if let ItemResult::Refused { line, errors, .. } = result {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                self.refuse(1, &format!("{place}{}", errors.join(" | ")));
            }
        }
    }

    fn idempotency(&self, part: &str, body: &[u8]) -> Idempotency {
        let key = format!("{}\0schedule\n{}\n{part}", self.source, self.started);
        Idempotency { key: hex(&Sha256::digest(key.as_bytes())), body: hex(&Sha256::digest(body)) }
    }

    fn mark(&self, mark: RunMark) -> Arc<Incident> {
        let RunKey { key, version, .. } = &self.run;
        let (word, record_type) = match mark {
            RunMark::End => ("ends", "end_audit"),
            RunMark::Begin | RunMark::Record => ("begins", "begin_audit"),
        };
        let labels = [("audit_key", key.as_str()), ("audit_version", version), ("record_type", record_type)];
        let draft = Draft {
            title: format!("Run {key} {version} {word}"),
            severity: Some(Severity::Info.to_string()),
            detected_by: Some("balefire.schedule".to_owned()),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Draft::default()
        };
        let (received_at, severity_default) = (clock::now(), Severity::Info);
        let context = Context { id: ids::incident(), source: &self.source, received_at, severity_default };
        let run = Some(RunPart { run: self.run.clone(), mark });
        Arc::new(Incident { run, ..normalise(draft, &context) })
    }
}
