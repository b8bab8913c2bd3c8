//! A directory of `.json` files, as Cloudmarker's FileStore leaves them, read record by record into batches of bounded
//! size. Knows no run and no reception; never writes.

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// As many files as one run may leave.
const FILES_MAX: usize = 10_000;
/// As many records as one sync is worth.
const RECORDS_MAX: usize = 500;
/// As many bytes as are handed over at once; a single record may be larger.
const BYTES_MAX: usize = 1024 * 1024;
/// The file that holds the marks of begin and end: FileStore puts there what names no worker.
const MARKS: &str = "no_worker.json";

/// Records that are handed over together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// A JSON list.
    pub(super) body: Vec<u8>,
    /// Which part of the run it is: the same file gives the same parts.
    pub(super) key: String,
}

/// What reading gives, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Batch(Batch),
    /// Something could not be read.
    Trouble(String),
}

/// Reads every `.json` file that was written since then. The marks of ends come last. Stops where `send` says `false`.
pub(super) fn read(directory: &Path, since: SystemTime, record_bytes_max: usize, send: &mut dyn FnMut(Found) -> bool) {
    let files = match files_of(directory, since) {
        Ok(files) => files,
        Err(error) => {
            send(Found::Trouble(format!("directory {} cannot be read: {error}", directory.display())));
            return;
        }
    };
    let mut ends = Batches::new("ends");
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut batches = Batches::new(&name);
        let has_marks = name == MARKS;
        let mut goes_on = true;
        let read = read_file(&path, record_bytes_max, &mut |record| {
            let batches = if has_marks && is_end(record) { &mut ends } else { &mut batches };
            if let Some(full) = batches.push(record) {
                goes_on = send(Found::Batch(full));
            }
            goes_on
        });
        goes_on = goes_on && batches.finish().is_none_or(|rest| send(Found::Batch(rest)));
        if let (Err(error), true) = (read, goes_on) {
            goes_on = send(Found::Trouble(format!("file {}: {error}", path.display())));
        }
        if !goes_on {
            return;
        }
    }
    if let Some(rest) = ends.finish() {
        send(Found::Batch(rest));
    }
}

/// The marks first, then by name.
fn files_of(directory: &Path, since: SystemTime) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        // What a link leads to counts: only what it is and when it was written matters.
        let Ok(about) = fs::metadata(&path) else { continue };
        if is_json && about.is_file() && about.modified()? >= since {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("it holds more than {FILES_MAX} new files")));
        }
    }
    files.sort_by_key(|path| (path.file_name().is_none_or(|name| name != MARKS), path.clone()));
    Ok(files)
}

fn is_end(record: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Record<'a> {
        #[serde(borrow)]
        com: Com<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Com<'a> {
        #[serde(borrow)]
        record_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str(record.get()).is_ok_and(|record: Record<'_>| record.com.record_type == "end_audit")
}

/// Gathers records to batches.
struct Batches {
    name: String,
    index: usize,
    body: Vec<u8>,
    count: usize,
}

impl Batches {
    fn new(name: &str) -> Batches {
        Batches { name: name.to_owned(), index: 0, body: Vec::new(), count: 0 }
    }

    /// Takes a record; gives the batch that it fills or does not fit into.
    fn push(&mut self, record: &RawValue) -> Option<Batch> {
        let bytes = record.get().len() + 1;
        let is_full = self.count == RECORDS_MAX || (self.count > 0 && self.body.len() + bytes > BYTES_MAX);
        let full = if is_full { self.finish() } else { None };
        self.body.push(if self.count == 0 { b'[' } else { b',' });
        self.body.extend_from_slice(record.get().as_bytes());
        self.count += 1;
        full
    }

    fn finish(&mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let mut body = std::mem::take(&mut self.body);
        body.push(b']');
        let key = format!("file {}\n{}", self.name, self.index);
        self.index += 1;
        self.count = 0;
        Some(Batch { body, key })
    }
}

/// Calls `each` with every record: those of a list, or one after the other. Ends where it says `false`.
fn read_file(path: &Path, record_bytes_max: usize, each: &mut dyn FnMut(&RawValue) -> bool) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let is_list = loop {
        let bytes = file.fill_buf()?;
        match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(at) => break bytes[at] == b'[',
            None if bytes.is_empty() => return Ok(()),
            None => {
                let count = bytes.len();
                file.consume(count);
            }
        }
    };
    let left = Rc::new(Cell::new(record_bytes_max));
    let metered = Metered { file, left: left.clone(), bytes_max: record_bytes_max };
    let mut each = |record: Box<RawValue>| {
        left.set(record_bytes_max);
        each(&record)
    };
    let mut json = serde_json::Deserializer::from_reader(metered);
    if !is_list {
        for record in json.into_iter::<Box<RawValue>>() {
            if !each(record?) {
                break;
            }
        }
        return Ok(());
    }
    if json.deserialize_seq(Records(&mut each))? {
        json.end()?;
    }
    Ok(())
}

