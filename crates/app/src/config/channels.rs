//! The section `channels`: a name, one kind with its settings, and beside it what all kinds share. Knows no kind's
//! settings.

use super::gathering::{Gathering, read_gathering};
use super::named::{Named, exactly_one, items_of, read_named, report, text_of};
use super::runs::{Collect, Collecting};
use balefire_channels::{Channel, Host, KINDS, Kind};
use balefire_engine::{Digest, Fallback, FallbackOn, Stale, Storm};
use balefire_model::settings::{FieldDoc, Place, Reader, Shape, parse_duration};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A channel that is ready to be used.
pub(crate) struct ConfiguredChannel {
    /// Its name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: &'static Kind,
    /// Its decisions.
    pub(crate) channel: Arc<dyn Channel>,
    /// How much it may be sent; all of them hold, none means no limit.
    pub(crate) rates: Vec<Rate>,
    /// When a failed attempt is repeated.
    pub(crate) retry: Retry,
    /// How long an attempt may take in all, in place of what its kind says.
    pub(crate) timeout: Option<Duration>,
    /// The channels that step in when it fails.
    pub(crate) fallback: Vec<Fallback>,
    /// Whether it hears when an incident is over.
    pub(crate) follows_up: bool,
    /// When too much is too much.
    pub(crate) storm: Option<Storm>,
    /// What becomes of the backlog after an outage.
    pub(crate) stale: Stale,
    /// One message a day in place of many.
    pub(crate) digest: Option<Digest>,
    /// Whether it gets the records of a run together.
    pub(crate) collecting: Collecting,
    /// Whether it hears of every repeat.
    pub(crate) repeats: bool,
    /// Where it is defined.
    pub(crate) place: Place,
}

impl fmt::Debug for ConfiguredChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredChannel")
            .field("name", &self.name)
            .field("kind", &self.kind.key)
            .field("channel", &self.channel)
            .field("rates", &self.rates)
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// So many deliveries in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// At least 1.
    pub(crate) count: u32,
    /// More than nothing.
    pub(crate) per: Duration,
}

impl Rate {
    /// Reads `5/s`, `200/h` or `10/5m`.
    pub(crate) fn parse(text: &str) -> Option<Rate> {
        let (count, per) = text.split_once('/')?;
        let count = count.trim().parse().ok().filter(|count| *count > 0)?;
        let per = per.trim();
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) { parse_duration(per) } else { unit(per) }?;
        (!per.is_zero()).then_some(Rate { count, per })
    }
}

fn unit(text: &str) -> Option<Duration> {
    ["s", "m", "min", "h", "d"].contains(&text).then(|| parse_duration(&format!("1{text}"))).flatten()
}

/// When a failed attempt is repeated: after `initial`, then twice as long each time up to `cap`, until `horizon` has
/// passed since the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// The first pause.
    pub(crate) initial: Duration,
    /// The longest pause.
    pub(crate) cap: Duration,
    /// When it is given up.
    pub(crate) horizon: Duration,
}

const RATE_FORM: &str = "a count and a unit such as 5/s, 30/m, 200/h, 1000/d or 10/5m";
const SHARED: &[&str] = &[
    "rate",
    "retry",
    "timeout",
    "fallback",
    "send_resolved",
    "storm",
    "stale",
    "digest",
    "collect",
    "marks",
    "repeats",
];

/// Reads all channels.
pub(crate) fn read_channels(reader: &Reader<'_>, host: &Host) -> Vec<ConfiguredChannel> {
    let describe = |sample: &Reader<'_>| describe_channel(sample, KINDS);
    let doc = "Where notifications go: a name of your own, one kind with its settings, and what all kinds share.";
    let channels = read_named(reader, "channels", doc, describe, |named| {
        let path = format!("channels.{}", named.key.name);
        read_channel(named, &path, KINDS, host)
    });
    channels.into_iter().flatten().collect()
}

fn know_kinds(reader: &Reader<'_>, kinds: &[Kind]) {
    for kind in kinds {
        let shape = Shape::Section(kind.fields());
        reader.known(FieldDoc { name: kind.key, doc: kind.about, shape, required: false, default: None });
    }
}

/// The settings of a channel of one of these kinds, for who describes them.
pub(super) fn describe_channel(sample: &Reader<'_>, kinds: &[Kind]) {
    know_kinds(sample, kinds);
    read_shared(sample);
}

/// Reads a channel of one of these kinds, which stands at `path`.
pub(super) fn read_channel(
    named: Named<'_>,
    path: &str,
    kinds: &'static [Kind],
    host: &Host,
) -> Option<ConfiguredChannel> {
    let Named { key, reader } = named;
    let choices: Vec<(&'static str, &'static Kind)> = kinds.iter().map(|kind| (kind.key, kind)).collect();
    let chosen = exactly_one(&reader, path, &choices, SHARED);
    know_kinds(&reader, kinds);
    let shared = read_shared(&reader);
    let channel = chosen.map(|(_, kind, node)| {
        let inner = Reader::new(reader.session(), node, &reader.path_of(kind.key));
        let channel: Arc<dyn Channel> = Arc::from((kind.resolve)(&inner, host));
        inner.finish();
        (kind, channel)
    });
    let takes = channel.as_ref().map(|(_, channel)| channel.runs());
    let collecting = takes.map(|takes| shared.collect.resolve(&reader, takes)).unwrap_or_default();
    reader.finish();
    let (kind, channel) = channel?;
    let Shared { rates, retry, timeout, fallback, send_resolved, storm, stale, digest, .. } = shared;
    let follows_up = send_resolved.unwrap_or_else(|| channel.limits().follows_up);
    let repeats = shared.repeats.unwrap_or_else(|| kind.hears_repeats());
    Some(ConfiguredChannel {
        name: key.name.clone(),
        kind,
        channel,
        rates,
        retry,
        timeout,
        fallback,
        follows_up,
        storm,
        stale,
        digest,
        collecting,
        repeats,
        place: key.place.clone(),
    })
}

