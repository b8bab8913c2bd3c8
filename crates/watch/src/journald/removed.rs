//! Files of the journal that somebody removed: gone, though journald had no reason to remove them for want of room, for their
//! number or for their age. Pure.

use super::limits::{Limits, Retention};
use crate::look::{Failure, Moment};
use crate::sensors::journal_files::{FileState, JournalFile, JournalFiles};
use crate::sensors::space::Space;
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// journald removes no more than it must, one file of eight or more: where less than this (in percent) of what it may have is
/// left, somebody else removed.
const LEFT_AT_LEAST: u64 = 70;

/// A file that is being renamed may be missed once by whoever lists its directory.
const MISSED: u32 = 2;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    #[serde(rename = "d")]
    directory: String,
    #[serde(rename = "n")]
    entries: u64,
    /// The times of its first and last entry, in microseconds.
    #[serde(rename = "h")]
    head_time: i64,
    #[serde(rename = "t")]
    tail_time: i64,
    #[serde(skip)]
    missed: u32,
    /// It changes no more.
    #[serde(skip)]
    is_archived: bool,
}

/// The files that were there.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// By their ids.
    known: BTreeMap<String, Held>,
    seen: Option<Timestamp>,
}

impl Removed {
    pub(super) fn new(archived: BTreeMap<String, Held>) -> Removed {
        let known = archived.into_iter().map(|(id, held)| (id, Held { is_archived: true, ..held })).collect();
        Removed { known, seen: None }
    }

    /// Those that do not change any more, for a restart.
    pub(super) fn archived(&self) -> BTreeMap<String, Held> {
        self.known.iter().filter(|(_, held)| held.is_archived).map(|(id, held)| (id.clone(), held.clone())).collect()
    }

    /// The files that are there now; what was removed.
    pub(super) fn take(&mut self, now: Moment, files: &JournalFiles, room: (&Limits, &Space)) -> Vec<Failure> {
        for file in &files.files {
            self.known.insert(file.id.clone(), held(file));
        }
        let mut gone: BTreeMap<String, Vec<Held>> = BTreeMap::new();
        for (id, held) in &mut self.known {
            let is_there = files.files.iter().any(|file| file.id == *id);
            // One that cannot be read now may be there all the same.
            let is_hidden = files.unread.iter().any(|(place, _)| *place == held.directory);
            if is_there || is_hidden {
                continue;
            }
            held.missed += 1;
            if held.missed >= MISSED {
                gone.entry(held.directory.clone()).or_default().push(held.clone());
            }
        }
        self.known.retain(|_, held| held.missed < MISSED);
        let seen = self.seen.replace(now.wall);
        let told = gone.into_iter().filter(|(place, gone)| !is_due(now, (place, gone), files, room));
        told.filter_map(|(place, gone)| failure((&place, &gone), files, room))
            .map(|failure| seen.into_iter().fold(failure, Failure::since))
            .collect()
    }
}

fn held(file: &JournalFile) -> Held {
    Held {
        directory: file.directory.clone(),
        entries: file.entries,
        head_time: file.head_time,
        tail_time: file.tail_time,
        missed: 0,
        is_archived: file.state == FileState::Archived || file.name.contains('@'),
    }
}

/// What a directory's files take.
fn used(place: &str, files: &JournalFiles) -> u64 {
    files.files.iter().filter(|file| file.directory == place).map(|file| file.bytes).sum()
}

/// Whether journald itself had to remove them.
fn is_due(
    now: Moment,
    (place, gone): (&str, &[Held]),
    files: &JournalFiles,
    (limits, space): (&Limits, &Space),
) -> bool {
    let used = used(place, files);
    let most = limits.most_now(space.bytes, space.bytes_free, used);
    let count = files.files.iter().filter(|file| file.directory == place && file.name.contains('@')).count() as u64;
    let is_old = match limits.retention {
        Retention::ForEver => false,
        Retention::Unclear => true,
        Retention::After(after) => {
            let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
            gone.iter().all(|held| held.head_time <= now.wall.as_microsecond().saturating_sub(after))
        }
    };
    let nearly = |count: u64, most: u64| u128::from(count) * 100 >= u128::from(most) * u128::from(LEFT_AT_LEAST);
    is_old || nearly(used, most) || limits.files_max > 0 && nearly(count, limits.files_max)
}

