//! When a snapshot is taken: often enough for a start to be quick, and never one that a journal would refuse.

use balefire_engine::{Engine, Input, Settings, Submission};
use balefire_model::incident::Extra;
use balefire_model::{Fingerprint, Incident, IncidentId, Record, Severity};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

fn incident(number: u128) -> Arc<Incident> {
    Arc::new(Incident {
        id: IncidentId(uuid::Uuid::from_u128(number)),
        title: format!("incident {number}"),
        severity: Severity::High,
        severity_original: None,
        detected_by: "test".to_owned(),
        description: String::new(),
        nist_controls: Vec::new(),
        cui_involved: false,
        incident_id: None,
        events: Vec::new(),
        labels: BTreeMap::new(),
        fingerprint: Fingerprint("f".to_owned()),
        source: "test".to_owned(),
        event_time: None,
        received_at: Timestamp::UNIX_EPOCH,
        notes: Vec::new(),
        extra: Extra::default(),
    })
}

/// Whether 60,000 records lead to a snapshot, where the memory holds a text of this length.
fn is_taken(bytes: usize) -> bool {
    let mut engine = Engine::default();
    let settings = Settings { digest: "d".repeat(bytes), ..Settings::default() };
    let configured = engine.step(Timestamp::UNIX_EPOCH, Input::Configure(Arc::new(settings)));
    let incidents = (0..30_000).map(incident).collect();
    let submission = Submission { incidents, ..Submission::default() };
    let submitted = engine.step(Timestamp::UNIX_EPOCH, Input::Submit(submission));
    let records = configured.records.iter().chain(&submitted.records);
    records.filter(|record| matches!(record, Record::Snapshot(_))).count() == 1
}

#[test]
fn a_memory_that_no_record_of_a_journal_can_hold_is_not_written_into_one() {
    assert!(is_taken(1 << 10));
    assert!(is_taken(63 << 20));
    assert!(!is_taken(64 << 20), "a journal refuses records of more than 64 MiB, and the server ends");
}
