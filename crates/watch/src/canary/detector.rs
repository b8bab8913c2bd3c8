//! What became of the canaries: arrived, late, missed. Pure: knows how long they took, not how they were sent.

use super::way::{Sending, Via};
use crate::look::{Failure, Look, Moment, Sight};
use balefire_model::Severity;
use std::collections::VecDeque;
use std::time::Duration;

/// As many that were missed are remembered: a late arrival is a delay and no loss.
const LATE_MAX: usize = 16;

/// While they are missed, one is sent so often.
const RETRY: Duration = Duration::from_secs(2);

/// Where so many in a row are not taken, whoever logs hangs; one alone may have met a burst.
const FULL_TOLD: u32 = 2;

/// What that is called.
const BLOCKED: &str = "syslog.blocked_producers";

/// While one is under way it is looked for so often.
pub(crate) const LOOKING: Duration = Duration::from_millis(500);

/// The times of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) every: Duration,
    pub(crate) deadline: Duration,
    pub(crate) misses: u32,
}

/// Where one must arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// In this file.
    File(String),
    /// As an event that came in.
    Event,
    /// In the journal.
    Journal,
}

/// How audit stands when a canary is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) has_daemon: bool,
    pub(crate) daemon_runs: bool,
    /// Whether audit is on, where we may ask.
    pub(crate) is_on: Option<bool>,
}

/// The record itself.
pub(crate) fn text(host: &str, count: u64, nonce: &str) -> String {
    format!("op=canary id={host} n={count} nonce={nonce} res=success")
}

#[derive(Clone, Debug)]
struct UnderWay {
    nonce: String,
    sent: Moment,
    /// Where it has not arrived.
    missing: Vec<(usize, Expected)>,
    /// Why it could not even be sent.
    refused: Option<Sending>,
}

#[derive(Clone, Debug)]
pub(crate) struct Detector {
    via: Via,
    limits: Limits,
    count: u64,
    under_way: Option<UnderWay>,
    last_sent: Option<Moment>,
    missed: u32,
    /// Missed ones, which may come late.
    late: VecDeque<UnderWay>,
    proof: Option<String>,
    /// How long the last one took that arrived everywhere.
    took: Option<Duration>,
    told: Option<Failure>,
    /// How many in a row nobody took.
    full: u32,
    /// That nobody takes them, where they were lost before that.
    blocked: Option<Failure>,
    last_good: Option<Moment>,
}

impl Detector {
    pub(crate) fn new(via: Via, limits: Limits) -> Detector {
        Detector {
            via,
            limits,
            count: 0,
            under_way: None,
            last_sent: None,
            missed: 0,
            late: VecDeque::new(),
            proof: None,
            took: None,
            told: None,
            full: 0,
            blocked: None,
            last_good: None,
        }
    }

