//! JSON to BSON without a loss: what BSON cannot hold as it is stands there in another form, by fixed rules.
//!
//! - A number is an int32, an int64 or a double where that reads back as the same number, and its text otherwise. Decimal128 would
//!   hold more of them, but some servers of this protocol close the connection on it.
//! - NUL in a name becomes U+2400 (BSON ends names with NUL). A name that comes again in one object gets `#2`, `#3`, ...
//! - What lies deeper than the style says, and a text that is not Unicode, is its JSON as a string.
//! - The portable style has U+FF0E for a dot in a name and U+FF04 for a dollar sign at its beginning, for servers that
//!   refuse these (MongoDB before 5.0, FerretDB 1).

use bson::raw::CString;
use bson::{RawArrayBuf, RawBson, RawDocumentBuf};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;

/// How JSON is written as BSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Levels of objects and lists, the document itself included; what is deeper is JSON text.
    pub(super) depth_max: usize,
    /// Without names that some servers refuse.
    pub(super) portable: bool,
}

/// The fields of a JSON object in their order, repeated names included, each value as its text.
pub(super) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl Fields<'_> {
    /// Each name with its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A document that is being written.
pub(super) struct Writer {
    style: Style,
    /// Levels above this object.
    depth: usize,
    document: RawDocumentBuf,
    /// How often each name came.
    seen: HashMap<String, usize>,
}

impl Writer {
    /// An empty document.
    pub(super) fn new(style: Style) -> Writer {
        Writer::at(style, 1)
    }

    fn at(style: Style, depth: usize) -> Writer {
        Writer { style, depth, document: RawDocumentBuf::new(), seen: HashMap::new() }
    }

    /// Appends a value.
    pub(super) fn put(&mut self, name: &str, value: impl Into<RawBson>) {
        let name = self.name(name);
        self.document.append(name, value.into());
    }

    /// Appends the fields of an object.
    pub(super) fn put_fields<'a>(&mut self, fields: impl IntoIterator<Item = (&'a str, &'a RawValue)>) {
        for (name, json) in fields {
            let value = value(json.get(), self.style, self.depth);
            self.put(name, value);
        }
    }

    /// The document.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.document.into_bytes()
    }

    fn name(&mut self, name: &str) -> CString {
        let mut safe = name.replace('\0', "\u{2400}");
        if self.style.portable {
            safe = safe.replace('.', "\u{ff0e}");
            if let Some(rest) = safe.strip_prefix('$') {
                safe = format!("\u{ff04}{rest}");
            }
        }
        let mut unique = safe.clone();
        while let Some(times) = self.seen.get(&unique).copied() {
            // The count stands with the name as it came, so that a thousand repeats cost a thousand steps.
            let times = self.seen.get(&safe).copied().unwrap_or(times) + 1;
            self.seen.insert(safe.clone(), times);
            unique = format!("{safe}#{times}");
        }
        self.seen.insert(unique.clone(), 1);
        CString::try_from(unique).expect("NUL was replaced")
    }
}

fn value(json: &str, style: Style, depth: usize) -> RawBson {
    let text = || RawBson::String(json.to_owned());
    match json.as_bytes().first() {
        Some(b'{' | b'[') if depth >= style.depth_max => text(),
        Some(b'{') => serde_json::from_str::<Fields<'_>>(json).map_or_else(
            |_| text(),
            |fields| {
                let mut inner = Writer::at(style, depth + 1);
                inner.put_fields(fields.iter());
                RawBson::Document(inner.document)
            },
        ),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(json).map_or_else(
            |_| text(),
            |items| {
                let mut array = RawArrayBuf::new();
                for item in items {
                    array.push(value(item.get(), style, depth + 1));
                }
                RawBson::Array(array)
            },
        ),
        // Half of a surrogate pair is JSON, but no text.
        Some(b'"') => RawBson::String(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
        Some(b't') => RawBson::Boolean(true),
        Some(b'f') => RawBson::Boolean(false),
        Some(b'n') | None => RawBson::Null,
        Some(_) => number(json),
    }
}

fn number(text: &str) -> RawBson {
    if text == "-0" {
        return RawBson::Double(-0.0);
    }
    if let Ok(whole) = text.parse::<i64>() {
        return i32::try_from(whole).map_or(RawBson::Int64(whole), RawBson::Int32);
    }
    let exact = Decimal::parse(text);
    match text.parse::<f64>() {
        Ok(double) if double.is_finite() && exact.is_some() && Decimal::parse(&format!("{double:e}")) == exact => {
            RawBson::Double(double)
        }
        _ => RawBson::String(text.to_owned()),
    }
}

