//! Configuration: files become one resolved [`Config`], or every problem at once. Reads the files that make it up and the
//! secrets that they name; opens nothing else, starts nothing, and takes the environment as a function.

mod channels;
mod dedup;
mod dfars;
mod fallback;
mod finding_rules;
mod findings;
mod gathering;
mod history;
mod http;
mod internal_scan;
mod intervals;
mod merge;
mod named;
mod people;
mod reference;
mod resolve;
mod routes;
mod runs;
mod schedules;
mod schema;
mod sources;
mod spool;
mod substitute;
pub(crate) mod watch;
mod yaml;

#[cfg(test)]
mod corpus;

pub(crate) use channels::ConfiguredChannel;
pub(crate) use finding_rules::{FindingRule, weigh};
pub(crate) use findings::Finding;
pub(crate) use http::{Http, Role, Socket};
pub(crate) use intervals::ConfiguredInterval;
pub(crate) use people::People;
pub(crate) use reference::reference;
pub(crate) use resolve::{Input, InputKind, TailFrom};
pub(crate) use schedules::{Records, Schedule};
pub(crate) use schema::schema;
pub(crate) use watch::{AuditRows, Watching};

pub(crate) use substitute::{expanded, is_understood};
pub(crate) use yaml::FILE_BYTES_MAX;

use balefire_channels::Host;
use balefire_engine::internal_scan::InternalScan;
use balefire_engine::route::Routing;
use balefire_engine::{DedupSettings, ReportSettings, RunSettings};
use balefire_model::Severity;
use balefire_model::settings::{Node, Place, Problem, Session, Value};
use sources::Source;
use spool::Spool;
use std::fmt;
use std::path::{Path, PathBuf};
use substitute::Substituted;

/// A text as the tree of its settings, without substitution; what is wrong with it names `file`.
pub(crate) fn parse_yaml(text: &str, file: &str) -> yaml::Parsed {
    yaml::parse(text, &file.into())
}

/// What the environment says about a variable.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Everything that was set, resolved once. Secrets in it print as `***`.
#[derive(Debug)]
pub(crate) struct Config {
    /// The directory that holds the journal and its view.
    pub(crate) data: PathBuf,
    /// The HTTP listener; none where `listen: none` was said.
    pub(crate) http: Option<Http>,
    /// The Unix socket.
    pub(crate) socket: Socket,
    /// Where mail waits that could not be handed over.
    pub(crate) spool: Spool,
    /// The severity of incidents that say none, or one that is not known.
    pub(crate) severity_default: Severity,
    /// What records of cloud audits weigh here, in the files' order.
    pub(crate) finding_rules: Vec<FindingRule>,
    /// Where events come from beside HTTP and the socket, in the files' order.
    pub(crate) inputs: Vec<Input>,
    /// The commands that are started by a timetable, in the files' order.
    pub(crate) schedules: Vec<Schedule>,
    /// Where notifications go, in the files' order.
    pub(crate) channels: Vec<ConfiguredChannel>,
    /// The named time intervals, in the files' order.
    pub(crate) intervals: Vec<ConfiguredInterval>,
    /// Who hears of what.
    pub(crate) routing: Routing,
    /// When incidents count as the doing of a scan of our own.
    pub(crate) internal_scan: InternalScan,
    /// When runs end that nobody ends.
    pub(crate) runs: RunSettings,
    /// When incidents must be reported; none where nobody is to be reminded.
    pub(crate) reports: Option<ReportSettings>,
    /// Who people are, by name.
    pub(crate) people: People,
    /// What is known again.
    pub(crate) dedup: DedupSettings,
    /// What of audit logging is watched; none where nobody asked for that.
    pub(crate) watch: Option<Watching>,
    /// SHA-256 in hexadecimal of the files as they are before substitution: it says which configuration was in force,
    /// and depends on no secret that comes from the environment or from a file.
    pub(crate) digest: String,
    /// The files, in the order in which they were read; none for the built-in configuration.
    pub(crate) sources: Vec<PathBuf>,
}

/// What the command line says in place of the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--data`
    pub(crate) data: Option<PathBuf>,
    /// `--listen`
    pub(crate) listen: Option<String>,
}

/// A configuration that can come into force, and what is odd about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// It.
    pub(crate) config: Config,
    /// What can do nothing, or is unsafe; none of it stops a start.
    pub(crate) findings: Vec<Finding>,
}

/// Everything that keeps a configuration from coming into force, in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

impl Config {
    /// Reads the named file, or else `./balefire.yaml`, or else `/etc/balefire/balefire.yaml`, or else the built-in
    /// configuration; and `conf.d/*.yaml` beside the file.
    ///
    /// # Errors
    /// [`Problems`] holds everything that is wrong, not only the first thing.
    pub(crate) fn load(
        path: Option<&Path>,
        overrides: &Overrides,
        env: &Environment<'_>,
        host: &Host,
    ) -> Result<Loaded, Problems> {
        let sources = sources::read(path).map_err(Problems)?;
        load_sources(&sources, overrides, env, host)
    }
}

fn load_sources(
    sources: &[Source],
    overrides: &Overrides,
    env: &Environment<'_>,
    host: &Host,
) -> Result<Loaded, Problems> {
    let (tree, mut problems) = tree_of(sources);
    let Some(mut tree) = tree else { return Err(Problems(problems)) };
    let mut findings = findings::plain_secrets(&tree, sources);

    let mut substituted = Substituted::default();
    substituted.apply(&mut tree, "", env);

    let load = |path: &str| sources::read_secret(path);
    let (mut unreached, reached) = people::address(&mut tree);
    let session = Session::new(&load);
    let resolved = resolve::resolve(&session, &tree, overrides, host);
    let mut found = session.problems();
    // What was not substituted is not what was meant either; to say so twice would not help.
    found.retain(|problem| substituted.problems.iter().all(|failed| failed.place != problem.place));
    // Nor is a list of recipients of which some were not found.
    found.retain(|problem| unreached.iter().all(|failed| failed.path != problem.path));
    found.append(&mut unreached);
    for problem in &mut found {
        substitute::hide_values(problem, &substituted.substitutions);
    }
    problems.append(&mut substituted.problems);
    problems.append(&mut found);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| {
            let Place { file, line, column } = &problem.place;
            (sources.iter().position(|source| source.name == *file), *line, *column)
        });
        return Err(Problems(problems));
    }
    let config = Config {
        digest: sources::digest(sources),
        sources: sources.iter().filter_map(|source| source.path.clone()).collect(),
        people: resolved.people.clone().with_reached(reached),
        ..resolved
    };
    findings.extend(findings::of(&config));
    Ok(Loaded { config, findings })
}

/// The joined tree of all files; none where one of them is no YAML, since what it would have set looks missing then.
fn tree_of(sources: &[Source]) -> (Option<Node>, Vec<Problem>) {
    let place = Place { file: sources.first().map_or_else(Default::default, |s| s.name.clone()), line: 1, column: 1 };
    let mut tree = Some(Node { place, value: Value::Null });
    let mut problems = Vec::new();
    for source in sources {
        let mut parsed = yaml::parse(&source.text, &source.name);
        problems.append(&mut parsed.problems);
        tree = tree.zip(parsed.node).map(|(mut tree, node)| {
            merge::merge(&mut tree, node, &mut problems);
            tree
        });
    }
    (tree, problems)
}
