//! The section `watch`: what of audit logging is watched, and who must hear of it. Looks at nothing, and knows no kind of
//! watcher by name.

use super::named::items_of;
use super::{Config, Finding, sources, yaml};
use balefire_channels::{Host, PostgresTransport, Transport};
use balefire_intake::normalise::assign;
use balefire_model::Incident;
use balefire_model::settings::{Node, Problem, Reader, Session, Value};
use balefire_watch::{AuditTable, KINDS, Kind, Packs, Peer, Rules, Watched, read_audit_table, read_packs, read_rules};
use std::collections::BTreeSet;
use std::time::Duration;

/// A team must resolve to so many people, and to so many kinds of channel.
const LEAST: usize = 2;

/// Kinds of channel that keep what nobody may be looking at, beside the archives.
const UNATTENDED: [&str; 2] = ["console", "syslog"];

/// What the section `watch` says.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    /// What holds for all watchers.
    pub(crate) rules: Rules,
    /// What is watched.
    pub(crate) watched: Vec<Watched>,
    /// How often one of the watchers is drilled by itself.
    pub(crate) drill_every: Option<Duration>,
    /// Which events mean that audit logging was switched off elsewhere.
    pub(crate) packs: Packs,
    /// The table into which audit rows must keep coming.
    pub(crate) audit_rows: Option<AuditRows>,
    /// Who waits for our heartbeats.
    pub(crate) peer: Option<Peer>,
}

impl Watching {
    /// Whether somebody counts the records of Windows' logs that this source sends.
    pub(crate) fn counts_records_of(&self, source: &str) -> bool {
        self.watched.iter().any(|watched| watched.kind == "windows" && watched.target == source)
    }

    /// Marks an incident whose events mean that audit logging was switched off elsewhere: it weighs at least what that does.
    pub(crate) fn mark(&self, incident: &mut Incident) {
        let Some(tampering) = self.packs.find(incident) else { return };
        tampering.mark(incident);
        if let Some(severity) = tampering.severity() {
            assign(incident, severity.max(incident.severity));
        }
    }
}

/// A table of audit rows, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct AuditRows {
    /// The table.
    pub(crate) table: AuditTable,
    /// The database.
    pub(crate) postgres: Box<PostgresTransport>,
}

/// Reads the section; `None` where it is not there.
pub(super) fn read_watch(reader: &Reader<'_>, host: &Host) -> Option<Watching> {
    let doc = "Whether audit logging works (NIST SP 800-171 3.3.4), and who hears when it does not: each watcher is ok, \
               failing, blind or unknown, and each change is an incident whose `detected_by` begins with `watch.`. See \
               docs/audit-watch.md.";
    reader.section("watch", doc, |reader| read(reader, host)).optional()
}

fn read(reader: &Reader<'_>, host: &Host) -> Watching {
    let rules = read_rules(reader);
    let doc = "Drills by the timetable: a marked alert that goes the way of a real one.";
    let drill_every = reader.section("drill", doc, |reader| {
        let doc = "How often one watcher is drilled, each in its turn.";
        let every = reader.duration("every", doc).default_shown(Duration::from_secs(30 * 24 * 3600), "30d");
        if every.is_zero() {
            reader.reject("every", "found 0", "more than nothing");
        }
        every
    });
    let drill_every = drill_every.optional();
    let mut watched: Vec<Watched> = Vec::new();
    for kind in KINDS {
        let found = (kind.read)(reader);
        if !reader.is_describing() {
            report_repeated(reader, kind, (&watched, &found));
        }
        watched.extend(found);
    }
    let (packs, audit_rows) = (read_packs(reader), read_audit_rows(reader, host));
    let peer = read_peer(reader);
    Watching { rules, watched, drill_every, packs, audit_rows, peer }
}

/// Who waits for our heartbeats. What is wrong with that was reported by the kind `self`.
fn read_peer(reader: &Reader<'_>) -> Option<Peer> {
    let node = reader.node("self")?.get("outside")?;
    let load = |path: &str| sources::read_secret(path);
    let session = Session::new(&load);
    Peer::read(&Reader::new(&session, node, "watch.self.outside"))
}

/// The database behind the kind `bt08`, whose other settings that kind reads itself.
fn read_audit_rows(reader: &Reader<'_>, host: &Host) -> Option<AuditRows> {
    let rows = reader.node("bt08")?.get("audit_rows")?;
    let path = format!("{}.audit_rows", reader.path_of("bt08"));
    let Some(node) = rows.get("postgres") else {
        let (place, what) = (rows.place.clone(), "is missing".to_owned());
        let hint = Some("add `postgres: {url: postgresql://...}` here".to_owned());
        reader.session().report(Problem { place, path: format!("{path}.postgres"), what, allowed: None, hint });
        return None;
    };
    let kind = balefire_channels::KINDS.iter().find(|kind| kind.key == "postgres").expect("the kind is in the list");
    let inner = Reader::new(reader.session(), node, &format!("{path}.postgres"));
    let channel = (kind.resolve)(&inner, host);
    inner.finish();
    // What is wrong with these was reported by the kind.
    let load = |_: &str| Ok(String::new());
    let session = Session::new(&load);
    let table = read_audit_table(&Reader::new(&session, rows, &path));
    match channel.transport() {
        Transport::Postgres(postgres) => Some(AuditRows { table, postgres }),
        other => unreachable!("the kind postgres asks for PostgreSQL, not for {other:?}"),
    }
}

