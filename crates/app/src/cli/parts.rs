//! Large inputs in parts: what a file holds (an object, a list, or one object a line) becomes requests of a bounded size.
//! Judges no incident: an item that is no good is sent as it is, and the server says what is wrong with it.

use balefire_intake::lines::{Line, LineSplitter};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, Read};

/// How many items one request carries.
const ITEMS_MAX: usize = 1_000;

/// How many bytes one request carries; half of what the server takes by default.
const BYTES_MAX: usize = 8 << 20;

/// The longest line, and the largest object outside of lines: above what the server takes for an item, so that it is the
/// server who refuses it.
const LINE_BYTES_MAX: usize = 4 << 20;

/// The largest input that is not lines: it has to be in memory as a whole.
const DOCUMENT_BYTES_MAX: usize = 256 << 20;

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Content-Type of lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Content-Type of a list.
pub(crate) const JSON: &str = "application/json";

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub content_type: &'static str,
    pub body: Bytes,
    pub items: Vec<Item>,
}

/// What is remembered of an item until the answer is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where it stands, such as `line 7` or `item 3`.
    pub place: String,
    /// Its title, as far as it has one.
    pub title: String,
}

/// Why an input cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("is no JSON; allowed: an object, a list of objects, or one object a line")]
    Syntax(#[source] serde_json::Error),
    #[error("is no text in UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("line {line} has {bytes} bytes; allowed: at most {LINE_BYTES_MAX}; what stands before it was sent")]
    LongLine { line: usize, bytes: u64 },
    #[error("has more than {DOCUMENT_BYTES_MAX} bytes; allowed for so much: one object a line")]
    TooLarge,
}

/// Why the sending of parts ended.
pub(crate) enum Ended<E> {
    Input(InputError),
    Sending(E),
}

impl<E> From<InputError> for Ended<E> {
    fn from(error: InputError) -> Ended<E> {
        Ended::Input(error)
    }
}

/// Reads an input and passes on each part that is full, and the last one; none where it holds nothing: a scanner that
/// found nothing has nothing to send.
pub(crate) fn each_part<E>(mut input: impl Read, mut send: impl FnMut(Part) -> Result<(), E>) -> Result<(), Ended<E>> {
    let mut head = Vec::new();
    let is_lines = loop {
        let count = read_more(&mut input, &mut head)?;
        let first = first_line(&head, count == 0);
        match first {
            Some(line) => break is_object(line) && count > 0 || is_object(line) && has_more_lines(&head),
            None if count == 0 => return Ok(()),
            None if head.len() > LINE_BYTES_MAX => break false,
            None => {}
        }
    };
    if is_lines { lines(head, input, &mut send) } else { document(head, input, &mut send) }
}

/// Reads a chunk to the end of `bytes`; returns how much it was, 0 at the end.
fn read_more(input: &mut impl Read, bytes: &mut Vec<u8>) -> Result<usize, InputError> {
    input.by_ref().take(CHUNK_BYTES as u64).read_to_end(bytes).map_err(InputError::Read)
}

/// The first line that is not blank, once it is there as a whole.
fn first_line(bytes: &[u8], is_all: bool) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(&bytes[..end]),
        None => (is_all && !bytes.is_empty()).then_some(bytes),
    }
}

fn is_object(line: &[u8]) -> bool {
    line.trim_ascii().starts_with(b"{") && serde_json::from_slice::<&RawValue>(line).is_ok()
}

fn has_more_lines(bytes: &[u8]) -> bool {
    bytes.trim_ascii().contains(&b'\n')
}

fn lines<E>(head: Vec<u8>, mut input: impl Read, send: &mut impl FnMut(Part) -> Result<(), E>) -> Result<(), Ended<E>> {
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX, 0);
    let mut packer = Packer::default();
    let mut chunk = head.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(head);
    let mut number = 0;
    loop {
        let mut full = Vec::new();
        let mut too_long = None;
        splitter.push(&chunk, |line| {
            number += 1;
            full.extend(packer.take_line(number, &line).unwrap_or_else(|error| {
                too_long.get_or_insert(error);
                None
            }));
        });
        if chunk.is_empty()
            && let Some(line) = splitter.finish()
        {
            full.extend(packer.take_line(number + 1, &line)?);
        }
        full.into_iter().try_for_each(&mut *send).map_err(Ended::Sending)?;
        let is_end = chunk.is_empty();
        if is_end || too_long.is_some() {
            packer.rest().into_iter().try_for_each(&mut *send).map_err(Ended::Sending)?;
            return too_long.map_or(Ok(()), |error| Err(error.into()));
        }
        chunk.clear();
        read_more(&mut input, &mut chunk)?;
    }
}

/// Lines on their way into a part.
#[derive(Default)]
struct Packer {
    body: Vec<u8>,
    items: Vec<Item>,
}

impl Packer {
    /// Takes a line; gives the part that was full before it.
    fn take_line(&mut self, number: usize, line: &Line<'_>) -> Result<Option<Part>, InputError> {
        let content = match &line.content {
            Ok(content) => content.trim_ascii(),
            Err(error) => return Err(InputError::LongLine { line: number, bytes: error.bytes }),
        };
        if content.is_empty() {
            return Ok(None);
        }
        let is_full = self.items.len() >= ITEMS_MAX || self.body.len() + content.len() >= BYTES_MAX;
        let full = if is_full { self.rest() } else { None };
        self.body.extend_from_slice(content);
        self.body.push(b'\n');
        self.items.push(Item { place: format!("line {number}"), title: title_of(content) });
        Ok(full)
    }

