//! Each record counts once, in whatever pieces it comes and whatever stops the view in between.

use crate::made::{self, DAY_MS, MIDNIGHT_MS, contents, journal, placed, stored, view_of};
use balefire_model::record::{Configured, Stopped};
use balefire_model::{Position, Record, State};
use balefire_store::view::{Query, View, ViewError, ViewReader};
use proptest::prelude::*;
use std::sync::Arc;

/// Four days of incidents, every three hours.
fn four_days() -> Vec<made::Placed> {
    journal(32, MIDNIGHT_MS, DAY_MS / 8)
}

#[test]
fn sqlite_is_new_enough_to_keep_what_it_committed() {
    // 3.7.0 to 3.51.2 can lose committed writes when a WAL is reset.
    assert!(rusqlite::version_number() >= 3_051_003, "SQLite is {}", rusqlite::version());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pieces_and_restarts_make_no_difference(
        steps in proptest::collection::vec((1usize..40, 0usize..20, any::<bool>(), any::<bool>()), 1..20),
    ) {
        let records = four_days();
        let (whole, _open) = view_of(&records);
        let dir = tempfile::tempdir().unwrap();
        let mut view = View::open(dir.path()).unwrap();
        let mut steps = steps.into_iter().cycle();
        while (view.position().0 as usize) < records.len() {
            let (count, overlap, syncs, restarts) = steps.next().unwrap();
            let at = view.position().0 as usize;
            // Some records before the position, as after a restart that resumes too early.
            let piece = at.saturating_sub(overlap)..(at + count).min(records.len());
            view.apply(&stored(&records[piece])).unwrap();
            if syncs {
                view.sync().unwrap();
            }
            if restarts && syncs {
                drop(view);
                view = View::open(dir.path()).unwrap();
            }
        }
        prop_assert_eq!(contents(dir.path()), contents(whole.path()));
    }
}

#[test]
fn a_start_resumes_at_what_was_synced_and_applies_nothing_twice() {
    let records = four_days();
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    view.apply(&stored(&records[..60])).unwrap();
    view.sync().unwrap();
    view.apply(&stored(&records[60..100])).unwrap();
    assert_eq!(view.position(), Position(100));
    drop(view);

    let mut view = View::open(dir.path()).unwrap();
    assert_eq!(view.position(), Position(60));
    assert_eq!(ViewReader::open(dir.path()).unwrap().position().unwrap(), Position(100), "readers see it all the same");
    view.apply(&stored(&records[60..])).unwrap();
    assert_eq!(contents(dir.path()), contents(view_of(&records).0.path()));
}

