//! What `auditd.writing` makes of logs that grow, stand, shrink and go.

use super::*;
use jiff::Timestamp;

fn at(seconds: u64) -> Moment {
    let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Moment { boot: Duration::from_secs(100_000 + seconds), wall }
}

fn well() -> Reading<'static> {
    Reading {
        path: "/var/log/audit/audit.log",
        bytes: 0,
        fate: Fate::Same,
        waits_since: None,
        waiting: 0,
        has_owner: true,
        state: None,
    }
}

fn grows() -> Reading<'static> {
    Reading { bytes: 100, ..well() }
}

fn ids(look: &Look) -> Vec<&str> {
    match &look.sight {
        Sight::Failing(failures) => failures.iter().map(|failure| failure.id.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_log_that_stands_while_records_come_is_suspended_until_it_grows() {
    let mut detector = Detector::default();
    assert!(ids(&detector.judge(at(0), &grows())).is_empty());
    let waits = |since| Reading { waits_since: Some(at(since)), waiting: 3, ..well() };
    assert!(ids(&detector.judge(at(7), &waits(1))).is_empty());
    assert_eq!(ids(&detector.judge(at(8), &waits(1))), ["audit.suspended"]);
    // No record comes any more, and there is room again: neither is flow.
    assert_eq!(ids(&detector.judge(at(60), &well())), ["audit.suspended"]);
    assert!(ids(&detector.judge(at(61), &grows())).is_empty());
}

#[test]
fn a_log_that_stands_because_nothing_comes_is_no_alarm() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    let look = detector.judge(at(3600), &well());
    assert_eq!(look, Look::ok("100 bytes more, the last 3600 s ago"));
}

#[test]
fn before_the_first_record_nothing_is_claimed() {
    assert!(matches!(Detector::default().judge(at(0), &well()).sight, Sight::Unknown { .. }));
}

#[test]
fn without_a_daemon_it_is_not_suspended() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    let gone = Reading { waits_since: Some(at(1)), waiting: 3, has_owner: false, ..well() };
    assert!(ids(&detector.judge(at(60), &gone)).is_empty());
}

#[test]
fn what_auditd_says_counts_once_for_each_time_it_says_it() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    let says = |version| Reading {
        state: Some(("logging suspended = yes\ndisk error detected yes\n".to_owned(), (version, 0, 0))),
        ..well()
    };
    assert_eq!(ids(&detector.judge(at(1), &says(1))), ["audit.suspended", "audit.write_error"]);
    assert!(ids(&detector.judge(at(2), &grows())).is_empty());
    assert!(ids(&detector.judge(at(3), &says(1))).is_empty(), "the file is from before");
    assert_eq!(ids(&detector.judge(at(4), &says(2))).len(), 2);
}

#[test]
fn a_log_that_is_gone_is_told_after_a_moment_and_back_when_it_grows_under_its_name() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    let gone = Reading { fate: Fate::Missing, ..well() };
    assert!(ids(&detector.judge(at(1), &gone)).is_empty());
    assert_eq!(ids(&detector.judge(at(6), &gone)), ["file.missing"]);
    let into_nothing = Reading { bytes: 100, ..gone };
    assert_eq!(ids(&detector.judge(at(7), &into_nothing)), ["file.missing"], "what is written there is lost");
    let back = Reading { fate: Fate::Replaced, ..well() };
    let look = detector.judge(at(8), &back);
    assert_eq!((ids(&look), look.events.len()), (vec!["file.missing"], 0));
    assert!(ids(&detector.judge(at(9), &grows())).is_empty());
}

#[test]
fn a_log_that_shrinks_is_told_with_what_is_lost_and_a_rotation_is_not() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    assert!(ids(&detector.judge(at(1), &Reading { fate: Fate::Rotated, ..grows() })).is_empty());
    let cut = Reading { fate: Fate::Truncated(5000, 0), ..well() };
    let look = detector.judge(at(2), &cut);
    assert_eq!(ids(&look), ["file.truncated"]);
    let Sight::Failing(failures) = &look.sight else { unreachable!() };
    assert_eq!((failures[0].loss.as_ref().unwrap().count, failures[0].first_bad), (5000, Some(at(1).wall)));
    assert!(ids(&detector.judge(at(3), &grows())).is_empty());
}

#[test]
fn a_log_that_is_put_in_the_place_of_another_is_an_event() {
    let mut detector = Detector::default();
    detector.judge(at(0), &grows());
    let look = detector.judge(at(1), &Reading { fate: Fate::Replaced, ..grows() });
    assert_eq!(look.events[0].id, "file.replaced");
}