/// A decimal number: digits without zeros at either end, times a power of ten.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number; none where its exponent is beyond all use.
    fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Decimal { is_negative, digits: String::new(), exponent: 0 });
        }
        let moved = i64::try_from(all.len() - digits.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.checked_add(moved)?;
        Some(Decimal { is_negative, digits: digits.trim_start_matches('0').to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Bson, Document, doc};
    use proptest::prelude::*;

    const STYLE: Style = Style { depth_max: 100, portable: false };

    fn read(json: &str, style: Style) -> Document {
        let fields: Fields<'_> = serde_json::from_str(json).expect("an object");
        let mut writer = Writer::new(style);
        writer.put_fields(fields.iter());
        Document::from_reader(writer.into_bytes().as_slice()).expect("BSON")
    }

    fn check(json: &str, expected: Document) {
        assert_eq!(read(json, STYLE), expected, "{json}");
    }

    #[test]
    fn json_becomes_the_bson_of_the_same_kind() {
        check(
            r#"{"s":"a\u0000\n","t":true,"f":false,"n":null,"o":{"a":[1,[2],{}]},"e":""}"#,
            doc! {"s": "a\0\n", "t": true, "f": false, "n": null, "o": {"a": [1, [2], {}]}, "e": ""},
        );
    }

    #[test]
    fn a_number_keeps_its_value_or_its_text() {
        let check = |number: &str, expected: Bson| check(&format!("{{\"n\":{number}}}"), doc! {"n": expected});
        check("2147483647", Bson::Int32(i32::MAX));
        check("2147483648", Bson::Int64(2_147_483_648));
        check("-9223372036854775808", Bson::Int64(i64::MIN));
        check("1.10", Bson::Double(1.1));
        check("1e2", Bson::Double(100.0));
        check("0.0", Bson::Double(0.0));
        for text in ["9223372036854775808", "3.141592653589793238", "1e400", "1e-400", "1e99999999999999999999"] {
            check(text, Bson::String(text.to_owned()));
        }
    }

    #[test]
    fn names_that_bson_does_not_know_stay_apart_and_lose_nothing() {
        check(
            r#"{"a":1,"a":2,"a#2":3,"a":4,"x\u0000":5}"#,
            doc! {"a": 1, "a#2": 2, "a#2#2": 3, "a#3": 4, "x\u{2400}": 5},
        );
        let portable = Style { portable: true, ..STYLE };
        assert_eq!(
            read(r#"{"$set":{"a.b":1,"a$":2},".":3}"#, portable),
            doc! {"\u{ff04}set": {"a\u{ff0e}b": 1, "a$": 2}, "\u{ff0e}": 3}
        );
        check(r#"{"$set":{"a.b":1}}"#, doc! {"$set": {"a.b": 1}});
    }

    #[test]
    fn what_lies_too_deep_or_is_no_text_is_kept_as_its_json() {
        let flat = Style { depth_max: 2, portable: false };
        assert_eq!(
            read(r#"{"a":{"b":{"c": 1},"d":[1]},"e":[[2]]}"#, flat),
            doc! {"a": {"b": "{\"c\": 1}", "d": "[1]"}, "e": ["[2]"]}
        );
        check(r#"{"a":"\ud800","b":{"\ud800":1}}"#, doc! {"a": "\"\\ud800\"", "b": "{\"\\ud800\":1}"});
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let mut seen = read(&deep, STYLE).get("a").cloned().expect("a");
        let mut levels = 1;
        while let Bson::Array(mut inner) = seen {
            levels += 1;
            seen = inner.remove(0);
        }
        assert_eq!((levels, seen), (100, Bson::String(format!("{}1{}", "[".repeat(9_901), "]".repeat(9_901)))));
    }

    proptest! {
        #[test]
        fn any_double_and_any_integer_come_back(double: f64, whole: i128) {
            if double.is_finite() {
                let text = format!("{double:?}");
                prop_assert_eq!(number(&text), RawBson::Double(double), "{}", text);
            }
            let text = whole.to_string();
            let back = match number(&text) {
                RawBson::Int32(n) => n.to_string(),
                RawBson::Int64(n) => n.to_string(),
                RawBson::String(text) => text,
                RawBson::Double(double) => format!("{double:.0}"),
                other => format!("{other:?}"),
            };
            prop_assert_eq!(back, text);
        }
    }
}
