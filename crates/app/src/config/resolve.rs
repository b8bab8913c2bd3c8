//! The tree of settings becomes the configuration: every setting is read once, every problem is recorded, and the same
//! calls describe the settings for the schema and the reference.

use super::channels::{ConfiguredChannel, read_channels};
use super::dedup::read_dedup;
use super::dfars::read_dfars;
use super::finding_rules::{FindingRule, read_finding_rules};
use super::history::read_history;
use super::http::{Http, HttpSettings, LISTEN_FORM, Socket, parse_listen, read_http, read_socket};
use super::internal_scan::read_internal_scan;
use super::intervals::{ConfiguredInterval, read_intervals};
use super::named::{Named, exactly_one, read_named, report_own_source};
use super::people::{People, read_people};
use super::routes::read_routing;
use super::runs::read_runs;
use super::schedules::{Schedule, read_schedules};
use super::spool::{Spool, read_spool};
use super::watch::{Watching, read_watch};
use super::{Config, Overrides, fallback};
use balefire_channels::Host;
use balefire_engine::internal_scan::InternalScan;
use balefire_engine::route::Routing;
use balefire_engine::{DedupSettings, ReportSettings, RunSettings};
use balefire_intake::formats::Format;
use balefire_model::Severity;
use balefire_model::settings::{FieldDoc, Node, Place, Problem, Reader, Session, Value};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where events come from, beside HTTP and the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Its name: the source of its events.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: InputKind,
}

/// The kinds of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// A file that grows, one JSON object a line.
    Tail {
        /// The file.
        path: PathBuf,
        /// Where reading begins the first time.
        from: TailFrom,
        /// What its lines are.
        format: Format,
    },
}

/// Where reading a file begins the first time; later it goes on where it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailFrom {
    /// At its first line.
    Start,
    /// After its last line.
    End,
}

/// What the files say, before the command line is heard.
struct Settings {
    data: PathBuf,
    http: HttpSettings,
    socket: Socket,
    spool: Spool,
    severity_default: Severity,
    finding_rules: Vec<FindingRule>,
    inputs: Vec<Input>,
    schedules: Vec<Schedule>,
    channels: Vec<ConfiguredChannel>,
    intervals: Vec<ConfiguredInterval>,
    internal_scan: InternalScan,
    routing: Routing,
    runs: RunSettings,
    reports: Option<ReportSettings>,
    people: People,
    dedup: DedupSettings,
    watch: Option<Watching>,
}

/// Resolves the tree. Problems go to the session; the result may be used only where there is none.
pub(crate) fn resolve(session: &Session<'_>, tree: &Node, overrides: &Overrides, host: &Host) -> Config {
    let reader = Reader::new(session, tree, "");
    let settings = read(&reader, overrides, host);
    reader.finish();
    Config {
        http: listener(session, tree, settings.http, overrides),
        data: settings.data,
        socket: settings.socket,
        spool: settings.spool,
        severity_default: settings.severity_default,
        finding_rules: settings.finding_rules,
        inputs: settings.inputs,
        schedules: settings.schedules,
        channels: settings.channels,
        intervals: settings.intervals,
        internal_scan: settings.internal_scan,
        routing: settings.routing,
        runs: settings.runs,
        reports: settings.reports,
        people: settings.people,
        dedup: settings.dedup,
        watch: settings.watch,
        digest: String::new(),
        sources: Vec::new(),
    }
}

/// Every setting, described.
pub(crate) fn fields() -> Vec<FieldDoc> {
    let load = |_: &str| Ok(String::new());
    let session = Session::new(&load);
    let reader = Reader::describing(&session);
    read(&reader, &Overrides::default(), &Host::default());
    reader.finish()
}

