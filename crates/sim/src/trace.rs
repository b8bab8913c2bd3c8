//! What happened, as lines: all of them go into one hash, the last of them are kept for whoever has to find a fault.

use balefire_model::id::hex;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::{Arguments, Write};

/// How many lines are kept.
const LINES_MAX: usize = 40;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Sha256,
    lines: VecDeque<String>,
}

impl Trace {
    /// Takes a line, at a virtual time in microseconds since the beginning.
    pub(crate) fn note(&mut self, at: u64, words: Arguments<'_>) {
        // The memory of a line that is not kept any more serves the new one: a life has many lines.
        let oldest = if self.lines.len() == LINES_MAX { self.lines.pop_front() } else { None };
        let mut line = oldest.unwrap_or_default();
        line.clear();
        writeln!(line, "{:>5}.{:06} {words}", at / 1_000_000, at % 1_000_000).expect("a text takes everything");
        self.hash.update(line.as_bytes());
        line.pop();
        self.lines.push_back(line);
    }

    /// Takes bytes into the hash only.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    /// The hash of everything so far, in hexadecimal, and the last lines.
    pub(crate) fn finish(self) -> (String, Vec<String>) {
        (hex(&self.hash.finalize()), self.lines.into())
    }
}
