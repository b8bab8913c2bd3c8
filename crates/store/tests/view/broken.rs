//! What somebody or something does to the files: each time a clear error or a view that goes on, never a wrong answer.

use crate::made::{self, DAY_MS, MIDNIGHT_MS, contents, journal, stored, view_of};
use balefire_model::record::kind;
use balefire_model::{Position, State};
use balefire_store::view::{Query, View, ViewError, ViewReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const DAY: &str = "2026-11-22.sqlite";

fn sql(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn another_schema_is_refused_with_the_way_out() {
    let records = journal(4, MIDNIGHT_MS, 1000);
    for (version, way_out) in [
        (
            3,
            "has schema 3, and this version of balefire knows up to 2: run the newer version, or `balefire rebuild` to build the view again with this one",
        ),
        (-1, "has schema -1, and this version of balefire needs 2: run `balefire rebuild`"),
    ] {
        for file in [DAY, "position.sqlite"] {
            let (dir, view) = view_of(&records[..8]);
            drop(view);
            sql(&dir.path().join(file), &format!("PRAGMA user_version = {version}"));
            let bytes = std::fs::read(dir.path().join(file)).unwrap();
            let reader = ViewReader::open(dir.path()).unwrap();
            let errors = [
                View::open(dir.path()).and_then(|mut view| view.apply(&stored(&records))).unwrap_err(),
                reader.list(&Query::default()).and_then(|_| reader.position()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.to_string(), format!("{} {way_out}", dir.path().join(file).display()));
                assert!(error.wants_rebuild());
            }
            assert_eq!(std::fs::read(dir.path().join(file)).unwrap(), bytes, "it was left as it was");
            View::wipe(dir.path()).unwrap();
            View::open(dir.path()).unwrap().apply(&stored(&records)).unwrap();
            assert_eq!(contents(dir.path()), contents(view_of(&records).0.path()));
        }
    }
}

#[test]
fn a_file_that_is_no_database_asks_for_a_rebuild() {
    let records = journal(4, MIDNIGHT_MS, 1000);
    for file in [DAY, "position.sqlite"] {
        let (dir, view) = view_of(&records[..8]);
        drop(view);
        std::fs::write(dir.path().join(file), "not a database, and longer than a header of SQLite ".repeat(100))
            .unwrap();
        let reader = ViewReader::open(dir.path()).unwrap();
        let errors = [
            View::open(dir.path()).and_then(|mut view| view.apply(&stored(&records))).unwrap_err(),
            reader.list(&Query::default()).and_then(|_| reader.position()).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, ViewError::Damaged { .. }) && error.wants_rebuild(), "{error}");
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}

#[test]
fn a_row_that_makes_no_sense_is_damage_and_not_an_answer() {
    for breakage in [
        "UPDATE incidents SET severity = 9",
        "UPDATE incidents SET state = -1",
        "UPDATE incidents SET title = x'ff'",
        "UPDATE bodies SET json = x'7b'",
        "UPDATE story SET kind = 999",
        "UPDATE story SET body = x'7b'",
        "DELETE FROM bodies",
    ] {
        let records = journal(4, MIDNIGHT_MS, 1000);
        let (dir, view) = view_of(&records);
        drop(view);
        sql(&dir.path().join(DAY), breakage);
        let reader = ViewReader::open(dir.path()).unwrap();
        let id = made::id(MIDNIGHT_MS, 0);
        let error = reader
            .list(&Query { text: Some("brute".to_owned()), ..Query::default() })
            .and_then(|_| reader.story(id))
            .and_then(|_| reader.incident(id))
            .unwrap_err();
        assert!(matches!(error, ViewError::Damaged { .. }), "{breakage}: {error}");
    }
}

#[test]
fn a_day_that_was_deleted_under_the_writer_is_begun_anew_by_its_next_incident() {
    let records = journal(16, MIDNIGHT_MS, DAY_MS / 8);
    let (dir, mut view) = view_of(&records);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(dir.path().join(format!("{DAY}{suffix}"))).unwrap();
    }
    let reader = ViewReader::open(dir.path()).unwrap();
    assert_eq!(made::all(&reader, &Query::default()).len(), 8);

    let next = Position(records.len() as u64);
    let late = (next, records[0].1, made::changed(made::id(MIDNIGHT_MS, 0), State::Acked));
    view.apply(&stored(&[late])).unwrap();
    assert!(!dir.path().join(DAY).exists(), "a word about an incident that is gone makes no file");

    let new = std::sync::Arc::new(made::incident(MIDNIGHT_MS + 7, 500));
    view.apply(&stored(&[(next.plus(1), records[0].1, balefire_model::Record::Accepted(new))])).unwrap();
    view.sync().unwrap();
    assert_eq!(made::all(&reader, &Query::default()).len(), 9);
    assert!(reader.incident(made::id(MIDNIGHT_MS + 7, 500)).unwrap().is_some());
}

#[test]
fn a_deleted_position_is_written_again() {
    let records = journal(8, MIDNIGHT_MS, 1000);
    let (dir, mut view) = view_of(&records[..10]);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(dir.path().join(format!("position.sqlite{suffix}"))).unwrap();
    }
    view.apply(&stored(&records[10..])).unwrap();
    view.sync().unwrap();
    drop(view);
    assert_eq!(View::open(dir.path()).unwrap().position(), Position(records.len() as u64));
}

