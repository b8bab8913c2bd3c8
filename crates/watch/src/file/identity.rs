//! Whether a file is still the one that it was: what was in it must still be in it, or in a copy beside it. Pure: sees
//! readings, reads nothing.

use crate::look::{Failure, Moment};
use crate::sensors::content::{Facts, Place, Sample};
use balefire_model::Severity;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// So long and so often is looked for what was in a file, before it counts as lost: a rotation renames file after file, and
/// what is looked for may move past the one who looks.
const SEARCH: Duration = Duration::from_millis(1_500);
const SEARCHES: u32 = 3;

/// A piece of a file, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    at: u64,
    length: usize,
    sum: String,
}

impl Print {
    pub(super) fn of(at: u64, bytes: &[u8]) -> Print {
        let sum = Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Print { at, length: bytes.len(), sum }
    }

    fn place(&self) -> Place {
        (self.at, self.length)
    }

    /// Whether these bytes are the same.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length && Print::of(self.at, bytes) == *self
    }
}

/// A file as it was at the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) facts: Facts,
    pub(super) head: Print,
    pub(super) tail: Print,
}

impl Known {
    fn of(sample: &Sample) -> Known {
        let at = sample.facts.size - sample.tail.len() as u64;
        Known { facts: sample.facts, head: Print::of(0, &sample.head), tail: Print::of(at, &sample.tail) }
    }

    /// What must be read of a file, or of a copy, to tell whether this is in it.
    pub(super) fn places(&self) -> [Place; 2] {
        [self.head.place(), self.tail.place()]
    }

    /// Whether all that was in the file is in what was read of one.
    pub(super) fn is_in(&self, sample: &Sample) -> bool {
        let [head, tail] = sample.asked.as_slice() else { return false };
        sample.facts.size >= self.facts.size && self.head.is(head) && self.tail.is(tail)
    }

    /// The same of a packed copy: its first bytes unpacked, and its whole length where that is known.
    pub(super) fn is_in_unpacked(&self, start: &[u8], length: Option<u64>) -> bool {
        // gzip keeps the length modulo 4 GiB.
        let is_long = length.is_none_or(|length| length >= self.facts.size || self.facts.size > u64::from(u32::MAX));
        let piece = |print: &Print| {
            let from = usize::try_from(print.at).ok()?;
            start.get(from..from.checked_add(print.length)?)
        };
        let tail = piece(&self.tail).is_none_or(|bytes| self.tail.is(bytes));
        is_long && tail && piece(&self.head).is_some_and(|bytes| self.head.is(bytes))
    }

    /// How much of a packed copy must be unpacked for that.
    pub(super) fn unpacked(&self) -> u64 {
        self.tail.at + self.tail.length as u64
    }
}

/// What is to be done after a reading was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: what was in it is in it.
    Done,
    /// Look for what was in it, in the files beside it, and come back with the answer.
    Search,
}

/// How the file stands as far as its content goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) known: Option<Known>,
    /// What is wrong until the file grows again.
    pub(super) wrong: Vec<Failure>,
    /// When it was last seen to grow, or to be rotated; by the wall clock, for people.
    pub(super) grew: Option<Timestamp>,
    /// The same by the clock that nobody sets.
    #[serde(skip)]
    pub(super) grew_at: Option<Moment>,
    /// When it was seen last as it should be. Not kept: what is kept must not change while the file does not.
    #[serde(skip)]
    seen: Option<Timestamp>,
    #[serde(skip)]
    absent: Option<Moment>,
    #[serde(skip)]
    search: Option<(Moment, u32)>,
    /// Where its content went at the last rotation.
    pub(super) rotated: Option<String>,
}

impl Identity {
    /// Whether nothing of it has changed since the last look, so that nothing need be read.
    pub(super) fn is_unchanged(&self, facts: &Facts) -> bool {
        self.absent.is_none() && self.known.as_ref().is_some_and(|known| known.facts == *facts)
    }

    /// Nothing has changed.
    pub(super) fn still(&mut self, now: Moment) {
        self.seen = Some(now.wall);
        self.search = None;
    }

    /// What to read besides the ends.
    pub(super) fn places(&self) -> Vec<Place> {
        self.known.iter().flat_map(Known::places).collect()
    }

    pub(super) fn is_searching(&self) -> bool {
        self.search.is_some()
    }

    /// The file is not there.
    pub(super) fn absent(&mut self, now: Moment, path: &str, grace: Duration) -> bool {
        let since = *self.absent.get_or_insert(now);
        let is_over = now.since(since) >= grace;
        if is_over && !self.has("file.missing") {
            let mut failure = Failure::new("file.missing", Severity::High, format!("{path} is not there"))
                .caused_by("it was removed or renamed, and nobody made a new one")
                .cured_by(format!("find out who removed {path}, and let its writer open it again"));
            failure.first_bad = self.seen.or(Some(since.wall));
            if let Some(known) = self.known.as_ref().filter(|known| known.facts.size > 0) {
                failure = failure.losing(known.facts.size, "bytes");
            }
            self.wrong.push(failure);
        }
        is_over
    }

