//! A disk without room: the append is refused, nothing is lost, and the journal goes on when there is room again.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::{AppendError, Entry, Journal, Position};
use balefire_store::journal::{FileJournal, JournalOptions};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::process::Command;

const DIR: &str = "BALEFIRE_TEST_JOURNAL_DIR";

fn entry(bytes: usize) -> Entry {
    Entry { kind: 3, at: Timestamp::UNIX_EPOCH, payload: vec![b' '; bytes] }
}

fn fill(dir: &Path) -> u64 {
    let (mut journal, opened) = FileJournal::open(dir, JournalOptions::default()).unwrap();
    assert_eq!(opened.position, Position(0));
    let mut appended = 0;
    loop {
        match journal.append(Position(appended), &[entry(1500), entry(1500)]) {
            Ok(end) => appended = end.0,
            Err(AppendError::Full { place, .. }) => {
                assert!(place.ends_with(".seg"), "{place}");
                break;
            }
            Err(other) => panic!("{other}: {}", std::error::Error::source(&other).unwrap()),
        }
    }
    assert_eq!(journal.position(), Position(appended));
    // Still usable: a smaller record fits.
    let end = journal.append(Position(appended), &[entry(10)]).unwrap();
    assert!(matches!(journal.append(end, &[entry(30_000)]), Err(AppendError::Full { .. })));
    journal.append(end, &[entry(20)]).unwrap().0
}

#[test]
#[ignore = "a part of the test below, which starts it in a process whose files cannot grow"]
fn child() {
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    let records = fill(&dir);
    std::fs::write(dir.join("records"), records.to_string()).unwrap();
}

#[test]
fn an_append_without_room_is_refused_and_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // 50 blocks of 512 bytes. The signal that comes with the limit would end the process.
    let script = r#"trap '' XFSZ; ulimit -f 50; exec "$0" --exact child --ignored --test-threads 1"#;
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, dir.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let records: u64 = std::fs::read_to_string(dir.path().join("records")).unwrap().parse().unwrap();
    let (mut journal, opened) = FileJournal::open(dir.path(), JournalOptions::default()).unwrap();
    assert!(opened.cut.is_none());
    assert_eq!(opened.position, Position(records));
    assert_eq!(journal.append(opened.position, &[entry(100_000)]).unwrap(), Position(records + 1));
}
