//! The pack `windows`: what the event log says of itself, of what is audited, and of the clock.
//!
//! Source: Microsoft's lists of security audit events and of system events, and the events in the tests of Elastic's
//! integrations, <https://github.com/elastic/integrations>, read November 2026.

use super::windows_event::{Entry, MARKS};
use super::{Pack, Verdict};
use balefire_model::Severity;
use jiff::Timestamp;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &[
        "windows.cleared",
        "windows.stopped",
        "windows.dropped",
        "windows.filling",
        "windows.full",
        "windows.archived",
        "windows.error",
        "windows.policy",
        "windows.lost",
        "windows.crash_on_audit_fail",
        "windows.time",
    ],
    marks: MARKS,
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    let entry = Entry::of(event)?;
    match entry.channel.as_str() {
        "security" => security(&entry),
        "system" => system(&entry),
        _ => None,
    }
}

fn security(entry: &Entry<'_>) -> Option<Verdict> {
    let found = |failure, severity| Some(Verdict::new(failure, severity, entry.computer.clone()));
    match entry.id {
        1102 | 517 => found("windows.cleared", Severity::High),
        // A shutdown does it, too: the start that follows ends it.
        1100 => found("windows.stopped", Severity::Medium),
        4608 => Some(Verdict::over("windows.stopped", entry.computer.clone())),
        1101 | 1106 => found("windows.dropped", Severity::High),
        1103 => found("windows.filling", Severity::Medium),
        1104 => found("windows.full", Severity::Critical),
        // Nothing is lost: the log went on in a new file.
        1105 => found("windows.archived", Severity::Info),
        1108 => found("windows.error", Severity::Medium),
        4612 => found("windows.lost", Severity::Critical),
        4616 => time(entry, ("PreviousTime", 4), ("NewTime", 5)),
        4719 => policy(entry),
        4906 if entry.data("CrashOnAuditFailValue", 0).as_deref() == Some("1") => {
            Some(Verdict::over("windows.crash_on_audit_fail", entry.computer.clone()))
        }
        4906 => found("windows.crash_on_audit_fail", Severity::High),
        _ => None,
    }
}

fn system(entry: &Entry<'_>) -> Option<Verdict> {
    let computer = entry.computer.clone();
    match entry.id {
        1 if entry.provider.contains("kernel-general") => time(entry, ("OldTime", 1), ("NewTime", 0)),
        // Group policy and others have events of these numbers in the same log.
        _ if !entry.is_of("eventlog") => None,
        104 => Some(cleared(entry)),
        1100 => Some(Verdict::new("windows.stopped", Severity::Medium, computer)),
        1104 => Some(Verdict::new("windows.full", Severity::Critical, computer)),
        6005 => Some(Verdict::over("windows.stopped", computer)),
        _ => None,
    }
}

/// Some other log was cleared.
fn cleared(entry: &Entry<'_>) -> Verdict {
    // Beside the log's own `Channel` the event names the one that was cleared by the same word.
    let log = entry.inside("Channel", 2).unwrap_or_default().to_ascii_lowercase();
    let is_core = ["security", "system", "powershell", "sysmon"].iter().any(|core| log.contains(core));
    let severity = if is_core { Severity::High } else { Severity::Medium };
    Verdict::new("windows.cleared", severity, format!("{}/{log}", entry.computer))
}

/// What is audited was changed: `%%8448` and `%%8450` are taken away, `%%8449` and `%%8451` are added.
fn policy(entry: &Entry<'_>) -> Option<Verdict> {
    let changes = [("AuditPolicyChangesId", 7), ("AuditPolicyChanges", 7)];
    let changes = changes.iter().find_map(|(name, place)| entry.data(name, *place))?.to_ascii_lowercase();
    let what = entry.data("SubcategoryGuid", 6).or_else(|| entry.data("SubcategoryId", 5)).unwrap_or_default();
    let subject = format!("{}/{}", entry.computer, what.to_ascii_lowercase());
    let says = |words: [&str; 4]| words.iter().any(|word| changes.contains(word));
    if says(["%%8448", "%%8450", "success removed", "failure removed"]) {
        return Some(Verdict::new("windows.policy", Severity::High, subject));
    }
    says(["%%8449", "%%8451", "success added", "failure added"]).then(|| Verdict::over("windows.policy", subject))
}

/// Seconds; the time service corrects by less, all day long, and each of its corrections is an event.
const STEP: f64 = 2.0;
const STEP_HIGH: f64 = 60.0;

/// The clock was set. What the event does not say in full is no step.
fn time(entry: &Entry<'_>, (before, first): (&str, usize), (after, second): (&str, usize)) -> Option<Verdict> {
    let parsed = |name, place| entry.data(name, place)?.trim().parse::<Timestamp>().ok();
    let step = parsed(after, second)?.duration_since(parsed(before, first)?).as_secs_f64();
    if step.abs() < STEP {
        return None;
    }
    let is_slight = (0.0..STEP_HIGH).contains(&step);
    let severity = if is_slight { Severity::Medium } else { Severity::High };
    Some(Verdict::new("windows.time", severity, entry.computer.clone()))
}