    fn rest(&mut self) -> Option<Part> {
        if self.items.is_empty() {
            return None;
        }
        let body = Bytes::from(std::mem::take(&mut self.body));
        Some(Part { content_type: NDJSON, body, items: std::mem::take(&mut self.items) })
    }
}

/// JSON values one after the other; the members of a list count as items of their own.
fn document<E>(
    mut bytes: Vec<u8>,
    input: impl Read,
    send: &mut impl FnMut(Part) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    input.take((DOCUMENT_BYTES_MAX + 1) as u64).read_to_end(&mut bytes).map_err(InputError::Read)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(InputError::TooLarge.into());
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = str::from_utf8(text).map_err(|error| InputError::Utf8(error.valid_up_to()))?;
    let mut items: Vec<&RawValue> = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(InputError::Syntax)?;
        if value.get().starts_with('[') {
            items.extend(serde_json::from_str::<Vec<&RawValue>>(value.get()).map_err(InputError::Syntax)?);
        } else {
            items.push(value);
        }
    }
    let (mut body, mut packed) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        body.push(if packed.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(item.get().as_bytes());
        packed.push(Item { place: format!("item {}", index + 1), title: title_of(item.get().as_bytes()) });
        let next_bytes = items.get(index + 1).map_or(usize::MAX, |next| body.len() + next.get().len());
        if packed.len() >= ITEMS_MAX || next_bytes >= BYTES_MAX {
            body.push(b']');
            let part = Part {
                content_type: JSON,
                body: Bytes::from(std::mem::take(&mut body)),
                items: std::mem::take(&mut packed),
            };
            send(part).map_err(Ended::Sending)?;
        }
    }
    Ok(())
}

fn title_of(json: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Titled<'a> {
        #[serde(borrow, default)]
        title: Cow<'a, str>,
    }
    // An item without a title is refused by the server, which says so better.
    serde_json::from_slice::<Titled<'_>>(json).map(|item| item.title.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(input: &[u8]) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let ended = each_part(input, |part| {
            parts.push(part);
            Ok::<(), ()>(())
        });
        match ended {
            Ok(()) => Ok(parts),
            Err(Ended::Input(error)) => Err(error.to_string()),
            Err(Ended::Sending(())) => unreachable!("sending does not fail here"),
        }
    }

    fn bodies(input: &str) -> Vec<(&'static str, String)> {
        let text = |part: &Part| String::from_utf8(part.body.to_vec()).unwrap();
        parts(input.as_bytes()).unwrap().iter().map(|part| (part.content_type, text(part))).collect()
    }

    #[test]
    fn an_object_and_a_list_are_sent_as_a_list() {
        assert_eq!(bodies("{\"title\":\n\"a\"}"), [(JSON, "[{\"title\":\n\"a\"}]".to_owned())]);
        assert_eq!(bodies(" [{\"a\":1}, 2]"), [(JSON, "[{\"a\":1},2]".to_owned())]);
        assert_eq!(bodies("{\"title\":\"a\"}"), [(JSON, "[{\"title\":\"a\"}]".to_owned())]);
    }

    #[test]
    fn lines_stay_lines_so_that_a_broken_one_is_refused_alone() {
        let input = "\u{feff}{\"title\":\"a\"}\r\n\n{\"title\":\n{\"title\":\"c\"}";
        let made = parts(input.as_bytes()).unwrap();
        assert_eq!(bodies(input), [(NDJSON, "{\"title\":\"a\"}\n{\"title\":\n{\"title\":\"c\"}\n".to_owned())]);
        let items: Vec<_> = made[0].items.iter().map(|item| (item.place.as_str(), item.title.as_str())).collect();
        assert_eq!(items, [("line 1", "a"), ("line 3", ""), ("line 4", "c")]);
    }

    #[test]
    fn many_items_come_in_several_parts_and_none_is_lost() {
        let line = "{\"title\":\"x\"}\n".repeat(2_500);
        let counts: Vec<_> = parts(line.as_bytes()).unwrap().iter().map(|part| part.items.len()).collect();
        assert_eq!(counts, [1_000, 1_000, 500]);
        let list = format!("[{}]", vec!["{\"title\":\"x\"}"; 1_001].join(","));
        let counts: Vec<_> = parts(list.as_bytes()).unwrap().iter().map(|part| part.items.len()).collect();
        assert_eq!(counts, [1_000, 1]);
    }

    #[test]
    fn no_part_is_larger_than_a_request_may_be() {
        let line = format!("{{\"title\":\"{}\"}}\n", "x".repeat(1 << 20)).repeat(20);
        let made = parts(line.as_bytes()).unwrap();
        assert!(made.iter().all(|part| part.body.len() <= BYTES_MAX), "{}", made.len());
        assert_eq!(made.iter().map(|part| part.items.len()).sum::<usize>(), 20);
    }

    #[test]
    fn nothing_makes_no_part() {
        assert_eq!(parts(b" \n "), Ok(Vec::new()));
        assert_eq!(parts(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        assert!(parts(b"{\"a\":").unwrap_err().contains("no JSON"));
        assert!(parts(b"[\"\xff\"]").unwrap_err().contains("byte 2"));
    }
}
