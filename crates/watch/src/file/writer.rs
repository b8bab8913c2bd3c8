//! Whether the program that must write a file has it open: gone, or with another file in its hands after a bad rotation. Pure.

use crate::look::{Failure, Moment};
use crate::sensors::content::Facts;
use crate::sensors::holders::Held;
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use std::io;
use std::time::Duration;

/// How often it is looked who writes the file, and how long a writer may hold another one after a rotation.
const EVERY: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(30);

/// What was seen of the writer last.
#[derive(Debug, Default)]
pub(super) struct Writer {
    asked: Option<Moment>,
    /// Since when it does not write to the file, and what it does instead.
    gone: Option<(Moment, String)>,
    blind: Option<String>,
}

impl Writer {
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.asked.is_none_or(|asked| now.since(asked) >= EVERY)
    }

    /// What the processes of its name hold open for writing.
    pub(super) fn take(&mut self, now: Moment, name: &str, seen: (&Facts, io::Result<Option<Vec<Held>>>)) {
        let (facts, held) = seen;
        self.asked = Some(now);
        let (gone, blind) = match held {
            Ok(held) => (absence(name, facts, held), None),
            Err(error) => (None, Some(format!("files of {name} in /proc: {error}"))),
        };
        self.blind = blind;
        let since = self.gone.take().map_or(now, |(since, _)| since);
        self.gone = gone.map(|why| (since, why));
    }

    /// Why nothing can be said of it.
    pub(super) fn blind(&self) -> Option<&str> {
        self.blind.as_deref()
    }

    /// Whether it was there when it was looked for last.
    pub(super) fn is_there(&self) -> bool {
        self.gone.is_none()
    }

    pub(super) fn failure(&self, now: Moment, name: &str, path: &str) -> Option<Failure> {
        let (since, why) = self.gone.as_ref().filter(|(since, _)| now.since(*since) >= GRACE)?;
        let failure = Failure::new("file.writer_gone", Severity::High, format!("{name} does not write {path}: {why}"));
        Some(failure.since(since.wall).caused_by(why.clone()).cured_by(format!("start {name}, or let it open {path}")))
    }
}

/// Why the writer does not write the file; none where it does.
fn absence(name: &str, facts: &Facts, held: Option<Vec<Held>>) -> Option<String> {
    let Some(held) = held else { return Some(format!("no process is called {name}")) };
    if held.iter().any(|held| (held.dev, held.ino) == (facts.dev, facts.ino)) {
        return None;
    }
    let others: Vec<String> = held.iter().take(3).map(|held| format!("{} of {}", held.path, held.pid)).collect();
    let others = if others.is_empty() { "no file".to_owned() } else { others.join(", ") };
    Some(cut(&one_line(&format!("it holds {others}")), 500).into_owned())
}
