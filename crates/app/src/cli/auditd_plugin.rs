//! `balefire auditd-plugin`: a plugin that auditd starts and gives every record on standard input. Tells the server when auditd
//! ends or stops to write, and keeps the records meanwhile. What it finds is decided in the crate `watch`.

use super::client::{Question, Reach};
use super::output::Output;
use super::{Exit, Failure, Place};
use crate::watch::PLUGIN;
use crate::{clock, environment};
use balefire_model::text::one_line;
use balefire_watch::{Plugin, PluginEnd, PluginTold};
use bytes::Bytes;
use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A longer line is cut: no record of the kernel is.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// As many records wait between the pipe and the loop; then the pipe waits, which auditd has a queue for.
const LINES_MAX: usize = 4096;

/// As much waits to be told; there are a few things to tell in a day.
const TOLD_MAX: usize = 64;

/// As many bytes of alerts wait on the disk for the server; what comes after that is only said on standard error.
const UNSENT_BYTES_MAX: u64 = 1 << 20;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often alerts that wait are tried again.
const TRY_EVERY: Duration = Duration::from_secs(15);

const EXPLAINED: &str = "\
auditd starts it: see packaging/auditd/balefire.conf, which goes to /etc/audit/plugins.d. It runs as root there.

It keeps records below --spool while auditd does not write its log: those that auditd gives out while it has suspended its
log, and those that were not written yet when it ended. Alerts go to the server; those that cannot be sent wait below
--spool, and are sent when the server is there, or by the next plugin.";

/// Watch auditd as its plugin: told at once when it ends or stops to write, with the records kept
#[derive(Debug, Args)]
#[command(after_help = EXPLAINED)]
pub(crate) struct AuditdPlugin {
    /// The directory for records while auditd does not write them
    #[arg(long, value_name = "DIR", default_value = "/var/spool/balefire/auditd")]
    spool: PathBuf,
    /// How many MiB of records are kept there
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    spool_mib: u64,
    /// The log that auditd writes
    #[arg(long, value_name = "FILE", default_value = "/var/log/audit/audit.log")]
    log: PathBuf,
    #[command(flatten)]
    reach: Reach,
}

impl AuditdPlugin {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        // A mistake in the configuration is told at once, and not with the first alert.
        place.client(&self.reach)?;
        let (tell, told) = sync_channel(TOLD_MAX);
        let unsent = self.spool.join("unsent.jsonl");
        let teller = Teller { place: place.clone(), reach: self.reach.clone(), unsent };
        let teller = thread::Builder::new().name("teller".to_owned()).spawn(move || teller.run(&told));
        let teller = teller.map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))?;
        let plugin = Plugin::new(&self.log, self.spool.clone(), self.spool_mib << 20);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
        let watched = runtime.block_on(watch(plugin, tell));
        // The thread at the pipe ends with the process.
        runtime.shutdown_background();
        if teller.join().is_err() {
            return Err(Failure::new(Exit::Failed, "the thread that tells the server ended too soon"));
        }
        let count = watched.map_err(|error| Failure::new(Exit::Failed, format!("cannot watch auditd: {error}")))?;
        output.line(&format!("auditd ended after {count} records"))?;
        Ok(Exit::Done)
    }
}

/// Until auditd ends: how many records it gave.
async fn watch(mut plugin: Plugin, tell: SyncSender<Value>) -> io::Result<u64> {
    let mut ended = signal(SignalKind::terminate())?;
    let (send, mut lines) = mpsc::channel(LINES_MAX);
    thread::Builder::new().name("pipe".to_owned()).spawn(move || read_lines(io::stdin().lock(), &send))?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut end = PluginEnd::Broken;
    let host = environment::host().name;
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => plugin.take(clock::moment(), &line),
                None => break,
            },
            _ = ended.recv() => {
                end = PluginEnd::Orderly;
                break;
            }
            _ = looks.tick() => match plugin.look(clock::moment()) {
                Ok(found) => found.iter().for_each(|found| queue(&tell, incident(found, &host))),
                Err(error) => complain(&format!("records cannot be kept: {error}")),
            },
        }
    }
    // What is still in the pipe came before the end.
    while let Ok(line) = lines.try_recv() {
        plugin.take(clock::moment(), &line);
    }
    match plugin.end(end) {
        Ok(found) => queue(&tell, incident(&found, &host)),
        Err(error) => complain(&format!("the last records cannot be kept: {error}")),
    }
    Ok(plugin.count())
}

fn read_lines(mut pipe: impl BufRead, lines: &mpsc::Sender<String>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return complain(&format!("read standard input: {error}")),
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\0']);
        if !text.is_empty() && lines.blocking_send(text.to_owned()).is_err() {
            return;
        }
    }
}

fn queue(tell: &SyncSender<Value>, incident: Value) {
    if tell.try_send(incident).is_err() {
        complain("an alert is lost: too many wait to be sent");
    }
}

/// auditd writes what its plugins say on standard error into the journal of the system.
fn complain(what: &str) {
    super::output::tell(&format!("auditd-plugin: {}", one_line(what)));
}

