//! The settings of the section `watch` that concern all watchers: who is told, how fast, and how a failure becomes worse.

use balefire_model::Severity;
use balefire_model::settings::Reader;
use std::time::Duration;

/// What holds for all watchers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The team that must hear of every failure; none where the routes alone decide.
    pub recipients: Option<String>,
    /// Within which time a failure is to be seen. Reported against what was measured.
    pub max_detect: Duration,
    /// Within which time, from its detection, a channel is to have accepted the alert.
    pub max_notify: Duration,
    /// How long a failure lasts until it is worse, and what it is then; in order.
    pub escalate: Vec<(Duration, Rise)>,
    /// How bad it is that a watcher cannot see.
    pub blind: Severity,
}

/// What a severity becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rise {
    /// One step higher.
    ByOne,
    /// At least this.
    To(Severity),
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            recipients: None,
            max_detect: Duration::from_secs(10),
            max_notify: Duration::from_secs(60),
            escalate: vec![
                (Duration::from_secs(15 * 60), Rise::ByOne),
                (Duration::from_secs(4 * 3600), Rise::To(Severity::Critical)),
            ],
            blind: Severity::Medium,
        }
    }
}

impl Rules {
    /// How bad something is that began as `severity` and has lasted so long.
    #[must_use]
    pub fn severity(&self, severity: Severity, lasted: Duration) -> Severity {
        self.escalate.iter().filter(|(after, _)| lasted >= *after).fold(severity, |severity, (_, rise)| match rise {
            Rise::ByOne => higher(severity),
            Rise::To(least) => severity.max(*least),
        })
    }
}

fn higher(severity: Severity) -> Severity {
    match severity {
        Severity::Info => Severity::Low,
        Severity::Low => Severity::Medium,
        Severity::Medium => Severity::High,
        Severity::High | Severity::Critical => Severity::Critical,
    }
}

/// Reads them from the section.
pub fn read_rules(reader: &Reader<'_>) -> Rules {
    let usual = Rules::default();
    let doc = "The team that must hear when audit logging fails. `balefire check` says where it does not resolve to two people \
               and two kinds of channel.";
    let recipients = reader.text("recipients", doc).optional();
    let doc = "Within which time a failure is to be seen; `balefire watch report` compares it with what was measured.";
    let max_detect = reader.duration("max_detect", doc).default_shown(usual.max_detect, "10s");
    let doc = "Within which time, from its detection, a channel is to have accepted the alert.";
    let max_notify = reader.duration("max_notify", doc).default_shown(usual.max_notify, "60s");
    let doc =
        "How a failure becomes worse while it lasts: after which time, and to which severity, or `+1` for one step.";
    let escalate = reader.sections("escalate", doc, |reader| {
        let after = reader.duration("after", "How long it has lasted.").required(Duration::ZERO);
        let form = "+1, critical, high, medium, low";
        let rise = reader.parsed("severity", "What it is then.", form, |text| match text.trim() {
            "+1" => Some(Rise::ByOne),
            text => Severity::parse(text).map(Rise::To),
        });
        (after, rise.required(Rise::ByOne))
    });
    let mut escalate = escalate.optional().unwrap_or(usual.escalate);
    escalate.sort_by_key(|(after, _)| *after);
    let doc = "How bad it is that a watcher cannot see what it watches.";
    let blind = reader.parsed("blind", doc, Severity::ALLOWED, Severity::parse).default_shown(usual.blind, "medium");
    Rules { recipients, max_detect, max_notify, escalate, blind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_becomes_worse() {
        let rules = Rules::default();
        let after = |minutes: u64| rules.severity(Severity::Medium, Duration::from_secs(minutes * 60));
        assert_eq!((after(0), after(14), after(15), after(239), after(240)), {
            (Severity::Medium, Severity::Medium, Severity::High, Severity::High, Severity::Critical)
        });
    }
}
