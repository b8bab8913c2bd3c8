//! A draft becomes an incident: defaults, severity, fingerprint, and notes on what was assumed. The same draft and
//! context give the same incident: the id and the time come from outside.

use crate::draft::{Assigned, Draft};
use crate::error::shown;
use balefire_model::{Fingerprint, Incident, IncidentId, Severity};
use jiff::Timestamp;

/// What we know of an incident beside what its sender said.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The new incident's id.
    pub id: IncidentId,
    /// Where it came from: the name of a token, a file or a listener.
    pub source: &'a str,
    /// When we took it in.
    pub received_at: Timestamp,
    /// What an unknown or missing severity counts as.
    pub severity_default: Severity,
}

/// The incident that a draft describes.
#[must_use]
pub fn normalise(draft: Draft, context: &Context<'_>) -> Incident {
    let mut notes = Vec::new();
    let severity = match (&draft.severity, &draft.assigned) {
        (None, Some(Assigned::Severity(severity))) => *severity,
        (None, Some(Assigned::Unknown(why))) => {
            notes.push(assumed(why, context.severity_default));
            context.severity_default
        }
        (word, _) => severity(word.as_deref(), context.severity_default, &mut notes),
    };
    let detected_by = draft.detected_by.unwrap_or_else(|| context.source.to_owned());
    let fingerprint = match draft.fingerprint {
        Some(own) => Fingerprint(own),
        None => {
            let labels = draft.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            Fingerprint::derive(&detected_by, &draft.title, labels)
        }
    };
    Incident {
        id: context.id,
        title: draft.title,
        severity,
        severity_original: draft.severity,
        detected_by,
        description: draft.description,
        nist_controls: draft.nist_controls,
        cui_involved: draft.cui_involved,
        incident_id: draft.incident_id,
        events: draft.events,
        labels: draft.labels,
        fingerprint,
        source: context.source.to_owned(),
        event_time: draft.event_time,
        received_at: context.received_at,
        notes,
        run: draft.run,
        // Not the sender's to say.
        internal_scan: None,
        extra: draft.extra,
    }
}

fn severity(word: Option<&str>, default: Severity, notes: &mut Vec<String>) -> Severity {
    let Some(word) = word else {
        notes.push(assumed("severity is missing", default));
        return default;
    };
    Severity::parse(word).unwrap_or_else(|| {
        notes.push(assumed(&format!("severity \"{}\" is unknown", shown(word)), default));
        default
    })
}

fn assumed(why: &str, default: Severity) -> String {
    format!("{why}; {default} was assumed")
}

/// Gives the incident a severity in place of one that was assumed, and takes the note on that back.
pub fn assign(incident: &mut Incident, severity: Severity) {
    let end = assumed("", incident.severity);
    incident.notes.retain(|note| !note.ends_with(&end));
    incident.severity = severity;
}
