//! Laws of what follows an incident and a failure: ends, escalations, fallbacks, the health of channels, dead letters, and
//! what is kept for critical. Inputs in, records and acts out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Escalate, Preset, Route, Routing};
use balefire_engine::{
    Act, Answer, ChannelPolicy, DeadLetterFilter, DeadLetterOrder, Engine, Fallback, FallbackOn, Input, Job, Rate,
    Settings, Submission,
};
use balefire_model::incident::Extra;
use balefire_model::record::StateChanged;
use balefire_model::{Cause, Fingerprint, Incident, IncidentId, Outcome, Reason, Record, Severity, State};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + seconds)
}

/// Of version 7, as all are: the age of an incident is in it.
fn id(number: u16) -> IncidentId {
    let first = uuid::Builder::from_unix_timestamp_millis(1_800_000_000_000, &[0; 10]).into_uuid();
    IncidentId(Uuid::from_u128(first.as_u128() | u128::from(number)))
}

fn incident(number: u16, severity: Severity) -> Arc<Incident> {
    Arc::new(Incident {
        id: id(number),
        title: format!("incident {number}"),
        severity,
        severity_original: None,
        detected_by: "test".to_owned(),
        description: String::new(),
        nist_controls: Vec::new(),
        cui_involved: false,
        incident_id: None,
        events: Vec::new(),
        labels: BTreeMap::new(),
        fingerprint: Fingerprint("f".to_owned()),
        source: "test".to_owned(),
        event_time: None,
        received_at: at(0),
        notes: Vec::new(),
        extra: Extra::default(),
    })
}

/// A channel of one attempt at a time that hears of the end of what it was told.
fn channel(name: &str) -> ChannelPolicy {
    ChannelPolicy {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        in_flight: 1,
        follows_up: true,
        ..ChannelPolicy::default()
    }
}

fn backed(name: &str, fallback: &[(&str, u64, FallbackOn)]) -> ChannelPolicy {
    let step = |(channel, after, on): &(&str, u64, FallbackOn)| Fallback {
        channel: (*channel).to_owned(),
        after: Duration::from_secs(*after),
        on: *on,
    };
    ChannelPolicy { fallback: fallback.iter().map(step).collect(), ..channel(name) }
}

/// What tests send goes to `hook`; what the engine finds itself, to `pager`. Some are called if nobody acts.
fn settings(channels: Vec<ChannelPolicy>, escalate: &[(u64, &str)]) -> Arc<Settings> {
    let step = |(after, to): &(u64, &str)| Escalate {
        after: Duration::from_secs(*after),
        to: vec![(*to).to_owned()],
        response_time: false,
    };
    let route = |name: &str, condition: &str, to: &str| Route {
        name: name.to_owned(),
        matchers: vec![Matcher::parse(condition).unwrap()],
        to: vec![to.to_owned()],
        ..Route::default()
    };
    let mut tests = route("tests", "detected_by = test", "hook");
    tests.escalate = escalate.iter().map(step).collect();
    let routing = Routing {
        routes: vec![tests, route("own", "detected_by =~ \"balefire[.].*\"", "pager")],
        preset: Preset::Custom,
        channels: channels.iter().map(|policy| (policy.name.clone(), policy.kind.clone())).collect(),
    };
    let channels = channels.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    Arc::new(Settings { routing, channels, digest: "d".to_owned() })
}

/// An engine, what it has recorded, and the attempts that wait for their end.
struct Bench {
    engine: Engine,
    records: Vec<Record>,
    acts: Vec<Act>,
}

impl Bench {
    fn new(settings: Arc<Settings>) -> Bench {
        let mut engine = Engine::default();
        let effects = engine.resume(at(0), "0", settings);
        Bench { engine, records: effects.records, acts: effects.acts }
    }

