//! What is told of a watcher, as incidents in words: that something is wrong, is worse, is over or has happened, that a watcher
//! is retired, and drills. Decides nothing.

use crate::ids;
use balefire_engine::{OWN_SOURCE, WATCH_RULE};
use balefire_intake::Draft;
use balefire_intake::normalise::{Context, normalise};
use balefire_model::incident::Extra;
use balefire_model::text::{cut, lines, one_line};
use balefire_model::{Fingerprint, Incident, IncidentId, Severity};
use balefire_watch::{Change, What};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How bad a drill is: as a failure that somebody must see the same hour.
const DRILL_SEVERITY: Severity = Severity::High;

/// As much of a summary as stands in a title.
const TITLE_BYTES_MAX: usize = 300;
/// As much of a label's value as is kept.
const LABEL_BYTES_MAX: usize = 500;
/// As much of a cause, a cure or a proof as is shown.
const TEXT_BYTES_MAX: usize = 4000;

/// What is told about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) target: &'a str,
}

/// The incident that tells of a change.
pub(super) fn of(subject: Subject<'_>, change: &Change, now: Timestamp) -> Arc<Incident> {
    let failure = &change.failure;
    let rule = rule(&failure.id);
    let (word, prefix) = match change.what {
        What::Began => ("began", ""),
        What::Worse => ("worse", "Still: "),
        What::Over(_) => ("over", "Over: "),
        What::Happened => ("happened", ""),
    };
    let mut labels: BTreeMap<String, String> =
        failure.labels.iter().map(|(name, value)| (cut(&one_line(name), 80).into_owned(), label(value))).collect();
    labels.extend(about(subject));
    let mut set = |name: &str, value: String| _ = labels.insert(name.to_owned(), label(&value));
    set("failure", failure.id.clone());
    set("change", word.to_owned());
    set("detected", change.detected.to_string());
    set("first_bad", failure.first_bad.unwrap_or(change.detected).to_string());
    if let Some(loss) = &failure.loss {
        set("loss", loss.count.to_string());
        set("loss_unit", loss.unit.clone());
    }
    if let Some(parent) = &change.because_of {
        set("parent", parent.clone());
    }
    if matches!(change.what, What::Over(_)) {
        set("lasted", change.lasted.as_secs().to_string());
    }
    let is_over = matches!(change.what, What::Over(_));
    // What has no end is known again only where it is the same: two rules that were deleted are two matters.
    let distinct = if change.what == What::Happened { failure.summary.as_str() } else { failure.of.as_str() };
    finished(
        now,
        Draft {
            title: cut(&format!("{prefix}{}", one_line(&failure.summary)), TITLE_BYTES_MAX).into_owned(),
            severity: Some(if is_over { Severity::Info } else { change.severity }.to_string()),
            fingerprint: Some(fingerprint(&rule, distinct, subject.name)),
            detected_by: Some(rule),
            description: description(subject, change),
            labels,
            event_time: failure.first_bad,
            extra: if is_over { over() } else { Extra::default() },
            ..Draft::default()
        },
    )
}

fn description(subject: Subject<'_>, change: &Change) -> String {
    let failure = &change.failure;
    let text = |text: &str| cut(&lines(text), TEXT_BYTES_MAX).into_owned();
    let mut said = vec![format!("Watcher: {} ({})", one_line(subject.name), one_line(subject.target))];
    said.push(format!("What: {}", text(&failure.summary)));
    said.extend((!failure.cause.is_empty()).then(|| format!("Cause: {}", text(&failure.cause))));
    said.extend((!failure.remediation.is_empty()).then(|| format!("What to do: {}", text(&failure.remediation))));
    said.extend(failure.first_bad.map(|at| format!("Bad since: {at:.3}")));
    said.push(format!("Detected: {:.3}", change.detected));
    said.extend(failure.loss.as_ref().map(|loss| format!("Lost: {} {}", loss.count, one_line(&loss.unit))));
    said.extend(change.because_of.as_ref().map(|parent| format!("Explained by: {}", one_line(parent))));
    match &change.what {
        What::Began | What::Happened => {}
        What::Worse => said.push(format!("It has lasted: {}", shown(change.lasted))),
        What::Over(proof) => {
            said.push(format!("It lasted: {}", shown(change.lasted)));
            said.push(format!("How that is known: {}", text(proof)));
        }
    }
    said.join("\n")
}

/// Under which rule a failure is found. What concerns the watcher itself has that name already.
fn rule(failure: &str) -> String {
    if failure.starts_with(WATCH_RULE) { failure.to_owned() } else { format!("{WATCH_RULE}{failure}") }
}

