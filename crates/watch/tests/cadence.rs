//! Learned cadences against six kinds of sender, four weeks to learn and four to judge: false alarms and delays beside those
//! of simple rules, one collector that stops, and what ten thousand sources cost. Seeded; `--nocapture` shows the figures.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_model::settings::{Key, Node, Place, Reader, Session, Value};
use balefire_watch::{Around, Heard, KINDS, Moment, Own, Sight, Watched, Watcher};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
/// Of each kind: senders that go on, and senders that stop at some time.
const STEADY: usize = 5;
const STOPPING: usize = 9;

/// Steele's and Vigna's splitmix64: small, seeded, and good enough to make gaps of.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn part(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }
}

/// When a sender sends, in seconds from a monday's midnight.
type Generator = fn(&mut Dice, u64) -> Vec<u64>;

/// Independent events, as many in an hour as `rate` says; never more than `most`.
fn poisson(dice: &mut Dice, until: u64, most: f64, rate: fn(u64) -> f64) -> Vec<u64> {
    let (mut at, mut events) = (0.0, Vec::new());
    while at < until as f64 {
        at += -dice.part().ln() * HOUR as f64 / most;
        if dice.part() * most <= rate(at as u64) {
            events.push(at as u64);
        }
    }
    events
}

const GENERATORS: [(&str, Generator); 6] = [
    ("1/min", |dice, until| poisson(dice, until, 60.0, |_| 60.0)),
    ("1/h", |dice, until| poisson(dice, until, 1.0, |_| 1.0)),
    ("office: 10/h by day, 0.2/h by night", |dice, until| {
        poisson(dice, until, 10.0, |at| if (8..18).contains(&(at / HOUR % 24)) { 10.0 } else { 0.2 })
    }),
    ("workstation: 6/h on weekdays 9 to 17", |dice, until| {
        poisson(dice, until, 6.0, |at| {
            let is_work = at % WEEK / DAY < 5 && (9..17).contains(&(at / HOUR % 24));
            if is_work { 6.0 } else { 0.0 }
        })
    }),
    ("daily cron, up to 5 min late", |dice, until| {
        (0..until / DAY).map(|day| day * DAY + 2 * HOUR + dice.next() % (5 * MINUTE)).collect()
    }),
    ("bursts: Pareto gaps, exponent 1.3", |dice, until| {
        let (mut at, mut events) = (0.0, Vec::new());
        while at < until as f64 {
            at += MINUTE as f64 * dice.part().powf(-1.0 / 1.3);
            events.push(at as u64);
        }
        events
    }),
];

/// What the watcher hears.
#[derive(Default)]
struct Ears(BTreeMap<String, Heard>);

impl Around for Ears {
    fn source(&self, name: &str) -> Option<Heard> {
        self.0.get(name).copied()
    }
    fn sources(&self) -> Vec<(String, Heard)> {
        self.0.iter().map(|(name, heard)| (name.clone(), *heard)).collect()
    }
    fn nonce(&self) -> String {
        String::new()
    }
    fn own(&self) -> Option<Own> {
        None
    }
}

impl Ears {
    fn hear(&mut self, name: &str, now: Moment) {
        let before = self.0.get(name).map_or(0, |heard| heard.count);
        self.0.insert(name.to_owned(), Heard { last: now, count: before + 1 });
    }
}

fn at(seconds: u64) -> Moment {
    // 2026-11-02 was a monday.
    let monday: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let wall = Timestamp::from_second(monday.as_second() + i64::try_from(seconds).unwrap()).unwrap();
    Moment { boot: Duration::from_secs(DAY + seconds), wall }
}

fn node(value: &serde_json::Value) -> Node {
    let place = Place { file: "b.yaml".into(), line: 1, column: 1 };
    let value = match value {
        serde_json::Value::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(name, value)| (Key { name: name.clone(), place: place.clone() }, node(value)))
                .collect(),
        ),
        serde_json::Value::Array(items) => Value::List(items.iter().map(node).collect()),
        serde_json::Value::String(text) => Value::Scalar { text: text.clone(), quoted: true },
        other => Value::Scalar { text: other.to_string(), quoted: false },
    };
    Node { place, value }
}

/// What the list `source` of a configuration gives, or what is wrong with it.
fn read(settings: &serde_json::Value) -> Result<Vec<Watched>, Vec<String>> {
    let kind = KINDS.iter().find(|kind| kind.key == "source").unwrap();
    let node = node(&serde_json::json!({ "source": settings }));
    let load = |_: &str| Ok(String::new());
    let session = Session::new(&load);
    let reader = Reader::new(&session, &node, "watch");
    let watched = (kind.read)(&reader);
    reader.finish();
    let problems: Vec<String> = session.problems().iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(watched) } else { Err(problems) }
}