    /// How many were sent.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How long the last one took that arrived.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Whether the next one is to be sent now. After a missed one it is at once: what fails is to be known soon.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        match &self.under_way {
            // What is over is to be known soon, too.
            Some(way) if self.told.is_some() => now.since(way.sent) >= self.limits.deadline.min(RETRY),
            Some(way) => now.since(way.sent) >= self.limits.deadline,
            None => self.last_sent.is_none_or(|last| now.since(last) >= self.limits.every),
        }
    }

    /// One was sent. One that is still under way is missed with that.
    pub(crate) fn sent(&mut self, now: Moment, nonce: String, (expected, sending): (Vec<Expected>, Sending)) {
        if let Some(way) = self.under_way.take() {
            self.missed += 1;
            if self.late.len() >= LATE_MAX {
                self.late.pop_front();
            }
            self.late.push_back(way);
        }
        self.count += 1;
        self.full = if matches!(sending, Sending::Full(_)) { self.full + 1 } else { 0 };
        if let Sending::Full(why) = &sending
            && self.full >= FULL_TOLD
            && self.told.as_ref().is_some_and(|told| told.id != BLOCKED)
        {
            self.blocked.get_or_insert_with(|| blocked(why).labelled("canary", self.via.as_str()).since(now.wall));
        }
        self.last_sent = Some(now);
        let missing = expected.into_iter().enumerate().collect();
        let refused = Some(sending).filter(|sending| *sending != Sending::Sent);
        self.under_way = Some(UnderWay { nonce, sent: now, missing, refused });
    }

    /// The nonces that are waited for.
    pub(crate) fn awaited(&self) -> Vec<String> {
        self.under_way.iter().chain(&self.late).map(|way| way.nonce.clone()).collect()
    }

    /// New lines in one of the places.
    pub(crate) fn arrived(&mut self, now: Moment, place: usize, lines: &str) {
        let mut found = None;
        for way in self.under_way.iter_mut().chain(&mut self.late) {
            if way.missing.iter().any(|(number, _)| *number == place) && lines.contains(&way.nonce) {
                way.missing.retain(|(number, _)| *number != place);
                if way.missing.is_empty() {
                    let took = now.since(way.sent);
                    self.took = Some(took);
                    let late = if took > self.limits.deadline { ", late: delayed, not lost" } else { "" };
                    found = Some(format!("nonce {} arrived after {:.1} s{late}", way.nonce, took.as_secs_f64()));
                }
            }
        }
        if let Some(found) = found {
            self.proof = Some(found);
            (self.missed, self.told, self.last_good) = (0, None, Some(now));
            (self.full, self.blocked) = (0, None);
            self.under_way = self.under_way.take().filter(|way| !way.missing.is_empty());
            self.late.retain(|way| !way.missing.is_empty());
        }
    }

    /// How things stand.
    pub(crate) fn look(&mut self, now: Moment, stands: impl Fn() -> Option<Stands>) -> Look {
        let is_over = self.under_way.as_ref().is_some_and(|way| now.since(way.sent) >= self.limits.deadline);
        let missed = self.missed + u32::from(is_over);
        if missed >= self.limits.misses && self.told.is_none() {
            self.told = Some(self.lost(missed, stands()));
        }
        match (&self.told, &self.proof) {
            (Some(failure), _) => Sight::Failing([failure].into_iter().chain(&self.blocked).cloned().collect()).into(),
            (None, Some(_)) if missed > 0 => Look::unknown(format!("{missed} missed; looking for the next")),
            (None, Some(proof)) => Look::ok(proof.clone()),
            (None, None) => Look::unknown("the first one is under way"),
        }
    }

    fn lost(&self, missed: u32, stands: Option<Stands>) -> Failure {
        // The last one that is over, rather than one that was sent this moment.
        let way = self.late.back().or(self.under_way.as_ref());
        let place = |(_, expected): &(usize, Expected)| match expected {
            Expected::File(path) => path.clone(),
            Expected::Event => "the engine".to_owned(),
            Expected::Journal => "the journal".to_owned(),
        };
        let places: Vec<String> = way.iter().flat_map(|way| &way.missing).map(place).collect();
        let seconds = self.limits.deadline.as_secs_f64();
        let missing =
            format!("{missed} canaries in a row did not arrive in {} within {seconds:.0} s", places.join(", "));
        let lost = |summary: String| Failure::new("canary.lost", Severity::Critical, summary);
        let is_well = |stands: Stands| stands.has_daemon && stands.daemon_runs && stands.is_on != Some(false);
        let failure = match (self.via, way.and_then(|way| way.refused.as_ref())) {
            (_, Some(Sending::Full(why))) => blocked(why),
            (_, Some(Sending::Refused(why))) => lost(format!("no canary can be sent: {why}")),
            (Via::Audit, _) if stands.is_some_and(is_well) => {
                let summary = format!("auditd is there and runs, and does not write: {missing}");
                Failure::new("audit.suspended", Severity::Critical, summary)
                    .caused_by("it has suspended its log, or audit is off: both take a record and throw it away")
                    .cured_by("auditctl -s; make room (df), then auditctl --signal resume: room alone does not do it")
            }
            _ => lost(missing),
        };
        let failure = failure.labelled("canary", self.via.as_str());
        match self.last_good {
            Some(good) => failure.since(good.wall),
            None => failure,
        }
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Duration {
        match self.under_way {
            Some(_) => LOOKING,
            // Late arrivals and the next one: once a second is often enough.
            None => self.limits.every.min(Duration::from_secs(1)),
        }
    }
}