#[test]
fn a_failed_call_is_made_good_by_the_same_call() {
    let records = journal(16, MIDNIGHT_MS, DAY_MS / 4);
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    // The third of four days cannot be made: a directory has its name.
    let third = dir.path().join("2026-11-24.sqlite");
    std::fs::create_dir(&third).unwrap();
    let error = view.apply(&stored(&records)).unwrap_err();
    assert!(matches!(error, ViewError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("2026-11-24.sqlite"), "{error}");
    assert_eq!(view.position(), Position(0));
    std::fs::remove_dir(&third).unwrap();
    view.apply(&stored(&records)).unwrap();
    assert_eq!(contents(dir.path()), contents(view_of(&records).0.path()));
}

#[test]
fn a_transaction_that_fails_leaves_nothing_of_itself() {
    let records = journal(64, MIDNIGHT_MS, 1000);
    let (dir, mut view) = view_of(&records[..20]);
    view.sync().unwrap();
    drop(view);
    let before = contents(dir.path());
    let at_title = "WHEN new.title LIKE '%number 40'";
    sql(
        &dir.path().join(DAY),
        &format!("CREATE TRIGGER stop BEFORE INSERT ON incidents {at_title} BEGIN SELECT RAISE(ABORT, 'stop'); END"),
    );
    let mut view = View::open(dir.path()).unwrap();
    let error = view.apply(&stored(&records[20..])).unwrap_err();
    assert!(matches!(error, ViewError::Failed { .. }), "{error:?}");
    assert_eq!(view.position(), Position(20));
    assert_eq!(contents(dir.path()), before);
    sql(&dir.path().join(DAY), "DROP TRIGGER stop");
    view.apply(&stored(&records[20..])).unwrap();
    assert_eq!(contents(dir.path()), contents(view_of(&records).0.path()));
}

#[test]
fn a_read_only_directory_can_be_read_and_says_that_it_cannot_be_written() {
    let records = journal(16, MIDNIGHT_MS, DAY_MS / 8);
    let dir = tempfile::tempdir().unwrap();
    // A name that means something in a URI.
    let place = dir.path().join("view?mode=rw#100%41");
    let mut view = View::open(&place).unwrap();
    view.apply(&stored(&records[..20])).unwrap();
    drop(view);
    let before = contents(&place);
    let files: Vec<_> = place.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in files.iter().chain([&place]) {
        let mode = if path == &place { 0o555 } else { 0o444 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(contents(&place), before);
    // Permissions do not hold root back.
    if place.metadata().unwrap().uid() != 0 {
        let error = View::open(&place).and_then(|mut view| view.apply(&stored(&records[20..]))).unwrap_err();
        assert!(matches!(error, ViewError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains("position.sqlite"), "{error}");
    }
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_place_without_a_view_is_said_and_an_empty_view_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("view");
    let error = ViewReader::open(&missing).unwrap_err();
    assert!(matches!(error, ViewError::Missing { .. }) && error.to_string().contains("data directory"), "{error}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = View::open(&file.join("view")).unwrap_err();
    assert!(matches!(error, ViewError::Directory { .. }), "{error}");
    View::wipe(&missing).unwrap();

    View::open(&missing).unwrap();
    // What a reader finds in the moment in which a day is made.
    std::fs::write(missing.join(DAY), "").unwrap();
    let reader = ViewReader::open(&missing).unwrap();
    assert_eq!(reader.position().unwrap(), Position(0));
    assert!(reader.list(&Query::default()).unwrap().is_empty());
    assert_eq!(reader.counts(None, None).unwrap().total(), 0);
    assert!(reader.incident(made::id(MIDNIGHT_MS, 0)).unwrap().is_none());
}

#[test]
fn readers_see_whole_transactions_while_a_writer_writes() {
    let records = journal(400, MIDNIGHT_MS, 1000);
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    let reader = ViewReader::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for batch in records.chunks(5) {
                view.apply(&stored(batch)).unwrap();
            }
            records.len() as u64
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let counts = reader.counts(None, None).unwrap();
            assert!(counts.total() >= seen, "what was seen stays");
            seen = counts.total();
            for row in reader.list(&Query { limit: 5, ..Query::default() }).unwrap() {
                assert_eq!(reader.incident(row.id).unwrap().unwrap().row.title, row.title);
            }
        }
        let written = writer.join().unwrap();
        assert_eq!(reader.position().unwrap(), Position(written));
        assert_eq!(reader.counts(None, None).unwrap().total(), 400);
    });
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_nothing_of_its_call_is_applied() {
    let records = stored(&journal(4, MIDNIGHT_MS, 1000));
    let of_kind = |kind| records.iter().position(|record| record.entry.kind == kind).unwrap();
    let incident = r#"{"incident":"01a20000-0000-7000-8000-000000000000","state":"lost"}"#;
    for (index, found, payload, what) in [
        (of_kind(kind::ROUTED), 999, "{}", "record kind 999 is not known to this version of balefire"),
        (of_kind(kind::ACCEPTED), kind::ACCEPTED, r#"{"title":"x"}"#, "payload of a accepted record does not fit"),
        (of_kind(kind::ROUTED), kind::ROUTED, "{}", "payload of a routed record does not fit"),
        (of_kind(kind::ATTEMPT_ENDED), kind::ATTEMPT_ENDED, "", "payload of a attempt_ended record does not fit"),
        (of_kind(kind::STATE_CHANGED), kind::STATE_CHANGED, incident, "payload of a state_changed record does not fit"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut view = View::open(dir.path()).unwrap();
        let before = contents(dir.path());
        let mut broken = records.clone();
        broken[index].entry.kind = found;
        broken[index].entry.payload = payload.into();
        let error = view.apply(&broken).unwrap_err();
        assert!(matches!(&error, ViewError::Unreadable { position, .. } if position.0 == index as u64), "{error}");
        assert!(!error.wants_rebuild(), "the journal would say the same again");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), what);
        assert_eq!(contents(dir.path()), before);
        view.apply(&records).unwrap();
        assert_eq!(view.position(), Position(records.len() as u64));
    }
}
