//! The engine with two channels or more, driven by hand: what a test puts in, and in words what came out.

use crate::made::{at, incident};
use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Escalate, Preset, Route, Routing};
use balefire_engine::{Act, ChannelPolicy, Effects, Engine, Fallback, FallbackOn, Input, Job, Settings, Submission};
use balefire_model::record::StateChanged;
use balefire_model::{Cause, Incident, IncidentId, Outcome, Record, Severity, State};
use std::sync::Arc;
use std::time::Duration;

pub fn id(number: u32) -> IncidentId {
    incident(number, Severity::Info).id
}

/// A channel of one attempt at a time that hears of the end of what it was told.
pub fn channel(name: &str) -> ChannelPolicy {
    ChannelPolicy {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        in_flight: 1,
        follows_up: true,
        ..ChannelPolicy::default()
    }
}

/// One that does not hear of ends.
pub fn forgetful(name: &str) -> ChannelPolicy {
    ChannelPolicy { follows_up: false, ..channel(name) }
}

pub fn backed(name: &str, fallback: &[(&str, u64, FallbackOn)]) -> ChannelPolicy {
    let step = |(channel, after, on): &(&str, u64, FallbackOn)| Fallback {
        channel: (*channel).to_owned(),
        after: Duration::from_secs(*after),
        on: vec![*on],
    };
    ChannelPolicy { fallback: fallback.iter().map(step).collect(), ..channel(name) }
}

/// What tests send goes to `hook`; what the engine finds itself, to `pager`. Some are called if nobody acts.
pub fn settings(channels: Vec<ChannelPolicy>, escalate: &[(u64, &str)]) -> Arc<Settings> {
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
        routes: vec![tests, route("own", "detected_by =~ \"(balefire|watch)[.].*\"", "pager")],
        preset: Preset::Custom,
        channels: channels.iter().map(|policy| (policy.name.clone(), policy.kind.clone())).collect(),
        history: None,
    };
    let channels = channels.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    Arc::new(Settings { routing, channels, digest: "d".to_owned(), ..Settings::default() })
}

/// An engine, what it has recorded, and the attempts that wait for their end. Beside it, one that knows only the records:
/// a restart gives what was live.
pub struct Bench {
    pub engine: Engine,
    pub replayed: Engine,
    pub records: Vec<Record>,
    pub acts: Vec<Act>,
}

/// So many records are looked at again.
const REPLAYED_MAX: usize = 200;

impl Bench {
    pub fn new(settings: Arc<Settings>) -> Bench {
        let (engine, replayed) = (Engine::default(), Engine::default());
        let mut bench = Bench { engine, replayed, records: Vec::new(), acts: Vec::new() };
        bench.resume(0, settings);
        bench
    }

    /// Starts, or starts again from what is recorded.
    pub fn resume(&mut self, seconds: i64, settings: Arc<Settings>) -> Vec<String> {
        self.engine = self.replayed.clone();
        self.acts.clear();
        let effects = self.engine.resume(at(seconds), "0", settings);
        self.keep(seconds, effects)
    }

    fn keep(&mut self, seconds: i64, effects: Effects) -> Vec<String> {
        let words = effects.records.iter().filter_map(told).collect();
        for record in &effects.records {
            let entry = record.encode(at(seconds));
            self.replayed.apply(entry.at, &Record::decode(&entry).unwrap());
        }
        self.records.extend(effects.records);
        self.acts.extend(effects.acts);
        if self.records.len() < REPLAYED_MAX {
            let (again, live) = (self.replayed.state().snapshot(), self.engine.state().snapshot());
            assert_eq!(again.get(), live.get(), "replay is live");
            let restored = Engine::restore(live.get().as_bytes()).unwrap();
            let pass = |text: &str| text.replacen(&format!("\"position\":{}", self.engine.state().position()), "", 1);
            let next = format!("\"position\":{}", restored.state().position());
            assert_eq!(
                pass(live.get()),
                restored.state().snapshot().get().replacen(&next, "", 1),
                "nothing is left out"
            );
        }
        words
    }

    /// What follows from an input: the attempts, as `channel reason`, and the other records, in words.
    pub fn step(&mut self, seconds: i64, input: Input) -> Vec<String> {
        let effects = self.engine.step(at(seconds), input);
        self.keep(seconds, effects)
    }

    /// What is said of the last follow-up.
    pub fn because(&self) -> &str {
        let followed = self.records.iter().rev().find_map(|record| match record {
            Record::FollowedUp(followed) => Some(followed.because.as_str()),
            _ => None,
        });
        followed.unwrap()
    }

    /// The attempt that was begun last.
    pub fn last_job(&self) -> &Job {
        let jobs = self.acts.iter().rev().find_map(|act| match act {
            Act::Send(job) => Some(job),
            _ => None,
        });
        jobs.unwrap()
    }

    /// The incident that was found last by this.
    pub fn found(&self, detected_by: &str) -> Arc<Incident> {
        let incident = self.records.iter().rev().find_map(|record| match record {
            Record::Accepted(incident) if incident.detected_by == detected_by => Some(incident.clone()),
            _ => None,
        });
        incident.unwrap()
    }

    pub fn tick(&mut self, seconds: i64) -> Vec<String> {
        self.step(seconds, Input::Tick)
    }

    pub fn submit(&mut self, seconds: i64, number: u32, severity: Severity) -> Vec<String> {
        let incidents = vec![incident(number, severity)];
        self.step(seconds, Input::Submit(Submission { incidents, ..Submission::default() }))
    }

    /// Ends the attempt at a channel that was begun first.
    pub fn end(&mut self, seconds: i64, channel: &str, outcome: Outcome) -> Vec<String> {
        let is_it = |act: &Act| matches!(act, Act::Send(job) if job.channel == channel);
        let place = self.acts.iter().position(is_it).unwrap_or_else(|| panic!("no attempt at {channel}"));
        let Act::Send(Job { delivery, attempt, .. }) = self.acts.remove(place) else { unreachable!() };
        self.step(seconds, Input::AttemptEnded { delivery, attempt, outcome })
    }

    /// Ends attempts at a channel so that it fails, one after the other, and gives the time of the last.
    pub fn fail(&mut self, mut seconds: i64, channel: &str, times: usize) -> (i64, Vec<String>) {
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

    pub fn change(&mut self, seconds: i64, number: u32, state: State) -> Vec<String> {
        self.change_of(seconds, id(number), state)
    }

    pub fn change_of(&mut self, seconds: i64, incident: IncidentId, state: State) -> Vec<String> {
        let change = StateChanged { incident, state, by: "anna".to_owned(), comment: String::new() };
        self.step(seconds, Input::Change(change))
    }

    pub fn alarms(&self) -> usize {
        self.acts.iter().filter(|act| matches!(act, Act::Alarm(_))).count()
    }
}

/// The records that tell of a decision about a channel.
pub fn told(record: &Record) -> Option<String> {
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

pub fn delivered() -> Outcome {
    Outcome::Delivered { receipt: String::new() }
}

pub fn rejected(cause: Cause) -> Outcome {
    Outcome::Rejected { cause, detail: "because".to_owned() }
}

pub fn pair() -> Arc<Settings> {
    settings(vec![channel("hook"), channel("pager")], &[])
}