#[test]
fn a_crash_between_the_commits_of_two_days_loses_and_repeats_nothing() {
    let records = four_days();
    let (before, mut view) = view_of(&records[..70]);
    view.sync().unwrap();
    drop(view);
    let (after, view) = view_of(&records);
    drop(view);
    let days = |dir: &tempfile::TempDir| -> Vec<_> {
        let mut names: Vec<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_str().unwrap().starts_with("2026-"));
        names.sort();
        names
    };
    // Every set of days can be what a crash leaves committed, while the position stays where it was.
    let old_days = days(&before);
    for committed in 0..1 << days(&after).len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(before.path().join("position.sqlite"), dir.path().join("position.sqlite")).unwrap();
        for (index, name) in days(&after).iter().enumerate() {
            let from = if committed >> index & 1 == 1 { &after } else { &before };
            if from.path() == after.path() || old_days.contains(name) {
                std::fs::copy(from.path().join(name), dir.path().join(name)).unwrap();
            }
        }
        let mut view = View::open(dir.path()).unwrap();
        assert_eq!(view.position(), Position(70));
        view.apply(&stored(&records[70..])).unwrap();
        assert_eq!(contents(dir.path()), contents(after.path()), "days {committed:b} were committed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_only_what_is_applied_again(
        synced in 1usize..100, committed in 0usize..60, kept in proptest::collection::vec(0.0f64..=1.0, 5),
    ) {
        let records = four_days();
        let dir = tempfile::tempdir().unwrap();
        let mut view = View::open(dir.path()).unwrap();
        view.apply(&stored(&records[..synced])).unwrap();
        view.sync().unwrap();
        let sizes = wal_sizes(dir.path());
        for record in &records[synced..(synced + committed).min(records.len())] {
            view.apply(&stored(std::slice::from_ref(record))).unwrap();
        }

        // The files as they are while the writer has them open, and of each WAL any length that was not synced away.
        let after = tempfile::tempdir().unwrap();
        for entry in dir.path().read_dir().unwrap() {
            let path = entry.unwrap().path();
            if !path.to_str().unwrap().ends_with("-shm") {
                std::fs::copy(&path, after.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        for ((name, written), kept) in wal_sizes(dir.path()).into_iter().zip(kept) {
            let safe = sizes.get(&name).copied().unwrap_or(0);
            let length = safe + ((written - safe) as f64 * kept) as u64;
            let wal = std::fs::File::options().write(true).open(after.path().join(name)).unwrap();
            wal.set_len(length).unwrap();
        }
        let mut view = View::open(after.path()).unwrap();
        prop_assert_eq!(view.position(), Position(synced as u64));
        view.apply(&stored(&records[synced..])).unwrap();
        prop_assert_eq!(contents(after.path()), contents(view_of(&records).0.path()));
    }
}

fn wal_sizes(dir: &std::path::Path) -> std::collections::BTreeMap<String, u64> {
    let size = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        name.ends_with("-wal").then(|| (name, entry.metadata().unwrap().len()))
    };
    dir.read_dir().unwrap().filter_map(size).collect()
}

#[test]
fn a_lost_position_means_from_the_beginning_and_nothing_twice() {
    let records = four_days();
    let (dir, view) = view_of(&records);
    let whole = contents(dir.path());
    drop(view);
    std::fs::remove_file(dir.path().join("position.sqlite")).unwrap();
    let mut view = View::open(dir.path()).unwrap();
    assert_eq!(view.position(), Position(0));
    view.apply(&stored(&records)).unwrap();
    assert_eq!(contents(dir.path()), whole);
}

#[test]
fn missing_records_are_an_error_and_change_nothing() {
    let records = four_days();
    let (dir, mut view) = view_of(&records[..10]);
    let before = contents(dir.path());
    let error = view.apply(&stored(&records[11..20])).unwrap_err();
    assert!(matches!(error, ViewError::Gap { expected: Position(10), found: Position(11) }), "{error}");
    let hole: Vec<_> = records[8..12].iter().chain(&records[13..15]).cloned().collect();
    let error = view.apply(&stored(&hole)).unwrap_err();
    assert_eq!(error.to_string(), "view is at position 12 and was given record 13: the records between are missing");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn an_empty_view_takes_a_journal_whose_beginning_is_gone() {
    let records = four_days();
    let (dir, view) = view_of(&records[7..]);
    assert_eq!(view.position(), Position(records.len() as u64));
    assert!(!ViewReader::open(dir.path()).unwrap().list(&Query::default()).unwrap().is_empty());
}

#[test]
fn a_wiped_view_is_empty_and_is_built_again_to_the_same() {
    let records = four_days();
    let (dir, view) = view_of(&records);
    let whole = contents(dir.path());
    drop(view);
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    View::wipe(dir.path()).unwrap();
    let left: Vec<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    let mut view = View::open(dir.path()).unwrap();
    assert_eq!(view.position(), Position(0));
    view.apply(&stored(&records)).unwrap();
    assert_eq!(contents(dir.path()), whole);
}

#[test]
fn records_of_many_days_in_turns_need_few_open_files() {
    // Each change of state is about another day than the one before.
    let incidents: Vec<_> = (0..12).map(|day| Arc::new(made::incident(MIDNIGHT_MS + day * DAY_MS, day))).collect();
    let accepted = incidents.iter().map(|incident| Record::Accepted(Arc::clone(incident)));
    let acked = incidents.iter().map(|incident| made::changed(incident.id, State::Acked));
    let records = placed(accepted.chain(acked));
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    for record in &records {
        view.apply(&stored(std::slice::from_ref(record))).unwrap();
    }
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|path| path.starts_with(dir.path()) && path.extension().is_some_and(|end| end == "sqlite"))
        .count();
    assert!((1..=5).contains(&open), "{open} databases are open");
    assert_eq!(ViewReader::open(dir.path()).unwrap().counts(None, None).unwrap().of_state(State::Acked), 12);
}

#[test]
fn records_about_the_engine_are_kept_and_advance_the_position() {
    let records = placed([
        Record::Configured(Configured {
            digest: "d1".to_owned(),
            channels: Vec::new(),
            attempts_kept: Default::default(),
        }),
        Record::Stopped(Stopped { reason: "SIGTERM".to_owned() }),
    ]);
    let (dir, view) = view_of(&records);
    assert_eq!(view.position(), Position(2));
    let reader = ViewReader::open(dir.path()).unwrap();
    let lines = reader.engine_records(10).unwrap();
    assert!(matches!(&lines[0].record, Record::Stopped(stopped) if stopped.reason == "SIGTERM"), "newest first");
    assert!(matches!(&lines[1].record, Record::Configured(configured) if configured.digest == "d1"));
    assert_eq!((lines[1].position, lines[1].at), (records[0].0, records[0].1));
    assert_eq!(reader.engine_records(1).unwrap().len(), 1);
}

#[test]
fn retention_removes_whole_days_and_no_restart_brings_them_back() {
    let records = four_days();
    let (dir, mut view) = view_of(&records);
    let removed = view.remove_days_before(made::time(MIDNIGHT_MS + 2 * DAY_MS + 1)).unwrap();
    assert_eq!(removed.len(), 2);
    let reader = ViewReader::open(dir.path()).unwrap();
    let left = made::all(&reader, &Query::default());
    assert_eq!(left.len(), 16);
    assert!(left.iter().all(|row| row.id.unix_ms() >= MIDNIGHT_MS + 2 * DAY_MS));

    // Somebody acknowledges what is gone: no file comes back for it.
    let late = (Position(records.len() as u64), records[0].1, made::changed(made::id(MIDNIGHT_MS, 0), State::Acked));
    view.apply(&stored(&[late])).unwrap();
    drop(view);
    let mut view = View::open(dir.path()).unwrap();
    let resumed = view.position().0 as usize;
    view.apply(&stored(&records[resumed.min(records.len())..])).unwrap();
    assert_eq!(made::all(&reader, &Query::default()), left);
    assert_eq!(reader.incident(made::id(MIDNIGHT_MS, 0)).unwrap().map(|view| view.row), None);
}
