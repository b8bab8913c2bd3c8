//! What follows from what is seen of a file: read on, wait, begin again, go on with the next. Pure: looks at nothing
//! itself, and counts rounds in place of time.

use super::identity::{Identity, Inode};

/// After a rotation, so many rounds without a new byte mean that the writer has gone over to the new file.
pub(super) const QUIET_ROUNDS: u32 = 10;

/// The same while the new file is still empty: nothing is missed by waiting for a slow writer.
pub(super) const QUIET_ROUNDS_BEFORE_EMPTY: u32 = 300;

/// A writer that stays with the rotated file for longer than this does not keep us from the new one.
pub(super) const ROTATED_ROUNDS_MAX: u32 = 600;

/// How far an input is read, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub file: Identity,
    pub offset: u64,
}

/// What stands at the input's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AtPath {
    File {
        inode: Inode,
        size: u64,
    },
    Missing,
    NoDirectory,
    /// What is wrong, in words.
    Unusable(String),
}

/// Whether a file is the one that a position speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Same,
    /// It was, but what was read is no longer in it.
    Emptied,
    Other,
}

/// Device numbers may change when the machine starts again, so they count only where there is no fingerprint.
pub(super) fn fit(position: &Position, inode: Inode, size: u64, head: &[u8]) -> Fit {
    let known = &position.file;
    if known.inode.number != inode.number || (known.head_bytes == 0 && known.inode.device != inode.device) {
        return Fit::Other;
    }
    if size < position.offset || !known.begins(head) { Fit::Emptied } else { Fit::Same }
}

/// A file's beginning, compared with what was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Same,
    /// Only in the half line after the last whole one.
    HalfLineDiffers,
    Differs,
}

impl Head {
    /// `whole` bytes of `before` belong to whole lines.
    pub(super) fn compare(before: &[u8], now: &[u8], whole: u64) -> Head {
        let whole = usize::try_from(whole).unwrap_or(usize::MAX).min(before.len());
        match before {
            before if before == now => Head::Same,
            before if now.get(..whole) == Some(&before[..whole]) => Head::HalfLineDiffers,
            _ => Head::Differs,
        }
    }
}

/// What is seen of the open file and of its path in one round.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub inode: Inode,
    pub size: u64,
    /// How much of what is remembered of its beginning is still as it was.
    pub head: Head,
    /// The end of the last whole line.
    pub taken: u64,
    /// How far it was read; behind `taken` is half a line.
    pub read_to: u64,
    pub at_path: AtPath,
    /// Whether there were more rotations since: other files come before the one at the path.
    pub younger: bool,
}

/// Rounds since the path became another file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotated {
    pub rounds: u32,
    pub quiet: u32,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    /// Half a line was taken back or written anew: read again after the last whole one.
    Reread,
    /// What was read is gone.
    StartOver,
    Wait,
    /// The file has had its last line.
    MoveOn,
}

/// Decides, and keeps count.
pub(super) fn step(sight: &Sight, rotated: &mut Rotated) -> Step {
    let next = match &sight.at_path {
        AtPath::File { inode, size } if *inode != sight.inode => Some(*size),
        _ => None,
    };
    let grown = sight.size > sight.read_to;
    match next {
        None => *rotated = Rotated::default(),
        Some(_) => {
            rotated.rounds = rotated.rounds.saturating_add(1);
            rotated.quiet = if grown { 0 } else { rotated.quiet.saturating_add(1) };
        }
    }
    if sight.head == Head::Differs || sight.size < sight.taken {
        return Step::StartOver;
    }
    if sight.head == Head::HalfLineDiffers || sight.size < sight.read_to {
        return Step::Reread;
    }
    if grown {
        return Step::Read;
    }
    let Some(size) = next else { return Step::Wait };
    let enough = if size == 0 && !sight.younger { QUIET_ROUNDS_BEFORE_EMPTY } else { QUIET_ROUNDS };
    if rotated.quiet >= enough || rotated.rounds >= ROTATED_ROUNDS_MAX { Step::MoveOn } else { Step::Wait }
}

/// When a rotated file began, and what its name says about its age: files sort from old to new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    /// When it was made, in nanoseconds.
    pub born: u128,
    pub suffix: Suffix,
}

/// What a rotation put behind the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suffix {
    /// `.1` is newer than `.2`.
    Count(std::cmp::Reverse<u32>),
    /// `-20260131` is newer than `-20260130`.
    Date(String),
}