fn read(reader: &Reader<'_>, overrides: &Overrides, host: &Host) -> Settings {
    let data = reader.text("data", "The directory of the journal and its view (`--data`).");
    let data = data.default("./balefire-data".to_owned());
    let data = overrides.data.clone().unwrap_or_else(|| PathBuf::from(data));

    let mut http = None;
    reader.section("http", "The HTTP listener.", |reader| http = Some(read_http(reader))).optional();
    let mut socket = None;
    let doc = "The Unix socket, for local senders and for the command line.";
    reader.section("socket", doc, |reader| socket = Some(read_socket(reader, &data))).optional();

    let spool = read_spool(reader, &data);
    let doc = "The severity of an incident that names none, or one that is not known.";
    let severity = reader.parsed("severity_default", doc, Severity::ALLOWED, Severity::parse);
    let severity_default = severity.default(Severity::Medium);

    let finding_rules = read_finding_rules(reader);
    let inputs = read_inputs(reader);
    let mut schedules = Vec::new();
    let doc = "Runs: the batches of records of scanners such as Cloudmarker.";
    let mut runs = RunSettings::default();
    let section = |reader: &Reader<'_>| {
        runs = read_runs(reader);
        schedules = read_schedules(reader, &host.zone);
    };
    reader.section("runs", doc, section).optional();
    let reports = read_dfars(reader);
    let people = read_people(reader);
    let dedup = read_dedup(reader);
    let watch = read_watch(reader, host);
    let mut channels = read_channels(reader, host);
    let names = channels.iter().map(|channel| (channel.name.clone(), channel.kind.key.to_owned())).collect();
    let declared: Vec<String> = match reader.node("channels").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|(key, _)| key.name.clone()).collect(),
        _ => Vec::new(),
    };
    fallback::check(reader, &declared);
    let intervals = read_intervals(reader, &host.zone);
    let internal_scan = read_internal_scan(reader, &intervals);
    let routing = read_routing(reader, names, &declared, &intervals, dedup);
    let history = read_history(reader, &declared, host);
    let routing = Routing { history: history.as_ref().map(|channel| channel.name.clone()), ..routing };
    channels.extend(history);
    Settings {
        data,
        http: http.expect("a section is read also where it is missing"),
        socket: socket.expect("a section is read also where it is missing"),
        spool,
        severity_default,
        finding_rules,
        inputs,
        schedules,
        channels,
        intervals,
        internal_scan,
        routing,
        runs,
        reports,
        people,
        dedup,
        watch,
    }
}

fn read_inputs(reader: &Reader<'_>) -> Vec<Input> {
    let doc = "Where events come from beside HTTP and the socket: a name of your own and one kind. The name is the \
               source of its events.";
    let describe = |sample: &Reader<'_>| drop(read_tail(sample));
    let inputs = read_named(reader, "inputs", doc, describe, |Named { key, reader }| {
        let path = format!("inputs.{}", key.name);
        report_own_source(reader.session(), key, "inputs");
        let chosen = exactly_one(&reader, &path, &[("tail", ())], &[]);
        let tail = read_tail(&reader);
        reader.finish();
        chosen.and(tail).map(|kind| Input { name: key.name.clone(), kind })
    });
    inputs.into_iter().flatten().collect()
}

fn read_tail(reader: &Reader<'_>) -> Option<InputKind> {
    let doc = "A file that grows, one JSON object a line; rotation and truncation are noticed.";
    let tail = reader.section("tail", doc, |reader| {
        let path = reader.text("path", "The file. It need not be there yet.").required(String::new());
        let doc = "Where reading begins the first time; later it goes on where it stopped.";
        let from = reader.one_of("from", doc, &[("start", TailFrom::Start), ("end", TailFrom::End)]);
        let from = from.default_shown(TailFrom::Start, "start");
        InputKind::Tail { path: PathBuf::from(path), from, format: read_format(reader) }
    });
    tail.optional()
}

/// The setting `format` of a source.
pub(crate) fn read_format(reader: &Reader<'_>) -> Format {
    let doc = "What it sends: `native`, our own JSON; `cloudmarker`, the records of an audit (`raw`, `ext`, `com`); `auto` \
               tells them apart one by one.";
    reader.one_of("format", doc, &Format::WORDS).default_shown(Format::Auto, "auto")
}

/// The listener with the command line's word, which comes last.
fn listener(session: &Session<'_>, tree: &Node, http: HttpSettings, overrides: &Overrides) -> Option<Http> {
    let set = tree.get("http").and_then(|http| http.get("listen")).map(|listen| listen.place.clone());
    let (listen, place) = match &overrides.listen {
        None => (http.listen, set.unwrap_or_else(|| tree.place.clone())),
        Some(text) => {
            let place = Place { file: "--listen".into(), line: 0, column: 0 };
            let Some(listen) = parse_listen(text) else {
                let what = format!("found {:?}", balefire_model::text::cut(text, 80));
                let allowed = Some(LISTEN_FORM.to_owned());
                session.report(Problem { place, path: "http.listen".to_owned(), what, allowed, hint: None });
                return None;
            };
            (listen, place)
        }
    };
    let listen = listen?;
    if !is_loopback(listen) && http.tokens.is_empty() {
        session.report(Problem {
            place,
            path: "http.listen".to_owned(),
            what: format!("{listen} can be reached from other machines, and there is no token"),
            allowed: Some("a loopback address, or at least one entry in `http.tokens`".to_owned()),
            hint: Some(
                "add `tokens: {NAME: {sha256: HEX}}` under `http:`; HEX is `printf %s TOKEN | sha256sum`".to_owned(),
            ),
        });
    }
    let HttpSettings { tokens, body_bytes_max, tls, public_url, .. } = http;
    Some(Http { listen, tokens, body_bytes_max, tls, public_url })
}

/// Whether only this machine reaches the address; an IPv4 address in IPv6 clothes counts as what it is.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