    /// What follows from an input: the attempts, as `channel reason`, and the other records, in words.
    fn step(&mut self, seconds: i64, input: Input) -> Vec<String> {
        let effects = self.engine.step(at(seconds), input);
        let words = effects.records.iter().filter_map(told).collect();
        self.records.extend(effects.records);
        self.acts.extend(effects.acts);
        words
    }

    fn tick(&mut self, seconds: i64) -> Vec<String> {
        self.step(seconds, Input::Tick)
    }

    fn submit(&mut self, seconds: i64, number: u16, severity: Severity) -> Vec<String> {
        let incidents = vec![incident(number, severity)];
        self.step(seconds, Input::Submit(Submission { incidents, ..Submission::default() }))
    }

    /// Ends the attempt at a channel that was begun first.
    fn end(&mut self, seconds: i64, channel: &str, outcome: Outcome) -> Vec<String> {
        let is_it = |act: &Act| matches!(act, Act::Send(job) if job.channel == channel);
        let place = self.acts.iter().position(is_it).unwrap_or_else(|| panic!("no attempt at {channel}"));
        let Act::Send(Job { delivery, attempt, .. }) = self.acts.remove(place) else { unreachable!() };
        self.step(seconds, Input::AttemptEnded { delivery, attempt, outcome })
    }

    /// Ends attempts at a channel so that it fails, one after the other, and gives the time of the last.
    fn fail(&mut self, mut seconds: i64, channel: &str, times: usize) -> (i64, Vec<String>) {
        let mut words = Vec::new();
        for _ in 0..times {
            while !self.acts.iter().any(|act| matches!(act, Act::Send(job) if job.channel == channel)) {
                seconds += 1;
                self.tick(seconds);
            }
            words = self.end(seconds, channel, rejected(Cause::Network));
        }
        (seconds, words)
    }

    fn change(&mut self, seconds: i64, number: u16, state: State) -> Vec<String> {
        let change = StateChanged { incident: id(number), state, by: "anna".to_owned(), comment: String::new() };
        self.step(seconds, Input::Change(change))
    }

    fn alarms(&self) -> usize {
        self.acts.iter().filter(|act| matches!(act, Act::Alarm(_))).count()
    }
}

/// The records that tell of a decision about a channel.
fn told(record: &Record) -> Option<String> {
    let planned = |deliveries: &[balefire_model::record::Planned]| {
        let one = |planned: &balefire_model::record::Planned| format!(" {}", planned.channel);
        deliveries.iter().map(one).collect::<String>()
    };
    Some(match record {
        Record::AttemptStarted(started) => format!("try {}", started.channel),
        Record::FollowedUp(followed) => {
            let reason = followed.deliveries.first().map_or("nothing", |planned| planned.reason.as_str());
            format!("plan {reason}:{}", planned(&followed.deliveries))
        }
        Record::Suppressed(suppressed) => format!("no {}: {}", suppressed.channel, suppressed.rule),
        Record::HealthChanged(changed) => match changed.failing_since {
            Some(_) => format!("{} fails: {}", changed.channel, changed.cause.as_str()),
            None => format!("{} works", changed.channel),
        },
        Record::Accepted(incident) if incident.source == "balefire" => incident.detected_by.clone(),
        Record::Routed(routed) if routed.routes.iter().any(|route| route.route != "tests") => {
            format!("tell:{}", planned(&routed.deliveries))
        }
        Record::Redriven(redriven) => format!("again {}", redriven.channel),
        Record::Purged(purged) => format!("purged {}", purged.channel),
        _ => return None,
    })
}

fn delivered() -> Outcome {
    Outcome::Delivered { receipt: String::new() }
}

fn rejected(cause: Cause) -> Outcome {
    Outcome::Rejected { cause, detail: "because".to_owned() }
}

fn pair() -> Arc<Settings> {
    settings(vec![channel("hook"), channel("pager")], &[])
}

