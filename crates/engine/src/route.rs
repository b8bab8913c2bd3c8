//! Which channels hear of an incident, and why: the user's routes in order, then the preset.

use crate::matcher::Matcher;
use balefire_model::Incident;
use balefire_model::record::RouteTaken;

/// One of the user's routes.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, for `why`.
    pub name: String,
    /// All of them must hold; none at all always holds.
    pub matchers: Vec<Matcher>,
    /// The channels' names.
    pub to: Vec<String>,
    /// Whether later routes are asked too.
    pub goes_on: bool,
}

/// What follows the user's routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// critical: email, syslog, console; high: email, syslog; medium, low: syslog; info: history only.
    #[default]
    Plan,
    /// syslog from low, email from high, console always; CUI to every channel.
    Shipped,
    /// Nothing.
    Custom,
}

/// All that routing knows.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// In the user's order.
    pub routes: Vec<Route>,
    /// Asked after them.
    pub preset: Preset,
    /// Every channel's name and kind key, in the configuration's order.
    pub channels: Vec<(String, String)>,
}

/// Who hears of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The routes that took it, in order.
    pub routes: Vec<RouteTaken>,
    /// The channels, each once, in the order in which they were first named.
    pub channels: Vec<String>,
    /// Why it is recorded only, where there is no channel.
    pub history_only: Option<String>,
}

impl Routing {
    /// Decides for one incident.
    #[must_use]
    pub fn decide(&self, _incident: &Incident) -> Decision {
        Decision::default()
    }
}
