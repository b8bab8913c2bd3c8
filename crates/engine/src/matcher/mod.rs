//! One condition on one field of an incident, in Alertmanager's syntax and a little more. Knows nothing of routes.
//!
//! | condition | holds where |
//! |---|---|
//! | `host = web-1`, `host != "web 1"` | the field's text is, or is not, this one |
//! | `host =~ "web-.*"`, `host !~ "web-.*"` | the whole text matches, or does not; `.` stops at line breaks without `(?s)` |
//! | `severity >= high` (also `>`, `<`, `<=`, `=`, `!=`, `in`, `not in`) | severities in their order, whatever the case |
//! | `extra.count > 5` (also `>=`, `<`, `<=`) | the field is a JSON number or a text that is a number, and compares so |
//! | `src_ip in (10.0.0.0/8, 192.168.0.0/16)`, `not in` | the field is an address in one of the networks |
//! | `detected_by in (brute_force, "credential stuffing")` | the field's text is one of these |
//! | `cui_involved = true`, `internal_scan = true` | the flag, and whether it counts as a scan of our own |
//!
//! A value may stand without quotes unless it has `"`, `,`, `{`, `}` or white space beside an operator in it. In quotes,
//! `\"`, `\\` and `\n` are escapes; another backslash stands for itself, so that `"\d+"` is the pattern it looks like.
//!
//! **A missing field is the empty text**, as in Alertmanager: `host != "x"`, `host !~ "x"` and `host not in (x)` hold
//! where there is no host. **A list meets a condition if one of its elements does**: `nist_controls = 3.3.4`; the
//! negated conditions hold if no element meets the plain one. **JSON numbers equal by value**: `port = 22` holds for
//! `22.0`, a text `"022"` is not equal to `22`. Which fields there are stands in `field.rs`.

mod field;
mod number;
mod parse;
mod predicate;
#[cfg(test)]
mod tests;

use balefire_model::{Incident, text};
use field::{Field, Shape, Value};
use predicate::Test;
use std::fmt::Write;

pub(crate) use field::Reading;
pub(crate) use predicate::SeveritySet;

/// How much of a field's value a sentence shows, in bytes.
const SHOWN_BYTES_MAX: usize = 80;
/// How many elements of a list a sentence shows.
const SHOWN_ELEMENTS_MAX: usize = 8;

/// A condition that was parsed and compiled.
///
/// Two are equal where they mean the same, however they were written.
#[derive(Clone, Debug)]
pub struct Matcher {
    text: String,
    /// The field as it was written.
    name: String,
    /// Operator and value as they were written.
    condition: String,
    field: Field,
    /// Whether the test must fail for every value instead of holding for one.
    negated: bool,
    test: Test,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.field == other.field && self.negated == other.negated && self.test == other.test
    }
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
        parse::parse(text)
    }

    /// The condition as it was written, without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, incident: &Incident) -> bool {
        self.holds_in(&Reading::of(incident))
    }

    /// What in the incident meets the condition, in words for `why`, such as `severity is critical (>= high)`; `None`
    /// where it is not met. One line of safe text of bounded length.
    #[must_use]
    pub fn explain(&self, incident: &Incident) -> Option<String> {
        let reading = Reading::of(incident);
        self.holds_in(&reading).then(|| self.because(&reading))
    }

    /// What the incident has where the condition looks, in words, such as `host is "db-1"` or `host is missing`. One
    /// line of safe text of bounded length.
    #[must_use]
    pub fn found(&self, incident: &Incident) -> String {
        self.sentence(&Reading::of(incident))
    }

    /// [`Matcher::holds`] on an incident whose fields may have been looked up before. Allocates only to read JSON
    /// strings with escapes.
    pub(crate) fn holds_in<'a>(&'a self, reading: &Reading<'a>) -> bool {
        match &self.test {
            Test::Severities(set) => set.has(reading.incident().severity),
            test => self.field.any(reading, &mut |value| test.met(value)) != self.negated,
        }
    }

    /// Why it holds. Only meaningful where it does.
    pub(crate) fn because<'a>(&'a self, reading: &Reading<'a>) -> String {
        let mut sentence = self.sentence(reading);
        write!(sentence, " ({})", shown(&self.condition)).expect("a String takes everything");
        sentence
    }

    /// The severities that meet the condition, where it is about nothing else.
    pub(crate) fn severities(&self) -> Option<SeveritySet> {
        match self.test {
            Test::Severities(set) => Some(set),
            _ => None,
        }
    }

    /// Whether `other` holds wherever this one does, as far as can be told without an incident.
    pub(crate) fn implies(&self, other: &Matcher) -> bool {
        match (self.severities(), other.severities()) {
            (Some(narrow), Some(wide)) => narrow.is_within(wide),
            _ => self == other,
        }
    }

    fn sentence<'a>(&'a self, reading: &Reading<'a>) -> String {
        let name = shown(&self.name);
        // A list that meets a condition is told by the element that does.
        let mut met = None;
        let mut values = Vec::new();
        let mut count = 0_usize;
        self.field.any(reading, &mut |value| {
            count += 1;
            if met.is_none() && !self.negated && self.test.met(value) {
                met = Some(value_shown(value));
            }
            if values.len() < SHOWN_ELEMENTS_MAX {
                values.push(value_shown(value));
            }
            false
        });
        match (count, met) {
            (0 | 1, _) => format!("{name} is {}", values.first().map_or("missing", String::as_str)),
            (_, Some(met)) => format!("{name} has {met}"),
            (_, None) => {
                let more = if count > values.len() { ", …" } else { "" };
                format!("{name} is [{}{more}]", values.join(", "))
            }
        }
    }
}

fn value_shown(value: Value<'_>) -> String {
    match value.shape {
        Shape::Missing => "missing".to_owned(),
        Shape::Text => format!("\"{}\"", shown(value.text)),
        Shape::Number | Shape::Word => shown(value.text),
    }
}

/// Cut before it is escaped, so that the length that the cut tells is the value's own.
fn shown(value: &str) -> String {
    text::one_line(&text::cut(value, SHOWN_BYTES_MAX)).into_owned()
}