/// None where nothing was in them: journald removes empty files whenever it sees them.
fn failure(
    (place, gone): (&str, &[Held]),
    files: &JournalFiles,
    (limits, space): (&Limits, &Space),
) -> Option<Failure> {
    let entries = gone.iter().fold(0_u64, |sum, held| sum.saturating_add(held.entries));
    if entries == 0 {
        return None;
    }
    let full = || gone.iter().filter(|held| held.entries > 0);
    let time = |at: Option<i64>| at.and_then(|at| Timestamp::from_microsecond(at).ok()).unwrap_or_default();
    let (from, to) = (time(full().map(|held| held.head_time).min()), time(full().map(|held| held.tail_time).max()));
    let (used, most) = (used(place, files), limits.most(space.bytes));
    let place = cut(&one_line(place), 200).into_owned();
    let summary = format!(
        "{entries} entries of the journal, from {from:.0} to {to:.0}, were removed with {} files of {place}, though there was room: \
         {used} of {most} bytes are taken",
        gone.len(),
    );
    let failure = Failure::new("journal.vacuum", Severity::High, summary).losing(entries, "entries");
    let cause = "somebody removed them: journalctl --vacuum-size, --vacuum-time or --vacuum-files, or rm";
    Some(failure.caused_by(cause).cured_by("find out who did it (the audit log); take the entries from another place"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journald::limits::{Store, limits};
    use std::time::Duration;

    const DAY: i64 = 86_400_000_000;

    fn now() -> Moment {
        Moment { boot: Duration::from_secs(9), wall: Timestamp::from_microsecond(100 * DAY).unwrap() }
    }

    fn file(id: &str, entries: u64, day: i64) -> JournalFile {
        JournalFile {
            directory: "/j/m".to_owned(),
            name: format!("system@{id}.journal"),
            id: id.to_owned(),
            state: FileState::Archived,
            entries,
            head: 1,
            tail: entries,
            head_time: day * DAY,
            tail_time: (day + 1) * DAY,
            bytes: 100,
        }
    }

    fn files(files: Vec<JournalFile>) -> JournalFiles {
        JournalFiles { files, unread: Vec::new(), is_steady: true }
    }

    /// What is told when the first of the files are gone, as many as these, by these settings.
    fn check(text: &str, all: &[JournalFile], gone: usize) -> Vec<Failure> {
        let limits = limits(text, Store::System);
        let (bytes, bytes_free) = (1_000_000, 900_000);
        let space = Space { bytes, bytes_free, inodes: 0, inodes_free: 0, is_read_only: false, is_in_memory: false };
        let mut removed = Removed::default();
        assert!(removed.take(now(), &files(all.to_vec()), (&limits, &space)).is_empty());
        let mut removed =
            Removed::new(serde_json::from_value(serde_json::to_value(removed.archived()).unwrap()).unwrap());
        let left = files(all[gone..].to_vec());
        assert!(removed.take(now(), &left, (&limits, &space)).is_empty(), "it may be being renamed");
        let told = removed.take(now(), &left, (&limits, &space));
        assert!(removed.take(now(), &left, (&limits, &space)).is_empty(), "told once");
        told
    }

    #[test]
    fn files_that_go_while_there_is_room_were_removed() {
        let all: Vec<JournalFile> = (0..9).map(|day| file(&format!("{day}"), 10, 80 + day)).collect();
        let roomy = "[Journal]\nSystemMaxUse=10000\n";
        let told = check(roomy, &all, 3);
        assert_eq!((told.len(), told[0].loss.as_ref().unwrap().count), (1, 30));
        assert!(told[0].summary.contains("with 3 files of /j/m"), "{}", told[0].summary);
        assert_eq!(check(roomy, &all, 9).len(), 1, "all of them");
    }

    #[test]
    fn what_journald_removes_by_its_own_limits_is_no_alarm() {
        let all: Vec<JournalFile> = (0..9).map(|day| file(&format!("{day}"), 10, 80 + day)).collect();
        assert!(check("[Journal]\nSystemMaxUse=1000\n", &all, 1).is_empty(), "nine tenths were taken");
        assert!(check("[Journal]\nSystemMaxUse=10000\nSystemMaxFiles=8\n", &all, 1).is_empty());
        assert!(check("[Journal]\nSystemMaxUse=10000\nMaxRetentionSec=2week\n", &all, 5).is_empty());
        assert_eq!(check("[Journal]\nSystemMaxUse=10000\nMaxRetentionSec=2week\n", &all, 8).len(), 1, "not so old");
        assert!(check("[Journal]\nSystemMaxUse=10000\nMaxRetentionSec=soon\n", &all, 5).is_empty());
        assert!(
            check("[Journal]\nSystemKeepFree=950000\nSystemMaxUse=10000\n", &all, 5).is_empty(),
            "others filled the disk"
        );
        let empty: Vec<JournalFile> = (0..2).map(|day| file(&format!("{day}"), 0, 80 + day)).collect();
        assert!(check("[Journal]\nSystemMaxUse=10000\n", &empty, 1).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let (limits, mut removed) = (limits("[Journal]\nSystemMaxUse=10000\n", Store::System), Removed::default());
        let space =
            Space { bytes: 9, bytes_free: 9, inodes: 0, inodes_free: 0, is_read_only: false, is_in_memory: false };
        removed.take(now(), &files(vec![file("a", 10, 80)]), (&limits, &space));
        let unread = vec![("/j/m".to_owned(), "permission denied".to_owned())];
        let hidden = JournalFiles { files: Vec::new(), unread, is_steady: true };
        for _ in 0..4 {
            assert!(removed.take(now(), &hidden, (&limits, &space)).is_empty());
        }
    }
}