    /// The file was read.
    pub(super) fn read(&mut self, now: Moment, sample: &Sample) -> Step {
        let Some(known) = &self.known else {
            let was_absent = self.absent.take().is_some();
            self.adopt(now, sample, was_absent && sample.facts.size > 0);
            return Step::Done;
        };
        let is_same = known.facts.ino == sample.facts.ino && known.is_in(sample);
        let has_grown = sample.facts.size > known.facts.size;
        if is_same {
            self.absent = None;
            self.adopt(now, sample, has_grown);
            return Step::Done;
        }
        if known.facts.size == 0 {
            // There was nothing to lose.
            self.absent = None;
            self.adopt(now, sample, sample.facts.size > 0);
            return Step::Done;
        }
        Step::Search
    }

    /// What the search came to: the copy that has what was in the file, or none.
    pub(super) fn found(&mut self, now: Moment, sample: &Sample, copy: Option<String>, path: &str) {
        if let Some(copy) = copy {
            self.rotated = Some(copy);
            self.absent = None;
            self.adopt(now, sample, true);
            return;
        }
        let (first, times) = self.search.unwrap_or((now, 0));
        self.search = Some((first, times + 1));
        if times + 1 < SEARCHES || now.since(first) < SEARCH {
            return;
        }
        let failure = self.lost(sample, path);
        // That it went away was told, with all that was in it: a new one in its place is no second matter.
        let is_told = failure.id == "file.replaced" && self.has("file.missing");
        if !is_told {
            self.wrong.retain(|wrong| wrong.id != failure.id);
            self.wrong.push(failure);
        }
        self.absent = None;
        self.adopt(now, sample, false);
    }

    /// What is said of a file that has not any more what was in it.
    fn lost(&self, sample: &Sample, path: &str) -> Failure {
        let known = self.known.as_ref().expect("only what was known can be lost");
        let (before, after) = (known.facts.size, sample.facts.size);
        let is_other = known.facts.ino != sample.facts.ino;
        let mut failure = if is_other {
            let summary = format!("{path} was replaced: it is another file, and no rotated copy has what was in it");
            Failure::new("file.replaced", Severity::High, summary)
                .caused_by(format!("inode {} became {}", known.facts.ino, sample.facts.ino))
                .losing(before, "bytes")
        } else if after < before {
            let summary = format!("{path} was truncated from {before} to {after} bytes, and no copy has the rest");
            Failure::new("file.truncated", Severity::High, summary)
                .caused_by("somebody cut it, or its writer opened it anew")
                .losing(before - after, "bytes")
        } else {
            let summary = format!("{path} was rewritten: what was written before {before} bytes has changed");
            Failure::new("file.rewritten", Severity::Critical, summary)
                .caused_by("somebody changed records that were already written")
        };
        failure.first_bad = self.seen;
        failure.cured_by(format!("keep {path} as it is for the investigation; compare it with a copy elsewhere"))
    }

    fn adopt(&mut self, now: Moment, sample: &Sample, has_grown: bool) {
        self.known = Some(Known::of(sample));
        self.search = None;
        self.seen = Some(now.wall);
        if has_grown {
            (self.grew, self.grew_at) = (Some(now.wall), Some(now));
            self.wrong.clear();
        }
    }

