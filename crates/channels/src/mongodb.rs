//! The mongodb kind: one document for each delivery in a collection. Its `_id` is the delivery's id, so that what is
//! inserted again after an answer that was lost is there once.

mod address;
mod document;
mod readable;
mod refusal;

use self::address::Address;
use self::document::{Fields, Style, Writer};
pub(crate) use self::readable::readable;
pub use self::refusal::is_about_content;
use crate::bulk::settings::read_count;
use crate::fit::fit;
use crate::record;
use crate::{BulkBounds, Channel, Document, Host, Kind, Limits, MongoTransport, Reply, Request, Step, Transport, body};
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use balefire_model::{Delivery, Incident, Reason};
use serde_json::value::RawValue;
use std::path::PathBuf;
use std::time::Duration;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "mongodb",
    about: "documents in a MongoDB collection, acknowledged by the majority",
    sample: &[("uri", "mongodb://127.0.0.1:27017/")],
    resolve,
};

/// An insert of a thousand documents is some megabytes; more in one gain little. MongoDB takes 100,000 in one.
const BATCH_DOCUMENTS: (u32, u32) = (1000, 10_000);
/// Documents of ordinary size do not come near it; MongoDB's limit for a message is 48 MB.
const BATCH_BYTES: usize = 16 << 20;
/// Two, so that one is made while the majority takes the other.
const REQUESTS: (u32, u32) = (2, 16);
/// MongoDB's limit for a document (mongodb.com/docs/manual/reference/limits, 2026-11).
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// MongoDB's limit is 100 levels of nesting, the document itself included.
const DEPTH_MAX: usize = 100;
/// As much as our own body needs to have each event, and each field of a sender, as one text.
const DEPTH_FLAT: usize = 3;
const NAME_BYTES_MAX: usize = 120;

#[derive(Debug)]
struct Mongo {
    transport: MongoTransport,
    form: Form,
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Native,
    Record,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let address = read_address(reader);
    let name = |name: &'static str, doc: &'static str, default: &str, refuse: &[char]| {
        let text = reader.text(name, doc).default(default.to_owned());
        let is_bad = text.is_empty() || text.len() > NAME_BYTES_MAX || text.contains('\0') || text.contains(refuse);
        if is_bad || text.starts_with("system.") {
            reader.reject(name, "is no name that MongoDB takes", "1 to 120 bytes without any of / \\ . \" $ * < > : | ? and spaces in a database's, without $ in a collection's");
        }
        text
    };
    let refused: Vec<char> = "/\\. \"$*<>:|?".chars().collect();
    let database = name("database", "The database.", "balefire", &refused);
    let collection =
        name("collection", "The collection in it; it is made where it does not exist.", "incidents", &['$']);
    let (tls, ca_file) = read_tls(reader, &address);
    let words = [("native", Form::Native), ("record", Form::Record)];
    let form = reader
        .one_of(
            "body",
            "What a document is: `native`, our own form, or `record`, the `raw`, `ext` and `com` of a Cloudmarker record as they came; incidents that were made of something else are native.",
            &words,
        )
        .default_shown(Form::Native, "native");
    let timeout = reader
        .duration("timeout", "How long one attempt may take in all.")
        .default_shown(Duration::from_secs(30), "30s");
    let connect_timeout = reader
        .duration("connect_timeout", "How long to wait for a connection, and for a server that takes writes.")
        .default_shown(Duration::from_secs(5), "5s");
    let transport = MongoTransport {
        uri: address.uri(),
        hosts: address.hosts().to_owned(),
        database,
        collection,
        tls,
        ca_file,
        connect_timeout,
        // The server gives up before we do, so that it can say which of both has failed.
        majority_timeout: timeout / 2,
        bounds: read_bounds(reader),
    };
    Box::new(Mongo { transport, form, timeout })
}

fn read_bounds(reader: &Reader<'_>) -> BulkBounds {
    let parts_max = read_count(reader, "batch_documents", "The most documents in one insert.", BATCH_DOCUMENTS);
    let exchanges_max = read_count(reader, "requests", "The most inserts under way at once.", REQUESTS);
    BulkBounds {
        parts_max: parts_max as usize,
        bytes_max: BATCH_BYTES,
        exchanges_max: exchanges_max as usize,
        reply_bytes_max: 0,
    }
}

fn read_address(reader: &Reader<'_>) -> Address {
    let placeholder = "mongodb://localhost/";
    let uri = reader
        .secret("uri", "The connection string, `mongodb://host:27017/?replicaSet=rs0`; it may hold the credentials.")
        .required(Secret::new(placeholder.to_owned()));
    let username = reader.text("username", "The user that we log in as; none, if left out.").optional();
    let password = reader.secret("password", "The user's password.").optional();
    let stand_in = || Address::parse(placeholder).expect("the placeholder is an address");
    let address = match Address::parse(uri.expose()) {
        Ok(address) => address,
        Err(refused) => {
            reader.reject("uri", refused.to_string(), address::FORM);
            stand_in()
        }
    };
    match (username, password) {
        (Some(username), Some(password)) => address.with_credentials(&username, &password).unwrap_or_else(|refused| {
            reader.reject("uri", refused.to_string(), "credentials in one place");
            stand_in()
        }),
        (None, None) => address,
        (Some(_), None) => {
            reader.reject("username", "stands without `password`", "both or neither");
            address
        }
        (None, Some(_)) => {
            reader.reject("password", "stands without `username`", "both or neither");
            address
        }
    }
}

