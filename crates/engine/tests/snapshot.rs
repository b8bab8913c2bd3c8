//! When a snapshot is taken: often enough for a start to be quick, and never one that a journal would refuse.

use balefire_engine::{DedupSettings, Engine, Input, Settings, Submission};
use balefire_model::{Record, Severity};
use made::{at, incident};
use std::sync::Arc;

mod made;

/// Whether 60,000 records lead to a snapshot, where the memory holds a text of this length.
fn is_taken(bytes: usize) -> bool {
    let mut engine = Engine::default();
    // Nothing is known again: what is remembered for that would have the snapshot come later.
    let dedup = DedupSettings { window: None, ..DedupSettings::default() };
    let settings = Settings { digest: "d".repeat(bytes), dedup, ..Settings::default() };
    let configured = engine.step(at(0), Input::Configure(Arc::new(settings)));
    let incidents = (0..30_000).map(|number| incident(number, Severity::High)).collect();
    let submission = Submission { incidents, ..Submission::default() };
    let submitted = engine.step(at(0), Input::Submit(submission));
    let records = configured.records.iter().chain(&submitted.records);
    records.filter(|record| matches!(record, Record::Snapshot(_))).count() == 1
}

#[test]
fn a_memory_that_no_record_of_a_journal_can_hold_is_not_written_into_one() {
    assert!(is_taken(1 << 10));
    assert!(is_taken(63 << 20));
    assert!(!is_taken(64 << 20), "a journal refuses records of more than 64 MiB, and the server ends");
}