#[test]
fn an_end_goes_to_whoever_was_told_and_only_once() {
    let mut bench = Bench::new(pair());
    assert_eq!(bench.submit(1, 1, Severity::High), ["try hook"]);
    assert!(bench.end(2, "hook", delivered()).is_empty());
    assert_eq!(bench.change(3, 1, State::Resolved), ["plan resolved: hook", "try hook"]);
    assert!(bench.change(4, 1, State::Resolved).is_empty());
}

#[test]
fn an_end_waits_for_what_it_closes() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    assert_eq!(bench.change(2, 1, State::Resolved), ["plan resolved: hook"]);
    assert!(bench.end(3, "hook", rejected(Cause::Network)).is_empty(), "the open is tried again first");
    assert_eq!(bench.tick(30), ["try hook"]);
    assert_eq!(bench.end(31, "hook", delivered()), ["try hook"]);
    let Some(Act::Send(job)) = bench.acts.last() else { panic!("nothing is sent") };
    assert_eq!(job.reason, Reason::Resolved);
}

#[test]
fn what_was_never_opened_is_not_closed() {
    let mut bench = Bench::new(pair());
    bench.submit(1, 1, Severity::High);
    bench.change(2, 1, State::Resolved);
    assert_eq!(bench.end(3, "hook", rejected(Cause::Schema)), ["no hook: nothing-to-close"]);
    assert_eq!(bench.engine.state().pending(), 0);
}

#[test]
fn an_escalation_comes_at_its_time_unless_somebody_acts() {
    for (acted, expected) in [
        (None, vec!["plan escalated: pager", "try pager"]),
        (Some(State::Acked), vec![]),
        (Some(State::Resolved), vec![]),
    ] {
        let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]));
        bench.submit(0, 1, Severity::High);
        bench.end(1, "hook", delivered());
        assert_eq!(bench.engine.wakes_at(at(2)), Some(at(60)));
        assert!(bench.tick(59).is_empty());
        if let Some(state) = acted {
            bench.change(59, 1, state);
        }
        let came: Vec<String> = bench.tick(60).into_iter().filter(|word| word.ends_with("pager")).collect();
        assert_eq!(came, expected, "{acted:?}");
    }
}

