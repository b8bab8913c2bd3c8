//! Lines of a file, gathered to parcels that are taken as one, with where each line stood. Knows no file and no reception.

use balefire_intake::lines::{Line, LineTooLong};

/// As many lines as one sync is worth.
const LINES_MAX: usize = 1_000;

/// As many bytes as are handed over at once; a single line may be longer.
const BYTES_MAX: usize = 1024 * 1024;

/// Lines that are handed over together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parcel {
    /// Whole lines, each with its LF.
    pub body: Vec<u8>,
    /// Where in the file each line of the body begins.
    pub starts: Vec<u64>,
    /// Lines that are not in the body, and where they begin.
    pub too_long: Vec<(u64, LineTooLong)>,
    /// The byte after the last line.
    pub end: u64,
}

/// Makes parcels of lines that come in order.
#[derive(Debug)]
pub(super) struct Parcels {
    done: Vec<Parcel>,
    open: Parcel,
    /// Where the next line begins.
    next: u64,
}

impl Parcels {
    /// For lines from `start` on.
    pub(super) fn new(start: u64) -> Parcels {
        Parcels { done: Vec::new(), open: Parcel::default(), next: start }
    }

    pub(super) fn push(&mut self, line: Line<'_>) {
        let start = std::mem::replace(&mut self.next, line.end);
        match line.content {
            Err(error) => {
                self.make_room(0);
                self.open.too_long.push((start, error));
            }
            Ok(content) if content.trim_ascii().is_empty() => {}
            Ok(content) => {
                self.make_room(content.len() + 1);
                self.open.body.extend_from_slice(&content);
                self.open.body.push(b'\n');
                self.open.starts.push(start);
            }
        }
        self.open.end = line.end;
    }

    fn make_room(&mut self, bytes: usize) {
        let lines = self.open.starts.len() + self.open.too_long.len();
        if lines >= LINES_MAX || (lines > 0 && self.open.body.len() + bytes > BYTES_MAX) {
            self.done.push(std::mem::take(&mut self.open));
        }
    }

    /// The parcels in order; blank lines alone make none.
    pub(super) fn finish(mut self) -> Vec<Parcel> {
        if !self.open.starts.is_empty() || !self.open.too_long.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_intake::lines::LineSplitter;

    fn parcels(start: u64, text: &[u8]) -> Vec<Parcel> {
        let mut parcels = Parcels::new(start);
        LineSplitter::new(2 * BYTES_MAX, start).push(text, |line| parcels.push(line));
        parcels.finish()
    }

    #[test]
    fn each_line_keeps_its_place_and_blank_ones_are_passed_over() {
        let [parcel] = &parcels(100, b"{\"a\":1}\r\n\n  \n{}\n\nhalf")[..] else { panic!("one parcel expected") };
        assert_eq!(parcel.body, b"{\"a\":1}\n{}\n");
        assert_eq!(parcel.starts, [100, 113]);
        assert_eq!(parcel.end, 117);
        assert_eq!(parcels(0, b"\n\n\n"), []);
    }

    #[test]
    fn a_parcel_has_its_bounds_and_nothing_is_between_two() {
        let many = parcels(0, &b"{}\n".repeat(LINES_MAX * 2 + 1));
        assert_eq!(many.iter().map(|parcel| parcel.starts.len()).collect::<Vec<_>>(), [LINES_MAX, LINES_MAX, 1]);
        assert_eq!(many.iter().map(|parcel| parcel.end).collect::<Vec<_>>(), [3_000, 6_000, 6_003]);
        let mut wide = vec![b'x'; BYTES_MAX + 10];
        wide.push(b'\n');
        assert_eq!(parcels(0, &wide.repeat(3)).len(), 3);
    }

    #[test]
    fn a_line_over_the_limit_is_told_and_the_others_go_on() {
        let mut parcels = Parcels::new(0);
        LineSplitter::new(4, 0).push(b"{}\n123456\n{}\n", |line| parcels.push(line));
        let [parcel] = &parcels.finish()[..] else { panic!("one parcel expected") };
        assert_eq!(parcel.too_long, [(3, LineTooLong { bytes: 6, bytes_max: 4 })]);
        assert_eq!(
            (parcel.body.as_slice(), parcel.starts.as_slice(), parcel.end),
            (&b"{}\n{}\n"[..], &[0, 10][..], 13)
        );
    }
}
