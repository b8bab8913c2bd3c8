//! Storms, outages and daily digests: many deliveries become one message, nothing is lost, and what is critical goes out
//! by itself.
#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Preset, Route, Routing};
use balefire_engine::{
    Act, ChannelPolicy, Digest, Engine, Gather, GatherCause, Input, Job, SUMMARY, Settings, Stale, Storm, Submission,
    Tally,
};
use balefire_model::record::{Planned, StateChanged};
use balefire_model::{Cause, Incident, IncidentId, Outcome, Reason, Record, Severity, State};
use jiff::tz::TimeZone;
use made::{at, incident};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

mod made;

struct Bench {
    engine: Engine,
    records: Vec<Record>,
    jobs: Vec<Job>,
    gathers: Vec<Gather>,
}

impl Bench {
    /// Everything goes to one channel.
    fn new(policy: ChannelPolicy) -> Bench {
        Bench::beside(policy, None)
    }

    /// And to the history.
    fn beside(policy: ChannelPolicy, history: Option<ChannelPolicy>) -> Bench {
        let policy = ChannelPolicy { name: "chat".to_owned(), kind: "webhook".to_owned(), ..policy };
        let route = Route {
            name: "all".to_owned(),
            matchers: vec![Matcher::parse("severity >= info").unwrap()],
            to: vec!["chat".to_owned()],
            ..Route::default()
        };
        let routing = Routing {
            routes: vec![route],
            preset: Preset::Custom,
            channels: vec![("chat".to_owned(), "webhook".to_owned())],
            history: history.as_ref().map(|policy| policy.name.clone()),
        };
        let channels = [policy].into_iter().chain(history).map(|policy| (policy.name.clone(), policy)).collect();
        let settings = Arc::new(Settings { routing, channels, digest: "d".to_owned(), ..Settings::default() });
        let mut engine = Engine::default();
        let records = engine.resume(at(0), "0", settings).records;
        Bench { engine, records, jobs: Vec::new(), gathers: Vec::new() }
    }

    fn step(&mut self, seconds: i64, input: Input) {
        let effects = self.engine.step(at(seconds), input);
        self.records.extend(effects.records);
        for act in effects.acts {
            match act {
                Act::Send(job) => self.jobs.push(job),
                Act::Gather(gather) => self.gathers.push(gather),
                Act::Answer(_) | Act::Alarm(_) => {}
            }
        }
    }

    fn submit(&mut self, seconds: i64, incidents: Vec<Arc<Incident>>) {
        self.step(seconds, Input::Submit(Submission { incidents, ..Submission::default() }));
    }

    /// All attempts under way end like this.
    fn end_all(&mut self, seconds: i64, outcome: &Outcome) -> Vec<Job> {
        let jobs = std::mem::take(&mut self.jobs);
        for job in &jobs {
            let (delivery, attempt, outcome) = (job.delivery, job.attempt, outcome.clone());
            self.step(seconds, Input::AttemptEnded { delivery, attempt, outcome });
        }
        jobs
    }

    /// Counts what is to be gathered, and goes on until nothing is due.
    fn count(&mut self, seconds: i64) -> Gather {
        let gather = self.gathers.remove(0);
        let mut tally = Box::new(Tally::default());
        gather.items.iter().for_each(|_| tally.add(&incident(1, Severity::Low)));
        self.step(seconds, Input::Gathered { gather: gather.clone(), tally });
        while self.engine.wakes_at(at(seconds)).is_some_and(|due| due <= at(seconds)) {
            self.step(seconds, Input::Tick);
        }
        gather
    }

    fn suppressed(&self, rule: &str) -> usize {
        let by = |record: &&Record| matches!(record, Record::Suppressed(suppressed) if suppressed.rule == rule);
        self.records.iter().filter(by).count()
    }