/// Why what told of a failure is over, for the record of that.
pub(super) fn ending(change: &Change) -> String {
    let proof = if let What::Over(proof) = &change.what { proof.as_str() } else { "" };
    cut(&format!("it lasted {}; {}", shown(change.lasted), one_line(proof)), TEXT_BYTES_MAX).into_owned()
}

/// Somebody says that a watcher is not expected any more.
pub(super) fn retired(subject: Subject<'_>, (by, comment): (&str, &str), now: Timestamp) -> Arc<Incident> {
    let rule = format!("{WATCH_RULE}retired");
    let mut description = vec![format!("Watcher: {} ({})", one_line(subject.name), one_line(subject.target))];
    description.push(format!("Retired by: {}", one_line(by)));
    description.extend((!comment.is_empty()).then(|| format!("Why: {}", lines(comment))));
    let mut labels = about(subject);
    labels.insert("failure".to_owned(), "watch.retired".to_owned());
    labels.insert("change".to_owned(), "happened".to_owned());
    labels.insert("by".to_owned(), label(by));
    finished(
        now,
        Draft {
            title: cut(&format!("{} is not expected any more", one_line(subject.name)), TITLE_BYTES_MAX).into_owned(),
            severity: Some(Severity::Info.to_string()),
            fingerprint: Some(fingerprint(&rule, &now.to_string(), subject.name)),
            detected_by: Some(rule),
            description: description.join("\n"),
            labels,
            ..Draft::default()
        },
    )
}

/// A drill: what would be told if this watcher failed, marked as what it is. With `began` of the drill, its end.
pub(super) fn drill(
    subject: Subject<'_>,
    by: &str,
    (began, now): (Timestamp, Timestamp),
    is_over: bool,
) -> Arc<Incident> {
    let rule = format!("{WATCH_RULE}drill");
    let name = one_line(subject.name);
    let (title, word) = match is_over {
        false => (format!("DRILL: {name} would be failing"), "began"),
        true => (format!("DRILL is over: {name}"), "over"),
    };
    let description = [
        "This is a drill: nothing has failed. It shows that an alert of this watcher reaches whom it must reach."
            .into(),
        format!("Watcher: {name} ({})", one_line(subject.target)),
        format!("Asked for by: {}", one_line(by)),
        format!("Began: {began:.3}"),
    ];
    let mut labels = about(subject);
    let more = [("failure", "watch.drill"), ("change", word), ("drill", "true"), ("by", by)];
    labels.extend(more.map(|(name, value)| (name.to_owned(), label(value))));
    labels.insert("detected".to_owned(), began.to_string());
    finished(
        now,
        Draft {
            title: cut(&title, TITLE_BYTES_MAX).into_owned(),
            severity: Some(if is_over { Severity::Info } else { DRILL_SEVERITY }.to_string()),
            // Each drill is a matter of its own: none is a repeat of the one before.
            fingerprint: Some(fingerprint(&rule, &began.to_string(), subject.name)),
            detected_by: Some(rule),
            description: description.join("\n"),
            labels,
            extra: if is_over { over() } else { Extra::default() },
            ..Draft::default()
        },
    )
}

/// What a failure of audit logging looks like to routes, to find out who would hear of it.
pub(crate) fn sample(now: Timestamp) -> Incident {
    let draft = Draft {
        title: "audit.owner_lost".to_owned(),
        severity: Some(Severity::High.to_string()),
        detected_by: Some(format!("{WATCH_RULE}audit.owner_lost")),
        nist_controls: controls(),
        labels: about(Subject { name: "kernel.owner", kind: "kernel", target: "auditd" }),
        ..Draft::default()
    };
    let id = IncidentId::derive(now, "watch");
    normalise(draft, &Context { id, source: OWN_SOURCE, received_at: now, severity_default: Severity::High })
}

fn about(subject: Subject<'_>) -> BTreeMap<String, String> {
    let labels = [("watcher", subject.name), ("kind", subject.kind), ("target", subject.target)];
    labels.into_iter().map(|(name, value)| (name.to_owned(), label(value))).collect()
}

fn controls() -> Vec<String> {
    vec!["3.3.4".to_owned()]
}

fn label(value: &str) -> String {
    cut(&one_line(value), LABEL_BYTES_MAX).into_owned()
}

fn fingerprint(rule: &str, distinct: &str, watcher: &str) -> String {
    Fingerprint::derive(rule, distinct, [("watcher", watcher)].into_iter()).0
}

