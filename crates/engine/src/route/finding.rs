//! What in the routing can do nothing, for `balefire check`. Says only what holds for every incident: a route that some
//! incident might still reach is not reported.

use super::{Preset, Route, Routing};
use crate::matcher::SeveritySet;
use balefire_model::Severity;
use serde::Serialize;

/// Something in the routing that can do nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What sort of thing.
    pub code: FindingCode,
    /// The route, the channel, the severity or the preset.
    pub subject: String,
    /// The whole matter in one sentence.
    pub sentence: String,
}

/// The sorts of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingCode {
    /// An earlier route takes everything that this route would take.
    RouteShadowed,
    /// The route's conditions exclude each other.
    RouteNeverMatches,
    /// The route sends nothing and stops nothing.
    RouteIdle,
    /// The route sends only in time intervals in which it is muted.
    RouteNeverSends,
    /// Two routes have one name.
    RouteNameTwice,
    /// Neither a route nor the preset sends anything to the channel.
    ChannelUnreached,
    /// The preset names kinds of channels for the severity, and there is none of them.
    SeverityUnsent,
    /// There is neither a route nor a preset.
    NothingRouted,
}

impl FindingCode {
    /// The code as it is printed, such as `route-shadowed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FindingCode::RouteShadowed => "route-shadowed",
            FindingCode::RouteNeverMatches => "route-never-matches",
            FindingCode::RouteIdle => "route-idle",
            FindingCode::RouteNeverSends => "route-never-sends",
            FindingCode::RouteNameTwice => "route-name-twice",
            FindingCode::ChannelUnreached => "channel-unreached",
            FindingCode::SeverityUnsent => "severity-unsent",
            FindingCode::NothingRouted => "nothing-routed",
        }
    }
}

impl Routing {
    /// Everything that can do nothing: routes first, then channels, then severities.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            self.check_route(index, route, &mut findings);
        }
        self.check_channels(&mut findings);
        self.check_severities(&mut findings);
        findings
    }

    fn check_route(&self, index: usize, route: &Route, findings: &mut Vec<Finding>) {
        let name = &route.name;
        let mut find = |code, sentence| findings.push(Finding { code, subject: name.clone(), sentence });
        let earlier = &self.routes[..index];
        if let Some(at) = earlier.iter().position(|other| other.name == *name) {
            let (first, second) = (at + 1, index + 1);
            let sentence = format!("routes {first} and {second} are both named `{name}`: `why` cannot tell them apart");
            find(FindingCode::RouteNameTwice, sentence);
        }
        if route.severities().is_empty() {
            let sentence = format!("route `{name}` never matches: no severity meets all its conditions");
            find(FindingCode::RouteNeverMatches, sentence);
        } else if let Some(by) = earlier.iter().find(|earlier| earlier.shadows(route)) {
            let why = if by.matchers.is_empty() { "takes every incident" } else { "takes all that it would take" };
            let by = &by.name;
            let sentence =
                format!("route `{name}` is never asked: route `{by}` before it {why}, without `continue: true`");
            find(FindingCode::RouteShadowed, sentence);
        }
        if route.goes_on && route.to.is_empty() {
            let sentence = format!("route `{name}` does nothing: it names no channel and goes on to the next route");
            find(FindingCode::RouteIdle, sentence);
        }
        if route.is_always_muted() {
            let sentence = format!("route `{name}` never sends: every time interval in which it is active mutes it");
            find(FindingCode::RouteNeverSends, sentence);
        }
    }

    fn check_channels(&self, findings: &mut Vec<Finding>) {
        if self.routes.is_empty() && self.preset == Preset::Custom {
            findings.push(Finding {
                code: FindingCode::NothingRouted,
                subject: self.preset.as_str().to_owned(),
                sentence: "routing is custom and there are no routes: every incident is kept in the history only"
                    .into(),
            });
            return;
        }
        let preset = self.preset_severities();
        for (name, kind) in &self.channels {
            let names =
                |route: &Route| route.to.contains(name) || route.escalate.iter().any(|step| step.to.contains(name));
            let by_route = self.live_routes().any(names);
            let by_preset = Severity::ALL
                .into_iter()
                .filter(|severity| preset.has(*severity))
                .any(|severity| self.preset.spreads_cui() || self.preset.kinds(severity).contains(&kind.as_str()));
            if !by_route && !by_preset {
                let sentence = match self.preset {
                    Preset::Custom => format!("channel `{name}` is never used: no route names it"),
                    preset => {
                        let preset = preset.as_str();
                        format!(
                            "channel `{name}` is never used: no route names it, and {preset} sends nothing to {kind}"
                        )
                    }
                };
                findings.push(Finding { code: FindingCode::ChannelUnreached, subject: name.clone(), sentence });
            }
        }
    }

    fn check_severities(&self, findings: &mut Vec<Finding>) {
        let sent: SeveritySet = self
            .live_routes()
            .filter(|route| !self.known(&route.to).is_empty())
            .filter_map(Route::only_severities)
            .fold(SeveritySet::default(), SeveritySet::or);
        let unsent = self.preset.unsent(&self.channels).and(self.preset_severities()).without(sent);
        for severity in Severity::ALL.into_iter().filter(|severity| unsent.has(*severity)) {
            let missing = self.preset.missing(severity);
            findings.push(Finding {
                code: FindingCode::SeverityUnsent,
                subject: severity.as_str().to_owned(),
                sentence: format!("{missing}: what no route takes is kept in the history only"),
            });
        }
    }

    /// The routes that some incident may reach.
    fn live_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().enumerate().filter_map(|(index, route)| {
            let shadowed = self.routes[..index].iter().any(|earlier| earlier.shadows(route));
            (!shadowed && !route.severities().is_empty()).then_some(route)
        })
    }

    /// The severities of which some incident may reach the preset.
    fn preset_severities(&self) -> SeveritySet {
        if self.preset == Preset::Custom {
            return SeveritySet::default();
        }
        let stops = self.routes.iter().filter(|route| !route.goes_on).filter_map(Route::only_severities);
        SeveritySet::ALL.without(stops.fold(SeveritySet::default(), SeveritySet::or))
    }
}

impl Route {
    /// Whether it stops every incident that `later` would take.
    fn shadows(&self, later: &Route) -> bool {
        !self.goes_on && self.matchers.iter().all(|mine| later.matchers.iter().any(|theirs| theirs.implies(mine)))
    }

    /// The severities that meet all its conditions on the severity.
    fn severities(&self) -> SeveritySet {
        self.matchers.iter().filter_map(|matcher| matcher.severities()).fold(SeveritySet::ALL, SeveritySet::and)
    }

    /// The severities that it takes, where it asks for nothing else.
    fn only_severities(&self) -> Option<SeveritySet> {
        self.matchers.iter().all(|matcher| matcher.severities().is_some()).then(|| self.severities())
    }
}
