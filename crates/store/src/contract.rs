//! What every journal must do, whatever it is made of: one suite for the segment files and for the simulator's disk.
//! Knows only the seam.

use balefire_model::{AppendError, Entry, Journal, Position, Stored};
use jiff::Timestamp;

/// A journal under test, with whatever it is kept in.
pub trait Subject {
    /// The journal.
    fn journal(&mut self) -> &mut dyn Journal;

    /// Ends the process that holds the journal, without a farewell, and opens it again as the next process would.
    fn reopen(&mut self);
}

/// Runs the whole contract; `make` gives a new, empty journal for each law.
///
/// # Panics
/// Where a law is broken, with its name and what was seen.
pub fn check(make: &mut dyn FnMut() -> Box<dyn Subject>) {
    for law in LAWS {
        law(&mut *make());
    }
}

type Law = fn(&mut dyn Subject);

const LAWS: &[Law] = &[
    a_new_journal_is_empty,
    positions_count_up_and_survive_reopening,
    a_wrong_expectation_appends_nothing,
    what_was_appended_reads_back_equal,
    reading_starts_where_it_is_told_and_stops_when_it_is_told,
    an_empty_append_changes_nothing,
    a_large_payload_is_kept,
    a_record_that_is_too_large_is_refused_and_harmless,
];

fn entry(number: u32) -> Entry {
    let at = Timestamp::from_microsecond(1_790_000_000_123_456 + i64::from(number)).expect("a time in 2026");
    let kind = u16::try_from(number % 13 + 1).expect("small");
    Entry { kind, at, payload: format!("{{\"number\":{number}}}").into_bytes() }
}

fn entries(numbers: std::ops::Range<u32>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

fn append(subject: &mut dyn Subject, entries: &[Entry]) -> Position {
    let expected = subject.journal().position();
    subject.journal().append(expected, entries).expect("an append with the right expectation works")
}

fn read(subject: &mut dyn Subject, from: u64) -> Vec<Stored> {
    let mut all = Vec::new();
    let each = &mut |stored| {
        all.push(stored);
        true
    };
    subject.journal().read(Position(from), each).expect("a sound journal can be read");
    all
}

fn stored(from: u64, entries: &[Entry]) -> Vec<Stored> {
    (from..)
        .zip(entries)
        .map(|(position, entry)| Stored { position: Position(position), entry: entry.clone() })
        .collect()
}

fn a_new_journal_is_empty(subject: &mut dyn Subject) {
    for _ in 0..2 {
        assert_eq!(subject.journal().position(), Position(0), "a new journal is empty");
        assert_eq!(read(subject, 0), [], "a new journal is empty");
        assert_eq!(read(subject, 7), [], "reading past the end gives nothing");
        subject.reopen();
    }
}

fn positions_count_up_and_survive_reopening(subject: &mut dyn Subject) {
    assert_eq!(append(subject, &entries(0..3)), Position(3), "append returns the position after the batch");
    assert_eq!(subject.journal().position(), Position(3), "the position is the number of records");
    subject.reopen();
    assert_eq!(subject.journal().position(), Position(3), "the position survives");
    assert_eq!(append(subject, &entries(3..4)), Position(4), "appending goes on after reopening");
}

fn a_wrong_expectation_appends_nothing(subject: &mut dyn Subject) {
    append(subject, &entries(0..2));
    for wrong in [0, 1, 3] {
        let refused = subject.journal().append(Position(wrong), &entries(7..9));
        let is_conflict = matches!(&refused, Err(AppendError::Conflict { expected, actual })
            if *expected == Position(wrong) && *actual == Position(2));
        assert!(is_conflict, "a wrong expectation is a conflict: {refused:?}");
    }
    assert_eq!(read(subject, 0), stored(0, &entries(0..2)), "a conflict appends nothing");
    assert_eq!(append(subject, &entries(2..3)), Position(3), "a conflict does no harm");
    subject.reopen();
    assert_eq!(read(subject, 0), stored(0, &entries(0..3)), "a conflict appends nothing");
}

fn what_was_appended_reads_back_equal(subject: &mut dyn Subject) {
    let mut all = entries(0..40);
    all[3].payload.clear();
    all[4].payload = (0..=255).collect();
    all[5].kind = u16::MAX;
    all[6].kind = 0;
    all[7].at = Timestamp::UNIX_EPOCH;
    all[8].at = Timestamp::from_microsecond(-1).expect("a time in 1969");
    for batch in [0..1, 1..10, 10..40] {
        append(subject, &all[batch]);
    }
    assert_eq!(read(subject, 0), stored(0, &all), "what was appended reads back equal");
    for _ in 0..2 {
        subject.reopen();
        assert_eq!(read(subject, 0), stored(0, &all), "what was appended reads back equal after reopening");
    }
}

fn reading_starts_where_it_is_told_and_stops_when_it_is_told(subject: &mut dyn Subject) {
    let all = entries(0..20);
    append(subject, &all[..11]);
    append(subject, &all[11..]);
    for from in 0..=20 {
        let at = usize::try_from(from).expect("small");
        assert_eq!(read(subject, from), stored(from, &all[at..]), "reading starts at record {from}");
    }
    let mut seen = 0;
    let each = &mut |_| {
        seen += 1;
        seen < 5
    };
    subject.journal().read(Position(2), each).expect("a sound journal can be read");
    assert_eq!(seen, 5, "reading stops when it is told");
}

fn an_empty_append_changes_nothing(subject: &mut dyn Subject) {
    assert_eq!(append(subject, &[]), Position(0), "an empty append changes nothing");
    append(subject, &entries(0..2));
    assert_eq!(append(subject, &[]), Position(2), "an empty append changes nothing");
    let wrong = subject.journal().append(Position(1), &[]);
    assert!(matches!(wrong, Err(AppendError::Conflict { .. })), "an empty append checks the expectation: {wrong:?}");
    subject.reopen();
    assert_eq!(read(subject, 0), stored(0, &entries(0..2)), "an empty append changes nothing");
}

fn a_large_payload_is_kept(subject: &mut dyn Subject) {
    let mut all = entries(0..3);
    all[1].payload = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    append(subject, &all);
    subject.reopen();
    assert!(read(subject, 0) == stored(0, &all), "a payload of 12 MB is kept");
    assert!(read(subject, 2) == stored(2, &all[2..]), "and what stands after it is found");
}

fn a_record_that_is_too_large_is_refused_and_harmless(subject: &mut dyn Subject) {
    append(subject, &entries(0..1));
    let mut large = entries(1..3);
    large[1].payload = vec![b' '; (64 << 20) + 1];
    let refused = subject.journal().append(Position(1), &large);
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "64 MiB is the limit of a record: {refused:?}");
    assert_eq!(append(subject, &entries(1..2)), Position(2), "a refused record does no harm");
    subject.reopen();
    assert_eq!(read(subject, 0), stored(0, &entries(0..2)), "nothing of a refused batch is kept");
}
