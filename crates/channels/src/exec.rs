//! The exec kind: each delivery is one JSON line for a program that is kept running, and the program's answer is one line
//! back. Knows the settings and the lines; neither processes nor pipes.

use crate::{
    Channel, ExecRun, ExecTransport, Host, Kind, Limits, Reply, Request, RunRecords, Step, TakesRuns, Transport, body,
    record, reply,
};
use balefire_model::settings::{Node, Reader, Shape, Value};
use balefire_model::text::Secret;
use balefire_model::{Delivery, DeliveryId, Incident, Outcome, Reason, RunPage};
use serde_json::value::RawValue;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) mod protocol;

/// The entry in the list of kinds.
pub(crate) const KIND: Kind = Kind {
    key: "exec",
    about: "a program that takes JSON lines, such as a plugin in Python (docs/exec.md)",
    sample: &[("command", "/usr/local/bin/alert-plugin")],
    resolve,
};

const IN_FLIGHT_DEFAULT: i64 = 16;
const IN_FLIGHT_MAX: i64 = 256;

/// What a program is given of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Native,
    Record,
}

#[derive(Debug)]
struct Exec {
    transport: ExecTransport,
    body: Body,
}

fn resolve(reader: &Reader<'_>, _: &Host) -> Box<dyn Channel> {
    let command = reader.command("a list such as [python3, -m, balefire.host, pkg.module.Class]");
    let doc = "The directory in which the program runs; that of Balefire if not set.";
    let directory = reader.text("cwd", doc).optional().map(PathBuf::from);
    let env = reader.variables("The program's environment. Of ours it gets PATH, HOME and LANG, and nothing else.");
    let bodies = [("native", Body::Native), ("record", Body::Record)];
    let doc = "What a `write` carries: our JSON, or the record with `raw`, `ext` and `com` that Cloudmarker sent.";
    let body = reader.one_of("body", doc, &bodies).default_shown(Body::Native, "native");
    let (settings, secrets) = read_settings(reader);
    let doc = "How long the program may stay silent while a message waits for its answer; it is killed then.";
    let timeout = read_patience(reader, "timeout", doc, 30);
    let doc = "How long the program may take from its start to its `hello`.";
    let start_timeout = read_patience(reader, "start_timeout", doc, 10);
    let doc = "How long the program may take to end once its input has ended.";
    let stop_timeout = read_patience(reader, "stop_timeout", doc, 10);
    let doc = "How many messages may wait for the program's answers at once.";
    let in_flight = reader.integer("in_flight", doc, 1, IN_FLIGHT_MAX).default(IN_FLIGHT_DEFAULT);
    let in_flight = u32::try_from(in_flight).unwrap_or(1);
    let transport =
        ExecTransport { command, directory, env, settings, secrets, timeout, start_timeout, stop_timeout, in_flight };
    Box::new(Exec { transport, body })
}

fn read_patience(reader: &Reader<'_>, name: &'static str, doc: &'static str, seconds: u64) -> Duration {
    let shown = if seconds == 30 { "30s" } else { "10s" };
    let patience = reader.duration(name, doc).default_shown(Duration::from_secs(seconds), shown);
    if patience.is_zero() {
        reader.reject(name, "found 0", "more than nothing");
    }
    patience
}

/// `settings` and `secrets` as one JSON object, which may be shown nowhere, and the secrets in it.
fn read_settings(reader: &Reader<'_>) -> (Secret, Vec<Secret>) {
    let doc = "Handed to the program in `hello`: what it wants to know, such as the parameters of a plugin.";
    let shape = Shape::Map(Box::new(Shape::Any));
    let settings = reader.field("settings", doc, shape, |node| match &node.value {
        Value::Map(_) => Ok(json(node)),
        _ => Err("a mapping".to_owned()),
    });
    let mut settings = settings.optional().unwrap_or_else(|| serde_json::json!({}));
    let doc = "Joins `settings`, and is hidden from logs and answers: passwords and tokens.";
    let secrets = reader.secret_map("secrets", doc).optional().unwrap_or_default();
    for (name, value) in &secrets {
        if settings.get(name).is_some() {
            reader.reject("secrets", format!("{name:?} stands in `settings`, too"), "each name once");
        }
        settings[name] = value.expose().into();
    }
    (Secret::new(settings.to_string()), secrets.into_iter().map(|(_, value)| value).collect())
}

