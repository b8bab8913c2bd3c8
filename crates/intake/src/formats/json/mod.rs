//! JSON bodies: one object, a list of objects, or one object a line. Each item succeeds or fails for itself as long as
//! it is clear where it ends.

use crate::draft::Draft;
use crate::error::{BodyError, FieldError, ItemError};
use crate::formats::{Format, cloudmarker};
use crate::limits::Limits;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use syntax::{Broken, Locator};
use value::{Object, Type, described};

pub(super) mod fields;
pub(super) mod item;
mod kept;
mod syntax;
pub(super) mod value;

/// How a body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One object, or a list of objects.
    Json,
    /// One object a line; blank lines do not count. A broken line is one broken item.
    Ndjson,
    /// `Json` where the whole body is JSON; else `Ndjson` where the first line that is not blank begins with `{` and
    /// ends with `}`, and there are more lines.
    Auto,
}

/// What a body may be, for messages.
const ALLOWED: &str = "an object, a list of objects, or one object a line";

/// [`decode_as`] with items that are recognised each for itself.
///
/// # Errors
/// As [`decode_as`].
pub fn decode(body: &[u8], shape: Shape, limits: &Limits) -> Result<Vec<Result<Draft, ItemError>>, BodyError> {
    decode_as(Format::Auto, body, shape, limits)
}

/// The drafts of a body, one result for each item in the sender's order. An empty list is a body without items.
///
/// A byte order mark at the beginning is skipped; line ends may be LF or CR LF.
///
/// # Errors
/// [`BodyError`] where it cannot be told where items begin and end: nothing of the body is used. What is wrong with one
/// item is that item's [`ItemError`].
pub fn decode_as(
    format: Format,
    body: &[u8],
    shape: Shape,
    limits: &Limits,
) -> Result<Vec<Result<Draft, ItemError>>, BodyError> {
    let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut decoder = Decoder { format, limits, locator: Locator::new(bytes, body.len() - bytes.len()) };
    if bytes.trim_ascii().is_empty() {
        return Err(BodyError::Empty { allowed: ALLOWED });
    }
    if shape == Shape::Ndjson {
        return decoder.lines(bytes);
    }
    let lines = shape == Shape::Auto && looks_like_lines(bytes);
    match str::from_utf8(bytes) {
        Ok(text) => match decoder.document(text) {
            Err(BodyError::Syntax { .. }) if lines => decoder.lines(bytes),
            other => other,
        },
        Err(_) if lines => decoder.lines(bytes),
        Err(error) => {
            let at = error.valid_up_to();
            Err(BodyError::Utf8 { place: decoder.locator.place(at), found: described_byte(bytes, at) })
        }
    }
}

fn looks_like_lines(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    first.starts_with(b"{") && first.ends_with(b"}") && lines.next().is_some()
}

fn described_byte(bytes: &[u8], at: usize) -> String {
    let byte = bytes.get(at).copied().unwrap_or_default();
    if at == 0 && (bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")) {
        return format!("the byte 0x{byte:02x}, as at the beginning of UTF-16");
    }
    format!("the byte 0x{byte:02x}")
}

/// Which item, and on which line where lines are items.
#[derive(Clone, Copy)]
struct Which {
    index: usize,
    line: Option<usize>,
}

impl Which {
    fn error(self, error: FieldError) -> ItemError {
        ItemError { index: self.index, line: self.line, errors: vec![error], errors_left_out: 0 }
    }

    fn refused(self, found: String, allowed: String) -> ItemError {
        self.error(FieldError { field: String::new(), place: None, found, allowed, hint: None })
    }
}

type Drafts = Vec<Result<Draft, ItemError>>;

struct Decoder<'a> {
    format: Format,
    limits: &'a Limits,
    locator: Locator<'a>,
}