    fn summaries(&self) -> Vec<&Incident> {
        let accepted = self.records.iter().filter_map(|record| match record {
            Record::Accepted(incident) => Some(&**incident),
            _ => None,
        });
        accepted.filter(|incident| incident.detected_by == SUMMARY).collect()
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { receipt: String::new() }
}

fn refused() -> Outcome {
    Outcome::Rejected { cause: Cause::Network, detail: "connection refused".to_owned() }
}

fn lows(numbers: std::ops::Range<u32>) -> Vec<Arc<Incident>> {
    numbers.map(|number| incident(number, Severity::Low)).collect()
}

fn storm() -> ChannelPolicy {
    let storm = Storm { above: 10, every: Duration::from_secs(300), up_to: Severity::Low };
    ChannelPolicy { in_flight: 2, storm: Some(storm), ..ChannelPolicy::default() }
}

#[test]
fn a_storm_of_lows_becomes_one_message_and_criticals_pass_it() {
    let mut bench = Bench::new(storm());
    bench.submit(1, lows(1..5_001));
    bench.submit(2, vec![incident(9_001, Severity::Critical), incident(9_002, Severity::Medium)]);
    let ids: BTreeSet<IncidentId> = bench.jobs.iter().map(|job| job.incident).collect();
    assert!(ids.contains(&incident(9_001, Severity::Critical).id), "{ids:?}");
    bench.end_all(3, &delivered());
    assert!(bench.jobs.iter().all(|job| job.incident == incident(9_002, Severity::Medium).id), "{:?}", bench.jobs);
    bench.end_all(3, &delivered());
    assert!(bench.gathers.is_empty() && bench.jobs.is_empty(), "company is waited for, and lows stay where they are");
    let due = bench.engine.wakes_at(at(3)).unwrap();
    assert_eq!(due, at(11));
    bench.step(11, Input::Tick);
    let gather = bench.count(11);
    assert_eq!((gather.cause, bench.suppressed("storm")), (GatherCause::Storm, gather.items.len()));
    assert_eq!(bench.summaries().len(), 1);
    assert_eq!(bench.jobs.len(), 1);
    assert_eq!(bench.jobs[0].reason, Reason::Summary);
    bench.end_all(12, &delivered());
    assert_eq!(bench.engine.state().pending(), 0, "each of the 5,000 has an ending");
}

#[test]
fn a_history_has_each_of_those_that_became_one_message_and_that_one_too() {
    let table =
        ChannelPolicy { name: "table".to_owned(), kind: "postgres".to_owned(), in_flight: 8, ..Default::default() };
    let mut bench = Bench::beside(storm(), Some(table));
    bench.submit(1, lows(1..101));
    for seconds in 2..40 {
        bench.end_all(seconds, &delivered());
        bench.step(seconds, Input::Tick);
        if !bench.gathers.is_empty() {
            bench.count(seconds);
        }
    }
    assert_eq!((bench.summaries().len(), bench.engine.state().pending()), (1, 0));
    let routed: Vec<&[Planned]> = bench
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Routed(routed) => Some(routed.deliveries.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(routed.len(), 101);
    assert!(routed.iter().all(|to| to.iter().filter(|planned| planned.channel == "table").count() == 1), "{routed:?}");
}

#[test]
fn an_end_does_not_come_for_what_was_told_of_in_a_summary() {
    let mut bench = Bench::new(ChannelPolicy { follows_up: true, ..storm() });
    bench.submit(1, lows(1..100));
    let incident = incident(50, Severity::Low).id;
    bench.step(
        2,
        Input::Change(StateChanged { incident, state: State::Resolved, by: "ana".into(), comment: "".into() }),
    );
    bench.step(11, Input::Tick);
    bench.count(11);
    bench.end_all(12, &delivered());
    assert_eq!(bench.suppressed("nothing-to-close"), 1);
    assert_eq!((bench.jobs.len(), bench.engine.state().pending()), (0, 0));
}

#[test]
fn what_all_others_of_a_storm_wait_for_goes_out() {
    let storm = Storm { above: 2, every: Duration::from_secs(300), up_to: Severity::Low };
    let mut bench =
        Bench::new(ChannelPolicy { in_flight: 1, follows_up: true, storm: Some(storm), ..ChannelPolicy::default() });
    bench.submit(0, vec![incident(1, Severity::Critical), incident(2, Severity::Low)]);
    let low = incident(2, Severity::Low).id;
    assert_ne!(bench.jobs[0].incident, low, "one at a time, the worst first");
    let over = StateChanged { incident: low, state: State::Resolved, by: "ana".into(), comment: "".into() };
    bench.step(1, Input::Change(over));
    bench.end_all(2, &delivered());
    assert_eq!(bench.jobs.len(), 1, "its end waits for it, and nothing else is there");
    assert_eq!((bench.jobs[0].incident, bench.jobs[0].reason), (low, Reason::Opened));
    bench.end_all(3, &delivered());
    assert_eq!(bench.jobs[0].reason, Reason::Resolved);
}

#[test]
fn the_next_summary_of_a_storm_comes_after_its_time() {
    let mut bench = Bench::new(storm());
    bench.submit(1, lows(1..100));
    bench.step(11, Input::Tick);
    bench.count(11);
    bench.end_all(12, &delivered());
    bench.submit(20, lows(100..200));
    bench.end_all(20, &delivered());
    bench.step(100, Input::Tick);
    assert!(bench.gathers.is_empty(), "{:?}", bench.gathers);
    assert_eq!(bench.engine.wakes_at(at(100)), Some(at(311)));
    bench.step(311, Input::Tick);
    assert_eq!(bench.count(311).cause, GatherCause::Storm);
    assert_eq!(bench.summaries().len(), 2);
}

#[test]
fn what_is_no_storm_goes_out_one_by_one() {
    let mut bench = Bench::new(storm());
    bench.submit(1, lows(1..10));
    let mut sent = 0;
    while !bench.jobs.is_empty() {
        sent += bench.end_all(2, &delivered()).len();
    }
    assert_eq!((sent, bench.suppressed("storm")), (9, 0));
}

#[test]
fn after_an_outage_what_is_old_becomes_one_message_with_its_age() {
    let policy =
        ChannelPolicy { in_flight: 4, stale: Stale::Digest(Duration::from_secs(3600)), ..ChannelPolicy::default() };
    let mut bench = Bench::new(policy);
    bench.submit(1, lows(1..50));
    let mut now = 1;
    // Down for two hours.
    while now < 7_200 {
        bench.end_all(now, &refused());
        now = bench.engine.wakes_at(at(now)).map_or(now + 60, |due| due.as_second() - at(0).as_second()).max(now + 1);
        bench.step(now, Input::Tick);
    }
    bench.submit(now, vec![incident(900, Severity::Low), incident(901, Severity::Critical)]);
    while bench.gathers.is_empty() {
        bench.end_all(now, &delivered());
        now += 1;
        bench.step(now, Input::Tick);
    }
    let gather = bench.count(now);
    assert_eq!(gather.cause, GatherCause::Stale);
    assert_eq!(bench.suppressed("stale"), gather.items.len());
    assert!(gather.items.len() > 40, "{}", gather.items.len());
    assert!(bench.summaries()[0].description.contains("the oldest is "), "{}", bench.summaries()[0].description);
    let mut sent = Vec::new();
    while bench.engine.state().pending() > 0 && now < 20_000 {
        sent.extend(bench.end_all(now, &delivered()).into_iter().map(|job| job.incident));
        now += 10;
        bench.step(now, Input::Tick);
    }
    assert!(sent.contains(&incident(900, Severity::Low).id), "what is not old goes out by itself");
    assert_eq!(bench.engine.state().pending(), 0);
    assert_eq!(bench.gathers.len(), 0, "once an outage");
}

#[test]
fn a_channel_for_what_is_open_hears_nothing_of_what_is_over() {
    for follows_up in [true, false] {
        let policy = ChannelPolicy { in_flight: 1, follows_up, stale: Stale::OpenOnly, ..ChannelPolicy::default() };
        let mut bench = Bench::new(policy);
        bench.submit(1, lows(1..4));
        let id = incident(3, Severity::Low).id;
        let resolved =
            StateChanged { incident: id, state: State::Resolved, by: "ana".to_owned(), comment: String::new() };
        bench.step(2, Input::Change(resolved));
        let mut sent = Vec::new();
        while !bench.jobs.is_empty() {
            sent.extend(bench.end_all(3, &delivered()));
        }
        assert_eq!(sent.len(), 2, "whether it hears of ends: {follows_up}");
        assert!(sent.iter().all(|job| job.incident != id), "{sent:?}");
        assert_eq!((bench.suppressed("open-only"), bench.engine.state().pending()), (1, 0));
    }
}

#[test]
fn a_digest_comes_once_a_day_also_after_downtime_and_urgent_ones_do_not_wait_for_it() {
    let zone = TimeZone::UTC;
    let digest = Digest { at: "08:00".parse().unwrap(), zone, up_to: Severity::Medium };
    let mut bench = Bench::new(ChannelPolicy { in_flight: 4, digest: Some(digest), ..ChannelPolicy::default() });
    bench.submit(1, lows(1..4));
    bench.submit(2, vec![incident(10, Severity::High)]);
    assert_eq!(bench.end_all(2, &delivered()).len(), 1);
    let due = bench.engine.wakes_at(at(2)).unwrap();
    assert_eq!(due.to_zoned(TimeZone::UTC).time(), "08:00".parse().unwrap());
    // Restarted from its records, two days later.
    let mut engine = Engine::default();
    for record in &bench.records {
        engine.apply(at(1), record);
    }
    let settings = Arc::new(Settings {
        channels: [(
            "chat".to_owned(),
            ChannelPolicy {
                name: "chat".to_owned(),
                in_flight: 4,
                digest: Some(Digest { at: "08:00".parse().unwrap(), zone: TimeZone::UTC, up_to: Severity::Medium }),
                ..ChannelPolicy::default()
            },
        )]
        .into(),
        ..Settings::default()
    });
    let late = 2 * 86_400;
    let _ = engine.resume(at(late), "0", settings);
    bench.engine = engine;
    bench.step(late, Input::Tick);
    let gather = bench.count(late);
    assert_eq!((gather.cause, gather.items.len()), (GatherCause::Digest, 3));
    assert_eq!(bench.end_all(late, &delivered()).len(), 1);
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn a_test_message_waits_for_no_digest() {
    let digest = Digest { at: "08:00".parse().unwrap(), zone: TimeZone::UTC, up_to: Severity::High };
    let mut bench = Bench::new(ChannelPolicy { in_flight: 4, digest: Some(digest), ..ChannelPolicy::default() });
    let submission = Submission {
        incidents: vec![incident(1, Severity::Info)],
        test_of: Some("chat".to_owned()),
        ..Submission::default()
    };
    bench.step(1, Input::Submit(submission));
    assert_eq!(bench.jobs.len(), 1);
}