/// A list, read one by one; whether it was read to its end.
struct Records<'a>(&'a mut dyn FnMut(Box<RawValue>) -> bool);

impl<'de> Visitor<'de> for Records<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(record) = seq.next_element()? {
            if !(self.0)(record) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A file of which no record may be larger than allowed: without it one could fill the memory.
struct Metered<R> {
    file: R,
    left: Rc<Cell<usize>>,
    bytes_max: usize,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        match self.left.get().checked_sub(count) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other(format!("a record is larger than {} bytes", self.bytes_max))),
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is found in files of these names and texts.
    fn found(files: &[(&str, &str)], record_bytes_max: usize) -> Vec<Found> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let mut found = Vec::new();
        read(directory.path(), SystemTime::UNIX_EPOCH, record_bytes_max, &mut |one| {
            found.push(match one {
                Found::Trouble(text) => Found::Trouble(text.replace(directory.path().to_str().unwrap(), "DIR")),
                batch => batch,
            });
            true
        });
        found
    }

    fn batch(key: &str, body: &str) -> Found {
        Found::Batch(Batch { body: body.as_bytes().to_vec(), key: key.to_owned() })
    }

    #[test]
    fn marks_stand_around_the_records_and_other_files_do_not_count() {
        let begin = "{\"com\": {\"record_type\": \"begin_audit\"}}";
        let end = "{\"com\": {\"record_type\": \"end_audit\"}}";
        let files = [
            ("b.json", "[\n  {\n    \"b\": 1\n  },\n  {\"b\": 2}\n]\n"),
            ("a.json", "{\"a\": 1}\n{\"a\": 2}\n"),
            ("no_worker.json", &format!("[{end},{begin}]")),
            ("c.tmp", "["),
            ("empty.json", " \n"),
            ("none.json", "[]"),
        ];
        let expected = [
            batch("file no_worker.json\n0", &format!("[{begin}]")),
            batch("file a.json\n0", "[{\"a\": 1},{\"a\": 2}]"),
            batch("file b.json\n0", "[{\n    \"b\": 1\n  },{\"b\": 2}]"),
            batch("file ends\n0", &format!("[{end}]")),
        ];
        assert_eq!(found(&files, 1000), expected);
    }

    #[test]
    fn a_file_that_breaks_off_gives_what_it_has_and_is_told() {
        let found = found(&[("a.json", "[{\"a\": 1}, {\"a\":"), ("b.json", "[1]")], 1000);
        assert_eq!(found[0], batch("file a.json\n0", "[{\"a\": 1}]"));
        let Found::Trouble(text) = &found[1] else { panic!("{found:?}") };
        assert!(text.starts_with("file DIR/a.json: EOF"), "{text}");
        assert_eq!(found[2], batch("file b.json\n0", "[1]"));
    }

    #[test]
    fn a_record_over_the_limit_is_told_and_takes_no_more_memory() {
        let found = found(&[("a.json", &format!("[1,\"{}\"]", "x".repeat(5000)))], 1000);
        assert_eq!(found[0], batch("file a.json\n0", "[1]"));
        let told = Found::Trouble("file DIR/a.json: a record is larger than 1000 bytes".to_owned());
        assert_eq!(found[1], told);
    }

    #[test]
    fn batches_have_their_bounds_and_the_same_parts_each_time() {
        let many = format!("[{}]", vec!["{}"; RECORDS_MAX * 2 + 1].join(","));
        let first = found(&[("a.json", &many)], 1000);
        let lengths: Vec<usize> = first
            .iter()
            .map(|one| match one {
                Found::Batch(batch) => serde_json::from_slice::<Vec<serde_json::Value>>(&batch.body).unwrap().len(),
                Found::Trouble(text) => panic!("{text}"),
            })
            .collect();
        assert_eq!(lengths, [RECORDS_MAX, RECORDS_MAX, 1]);
        assert_eq!(found(&[("a.json", &many)], 1000), first);
    }

    #[test]
    fn what_was_there_before_the_run_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.json"), "[1]").unwrap();
        let later = SystemTime::from(crate::clock::now()) + Duration::from_secs(60);
        read(directory.path(), later, 1000, &mut |found| panic!("{found:?}"));
        let mut found = Vec::new();
        read(&directory.path().join("none"), later, 1000, &mut |one| {
            found.push(one);
            true
        });
        assert!(matches!(&found[..], [Found::Trouble(text)] if text.contains("cannot be read")), "{found:?}");
    }
}
