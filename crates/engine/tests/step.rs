//! Laws of the engine as a whole: inputs in, records and acts out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Preset, Route, Routing};
use balefire_engine::{
    Act, Answer, ChannelPolicy, Effects, Engine, Idempotency, Input, Job, Rate, Settings, Submission,
};
use balefire_model::record::Next;
use balefire_model::{Cause, Incident, Outcome, Record, Severity};
use jiff::Timestamp;
use made::{at, incident};
use std::sync::Arc;
use std::time::Duration;

mod made;

/// Every incident from low on goes to every channel named here.
fn settings(channels: &[(&str, u32, &[Rate])]) -> Arc<Settings> {
    let names: Vec<String> = channels.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let routes = vec![Route {
        name: "all".to_owned(),
        matchers: vec![Matcher::parse("severity >= low").unwrap()],
        to: names.clone(),
        ..Route::default()
    }];
    let policy = |(name, in_flight, rates): &(&str, u32, &[Rate])| {
        let policy = ChannelPolicy {
            name: (*name).to_owned(),
            kind: "webhook".to_owned(),
            in_flight: *in_flight,
            rates: rates.to_vec(),
            ..ChannelPolicy::default()
        };
        ((*name).to_owned(), policy)
    };
    let routing = Routing {
        routes,
        preset: Preset::Custom,
        channels: names.iter().map(|name| (name.clone(), "webhook".to_owned())).collect(),
        history: None,
    };
    Arc::new(Settings {
        routing,
        channels: channels.iter().map(policy).collect(),
        digest: "d".to_owned(),
        ..Settings::default()
    })
}

/// An engine, and everything that it has recorded.
struct Bench {
    engine: Engine,
    journal: Vec<(Timestamp, Record)>,
}

impl Bench {
    fn new(settings: Arc<Settings>) -> Bench {
        let mut bench = Bench { engine: Engine::default(), journal: Vec::new() };
        let effects = bench.engine.resume(at(0), "0", settings);
        bench.keep(at(0), effects);
        bench
    }

    fn keep(&mut self, now: Timestamp, effects: Effects) -> Vec<Act> {
        self.journal.extend(effects.records.into_iter().map(|record| (now, record)));
        effects.acts
    }

    fn step(&mut self, seconds: i64, input: Input) -> Vec<Act> {
        let effects = self.engine.step(at(seconds), input);
        self.keep(at(seconds), effects)
    }

    fn submit(&mut self, seconds: i64, incidents: Vec<Arc<Incident>>) -> Vec<Job> {
        jobs(self.step(seconds, Input::Submit(Submission { incidents, ..Submission::default() })))
    }

    fn ended(&mut self, seconds: i64, job: &Job, outcome: Outcome) -> Vec<Job> {
        let input = Input::AttemptEnded { delivery: job.delivery, attempt: job.attempt, outcome };
        jobs(self.step(seconds, input))
    }

    fn replayed(&self) -> Engine {
        let mut engine = Engine::default();
        for (at, record) in &self.journal {
            let entry = record.encode(*at);
            engine.apply(entry.at, &Record::decode(&entry).unwrap());
        }
        engine
    }
}

fn jobs(acts: Vec<Act>) -> Vec<Job> {
    let job = |act| match act {
        Act::Send(job) => Some(job),
        Act::Answer(_) | Act::Alarm(_) | Act::Gather(_) => None,
    };
    acts.into_iter().filter_map(job).collect()
}

fn delivered() -> Outcome {
    Outcome::Delivered { receipt: String::new() }
}

fn rejected(cause: Cause) -> Outcome {
    Outcome::Rejected { cause, detail: "because".to_owned() }
}

#[test]
fn the_worst_severity_goes_out_first_and_the_window_holds() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let first = bench.submit(1, vec![incident(1, Severity::Low), incident(2, Severity::Low)]);
    assert_eq!(first.len(), 1, "one at a time");
    assert!(bench.submit(2, vec![incident(3, Severity::Critical)]).is_empty());
    let next = bench.ended(3, &first[0], delivered());
    assert_eq!(next[0].incident, incident(3, Severity::Critical).id);
}

