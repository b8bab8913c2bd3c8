//! What the reader learns of the settings while it reads them, and the JSON Schema that follows.

use serde_json::{Map, Value, json};

/// What a setting takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any text; the string says what it must look like, such as `a duration such as 30s`.
    Text(&'static str),
    /// A secret: text or `{file: PATH}`.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Integer {
        /// The least allowed.
        min: i64,
        /// The greatest allowed.
        max: i64,
    },
    /// One of some words.
    OneOf(Vec<&'static str>),
    /// Whatever YAML can say: a text, a number, a truth value, a list, a mapping.
    Any,
    /// A list of things, or one of them alone.
    List(Box<Shape>),
    /// Names of one's own and a thing for each.
    Map(Box<Shape>),
    /// Fixed names.
    Section(Vec<FieldDoc>),
}

/// One setting, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// Its key.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub doc: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as the user would write it.
    pub default: Option<String>,
}

impl Shape {
    /// JSON Schema (draft 2020-12) of the setting.
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            Shape::Text(form) => json!({"type": ["string", "number", "boolean"], "description": form}),
            Shape::Secret => json!({"anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"],
                 "additionalProperties": false}]}),
            Shape::Any => json!({}),
            Shape::Bool => or_substitution(json!({"type": "boolean"})),
            Shape::Integer { min, max } => or_substitution(json!({"type": "integer", "minimum": min, "maximum": max})),
            Shape::OneOf(words) => or_substitution(json!({"enum": words})),
            Shape::List(item) => json!({"anyOf": [{"type": "array", "items": item.schema()}, item.schema()]}),
            Shape::Map(item) => json!({"type": "object", "additionalProperties": item.schema()}),
            Shape::Section(fields) => section_schema(fields),
        }
    }
}

/// The setting, or a `${NAME}` that stands for it until the file is loaded.
fn or_substitution(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "string", "pattern": "^\\$\\{"}]})
}

fn section_schema(fields: &[FieldDoc]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = field.shape.schema();
        if let Value::Object(object) = &mut schema {
            object.insert("description".to_owned(), field.doc.into());
            if let Some(default) = &field.default {
                object.insert("default".to_owned(), default.as_str().into());
            }
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": ["object", "null"], "properties": properties, "required": required, "additionalProperties": false})
}