/// A value as YAML means it: what is not in quotes may be a number or a truth value.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar { text, quoted: true } => text.as_str().into(),
        Value::Scalar { text, quoted: false } => plain(text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect(),
    }
}

fn plain(text: &str) -> serde_json::Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        // JSON's numbers are YAML's numbers; what else YAML 1.2 takes for one (0x1F, .5, .inf) stays text.
        _ => match serde_json::from_str(text) {
            Ok(serde_json::Value::Number(number)) => number.into(),
            _ => text.into(),
        },
    }
}

impl Channel for Exec {
    fn limits(&self) -> Limits {
        // The program answers one by one if it likes: the last of a full window waits for all before it.
        let attempt_timeout = self
            .transport
            .timeout
            .saturating_mul(self.transport.in_flight)
            .saturating_add(self.transport.start_timeout);
        Limits {
            in_flight: self.transport.in_flight,
            message_bytes_max: usize::MAX,
            attempt_timeout,
            follows_up: self.body == Body::Native,
            has_template: false,
        }
    }

    fn transport(&self) -> Transport {
        Transport::Exec(self.transport.clone())
    }

    /// Each record is written as it is alone, and then the run is done.
    fn runs(&self) -> Option<TakesRuns> {
        Some(TakesRuns {
            records: RunRecords::All,
            page_records_max: 64,
            page_bytes_max: 4 << 20,
            marks: true,
            by_default: false,
        })
    }

    fn step(&self, delivery: &Delivery<'_>, replies: &[Reply]) -> Step {
        if let Some(page) = delivery.run {
            return self.run_step(delivery, page, replies);
        }
        match replies.last() {
            None => Step::Send(Request::Exec(protocol::write(delivery, &self.record(delivery), None))),
            Some(answer) => Step::Done(reply::exec(answer)),
        }
    }
}

impl Exec {
    /// One record after the other, each under an id of its own that is the same for every attempt; behind the last page the
    /// run's `done`, under the delivery's id.
    fn run_step(&self, delivery: &Delivery<'_>, page: &RunPage, replies: &[Reply]) -> Step {
        if let Some(answer) = replies.last() {
            let outcome = reply::exec(answer);
            if !outcome.is_delivered() {
                return Step::Done(outcome);
            }
        }
        let run = ExecRun { audit_key: page.id.run.key.clone(), audit_version: page.id.run.version.clone() };
        if let Some(record) = page.records.get(replies.len()) {
            let id = DeliveryId::derive(record.id, Reason::Run.as_str(), delivery.channel);
            let one = Delivery { id, incident: record, ..*delivery };
            return Step::Send(Request::Exec(protocol::write(&one, &self.record(&one), Some(&run))));
        }
        let count = page.before + page.records.len() as u64;
        match replies.get(page.records.len()) {
            None if page.is_last => {
                Step::Send(Request::Exec(protocol::exec_done(&delivery.id.to_string(), &run, count)))
            }
            _ => Step::Done(Outcome::Delivered { receipt: format!("{count} records of the run, and its end") }),
        }
    }

    fn record(&self, delivery: &Delivery<'_>) -> Box<RawValue> {
        let kept = match self.body {
            Body::Native => None,
            Body::Record => cloudmarker_record(delivery.incident),
        };
        let json = kept.unwrap_or_else(|| body::native(delivery, delivery.incident, None));
        let json = String::from_utf8(json).expect("JSON that we wrote is UTF-8");
        RawValue::from_string(json).expect("a body is JSON")
    }
}

