//! What is told of a scheduled run, as incidents in words: that it begins, that it is over, and what goes wrong with it.
//! Decides nothing.

use crate::config::Schedule;
use crate::{clock, environment, ids};
use balefire_engine::OWN_SOURCE;
use balefire_intake::Draft;
use balefire_intake::normalise::{Context, normalise};
use balefire_model::text::{cut, one_line};
use balefire_model::{Fingerprint, Incident, Severity};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Which rule found it.
pub(super) const RUN_FAILED: &str = "balefire.run_failed";
/// Who says that one begins.
const SCHEDULE_STARTED: &str = "balefire.schedule_started";
/// Who says that one is over, however it went.
const SCHEDULE_ENDED: &str = "balefire.schedule_ended";

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

/// What a run came to.
pub(super) struct Over<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    /// How many records were taken.
    pub(super) accepted: u64,
    /// What was wrong; none where it succeeded.
    pub(super) fault: Option<&'a str>,
}

/// A run begins.
pub(super) fn started(schedule: &Schedule, at: Timestamp) -> Arc<Incident> {
    let title = format!("Scheduled run {} has begun", schedule.name);
    notice(
        SCHEDULE_STARTED,
        title,
        vec![format!("About: {}", schedule.name), format!("Started: {}", local(at))],
        schedule,
    )
}

/// A run is over.
pub(super) fn over(over: &Over<'_>) -> Arc<Incident> {
    let Over { schedule, started, ended, accepted, fault } = over;
    let name = schedule.name.as_str();
    let took = Duration::try_from(ended.duration_since(*started)).unwrap_or_default().as_secs();
    let (hours, minutes, seconds) = (took / 3600, took / 60 % 60, took % 60);
    let mut lines = vec![
        format!("About: {name}"),
        format!("Started: {}", local(*started)),
        format!("Ended: {}", local(*ended)),
        format!("Duration: {hours:02} h {minutes:02} m {seconds:02} s"),
    ];
    lines.extend((*accepted > 0).then(|| format!("Records taken: {accepted}")));
    lines.push(fault.map_or_else(|| "It succeeded.".to_owned(), |fault| format!("It failed: {}", one_line(fault))));
    let what = if fault.is_some() { "has failed" } else { "has succeeded" };
    notice(SCHEDULE_ENDED, format!("Scheduled run {name} {what}"), lines, schedule)
}

/// By the machine's own clock, as people there read it.
fn local(at: Timestamp) -> String {
    at.to_zoned(environment::host().zone).strftime("%Y-%m-%d %H:%M:%S %z (%Z)").to_string()
}

fn notice(found: &str, title: String, lines: Vec<String>, schedule: &Schedule) -> Arc<Incident> {
    let name = schedule.name.as_str();
    finished(Draft {
        title,
        severity: Some(Severity::Info.to_string()),
        detected_by: Some(found.to_owned()),
        description: lines.join("\n"),
        labels: [("schedule".to_owned(), name.to_owned())].into_iter().collect(),
        fingerprint: Some(Fingerprint::derive(found, "", [("schedule", name)].into_iter()).0),
        ..Draft::default()
    })
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
    finished(Draft {
        title: cut(&format!("Scheduled run {name} {}", one_line(&what)), TITLE_BYTES_MAX).into_owned(),
        severity: Some(Severity::High.to_string()),
        detected_by: Some(RUN_FAILED.to_owned()),
        description: description.join("\n"),
        nist_controls: vec!["3.3.4".to_owned()],
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        fingerprint: Some(Fingerprint::derive(RUN_FAILED, "", [("schedule", name)].into_iter()).0),
        ..Draft::default()
    })
}

fn finished(draft: Draft) -> Arc<Incident> {
    let (received_at, severity_default) = (clock::now(), Severity::High);
    let context = Context { id: ids::incident(), source: OWN_SOURCE, received_at, severity_default };
    Arc::new(normalise(draft, &context))
}
