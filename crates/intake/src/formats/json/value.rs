//! JSON values that are not looked into until somebody asks: an object's fields in their order, each with its text.
//! Nothing here recurses, however deep a value nests.

use crate::error::shown;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A field's name; borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's fields, repeated ones included.
pub(in crate::formats) struct Object<'a>(pub(in crate::formats) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) enum Type {
    Null,
    Boolean,
    Number,
    String,
    List,
    Object,
}

impl Type {
    /// The type of a JSON value's text.
    pub(in crate::formats) fn of(json: &str) -> Type {
        match json.bytes().next() {
            Some(b'n') => Type::Null,
            Some(b't' | b'f') => Type::Boolean,
            Some(b'"') => Type::String,
            Some(b'[') => Type::List,
            Some(b'{') => Type::Object,
            _ => Type::Number,
        }
    }
}

/// A value in words, for errors: `a number (3)`.
pub(in crate::formats) fn described(json: &str) -> String {
    match Type::of(json) {
        Type::Null => "null".to_owned(),
        Type::Boolean => format!("a boolean ({})", shown(json)),
        Type::Number => format!("a number ({})", shown(json)),
        Type::String => format!("a string ({})", shown(json)),
        Type::List => "a list".to_owned(),
        Type::Object => "an object".to_owned(),
    }
}
