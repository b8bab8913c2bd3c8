//! The tests that a condition makes on a value. Knows neither how conditions are written nor where values come from.

use super::field::{Shape, Value};
use super::number::Number;
use balefire_model::Severity;
use ipnet::IpNet;
use regex::Regex;
use std::cmp::Ordering;
use std::net::IpAddr;

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// The incident's severity is one of these.
    Severities(SeveritySet),
    /// This text, or a JSON number of this value.
    Equal(Text),
    /// A text that the pattern matches from end to end.
    Pattern(Pattern),
    /// A number on this side of another.
    Order(Side, Number),
    /// One of these.
    Member(Vec<Member>),
}

/// The sides of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Below,
    UpTo,
    From,
    Above,
}

impl Side {
    fn has(self, order: Ordering) -> bool {
        match self {
            Side::Below => order.is_lt(),
            Side::UpTo => order.is_le(),
            Side::From => order.is_ge(),
            Side::Above => order.is_gt(),
        }
    }

    /// The severities on this side of one.
    pub(super) fn of(self, severity: Severity) -> SeveritySet {
        SeveritySet::of(Severity::ALL.into_iter().filter(|other| self.has(other.cmp(&severity))))
    }
}

impl Test {
    /// Whether one value passes.
    pub(super) fn met(&self, value: Value<'_>) -> bool {
        match self {
            Test::Severities(set) => Severity::parse(value.text).is_some_and(|severity| set.has(severity)),
            Test::Equal(text) => text.equals(value),
            Test::Pattern(pattern) => pattern.regex.is_match(value.text),
            Test::Order(side, number) => {
                Number::parse(value.text).is_some_and(|found| side.has(found.compare(*number)))
            }
            Test::Member(members) => has_member(members, value),
        }
    }
}

/// A text to compare with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    text: String,
    number: Option<Number>,
}

impl Text {
    pub(super) fn new(text: String) -> Text {
        Text { number: Number::parse(&text), text }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        if value.text == self.text {
            return true;
        }
        // Only JSON numbers: a label "022" is not 22.
        let Some(number) = self.number.filter(|_| value.shape == Shape::Number) else { return false };
        Number::parse(value.text).is_some_and(|found| found.compare(number).is_eq())
    }
}

/// One element of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Member {
    /// This text.
    Text(Text),
    /// An address in this network.
    Network(IpNet),
}

fn has_member(members: &[Member], value: Value<'_>) -> bool {
    let mut address = None;
    members.iter().any(|member| match member {
        Member::Text(text) => text.equals(value),
        Member::Network(network) => {
            let address: &Option<IpAddr> =
                address.get_or_insert_with(|| value.text.trim().parse().ok().map(|found: IpAddr| found.to_canonical()));
            address.is_some_and(|address| network.contains(&address))
        }
    })
}

/// A pattern that matches from end to end. Equal to another of the same text.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

/// Some of the five severities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeveritySet(u8);

impl SeveritySet {
    /// All five.
    pub(crate) const ALL: SeveritySet = SeveritySet(0b1_1111);

    /// These.
    pub(crate) fn of(severities: impl IntoIterator<Item = Severity>) -> SeveritySet {
        SeveritySet(severities.into_iter().fold(0, |set, severity| set | 1 << severity as u8))
    }

    /// Whether this one is among them.
    pub(crate) fn has(self, severity: Severity) -> bool {
        self.0 & (1 << severity as u8) != 0
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of them are in the other set.
    pub(crate) fn is_within(self, other: SeveritySet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Those in both.
    pub(crate) fn and(self, other: SeveritySet) -> SeveritySet {
        SeveritySet(self.0 & other.0)
    }

    /// Those in either.
    pub(crate) fn or(self, other: SeveritySet) -> SeveritySet {
        SeveritySet(self.0 | other.0)
    }

    /// Those of this set that are not in the other.
    pub(crate) fn without(self, other: SeveritySet) -> SeveritySet {
        SeveritySet(self.0 & !other.0)
    }
}