fn blocked(why: &str) -> Failure {
    Failure::new(BLOCKED, Severity::Critical, format!("programs that log hang: {why}"))
        .cured_by("see the system's logger: its socket is full; systemctl restart rsyslog")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const LIMITS: Limits = Limits { every: Duration::from_secs(30), deadline: Duration::from_secs(10), misses: 2 };

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(100_000 + seconds), wall }
    }

    fn send(detector: &mut Detector, second: u64, nonce: &str) {
        assert!(detector.is_due(at(second)), "at {second}");
        let expected = vec![Expected::File("/var/log/audit/audit.log".to_owned())];
        detector.sent(at(second), nonce.to_owned(), (expected, Sending::Sent));
    }

    fn well() -> Option<Stands> {
        Some(Stands { has_daemon: true, daemon_runs: true, is_on: None })
    }

    fn id(look: &Look) -> Option<&str> {
        match &look.sight {
            Sight::Failing(failures) => Some(failures[0].id.as_str()),
            _ => None,
        }
    }

    #[test]
    fn one_that_arrives_is_the_proof_and_the_next_goes_when_it_is_time() {
        let mut detector = Detector::new(Via::Audit, LIMITS);
        send(&mut detector, 0, "aaa");
        assert!(matches!(detector.look(at(0), well).sight, Sight::Unknown { .. }));
        detector.arrived(at(1), 0, "type=TRUSTED_APP msg='op=canary nonce=aaa'\n");
        assert_eq!(detector.look(at(1), well), Look::ok("nonce aaa arrived after 1.0 s"));
        assert_eq!(detector.took(), Some(Duration::from_secs(1)));
        assert!(!detector.is_due(at(29)));
        send(&mut detector, 30, "bbb");
    }

    #[test]
    fn two_that_are_missed_are_a_failure_and_the_second_goes_at_once() {
        let mut detector = Detector::new(Via::Audit, LIMITS);
        send(&mut detector, 0, "aaa");
        detector.arrived(at(1), 0, "aaa");
        send(&mut detector, 30, "bbb");
        assert!(!detector.is_due(at(39)));
        send(&mut detector, 40, "ccc");
        assert!(matches!(detector.look(at(40), well).sight, Sight::Unknown { .. }));
        assert_eq!(id(&detector.look(at(50), well)), Some("audit.suspended"));
        let gone = Some(Stands { has_daemon: false, daemon_runs: false, is_on: None });
        assert_eq!(id(&detector.look(at(51), || gone)), Some("audit.suspended"), "one failure keeps one name");
    }

    #[test]
    fn a_daemon_that_is_gone_or_frozen_is_no_suspended_one() {
        for stands in [None, Some(Stands { has_daemon: true, daemon_runs: false, is_on: None })] {
            let mut detector = Detector::new(Via::Audit, LIMITS);
            send(&mut detector, 0, "aaa");
            send(&mut detector, 10, "bbb");
            assert_eq!(id(&detector.look(at(20), || stands)), Some("canary.lost"));
        }
    }

    #[test]
    fn a_late_one_is_told_as_delayed_and_ends_the_failure() {
        let mut detector = Detector::new(Via::Audit, LIMITS);
        send(&mut detector, 0, "aaa");
        send(&mut detector, 10, "bbb");
        assert!(id(&detector.look(at(20), well)).is_some());
        detector.arrived(at(25), 0, "nonce=aaa");
        assert_eq!(detector.look(at(19), well), Look::ok("nonce aaa arrived after 25.0 s, late: delayed, not lost"));
    }

    #[test]
    fn it_must_arrive_everywhere() {
        let mut detector = Detector::new(Via::Syslog, LIMITS);
        let expected = ["/var/log/syslog", "/mnt/remote"].map(|path| Expected::File(path.to_owned())).to_vec();
        detector.sent(at(0), "aaa".to_owned(), (expected, Sending::Sent));
        detector.arrived(at(1), 0, "aaa");
        assert!(matches!(detector.look(at(1), well).sight, Sight::Unknown { .. }));
        detector.arrived(at(2), 1, "aaa");
        assert!(matches!(detector.look(at(2), well).sight, Sight::Ok { .. }));
    }

    #[test]
    fn a_socket_that_takes_nothing_is_what_hangs_the_programs() {
        let mut detector = Detector::new(Via::Syslog, Limits { misses: 1, ..LIMITS });
        let full = Sending::Full("write /dev/log: it would block".to_owned());
        detector.sent(at(0), "aaa".to_owned(), (vec![Expected::File("/var/log/syslog".to_owned())], full));
        assert_eq!(id(&detector.look(at(10), || None)), Some("syslog.blocked_producers"));
    }

    #[test]
    fn a_socket_that_fills_up_only_later_is_told_beside_what_was_lost_before() {
        let mut detector = Detector::new(Via::Syslog, Limits { misses: 1, ..LIMITS });
        let file = || vec![Expected::File("/var/log/syslog".to_owned())];
        let ids = |look: Look| match look.sight {
            Sight::Failing(failures) => failures.into_iter().map(|failure| failure.id).collect(),
            _ => Vec::new(),
        };
        detector.sent(at(0), "aaa".to_owned(), (file(), Sending::Sent));
        assert_eq!(ids(detector.look(at(10), || None)), ["canary.lost"]);
        for (second, sum) in [(12, 1), (14, 2)] {
            detector.sent(at(second), format!("n{second}"), (file(), Sending::Full("it would block".to_owned())));
            assert_eq!(ids(detector.look(at(second), || None)).len(), sum, "one alone may have met a burst");
        }
        detector.sent(at(16), "bbb".to_owned(), (file(), Sending::Sent));
        assert_eq!(ids(detector.look(at(16), || None)), ["canary.lost", BLOCKED], "that it is taken proves nothing");
        detector.arrived(at(17), 0, "bbb");
        assert!(matches!(detector.look(at(17), || None).sight, Sight::Ok { .. }));
    }

    #[test]
    fn missed_ones_take_a_bounded_memory() {
        let mut detector = Detector::new(Via::Audit, LIMITS);
        for round in 0..100 {
            send(&mut detector, round * 30, &format!("nonce-{round}"));
        }
        assert!(detector.awaited().len() <= LATE_MAX + 1);
    }
}