#[test]
fn an_incident_that_no_route_wants_is_recorded_and_says_why() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    assert!(bench.submit(1, vec![incident(1, Severity::Info)]).is_empty());
    let Some((_, Record::Routed(routed))) = bench.journal.last() else { panic!("no decision was recorded") };
    assert_eq!(routed.history_only.as_deref(), Some("no route matched"));
}

#[test]
fn a_repeated_request_gets_the_first_ids_and_accepts_nothing_again() {
    let mut bench = Bench::new(settings(&[("hook", 8, &[])]));
    let submission = |number, body: &str| {
        Input::Submit(Submission {
            incidents: vec![incident(number, Severity::High)],
            idempotency: Some(Idempotency { key: "k".to_owned(), body: body.to_owned() }),
            ..Submission::default()
        })
    };
    bench.step(1, submission(1, "b"));
    let records = bench.journal.len();
    let acts = bench.step(2, submission(2, "b"));
    let incidents = Arc::new(vec![incident(1, Severity::High).id]);
    assert!(matches!(&acts[..], [Act::Answer(answer)] if *answer == Answer::Accepted { incidents, repeated: true }));
    let acts = bench.step(3, submission(3, "another"));
    assert!(matches!(acts[..], [Act::Answer(Answer::KeyReused)]));
    assert_eq!(bench.journal.len(), records, "nothing was recorded for the repeats");
}

#[test]
fn a_channel_that_fails_gets_one_probe_at_a_time_and_a_poisonous_delivery_does_not_hold_up_the_rest() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let mut job = bench.submit(1, vec![incident(1, Severity::High)]).remove(0);
    let mut seconds = 1;
    for _ in 0..3 {
        assert!(bench.ended(seconds, &job, rejected(Cause::Network)).is_empty());
        seconds = wake(&bench, seconds);
        job = jobs(bench.step(seconds, Input::Tick)).remove(0);
    }
    // Failing by now. Another delivery comes in: it is the next probe, before the one that failed.
    bench.submit(seconds, vec![incident(2, Severity::High)]);
    assert!(bench.ended(seconds, &job, rejected(Cause::Network)).is_empty());
    seconds = wake(&bench, seconds);
    let probe = jobs(bench.step(seconds, Input::Tick)).remove(0);
    assert_eq!(probe.incident, incident(2, Severity::High).id);
}

fn wake(bench: &Bench, seconds: i64) -> i64 {
    let wakes = bench.engine.wakes_at(at(seconds)).expect("something waits");
    (wakes.as_second() - at(0).as_second() + 1).max(seconds)
}

#[test]
fn what_failed_with_its_channel_goes_out_as_soon_as_the_channel_works_again() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let mut under_way = bench.submit(1, (1..=11).map(|number| incident(number, Severity::Critical)).collect());
    let mut seconds = 1;
    for _ in 0..11 {
        let job = under_way.remove(0);
        under_way = bench.ended(seconds, &job, rejected(Cause::Network));
        while under_way.is_empty() {
            seconds = wake(&bench, seconds);
            under_way = jobs(bench.step(seconds, Input::Tick));
        }
    }
    // By now each of them would wait for minutes on its own account.
    let mut next = bench.ended(seconds, &under_way.remove(0), delivered());
    let mut gone = 1;
    while let Some(job) = next.pop() {
        next.extend(bench.ended(seconds, &job, delivered()));
        gone += 1;
    }
    // And that the channel is back, which nobody else could be told.
    assert!(gone >= 11, "{gone} of 11 have gone");
    assert_eq!(bench.engine.state().pending(), 0);
    assert_eq!(bench.replayed().state().snapshot().get(), bench.engine.state().snapshot().get());
}

