//! What can be wrong with a body, and how it is said: where, what was found, what is allowed. Whatever a sender wrote
//! is shown cut and made harmless. Knows no format.

use balefire_model::text;
use serde::Serialize;
use std::fmt;

/// A place in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
    /// From the body's beginning, counted from 0.
    pub byte: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} (byte {})", self.line, self.column, self.byte)
    }
}

/// One fault of one item. Prints as `severity: found a number (3); allowed: critical, high, medium, low, info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Such as `title`, `labels.host` or `events[2]`; empty where the item as a whole is at fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Where, if the text itself is broken there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is there; safe to show.
    pub found: String,
    /// What could be there.
    pub allowed: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "found {}; allowed: {}", self.found, self.allowed)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with one item. The other items of the body are not touched by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct ItemError {
    /// Which item, counted from 0 as in the sender's list; blank lines do not count.
    pub index: usize,
    /// On which line, counted from 1, where each line is an item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In the order of our fields. Never empty.
    pub errors: Vec<FieldError>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}", self.index)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        for (nth, error) in self.errors.iter().enumerate() {
            write!(f, "{} {error}", if nth == 0 { ":" } else { " |" })?;
        }
        match self.errors_left_out {
            0 => Ok(()),
            more => write!(f, " | and {more} more"),
        }
    }
}

/// Why nothing of a body could be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BodyError {
    /// There is nothing in it.
    #[error("body: found nothing; allowed: {allowed}")]
    Empty {
        /// What could be there.
        allowed: &'static str,
    },
    /// It is not text.
    #[error("body: {place}: found {found}; allowed: text in UTF-8")]
    Utf8 {
        /// Where it stops being text.
        place: Place,
        /// The byte, in words.
        found: String,
    },
    /// It is not in the format that it claims. Where one item ends is unknown from here on.
    #[error("body: {place}: found {found}; allowed: {allowed}")]
    Syntax {
        /// Where it breaks.
        place: Place,
        /// What is there.
        found: String,
        /// What could be there.
        allowed: String,
    },
    /// It is in the format, but holds no items.
    #[error("body: found {found}; allowed: {allowed}")]
    Type {
        /// What it holds.
        found: String,
        /// What it could hold.
        allowed: &'static str,
    },
    /// It holds more items than one body may.
    #[error("body: found more than {items_max} items; allowed: at most {items_max}; send it in parts")]
    TooManyItems {
        /// How many it may hold.
        items_max: usize,
    },
}

impl BodyError {
    /// Where, if the fault has a place.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            BodyError::Utf8 { place, .. } | BodyError::Syntax { place, .. } => Some(*place),
            BodyError::Empty { .. } | BodyError::Type { .. } | BodyError::TooManyItems { .. } => None,
        }
    }
}

/// How many bytes of a sender's text an error shows.
const SHOWN_BYTES_MAX: usize = 80;

/// A sender's text for an error: one harmless line of at most 80 bytes, cut with a mark.
pub(crate) fn shown(original: &str) -> String {
    let head = &original[..original.floor_char_boundary(SHOWN_BYTES_MAX)];
    let safe = text::one_line(head);
    if head.len() == original.len() && safe.len() <= SHOWN_BYTES_MAX {
        return safe.into_owned();
    }
    let mark = format!("… [{} bytes in all]", original.len());
    let kept = safe.floor_char_boundary(SHOWN_BYTES_MAX.saturating_sub(mark.len()));
    format!("{}{mark}", &safe[..kept])
}