    fn has(&self, id: &str) -> bool {
        self.wrong.iter().any(|wrong| wrong.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment { boot: Duration::from_millis(milliseconds), wall: Timestamp::from_second(1_800_000_000).unwrap() }
    }

    fn sample(identity: &Identity, ino: u64, text: &str) -> Sample {
        let bytes = text.as_bytes();
        let facts = Facts {
            dev: 1,
            ino,
            size: bytes.len() as u64,
            mode: 0o640,
            uid: 0,
            gid: 0,
            written: 0,
            changed: (0, 0),
            is_file: true,
        };
        let piece = |(at, length): Place| {
            let at = usize::try_from(at).unwrap().min(bytes.len());
            bytes[at..(at + length).min(bytes.len())].to_vec()
        };
        let asked = identity.places().into_iter().map(piece).collect();
        Sample { facts, head: bytes.to_vec(), tail: bytes.to_vec(), asked }
    }

    /// Looks at one state after the other, each until nothing more is searched for, and says what is wrong after each.
    fn check(states: &[(u64, &str, bool)]) -> Vec<Vec<String>> {
        let mut identity = Identity::default();
        let mut now = 0;
        let mut seen = Vec::new();
        for (ino, text, has_copy) in states {
            for _ in 0..4 {
                now += 1_000;
                let sample = sample(&identity, *ino, text);
                if identity.read(at(now), &sample) == Step::Search {
                    let copy = has_copy.then(|| "a.log.1".to_owned());
                    identity.found(at(now), &sample, copy, "a.log");
                }
            }
            seen.push(identity.wrong.iter().map(|failure| failure.id.clone()).collect());
        }
        seen
    }

    #[test]
    fn what_is_lost_is_told_by_how_it_was_lost_until_the_file_grows_again() {
        let grown = ["one two", "one two three"];
        assert_eq!(check(&[(1, grown[0], false), (1, grown[1], false)]), [[""; 0]; 2]);
        assert_eq!(check(&[(1, grown[1], false), (1, "one", false)])[1], ["file.truncated"]);
        assert_eq!(check(&[(1, grown[1], false), (2, "other", false)])[1], ["file.replaced"]);
        assert_eq!(check(&[(1, grown[1], false), (1, "one TWO three", false)])[1], ["file.rewritten"]);
        let over = check(&[(1, grown[1], false), (1, "", false), (1, "", false), (1, "four", false)]);
        assert_eq!((over[1].len(), over[2].len(), over[3].len()), (1, 1, 0));
    }

    #[test]
    fn what_a_copy_has_is_not_lost() {
        assert_eq!(check(&[(1, "one two", false), (1, "", true), (1, "three", false)]), [[""; 0]; 3]);
        assert_eq!(check(&[(1, "one two", false), (2, "three", true)]), [[""; 0]; 2]);
        // copytruncate under a writer that does not append: the file has a hole where the old lines were.
        assert_eq!(check(&[(1, "one two", false), (1, "\0\0\0\0\0\0\0three", true)]), [[""; 0]; 2]);
    }

    #[test]
    fn what_is_kept_changes_only_with_the_file() {
        let mut identity = Identity::default();
        let first = sample(&identity, 1, "one");
        identity.read(at(0), &first);
        let kept = serde_json::to_value(&identity).unwrap();
        let later = Moment { wall: Timestamp::from_second(1_900_000_000).unwrap(), ..at(9_000) };
        assert!(identity.is_unchanged(&first.facts));
        identity.still(later);
        assert_eq!(serde_json::to_value(&identity).unwrap(), kept);
    }

    #[test]
    fn an_empty_file_has_nothing_to_lose() {
        assert_eq!(check(&[(1, "", false), (2, "", false), (3, "x", false)]), [[""; 0]; 3]);
    }

    #[test]
    fn an_absence_is_told_after_its_grace_and_ends_with_what_is_written() {
        let mut identity = Identity::default();
        let first = sample(&identity, 1, "one");
        identity.read(at(0), &first);
        let grace = Duration::from_secs(5);
        assert!(!identity.absent(at(1_000), "a", grace));
        assert!(!identity.absent(at(5_999), "a", grace));
        assert!(identity.absent(at(6_000), "a", grace) && identity.has("file.missing"));
        let back = sample(&identity, 1, "one");
        identity.read(at(7_000), &back);
        assert!(identity.has("file.missing"), "it is back, but nothing was written");
        let more = sample(&identity, 1, "one two");
        identity.read(at(8_000), &more);
        assert!(identity.wrong.is_empty());
    }

    #[test]
    fn a_new_file_after_a_told_absence_is_no_second_matter_and_ends_it_when_it_grows() {
        let mut identity = Identity::default();
        let first = sample(&identity, 1, "one");
        identity.read(at(0), &first);
        assert!(!identity.absent(at(1_000), "a", Duration::from_secs(1)));
        assert!(identity.absent(at(2_000), "a", Duration::from_secs(1)));
        let new = sample(&identity, 2, "two");
        for ms in [3_000, 3_500, 4_000, 4_500] {
            if identity.read(at(ms), &new) == Step::Search {
                identity.found(at(ms), &new, None, "a");
            }
        }
        assert_eq!(identity.wrong.iter().map(|wrong| wrong.id.as_str()).collect::<Vec<_>>(), ["file.missing"]);
        let more = sample(&identity, 2, "two three");
        identity.read(at(6_000), &more);
        assert!(identity.wrong.is_empty());
    }

    #[test]
    fn a_packed_copy_counts_by_its_start_and_its_length() {
        let identity = Identity::default();
        let known = Known::of(&sample(&identity, 1, "one two three"));
        assert!(known.is_in_unpacked(b"one two three four", Some(18)));
        assert!(!known.is_in_unpacked(b"one two three", Some(12)));
        assert!(!known.is_in_unpacked(b"one TWO three", Some(13)));
    }
}
