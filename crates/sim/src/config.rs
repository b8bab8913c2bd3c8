//! The configurations of a simulated life: real channels, built from settings by their own kinds, under policies and
//! routes that the seed chooses.

use crate::random::Random;
use balefire_channels::{Channel, Host, Kind};
use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Escalate, Preset, Route, Routing};
use balefire_engine::{
    ChannelPolicy, DedupSettings, Digest, Fallback, FallbackOn, Rate, ReportSettings, Retry, RunSettings, Settings,
    Stale, Storm,
};
use balefire_model::Severity;
use balefire_model::calendar::{Interval, TimeInterval, TimeOfDay, TimeRange};
use balefire_model::settings::{Key, Node, Place, Reader, Session, Value};
use jiff::civil::Time;
use jiff::tz::{Offset, TimeZone};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A channel that never misbehaves, and that every other one must leave alone.
pub(crate) const STEADY: &str = "archive";

/// What a channel of the simulation is made of: its name, its kind's key and the kind's settings.
type Recipe = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const RECIPES: &[Recipe] = &[
    (STEADY, "file", &[("path", "/var/lib/balefire/archive.jsonl")]),
    ("screen", "console", &[]),
    ("soc-mail", "email", &[("host", "mail.test"), ("from", "balefire@example.org"), ("to", "soc@example.org")]),
    ("siem", "syslog", &[("to", "tcp://siem.test:601")]),
    ("hook-a", "webhook", &[("url", "https://a.test/in")]),
    ("hook-b", "webhook", &[("url", "https://b.test/in"), ("body", "cloudevents"), ("secret", "a word for signing")]),
    ("hook-c", "webhook", &[("url", "https://c.test/in"), ("body", "alertmanager"), ("timeout", "3s")]),
];

/// A configuration: what the engine knows of it, and the channels.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub settings: Arc<Settings>,
    pub channels: BTreeMap<String, Arc<dyn Channel>>,
}

/// All configurations that the seed's life knows; the first is the one that it begins and ends with, and every second
/// lacks a channel.
pub(crate) fn configs(random: &mut Random) -> Vec<Config> {
    let count = random.between(1, 4);
    let whole = config(random, 0, None);
    let mut configs = vec![whole];
    for number in 1..count {
        let left_out = random.pick(&["hook-a", "hook-b", "siem", "soc-mail"]);
        configs.push(config(random, number, (number % 2 == 1).then_some(left_out)));
    }
    configs
}

fn config(random: &mut Random, number: u64, left_out: Option<&str>) -> Config {
    let mut channels: BTreeMap<String, Arc<dyn Channel>> = BTreeMap::new();
    let mut policies = BTreeMap::new();
    // Drawn aside: what is told of together does not change what else the seed's life is made of.
    let mut aside = Random::new(random.clone().next());
    let gathers = aside.chance(600);
    let mut kinds = Vec::new();
    for (name, kind, settings) in RECIPES {
        if left_out == Some(name) {
            continue;
        }
        let channel = build(kind, settings);
        let mut policy = policy(random, name, kind, channel.limits().in_flight);
        policy.fallback = fallback(random, name, left_out);
        policy.collects = channel.runs().is_some() && aside.chance(500);
        policy.marks = aside.chance(500);
        policy.repeats = *name == STEADY || aside.chance(150);
        // Drawn aside once more: notes of acknowledgements do not change what else the seed's life is made of.
        policy.hears_acks = policy.follows_up && Random::new(random.clone().next() ^ 11).chance(400);
        if gathers && *name != STEADY && aside.chance(600) {
            gather(&mut aside, &mut policy);
        }
        policies.insert((*name).to_owned(), policy);
        channels.insert((*name).to_owned(), channel);
        kinds.push(((*name).to_owned(), (*kind).to_owned()));
    }
    let runs = RunSettings { close_after: Duration::from_secs(aside.pick(&[10, 600, 21_600])) };
    let reports = aside.chance(500).then(|| ReportSettings {
        report_within: Duration::from_secs(aside.pick(&[600, 7_200, 86_400])),
        remind_before: Duration::from_secs(aside.pick(&[0, 300, 3_600])),
    });
    let routing = Routing { routes: routes(random), preset: random.pick(&PRESETS), channels: kinds, history: None };
    let dedup = dedup(&mut aside);
    let digest = format!("configuration {number}");
    let settings = Settings { routing, channels: policies, digest, runs, reports, dedup };
    Config { settings: Arc::new(settings), channels }
}

