//! The times that a file's end tells: of its last change, and of its last record where that begins with a time in the form of
//! RFC 3339 or has one in auditd's. Told where they are still to come, and where they go back. Pure.

use crate::look::{Failure, Moment};
use crate::sensors::content::Sample;
use balefire_model::Severity;
use jiff::{SignedDuration, Timestamp};

/// What is later, or earlier than the one before it, by more than this has a wrong clock behind it.
const SLACK: SignedDuration = SignedDuration::from_secs(120);

/// The times of a file as they were read last.
#[derive(Debug, Default)]
pub(super) struct Times {
    written: Option<Timestamp>,
    record: Option<Timestamp>,
}

impl Times {
    /// The file was read; the time from which its records have gone back, and to which.
    pub(super) fn take(&mut self, sample: &Sample) -> Option<(Timestamp, Timestamp)> {
        self.written = Timestamp::from_second(sample.facts.written).ok();
        let before = self.record;
        self.record = of_the_last_record(&sample.tail).or(before);
        before.zip(self.record).filter(|(before, after)| before.duration_since(*after) > SLACK)
    }

    /// A record or change from a time that is still to come.
    pub(super) fn future(&self, now: Moment, path: &str) -> Option<Failure> {
        let time = self.written.max(self.record).filter(|time| time.duration_since(now.wall) > SLACK)?;
        let summary = format!("{path} has a record or change of {time:.0}, which is still to come");
        let failure = Failure::new("file.future", Severity::Medium, summary);
        Some(failure.caused_by("the clock of its writer, or ours, is wrong").cured_by("see the clocks of both"))
    }
}

/// Records that go back in time.
pub(super) fn backwards((before, after): (Timestamp, Timestamp), path: &str) -> Failure {
    let summary = format!("the records of {path} go back in time: after one of {before:.0} came one of {after:.0}");
    Failure::new("file.out_of_order", Severity::Medium, summary)
        .caused_by("the clock of its writer was set back, or old records were written into it")
        .cured_by("see the clock of its writer; compare the records with those of another place")
}

fn of_the_last_record(tail: &[u8]) -> Option<Timestamp> {
    let text = String::from_utf8_lossy(tail);
    let line = text.trim_end_matches('\n').rsplit('\n').next()?;
    if let Some((_, rest)) = line.split_once("msg=audit(") {
        return Timestamp::from_second(rest.split('.').next()?.parse().ok()?).ok();
    }
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use crate::sensors::content::Facts;
    use proptest::prelude::*;

    #[test]
    fn the_time_of_a_record_is_read_in_both_forms() {
        let seconds = |text: &str| of_the_last_record(text.as_bytes()).map(Timestamp::as_second);
        assert_eq!(seconds("old\n2027-01-15T08:00:00.5+00:00 host sshd[1]: hello\n"), Some(1_800_000_000));
        assert_eq!(seconds("type=USER_LOGIN msg=audit(1800000000.123:45): pid=1\n"), Some(1_800_000_000));
        assert_eq!((seconds("Jan 15 08:00:00 host sshd\n"), seconds("")), (None, None));
    }

    #[test]
    fn records_that_go_back_by_minutes_are_told_and_those_of_a_moment_ago_are_not() {
        let mut times = Times::default();
        let mut take = |second: i64| {
            let tail = format!("type=X msg=audit({second}.1:1): a\n").into_bytes();
            let (dev, ino, size, mode, changed) = (1, 1, 9, 0o640, (0, 0));
            let facts = Facts { dev, ino, size, mode, uid: 0, gid: 0, written: 0, changed, is_file: true };
            times.take(&Sample { facts, head: tail.clone(), tail, asked: Vec::new() }).is_some()
        };
        assert_eq!(
            [1_000, 2_000, 1_880, 2_000, 1_879, 1_880].map(&mut take),
            [false, false, false, false, true, false]
        );
    }

    const GOOD: [&str; 2] =
        ["2027-01-15T08:00:00.5+00:00 host sshd[1]: hello\n", "type=USER_LOGIN msg=audit(1800000000.123:45): pid=1\n"];

    proptest! {
        #[test]
        fn any_end_of_a_file_has_a_time_or_none(text in like(&GOOD), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            of_the_last_record(text.as_bytes());
            of_the_last_record(&bytes);
        }
    }

    #[test]
    fn an_end_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |text| _ = of_the_last_record(text.as_bytes()));
    }
}
