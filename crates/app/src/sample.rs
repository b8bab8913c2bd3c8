//! The incident that a test of a channel sends.

use balefire_model::{Fingerprint, Incident, IncidentId, Severity};
use jiff::Timestamp;
use std::collections::BTreeMap;

pub(crate) fn test_incident(id: IncidentId, now: Timestamp, channel: &str, by: &str) -> Incident {
    let title = format!("Test of channel {channel}");
    let detected_by = "balefire.test".to_owned();
    Incident {
        id,
        severity: Severity::Info,
        severity_original: None,
        description: format!("This is a test; nothing has happened. It was asked for by {by}."),
        nist_controls: Vec::new(),
        cui_involved: false,
        incident_id: None,
        events: Vec::new(),
        labels: BTreeMap::new(),
        fingerprint: Fingerprint::derive(&detected_by, &title, std::iter::empty()),
        title,
        detected_by,
        source: "balefire".to_owned(),
        event_time: None,
        received_at: now,
        notes: Vec::new(),
        run: None,
        internal_scan: None,
        extra: balefire_model::incident::Extra::default(),
    }
}
