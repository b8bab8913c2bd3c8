//! Which channels hear of an incident, and why: the user's routes in order, then the preset. Knows names and kinds of
//! channels, not what they do.

mod explain;
mod finding;
mod mute;
mod preset;
#[cfg(test)]
mod tests;

use crate::dedup::DedupSettings;
use crate::matcher::{Matcher, Reading};
use balefire_model::calendar::TimeInterval;
use balefire_model::record::RouteTaken;
use balefire_model::{Incident, Severity};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

pub use explain::{Step, Verdict};
pub use finding::{Finding, FindingCode};
pub use mute::told_muted;
pub use preset::Preset;

/// What the history is called where a decision names its routes.
pub const HISTORY: &str = "history";

/// One of the user's routes.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Its name, for `why`.
    pub name: String,
    /// All of them must hold; none at all always holds.
    pub matchers: Vec<Matcher>,
    /// The channels' names. None at all: recorded only, on purpose.
    pub to: Vec<String>,
    /// Whether later routes, and at last the preset, are asked too.
    pub goes_on: bool,
    /// Who hears of it if nobody acknowledges it in time, in order.
    pub escalate: Vec<Escalate>,
    /// It sends only within one of these; none at all: always.
    pub active: Vec<Arc<TimeInterval>>,
    /// It sends nothing within any of these.
    pub mute: Vec<Arc<TimeInterval>>,
    /// What it says of repeats of what it takes, in place of what holds for all; of several routes the first one's counts.
    pub dedup: Option<DedupSettings>,
}

/// A step of an escalation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escalate {
    /// How long after the incident was routed; with `response_time`, how long after that.
    pub after: Duration,
    /// Whether the time that people have depends on the severity; see [`response_time`].
    pub response_time: bool,
    /// The channels.
    pub to: Vec<String>,
}

/// The time in which somebody should have taken an incident: critical at once, high 15 minutes, medium an hour, low a day,
/// info never. The times of the BT-08 plan.
#[must_use]
pub fn response_time(severity: Severity) -> Option<Duration> {
    const MINUTE: u64 = 60;
    let seconds = match severity {
        Severity::Critical => 0,
        Severity::High => 15 * MINUTE,
        Severity::Medium => 60 * MINUTE,
        Severity::Low => 24 * 60 * MINUTE,
        Severity::Info => return None,
    };
    Some(Duration::from_secs(seconds))
}

impl Escalate {
    /// The step with its time for an incident of this severity; `None` where there is none.
    fn for_severity(&self, severity: Severity) -> Option<Escalate> {
        let given = if self.response_time { response_time(severity)? } else { Duration::ZERO };
        Some(Escalate { after: given.saturating_add(self.after), response_time: false, to: self.to.clone() })
    }
}

/// All that routing knows.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// In the user's order.
    pub routes: Vec<Route>,
    /// Asked after them, unless a route took the incident and does not go on.
    pub preset: Preset,
    /// Every channel's name and kind key, in the configuration's order; without `history`.
    pub channels: Vec<(String, String)>,
    /// The channel that gets every incident, whatever the routes say.
    pub history: Option<String>,
}

/// Who hears of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The routes that took it, in order; then the preset, under its own name; then the history, under [`HISTORY`].
    pub routes: Vec<RouteTaken>,
    /// The channels, each once, in the order in which they were first named.
    pub channels: Vec<String>,
    /// Why it is recorded only. `Some` exactly where there is no channel.
    pub history_only: Option<String>,
    /// The steps of the routes that took it, with the routes' names, in the order of their times.
    pub escalations: Vec<(String, Escalate)>,
    /// What the first of the routes that says something of repeats says.
    pub dedup: Option<DedupSettings>,
}

