//! What a crash may leave behind is cut as a whole batch; what no crash explains is refused with its place.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::record::kind;
use balefire_model::{Entry, Journal, Position};
use balefire_store::journal::{FileJournal, JournalOptions, JournalReader, OpenError, Opened};
use jiff::Timestamp;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

const SEGMENT_HEADER: usize = 32;
const RECORD_HEADER: usize = 48;

fn entry(kind: u16, payload: Vec<u8>) -> Entry {
    Entry { kind, at: Timestamp::from_second(1_790_000_000).unwrap(), payload }
}

fn segment(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

fn open(dir: &Path) -> Result<(FileJournal, Opened), OpenError> {
    FileJournal::open(dir, JournalOptions::default())
}

/// A journal in one segment, and where in the file each batch ends.
struct Written {
    dir: tempfile::TempDir,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// After the header and after each batch: the offset and the number of records.
    ends: Vec<(usize, usize)>,
}

fn write(batches: &[Vec<Entry>]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let path = segment(dir.path(), 0);
    let mut ends = vec![(SEGMENT_HEADER, 0)];
    let mut offset = SEGMENT_HEADER;
    for batch in batches {
        let end = journal.append(journal.position(), batch).unwrap();
        offset += batch.iter().map(|entry| RECORD_HEADER + entry.payload.len()).sum::<usize>();
        ends.push((offset, usize::try_from(end.0).unwrap()));
    }
    drop(journal);
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes.len(), offset, "what was reserved is given back");
    Written { dir, entries: batches.concat(), bytes, ends }
}

fn small_batches() -> Written {
    let text = |number: usize| format!("{{\"number\":{number}}}").into_bytes();
    let batch = |from: usize, count: usize| (from..from + count).map(|n| entry(3, text(n))).collect();
    write(&[batch(0, 1), batch(1, 3), batch(4, 2), batch(6, 3), batch(9, 4)])
}

impl Written {
    /// Opens the journal with other bytes in its segment.
    fn open_with(&self, bytes: &[u8]) -> Result<(FileJournal, Opened), OpenError> {
        fs::write(segment(self.dir.path(), 0), bytes).unwrap();
        open(self.dir.path())
    }

    /// Checks that exactly the first `records` records are there.
    fn holds(&self, journal: &FileJournal, records: usize) {
        let mut seen = Vec::new();
        journal
            .read(Position(0), &mut |stored| {
                seen.push(stored.entry);
                true
            })
            .unwrap();
        assert_eq!(seen, self.entries[..records]);
    }
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_torn_batch_and_nothing_else() {
    let written = small_batches();
    for length in written.ends[2].0..=written.bytes.len() {
        let (journal, opened) = written.open_with(&written.bytes[..length]).unwrap();
        let (end, records) = *written.ends.iter().rfind(|(end, _)| *end <= length).unwrap();
        written.holds(&journal, records);
        assert_eq!(opened.position, Position(records as u64));
        assert_eq!(
            opened.cut.as_ref().map(|cut| (cut.offset, cut.bytes)),
            (length > end).then(|| { (end as u64, (length - end) as u64) })
        );
        if let Some(cut) = opened.cut {
            assert_eq!(fs::read(cut.kept.unwrap()).unwrap(), written.bytes[end..length]);
        }
        assert_eq!(fs::read(segment(written.dir.path(), 0)).unwrap(), written.bytes[..end]);
    }
}

/// What stays behind the last batch when the process is killed.
const RESERVED: usize = 5000;

#[test]
fn a_batch_torn_at_any_byte_inside_the_reserved_zeros_costs_nothing_else() {
    let written = small_batches();
    for length in written.ends[2].0..=written.bytes.len() {
        let bytes = [&written.bytes[..length], &[0; RESERVED]].concat();
        let (journal, opened) = written.open_with(&bytes).unwrap();
        let (end, records) = *written.ends.iter().rfind(|(end, _)| *end <= length).unwrap();
        written.holds(&journal, records);
        assert_eq!(opened.bytes, end as u64);
        assert_eq!(opened.cut.is_some(), length > end);
    }
}

#[test]
fn reserved_zeros_hide_no_damage() {
    let written = small_batches();
    for at in SEGMENT_HEADER..written.ends[4].0 {
        let mut bytes = [&written.bytes[..], &[0; RESERVED]].concat();
        bytes[at] ^= 0x80;
        let refused = written.open_with(&bytes).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{at}: {refused}");
    }
    let mut bytes = [&written.bytes[..], &[0; RESERVED]].concat();
    bytes[written.bytes.len() + 100] = 1;
    let (journal, opened) = written.open_with(&bytes).unwrap();
    written.holds(&journal, written.entries.len());
    assert_eq!(opened.cut.unwrap().bytes, RESERVED as u64, "what is not zero was written by somebody");
}

#[test]
fn what_a_killed_process_had_reserved_is_used_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = segment(dir.path(), 0);
    for n in 0..3 {
        let (mut journal, opened) = open(dir.path()).unwrap();
        assert_eq!((opened.position, opened.cut.is_none()), (Position(n), true));
        journal.append(Position(n), &[entry(3, vec![b'x'; 100])]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), (SEGMENT_HEADER + RECORD_HEADER + 100 + (256 << 10)) as u64);
        let stat = JournalReader::open(dir.path()).unwrap();
        assert_eq!(stat.stat().bytes, SEGMENT_HEADER as u64 + (n + 1) * (RECORD_HEADER as u64 + 100));
        // As a kill leaves it: the file's end with zeros.
        let killed = fs::read(&path).unwrap();
        drop(journal);
        fs::write(&path, killed).unwrap();
    }
}

