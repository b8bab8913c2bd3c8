//! Whether entries of the journal are missing: journald numbers them through all the files that it writes, so as many must have
//! come in all files together as the highest number has grown. Pure.

use crate::look::{Failure, Moment};
use crate::sensors::journal_files::{FileState, JournalFile, JournalFiles};
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};
use std::collections::BTreeMap;

/// A header is written piece by piece: what is missing must be so twice.
const SEEN: u32 = 2;

/// The files of each directory: journald writes one, of the machine and of its users.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    directories: BTreeMap<String, Base>,
}

/// From where on is counted.
#[derive(Clone, Debug)]
struct Base {
    tail: u64,
    /// By the file's id: its entries then, and whether it grows no more.
    files: BTreeMap<String, (u64, bool)>,
    seen: u32,
}

impl Sequence {
    /// The files as they are now; what is missing. While the journal is written elsewhere (`is_elsewhere`) nothing is counted.
    pub(super) fn take(&mut self, now: Moment, all: &JournalFiles, is_elsewhere: bool) -> Vec<Failure> {
        if is_elsewhere {
            self.directories.clear();
        }
        if is_elsewhere || !all.is_steady {
            return Vec::new();
        }
        let mut places: BTreeMap<&str, Vec<&JournalFile>> = BTreeMap::new();
        // What came from elsewhere, such as a container's, has other names and other numbers.
        let is_own = |file: &&JournalFile| file.name.starts_with("system") || file.name.starts_with("user-");
        for file in all.files.iter().filter(is_own) {
            places.entry(&file.directory).or_default().push(file);
        }
        // A file that we may not read has entries that we cannot count.
        places.retain(|place, _| !all.unread.iter().any(|(unread, _)| unread == place));
        self.directories.retain(|place, _| places.contains_key(place.as_str()));
        let mut told = Vec::new();
        for (place, files) in places {
            let Some(base) = self.directories.get_mut(place) else {
                self.directories.insert(place.to_owned(), Base::of(&files));
                continue;
            };
            if let Some(missing) = base.missing(&files) {
                told.push(failure(place, missing).since(now.wall));
            }
        }
        told
    }
}

impl Base {
    fn of(files: &[&JournalFile]) -> Base {
        let tail = files.iter().map(|file| file.tail).max().unwrap_or(0);
        let count = |file: &&JournalFile| (file.id.clone(), (file.entries, is_done(file)));
        Base { tail, files: files.iter().map(count).collect(), seen: 0 }
    }

    /// How many entries are missing, when that is certain; counts from here on where it is, and where nothing is missing.
    fn missing(&mut self, files: &[&JournalFile]) -> Option<u64> {
        let next = Base::of(files);
        let (mut came, mut begun) = (0_u64, 0_u64);
        for file in files {
            match self.files.get(&file.id) {
                Some((before, _)) => came += file.entries.saturating_sub(*before),
                None if file.head > self.tail || file.entries == 0 => (came, begun) = (came + file.entries, begun + 1),
                // An old file that somebody has brought back.
                None => {
                    *self = next;
                    return None;
                }
            }
        }
        // One that is gone may have grown before, unless it was archived when it was seen last.
        let is_known = |id: &String| next.files.contains_key(id);
        let was_growing = self.files.iter().any(|(id, (_, is_done))| !is_done && !is_known(id));
        if was_growing || next.tail < self.tail {
            *self = next;
            return None;
        }
        // A file that is full just when an entry is put into it takes its number along; the entry gets the next one.
        let missing = (next.tail - self.tail).saturating_sub(came);
        if missing <= begun {
            *self = next;
            return None;
        }
        self.seen += 1;
        (self.seen >= SEEN).then(|| {
            *self = next;
            missing
        })
    }
}

fn is_done(file: &JournalFile) -> bool {
    file.state == FileState::Archived || file.name.contains('@')
}