struct Shared {
    rates: Vec<Rate>,
    retry: Retry,
    timeout: Option<Duration>,
    fallback: Vec<Fallback>,
    send_resolved: Option<bool>,
    storm: Option<Storm>,
    stale: Stale,
    digest: Option<Digest>,
    collect: Collect,
    repeats: Option<bool>,
}

fn read_shared(reader: &Reader<'_>) -> Shared {
    let doc = "How many deliveries it may get; more wait their turn. Several hold together: [5/s, 200/h].";
    let shape = Shape::List(Box::new(Shape::Text(RATE_FORM)));
    reader.known(FieldDoc { name: "rate", doc, shape, required: false, default: None });
    let mut rates = Vec::new();
    for node in items_of(reader, "rate") {
        match text_of(node).and_then(Rate::parse) {
            Some(rate) => rates.push(rate),
            None => {
                report(reader.session(), node, &reader.path_of("rate"), format!("found {}", node.found()), RATE_FORM);
            }
        }
    }
    let mut retry = None;
    let doc = "When a failed attempt is repeated. \"Later\" from the far side (429, Retry-After) is obeyed beside it.";
    reader.section("retry", doc, |reader| retry = Some(read_retry(reader))).optional();
    let retry = retry.expect("a section is read also where it is missing");
    let timeout = reader.duration("timeout", "How long one attempt may take in all; the kind's own limit if not set.");
    let timeout = timeout.optional();
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        reader.reject("timeout", "found 0", "more than nothing");
    }
    let doc = "The channels that step in when this one fails, in order. What they carry says for whom it stands in; this \
               channel still tries.";
    let fallback = reader.sections("fallback", doc, read_fallback).optional().unwrap_or_default();
    let doc = "Whether it hears when an incident is over that it was told of. If not set: email, slack, webhooks \
               and postgres do, logs and other archives do not.";
    let send_resolved = reader.bool("send_resolved", doc).optional();
    let Gathering { storm, stale, digest } = read_gathering(reader);
    let collect = Collect::read(reader);
    let doc = "Whether it hears of every repeat by itself (see `dedup`), and so of none as another message about the first. \
               If not set: elasticsearch, mongodb, splunk_hec, file and postgres do, the others do not.";
    let repeats = reader.bool("repeats", doc).optional();
    Shared { rates, retry, timeout, fallback, send_resolved, storm, stale, digest, collect, repeats }
}

fn read_fallback(reader: &Reader<'_>) -> Fallback {
    let channel = reader.text("channel", "Its name.").required(String::new());
    let doc = "How long a delivery must have waited. What is given up goes over at once.";
    let after = reader.duration("after", doc).default_shown(Duration::from_secs(300), "5m");
    let causes = [
        ("any", FallbackOn::Any),
        ("auth", FallbackOn::Auth),
        ("network", FallbackOn::Network),
        ("rejected", FallbackOn::Rejected),
    ];
    let doc = "For which failures: refused credentials (`auth`), a far side that cannot be reached or does not answer \
               (`network`), a message that was given up (`rejected`), or all of them.";
    let on = reader.some_of("on", doc, &causes).default_shown(vec![FallbackOn::Any], "any");
    Fallback { channel, after, on }
}

fn read_retry(reader: &Reader<'_>) -> Retry {
    const HOUR: u64 = 3_600;
    let initial = reader.duration("initial", "The first pause; each pause after it is twice as long.");
    let initial = initial.default_shown(Duration::from_secs(1), "1s");
    let cap = reader.duration("cap", "The longest pause.").default_shown(Duration::from_secs(300), "5m");
    let horizon = reader.duration("horizon", "How long after the first attempt a delivery is given up.");
    let horizon = horizon.default_shown(Duration::from_secs(28 * HOUR), "28h");
    if initial.is_zero() {
        reader.reject("initial", "found 0", "more than nothing");
    }
    // A default gives way to a longer first pause; what was set by hand does not.
    for name in ["cap", "horizon"] {
        if given(reader, name).is_some_and(|pause| pause < initial) {
            reader.reject(name, "it is shorter than `initial`", "at least `initial`");
        }
    }
    Retry { initial, cap: cap.max(initial), horizon: horizon.max(initial) }
}

/// A duration that was set and is one.
fn given(reader: &Reader<'_>, name: &str) -> Option<Duration> {
    reader.node(name).and_then(text_of).and_then(parse_duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_count_and_a_unit() {
        let rate = |count, seconds| Some(Rate { count, per: Duration::from_secs(seconds) });
        assert_eq!(Rate::parse("5/s"), rate(5, 1));
        assert_eq!(Rate::parse("200 / h"), rate(200, 3600));
        assert_eq!(Rate::parse("10/5m"), rate(10, 300));
        for text in ["", "5", "/s", "0/s", "-1/s", "5/", "5/week", "5/0s", "1.5/s", "99999999999/s"] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }
}