/// What is known again, most of the time.
fn dedup(random: &mut Random) -> DedupSettings {
    let seconds = |random: &mut Random, of: &[u64]| Duration::from_secs(random.pick(of));
    let window = random.chance(850).then(|| seconds(random, &[2, 30, 600, 3_600]));
    DedupSettings {
        window,
        realert_after: seconds(random, &[1, 20, 300, 3_600]),
        resolve_after: (window.is_some() && random.chance(400)).then(|| seconds(random, &[1, 60, 900, 7_200])),
    }
}

/// What a channel tells of in one message: in a storm, after an outage, once a day.
fn gather(random: &mut Random, policy: &mut ChannelPolicy) {
    let up_to = [Severity::Info, Severity::Low, Severity::Medium, Severity::High];
    if random.chance(600) {
        let above = random.pick(&[2, 3, 5, 12]);
        let every = Duration::from_secs(random.pick(&[1, 60, 900]));
        policy.storm = Some(Storm { above, every, up_to: random.pick(&up_to) });
    }
    policy.stale = match random.between(0, 3) {
        0 => Stale::OpenOnly,
        1 | 2 => Stale::Digest(Duration::from_secs(random.pick(&[0, 5, 60, 900]))),
        _ => Stale::All,
    };
    if random.chance(250) {
        let hour = i8::try_from(random.between(0, 23)).expect("an hour");
        let minute = i8::try_from(random.between(0, 59)).expect("a minute");
        let zone = TimeZone::fixed(Offset::constant(random.pick(&[-11, 0, 1, 13])));
        policy.digest = Some(Digest { at: Time::constant(hour, minute, 0, 0), zone, up_to: random.pick(&up_to) });
    }
}

/// The channels that step in: only later ones in the list, or the first, so that there is no loop.
fn fallback(random: &mut Random, name: &str, left_out: Option<&str>) -> Vec<Fallback> {
    let place = RECIPES.iter().position(|(other, ..)| *other == name).expect("a channel of the list");
    let there = RECIPES.iter().enumerate().filter(|(other, _)| place != 0 && (*other == 0 || *other > place));
    let there: Vec<&str> = there.map(|(_, (name, ..))| *name).filter(|name| left_out != Some(name)).collect();
    let mut steps = Vec::new();
    if there.is_empty() || random.chance(500) {
        return steps;
    }
    for _ in 0..random.between(1, 3) {
        let any = [FallbackOn::Any, FallbackOn::Auth, FallbackOn::Network, FallbackOn::Rejected];
        let on = (0..random.between(1, 2)).map(|_| random.pick(&any)).collect();
        let after = Duration::from_secs(random.pick(&[0, 5, 60, 900, 14_400]));
        steps.push(Fallback { channel: random.pick(&there).to_owned(), after, on });
    }
    steps
}

/// Who is called if nobody acts; some of them at the same time, some by names that are no channel.
fn escalate(random: &mut Random) -> Vec<Escalate> {
    let step = |random: &mut Random| {
        let after = Duration::from_secs(random.pick(&[1, 30, 900, 3_600, 86_400]));
        let count = random.between(1, 2);
        let mut to: Vec<String> = Vec::new();
        for _ in 0..count {
            let name = random.pick(&["soc-mail", "screen", "hook-a", "hook-b", "siem", "nobody"]).to_owned();
            if !to.contains(&name) {
                to.push(name);
            }
        }
        Escalate { after, to, response_time: false }
    };
    (0..random.sometimes(400, 1, 3)).map(|_| step(random)).collect()
}

const PRESETS: [Preset; 3] = [Preset::Plan, Preset::Shipped, Preset::Custom];

