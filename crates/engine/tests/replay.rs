//! Replay gives the memory that the live engine had: also the channels that nothing was sent to yet, and the attempts that
//! count towards a rate.

use balefire_engine::route::{Preset, Route, Routing};
use balefire_engine::{Act, ChannelPolicy, Engine, Input, Rate, Settings, Submission};
use balefire_model::{Record, Severity};
use jiff::Timestamp;
use made::{at, incident};
use std::sync::Arc;
use std::time::Duration;

mod made;

/// Two channels; the second gets everything, twice a minute.
fn settings() -> Arc<Settings> {
    let policy = |name: &str, rates| ChannelPolicy {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        in_flight: 8,
        rates,
        ..ChannelPolicy::default()
    };
    let rate = Rate { count: 2, per: Duration::from_secs(60) };
    let channels = [policy("idle", Vec::new()), policy("used", vec![rate])];
    let route = Route { name: "all".to_owned(), matchers: Vec::new(), to: vec!["used".to_owned()], ..Route::default() };
    let kinds = channels.iter().map(|policy| (policy.name.clone(), policy.kind.clone())).collect();
    Arc::new(Settings {
        routing: Routing { routes: vec![route], preset: Preset::Custom, channels: kinds, history: None },
        channels: channels.into_iter().map(|policy| (policy.name.clone(), policy)).collect(),
        digest: "d".to_owned(),
        ..Settings::default()
    })
}

fn submit(engine: &mut Engine, at: Timestamp, numbers: std::ops::Range<u32>) -> (Vec<Record>, usize) {
    let submission = Submission {
        incidents: numbers.map(|number| incident(number, Severity::High)).collect(),
        ..Submission::default()
    };
    let effects = engine.step(at, Input::Submit(submission));
    let sent = effects.acts.iter().filter(|act| matches!(act, Act::Send(_))).count();
    (effects.records, sent)
}

#[test]
fn a_replay_remembers_what_the_live_engine_remembers_so_that_a_restart_breaks_no_rate() {
    let start = at(0);
    let mut live = Engine::default();
    let mut records = live.resume(start, "1", settings()).records;
    let (more, sent) = submit(&mut live, start, 0..3);
    assert_eq!(sent, 2, "the rate lets two out");
    records.extend(more);

    let mut again = Engine::default();
    records.iter().for_each(|record| again.apply(start, record));
    assert_eq!(again.state().snapshot().get(), live.state().snapshot().get(), "replay is live");

    let restored = Engine::restore(live.state().snapshot().get().as_bytes()).unwrap();
    for mut engine in [again, restored] {
        let sends = |engine: &mut Engine, seconds| {
            let now = at(seconds);
            let effects =
                if seconds == 1 { engine.resume(now, "1", settings()) } else { engine.step(now, Input::Tick) };
            effects.acts.len()
        };
        assert_eq!(sends(&mut engine, 1), 0, "both attempts of this minute were made before the restart");
        assert_eq!(sends(&mut engine, 60), 2, "in the next minute there is room again");
    }
}