#[test]
fn no_more_than_eight_cut_tails_are_kept() {
    let written = write(&(0..12).map(|n| vec![entry(3, vec![b'0'; n])]).collect::<Vec<_>>());
    for (end, _) in &written.ends[1..12] {
        written.open_with(&written.bytes[..end + 1]).unwrap();
    }
    let kept = |file: &fs::DirEntry| file.file_name().to_str().unwrap().starts_with("cut-");
    assert_eq!(fs::read_dir(written.dir.path()).unwrap().filter(|file| kept(file.as_ref().unwrap())).count(), 8);
}

#[test]
fn a_changed_byte_before_the_last_batch_is_refused_with_its_place() {
    let written = small_batches();
    let path = segment(written.dir.path(), 0).display().to_string();
    let last_batch = written.ends[4].0;
    let mut starts = vec![SEGMENT_HEADER];
    for entry in &written.entries {
        starts.push(starts.last().unwrap() + RECORD_HEADER + entry.payload.len());
    }
    for at in 0..last_batch {
        for mask in [0x01, 0x80, 0xff] {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= mask;
            let refused = written.open_with(&bytes).unwrap_err();
            let message = refused.to_string();
            match refused {
                OpenError::Version { .. } => assert!((8..12).contains(&at), "{message}"),
                OpenError::Damaged { offset, position, .. } if at >= SEGMENT_HEADER => {
                    let record = starts.iter().rposition(|start| *start <= at).unwrap();
                    assert_eq!((offset, position), (starts[record] as u64, Position(record as u64)), "{message}");
                    assert!(message.contains("balefire journal stat --data"), "{message}");
                }
                OpenError::Damaged { offset, .. } => assert!(offset < SEGMENT_HEADER as u64, "{message}"),
                other => panic!("byte {at}: {other}"),
            }
            assert!(message.contains(&path) && message.contains("byte "), "{message}");
            assert!(fs::read(segment(written.dir.path(), 0)).unwrap() == bytes, "a refused journal is not touched");
        }
    }
}

/// Ten records, one batch and one segment each.
fn ten_segments() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open(dir.path(), JournalOptions { segment_bytes: 1 }).unwrap();
    for n in 0..10_u8 {
        journal.append(Position(u64::from(n)), &[entry(3, vec![b'0' + n; 30])]).unwrap();
    }
    dir
}

#[test]
fn any_changed_byte_or_length_of_an_older_segment_is_refused() {
    let dir = ten_segments();
    let path = segment(dir.path(), 8);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        for broken in [changed, bytes[..at].to_vec()] {
            fs::write(&path, broken).unwrap();
            let refused = open(dir.path()).unwrap_err().to_string();
            assert!(refused.contains("0008.seg") || refused.contains("records 8 to 8 are missing"), "{at}: {refused}");
        }
    }
}

#[test]
fn a_missing_segment_is_named_by_the_records_that_it_held() {
    for (gone, message) in [(0, "records 0 to 0 are missing before"), (5, "records 5 to 5 are missing before")] {
        let dir = ten_segments();
        fs::remove_file(segment(dir.path(), gone)).unwrap();
        let refused = open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn a_renamed_segment_is_refused() {
    let dir = ten_segments();
    fs::rename(segment(dir.path(), 8), segment(dir.path(), 9)).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("records 8 to 8 are missing before"), "{refused}");
    fs::copy(segment(dir.path(), 9), segment(dir.path(), 8)).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("0009.seg is damaged at byte 16"), "{refused}");
    assert!(refused.contains("the header says that the segment begins with record 8"), "{refused}");
}

