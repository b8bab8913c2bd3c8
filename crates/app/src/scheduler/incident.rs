//! What goes wrong with a scheduled run, as an incident in words. Decides nothing.

use crate::config::Schedule;
use crate::{clock, ids};
use balefire_engine::OWN_SOURCE;
use balefire_intake::Draft;
use balefire_intake::normalise::{Context, normalise};
use balefire_model::text::{cut, one_line};
use balefire_model::{Fingerprint, Incident, Severity};
use std::sync::Arc;

/// Which rule found it.
pub(super) const RUN_FAILED: &str = "balefire.run_failed";

/// As much of what was wrong as stands in a title.
const TITLE_BYTES_MAX: usize = 200;

/// What was wrong.
pub(super) struct Failure<'a> {
    pub(super) schedule: &'a Schedule,
    /// One word for the label `cause`.
    pub(super) cause: &'static str,
    /// What became of the run, for the title: `failed: exit code 3`.
    pub(super) what: String,
    pub(super) exit_code: Option<i32>,
    /// Lines of the description.
    pub(super) lines: Vec<String>,
}

/// The incident. All failures of one schedule have one fingerprint.
pub(super) fn failed(failure: Failure<'_>) -> Arc<Incident> {
    let Failure { schedule, cause, what, exit_code, lines } = failure;
    let name = schedule.name.as_str();
    // Arguments may hold what nobody else is to see; the program's name says enough.
    let program = schedule.command.first().map(String::as_str).unwrap_or_default();
    let mut description = vec![format!("Program {}, {}.", one_line(program), schedule.rules.timetable.text())];
    description.extend(lines);
    let mut labels = vec![("schedule", name.to_owned()), ("cause", cause.to_owned())];
    labels.extend(exit_code.map(|code| ("exit_code", code.to_string())));
    let draft = Draft {
        title: cut(&format!("Scheduled run {name} {}", one_line(&what)), TITLE_BYTES_MAX).into_owned(),
        severity: Some(Severity::High.to_string()),
        detected_by: Some(RUN_FAILED.to_owned()),
        description: description.join("\n"),
        nist_controls: vec!["3.3.4".to_owned()],
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        fingerprint: Some(Fingerprint::derive(RUN_FAILED, "", [("schedule", name)].into_iter()).0),
        ..Draft::default()
    };
    let (received_at, severity_default) = (clock::now(), Severity::High);
    let context = Context { id: ids::incident(), source: OWN_SOURCE, received_at, severity_default };
    Arc::new(normalise(draft, &context))
}