fn learned() -> Box<dyn Watcher> {
    let watched = read(&serde_json::json!([{ "match": "s-*", "learned": {} }])).unwrap();
    watched[0].plan.begin(None)
}

/// The things that fail.
fn failing(watcher: &mut dyn Watcher, now: Moment, ears: &Ears) -> Vec<String> {
    match watcher.look(now, ears).sight {
        Sight::Failing(failures) => failures.into_iter().map(|failure| failure.of).collect(),
        Sight::Ok { .. } | Sight::Blind { .. } | Sight::Unknown { .. } => Vec::new(),
    }
}

/// One sender: its events, and when it stops.
struct Sender {
    name: String,
    events: Vec<u64>,
    stops: Option<u64>,
}

/// What came of it.
#[derive(Default)]
struct Came {
    false_alarms: Vec<usize>,
    delays: Vec<u64>,
}

fn senders(generator: Generator, seed: u64) -> Vec<Sender> {
    let sender = |index: usize| {
        let mut dice = Dice(seed * 1000 + index as u64);
        let stops = (index >= STEADY).then(|| 4 * WEEK + dice.next() % (3 * WEEK));
        let mut events = generator(&mut dice, 8 * WEEK);
        events.retain(|event| stops.is_none_or(|stops| *event < stops));
        Sender { name: format!("s-{index:02}"), events, stops }
    };
    (0..STEADY + STOPPING).map(sender).collect()
}

/// Runs the watcher over eight weeks and more.
fn run(senders: &[Sender]) -> Came {
    let (mut watcher, mut ears) = (learned(), Ears::default());
    let mut next = vec![0; senders.len()];
    let mut was: Vec<bool> = vec![false; senders.len()];
    let mut false_alarms = vec![0; senders.len()];
    let mut delays: Vec<Option<u64>> = vec![None; senders.len()];
    for second in (0..8 * WEEK).step_by(90) {
        for (index, sender) in senders.iter().enumerate() {
            while sender.events.get(next[index]).is_some_and(|event| *event <= second) {
                ears.hear(&sender.name, at(sender.events[next[index]]));
                next[index] += 1;
            }
        }
        let failing = failing(&mut *watcher, at(second), &ears);
        for (index, sender) in senders.iter().enumerate() {
            let is = failing.contains(&sender.name);
            match sender.stops.filter(|stops| second >= *stops) {
                Some(stops) if is && delays[index].is_none() => delays[index] = Some(second - stops),
                Some(_) => {}
                None if is && !was[index] && second >= 4 * WEEK => false_alarms[index] += 1,
                None => {}
            }
            was[index] = is;
        }
    }
    let never = 4 * WEEK;
    let stopped = senders.iter().zip(delays).filter(|(sender, _)| sender.stops.is_some());
    Came { false_alarms, delays: stopped.map(|(_, delay)| delay.unwrap_or(never)).collect() }
}

