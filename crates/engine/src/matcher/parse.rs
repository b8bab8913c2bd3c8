//! Reads a condition from its text. Knows the syntax and no incident.

use super::field::{Field, FieldError, STEPS_MAX};
use super::number::Number;
use super::predicate::{Member, Pattern, SeveritySet, Side, Test, Text};
use super::{Matcher, MatcherError, shown};
use balefire_model::Severity;
use ipnet::IpNet;
use regex::RegexBuilder;
use std::net::IpAddr;

/// How long a condition may be, in bytes: a few hundred networks fit.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// How large a compiled pattern, and what it remembers while it matches, may be, in bytes each.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
const OPERATORS: &str = "=, !=, =~, !~, <, <=, >, >=, in, not in";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
    Order(Side),
    In,
    NotIn,
}

/// A value and the byte at which it begins.
struct Operand {
    at: usize,
    text: String,
    quoted: bool,
}

pub(super) fn parse(text: &str) -> Result<Matcher, MatcherError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(MatcherError {
            at: 1,
            what: format!("a condition of {} bytes", text.len()),
            allowed: format!("at most {TEXT_BYTES_MAX} bytes"),
        });
    }
    let mut parser = Parser { text, at: 0 };
    let name = parser.name()?;
    let field = Field::parse(&name.text).map_err(|error| parser.field_error(&name, error))?;
    parser.skip_space();
    let condition = text[parser.at..].trim().to_owned();
    let operator = parser.operator(&name)?;
    parser.skip_space();
    let test = match operator {
        Operator::In | Operator::NotIn => parser.members(&field)?,
        Operator::Matches | Operator::MatchesNot => parser.pattern()?,
        Operator::Order(side) => parser.order(&field, side)?,
        Operator::Equal | Operator::NotEqual => parser.equal(&field)?,
    };
    let negated = matches!(operator, Operator::NotEqual | Operator::MatchesNot | Operator::NotIn);
    let (test, negated) = match test {
        Test::Severities(set) if negated => (Test::Severities(SeveritySet::ALL.without(set)), false),
        test => (test, negated),
    };
    Ok(Matcher { text: text.trim().to_owned(), name: name.text, condition, field, negated, test })
}