fn routes(random: &mut Random) -> Vec<Route> {
    let all: [(&str, &[&str], &[&str]); 6] = [
        ("everything", &[], &[STEADY]),
        ("hooks", &["severity >= medium"], &["hook-a", "hook-b"]),
        ("web", &["host =~ \"web-.*\""], &["hook-c", "screen"]),
        ("noise", &["severity = info", "host = \"test-1\""], &[]),
        ("people", &["severity = critical"], &["soc-mail", "screen", "hook-a"]),
        ("siem", &["severity > info"], &["siem"]),
    ];
    let mut routes = Vec::new();
    for (place, (name, matchers, to)) in all.into_iter().enumerate() {
        // The steady channel hears of everything, so that there is always something to compare with.
        if place > 0 && random.chance(400) {
            continue;
        }
        let matchers = matchers.iter().map(|text| Matcher::parse(text).expect("a condition that is written here"));
        let to = to.iter().map(|name| (*name).to_owned()).collect();
        let goes_on = place == 0 || random.chance(700);
        let escalate = escalate(random);
        let matchers = matchers.collect();
        // Drawn aside: hours do not change what else the seed's life is made of.
        let mute = if place > 0 { mute(&mut random.clone()) } else { Vec::new() };
        let mut aside = Random::new(random.clone().next() ^ 7);
        let dedup = aside.chance(250).then(|| DedupSettings { resolve_after: None, ..dedup(&mut aside) });
        routes.push(Route { name: name.to_owned(), matchers, to, goes_on, escalate, mute, dedup, ..Route::default() });
    }
    routes
}

/// The first minutes of some hours of the day, in which a route sends nothing.
fn mute(random: &mut Random) -> Vec<Arc<TimeInterval>> {
    if random.chance(700) {
        return Vec::new();
    }
    let time = |hour: u64, minute: u64| {
        TimeOfDay::parse(&format!("{hour:02}:{minute:02}")).expect("a time of day that is made here")
    };
    let (step, minutes) = (random.between(1, 3), random.between(1, 59));
    let mut interval = Interval::always(TimeZone::UTC);
    interval.times = (0..24)
        .filter(|hour| hour % step == 0)
        .map(|hour| TimeRange::new(time(hour, 0), time(hour, minutes)).expect("it ends after it begins"))
        .collect();
    vec![Arc::new(TimeInterval { name: "breaks".to_owned(), intervals: vec![interval] })]
}

fn policy(random: &mut Random, name: &str, kind: &str, in_flight_max: u32) -> ChannelPolicy {
    let in_flight = match random.pick(&[1, 2, 8, u32::MAX]) {
        _ if name == STEADY => in_flight_max,
        few => few.min(in_flight_max),
    };
    let retry = Retry {
        initial: Duration::from_millis(random.pick(&[100, 1_000, 5_000])),
        cap: Duration::from_secs(random.pick(&[30, 300])),
        horizon: Duration::from_secs(3_600 * random.pick(&[1, 4, 28])),
    };
    let rate = |count, seconds| Rate { count, per: Duration::from_secs(seconds) };
    let rates = match random.between(0, 4) {
        _ if name == STEADY => Vec::new(),
        0 => vec![rate(1, 1)],
        1 => vec![rate(5, 1), rate(60, 600)],
        _ => Vec::new(),
    };
    ChannelPolicy {
        name: name.to_owned(),
        kind: kind.to_owned(),
        in_flight,
        retry,
        rates,
        follows_up: random.chance(600),
        has_template: random.chance(400),
        ..ChannelPolicy::default()
    }
}

fn build(kind: &str, settings: &[(&str, &str)]) -> Arc<dyn Channel> {
    let load = |path: &str| Err(format!("{path} is not to be read here"));
    let session = Session::new(&load);
    let node = mapping(settings);
    let reader = Reader::new(&session, &node, kind);
    let kind = Kind::find(kind).expect("a kind that is written here");
    let host = Host { name: "sim".to_owned(), pid: 7, ..Host::default() };
    let channel = (kind.resolve)(&reader, &host);
    reader.finish();
    let problems = session.problems();
    assert!(problems.is_empty(), "settings that are written here are right: {problems:?}");
    Arc::from(channel)
}

fn mapping(settings: &[(&str, &str)]) -> Node {
    let scalar =
        |text: &str| Node { place: Place::default(), value: Value::Scalar { text: text.to_owned(), quoted: false } };
    let entry = |(name, text): &(&str, &str)| (Key { name: (*name).to_owned(), place: Place::default() }, scalar(text));
    Node { place: Place::default(), value: Value::Map(settings.iter().map(entry).collect()) }
}
