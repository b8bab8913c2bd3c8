//! As much of HTTP/1.1 as a generator and a sink need: messages with `Content-Length` on connections that stay open.

use anyhow::{Context, Result, bail, ensure};
use std::io::Read;

/// More than any head or body that we send ourselves.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most that is read at once.
const READ_BYTES: usize = 4 * 1024;

/// Reads one message after the other from a connection.
pub(super) struct Messages<R> {
    from: R,
    buffer: Vec<u8>,
    /// How much of the buffer belongs to messages that were handed out.
    used: usize,
    /// Where the head and the body of the next message end, once its head has been read.
    whole: Option<(usize, usize)>,
}

/// One message: its first line and its body.
pub(super) struct Message<'a> {
    pub(super) first_line: &'a str,
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    /// The status code of a response.
    pub(super) fn status(&self) -> Result<u16> {
        let code = self.first_line.split(' ').nth(1).context("a response without a status")?;
        code.parse().with_context(|| format!("status {code:?} is no number"))
    }
}

impl<R: Read> Messages<R> {
    pub(super) fn new(from: R) -> Messages<R> {
        Messages { from, buffer: Vec::with_capacity(READ_BYTES), used: 0, whole: None }
    }

    /// The next message; `None` where the other side has closed between two.
    pub(super) fn next(&mut self) -> Result<Option<Message<'_>>> {
        self.let_go();
        while !self.is_whole()? {
            if !self.fill()? {
                return Ok(None);
            }
        }
        self.take().map(Some)
    }

    /// The next message of those that have been read.
    pub(super) fn next_read(&mut self) -> Result<Option<Message<'_>>> {
        self.let_go();
        if self.is_whole()? { self.take().map(Some) } else { Ok(None) }
    }

    /// Where the messages come from.
    pub(super) fn source(&mut self) -> &mut R {
        &mut self.from
    }

    /// Reads once; `false` where the other side has closed between two messages.
    pub(super) fn fill(&mut self) -> Result<bool> {
        let have = self.buffer.len();
        ensure!(have < MESSAGE_BYTES_MAX, "a message of more than {MESSAGE_BYTES_MAX} bytes");
        self.buffer.resize(have + READ_BYTES, 0);
        let read = self.from.read(&mut self.buffer[have..]).context("cannot read from the connection");
        self.buffer.truncate(have + read.as_ref().copied().unwrap_or(0));
        if read? == 0 {
            ensure!(have == self.used, "the connection was closed inside a message");
            return Ok(false);
        }
        Ok(true)
    }

    /// Forgets the message that was handed out.
    fn let_go(&mut self) {
        self.buffer.drain(..self.used);
        (self.used, self.whole) = (0, None);
    }

    /// Whether a whole message has been read.
    fn is_whole(&mut self) -> Result<bool> {
        if self.whole.is_none()
            && let Some(end) = find(&self.buffer, b"\r\n\r\n")
        {
            let head = end + 4;
            self.whole = Some((head, head + content_length(&self.buffer[..head])?));
        }
        Ok(self.whole.is_some_and(|(_, end)| self.buffer.len() >= end))
    }

    fn take(&mut self) -> Result<Message<'_>> {
        let (head, end) = self.whole.context("no message was read")?;
        self.used = end;
        let line_end = find(&self.buffer, b"\r\n").unwrap_or(head);
        let first_line = std::str::from_utf8(&self.buffer[..line_end]).context("the first line is not UTF-8")?;
        Ok(Message { first_line, body: &self.buffer[head..end] })
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = &line[..colon];
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(&line[colon + 1..]).context("content-length is not UTF-8")?.trim();
            return value.parse().with_context(|| format!("content-length {value:?} is no number"));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            bail!("a message in chunks; only Content-Length is read here");
        }
    }
    Ok(0)
}

/// Where `needle` begins.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow network would.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn messages_are_told_apart_however_they_arrive() {
        let bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n";
        let mut messages = Messages::new(Drip(bytes));
        let first = messages.next().unwrap().unwrap();
        assert_eq!((first.status().unwrap(), first.body), (202, &b"ok"[..]));
        let second = messages.next().unwrap().unwrap();
        assert_eq!((second.status().unwrap(), second.body), (204, &b""[..]));
        assert!(messages.next().unwrap().is_none());
    }

    #[test]
    fn half_a_message_is_an_error_and_not_an_end() {
        let mut messages = Messages::new(Drip(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabc"));
        assert!(messages.next().is_err());
    }
}