#[test]
fn a_failing_channel_does_not_touch_another() {
    let mut bench = Bench::new(settings(&[("bad", 1, &[]), ("good", 1, &[])]));
    let first = bench.submit(1, vec![incident(1, Severity::High)]);
    let (bad, good): (Vec<_>, Vec<_>) = first.into_iter().partition(|job| job.channel == "bad");
    bench.ended(1, &bad[0], rejected(Cause::Auth));
    // What it hears next is that the other one fails.
    let told = bench.ended(1, &good[0], delivered());
    assert_eq!(told[0].channel, "good");
    bench.ended(1, &told[0], delivered());
    let next = bench.submit(2, vec![incident(2, Severity::High)]);
    assert!(next.iter().any(|job| job.channel == "good"));
}

#[test]
fn rates_hold_in_every_window_and_go_on_after_it() {
    let rates = [Rate { count: 2, per: Duration::from_secs(10) }];
    let mut bench = Bench::new(settings(&[("hook", 8, &rates)]));
    let first = bench.submit(1, (1..=5).map(|number| incident(number, Severity::High)).collect());
    assert_eq!(first.len(), 2);
    assert!(jobs(bench.step(10, Input::Tick)).is_empty());
    assert_eq!(bench.engine.wakes_at(at(10)), Some(at(11)));
    assert_eq!(jobs(bench.step(11, Input::Tick)).len(), 2);
}

#[test]
fn what_cannot_get_better_is_given_up_with_its_reason() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let job = bench.submit(1, vec![incident(1, Severity::High)]).remove(0);
    bench.ended(2, &job, rejected(Cause::Schema));
    let Some((_, Record::AttemptEnded(ended))) = bench.journal.last() else { panic!("no end was recorded") };
    assert_eq!(ended.next, Next::GiveUp { cause: Cause::Schema, reason: "because".to_owned() });
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn an_attempt_without_an_end_is_made_again_under_the_same_id_after_a_crash() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let job = bench.submit(1, vec![incident(1, Severity::High)]).remove(0);
    let mut engine = bench.replayed();
    let effects = engine.resume(at(9), "0", settings(&[("hook", 1, &[])]));
    let again = jobs(effects.acts).remove(0);
    assert_eq!((again.delivery, again.attempt), (job.delivery, job.attempt + 1));
    let unknown = |record: &Record| matches!(record, Record::AttemptEnded(ended) if ended.outcome == Outcome::Unknown);
    assert!(effects.records.iter().any(unknown), "the story says that the outcome is unknown");
}

#[test]
fn the_late_report_of_an_attempt_that_was_closed_changes_nothing() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let job = bench.submit(1, vec![incident(1, Severity::High)]).remove(0);
    bench.ended(2, &job, delivered());
    let records = bench.journal.len();
    bench.ended(3, &job, rejected(Cause::Network));
    assert_eq!(bench.journal.len(), records);
}

#[test]
fn what_waits_for_a_channel_that_was_removed_goes_on_when_it_returns() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    let job = bench.submit(1, vec![incident(1, Severity::High), incident(2, Severity::High)]).remove(0);
    bench.step(2, Input::Configure(settings(&[("other", 1, &[])])));
    assert!(bench.ended(3, &job, delivered()).is_empty());
    assert_eq!(bench.engine.state().pending(), 1);
    let back = jobs(bench.step(4, Input::Configure(settings(&[("hook", 1, &[])]))));
    assert_eq!(back[0].incident, incident(2, Severity::High).id);
}

#[test]
fn nothing_starts_while_draining() {
    let mut bench = Bench::new(settings(&[("hook", 1, &[])]));
    bench.step(1, Input::Drain);
    assert!(bench.submit(2, vec![incident(1, Severity::Critical)]).is_empty());
    assert_eq!(bench.engine.wakes_at(at(2)), None);
    assert_eq!(bench.engine.state().pending(), 1);
}
