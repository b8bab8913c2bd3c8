//! How each route answers to one incident, for `balefire routes test`. Decides nothing: a test holds it to
//! [`Routing::decide`].

use super::{HISTORY, Routing, preset};
use crate::matcher::Reading;
use balefire_model::Incident;
use balefire_model::record::RouteTaken;
use jiff::Timestamp;
use serde::Serialize;

/// One route's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The route's name; behind them comes the preset's step, under `plan`, `shipped` or `custom`, and the history's.
    pub route: String,
    /// What it says.
    pub verdict: Verdict,
}

/// What a route says to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes it.
    Matched {
        /// What in the incident met which condition.
        because: String,
        /// The channels that hear of it, each once; none: recorded only.
        channels: Vec<String>,
        /// The time interval because of which they hear nothing, as [`Route::muted_by`](super::Route::muted_by) has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        muted_by: Option<String>,
        /// Whether later routes are asked too.
        goes_on: bool,
    },
    /// A condition is not met. The first one that is not.
    Missed {
        /// The condition as it was written.
        condition: String,
        /// What the incident has instead, such as `host is "db-1"` or `host is missing`.
        found: String,
    },
    /// The preset sends nothing.
    Nothing {
        /// Why.
        because: String,
    },
    /// An earlier route took it and does not go on.
    NotAsked {
        /// Which one.
        taken_by: String,
    },
}

impl Routing {
    /// Every route in order, then the preset, with its answer at a moment.
    #[must_use]
    pub fn explain(&self, incident: &Incident, now: Timestamp) -> Vec<Step> {
        let reading = Reading::of(incident);
        let mut taken_by: Option<&str> = None;
        let mut steps = Vec::with_capacity(self.routes.len() + 1);
        for route in &self.routes {
            let verdict = if let Some(taken_by) = taken_by {
                Verdict::NotAsked { taken_by: taken_by.to_owned() }
            } else if let Some(unmet) = route.matchers.iter().find(|matcher| !matcher.holds_in(&reading)) {
                Verdict::Missed { condition: unmet.text().to_owned(), found: unmet.found(incident) }
            } else {
                if !route.goes_on {
                    taken_by = Some(&route.name);
                }
                let RouteTaken { because, channels, muted_by, .. } = self.taken(route, &reading, now);
                Verdict::Matched { because, channels, muted_by, goes_on: route.goes_on }
            };
            steps.push(Step { route: route.name.clone(), verdict });
        }
        let verdict = match taken_by {
            Some(taken_by) => Verdict::NotAsked { taken_by: taken_by.to_owned() },
            None => self.ask_preset(incident),
        };
        steps.push(Step { route: self.preset.as_str().to_owned(), verdict });
        if self.history.is_some()
            && let Some(RouteTaken { because, channels, muted_by, .. }) = self.decide(incident, now).routes.pop()
        {
            let verdict = Verdict::Matched { because, channels, muted_by, goes_on: true };
            steps.push(Step { route: HISTORY.to_owned(), verdict });
        }
        steps
    }

    fn ask_preset(&self, incident: &Incident) -> Verdict {
        match self.preset.ask(incident, &self.channels) {
            preset::Answer::Send(taken) => {
                let RouteTaken { because, channels, muted_by, .. } = taken;
                Verdict::Matched { because, channels, muted_by, goes_on: false }
            }
            preset::Answer::Nothing(because) => Verdict::Nothing { because },
            preset::Answer::NotAsked => Verdict::Nothing { because: "there is no preset".to_owned() },
        }
    }
}
