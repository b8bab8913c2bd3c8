//! Sources that nobody expects: where the list names all that may send, whoever else does is told once.

use super::{OWN, fits};
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// As many are known by name; the next ones are told together, once.
const KNOWN_MAX: usize = 1_000;

/// Who is not expected.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) pattern: String,
    pub(super) except: Vec<String>,
    pub(super) named: Arc<[String]>,
    pub(super) severity: Severity,
}

impl Plan for Settings {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        // What cannot be read is told again.
        let told = kept.and_then(|kept| BTreeSet::deserialize(kept).ok()).unwrap_or_default();
        Box::new(Strangers { settings: self.clone(), told })
    }
}

struct Strangers {
    settings: Settings,
    told: BTreeSet<String>,
}

impl Watcher for Strangers {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let Settings { pattern, except, named, severity } = &self.settings;
        let is_expected = |name: &String| name == OWN || except.contains(name) || named.contains(name);
        let heard = around.sources();
        let strange = heard.iter().filter(|(name, _)| fits(pattern, name) && !is_expected(name));
        let mut events = Vec::new();
        let mut count = 0;
        for (name, heard) in strange {
            count += 1;
            if self.told.len() >= KNOWN_MAX || !self.told.insert(name.clone()) {
                continue;
            }
            let shown = cut(&one_line(name), 80).into_owned();
            let summary = match self.told.len() == KNOWN_MAX {
                true => format!("source {shown} is not expected; others that come now are not told any more"),
                false => format!("source {shown} is not expected and has sent {} events", heard.count),
            };
            let failure = Failure::new("source.unknown", *severity, summary)
                .caused_by("no entry of `watch.source` names it")
                .cured_by("find out whose it is; then give it an entry, or name it in `except`, or revoke its token")
                .since(heard.last.wall)
                .labelled("source_name", name.clone())
                .of(name.clone());
            events.push(failure);
        }
        Look::ok(format!("{} sources, {count} of them not expected, at {:.0}", heard.len(), now.wall)).with(events)
    }

    fn memory(&self) -> Option<Value> {
        Some(serde_json::to_value(&self.told).expect("names are JSON"))
    }
}