impl Routing {
    /// Decides for one incident. Names in `to` that are no channel are left out. A route that is muted at this moment
    /// takes the incident as it would at any other, but sends nothing and starts no escalation.
    #[must_use]
    pub fn decide(&self, incident: &Incident, now: Timestamp) -> Decision {
        let reading = Reading::of(incident);
        let mut decision = Decision::default();
        let mut nothing_sent = Vec::new();
        let mut goes_on = true;
        for route in &self.routes {
            if !route.takes(&reading) {
                continue;
            }
            let taken = self.taken(route, &reading, now);
            decision.dedup = decision.dedup.or(route.dedup);
            if taken.muted_by.is_none() {
                let steps = route.escalate.iter().filter_map(|step| step.for_severity(incident.severity));
                decision.escalations.extend(steps.map(|step| (route.name.clone(), step)));
            }
            if taken.channels.is_empty() {
                nothing_sent.push(route.nothing_sent(&taken));
            }
            decision.take(taken);
            if !route.goes_on {
                goes_on = false;
                break;
            }
        }
        if goes_on {
            match self.preset.ask(incident, &self.channels) {
                preset::Answer::Send(taken) => decision.take(taken),
                preset::Answer::Nothing(reason) => nothing_sent.push(reason),
                preset::Answer::NotAsked if decision.routes.is_empty() => {
                    nothing_sent.push("no route matched".to_owned());
                }
                preset::Answer::NotAsked => {}
            }
        }
        decision.escalations.sort_by_key(|(_, step)| step.after);
        if decision.channels.is_empty() {
            decision.history_only = Some(nothing_sent.join("; "));
        }
        if let Some(taken) = self.goes_into_history(decision.history_only.as_deref()) {
            decision.history_only = None;
            decision.take(taken);
        }
        decision
    }

    /// That it goes into the history, where there is one; `alone`: why nobody else hears of it.
    pub(crate) fn goes_into_history(&self, alone: Option<&str>) -> Option<RouteTaken> {
        let history = self.history.clone()?;
        let alone = alone.map(|why| format!("; nobody else hears of it: {why}")).unwrap_or_default();
        let because = format!("every incident goes into the history{alone}");
        Some(RouteTaken { route: HISTORY.to_owned(), because, channels: vec![history], muted_by: None })
    }

    /// What a route that takes the incident does with it.
    fn taken<'a>(&self, route: &'a Route, reading: &Reading<'a>, now: Timestamp) -> RouteTaken {
        let muted_by = route.muted_by(now);
        let channels = if muted_by.is_some() { Vec::new() } else { self.known(&route.to) };
        RouteTaken { route: route.name.clone(), because: route.because(reading), channels, muted_by }
    }

    fn known(&self, names: &[String]) -> Vec<String> {
        let mut known: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            if !known.contains(name) && self.channels.iter().any(|(channel, _)| channel == name) {
                known.push(name.clone());
            }
        }
        known
    }
}

impl Decision {
    fn take(&mut self, taken: RouteTaken) {
        for channel in &taken.channels {
            if !self.channels.contains(channel) {
                self.channels.push(channel.clone());
            }
        }
        self.routes.push(taken);
    }
}

impl Route {
    fn takes<'a>(&'a self, reading: &Reading<'a>) -> bool {
        self.matchers.iter().all(|matcher| matcher.holds_in(reading))
    }

    /// What in the incident met the conditions. Only meaningful where the route takes it.
    fn because<'a>(&'a self, reading: &Reading<'a>) -> String {
        if self.matchers.is_empty() {
            return "the route has no conditions".to_owned();
        }
        self.matchers.iter().map(|matcher| matcher.because(reading)).collect::<Vec<_>>().join(", ")
    }

    fn nothing_sent(&self, taken: &RouteTaken) -> String {
        if let Some(muted_by) = &taken.muted_by {
            format!("route `{}` is {}", self.name, told_muted(muted_by))
        } else if self.to.is_empty() {
            format!("route `{}` names no channel", self.name)
        } else {
            format!("route `{}` names {}, but no such channel is configured", self.name, self.to.join(", "))
        }
    }
}