/// The Cloudmarker record that became this incident, as it came; none where it was no such record.
fn cloudmarker_record(incident: &Incident) -> Option<Vec<u8>> {
    let fields = record::fields(incident)?;
    let member = |(name, value): &(&str, &RawValue)| format!("{}:{}", serde_json::Value::from(*name), value.get());
    Some(format!("{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(",")).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecReply, ExecRequest, ExecStatus, fixture};
    use balefire_model::settings::{Key, Place, Session};
    use balefire_model::{Cause, Outcome};

    fn node(value: Value) -> Node {
        Node { place: Place::default(), value }
    }

    fn scalar(text: &str) -> Node {
        node(Value::Scalar { text: text.to_owned(), quoted: false })
    }

    fn quoted(text: &str) -> Node {
        node(Value::Scalar { text: text.to_owned(), quoted: true })
    }

    fn map(entries: Vec<(&str, Node)>) -> Node {
        let key = |name: &str| Key { name: name.to_owned(), place: Place::default() };
        node(Value::Map(entries.into_iter().map(|(name, node)| (key(name), node)).collect()))
    }

    fn read(settings: Vec<(&str, Node)>) -> (Box<dyn Channel>, Vec<String>) {
        let load = |_: &str| Ok("from the file".to_owned());
        let session = Session::new(&load);
        let tree = map(settings);
        let reader = Reader::new(&session, &tree, "");
        let channel = resolve(&reader, &Host::default());
        reader.finish();
        (channel, session.problems().iter().map(ToString::to_string).collect())
    }

    fn channel(mut settings: Vec<(&str, Node)>) -> Box<dyn Channel> {
        settings.push(("command", node(Value::List(vec![scalar("cat"), scalar("-u")]))));
        let (channel, problems) = read(settings);
        assert_eq!(problems, Vec::<String>::new());
        channel
    }

    fn line(channel: &dyn Channel, incident: &Incident) -> String {
        match channel.step(&fixture::delivery(incident), &[]) {
            Step::Send(Request::Exec(ExecRequest::Write { line, .. })) => String::from_utf8(line).expect("UTF-8"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_reach_the_program_with_the_types_that_yaml_gives_them() {
        let list = node(Value::List(vec![scalar("1"), quoted("1"), scalar("1.5"), scalar("no"), scalar("true")]));
        let settings = map(vec![("path", scalar("/x")), ("ports", list), ("ca", node(Value::Null))]);
        let secrets = map(vec![("password", map(vec![("file", scalar("/run/p"))]))]);
        let Transport::Exec(transport) = channel(vec![("settings", settings), ("secrets", secrets)]).transport() else {
            panic!("another transport")
        };
        let hello: serde_json::Value = serde_json::from_slice(&transport.hello("soc")).expect("JSON");
        let expected = serde_json::json!({
            "type": "hello", "version": 1, "channel": "soc",
            "settings": {"path": "/x", "ports": [1, "1", 1.5, "no", true], "ca": null, "password": "from the file"}
        });
        assert_eq!(hello, expected);
        let shown = format!("{transport:?}");
        assert!(!shown.contains("from the file"), "{shown}");
    }

    #[test]
    fn a_command_that_wants_a_shell_is_told_how_to_do_without() {
        let check = |settings, expected: &str| {
            let (_, problems) = read(settings);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
        };
        check(vec![("command", scalar("python3 -m balefire.host x.Y"))], "no shell would split it");
        check(vec![("command", node(Value::List(vec![])))], "names no program");
        check(vec![("command", scalar("a\0b"))], "NUL");
        check(vec![("command", scalar("x")), ("env", map(vec![("A=B", scalar("c"))]))], "cannot be a variable");
        check(vec![("command", scalar("x")), ("timeout", scalar("0s"))], "more than nothing");
        let secrets = map(vec![("a", scalar("b"))]);
        check(
            vec![("command", scalar("x")), ("settings", secrets.clone()), ("secrets", secrets)],
            "in `settings`, too",
        );
        check(vec![("command", scalar("x")), ("settings", scalar("a"))], "a mapping");
    }

    #[test]
    fn a_write_is_one_line_with_the_native_body() {
        let mut incident = fixture::incident();
        incident.title = "a\nb\u{202e}".to_owned();
        let line = line(channel(vec![]).as_ref(), &incident);
        assert!(!line.contains(['\n', '\u{202e}']), "{line}");
        let message: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let id = fixture::delivery(&incident).id.to_string();
        assert_eq!(message["type"], "write");
        assert_eq!(
            (&message["id"], &message["attempt"], &message["reason"]),
            (&id.into(), &1.into(), &"opened".into())
        );
        assert_eq!(message["record"]["incident"]["title"], "a\nb\u{202e}");
    }

    #[test]
    fn a_cloudmarker_record_goes_out_as_it_came() {
        let mut incident = fixture::incident();
        let keep = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        incident.extra.0 = vec![
            ("com".to_owned(), keep(r#"{"record_type":"firewall_rule_event","n":1.10}"#)),
            ("more".to_owned(), keep("1")),
            ("raw".to_owned(), keep(r#"{"b":1,"a":[1e400]}"#)),
        ];
        let line = line(channel(vec![("body", scalar("record"))]).as_ref(), &incident);
        let record =
            r#""record":{"com":{"record_type":"firewall_rule_event","n":1.10},"more":1,"raw":{"b":1,"a":[1e400]}}}"#;
        assert!(line.ends_with(record), "{line}");
        // What is no such record, as an incident of our own, goes out whole.
        incident.extra.0.clear();
        let line = self::line(channel(vec![("body", scalar("record"))]).as_ref(), &incident);
        assert!(line.contains(r#""record":{"version":1,"type":"incident.opened""#), "{line}");
    }

    #[test]
    fn an_answer_says_what_has_become_of_the_attempt() {
        let channel = channel(vec![]);
        let incident = fixture::incident();
        let check = |status: ExecStatus, expected: &str| {
            let reply = Reply::Exec(ExecReply { status, detail: "w\n".to_owned(), is_lost: false });
            let Step::Done(outcome) = channel.step(&fixture::delivery(&incident), &[reply]) else { panic!("no end") };
            assert_eq!(format!("{outcome:?}"), expected);
        };
        check(ExecStatus::Ok, "Delivered { receipt: \"w\" }");
        check(
            ExecStatus::Retry { after_ms: Some(1500), cause: None },
            "Deferred { after_ms: Some(1500), detail: \"w\" }",
        );
        // A failure that repeats must not pass for patience: the channel would never be seen to fail.
        check(ExecStatus::Retry { after_ms: None, cause: None }, "Rejected { cause: Network, detail: \"w\" }");
        check(
            ExecStatus::Retry { after_ms: None, cause: Some(Cause::Auth) },
            "Rejected { cause: Auth, detail: \"w\" }",
        );
        check(ExecStatus::Rejected { cause: None }, "Rejected { cause: Schema, detail: \"w\" }");
        check(ExecStatus::Rejected { cause: Some(Cause::Size) }, "Rejected { cause: Size, detail: \"w\" }");
        // Each status keeps its word, whatever cause stands beside it.
        let again = ExecStatus::Retry { after_ms: None, cause: Some(Cause::Schema) };
        check(again, "Rejected { cause: Network, detail: \"w\" }");
        let never = ExecStatus::Rejected { cause: Some(Cause::Network) };
        check(never, "Rejected { cause: Schema, detail: \"w\" }");
        let failed = Reply::Failed { cause: Cause::Network, detail: "it ended".to_owned() };
        let Step::Done(outcome) = channel.step(&fixture::delivery(&incident), &[failed]) else { panic!("no end") };
        assert_eq!(outcome, Outcome::Rejected { cause: Cause::Network, detail: "it ended".to_owned() });
    }
}