/// The rotation's mark in a name beside `base`; `None` where it is another file, a copy of somebody's or a compressed one.
pub(super) fn suffix(base: &str, name: &str) -> Option<Suffix> {
    let mark = name.strip_prefix(base)?.strip_prefix(['.', '-'])?;
    let is_mark = mark.starts_with(|c: char| c.is_ascii_digit())
        && mark.chars().all(|c| c.is_ascii_digit() || "-_.:TZ".contains(c));
    if !is_mark {
        return None;
    }
    match mark.parse::<u32>() {
        Ok(count) if mark.len() < 6 => Some(Suffix::Count(std::cmp::Reverse(count))),
        _ => Some(Suffix::Date(mark.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Inode = Inode { device: 1, number: 7 };
    const NEXT: Inode = Inode { device: 1, number: 8 };

    fn sight(size: u64, taken: u64, read_to: u64, at_path: AtPath) -> Sight {
        Sight { inode: OURS, size, head: Head::Same, taken, read_to, at_path, younger: false }
    }

    fn check(sight: &Sight, mut rotated: Rotated, expected: Step) {
        assert_eq!(step(sight, &mut rotated), expected, "{sight:?}");
    }

    #[test]
    fn a_file_in_its_place_is_read_when_it_grows_and_awaited_when_not() {
        let here = |size| AtPath::File { inode: OURS, size };
        let fresh = Rotated::default();
        check(&sight(10, 5, 8, here(10)), fresh, Step::Read);
        check(&sight(8, 5, 8, here(8)), fresh, Step::Wait);
        check(&sight(8, 5, 8, AtPath::Missing), Rotated { rounds: 900, quiet: 900 }, Step::Wait);
        check(&sight(8, 5, 8, AtPath::Unusable("a directory".into())), fresh, Step::Wait);
    }

    #[test]
    fn a_file_that_lost_what_was_read_is_begun_again() {
        let here = AtPath::File { inode: OURS, size: 4 };
        check(&sight(4, 5, 8, here.clone()), Rotated::default(), Step::StartOver);
        check(&sight(6, 5, 8, here.clone()), Rotated::default(), Step::Reread);
        let other_head = Sight { head: Head::Differs, ..sight(100, 5, 8, here) };
        check(&other_head, Rotated::default(), Step::StartOver);
    }

    #[test]
    fn a_half_line_may_change_and_a_whole_one_may_not() {
        let table = [
            ("1\nhalf", "1\nhalf", Head::Same),
            ("1\nhalf", "1\nh", Head::HalfLineDiffers),
            ("1\nhalf", "1\nhole", Head::HalfLineDiffers),
            ("1\nhalf", "2\nhalf", Head::Differs),
            ("1\nhalf", "1", Head::Differs),
        ];
        for (before, now, expected) in table {
            assert_eq!(Head::compare(before.as_bytes(), now.as_bytes(), 2), expected, "{before:?} {now:?}");
        }
        let here = AtPath::File { inode: OURS, size: 9 };
        check(&Sight { head: Head::HalfLineDiffers, ..sight(9, 5, 8, here) }, Rotated::default(), Step::Reread);
    }

    #[test]
    fn a_rotated_file_is_read_until_it_has_been_quiet() {
        let next = |size| AtPath::File { inode: NEXT, size };
        let quiet = |quiet| Rotated { rounds: quiet, quiet };
        check(&sight(9, 5, 8, next(3)), quiet(QUIET_ROUNDS), Step::Read);
        check(&sight(8, 5, 8, next(3)), quiet(0), Step::Wait);
        check(&sight(8, 5, 8, next(3)), quiet(QUIET_ROUNDS - 1), Step::MoveOn);
        check(&sight(8, 5, 8, next(0)), quiet(QUIET_ROUNDS), Step::Wait);
        check(&sight(8, 5, 8, next(0)), quiet(QUIET_ROUNDS_BEFORE_EMPTY), Step::MoveOn);
        let twice = Sight { younger: true, ..sight(8, 5, 8, next(0)) };
        check(&twice, quiet(QUIET_ROUNDS), Step::MoveOn);
        check(&sight(8, 5, 8, next(3)), Rotated { rounds: ROTATED_ROUNDS_MAX, quiet: 0 }, Step::MoveOn);
    }

    #[test]
    fn a_position_fits_its_file_only() {
        let at = |offset| Position { file: Identity::new(OURS, b"one\ntwo\n", offset), offset };
        let moved = Inode { device: 9, ..OURS };
        let table = [
            (at(4), OURS, 8, &b"one\ntwo\n"[..], Fit::Same),
            (at(4), OURS, 4, b"one\n", Fit::Same),
            (at(4), moved, 8, b"one\n", Fit::Same),
            (at(4), OURS, 3, b"one", Fit::Emptied),
            (at(4), OURS, 9, b"new\nthree", Fit::Emptied),
            (at(4), NEXT, 8, b"one\ntwo\n", Fit::Other),
            (at(0), OURS, 0, b"", Fit::Same),
            (at(0), moved, 0, b"", Fit::Other),
        ];
        for (position, inode, size, head, expected) in table {
            assert_eq!(fit(&position, inode, size, head), expected, "{position:?} {inode:?} {size}");
        }
    }

    #[test]
    fn names_of_rotated_files_are_known_and_ordered() {
        for name in ["a.log", "a.log.bak", "a.log.1.gz", "a.log-old", "b.log.1", "a.logs.1", "a.log.1 copy"] {
            assert_eq!(suffix("a.log", name), None, "{name}");
        }
        let mut names = ["a.log.1", "a.log.10", "a.log.2"];
        names.sort_by_key(|name| suffix("a.log", name));
        assert_eq!(names, ["a.log.10", "a.log.2", "a.log.1"]);
        assert!(suffix("a.log", "a.log-20260131") < suffix("a.log", "a.log-20260201"));
    }
}