/// What a rule with one limit for the gap does with the same senders.
fn simple(senders: &[Sender], limit: impl Fn(&[u64]) -> u64) -> Came {
    let mut result = Came::default();
    for sender in senders {
        let (before, after): (Vec<u64>, Vec<u64>) = sender.events.iter().partition(|event| **event < 4 * WEEK);
        let gaps: Vec<u64> = before.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let limit = limit(&gaps);
        let tested: Vec<u64> = before.last().into_iter().chain(&after).copied().collect();
        result.false_alarms.push(tested.windows(2).filter(|pair| pair[1] - pair[0] > limit).count());
        if let Some(stops) = sender.stops {
            let last = tested.last().copied().unwrap_or(0);
            result.delays.push((last + limit).saturating_sub(stops));
        }
    }
    result
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn shown(mut result: Came) -> String {
    let sum: usize = result.false_alarms.iter().sum();
    let minutes = median(&mut result.delays) / 60;
    let delay = if minutes < 120 { format!("{minutes} min") } else { format!("{:.1} h", minutes as f64 / 60.0) };
    format!("{:.1} / {delay}", sum as f64 / result.false_alarms.len() as f64)
}

#[test]
fn a_learned_cadence_is_wrong_at_most_once_in_four_weeks() {
    println!("| source | fixed 1 h | 3 x mean gap | 1.5 x longest gap | learned |\n|---|---|---|---|---|");
    for (seed, (name, generator)) in GENERATORS.into_iter().enumerate() {
        let senders = senders(generator, seed as u64 + 1);
        let learned = run(&senders);
        let (worst, sum) = (learned.false_alarms.iter().max().copied(), learned.false_alarms.iter().sum::<usize>());
        let mut delays = learned.delays.clone();
        let others = [
            simple(&senders, |_| HOUR),
            simple(&senders, |gaps| 3 * gaps.iter().sum::<u64>() / gaps.len() as u64),
            simple(&senders, |gaps| gaps.iter().max().unwrap() * 3 / 2),
        ];
        let [fixed, mean, longest] = others.map(shown);
        println!("| {name} | {fixed} | {mean} | {longest} | {} |", shown(learned));
        assert!(
            worst <= Some(1) && sum * 2 <= senders.len(),
            "{name}: {worst:?} false alarms of one sender, {sum} in all"
        );
        assert!(median(&mut delays) < 36 * HOUR, "{name}: {delays:?}");
    }
}

#[test]
fn a_collector_that_stops_is_one_failure_and_its_sources_are_none() {
    let (mut watcher, mut ears) = (learned(), Ears::default());
    let mut seen = Vec::new();
    let stops = 15 * DAY;
    let speaks = |ears: &mut Ears, second: u64| {
        for sender in 0..12 {
            if (second / MINUTE + sender) % 5 < 2 {
                ears.hear(&format!("s-{sender}"), at(second));
            }
        }
    };
    for second in (0..stops + 6 * HOUR).step_by(60) {
        if second < stops {
            speaks(&mut ears, second);
        }
        let failing = failing(&mut *watcher, at(second), &ears);
        if !failing.is_empty() {
            seen.push((second, failing));
        }
    }
    let (first, _) = seen[0];
    assert!(first - stops <= 6 * MINUTE, "found after {} s", first - stops);
    assert!(seen.iter().all(|(_, failing)| *failing == [""]), "{:?}", seen.last());
    speaks(&mut ears, stops + 6 * HOUR);
    let left = failing(&mut *watcher, at(stops + 6 * HOUR), &ears);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_list_that_does_not_say_what_to_expect_is_refused() {
    let refused = |settings: serde_json::Value| read(&settings).unwrap_err().join("\n");
    let two = serde_json::json!([{ "id": "a", "heartbeat": {}, "learned": {} }]);
    assert!(refused(two).contains("the entry does not say whom to expect and how"));
    let twice = serde_json::json!([{ "id": "a", "heartbeat": {} }, { "id": "a", "heartbeat": { "every": "5s" } }]);
    assert!(refused(twice).contains("a stands there twice"));
    let cron = serde_json::json!([{ "id": "a", "schedule": { "cron": "61 * * * *" } }]);
    assert!(refused(cron).contains("watch.source[0].schedule.cron: found \"61\""));
    let all = serde_json::json!([{ "id": "fw-01", "heartbeat": { "every": "60s", "grace": "30s" } },
        { "id": "backup", "schedule": { "cron": "0 2 * * *", "tz": "UTC", "start_grace": "10m", "run_max": "4h",
          "early_tolerance": "5m" } },
        { "match": "syslog-*", "learned": { "min_days": 14, "floor": "5m", "cap": "24h" } },
        { "match": "*", "expected": false }]);
    let names: Vec<String> = read(&all).unwrap().into_iter().map(|watched| watched.name).collect();
    assert_eq!(names, ["source:fw-01", "source:backup", "source:syslog-*", "source:unknown:*"]);
}

/// Kilobytes that this process holds.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// How long this process has worked.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn ten_thousand_sources_are_looked_at_within_a_second() {
    let names: Vec<String> = (0..10_000).map(|number| format!("s-{number:05}")).collect();
    let mut ears = Ears::default();
    names.iter().for_each(|name| ears.hear(name, at(0)));
    let before = resident();
    let mut watcher = learned();
    watcher.look(at(0), &ears);
    let mut longest = Duration::ZERO;
    let mut sum = Duration::ZERO;
    let looks = 2 * HOUR / 60;
    for look in 1..=looks {
        for name in names.iter().skip(look as usize % 6).step_by(6) {
            ears.hear(name, at(look * MINUTE));
        }
        let before = worked();
        watcher.look(at(look * MINUTE), &ears);
        let took = worked() - before;
        (sum, longest) = (sum + took, longest.max(took));
    }
    let each = sum.as_secs_f64() * 1000.0 / looks as f64;
    let kept = watcher.memory().unwrap().to_string().len();
    println!(
        "10,000 sources: {each:.1} ms of CPU a look, the longest {longest:?}; {} KiB more memory; {} KiB kept for a restart",
        resident() - before,
        kept / 1024
    );
    assert!(kept < 8 << 20, "{kept}");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}
