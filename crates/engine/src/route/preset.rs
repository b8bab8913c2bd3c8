//! What the presets send where. They name channels by kind, so that they fit any configuration.

use crate::matcher::SeveritySet;
use balefire_model::record::RouteTaken;
use balefire_model::{Incident, Severity};

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

/// What a preset says to an incident.
pub(super) enum Answer {
    /// These channels.
    Send(RouteTaken),
    /// No channel, for this reason.
    Nothing(String),
    /// It has no opinion.
    NotAsked,
}

impl Preset {
    /// The word in the configuration: `plan`, `shipped` or `custom`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::Plan => "plan",
            Preset::Shipped => "shipped",
            Preset::Custom => "custom",
        }
    }

    /// The kinds of channels that it names for a severity, in the order in which they are asked.
    #[must_use]
    pub fn kinds(self, severity: Severity) -> &'static [&'static str] {
        match (self, severity) {
            (Preset::Plan | Preset::Shipped, Severity::Critical) | (Preset::Shipped, Severity::High) => {
                &["email", "syslog", "console"]
            }
            (Preset::Plan, Severity::High) => &["email", "syslog"],
            (Preset::Plan, Severity::Medium | Severity::Low) => &["syslog"],
            (Preset::Shipped, Severity::Medium | Severity::Low) => &["syslog", "console"],
            (Preset::Shipped, Severity::Info) => &["console"],
            (Preset::Plan, Severity::Info) | (Preset::Custom, _) => &[],
        }
    }

    /// The channels of the kinds that it names, of `channels` (names and kinds).
    pub(super) fn channels(self, severity: Severity, channels: &[(String, String)]) -> Vec<String> {
        let named = |kind: &'static &str| channels.iter().filter(move |(_, of)| of == *kind);
        self.kinds(severity).iter().flat_map(named).map(|(name, _)| name.clone()).collect()
    }

    /// Whether it sends incidents with CUI, whatever their severity, to every channel.
    pub(super) fn spreads_cui(self) -> bool {
        self == Preset::Shipped
    }

    pub(super) fn ask(self, incident: &Incident, channels: &[(String, String)]) -> Answer {
        let name = self.as_str();
        let severity = incident.severity;
        let kinds = self.kinds(severity);
        let (because, to) = if self.spreads_cui() && incident.cui_involved {
            let every = channels.iter().map(|(name, _)| name.clone()).collect();
            (format!("{name}: cui_involved goes to every channel"), every)
        } else if kinds.is_empty() {
            return match self {
                Preset::Custom => Answer::NotAsked,
                Preset::Plan | Preset::Shipped => {
                    Answer::Nothing(format!("{name} keeps {severity} in the history only"))
                }
            };
        } else {
            (format!("{name}: {severity} goes to {}", kinds.join(", ")), self.channels(severity, channels))
        };
        if to.is_empty() {
            return Answer::Nothing(self.missing(severity));
        }
        Answer::Send(RouteTaken { route: name.to_owned(), because, channels: to, muted_by: None })
    }

    /// That no channel of the kinds that it names is there.
    pub(super) fn missing(self, severity: Severity) -> String {
        let kinds = self.kinds(severity).join(", ");
        format!("{} names {kinds} for {severity}, but no such channel is configured", self.as_str())
    }

    /// The severities for which it names kinds, but none of them is among `channels`. Info is not told: that it is kept in
    /// the history only harms nobody, and the released engine without its verbose console did no more.
    pub(super) fn unsent(self, channels: &[(String, String)]) -> SeveritySet {
        let unsent = |severity: &Severity| {
            let kinds = self.kinds(*severity);
            *severity != Severity::Info
                && !kinds.is_empty()
                && !channels.iter().any(|(_, kind)| kinds.contains(&kind.as_str()))
        };
        SeveritySet::of(Severity::ALL.into_iter().filter(unsent))
    }
}
