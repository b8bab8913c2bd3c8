//! Bytes of a pipe as lines of bounded length. Knows nothing of what they say.

/// What has come and is not yet a line.
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far we have looked for its end.
    seen: usize,
    bytes_max: usize,
    /// The rest of a line that was too long is still to be thrown away.
    is_skipping: bool,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its line break.
    Whole(Vec<u8>),
    /// The beginning of one that is longer than allowed; its rest is skipped.
    Cut(Vec<u8>),
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Lines {
        Lines { bytes: Vec::new(), start: 0, seen: 0, bytes_max, is_skipping: false }
    }

    /// Takes what was read. Take the lines out before the next call: only they are bounded.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, where there is one.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let Some(at) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n') else {
                self.seen = self.bytes.len();
                if self.is_skipping {
                    self.start = self.seen;
                    return None;
                }
                return (self.seen - self.start > self.bytes_max).then(|| self.cut());
            };
            let (start, end) = (self.start, self.seen + at);
            self.start = end + 1;
            self.seen = self.start;
            if std::mem::take(&mut self.is_skipping) {
                continue;
            }
            let line = &self.bytes[start..end];
            return Some(match line.len() > self.bytes_max {
                true => Line::Cut(line[..self.bytes_max].to_vec()),
                false => Line::Whole(line.strip_suffix(b"\r").unwrap_or(line).to_vec()),
            });
        }
    }

    /// What stands behind the last line break, at the end of everything.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let line = self.bytes.split_off(self.start);
        (self.start, self.seen) = (0, 0);
        self.bytes.clear();
        (!line.is_empty() && !self.is_skipping).then_some(Line::Whole(line))
    }

    fn cut(&mut self) -> Line {
        let line = self.bytes[self.start..self.start + self.bytes_max].to_vec();
        self.start = self.seen;
        self.is_skipping = true;
        Line::Cut(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&str], bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::new(bytes_max);
        let mut found = Vec::new();
        let shown = |line| match line {
            Line::Whole(line) => String::from_utf8(line).expect("UTF-8"),
            Line::Cut(line) => String::from_utf8(line).expect("UTF-8") + "...",
        };
        for chunk in chunks {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next() {
                found.push(shown(line));
            }
            assert!(lines.bytes.len() - lines.start <= bytes_max, "what waits is bounded");
        }
        found.extend(lines.rest().map(shown));
        found
    }

    #[test]
    fn lines_are_the_same_however_they_are_chopped() {
        let text = "one\ntwo\r\n\nthree is long\nfour\nfive";
        let expected = ["one", "two", "", "three is...", "four", "five"];
        for size in 1..=text.len() {
            let chunks: Vec<&str> =
                (0..text.len()).step_by(size).map(|at| &text[at..text.len().min(at + size)]).collect();
            assert_eq!(read(&chunks, 8), expected, "chunks of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut_once_and_takes_no_more_memory() {
        let chunk = "x".repeat(1000);
        let chunks: Vec<&str> = std::iter::repeat_n(chunk.as_str(), 1000).chain(["\nnext\n"]).collect();
        assert_eq!(read(&chunks, 2000), ["x".repeat(2000) + "...", "next".to_owned()]);
    }
}