fn failure(place: &str, missing: u64) -> Failure {
    let place = cut(&one_line(place), 200).into_owned();
    let summary = format!(
        "{missing} entries of the journal in {place} are missing: their numbers were given, and no file has them"
    );
    Failure::new("journal.seqnum_gap", Severity::Medium, summary)
        .caused_by("they could not be written, or were taken out of a file")
        .cured_by("journalctl --verify; see what journald says of itself (journalctl -u systemd-journald)")
        .losing(missing, "entries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::time::Duration;

    type File = (&'static str, &'static str, u64, u64, u64);

    /// By name, id, entries, first and last number.
    fn files(of: &[File]) -> JournalFiles {
        let file = |(name, id, entries, head, tail): &File| JournalFile {
            directory: "/j/m".to_owned(),
            name: (*name).to_owned(),
            id: (*id).to_owned(),
            state: if name.contains('@') { FileState::Archived } else { FileState::Online },
            entries: *entries,
            head: *head,
            tail: *tail,
            head_time: 0,
            tail_time: 0,
            bytes: 0,
        };
        JournalFiles { files: of.iter().map(file).collect(), unread: Vec::new(), is_steady: true }
    }

    /// Looks at each state twice; what was told in all.
    fn check(states: &[&[File]]) -> Vec<u64> {
        let mut sequence = Sequence::default();
        let now = Moment { boot: Duration::from_secs(9), wall: Timestamp::UNIX_EPOCH };
        let looks = states.iter().flat_map(|state| [files(state), files(state)]);
        let told = looks.flat_map(|files| sequence.take(now, &files, false)).collect::<Vec<_>>();
        told.iter().map(|failure| failure.loss.as_ref().unwrap().count).collect()
    }

    #[test]
    fn numbers_that_no_file_has_are_missing() {
        let before = ("system.journal", "a", 10, 1, 10);
        assert_eq!(check(&[&[before], &[("system.journal", "a", 15, 1, 20)]]), [5]);
        assert_eq!(check(&[&[before], &[("system.journal", "a", 20, 1, 20)]]), [0; 0]);
        let rotated = ("system@1.journal", "a", 12, 1, 12);
        assert_eq!(check(&[&[before], &[rotated, ("system.journal", "b", 5, 21, 25)]]), [8]);
    }

    #[test]
    fn what_users_write_is_counted_among_it() {
        let (system, user) = (("system.journal", "a", 10, 1, 10), ("user-1000.journal", "u", 3, 4, 9));
        let later = [("system.journal", "a", 12, 1, 15), ("user-1000.journal", "u", 6, 4, 14)];
        assert_eq!(check(&[&[system, user], &later]), [0; 0]);
        assert_eq!(
            check(&[&[system], &[("system.journal", "a", 12, 1, 15), ("user-1.journal", "v", 3, 12, 14)]]),
            [0; 0]
        );
    }

    #[test]
    fn a_rotation_a_vacuum_and_a_number_that_is_left_out_at_a_rotation_are_no_gap() {
        let (old, system) = (("system@0.journal", "z", 90, 1, 90), ("system.journal", "a", 10, 91, 100));
        let rotated = ("system@1.journal", "a", 15, 91, 105);
        assert_eq!(check(&[&[old, system], &[rotated, ("system.journal", "b", 4, 106, 109)]]), [0; 0]);
        assert_eq!(check(&[&[old, system], &[old, rotated, ("system.journal", "b", 3, 107, 109)]]), [0; 0]);
        // Its journal was removed and begins anew.
        assert_eq!(
            check(&[&[old, system], &[("system.journal", "c", 2, 1, 2)], &[("system.journal", "c", 3, 1, 3)]]),
            [0; 0]
        );
        // One that was written to is gone: nobody knows how far it came.
        assert_eq!(check(&[&[old, system], &[old, ("system.journal", "d", 2, 150, 151)]]), [0; 0]);
        // An old file that was brought back.
        assert_eq!(check(&[&[system], &[old, ("system.journal", "a", 15, 91, 105)]]), [0; 0]);
    }

    #[test]
    fn a_header_that_is_being_written_and_files_that_cannot_be_read_accuse_nobody() {
        let now = Moment { boot: Duration::from_secs(9), wall: Timestamp::UNIX_EPOCH };
        let mut sequence = Sequence::default();
        let whole = files(&[("system.journal", "a", 10, 1, 10)]);
        let half = files(&[("system.journal", "a", 10, 1, 11)]);
        let done = files(&[("system.journal", "a", 11, 1, 11)]);
        let mut unread = files(&[("system.journal", "a", 20, 1, 90)]);
        unread.unread.push(("/j/m".to_owned(), "user-1.journal".to_owned()));
        let told =
            [&whole, &half, &done, &unread, &unread, &unread].map(|files| sequence.take(now, files, false).len());
        assert_eq!(told, [0; 6]);
    }
}