struct Parser<'t> {
    text: &'t str,
    /// The next byte; always between characters.
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, at: usize, what: String, allowed: impl Into<String>) -> MatcherError {
        MatcherError { at: self.text[..at].chars().count() + 1, what, allowed: allowed.into() }
    }

    fn name(&mut self) -> Result<Operand, MatcherError> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let at = self.at;
        let ends = |c: char| c.is_whitespace() || "{}()!=~<>,\\\"'`".contains(c);
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        let allowed = "one condition: a field, an operator and a value, such as severity >= high";
        match self.rest().chars().next() {
            None => return Err(self.error(at, "nothing".to_owned(), allowed)),
            Some('{') => return Err(self.error(at, "`{`".to_owned(), format!("{allowed}, without braces"))),
            Some(c) if length == 0 => return Err(self.error(at, format!("`{}`", shown(&c.to_string())), allowed)),
            Some(_) => {}
        }
        self.at += length;
        Ok(Operand { at, text: self.text[at..self.at].to_owned(), quoted: false })
    }

    fn field_error(&self, name: &Operand, error: FieldError) -> MatcherError {
        let what = format!("the field `{}`", shown(&name.text));
        self.error(
            name.at,
            what,
            match error {
                FieldError::Empty => "names between the dots, such as labels.host or extra.rule.level".to_owned(),
                FieldError::EventNumber => "events.NUMBER, such as events.0.ip_address for the first event".to_owned(),
                FieldError::Steps => format!("at most {STEPS_MAX} names with dots between them"),
            },
        )
    }

    fn operator(&mut self, name: &Operand) -> Result<Operator, MatcherError> {
        let at = self.at;
        let symbols = self.rest().find(|c| !"=!~<>".contains(c)).unwrap_or(self.rest().len());
        if symbols == 0 {
            return self.word_operator(name);
        }
        self.at += symbols;
        let found = &self.text[at..self.at];
        Ok(match found {
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "=~" => Operator::Matches,
            "!~" => Operator::MatchesNot,
            "<" => Operator::Order(Side::Below),
            "<=" => Operator::Order(Side::UpTo),
            ">" => Operator::Order(Side::Above),
            ">=" => Operator::Order(Side::From),
            _ => return Err(self.unknown_operator(at, found, meant(found))),
        })
    }

    fn word_operator(&mut self, name: &Operand) -> Result<Operator, MatcherError> {
        let at = self.at;
        let first = self.word();
        match first {
            "in" => return Ok(Operator::In),
            "not" => {
                self.skip_space();
                if self.word() == "in" {
                    return Ok(Operator::NotIn);
                }
                return Err(self.unknown_operator(at, "not", Some("not in")));
            }
            "" if self.rest().is_empty() => {
                return Err(self.error(at, format!("no operator after `{}`", shown(&name.text)), OPERATORS));
            }
            _ => {}
        }
        let meant = meant(&first.to_ascii_lowercase());
        let shown_word = match first {
            "" => self.rest().chars().take(1).collect(),
            word => word.to_owned(),
        };
        Err(self.unknown_operator(at, &shown_word, meant))
    }

    /// The letters, digits and `&|` that follow; what else may follow a word cannot be taken for a part of it.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_alphanumeric() && !"_&|-.".contains(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn unknown_operator(&self, at: usize, found: &str, meant: Option<&str>) -> MatcherError {
        let hint = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
        self.error(at, format!("unknown operator `{}`{hint}", shown(found)), OPERATORS)
    }

    /// A text in quotes, and the parser after it.
    fn quoted(&mut self) -> Result<Operand, MatcherError> {
        let at = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = at + offset + 1;
                    return Ok(Operand { at, text, quoted: true });
                }
                '\\' => match chars.peek().map(|(_, escaped)| *escaped) {
                    Some(escaped @ ('"' | '\\' | 'n')) => {
                        text.push(if escaped == 'n' { '\n' } else { escaped });
                        chars.next();
                    }
                    _ => text.push('\\'),
                },
                c => text.push(c),
            }
        }
        Err(self.error(at, "a quote that is never closed".to_owned(), "a `\"` at the value's end; `\\\"` inside it"))
    }

    /// The one value that ends the condition; may be empty.
    fn value(&mut self) -> Result<Operand, MatcherError> {
        let at = self.at;
        if self.rest().starts_with('"') {
            let value = self.quoted()?;
            self.end()?;
            return Ok(value);
        }
        let text = self.rest().trim_end();
        let quote = "a value in double quotes; other conditions of a route are items of their own";
        if let Some(offset) = text.find(['"', ',', '{', '}']).or_else(|| text.starts_with(['\'', '`']).then_some(0)) {
            let c = &text[offset..=offset];
            return Err(self.error(at + offset, format!("`{c}` in a value without quotes"), quote));
        }
        if let (Some(_), Some(offset)) = (text.find(char::is_whitespace), text.find(['=', '<', '>', '~'])) {
            return Err(self.error(at + offset, "an operator in a value without quotes".to_owned(), quote));
        }
        self.at = self.text.len();
        Ok(Operand { at, text: unescape(text), quoted: false })
    }

    fn end(&mut self) -> Result<(), MatcherError> {
        self.skip_space();
        match self.rest().chars().next() {
            None => Ok(()),
            Some(_) => Err(self.error(
                self.at,
                format!("`{}` after the value", shown(self.rest())),
                "nothing more; other conditions of a route are items of their own",
            )),
        }
    }

    fn equal(&mut self, field: &Field) -> Result<Test, MatcherError> {
        let value = self.value()?;
        match field {
            Field::Severity => Ok(Test::Severities(SeveritySet::of([self.severity(&value)?]))),
            Field::CuiInvolved | Field::InternalScan => {
                let word = value.text.trim().to_ascii_lowercase();
                if word != "true" && word != "false" {
                    return Err(self.error(value.at, format!("`{}`", shown(&value.text)), "true, false"));
                }
                Ok(Test::Equal(Text::new(word)))
            }
            _ => Ok(Test::Equal(Text::new(value.text))),
        }
    }

    fn order(&mut self, field: &Field, side: Side) -> Result<Test, MatcherError> {
        let value = self.value()?;
        if *field == Field::Severity {
            return Ok(Test::Severities(side.of(self.severity(&value)?)));
        }
        let number = Number::parse(&value.text).ok_or_else(|| {
            let hint = match Severity::parse(&value.text) {
                Some(_) => " (only the field severity is ordered by words)",
                None => "",
            };
            self.error(value.at, format!("`{}`{hint}", shown(&value.text)), "a number, such as 5 or 0.5")
        })?;
        Ok(Test::Order(side, number))
    }

    fn severity(&self, value: &Operand) -> Result<Severity, MatcherError> {
        Severity::parse(&value.text).ok_or_else(|| {
            self.error(value.at, format!("unknown severity `{}`", shown(&value.text)), Severity::ALLOWED)
        })
    }

    fn pattern(&mut self) -> Result<Test, MatcherError> {
        let value = self.value()?;
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build()
        };
        // Alone first: `a)|(b` is no pattern, but would be one between the anchors.
        let regex = compile(&value.text).and_then(|_| compile(&format!("^(?:{})$", value.text))).map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let allowed = "a regular expression without look-around and back-references, such as \"web-.*\"";
            self.error(value.at, format!("the pattern `{}`: {reason}", shown(&value.text)), allowed)
        })?;
        Ok(Test::Pattern(Pattern { regex }))
    }

    fn members(&mut self, field: &Field) -> Result<Test, MatcherError> {
        let values = if self.rest().starts_with('(') { self.list()? } else { vec![self.value()?] };
        if let Some(empty) = values.iter().find(|value| value.text.is_empty() && !value.quoted) {
            return Err(self.error(empty.at, "no value".to_owned(), "a value or a list, such as (web-1, \"web 2\")"));
        }
        if *field == Field::Severity {
            let severities: Result<Vec<_>, _> = values.iter().map(|value| self.severity(value)).collect();
            return Ok(Test::Severities(SeveritySet::of(severities?)));
        }
        let members: Result<Vec<_>, _> = values.into_iter().map(|value| self.member(value)).collect();
        Ok(Test::Member(members?))
    }

    fn member(&self, value: Operand) -> Result<Member, MatcherError> {
        if let Ok(network) = value.text.parse::<IpNet>() {
            return Ok(Member::Network(network.trunc()));
        }
        if let Ok(address) = value.text.parse::<IpAddr>() {
            return Ok(Member::Network(address.to_canonical().into()));
        }
        // What looks like a network but is none must not quietly become a text that no address equals.
        let looks_so = |before: &str| {
            before.parse::<IpAddr>().is_ok()
                || before.contains('.') && before.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        if !value.quoted && value.text.split_once('/').is_some_and(|(before, _)| looks_so(before)) {
            let what = format!("`{}`, which is no network", shown(&value.text));
            return Err(self.error(value.at, what, "address/prefix, such as 10.0.0.0/8 or 2001:db8::/32"));
        }
        Ok(Member::Text(Text::new(value.text)))
    }

    fn list(&mut self) -> Result<Vec<Operand>, MatcherError> {
        let mut values = Vec::new();
        self.at += 1;
        loop {
            self.skip_space();
            if self.rest().starts_with('"') {
                values.push(self.quoted()?);
            } else {
                let at = self.at;
                let length = self.rest().find([',', ')', '(', '"']).unwrap_or(self.rest().len());
                self.at += length;
                values.push(Operand { at, text: self.text[at..self.at].trim_end().to_owned(), quoted: false });
            }
            self.skip_space();
            let next = self.rest().chars().next();
            match next {
                Some(',') => self.at += 1,
                Some(')') => {
                    self.at += 1;
                    self.end()?;
                    return Ok(values);
                }
                Some(c) => {
                    let what = format!("`{}` in a list", shown(&c.to_string()));
                    return Err(self.error(self.at, what, "`,` and the next value, or `)`"));
                }
                None => return Err(self.error(self.at, "a list that is never closed".to_owned(), "`)`")),
            }
        }
    }
}

/// As in quotes.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\' | '"')) => plain.extend(chars.next()),
            ('\\', Some('n')) => {
                plain.push('\n');
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// What somebody who writes this operator is likely to mean.
fn meant(found: &str) -> Option<&'static str> {
    Some(match found {
        "==" | "===" | "is" | "eq" | "equals" | "contains" | "has" => "=",
        "=>" | "ge" | "gte" => ">=",
        "=<" | "le" | "lte" => "<=",
        "gt" => ">",
        "lt" => "<",
        "<>" | "=!" | "!==" | "!" | "ne" => "!=",
        "~" | "~=" | "=~=" | "==~" | "matches" | "like" => "=~",
        "~!" | "!=~" | "!~=" => "!~",
        "in" | "one_of" => "in",
        "not" | "notin" => "not in",
        _ => return None,
    })
}
