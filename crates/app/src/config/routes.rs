//! The list `routes` and the preset that follows it. Parses conditions, and checks that each channel that a route names
//! is there; decides nothing.

use super::dedup::read_route_dedup;
use super::intervals::{ConfiguredInterval, read_interval_names};
use super::named::{report, report_repeated, report_unknown, texts_of};
use balefire_engine::DedupSettings;
use balefire_engine::matcher::Matcher;
use balefire_engine::route::{Escalate, Preset, Route, Routing};
use balefire_model::settings::{Reader, parse_duration};
use std::time::Duration;

/// Reads `routing` and `routes`; `channels` are the names and kind keys of all channels. `declared` are all names that
/// stand under `channels`, also those that could not be read: that they are wrong is told once.
pub(crate) fn read_routing(
    reader: &Reader<'_>,
    channels: Vec<(String, String)>,
    declared: &[String],
    intervals: &[ConfiguredInterval],
    dedup: DedupSettings,
) -> Routing {
    let presets = [("plan", Preset::Plan), ("shipped", Preset::Shipped), ("custom", Preset::Custom)];
    let doc = "What follows your own routes: `plan` (critical: email, syslog, console; high: email, syslog; medium and \
               low: syslog; info: history only), `shipped` (syslog from low, email from high, console always, CUI to \
               every channel), or `custom` (nothing). Presets name channels by their kind.";
    let preset = reader.one_of("routing", doc, &presets).default_shown(Preset::Plan, "plan");
    let doc = "Your own routes, asked in order before the preset; the first that matches wins unless it continues.";
    let routes = reader.sections("routes", doc, |reader| read_route(reader, declared, intervals, dedup));
    let routes = routes.optional().unwrap_or_default();
    report_repeated(reader, "routes", "route");
    Routing { routes, preset, channels, history: None }
}

fn read_route(
    reader: &Reader<'_>,
    declared: &[String],
    intervals: &[ConfiguredInterval],
    general: DedupSettings,
) -> Route {
    let name = reader.parsed("name", "Its name, as `balefire why` shows it.", "a text of 1 to 64 characters", |text| {
        let length = text.chars().count();
        let clean = !text.chars().any(balefire_model::text::is_unsafe);
        ((1..=64).contains(&length) && clean).then(|| text.to_owned())
    });
    let name = name.required(String::new());
    let doc = "Conditions that must all hold, such as `severity >= high` or `host =~ \"web-.*\"`; without any, every \
               incident matches.";
    reader.texts("match", doc).optional();
    let doc = "The channels that hear of it, by name; `[]` for none: history only.";
    let to = reader.texts("to", doc).required(Vec::new());
    let goes_on = reader.bool("continue", "Whether later routes, and the preset, are asked too.").default(false);
    let matchers = read_matchers(reader);
    report_unknown_channels(reader, declared);
    let doc = "Who hears of it if nobody acknowledges or resolves it in time, step by step.";
    let escalate = reader.sections("escalate", doc, |reader| read_escalate(reader, declared));
    let escalate = escalate.optional().unwrap_or_default();
    let doc = "It sends only within these time intervals, by name; outside of them it takes what it matches and sends \
               nothing.";
    let active = read_interval_names(reader, "active_time_intervals", doc, intervals);
    let doc = "It sends nothing within these time intervals, by name, and takes what it matches all the same.";
    let mute = read_interval_names(reader, "mute_time_intervals", doc, intervals);
    let dedup = read_route_dedup(reader, general);
    Route { name, matchers, to, goes_on, escalate, active, mute, dedup }
}

fn read_escalate(reader: &Reader<'_>, declared: &[String]) -> Escalate {
    let doc = "How long after the incident was routed: a duration, or `response-time` for the time that the severity \
               allows (critical at once, high 15m, medium 1h, low 24h, info never), or a sum such as \
               `response-time + 30m`.";
    let after =
        reader.parsed("after", doc, "a duration such as 15m, response-time, or response-time + 30m", |text| match text
            .trim()
            .strip_prefix("response-time")
        {
            None => Some((parse_duration(text)?, false)),
            Some("") => Some((Duration::ZERO, true)),
            Some(more) => Some((parse_duration(more.trim().strip_prefix('+')?.trim())?, true)),
        });
    let (after, response_time) = after.required((Duration::ZERO, false));
    let doc = "What ends the escalation: `acked`, also by being resolved.";
    reader.one_of("unless", doc, &[("acked", ())]).default_shown((), "acked");
    let to = reader.texts("to", "The channels, by name; one that has heard already hears again.").required(Vec::new());
    report_unknown_channels(reader, declared);
    Escalate { after, response_time, to }
}

/// A name in `to` that no channel has.
fn report_unknown_channels(reader: &Reader<'_>, declared: &[String]) {
    for (node, channel) in texts_of(reader, "to") {
        if !declared.iter().any(|known| known == channel) {
            let shown = balefire_model::text::cut(channel, 80);
            let what = format!("there is no channel {shown:?}");
            report_unknown(reader.session(), node, &reader.path_of("to"), what, declared);
        }
    }
}

/// The conditions of `match`, which the caller has described.
pub(super) fn read_matchers(reader: &Reader<'_>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for (node, text) in texts_of(reader, "match") {
        match Matcher::parse(text) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => {
                let what = format!("{} in {}", error.what, node.found());
                let what = format!("{what}, at character {}", error.at);
                report(reader.session(), node, &reader.path_of("match"), what, &error.allowed);
            }
        }
    }
    matchers
}
