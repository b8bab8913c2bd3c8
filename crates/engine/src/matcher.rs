//! One condition on one field of an incident, in Alertmanager's syntax and a little more.

use balefire_model::Incident;

/// A condition that was parsed and compiled.
#[derive(Clone, Debug)]
pub struct Matcher {
    text: String,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}; allowed: {allowed}")]
pub struct MatcherError {
    /// Which character, counted from 1.
    pub at: usize,
    /// What was found.
    pub what: String,
    /// What could stand there.
    pub allowed: String,
}

impl Matcher {
    /// Parses a condition such as `host =~ "web-.*"` or `severity >= high`.
    ///
    /// # Errors
    /// [`MatcherError`] says where and why the text is no condition.
    pub fn parse(text: &str) -> Result<Matcher, MatcherError> {
        Ok(Matcher { text: text.to_owned() })
    }

    /// The condition as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What in the incident meets the condition, in words for `why`; `None` where it is not met.
    #[must_use]
    pub fn explain(&self, _incident: &Incident) -> Option<String> {
        None
    }
}