/// The field by which an event says that what it is about is over.
fn over() -> Extra {
    let word = RawValue::from_string("\"resolved\"".to_owned()).expect("this is JSON");
    Extra(vec![("status".to_owned(), word)])
}

fn finished(now: Timestamp, draft: Draft) -> Arc<Incident> {
    let draft = Draft { nist_controls: controls(), ..draft };
    let (received_at, severity_default) = (now, Severity::High);
    Arc::new(normalise(draft, &Context { id: ids::incident(), source: OWN_SOURCE, received_at, severity_default }))
}

/// A time that something took.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let rounded = if seconds == 0 { time } else { Duration::from_secs(seconds) };
    format!("{:#}", SignedDuration::try_from(rounded).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_watch::Failure;

    const SUBJECT: Subject<'_> = Subject { name: "file:/a", kind: "file", target: "/a" };

    fn change(what: What) -> Change {
        let at: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        let failure = Failure::new("file.truncated", Severity::High, "/a: 4096 bytes are gone")
            .caused_by("somebody \u{1b}[31mwrote\nhere")
            .losing(4096, "bytes")
            .labelled("host", "web\n-1");
        let lasted = Duration::from_secs(75);
        Change {
            watcher: "file:/a".to_owned(),
            what,
            failure,
            severity: Severity::High,
            detected: at,
            lasted,
            because_of: None,
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T02:01:15Z".parse().unwrap()
    }

    #[test]
    fn a_failure_has_all_that_the_control_asks_for() {
        let told = of(SUBJECT, &change(What::Began), now());
        assert_eq!((told.detected_by.as_str(), told.severity), ("watch.file.truncated", Severity::High));
        assert_eq!((told.nist_controls.as_slice(), told.says_over()), (["3.3.4".to_owned()].as_slice(), false));
        let label = |name: &str| told.labels.get(name).map(String::as_str);
        let expected = [
            ("watcher", "file:/a"),
            ("kind", "file"),
            ("target", "/a"),
            ("failure", "file.truncated"),
            ("change", "began"),
            ("detected", "2026-11-22T02:00:00Z"),
            ("first_bad", "2026-11-22T02:00:00Z"),
            ("loss", "4096"),
            ("loss_unit", "bytes"),
            ("host", "web\\n-1"),
        ];
        expected.iter().for_each(|(name, value)| assert_eq!(label(name), Some(*value), "{name}"));
        assert!(!told.description.contains('\u{1b}'), "{}", told.description);
    }

    #[test]
    fn the_end_names_its_proof_and_ends_what_was_told_under_the_same_fingerprint() {
        let (began, over) = (of(SUBJECT, &change(What::Began), now()), change(What::Over("it grows".to_owned())));
        let told = of(SUBJECT, &over, now());
        assert_eq!((told.says_over(), told.severity), (true, Severity::Info));
        assert_eq!(told.fingerprint, began.fingerprint);
        assert_eq!(told.labels["lasted"], "75");
        assert!(told.description.ends_with("It lasted: 1m 15s\nHow that is known: it grows"), "{}", told.description);
        assert_eq!(ending(&over), "it lasted 1m 15s; it grows");
    }

    #[test]
    fn what_becomes_worse_is_the_same_matter_and_what_happens_twice_differently_is_two() {
        let (began, worse) = (of(SUBJECT, &change(What::Began), now()), of(SUBJECT, &change(What::Worse), now()));
        assert_eq!(began.fingerprint, worse.fingerprint);
        let mut other = change(What::Began);
        other.failure.of = "fw-02".to_owned();
        assert_ne!(of(SUBJECT, &other, now()).fingerprint, began.fingerprint, "another thing is another matter");
        let first = change(What::Happened);
        let mut second = first.clone();
        second.failure.summary.push('!');
        assert_ne!(of(SUBJECT, &first, now()).fingerprint, of(SUBJECT, &second, now()).fingerprint);
    }

    #[test]
    fn a_drill_says_that_it_is_one_and_no_two_are_the_same_matter() {
        let began = drill(SUBJECT, "anna", (now(), now()), false);
        assert!(began.title.starts_with("DRILL"), "{}", began.title);
        assert_eq!((began.labels["drill"].as_str(), began.severity), ("true", DRILL_SEVERITY));
        let over = drill(SUBJECT, "anna", (now(), now()), true);
        assert!(over.says_over() && over.fingerprint == began.fingerprint && over.labels["drill"] == "true");
        let later = now() + SignedDuration::from_secs(60);
        assert_ne!(drill(SUBJECT, "anna", (later, later), false).fingerprint, began.fingerprint);
    }
}
