//! Laws of the signals of an application's audit log: what counts as one, from when silence counts, and when it is over.

use super::*;
use crate::hostile::{check_large, like};
use crate::look::Sight;
use proptest::prelude::*;

/// So many seconds after monday, 08:00.
fn at(seconds: i64) -> Moment {
    let monday: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let wall = Timestamp::from_second(monday.as_second() + seconds).unwrap();
    Moment { boot: Duration::from_secs(u64::try_from(1_000_000 + seconds).unwrap()), wall }
}

fn row_watch(hours: bool) -> RowWatch {
    let range = TimeRange::new(TimeOfDay::parse("08:00").unwrap(), TimeOfDay::parse("18:00").unwrap()).unwrap();
    let weekdays = vec![WeekdayRange::parse("monday:friday").unwrap()];
    let hours = hours.then(|| Interval { times: vec![range], weekdays, ..Interval::always(TimeZone::UTC) });
    let (within, every) = (Duration::from_secs(300), Duration::from_secs(15));
    let settings = RowSettings { table: "public.audit_events".to_owned(), within, every, hours };
    RowWatch { settings, first: None, open: None }
}

fn word(look: Look) -> &'static str {
    match look.sight {
        Sight::Ok { .. } => "ok",
        Sight::Failing(failures) if failures[0].severity == Severity::Critical => "critical",
        Sight::Failing(_) => "failing",
        Sight::Unknown { .. } => "unknown",
        Sight::Blind { .. } => "blind",
    }
}

fn rows(watch: &mut RowWatch, now: i64, age: Option<u64>) -> &'static str {
    let rows = Rows { asked: at(now), age: Ok(age.map(Duration::from_secs)) };
    word(watch.judge(at(now), Some(rows)))
}

#[test]
fn silence_in_the_hours_of_business_is_critical_and_ends_with_a_row() {
    let mut watch = row_watch(true);
    assert_eq!(rows(&mut watch, -60, Some(50_000)), "unknown", "before the doors open nothing is expected");
    assert_eq!(rows(&mut watch, 1, Some(50_061)), "unknown");
    assert_eq!(rows(&mut watch, 300, Some(50_360)), "unknown");
    assert_eq!(rows(&mut watch, 302, Some(50_362)), "critical");
    assert_eq!(rows(&mut watch, 310, Some(2)), "ok");
    assert_eq!(rows(&mut watch, 611, Some(303)), "critical");
    assert_eq!(rows(&mut watch, 10 * 3600 + 1, Some(10_000)), "unknown", "the doors are closed");
    let saturday = 5 * 86_400 + 3600;
    assert_eq!(rows(&mut watch, saturday, Some(200_000)), "unknown");
}

#[test]
fn an_empty_table_is_silent_and_no_answer_is_blindness() {
    let mut watch = row_watch(false);
    assert_eq!(rows(&mut watch, 0, None), "unknown");
    assert_eq!(rows(&mut watch, 301, None), "critical");
    let refused = Rows { asked: at(302), age: Err("permission denied\nfor table".to_owned()) };
    assert_eq!(word(watch.judge(at(302), Some(refused))), "blind");
    let mut deaf = row_watch(false);
    assert_eq!(word(deaf.judge(at(0), None)), "unknown");
    assert_eq!(word(deaf.judge(at(76), None)), "blind");
    let old = Rows { asked: at(0), age: Ok(Some(Duration::ZERO)) };
    assert_eq!(word(deaf.judge(at(100), Some(old))), "blind", "an old answer is none");
}

