//! What the tests of the engine are made of: a time, and incidents that differ in their number and severity.

use balefire_model::incident::Extra;
use balefire_model::{Fingerprint, Incident, IncidentId, Severity};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// So many seconds after the tests begin.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + seconds)
}

/// Its id is of version 7, as all are: the age of an incident is in it.
pub fn incident(number: u32, severity: Severity) -> Arc<Incident> {
    let first = uuid::Builder::from_unix_timestamp_millis(1_800_000_000_000, &[0; 10]).into_uuid();
    Arc::new(Incident {
        id: IncidentId(Uuid::from_u128(first.as_u128() | u128::from(number))),
        title: format!("incident {number}"),
        severity,
        severity_original: None,
        detected_by: "test".to_owned(),
        description: String::new(),
        nist_controls: Vec::new(),
        cui_involved: false,
        incident_id: None,
        events: Vec::new(),
        labels: BTreeMap::new(),
        fingerprint: Fingerprint(format!("f{number}")),
        source: "test".to_owned(),
        event_time: None,
        received_at: at(0),
        notes: Vec::new(),
        run: None,
        internal_scan: None,
        extra: Extra::default(),
    })
}