/// Two watchers of one name would be one to everybody who asks.
fn report_repeated(reader: &Reader<'_>, kind: &Kind, (before, found): (&[Watched], &[Watched])) {
    let mut names: BTreeSet<&str> = before.iter().map(|watched| watched.name.as_str()).collect();
    let items = items_of(reader, kind.key);
    for (index, watched) in found.iter().enumerate() {
        if names.insert(&watched.name) {
            continue;
        }
        // Where each item is one watcher, the item is at fault, else the whole.
        let item = items.get(index).filter(|_| items.len() == found.len()).or_else(|| reader.node(kind.key));
        let place = item.map_or_else(|| reader.place().clone(), |node| node.place.clone());
        let what = format!("{} is watched twice", balefire_model::text::cut(&watched.name, 120));
        let (path, allowed) = (reader.path_of(kind.key), Some("each thing once".to_owned()));
        reader.session().report(Problem { place, path, what, allowed, hint: None });
    }
}

/// The team whose members must hear of every failure, where it does not come to two people and two kinds of channel.
pub(crate) fn findings(config: &Config) -> Option<Finding> {
    let team = config.watch.as_ref()?.rules.recipients.as_ref()?;
    let finding = |text: String| {
        Some(Finding { code: "watch-recipients", subject: "watch.recipients".to_owned(), text, place: None })
    };
    if !config.people.has_team(team) {
        let teams = config.people.teams().collect::<Vec<_>>().join(", ");
        let teams = if teams.is_empty() { "none is configured".to_owned() } else { teams };
        let team = balefire_model::text::cut(team, 80);
        // What is watched must be watched all the same: this is no reason not to start.
        return finding(format!(
            "there is no team {team:?}, so that nobody is known who must hear when audit logging fails; allowed: a name \
             of `teams` ({teams})"
        ));
    }
    let (people, kinds) = told(config, team);
    if people.len() >= LEAST && kinds.len() >= LEAST {
        return None;
    }
    let named = |names: &BTreeSet<&str>| {
        if names.is_empty() { "none".to_owned() } else { names.iter().copied().collect::<Vec<_>>().join(", ") }
    };
    finding(format!(
        "when audit logging fails, team {team} comes to {} people ({}) by {} kinds of channel ({}); {LEAST} of each \
             are needed, so that one who is away and one path that is down keep nobody from hearing of it: route \
             `detected_by =~ \"watch\\..*\"` to channels that name `team:{team}`",
        people.len(),
        named(&people),
        kinds.len(),
        named(&kinds),
    ))
}

/// The members of a team that a failure's alert reaches by name, and the kinds of channel on which people are told.
pub(crate) fn told<'a>(config: &'a Config, team: &str) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let now = crate::clock::now();
    let decision = config.routing.decide(&crate::watch::sample(now), now);
    let channels = config.channels.iter().filter(|channel| decision.channels.contains(&channel.name));
    let told: Vec<_> = channels.filter(|channel| !channel.repeats && !UNATTENDED.contains(&channel.kind.key)).collect();
    let members = config.people.members(team);
    let people = told.iter().flat_map(|channel| config.people.reached_by(&channel.name));
    let people = people.filter(|person| members.contains(person)).map(String::as_str).collect();
    (people, told.iter().map(|channel| channel.kind.key).collect())
}

/// What can be watched on any machine, where no section says what.
pub(crate) fn usual() -> Watching {
    let usual = [("kernel", "{}"), ("auditd", "{}"), ("clock", "{}"), ("capacity", "[{path: /var/log}]")];
    let known = usual.iter().filter(|(key, _)| KINDS.iter().any(|kind| kind.key == *key));
    let text: String = known.map(|(key, settings)| format!("{key}: {settings}\n")).collect();
    let tree = yaml::parse(&text, &"what is watched anyhow".into()).node;
    let tree = tree.unwrap_or(Node { place: balefire_model::settings::Place::default(), value: Value::Null });
    let load = |path: &str| sources::read_secret(path);
    let session = Session::new(&load);
    read(&Reader::new(&session, &tree, "watch"), &Host::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_rows_need_a_database_and_each_mistake_is_told_once() {
        let problems = |rows: &str| {
            let text = format!("bt08: {{audit_rows: {rows}}}\n");
            let tree = yaml::parse(&text, &"b.yaml".into()).node.expect("it is YAML");
            let load = |_: &str| Ok(String::new());
            let session = Session::new(&load);
            let reader = Reader::new(&session, &tree, "watch");
            read(&reader, &Host::default());
            reader.finish();
            session.problems().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let [missing] = &problems("{table: t}")[..] else { panic!("one problem") };
        assert!(missing.contains("watch.bt08.audit_rows.postgres: is missing"), "{missing}");
        let url = "postgres: {url: \"postgresql://reader@db/eqmon\"}";
        assert_eq!(problems(&format!("{{{url}, table: s.t, column: at}}")), Vec::<String>::new());
        let [table] = &problems(&format!("{{{url}, table: 'a b'}}"))[..] else { panic!("one problem") };
        assert!(table.contains("watch.bt08.audit_rows.table: found \"a b\"; allowed: NAME or SCHEMA.NAME"), "{table}");
    }

    #[test]
    fn what_is_watched_anyhow_has_no_mistake() {
        let usual = usual();
        let names: Vec<&str> = usual.watched.iter().map(|watched| watched.name.as_str()).collect();
        assert!(names.contains(&"capacity:/var/log"), "{names:?}");
        let kinds: BTreeSet<&str> = usual.watched.iter().map(|watched| watched.kind).collect();
        let known = ["kernel", "auditd", "clock", "capacity"];
        let expected = known.iter().filter(|key| KINDS.iter().any(|kind| kind.key == **key)).copied();
        assert!(expected.clone().all(|key| kinds.contains(key)), "{kinds:?}");
    }
}