/// What is sent to the server, under the names that watchers use, so that their routes take it, too. The end of a failure
/// has the fingerprint of its begin, and ends it.
fn incident(told: &PluginTold, host: &str) -> Value {
    let at = clock::now().to_string();
    let matter = |id: &str| format!("auditd-plugin {id} {host}");
    match told {
        PluginTold::Began(failure) => {
            let mut labels = json!({ "watcher": PLUGIN, "failure": failure.id, "change": "began" });
            for (name, value) in &failure.labels {
                labels[name] = json!(value);
            }
            json!({
                "title": failure.summary,
                "severity": failure.severity.to_string(),
                "detected_by": format!("watch.{}", failure.id),
                "fingerprint": matter(&failure.id),
                "description": format!("Cause: {}\nWhat to do: {}", failure.cause, failure.remediation),
                "nist_controls": ["3.3.4"],
                "timestamp": at,
                "labels": labels,
            })
        }
        PluginTold::Over(id, proof) => json!({
            "title": format!("Over: auditd writes its log again: {proof}"),
            "severity": "info",
            "status": "resolved",
            "detected_by": format!("watch.{id}"),
            "fingerprint": matter(id),
            "nist_controls": ["3.3.4"],
            "timestamp": at,
            "labels": { "watcher": PLUGIN, "failure": id, "change": "over" },
        }),
    }
}

/// Sends what is to be told, or keeps it on the disk until it can.
struct Teller {
    place: Place,
    reach: Reach,
    unsent: PathBuf,
}

impl Teller {
    /// Until nobody has anything to tell any more.
    fn run(&self, told: &Receiver<Value>) {
        self.send_unsent();
        loop {
            match told.recv_timeout(TRY_EVERY) {
                Ok(incident) => {
                    let line = incident.to_string();
                    if !self.send(&line) {
                        self.keep(&line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.send_unsent(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn send(&self, line: &str) -> bool {
        let question = Question {
            body: Some(("application/json", Bytes::from(line.to_owned()))),
            ..Question::post("/api/v1/incidents".to_owned())
        };
        // Looked for each time: auditd starts before everything else and runs for months, and the server may move meanwhile.
        let client = self.place.client(&self.reach);
        match client.and_then(|client| client.ask(&question).map_err(Failure::from)) {
            Ok(reply) if reply.status.is_success() => true,
            // What the server will never take is not sent for ever.
            Ok(reply) if reply.status == StatusCode::BAD_REQUEST => {
                complain("the server does not understand an alert");
                true
            }
            Ok(reply) => {
                complain(&format!("the server does not take an alert: {}", reply.status));
                false
            }
            Err(error) => {
                complain(&error.error.to_string());
                false
            }
        }
    }

    fn keep(&self, line: &str) {
        if let Err(error) = keep(&self.unsent, line) {
            complain(&format!("an alert is lost: {}: {error}: {line}", self.unsent.display()));
        }
    }

    /// What waits on the disk, the oldest first.
    fn send_unsent(&self) {
        let Ok(text) = fs::read_to_string(&self.unsent) else { return };
        let left: Vec<&str> = text.lines().skip_while(|line| self.send(line)).collect();
        let rest: String = left.iter().map(|line| format!("{line}\n")).collect();
        let part = self.unsent.with_extension("part");
        let written = match rest.is_empty() {
            true => fs::remove_file(&self.unsent),
            false => fs::write(&part, rest).and_then(|()| fs::rename(&part, &self.unsent)),
        };
        if let Err(error) = written {
            complain(&format!("{}: {error}", self.unsent.display()));
        }
    }
}

/// One more line, on the disk when this returns.
fn keep(path: &Path, line: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    if file.metadata()?.len() + line.len() as u64 > UNSENT_BYTES_MAX {
        return Err(io::Error::other("too many alerts wait there"));
    }
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_length_and_bytes_are_read_without_end_of_memory() {
        let (send, mut lines) = mpsc::channel(100);
        let mut input = b"type=A msg=audit(1.2:3): \xff\n\n".to_vec();
        input.extend(vec![b'x'; LINE_BYTES_MAX as usize + 5]);
        input.extend(b"\ntype=B\0\n");
        read_lines(&input[..], &send);
        let mut lengths = Vec::new();
        while let Ok(line) = lines.try_recv() {
            lengths.push(line.chars().count());
        }
        assert_eq!(lengths, [26, LINE_BYTES_MAX as usize, 5, 6]);
    }

    #[test]
    fn alerts_that_wait_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool/unsent.jsonl");
        keep(&path, "{}").unwrap();
        keep(&path, "{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n{}\n");
        assert!(keep(&path, &"x".repeat(UNSENT_BYTES_MAX as usize)).is_err());
    }

    #[test]
    fn the_end_of_a_failure_is_known_to_end_its_beginning_and_routes_of_watchers_take_both() {
        let dir = tempfile::tempdir().unwrap();
        let mut plugin = Plugin::new(Path::new("/nowhere"), dir.path().to_owned(), 1 << 20);
        let began = incident(&plugin.end(PluginEnd::Broken).unwrap(), "web-1");
        let over = incident(&PluginTold::Over("audit.owner_lost", "it is".to_owned()), "web-1");
        assert_eq!((&began["detected_by"], &began["fingerprint"]), (&over["detected_by"], &over["fingerprint"]));
        assert_eq!((&began["detected_by"], &over["status"]), (&json!("watch.audit.owner_lost"), &json!("resolved")));
        let elsewhere = incident(&PluginTold::Over("audit.owner_lost", "it is".to_owned()), "web-2");
        assert_ne!(began["fingerprint"], elsewhere["fingerprint"], "no machine ends what another one told");
        assert_eq!(began["labels"]["audit_end"], "killed");
    }
}
