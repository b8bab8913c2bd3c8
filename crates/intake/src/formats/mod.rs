//! The formats, one module each: bytes to drafts. To add one, write its module and name it here.

pub mod cloudmarker;
pub mod json;

/// What the items of a body are, beside being JSON objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Each item for itself: a Cloudmarker record where it has no `title` and a `com` with a `record_type`; else ours.
    #[default]
    Auto,
    /// Ours, whatever they look like.
    Native,
    /// Cloudmarker's records.
    Cloudmarker,
}

impl Format {
    /// The words by which senders and settings choose one.
    pub const WORDS: [(&'static str, Format); 3] =
        [("auto", Format::Auto), ("native", Format::Native), ("cloudmarker", Format::Cloudmarker)];

    /// Reads one of the words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Format> {
        Format::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, format)| format)
    }
}
