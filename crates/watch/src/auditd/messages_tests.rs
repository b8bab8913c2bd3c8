//! Laws of what auditd and the kernel say in the system's log: what begins a failure, and what ends it.

use super::*;
use balefire_model::Severity;

const CALM: Duration = Duration::from_secs(900);

fn at(seconds: u64) -> Moment {
    let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Moment { boot: Duration::from_secs(100_000 + seconds), wall }
}

#[derive(Default)]
struct Log {
    detector: Detector,
    size: Option<u64>,
    free: Option<u64>,
    flows: Option<u64>,
}

impl Log {
    /// What auditd says with this look; the file system has 1000 bytes.
    fn hears(&mut self, second: u64, texts: &[&str]) -> Look {
        let lines: String = texts.iter().map(|text| format!("Nov 22 08:00:00 web auditd[812]: {text}\n")).collect();
        self.reads(second, &lines)
    }

    fn reads(&mut self, second: u64, lines: &str) -> Look {
        let reading = Reading {
            path: "/var/log/syslog",
            log: self.size.map(|size| (size, 1)),
            room: self.free.map(|free| (free, 1000)),
            flows: self.flows.map(|second| at(second).wall),
        };
        self.detector.judge(at(second), CALM, (lines, &reading))
    }
}

fn failing(look: &Look) -> Vec<(&str, Severity)> {
    match &look.sight {
        Sight::Failing(failures) => failures.iter().map(|failure| (failure.id.as_str(), failure.severity)).collect(),
        _ => Vec::new(),
    }
}

fn is_ok(look: &Look) -> bool {
    matches!(look.sight, Sight::Ok { .. })
}

#[test]
fn a_suspended_log_is_over_when_it_grows_and_not_when_somebody_says_so() {
    let mut log = Log { size: Some(10), ..Log::default() };
    assert!(matches!(log.hears(0, &[]).sight, Sight::Unknown { .. }));
    let look = log.hears(1, &["Audit daemon is suspending logging due to low disk space."]);
    assert_eq!(failing(&look), [("audit.suspended", Severity::Critical)]);
    let look = log.hears(2, &["Audit daemon resumed logging.", "Init complete, auditd 3.0.9 listening"]);
    assert_eq!(failing(&look).len(), 1, "anybody may write that into the log");
    log.size = Some(4);
    assert_eq!(failing(&log.hears(3, &[])).len(), 1, "it was cut");
    log.size = Some(5);
    assert!(is_ok(&log.hears(4, &[])));
}

#[test]
fn where_the_log_cannot_be_seen_the_word_of_auditd_is_all_there_is() {
    let mut log = Log::default();
    log.hears(0, &["Audit daemon is suspending logging due to low disk space."]);
    assert!(!is_ok(&log.hears(1, &["something else"])));
    assert!(is_ok(&log.hears(2, &["Audit daemon is attempting to resume logging."])));
}

#[test]
fn a_step_of_want_of_room_takes_the_place_of_the_one_before_and_ends_with_room() {
    let mut log = Log { size: Some(10), free: Some(250), ..Log::default() };
    let look = log.hears(0, &["Audit daemon is low on disk space for logging"]);
    assert_eq!(failing(&look), [("audit.space_low", Severity::Medium)]);
    log.free = Some(40);
    let look = log.hears(1, &["Audit daemon is very low on disk space for logging"]);
    assert_eq!(failing(&look), [("audit.space_admin", Severity::Critical)]);
    log.free = Some(0);
    assert_eq!(failing(&log.hears(2, &[])).len(), 1);
    log.free = Some(50);
    assert_eq!(failing(&log.hears(3, &[])).len(), 1, "not yet 5 % of all");
    log.free = Some(51);
    assert!(is_ok(&log.hears(4, &[])));
}

#[test]
fn a_plugin_is_dead_until_it_is_started_again_and_at_once_both_is_an_event() {
    let mut log = Log::default();
    let (ended, back) = ("plugin /sbin/x terminated unexpectedly", "plugin /sbin/x was restarted");
    assert_eq!(failing(&log.hears(0, &[ended])), [("audit.plugin_dead", Severity::Medium)]);
    assert_eq!(failing(&log.hears(1, &["plugin /sbin/other was restarted"])).len(), 1);
    let look = log.hears(2, &[back]);
    assert!(is_ok(&look) && look.events.is_empty());
    let look = log.hears(3, &[ended, back]);
    assert!(is_ok(&look));
    assert_eq!((look.events[0].id.as_str(), look.events[0].of.as_str()), ("audit.plugin_dead", "/sbin/x"));
    let look = log.hears(4, &[ended, "plugin /sbin/x has exceeded max_restarts", back]);
    assert_eq!(failing(&look), [("audit.plugin_dead", Severity::High)]);
    assert!(is_ok(&log.hears(5, &["Init complete, auditd 3.0.9 listening for events (startup state enable)"])));
}

#[test]
fn a_queue_of_which_nothing_more_is_said_is_over_only_when_its_state_says_so() {
    let full = "queue to plugins is full - dropping event";
    let mut log = Log::default();
    log.hears(0, &[full]);
    assert_eq!(failing(&log.hears(899, &[])), [("audit.queue_overflow", Severity::High)]);
    assert!(is_ok(&log.hears(900, &[])), "each drop would have been said");
    log.hears(1000, &[full, "auditd queue full reporting limit reached - ending dropped event notifications"]);
    assert_eq!(failing(&log.hears(9000, &[])).len(), 1, "silence means nothing any more");
    log.flows = Some(999);
    assert_eq!(failing(&log.hears(9001, &[])).len(), 1, "that was before");
    log.flows = Some(9002);
    assert!(is_ok(&log.hears(9003, &[])));
}

#[test]
fn lost_records_are_counted_from_the_first_line_on() {
    let mut log = Log::default();
    let kernel =
        |count: u64| format!("Nov 22 08:00:00 web kernel: [9.1] audit: audit_lost={count} audit_rate_limit=0\n");
    assert_eq!(failing(&log.reads(0, &kernel(5))), [("audit.lost", Severity::High)]);
    let look = log.reads(1, &kernel(12));
    assert!(matches!(&look.sight, Sight::Failing(failures) if failures[0].loss.as_ref().unwrap().count == 7));
    assert_eq!(failing(&log.reads(900, "")).len(), 1);
    assert!(is_ok(&log.reads(901, "")));
}

#[test]
fn what_it_hears_is_bounded_and_one_line_without_control_characters() {
    let mut log = Log::default();
    let texts: Vec<String> = (0..100).map(|n| format!("plugin \u{1b}[{n} terminated unexpectedly")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let look = log.hears(0, &texts);
    assert_eq!(failing(&look).len(), CASES_MAX);
    let Sight::Failing(failures) = &look.sight else { panic!("it fails") };
    assert!(failures.iter().all(|failure| !format!("{failure:?}").contains('\u{1b}')));
}

#[test]
fn a_restart_knows_what_was_said() {
    let mut log = Log { size: Some(10), ..Log::default() };
    log.hears(0, &["Error rotating logs from a to b (Permission denied)"]);
    let kept = serde_json::to_string(&log.detector.cases).unwrap();
    let cases = serde_json::from_str(&kept).unwrap();
    let mut next = Log { detector: Detector { cases, ..Detector::default() }, size: Some(10), ..Log::default() };
    assert_eq!(failing(&next.hears(1, &[])), [("audit.write_error", Severity::Critical)]);
    next.size = Some(11);
    assert!(is_ok(&next.hears(2, &[])));
}