fn read_tls(reader: &Reader<'_>, address: &Address) -> (bool, Option<PathBuf>) {
    let says = |value: &str| address.says("tls", value) || address.says("ssl", value);
    let tls = reader
        .bool("tls", "Whether connections are TLS.")
        .default_shown(says("true"), "what `uri` says; false otherwise");
    if tls && says("false") {
        reader.reject("tls", "says otherwise than `uri`", "");
    }
    let ca_file = reader
        .text("ca_file", "A PEM file of certificate authorities to trust instead of Mozilla's list in the binary.")
        .optional()
        .map(PathBuf::from);
    if ca_file.is_some() && !tls {
        reader.reject("ca_file", "has a meaning only with TLS", "`tls: true` beside it");
    }
    (tls, ca_file)
}

impl Channel for Mongo {
    fn limits(&self) -> Limits {
        Limits {
            in_flight: self.transport.bounds.in_flight(),
            message_bytes_max: DOCUMENT_BYTES_MAX,
            attempt_timeout: self.timeout,
            follows_up: false,
            has_template: false,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Mongo(self.transport.clone())
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        match replies {
            [] => Step::Send(self.request(delivery, false)),
            [first] if refusal::may_be_names(first) => {
                let portable = self.request(delivery, true);
                if portable == self.request(delivery, false) {
                    return Step::Done(refusal::outcome(first));
                }
                Step::Send(portable)
            }
            [.., last] => Step::Done(refusal::outcome(last)),
        }
    }
}

impl Mongo {
    fn request(&self, delivery: &Delivery<'_>, portable: bool) -> Request {
        Request::Document(Document { id: delivery.id.to_string(), bson: self.bson(delivery, portable) })
    }

    /// The whole incident, if need be with its parts as texts, which take less room; cut only where that is too large.
    fn bson(&self, delivery: &Delivery<'_>, portable: bool) -> Vec<u8> {
        let style = |depth_max| Style { depth_max, portable };
        if let Some(record) = self.record(delivery) {
            for depth_max in [DEPTH_MAX, 1] {
                let whole = write_record(delivery, &record, style(depth_max));
                if whole.len() <= DOCUMENT_BYTES_MAX {
                    return whole;
                }
            }
        }
        let whole = write_native(delivery, delivery.incident, style(DEPTH_MAX));
        if whole.len() <= DOCUMENT_BYTES_MAX {
            return whole;
        }
        let render = |incident: &Incident| write_native(delivery, incident, style(DEPTH_FLAT));
        fit(delivery.incident, DOCUMENT_BYTES_MAX, render, Vec::len)
    }

    /// The record, where it alone says what the message is to say: that an incident is over, or has got no answer, is not
    /// in it.
    fn record<'a>(&self, delivery: &Delivery<'a>) -> Option<Vec<(&'a str, &'a RawValue)>> {
        let is_first = matches!(delivery.reason, Reason::Opened | Reason::Fallback | Reason::Test);
        if self.form == Form::Record && is_first { record::fields(delivery.incident) } else { None }
    }
}

fn write_record(delivery: &Delivery<'_>, record: &[(&str, &RawValue)], style: Style) -> Vec<u8> {
    let mut writer = Writer::new(style);
    writer.put("_id", delivery.id.to_string());
    writer.put_fields(record.iter().copied());
    writer.into_bytes()
}

