//! However bytes come, the lines are the same. The first byte is the longest line that is allowed, the second the size
//! of the pieces.
#![no_main]

use balefire_intake::lines::{Line, LineSplitter};
use libfuzzer_sys::fuzz_target;

fn lines<'a>(pieces: impl Iterator<Item = &'a [u8]>, bytes_max: usize) -> Vec<Line<'static>> {
    let mut splitter = LineSplitter::new(bytes_max, 0);
    let mut lines = Vec::new();
    let mut end = 0;
    for piece in pieces {
        splitter.push(piece, |Line { content, end: line_end }| {
            assert!(line_end > end, "a line ends after the one before");
            end = line_end;
            lines.push(Line { content: content.map(|bytes| bytes.into_owned().into()), end });
        });
        assert_eq!(splitter.line_start(), end);
    }
    lines.extend(splitter.finish());
    lines
}

fuzz_target!(|data: &[u8]| {
    if let [bytes_max, piece, bytes @ ..] = data {
        let (bytes_max, piece) = (usize::from(*bytes_max), usize::from(*piece).max(1));
        assert_eq!(lines(bytes.chunks(piece), bytes_max), lines(std::iter::once(bytes), bytes_max));
    }
});