#[test]
fn a_segment_that_a_crash_left_without_a_record_is_made_anew() {
    let dir = ten_segments();
    let path = segment(dir.path(), 10);
    let header = fs::read(segment(dir.path(), 9)).unwrap()[..SEGMENT_HEADER].to_vec();
    for bytes in (0..SEGMENT_HEADER).map(|length| header[..length].to_vec()).chain([vec![0; SEGMENT_HEADER]]) {
        fs::write(&path, bytes).unwrap();
        let (mut journal, opened) = open(dir.path()).unwrap();
        assert_eq!((opened.position, opened.segments), (Position(10), 10));
        assert!(!path.exists());
        drop(opened);
        assert!(matches!(journal.append(Position(9), &[]), Err(balefire_model::AppendError::Conflict { .. })));
    }
}

#[test]
fn damage_is_reported_by_a_reader_that_still_reads_the_rest() {
    let dir = ten_segments();
    let path = segment(dir.path(), 4);
    let mut bytes = fs::read(&path).unwrap();
    bytes[SEGMENT_HEADER + RECORD_HEADER] ^= 1;
    fs::write(&path, bytes).unwrap();
    let reader = JournalReader::open(dir.path()).unwrap();
    let problems: Vec<_> =
        reader.stat().segments.iter().filter(|segment| segment.problem.is_some()).map(|s| s.from).collect();
    assert_eq!(problems, [Position(4)]);
    let problem = reader.stat().segments[4].problem.clone().unwrap();
    assert_eq!(problem, "damaged at byte 32, record 4: the payload does not match its checksum");
    let mut seen = 0;
    let refused = reader.read(Position(0), Position(10), &mut |_| {
        seen += 1;
        true
    });
    assert_eq!(seen, 4);
    assert!(refused.unwrap_err().to_string().contains("0004.seg"));
    assert_eq!(reader.read(Position(5), Position(10), &mut |_| true).unwrap(), Position(10));
}

#[test]
fn the_last_snapshot_is_found_unless_its_batch_was_torn() {
    let snapshot = |text: &str| entry(kind::SNAPSHOT, text.as_bytes().to_vec());
    let other = || entry(3, b"{}".to_vec());
    let written = write(&[vec![other(), snapshot("\"one\"")], vec![other()], vec![snapshot("\"two\""), other()]]);
    let (journal, opened) = written.open_with(&written.bytes).unwrap();
    let found = opened.snapshot.unwrap();
    assert_eq!((found.position, found.entry.payload.as_slice()), (Position(3), b"\"two\"".as_slice()));
    drop(journal);
    let (_journal, opened) = written.open_with(&written.bytes[..written.bytes.len() - 1]).unwrap();
    let found = opened.snapshot.unwrap();
    assert_eq!((found.position, found.entry.payload.as_slice()), (Position(1), b"\"one\"".as_slice()));
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300),
        2 => prop::collection::vec(any::<u8>(), 300..3000),
        // Looks like the beginning of a record.
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(|rest| [&[0x01, 0x1e, 0x02, 0x1f], &rest[..]].concat()),
        1 => (0_usize..2000).prop_map(|length| vec![0; length]),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let record = (any::<u16>(), payload()).prop_map(|(kind, payload)| entry(kind, payload));
    prop::collection::vec(prop::collection::vec(record, 1..8), 1..6)
}

/// What a power cut made of one sector of the batch that was being written.
#[derive(Clone, Copy, Debug)]
enum Sector {
    Written,
    Zero,
    Garbage(u8),
}

fn sector() -> impl Strategy<Value = Sector> {
    prop_oneof![3 => Just(Sector::Written), 2 => Just(Sector::Zero), 1 => any::<u8>().prop_map(Sector::Garbage)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_costs_at_most_the_batch_that_was_being_written(
        batches in batches(),
        sectors in prop::collection::vec(sector(), 48),
        kept in 0.0..=1.0_f64,
    ) {
        let written = write(&batches);
        let (durable, durable_records) = written.ends[written.ends.len() - 2];
        let mut torn = written.bytes.clone();
        for at in durable..torn.len() {
            match sectors[(at / 512) % sectors.len()] {
                Sector::Written => {}
                Sector::Zero => torn[at] = 0,
                Sector::Garbage(byte) => torn[at] = byte,
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "any length")]
        let length = durable + ((torn.len() - durable) as f64 * kept) as usize;
        torn.truncate(length);
        let records = if torn == written.bytes { written.entries.len() } else { durable_records };
        let (mut journal, opened) = written.open_with(&torn).unwrap();
        written.holds(&journal, records);
        let nothing_arrived = torn[durable..].iter().all(|byte| *byte == 0);
        prop_assert_eq!(opened.cut.is_some(), records == durable_records && !nothing_arrived);

        // And the journal goes on.
        let next = entry(3, b"{\"next\":true}".to_vec());
        let end = journal.append(opened.position, std::slice::from_ref(&next)).unwrap();
        drop(journal);
        let (journal, opened) = open(written.dir.path()).unwrap();
        prop_assert_eq!(opened.position, end);
        prop_assert_eq!(journal.reader().get(Position(end.0 - 1)).unwrap().entry, next);
    }
}
