//! Which channels hear of an incident, and why: the user's routes in order, then the preset. Knows names and kinds of
//! channels, not what they do.

mod explain;
mod finding;
mod preset;
#[cfg(test)]
mod tests;

use crate::matcher::{Matcher, Reading};
use balefire_model::Incident;
use balefire_model::record::RouteTaken;
use std::time::Duration;

pub use explain::{Step, Verdict};
pub use finding::{Finding, FindingCode};
pub use preset::Preset;

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
}

/// A step of an escalation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalate {
    /// How long after the incident was routed.
    pub after: Duration,
    /// The channels.
    pub to: Vec<String>,
}

/// All that routing knows.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// In the user's order.
    pub routes: Vec<Route>,
    /// Asked after them, unless a route took the incident and does not go on.
    pub preset: Preset,
    /// Every channel's name and kind key, in the configuration's order.
    pub channels: Vec<(String, String)>,
}

/// Who hears of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The routes that took it, in order; the preset, under its own name, is the last.
    pub routes: Vec<RouteTaken>,
    /// The channels, each once, in the order in which they were first named.
    pub channels: Vec<String>,
    /// Why it is recorded only. `Some` exactly where there is no channel.
    pub history_only: Option<String>,
    /// The steps of the routes that took it, with the routes' names, in the order of their times.
    pub escalations: Vec<(String, Escalate)>,
}

impl Routing {
    /// Decides for one incident. Names in `to` that are no channel are left out.
    #[must_use]
    pub fn decide(&self, incident: &Incident) -> Decision {
        let reading = Reading::of(incident);
        let mut decision = Decision::default();
        let mut nothing_sent = Vec::new();
        let mut goes_on = true;
        for route in &self.routes {
            if !route.takes(&reading) {
                continue;
            }
            let taken = RouteTaken {
                route: route.name.clone(),
                because: route.because(&reading),
                channels: self.known(&route.to),
                muted_by: None,
            };
            decision.escalations.extend(route.escalate.iter().map(|step| (route.name.clone(), step.clone())));
            if taken.channels.is_empty() {
                nothing_sent.push(route.nothing_sent());
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
        decision
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

    fn nothing_sent(&self) -> String {
        if self.to.is_empty() {
            format!("route `{}` names no channel", self.name)
        } else {
            format!("route `{}` names {}, but no such channel is configured", self.name, self.to.join(", "))
        }
    }
}