/// Our own body after `_id` and `at`, the time of receipt as a date, for indexes that remove what is old. The times in the
/// body are text, as everywhere: a BSON date has no microseconds.
fn write_native(delivery: &Delivery<'_>, incident: &Incident, style: Style) -> Vec<u8> {
    let json = body::native(delivery, incident, None);
    let fields: Fields<'_> = serde_json::from_slice(&json).expect("our own body is an object");
    let mut writer = Writer::new(style);
    writer.put("_id", delivery.id.to_string());
    writer.put("at", bson::DateTime::from_millis(incident.received_at.as_millisecond()));
    writer.put_fields(fields.iter());
    writer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use balefire_model::Outcome;
    use balefire_model::incident::Extra;
    use bson::{Bson, doc};

    fn channel(form: Form) -> Mongo {
        let transport = MongoTransport {
            uri: Secret::default(),
            hosts: String::new(),
            database: String::new(),
            collection: String::new(),
            tls: false,
            ca_file: None,
            connect_timeout: Duration::ZERO,
            majority_timeout: Duration::ZERO,
            bounds: BulkBounds { parts_max: 1, bytes_max: 1, exchanges_max: 1, reply_bytes_max: 0 },
        };
        Mongo { transport, form, timeout: Duration::ZERO }
    }

    fn sent(step: Step) -> bson::Document {
        let Step::Send(Request::Document(document)) = step else { panic!("{step:?}") };
        let read = bson::Document::from_reader(document.bson.as_slice()).expect("BSON");
        assert_eq!(read.iter().next(), Some((&"_id".to_owned(), &Bson::String(document.id))));
        read
    }

    /// An incident that was made of a record.
    fn recorded(json: &str) -> Incident {
        let extra: Extra = serde_json::from_str(json).expect("an object");
        Incident { extra, ..fixture::incident() }
    }

    #[test]
    fn a_native_document_is_our_body_under_the_deliverys_id() {
        let incident = fixture::incident();
        let delivery = fixture::delivery(&incident);
        let read = sent(channel(Form::Record).step(&delivery, &[]));
        let at = "2026-11-02T03:04:05.678Z";
        assert_eq!(
            read,
            doc! {
                "_id": delivery.id.to_string(), "at": bson::DateTime::parse_rfc3339_str(at).expect("a time"),
                "version": 1, "type": "incident.opened",
                "delivery": {"id": delivery.id.to_string(), "channel": "soc", "reason": "opened"},
                "incident": {
                    "id": "01935f1c-7c00-7000-8000-000000000001", "title": "Audit log stopped on web-1",
                    "severity": "critical", "detected_by": "audit_log_gap",
                    "description": "No audit event for 600 s.\nCheck auditd.", "nist_controls": ["3.3.4", "3.3.1"],
                    "cui_involved": true, "incident_id": null, "events": [], "labels": {"host": "web-1"},
                    "fingerprint": "83a654bc481b169321b893aa484ff0f4", "source": "http",
                    "received_at": "2026-11-02T03:04:05.678901Z"
                }
            }
        );
    }

    #[test]
    fn a_record_is_as_it_came_and_what_it_cannot_say_is_native() {
        let incident = recorded(r#"{"raw": {"data": 1, "_id": "theirs"}, "_id": 7, "ext": {}, "com": {"n": 3}}"#);
        let delivery = fixture::delivery(&incident);
        let id = delivery.id.to_string();
        assert_eq!(
            sent(channel(Form::Record).step(&delivery, &[])),
            doc! {"_id": id, "raw": {"data": 1, "_id": "theirs"}, "_id#2": 7, "ext": {}, "com": {"n": 3}}
        );
        let over = Delivery { reason: Reason::Resolved, ..delivery };
        let read = sent(channel(Form::Record).step(&over, &[]));
        assert_eq!(read.get_str("type").ok(), Some("incident.resolved"));
    }

    #[test]
    fn names_that_a_server_refuses_come_in_another_form_and_then_it_has_the_last_word() {
        let incident = recorded(r#"{"ext": {"a.b": {"$c": 1}}}"#);
        let delivery = fixture::delivery(&incident);
        let channel = channel(Form::Record);
        let refused = Reply::DocumentRefused { code: 2, text: "invalid key".to_owned() };
        let plainer = sent(channel.step(&delivery, std::slice::from_ref(&refused)));
        assert_eq!(plainer.get_document("ext").ok(), Some(&doc! {"a\u{ff0e}b": {"\u{ff04}c": 1}}));
        let done = |replies: &[Reply]| match channel.step(&delivery, replies) {
            Step::Done(outcome) => outcome,
            step => panic!("{step:?}"),
        };
        assert!(done(&[refused.clone(), Reply::Written("in a.b".to_owned())]).is_delivered());
        assert!(matches!(done(&[refused.clone(), refused.clone()]), Outcome::Rejected { .. }));
        let plain = recorded(r#"{"ext": 1}"#);
        let step = channel.step(&fixture::delivery(&plain), &[refused]);
        assert!(matches!(step, Step::Done(Outcome::Rejected { .. })), "{step:?}");
    }

    #[test]
    fn what_is_too_large_as_bson_is_kept_as_text_and_cut_only_after_that() {
        let ones = format!("[{}1]", "1,".repeat(2 << 20));
        let incident = recorded(&format!("{{\"com\":{ones}}}"));
        let delivery = fixture::delivery(&incident);
        let text = Bson::String(ones.clone());
        assert_eq!(sent(channel(Form::Record).step(&delivery, &[])).get("com"), Some(&text));
        let native = sent(channel(Form::Native).step(&delivery, &[]));
        let extra = native.get_document("incident").expect("it").get_document("extra").expect("the fields of others");
        assert_eq!(extra.get("com"), Some(&text));
        let huge = recorded(&format!("{{\"com\":\"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX)));
        let cut = sent(channel(Form::Record).step(&fixture::delivery(&huge), &[]));
        let notes = cut.get_document("incident").expect("it").get_array("notes").expect("a note");
        assert!(notes[0].as_str().is_some_and(|note| note.contains("without 0 events, 1 other fields")), "{notes:?}");
    }
}
