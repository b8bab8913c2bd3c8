//! A document as JSON, for people who ask what is sent. Knows the BSON that this kind writes, and names the rest.

use bson::{RawBsonRef, RawDocument};
use serde_json::{Map, Value};

/// The document as JSON text; a name that comes twice is there once. Empty where it is no BSON.
pub(crate) fn readable(bson: &[u8]) -> String {
    RawDocument::from_bytes(bson).ok().and_then(object).map(|read| read.to_string()).unwrap_or_default()
}

fn object(document: &RawDocument) -> Option<Value> {
    let mut fields = Map::new();
    for field in document {
        let (name, read) = field.ok()?;
        fields.insert(name.as_str().to_owned(), value(read)?);
    }
    Some(Value::Object(fields))
}

fn value(bson: RawBsonRef<'_>) -> Option<Value> {
    Some(match bson {
        RawBsonRef::Document(document) => object(document)?,
        RawBsonRef::Array(array) => {
            array.into_iter().map(|item| value(item.ok()?)).collect::<Option<Vec<_>>>().map(Value::Array)?
        }
        RawBsonRef::String(text) => text.into(),
        RawBsonRef::Boolean(claim) => claim.into(),
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Int32(number) => number.into(),
        RawBsonRef::Int64(number) => number.into(),
        RawBsonRef::Double(number) => number.into(),
        RawBsonRef::DateTime(time) => time.try_to_rfc3339_string().ok()?.into(),
        other => format!("{:?}", other.element_type()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::rawdoc;

    #[test]
    fn a_document_reads_as_the_json_that_it_was_made_of() {
        let document = rawdoc! {
            "_id": "x", "at": bson::DateTime::from_millis(1_000), "n": [1, 2_i64, 1.5, bson::RawBson::Null, true],
            "o": {"text": "\0"},
        };
        assert_eq!(
            readable(document.as_bytes()),
            r#"{"_id":"x","at":"1970-01-01T00:00:01Z","n":[1,2,1.5,null,true],"o":{"text":"\u0000"}}"#
        );
        assert_eq!(readable(b"no BSON"), "");
    }
}