#[test]
fn only_the_programs_own_lines_are_its_signals() {
    let which = |line: &str| signal(line, "eqmon-audit").map(|(index, _)| SIGNALS[index].1);
    for (line, expected) in [
        ("Nov 22 08:00:00 web eqmon-audit[812]: AUDIT_FAILURE: disk full category=auth", Some("bt08.audit_failure")),
        (
            "2026-11-22T08:00:00.1+01:00 web eqmon-audit: AUDIT_DB_FAILURE: Cannot connect",
            Some("bt08.audit_db_failure"),
        ),
        ("[22-Nov-2026 08:00:00 UTC] AuditLogger FAILURE: no such table", Some("bt08.logger_failure")),
        ("[22-Nov-2026 08:00:00] PHP message: AuditLogger FAILURE: x", Some("bt08.logger_failure")),
        (
            "2026/11/22 08:00:00 [error] 12#12: *3 FastCGI sent in stderr: \"PHP message: AuditLogger FAILURE: x\" while",
            Some("bt08.logger_failure"),
        ),
        (
            "[Sun Nov 22 08:00:00.1 2026] [proxy_fcgi:error] [pid 1:tid 2] [client 10.0.0.1:5] AH01071: Got error \
             'PHP message: AuditLogger FAILURE: x'",
            Some("bt08.logger_failure"),
        ),
        ("[Sun Nov 22 08:00:00 2026] [php:notice] [pid 1] AuditLogger FAILURE: x", Some("bt08.logger_failure")),
        (
            "2026/11/22 08:00:00 [error] 12#12: *3 open() \"/x FastCGI sent in stderr: \"PHP message: AuditLogger FAILURE: x",
            None,
        ),
        ("[Sun Nov 22 08:00:00 2026] [core:error] [pid 1] AH00128: File does not exist: /AuditLogger FAILURE: x", None),
        ("Nov 22 08:00:00 web sshd[7]: Invalid user eqmon-audit: AUDIT_FAILURE: x from 10.0.0.1", None),
        ("Nov 22 08:00:00 web my-eqmon-audit[7]: AUDIT_FAILURE: x", None),
        ("Nov 22 08:00:00 web eqmon-audit[x]: AUDIT_FAILURE: x", None),
        ("[22-Nov-2026 08:00:00 UTC] login of [x] AuditLogger FAILURE: x", None),
        ("[22-Nov-2026 08:00:00 UTC] user AuditLogger FAILURE: x", None),
        ("AUDIT_FAILURE", None),
    ] {
        assert_eq!(which(line), expected, "{line}");
    }
}

#[test]
fn lines_are_told_as_one_failure_each_until_none_has_come_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("syslog");
    std::fs::write(&path, "").unwrap();
    let plan = Lines { path: path.clone(), ident: "eqmon-audit".to_owned(), quiet: Duration::from_secs(900) };
    let tail = Tail::new(&path, None);
    let mut watch = LineWatch { settings: plan, tail, seen: BTreeMap::new(), said: Vec::new(), count: 0 };
    let lines = watch.tail.lines().unwrap();
    assert_eq!(word(watch.judge(at(0), &lines)), "ok");
    let line = "web eqmon-audit: AUDIT_FAILURE: \u{1b}[2J\u{202e} ".to_owned() + &"x".repeat(10_000);
    let Sight::Failing(failures) = watch.judge(at(1), &[line.clone(), line.clone()]).sight else { panic!("it fails") };
    let [failure] = &failures[..] else { panic!("one failure, {failures:?}") };
    assert_eq!((failure.id.as_str(), failure.loss.as_ref().map(|loss| loss.count)), ("bt08.audit_failure", Some(2)));
    assert!(failure.summary.len() < 600 && !failure.summary.contains('\u{1b}'), "{}", failure.summary);
    assert_eq!(word(watch.judge(at(900), &["other".to_owned()])), "critical");
    assert_eq!(word(watch.judge(at(901), &[])), "ok");
}

const GOOD: [&str; 2] =
    ["Nov 22 08:00:00 web eqmon-audit[812]: AUDIT_FAILURE: x", "[22-Nov-2026 08:00:00 UTC] AuditLogger FAILURE: y"];

proptest! {
    #[test]
    fn any_line_is_a_signal_or_none(line in like(&GOOD)) {
        signal(&line, "eqmon-audit");
    }
}

#[test]
fn a_line_of_any_length_is_read_in_bounded_time() {
    check_large(GOOD[0], |line| _ = signal(line, "eqmon-audit"));
}

#[test]
fn a_restart_ends_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("syslog");
    std::fs::write(&path, "").unwrap();
    let plan = Lines { path: path.clone(), ident: "eqmon-audit".to_owned(), quiet: Duration::from_secs(900) };
    let mut watch = plan.begin(None);
    let nobody = crate::watcher::Nobody;
    watch.look(at(0), &nobody);
    std::fs::write(&path, "web eqmon-audit: AUDIT_FAILURE: x\n").unwrap();
    assert_eq!(word(watch.look(at(1), &nobody)), "critical");
    let mut next = plan.begin(watch.memory().as_ref());
    assert!(next.memory().is_some_and(|memory| memory["said"][0][2] == 1), "also before its first look");
    assert_eq!(word(next.look(at(60), &nobody)), "critical");
    assert_eq!(word(next.look(at(959), &nobody)), "critical");
    assert_eq!(word(next.look(at(960), &nobody)), "ok");
}
