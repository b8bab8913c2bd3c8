//! The journal's files keep the contract of the seam, and say clearly why they cannot be opened.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::{AppendError, Entry, Journal, Position, ReadError, Stored};
use balefire_store::contract::{self, Subject};
use balefire_store::journal::{FileJournal, JournalOptions, JournalReader, OpenError};
use jiff::Timestamp;
use std::path::Path;

fn entry(number: u64, payload_bytes: usize) -> Entry {
    let at = Timestamp::from_microsecond(1_790_000_000_000_000 + i64::try_from(number).unwrap()).unwrap();
    let mut payload = format!("{{\"number\":{number},\"text\":\"").into_bytes();
    payload.resize(payload.len().max(payload_bytes - 2), b'x');
    payload.extend_from_slice(b"\"}");
    Entry { kind: 3, at, payload }
}

fn open(dir: &Path, segment_bytes: u64) -> FileJournal {
    FileJournal::open(dir, JournalOptions { segment_bytes }).unwrap().0
}

fn read(journal: &FileJournal, from: u64) -> Vec<Stored> {
    let mut all = Vec::new();
    journal
        .read(Position(from), &mut |stored| {
            all.push(stored);
            true
        })
        .unwrap();
    all
}

struct Files {
    dir: tempfile::TempDir,
    segment_bytes: u64,
    journal: Option<FileJournal>,
}

impl Files {
    fn new(segment_bytes: u64) -> Files {
        let dir = tempfile::tempdir().unwrap();
        let journal = Some(open(&dir.path().join("journal"), segment_bytes));
        Files { dir, segment_bytes, journal }
    }
}

impl Subject for Files {
    fn journal(&mut self) -> &mut dyn Journal {
        self.journal.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.journal = None;
        self.journal = Some(open(&self.dir.path().join("journal"), self.segment_bytes));
    }
}

#[test]
fn files_keep_the_contract_in_one_segment_and_in_many() {
    for segment_bytes in [64 << 20, 4096, 1] {
        contract::check(&mut || Box::new(Files::new(segment_bytes)));
    }
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 4096);
    let refused = FileJournal::open(dir.path(), JournalOptions::default()).unwrap_err();
    assert!(matches!(&refused, OpenError::Locked { holder, .. } if *holder == std::process::id().to_string()));
    assert!(refused.to_string().contains("stop the other one"), "{refused}");
    drop(first);
    open(dir.path(), 4096);
}

#[test]
fn a_reader_sees_what_is_durable_and_fetches_any_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), 300_000);
    let reader = journal.reader();
    let sizes = [50, 900, 3, 70_000, 900, 200_000];
    let all: Vec<Entry> = (0..1_000).map(|n| entry(n, sizes[usize::try_from(n).unwrap() % 6])).collect();
    for batch in all.chunks(7) {
        let before = journal.position();
        assert_eq!(reader.position(), before);
        assert!(matches!(reader.get(before), Err(ReadError::Failed { .. })));
        journal.append(before, batch).unwrap();
    }
    let inspected = JournalReader::open(dir.path()).unwrap();
    assert!(inspected.stat().segments.len() > 50);
    assert!(inspected.stat().segments.iter().all(|segment| segment.problem.is_none()));
    drop(journal);
    for position in (0..1_000).rev().step_by(3).chain(0..20) {
        let wanted = &all[usize::try_from(position).unwrap()];
        assert_eq!(reader.get(Position(position)).unwrap().entry, *wanted);
        assert_eq!(inspected.get(Position(position)).unwrap().entry, *wanted);
    }
    let mut seen = Vec::new();
    let end = reader.clone().read(Position(123), Position(456), &mut |stored| {
        seen.push(stored);
        true
    });
    assert_eq!(end.unwrap(), Position(456));
    let expected: Vec<Stored> =
        (123..456).map(|n| Stored { position: Position(n), entry: all[usize::try_from(n).unwrap()].clone() }).collect();
    assert!(seen == expected);
}

#[test]
fn a_conflict_is_told_in_words() {
    let mut files = Files::new(4096);
    let refused = files.journal().append(Position(4), &[entry(0, 50)]).unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { .. }));
    assert_eq!(refused.to_string(), "journal is at position 0, not at 4: another writer has appended");
    assert!(read(files.journal.as_ref().unwrap(), 0).is_empty());
}

#[test]
fn a_reader_beside_the_writer_sees_every_record_once_and_whole() {
    const RECORDS: u64 = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), 100_000);
    let reader = journal.reader();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for first in (0..RECORDS).step_by(10) {
                let batch: Vec<Entry> = (first..first + 10).map(|number| entry(number, 500)).collect();
                journal.append(Position(first), &batch).unwrap();
            }
        });
        let mut next = 0;
        while next < RECORDS {
            let end = reader.read(Position(next), Position(RECORDS), &mut |stored| {
                assert_eq!(stored, Stored { position: Position(next), entry: entry(next, 500) });
                next += 1;
                true
            });
            assert_eq!(end.unwrap(), Position(next));
            assert_eq!(next % 10, 0, "a batch appears as a whole");
            std::thread::yield_now();
        }
    });
}
