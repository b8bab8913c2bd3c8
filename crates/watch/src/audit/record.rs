//! One line of the audit log: its type, its stamp and its fields. What a record means is not its business.

use jiff::Timestamp;

/// A line such as `type=CONFIG_CHANGE msg=audit(1732305600.123:456): op=set audit_enabled=0 old=1 res=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its type.
    pub(crate) kind: &'a str,
    /// When, by the wall clock.
    pub(crate) time: Option<Timestamp>,
    /// The number of its event, which the kernel counts from the start of the machine. Records of the daemon have their own.
    pub(crate) serial: u64,
    /// What follows the stamp.
    pub(crate) body: &'a str,
}

impl<'a> Record<'a> {
    /// Reads a line; none where it is no record.
    pub(crate) fn parse(line: &'a str) -> Option<Record<'a>> {
        let start = line.find("type=")?;
        // Only `node=NAME` may stand before it.
        if start != 0 && !line.starts_with("node=") {
            return None;
        }
        let (kind, rest) = line[start + "type=".len()..].split_once(' ')?;
        let (time, serial, body) = stamp(rest.strip_prefix("msg=")?)?;
        Some(Record { kind, time, serial, body })
    }

    /// Whether the daemon wrote it of itself, with a serial of its own counter.
    pub(crate) fn is_of_daemon(&self) -> bool {
        self.kind.starts_with("DAEMON_")
    }

    /// The first field of this name, without its quotes.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.body
            .split([' ', '\x1d'])
            .find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"')))
    }

    /// The same as a number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.field(name)?.parse().ok()
    }
}

/// `audit(SECONDS.MILLISECONDS:SERIAL): BODY`, as the kernel writes it.
pub(crate) fn stamp(text: &str) -> Option<(Option<Timestamp>, u64, &str)> {
    let (stamp, body) = text.strip_prefix("audit(")?.split_once(')')?;
    let (time, serial) = stamp.split_once(':')?;
    let (seconds, thousandths) = time.split_once('.')?;
    let milliseconds = seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(thousandths.parse().ok()?)?;
    let body = body.strip_prefix(':').unwrap_or(body).trim_start();
    // The kernel counts in 32 bits.
    Some((Timestamp::from_millisecond(milliseconds).ok(), u64::from(serial.parse::<u32>().ok()?), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{check_large, like};
    use proptest::prelude::*;

    #[test]
    fn a_line_gives_its_type_its_serial_and_its_fields() {
        let line =
            "type=CONFIG_CHANGE msg=audit(1732305600.123:456): op=set audit_enabled=0 old=1 auid=0 key=\"gen\" res=1";
        let record = Record::parse(line).unwrap();
        assert_eq!((record.kind, record.serial), ("CONFIG_CHANGE", 456));
        assert_eq!(record.time.unwrap().as_millisecond(), 1_732_305_600_123);
        assert_eq!(
            (record.number("audit_enabled"), record.number("old"), record.field("key")),
            (Some(0), Some(1), Some("gen"))
        );
        assert_eq!(record.field("uid"), None);
        assert!(Record::parse(&format!("node=web-1 {line}")).is_some());
    }

    #[test]
    fn what_is_no_record_is_none_and_never_a_panic() {
        let lines =
            ["", "type=", "type=X", "type=X msg=audit(", "type=X msg=audit(1.2:x): y", "a type=X msg=audit(1.2:3): y"];
        for line in lines {
            assert_eq!(Record::parse(line), None, "{line}");
        }
        assert_eq!(Record::parse("type=X msg=audit(99999999999999999.1:3): y"), None);
    }

    const GOOD: [&str; 4] = [
        "type=CONFIG_CHANGE msg=audit(1700000000.123:45): op=set audit_enabled=0 old=1 auid=1000 ses=3 res=1",
        "node=a type=USER_LOGIN msg=audit(1700000000.123:46): pid=1 uid=0 msg='op=login id=0 exe=\"/bin/x\" res=success'",
        "type=DAEMON_START msg=audit(1700000000.001:4713): op=start ver=3.0.9 pid=12 res=success",
        "type=EOE msg=audit(18446744073709551615.999:18446744073709551615): ",
    ];

    proptest! {
        #[test]
        fn any_line_is_a_record_or_none(line in like(&GOOD)) {
            if let Some(record) = Record::parse(&line) {
                record.is_of_daemon();
                let _ = (record.field("op"), record.number("old"), crate::audit::config_change::act(&record));
            }
        }
    }

    #[test]
    fn a_line_of_any_length_is_read_in_bounded_time() {
        check_large(GOOD[0], |line| {
            if let Some(record) = Record::parse(line) {
                let _ = (record.field("res"), record.number("old"), crate::audit::config_change::act(&record));
            }
        });
    }
}
