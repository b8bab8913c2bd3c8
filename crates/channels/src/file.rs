//! The file kind: one line for each delivery, for archives: JSON in which the event stands whole, whatever its size, or what
//! a template makes.

mod layout;

use crate::template::{Form, Template, made};
use crate::{
    Channel, FileTransport, Host, Kind, Limits, Reply, Request, RunRecords, Step, StoreTransport, TakesRuns, Transport,
    body, reply,
};
use balefire_model::Delivery;
use balefire_model::settings::Reader;
use std::path::PathBuf;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "file",
    about: "JSON lines at the end of a file, uncut",
    sample: &[("path", "/var/lib/balefire/archive.jsonl")],
    resolve,
};

/// Lines that may wait for the disk together; they are written in the order in which they were asked for.
const IN_FLIGHT: u32 = 64;
const ROTATE_BYTES_MIN: u64 = 64 * 1024;
const KEEP_DEFAULT: i64 = 5;
/// A line of a template's; more than any event that we take holds.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What is made of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Lines,
    Cloudmarker,
}

#[derive(Debug)]
struct Directory {
    transport: StoreTransport,
}

impl Channel for Directory {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: 1,
            message_bytes_max: usize::MAX,
            attempt_timeout: Duration::from_secs(60),
            follows_up: false,
            has_template: false,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Store(self.transport.clone())
    }

    fn runs(&self) -> Option<TakesRuns> {
        Some(TakesRuns {
            records: RunRecords::All,
            page_records_max: 4_096,
            page_bytes_max: 8 << 20,
            marks: true,
            by_default: true,
        })
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Store(match delivery.run {
                Some(page) => layout::part(delivery, page),
                None => layout::alone(delivery),
            })),
            Some(answer) => Step::Done(reply::written(answer)),
        }
    }
}

#[derive(Debug)]
struct File {
    transport: FileTransport,
    template: Option<Template>,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let doc = "`lines`: each record is a line of the file. `cloudmarker`: `path` is a directory, and when a run is over each \
               of its workers has a file there, as `FileStore` wrote them, unless the one there is of a run that began later.";
    let layouts = [("lines", Layout::Lines), ("cloudmarker", Layout::Cloudmarker)];
    let layout = reader.one_of("layout", doc, &layouts).default_shown(Layout::Lines, "lines");
    let path =
        reader.text("path", "The file; it is made where it does not exist.").required("archive.jsonl".to_owned());
    if path.is_empty() || path.contains('\0') || (path.ends_with('/') && layout == Layout::Lines) {
        reader.reject("path", "is no path of a file", "a path such as /var/lib/balefire/archive.jsonl");
    }
    let rotate_bytes = reader
        .bytes(
            "rotate",
            "The size after which the file is renamed to `PATH.1` and a new one is begun; never, if left out.",
        )
        .optional();
    if rotate_bytes.is_some_and(|bytes| bytes < ROTATE_BYTES_MIN) {
        reader.reject("rotate", "is so small that each few lines would begin a new file", "64KiB or more");
    }
    let keep = reader
        .integer("keep", "How many renamed files are kept; the oldest is removed then.", 1, 10_000)
        .default(KEEP_DEFAULT);
    if reader.node("keep").is_some() && reader.node("rotate").is_none() {
        reader.reject("keep", "has a meaning only with `rotate`", "");
    }
    let keep = u32::try_from(keep).unwrap_or(u32::MAX);
    let doc = "The line as a template in Jinja syntax instead of JSON; docs/templates.md has the names that it knows.";
    let template = Template::read(reader, "template", doc, Form::Line, LINE_BYTES_MAX);
    if layout == Layout::Cloudmarker {
        for name in ["rotate", "template"].into_iter().filter(|name| reader.node(name).is_some()) {
            reader.reject(name, "has no meaning with `layout: cloudmarker`", "");
        }
        return Box::new(Directory { transport: StoreTransport { directory: PathBuf::from(path) } });
    }
    Box::new(File { transport: FileTransport { path: PathBuf::from(path), rotate_bytes, keep }, template })
}

impl Channel for File {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: IN_FLIGHT,
            message_bytes_max: usize::MAX,
            attempt_timeout: Duration::from_secs(30),
            follows_up: false,
            has_template: self.template.is_some(),
        }
    }

    fn transport(&self) -> Transport {
        Transport::File(self.transport.clone())
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies.last() {
            None => Step::Send(Request::Line(self.line(delivery))),
            Some(answer) => Step::Done(reply::written(answer)),
        }
    }
}

impl File {
    fn line(&self, delivery: &Delivery<'_>) -> Vec<u8> {
        let json = |note: Option<&str>| body::one_line_json(body::native(delivery, delivery.incident, note));
        match &self.template {
            None => json(None),
            Some(template) => match made(delivery, || template.render_marked(delivery, LINE_BYTES_MAX)) {
                Ok(line) => line.into_bytes(),
                Err(note) => json(Some(&note)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_line_is_the_native_body_whole_on_one_line() {
        let mut incident = fixture::incident();
        incident.description = "long\n".repeat(1 << 20);
        let pretty = serde_json::value::RawValue::from_string("{\n  \"a\": 1.10\n}".into()).expect("JSON");
        incident.events = vec![pretty];
        let transport = FileTransport { path: "a".into(), rotate_bytes: None, keep: 1 };
        let Step::Send(Request::Line(line)) =
            (File { transport, template: None }).step(&fixture::delivery(&incident), &[])
        else {
            panic!("no line")
        };
        let line = String::from_utf8(line).expect("JSON is UTF-8");
        assert!(!line.contains('\n'));
        assert!(line.contains(r#""events":[{   "a": 1.10 }]"#), "the sender's number keeps its digits");
        assert!(line.len() > incident.description.len());
    }
}
