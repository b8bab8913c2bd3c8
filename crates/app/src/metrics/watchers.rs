//! What is told of watchers of audit logging. Made anew for each scrape from what people see of them, so that nothing is told
//! of a watcher that is gone. Decides nothing.

use crate::watch::{Counts, Measure};
use balefire_watch::State;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

/// So many watchers have series of their own. Where there are more, the largest kinds have none, and are told as counts only.
const WATCHERS_MAX: usize = 1000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByWatcher {
    watcher: String,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByWatcherAndState {
    watcher: String,
    kind: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByKindAndState {
    kind: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByKindAndFailure {
    kind: String,
    failure: String,
}

type Seconds = Family<ByWatcher, Gauge<f64, AtomicU64>>;

/// Writes all of it, without an end mark.
pub(crate) fn encode(
    text: &mut String,
    (watchers, failures): (&[Measure<'_>], &Counts),
    now: Timestamp,
) -> fmt::Result {
    let by_kind = Family::<ByKindAndState, Gauge>::default();
    let state = Family::<ByWatcherAndState, Gauge>::default();
    let (age, look, round_trip) = (Seconds::default(), Seconds::default(), Seconds::default());
    let counted = Family::<ByKindAndFailure, Counter>::default();
    let shown = shown(watchers);
    for one in watchers {
        let kind = || one.kind.to_owned();
        for known in State::ALL {
            let label = ByKindAndState { kind: kind(), state: known.as_str() };
            by_kind.get_or_create(&label).inc_by(i64::from(one.state == known));
        }
        if !shown.contains(&one.kind) {
            continue;
        }
        for known in State::ALL {
            let label = ByWatcherAndState { watcher: one.name.to_owned(), kind: kind(), state: known.as_str() };
            state.get_or_create(&label).set(i64::from(one.state == known));
        }
        let label = ByWatcher { watcher: one.name.to_owned(), kind: kind() };
        if let Some(proved) = one.proved {
            age.get_or_create(&label).set(now.duration_since(proved).as_secs_f64().max(0.0));
        }
        for (family, time) in [(&look, one.look), (&round_trip, one.round_trip)] {
            if let Some(time) = time {
                family.get_or_create(&label).set(time.as_secs_f64());
            }
        }
    }
    for ((kind, failure), count) in failures {
        let label = ByKindAndFailure { kind: kind.clone(), failure: failure.clone() };
        counted.get_or_create(&label).inc_by(*count);
    }
    let mut r = Registry::with_prefix("balefire");
    r.register("watchers", "Watchers of audit logging, by kind and state", by_kind);
    let help = "1 for the state that the watcher is in, 0 for the others";
    r.register("watcher_state", help, state);
    let help = "How long ago the watcher last saw that what it watches works";
    r.register_with_unit("watcher_proof_age", help, Unit::Seconds, age);
    r.register_with_unit("watcher_look", "How long the watcher's last look took", Unit::Seconds, look);
    let help = "How long the last canary took that arrived";
    r.register_with_unit("canary_round_trip", help, Unit::Seconds, round_trip);
    r.register("watcher_failures", "Failures of audit logging that began or happened since the start", counted);
    encode_registry(text, &r)
}

/// The kinds whose watchers have series of their own, the smallest first.
fn shown<'a>(watchers: &[Measure<'a>]) -> Vec<&'a str> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for one in watchers {
        *sizes.entry(one.kind).or_default() += 1;
    }
    let mut kinds: Vec<(usize, &str)> = sizes.into_iter().map(|(kind, size)| (size, kind)).collect();
    kinds.sort_unstable();
    let mut sum = 0;
    let fits = |(size, kind): (usize, &'a str)| {
        sum += size;
        (sum <= WATCHERS_MAX).then_some(kind)
    };
    kinds.into_iter().map_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn measure<'a>(name: &'a str, kind: &'a str, state: State) -> Measure<'a> {
        Measure { name, kind, state, proved: None, look: None, round_trip: None }
    }

    fn text(watchers: &[Measure<'_>], failures: &Counts) -> String {
        let mut text = String::new();
        encode(&mut text, (watchers, failures), Timestamp::from_second(1_800_000_060).unwrap()).unwrap();
        text
    }

    #[test]
    fn each_watcher_is_in_one_state_and_says_how_old_its_proof_is() {
        let canary = Measure {
            proved: Timestamp::from_second(1_800_000_000).ok(),
            look: Some(Duration::from_millis(2)),
            round_trip: Some(Duration::from_millis(750)),
            ..measure("canary:http", "canary", State::Failing)
        };
        let counts = [(("canary".to_owned(), "canary.lost".to_owned()), 3)].into_iter().collect();
        let text = text(&[canary, measure("file:/a \"b\"\n", "file", State::Blind)], &counts);
        for line in [
            "balefire_watcher_state{watcher=\"canary:http\",kind=\"canary\",state=\"failing\"} 1",
            "balefire_watcher_state{watcher=\"canary:http\",kind=\"canary\",state=\"ok\"} 0",
            "balefire_watcher_proof_age_seconds{watcher=\"canary:http\",kind=\"canary\"} 60.0",
            "balefire_watcher_look_seconds{watcher=\"canary:http\",kind=\"canary\"} 0.002",
            "balefire_canary_round_trip_seconds{watcher=\"canary:http\",kind=\"canary\"} 0.75",
            "balefire_watcher_failures_total{kind=\"canary\",failure=\"canary.lost\"} 3",
            "balefire_watchers{kind=\"file\",state=\"blind\"} 1",
            "balefire_watcher_state{watcher=\"file:/a \\\"b\\\"\\n\",kind=\"file\",state=\"blind\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(!text.contains("proof_age_seconds{watcher=\"file"), "it has none: {text}");
    }

    #[test]
    fn a_kind_with_too_many_watchers_is_told_as_counts_and_hides_no_other() {
        let names: Vec<String> = (0..10_000).map(|n| format!("source:{n}")).collect();
        let mut all: Vec<_> = names.iter().map(|name| measure(name, "source", State::Ok)).collect();
        all.push(measure("clock", "clock", State::Ok));
        let text = text(&all, &Counts::new());
        assert!(text.lines().count() < 100, "{} lines", text.lines().count());
        assert!(text.contains("balefire_watchers{kind=\"source\",state=\"ok\"} 10000"), "{text}");
        assert!(text.contains("watcher_state{watcher=\"clock\""), "{text}");
    }
}