#[test]
fn an_escalation_that_waits_is_called_off_when_the_incident_is_over() {
    let mut bench = Bench::new(settings(vec![channel("hook"), channel("pager")], &[(5, "pager"), (60, "pager")]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", delivered());
    assert_eq!(bench.tick(5), ["plan escalated: pager", "try pager"]);
    assert!(bench.end(6, "pager", rejected(Cause::Network)).is_empty());
    assert_eq!(bench.change(6, 1, State::Resolved), ["no pager: resolved-first", "plan resolved: hook", "try hook"]);
    assert!(bench.tick(60).is_empty(), "the second step does not come either");
}

#[test]
fn an_escalation_that_came_due_while_we_were_away_goes_out_at_the_start() {
    let settings = settings(vec![channel("hook"), channel("pager")], &[(60, "pager")]);
    let mut bench = Bench::new(settings.clone());
    bench.submit(0, 1, Severity::High);
    let mut again = Engine::default();
    bench.records.iter().for_each(|record| again.apply(at(0), record));
    let words: Vec<String> = again.resume(at(90), "0", settings).records.iter().filter_map(told).collect();
    assert!(words.contains(&"plan escalated: pager".to_owned()), "{words:?}");
}

#[test]
fn a_fallback_steps_in_by_time_and_by_cause() {
    for (on, cause, expected) in [
        (FallbackOn::Any, Cause::Auth, true),
        (FallbackOn::Auth, Cause::Auth, true),
        (FallbackOn::Network, Cause::Auth, false),
        (FallbackOn::Rejected, Cause::Auth, false),
    ] {
        let channels = vec![backed("hook", &[("spare", 30, on)]), channel("pager"), channel("spare")];
        let mut bench = Bench::new(settings(channels, &[]));
        bench.submit(0, 1, Severity::High);
        bench.end(1, "hook", rejected(cause));
        assert!(!bench.tick(29).contains(&"plan fallback: spare".to_owned()));
        assert_eq!(bench.tick(30).contains(&"plan fallback: spare".to_owned()), expected, "{on:?} for {cause:?}");
        assert!(!bench.tick(31).contains(&"plan fallback: spare".to_owned()), "once");
    }
}

#[test]
fn what_is_given_up_is_handed_on_at_once_and_the_stand_in_says_for_whom() {
    for (on, expected) in
        [(FallbackOn::Any, true), (FallbackOn::Rejected, true), (FallbackOn::Auth, false), (FallbackOn::Network, false)]
    {
        let channels = vec![backed("hook", &[("spare", 3600, on)]), channel("pager"), channel("spare")];
        let mut bench = Bench::new(settings(channels, &[]));
        bench.submit(0, 1, Severity::High);
        let words = bench.end(1, "hook", rejected(Cause::Schema));
        assert_eq!(words == ["plan fallback: spare", "try spare"], expected, "{on:?}: {words:?}");
        let stands_in = |act: &Act| matches!(act, Act::Send(job) if job.stands_in_for.as_deref() == Some("hook"));
        assert_eq!(bench.acts.iter().any(stands_in), expected);
    }
}

#[test]
fn a_stand_in_comes_once_also_for_what_is_redriven() {
    let channels = vec![backed("hook", &[("spare", 3600, FallbackOn::Any)]), channel("pager"), channel("spare")];
    let mut bench = Bench::new(settings(channels, &[]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    assert_eq!(bench.step(2, Input::DeadLetters(order)), ["again hook", "try hook"]);
    assert!(bench.end(3, "hook", rejected(Cause::Schema)).is_empty(), "the spare channel has it already");
    assert_eq!(bench.engine.state().pending(), 1, "which is the stand-in");
}

#[test]
fn the_end_of_an_incident_waits_for_what_was_redriven() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Schema));
    let order = DeadLetterOrder { filter: DeadLetterFilter::default(), by: "anna".to_owned(), purge: None };
    assert_eq!(bench.step(2, Input::DeadLetters(order)), ["again hook", "try hook"]);
    assert_eq!(bench.change(3, 1, State::Resolved), ["plan resolved: hook"]);
    assert_eq!(bench.end(4, "hook", delivered()), ["try hook"]);
}

#[test]
fn refused_credentials_are_told_at_once_and_other_failures_after_three_in_a_row() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    let told = ["hook fails: auth", "balefire.channel_failing", "tell: pager", "try pager"];
    assert_eq!(bench.end(1, "hook", rejected(Cause::Auth)), told);

    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    let (seconds, words) = bench.fail(0, "hook", 2);
    assert!(words.is_empty());
    let (_, words) = bench.fail(seconds, "hook", 1);
    assert_eq!(words, ["hook fails: network", "balefire.channel_failing", "tell: pager", "try pager"]);
}

#[test]
fn who_heard_of_a_failure_hears_of_the_recovery_once_each() {
    // The failure is told to the pager, which fails too, so that the spare channel stands in, twice.
    let pager = backed("pager", &[("spare", 0, FallbackOn::Any), ("spare", 0, FallbackOn::Auth)]);
    let mut bench = Bench::new(settings(vec![channel("hook"), pager, channel("spare")], &[]));
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Auth));
    bench.end(2, "pager", rejected(Cause::Auth));
    bench.end(3, "spare", delivered());
    bench.end(3, "spare", delivered());
    let (mut seconds, mut words) = (3, Vec::new());
    while !words.iter().any(|word: &String| word == "try hook") {
        seconds += 10;
        words = bench.tick(seconds);
    }
    let words = bench.end(seconds, "hook", delivered());
    assert_eq!(words[..3], ["hook works", "balefire.channel_recovered", "tell: spare"], "{words:?}");
}

