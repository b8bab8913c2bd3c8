//! Format version 1, byte for byte, for ever: journals that were written yesterday are read and continued tomorrow.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::{Entry, Journal, Position};
use balefire_store::journal::{FORMAT_VERSION, FileJournal, JournalOptions, JournalReader};
use jiff::Timestamp;
use std::path::Path;

const SEGMENT: &str = "00000000000000000000.seg";
const GOLDEN: &[u8] = include_bytes!("golden/journal-v1/00000000000000000000.seg");

fn entry(kind: u16, at_us: i64, payload: &[u8]) -> Entry {
    Entry { kind, at: Timestamp::from_microsecond(at_us).unwrap(), payload: payload.to_vec() }
}

fn batches() -> [Vec<Entry>; 3] {
    [
        vec![entry(1, 1_790_000_000_000_001, br#"{"version":"0.1.0"}"#)],
        vec![
            entry(3, 1_790_000_000_000_002, r#"{"title":"größer","severity":"high"}"#.as_bytes()),
            entry(4, 1_790_000_000_000_002, b"{}"),
            entry(65_535, -1, b""),
        ],
        vec![entry(10, 1_790_000_000_000_003, br#"{"open":[]}"#)],
    ]
}

fn write(dir: &Path) -> Vec<u8> {
    let (mut journal, _) = FileJournal::open(dir, JournalOptions::default()).unwrap();
    for batch in batches() {
        journal.append(journal.position(), &batch).unwrap();
    }
    // Closed first, so that nothing is reserved.
    drop(journal);
    std::fs::read(dir.join(SEGMENT)).unwrap()
}

#[test]
fn version_1_is_written_byte_for_byte() {
    assert_eq!(FORMAT_VERSION, 1, "a new version gets a golden file of its own, beside this one");
    let dir = tempfile::tempdir().unwrap();
    let bytes = write(dir.path());
    if bytes != GOLDEN {
        let seen = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journal-v1.seg");
        std::fs::write(&seen, &bytes).unwrap();
        panic!("the journal's format has changed; what is written now: {}", seen.display());
    }
}

#[test]
fn version_1_is_read_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(SEGMENT), GOLDEN).unwrap();
    let (mut journal, opened) = FileJournal::open(dir.path(), JournalOptions::default()).unwrap();
    assert!(opened.cut.is_none());
    assert_eq!(opened.snapshot.unwrap().entry, batches()[2][0]);
    let mut seen = Vec::new();
    journal
        .read(Position(0), &mut |stored| {
            seen.push(stored.entry);
            true
        })
        .unwrap();
    assert_eq!(seen, batches().concat());
    journal.append(Position(5), &batches()[0]).unwrap();
    let stat = JournalReader::open(dir.path()).unwrap();
    assert_eq!(stat.stat().position, Position(6));
    assert_eq!(stat.stat().segments[0].created, Some(batches()[0][0].at));
}

#[test]
fn a_version_from_the_future_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = GOLDEN.to_vec();
    bytes[8] = 2;
    std::fs::write(dir.path().join(SEGMENT), bytes).unwrap();
    let refused = FileJournal::open(dir.path(), JournalOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("has format version 2") && refused.contains("reads 1"), "{refused}");
}
