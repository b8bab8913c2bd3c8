//! Bytes that come in pieces to whole lines, with bounded memory. Knows nothing of what is in a line, nor of files.

use std::borrow::Cow;

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its LF or CR LF; may be empty.
    pub content: Result<Cow<'a, [u8]>, LineTooLong>,
    /// The byte after the line's LF, counted from where the stream begins: what is before it need not be read again.
    pub end: u64,
}

/// A line was longer than allowed. Its bytes are gone; the next line is good again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line: found {bytes} bytes; allowed: at most {bytes_max} bytes")]
pub struct LineTooLong {
    /// How long it was, without its line end.
    pub bytes: u64,
    /// How long it may be.
    pub bytes_max: usize,
}

/// Cuts a stream into lines at each LF. Holds at most one line, and never more than its limit.
#[derive(Clone, Debug)]
pub struct LineSplitter {
    bytes_max: usize,
    /// The beginning of a line whose end has not come; at most `bytes_max` and a CR.
    partial: Vec<u8>,
    /// All bytes of that line, those that were let go included.
    partial_bytes: u64,
    ends_with_cr: bool,
    /// The next byte's place in the stream.
    offset: u64,
}

impl LineSplitter {
    /// Lines of at most `bytes_max` bytes, from a stream whose next byte has the place `offset`.
    #[must_use]
    pub fn new(bytes_max: usize, offset: u64) -> LineSplitter {
        LineSplitter { bytes_max, partial: Vec::new(), partial_bytes: 0, ends_with_cr: false, offset }
    }

    /// Takes the next bytes and passes on each line that they complete.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..at], &rest[at + 1..]);
            self.offset += at as u64 + 1;
            if self.partial_bytes == 0 {
                each(self.whole(line));
            } else {
                self.hold(line);
                each(self.held());
                self.reset();
            }
            rest = after;
        }
        self.offset += rest.len() as u64;
        self.hold(rest);
    }

    /// The last line of a stream that ended without LF; `None` where it ended with one. `end` is the stream's end.
    pub fn finish(&mut self) -> Option<Line<'static>> {
        if self.partial_bytes == 0 {
            return None;
        }
        let Line { content, end } = self.held();
        let last = Line { content: content.map(|bytes| Cow::Owned(bytes.into_owned())), end };
        self.reset();
        Some(last)
    }

    /// How many bytes of a line without an end have come.
    #[must_use]
    pub fn partial_bytes(&self) -> u64 {
        self.partial_bytes
    }

    /// The place after the last complete line: where to read on after a restart.
    #[must_use]
    pub fn line_start(&self) -> u64 {
        self.offset - self.partial_bytes
    }

    fn whole<'a>(&self, line: &'a [u8]) -> Line<'a> {
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        let content = self.checked(content.len() as u64).map(|()| Cow::Borrowed(content));
        Line { content, end: self.offset }
    }

    fn held(&self) -> Line<'_> {
        let content = self.checked(self.partial_bytes - u64::from(self.ends_with_cr)).map(|()| {
            let held = self.partial.as_slice();
            Cow::Borrowed(held.strip_suffix(b"\r").unwrap_or(held))
        });
        Line { content, end: self.offset }
    }

    fn checked(&self, bytes: u64) -> Result<(), LineTooLong> {
        if bytes > self.bytes_max as u64 {
            return Err(LineTooLong { bytes, bytes_max: self.bytes_max });
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else {
            return;
        };
        self.ends_with_cr = *last == b'\r';
        self.partial_bytes += bytes.len() as u64;
        // One byte more than a line may have: it may be the CR of its end.
        let room = self.bytes_max.saturating_add(1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn reset(&mut self) {
        self.partial.clear();
        self.partial_bytes = 0;
        self.ends_with_cr = false;
    }
}