#[test]
fn when_every_channel_fails_the_alarm_is_raised() {
    let mut bench = Bench::new(pair());
    bench.submit(0, 1, Severity::High);
    bench.end(1, "hook", rejected(Cause::Auth));
    assert_eq!((bench.alarms(), bench.engine.every_channel_fails()), (0, false));
    let words = bench.end(2, "pager", rejected(Cause::Auth));
    assert_eq!(words, ["pager fails: auth", "balefire.channel_failing", "tell:"]);
    assert_eq!((bench.alarms(), bench.engine.every_channel_fails()), (1, true));
}

#[test]
fn dead_letters_are_listed_redriven_and_purged_by_filter() {
    let mut bench = Bench::new(pair());
    for number in 1..=3 {
        bench.submit(0, number, Severity::High);
        bench.end(1, "hook", rejected(if number == 3 { Cause::Size } else { Cause::Schema }));
    }
    let dead = |bench: &Bench| bench.engine.dead_letters(&DeadLetterFilter::default()).count();
    assert_eq!(dead(&bench), 3);
    let order = |filter, purge: Option<&str>| {
        let purge = purge.map(str::to_owned);
        Input::DeadLetters(DeadLetterOrder { filter, by: "anna".to_owned(), purge })
    };
    let size = DeadLetterFilter { cause: Some(Cause::Size), ..DeadLetterFilter::default() };
    assert_eq!(bench.step(2, order(size, Some("too old"))), ["purged hook"]);
    let one = DeadLetterFilter { incidents: vec![id(1)], ..DeadLetterFilter::default() };
    assert_eq!(bench.step(3, order(one, None)), ["again hook", "try hook"]);
    let Some(Act::Answer(Answer::Moved { deliveries, left: 0 })) =
        bench.acts.iter().rfind(|act| matches!(act, Act::Answer(_)))
    else {
        panic!("no answer")
    };
    assert_eq!((deliveries.len(), dead(&bench)), (1, 1));
    assert!(bench.end(4, "hook", delivered()).is_empty());
    assert_eq!((dead(&bench), bench.engine.state().pending()), (1, 0));
}

#[test]
fn what_a_template_may_have_spoilt_is_tried_once_without_it() {
    let hook = ChannelPolicy { has_template: true, ..channel("hook") };
    let mut bench = Bench::new(settings(vec![hook, channel("pager")], &[]));
    bench.submit(0, 1, Severity::High);
    assert_eq!(bench.end(1, "hook", rejected(Cause::Schema)), ["try hook"]);
    assert!(matches!(bench.acts.last(), Some(Act::Send(job)) if job.plain));
    assert!(bench.end(2, "hook", rejected(Cause::Schema)).is_empty());
    assert_eq!(bench.engine.dead_letters(&DeadLetterFilter::default()).count(), 1);
}

#[test]
fn a_part_of_the_window_and_of_each_rate_is_kept_for_critical() {
    let windowed = |in_flight| ChannelPolicy { in_flight, ..channel("hook") };
    let rated = |count| ChannelPolicy { rates: vec![Rate { count, per: Duration::from_secs(60) }], ..windowed(1000) };
    for (policy, others, all) in [
        (windowed(3), 3, 3),
        (windowed(4), 3, 4),
        (windowed(16), 14, 16),
        (windowed(128), 120, 128),
        (rated(4), 4, 4),
        (rated(10), 8, 10),
    ] {
        let shown = format!("{policy:?}");
        let mut bench = Bench::new(settings(vec![policy, channel("pager")], &[]));
        let mut submit = |severity, from: u16| -> usize {
            (from..from + 200).map(|number| bench.submit(0, number, severity).len()).sum()
        };
        assert_eq!(submit(Severity::High, 0), others, "{shown}");
        assert_eq!(submit(Severity::Critical, 1000), all - others, "{shown}");
    }
}