impl Decoder<'_> {
    /// One JSON value that is an item or a list of items.
    fn document(&mut self, text: &str) -> Result<Drafts, BodyError> {
        let which = Which { index: 0, line: None };
        let value = text.trim_ascii_start();
        match Type::of(value) {
            Type::Object if text.trim_ascii().len() <= self.limits.item_bytes_max => {
                let object = serde_json::from_str(text).map_err(|error| self.syntax(0, text, &error))?;
                Ok(vec![self.draft(object, which)])
            }
            Type::Object => {
                // Too large to be used; only its syntax is looked at, without taking memory for its fields.
                let object: &RawValue = serde_json::from_str(text).map_err(|error| self.syntax(0, text, &error))?;
                Ok(vec![Err(self.too_large(object.get().len(), which))])
            }
            Type::List => self.list(text),
            _ => {
                let other: &RawValue = serde_json::from_str(text).map_err(|error| self.syntax(0, text, &error))?;
                Err(BodyError::Type { found: described(other.get()), allowed: ALLOWED })
            }
        }
    }

    fn list(&mut self, text: &str) -> Result<Drafts, BodyError> {
        let mut values = Values { items_max: self.limits.items_max, values: Vec::new(), too_many: false };
        let mut parser = serde_json::Deserializer::from_str(text);
        let outcome = serde::Deserializer::deserialize_seq(&mut parser, &mut values).and_then(|()| parser.end());
        if values.too_many {
            return Err(BodyError::TooManyItems { items_max: self.limits.items_max });
        }
        outcome.map_err(|error| self.syntax(0, text, &error))?;
        let items = values.values.into_iter().enumerate();
        Ok(items
            .map(|(index, value)| {
                let item = value.get();
                let start = item.as_ptr().addr() - text.as_ptr().addr();
                self.item(start, item, Which { index, line: None })
            })
            .collect())
    }

    fn lines(&mut self, bytes: &[u8]) -> Result<Drafts, BodyError> {
        let (mut drafts, mut start) = (Vec::new(), 0);
        for (nth, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let item = line.trim_ascii_start();
            let item_start = start + line.len() - item.len();
            let item = item.trim_ascii_end();
            start += line.len() + 1;
            if item.is_empty() {
                continue;
            }
            if drafts.len() == self.limits.items_max {
                return Err(BodyError::TooManyItems { items_max: self.limits.items_max });
            }
            let which = Which { index: drafts.len(), line: Some(nth + 1) };
            drafts.push(match str::from_utf8(item) {
                Ok(text) => self.item(item_start, text, which),
                Err(error) => Err(which.error(FieldError {
                    field: String::new(),
                    place: Some(self.locator.place(item_start + error.valid_up_to())),
                    found: described_byte(item, error.valid_up_to()),
                    allowed: "text in UTF-8".to_owned(),
                    hint: None,
                })),
            });
        }
        Ok(drafts)
    }

    /// The item whose text begins at `start` in the body.
    fn item(&mut self, start: usize, text: &str, which: Which) -> Result<Draft, ItemError> {
        if text.len() > self.limits.item_bytes_max {
            return Err(self.too_large(text.len(), which));
        }
        let error = if text.starts_with('{') {
            match serde_json::from_str(text) {
                Ok(object) => return self.draft(object, which),
                Err(error) => error,
            }
        } else {
            match serde_json::from_str::<&RawValue>(text) {
                Ok(other) => return Err(which.refused(described(other.get()), "an object".to_owned())),
                Err(error) => error,
            }
        };
        let Broken { at, found, allowed } = syntax::broken(text, &error);
        let place = Some(self.locator.place(start + at));
        Err(which.error(FieldError { field: String::new(), place, found, allowed, hint: None }))
    }

    fn draft(&self, object: Object<'_>, which: Which) -> Result<Draft, ItemError> {
        let mut fields = fields::Fields::new(self.limits);
        let is_record = match self.format {
            Format::Auto => cloudmarker::is_record(&object),
            Format::Native => false,
            Format::Cloudmarker => true,
        };
        let draft = if is_record { cloudmarker::draft(object, &mut fields) } else { item::draft(object, &mut fields) };
        if fields.errors.is_empty() {
            return Ok(draft);
        }
        let (errors, errors_left_out) = (fields.errors, fields.errors_left_out);
        Err(ItemError { index: which.index, line: which.line, errors, errors_left_out })
    }

    fn too_large(&self, bytes: usize, which: Which) -> ItemError {
        which.refused(format!("{bytes} bytes"), format!("at most {} bytes", self.limits.item_bytes_max))
    }

    fn syntax(&mut self, start: usize, text: &str, error: &serde_json::Error) -> BodyError {
        let Broken { at, found, allowed } = syntax::broken(text, error);
        BodyError::Syntax { place: self.locator.place(start + at), found, allowed }
    }
}

/// The values of a list, unread; stops at the limit.
struct Values<'de> {
    items_max: usize,
    values: Vec<&'de RawValue>,
    too_many: bool,
}

impl<'de> Visitor<'de> for &mut Values<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            if self.values.len() == self.items_max {
                self.too_many = true;
                return Err(serde::de::Error::custom("too many items"));
            }
            self.values.push(value);
        }
        Ok(())
    }
}
