//! What many incidents have in common: how many of which severity, and who is named most. Bounded, however many there
//! are.

use balefire_model::{Incident, IncidentId, Severity, text};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many different names are counted; later ones are counted together.
const NAMES_MAX: usize = 1_000;
/// How many of them are shown.
const SHOWN_MAX: usize = 5;
/// How many incidents are named one by one.
const WORST_MAX: usize = 10;
/// As much of a name or a title as is kept.
const NAME_BYTES_MAX: usize = 120;

/// The count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    by_severity: BTreeMap<Severity, u64>,
    cui: u64,
    rules: Names,
    titles: Names,
    hosts: Names,
    sources: Names,
    span: Option<(Timestamp, Timestamp)>,
    /// The worst ones; among equals, the first.
    worst: Vec<(Severity, IncidentId, String)>,
    unreadable: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    counts: BTreeMap<String, u64>,
    others: u64,
}

impl Names {
    fn add(&mut self, name: &str) {
        if name.is_empty() {
            return;
        }
        let name = text::cut(&text::one_line(name), NAME_BYTES_MAX).into_owned();
        if self.counts.len() >= NAMES_MAX && !self.counts.contains_key(&name) {
            self.others += 1;
        } else {
            *self.counts.entry(name).or_default() += 1;
        }
    }

    /// The most frequent ones; among equals, in the order of the alphabet.
    fn top(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.truncate(SHOWN_MAX);
        all
    }

    fn tell(&self, what: &str, told: &mut String) {
        if self.counts.is_empty() {
            return;
        }
        let top: Vec<String> = self.top().into_iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let shown: u64 = self.top().iter().map(|(_, count)| count).sum();
        let rest = self.counts.values().sum::<u64>() + self.others - shown;
        let rest = if rest > 0 { format!("; others ({rest})") } else { String::new() };
        writeln!(told, "{what}: {}{rest}", top.join("; ")).expect("a text takes everything");
    }
}

impl Tally {
    /// Counts an incident.
    pub fn add(&mut self, incident: &Incident) {
        *self.by_severity.entry(incident.severity).or_default() += 1;
        self.cui += u64::from(incident.cui_involved);
        self.rules.add(&incident.detected_by);
        self.titles.add(&incident.title);
        self.sources.add(&incident.source);
        self.hosts.add(incident.labels.get("host").map_or("", String::as_str));
        let at = incident.received_at;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        let place = self.worst.partition_point(|(severity, ..)| *severity >= incident.severity);
        if place < WORST_MAX {
            let title = text::cut(&text::one_line(&incident.title), NAME_BYTES_MAX).into_owned();
            self.worst.insert(place, (incident.severity, incident.id, title));
            self.worst.truncate(WORST_MAX);
        }
    }

    /// Counts an incident that cannot be read back.
    pub fn add_unreadable(&mut self) {
        self.unreadable += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_severity.values().sum::<u64>() + self.unreadable
    }

    /// The highest severity; low where nothing was counted.
    pub(crate) fn worst_severity(&self) -> Severity {
        self.by_severity.keys().next_back().copied().unwrap_or(Severity::Low)
    }

    /// Whether controlled unclassified information is involved in any of them.
    pub(crate) fn has_cui(&self) -> bool {
        self.cui > 0
    }

    /// `3 high, 1200 low`.
    pub(crate) fn severities(&self) -> String {
        let known = self.by_severity.iter().rev().map(|(severity, count)| format!("{count} {severity}"));
        let unreadable = (self.unreadable > 0).then(|| format!("{} that cannot be read", self.unreadable));
        known.chain(unreadable).collect::<Vec<_>>().join(", ")
    }

    /// All of it, in lines.
    pub(crate) fn tell(&self, now: Timestamp) -> String {
        let mut told = format!("By severity: {}\n", self.severities());
        if let Some((first, last)) = self.span {
            let age = now.duration_since(first).as_secs().max(0);
            writeln!(told, "Received: from {first} to {last}; the oldest is {age} s old")
                .expect("a text takes everything");
        }
        if self.cui > 0 {
            writeln!(told, "CUI involved: {}", self.cui).expect("a text takes everything");
        }
        self.rules.tell("Detected by", &mut told);
        self.titles.tell("Titles", &mut told);
        self.hosts.tell("Hosts", &mut told);
        self.sources.tell("Sources", &mut told);
        told.push_str("The worst:\n");
        for (severity, id, title) in &self.worst {
            writeln!(told, "  {severity} {title} (balefire why {id})").expect("a text takes everything");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(number: u32, severity: Severity, title: &str, host: &str) -> Incident {
        let json = format!(
            r#"{{"id":"01935f1c-7c00-7000-8000-{number:012}","title":{title:?},"severity":"{severity}",
                "detected_by":"rule","labels":{{"host":{host:?}}},"fingerprint":"f","source":"s",
                "received_at":"2026-01-01T00:00:{:02}Z"}}"#,
            number % 60
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_tally_names_the_most_frequent_and_the_worst() {
        let mut tally = Tally::default();
        for number in 0..40 {
            tally.add(&incident(number, Severity::Low, "login failed", if number % 4 == 0 { "db" } else { "web" }));
        }
        tally.add(&incident(41, Severity::High, "disk\nfull", "db"));
        tally.add_unreadable();
        assert_eq!(tally.count(), 42);
        assert_eq!(tally.severities(), "1 high, 40 low, 1 that cannot be read");
        assert_eq!(tally.worst_severity(), Severity::High);
        let told = tally.tell("2026-01-01T00:01:00Z".parse().unwrap());
        assert!(told.contains("Hosts: web (30); db (11)\n"), "{told}");
        assert!(told.contains("Titles: login failed (40); disk\\nfull (1)\n"), "{told}");
        assert!(told.contains("the oldest is 60 s old"), "{told}");
        let worst = told.split("The worst:\n").nth(1).unwrap();
        assert!(worst.starts_with("  high disk\\nfull (balefire why "), "{told}");
        assert_eq!(worst.lines().count(), WORST_MAX);
    }

    #[test]
    fn a_tally_stays_small_however_many_names_there_are() {
        let mut tally = Tally::default();
        for number in 0..3_000 {
            tally.add(&incident(number, Severity::Info, &format!("{number} {}", "x".repeat(10_000)), ""));
        }
        assert_eq!(tally.titles.counts.len(), NAMES_MAX);
        let told = tally.tell(Timestamp::UNIX_EPOCH);
        assert!(told.len() < 4_000 && told.contains("others (2995)"), "{told}");
    }
}
