//! The latest time that a file's end tells: of its last change, and of its last record where that begins with a time in the
//! form of RFC 3339 or has one in auditd's.

use crate::sensors::content::Sample;
use jiff::Timestamp;

/// The latest of them.
pub(super) fn latest(sample: &Sample) -> Option<Timestamp> {
    let written = Timestamp::from_second(sample.facts.written).ok();
    written.max(of_the_last_record(&sample.tail))
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

    #[test]
    fn the_time_of_a_record_is_read_in_both_forms() {
        let seconds = |text: &str| of_the_last_record(text.as_bytes()).map(Timestamp::as_second);
        assert_eq!(seconds("old\n2027-01-15T08:00:00.5+00:00 host sshd[1]: hello\n"), Some(1_800_000_000));
        assert_eq!(seconds("type=USER_LOGIN msg=audit(1800000000.123:45): pid=1\n"), Some(1_800_000_000));
        assert_eq!((seconds("Jan 15 08:00:00 host sshd\n"), seconds("")), (None, None));
    }
}
