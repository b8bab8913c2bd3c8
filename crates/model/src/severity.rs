//! The five severities and their order. Does not know what a severity leads to: that is routing's business.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How bad an incident is. Ordered: `Info < Low < Medium < High < Critical`.
///
/// The JSON form is the lower-case word; input is matched without regard to case or surrounding white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For the record only.
    Info,
    /// To be looked at within a day.
    Low,
    /// To be looked at within an hour.
    Medium,
    /// To be looked at within a quarter of an hour.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All severities, worst first.
    pub const ALL: [Severity; 5] =
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];

    /// What messages name as allowed.
    pub const ALLOWED: &'static str = "critical, high, medium, low, info";

    /// The lower-case word: `critical`, `high`, `medium`, `low` or `info`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
            Severity::Info => "info",
        }
    }

    /// The upper-case word, as subjects and log lines show it.
    #[must_use]
    pub fn as_upper_str(self) -> &'static str {
        match self {
            Severity::Critical => "CRITICAL",
            Severity::High => "HIGH",
            Severity::Medium => "MEDIUM",
            Severity::Low => "LOW",
            Severity::Info => "INFO",
        }
    }

    /// Reads one of the five words, whatever its case. Anything else is `None`: the caller decides what an unknown
    /// severity means, and says so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Severity> {
        let word = text.trim();
        Severity::ALL.into_iter().find(|severity| severity.as_str().eq_ignore_ascii_case(word))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl serde::de::Visitor<'_> for Word {
            type Value = Severity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Severity, E> {
                let unknown = || E::custom(format!("severity {word:?} is not one of {}", Severity::ALLOWED));
                Severity::parse(word).ok_or_else(unknown)
            }
        }
        // A visitor, because a `Cow` would be allocated for each of the journal's records.
        deserializer.deserialize_str(Word)
    }
}

#[cfg(test)]
mod tests {
    use super::Severity;

    #[test]
    fn severities_are_ordered_from_info_to_critical() {
        let mut sorted = Severity::ALL;
        sorted.sort();
        assert_eq!(sorted.map(Severity::as_str), ["info", "low", "medium", "high", "critical"]);
    }

    #[test]
    fn case_and_white_space_do_not_matter_and_other_words_are_not_guessed() {
        assert_eq!(Severity::parse(" CRITICAL\n"), Some(Severity::Critical));
        assert_eq!(Severity::parse("High"), Some(Severity::High));
        assert_eq!(Severity::parse("urgent"), None);
        assert_eq!(Severity::parse(""), None);
    }
}
