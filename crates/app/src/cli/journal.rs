//! `balefire journal`: the journal as it is on disk, read without a lock and without a change.

use super::output::{self, Output, Screen, inert_json};
use super::table::{Cell, table};
use super::{Exit, Failure, Place};
use anyhow::Context;
use balefire_model::record::kind;
use balefire_model::{Position, Stored};
use balefire_store::journal::{JournalReader, SegmentStat, Stat};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Look at the journal itself, also while a server writes it
#[derive(Debug, Subcommand)]
pub(crate) enum Journal {
    /// Print records, one JSON object a line
    Cat(Cat),
    /// Say how large the journal is and whether it is whole
    Stat(StatArgs),
}

impl Journal {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Journal::Cat(command) => command.run(place, output),
            Journal::Stat(command) => command.run(place, output),
        }
    }
}

/// The kinds of records that there are.
const KINDS: &[&str] = &[
    "started",
    "submitted",
    "accepted",
    "routed",
    "attempt_started",
    "attempt_ended",
    "state_changed",
    "configured",
    "input_read",
    "snapshot",
    "stopped",
    "followed_up",
    "suppressed",
    "health_changed",
    "redriven",
    "purged",
    "clock_set_back",
    "run_ended",
    "assigned",
    "noted",
    "reporting",
];

const CAT_EXAMPLES: &str = "\
Examples:
  balefire journal cat --kind accepted | jq -r .record.title
  balefire journal cat --from 1000 --to 1010";

/// Print records, one JSON object a line
#[derive(Debug, Args)]
#[command(after_help = CAT_EXAMPLES)]
pub(crate) struct Cat {
    /// From this record on
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// Up to this record, which is not printed itself
    #[arg(long, value_name = "POSITION")]
    to: Option<u64>,
    /// Only records of this kind; can be repeated, or be a list with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
    kind: Vec<String>,
}

impl Cat {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let journal = open(place)?;
        let end = journal.stat().position;
        let upto = self.to.map_or(end, |to| Position(to.min(end.0)));
        if self.from > end.0 || self.to.is_some_and(|to| to <= self.from) {
            let message = format!("no record from {} on before {}; the journal ends before {end}", self.from, upto);
            return Err(Failure::new(Exit::NotFound, message));
        }
        let mut written = Ok(());
        let read = journal.read(Position(self.from), upto, &mut |stored| {
            let name = kind::name(stored.entry.kind);
            if self.kind.is_empty() || self.kind.iter().any(|kind| kind == name) {
                written = output.line(&line(&stored, output.screen));
            }
            written.is_ok()
        });
        written?;
        read?;
        Ok(Exit::Done)
    }
}

/// A record on one line.
fn line(stored: &Stored, screen: Screen) -> String {
    // A payload is valid JSON, whose strings hold no raw line breaks; those between tokens mean nothing.
    let record = String::from_utf8_lossy(&stored.entry.payload).replace(['\n', '\r'], " ");
    let line = format!(
        "{{\"position\":{},\"at\":\"{}\",\"kind\":\"{}\",\"record\":{record}}}",
        stored.position,
        stored.entry.at,
        kind::name(stored.entry.kind),
    );
    if screen.is_terminal { inert_json(&line) } else { line }
}

/// Say how large the journal is and whether it is whole
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1: a segment is damaged; what a crash left unfinished is no damage.")]
pub(crate) struct StatArgs {
    /// Count the records of each kind, which reads all of them
    #[arg(long)]
    count: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl StatArgs {
    fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let journal = open(place)?;
        let stat = journal.stat();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut failed = None;
        if self.count {
            let read = journal.read(Position(0), stat.position, &mut |stored| {
                *counts.entry(kind::name(stored.entry.kind)).or_default() += 1;
                true
            });
            failed = read.err();
        }
        if self.json {
            output.json(&stat_json(stat, self.count.then_some(&counts)))?;
        } else {
            output.text(&told(stat, &counts, output.screen))?;
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let is_damaged = |segment: &SegmentStat| segment.problem.as_deref().is_some_and(is_damage);
        Ok(if stat.segments.iter().any(is_damaged) { Exit::Failed } else { Exit::Done })
    }
}

/// Whether a segment's problem stops a start.
fn is_damage(problem: &str) -> bool {
    !problem.contains("at the next start")
}

fn stat_json(stat: &Stat, counts: Option<&BTreeMap<&str, u64>>) -> Value {
    let segment = |segment: &SegmentStat| {
        json!({
            "file": segment.file,
            "from": segment.from,
            "to": segment.upto,
            "bytes": segment.bytes,
            "created": segment.created,
            "problem": segment.problem,
        })
    };
    json!({
        "position": stat.position,
        "bytes": stat.bytes,
        "segments": stat.segments.iter().map(segment).collect::<Vec<_>>(),
        "kinds": counts,
    })
}

fn told(stat: &Stat, counts: &BTreeMap<&str, u64>, screen: Screen) -> String {
    let row = |segment: &SegmentStat| {
        let created = segment.created.map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        vec![
            Cell::new(&segment.file),
            Cell::new(&segment.from.to_string()),
            Cell::new(&segment.upto.to_string()),
            Cell::new(&segment.bytes.to_string()),
            Cell::new(&created),
            Cell::new(segment.problem.as_deref().unwrap_or("good")),
        ]
    };
    let rows: Vec<_> = stat.segments.iter().map(row).collect();
    let mut told =
        format!("next position {}, {} bytes in {} segment(s)\n", stat.position, stat.bytes, stat.segments.len());
    if !rows.is_empty() {
        // What is wrong with a segment is never cut.
        let screen = Screen { columns: None, ..screen };
        told.push_str(&table(&["SEGMENT", "FROM", "TO", "BYTES", "CREATED", "STATE"], &rows, screen));
    }
    for (kind, count) in counts {
        told.push_str(&format!("{kind:<16} {count}\n"));
    }
    told
}

fn open(place: &Place) -> Result<JournalReader, Failure> {
    let dir = Place::journal(&place.directory()?);
    if !dir.is_dir() {
        return Err(Failure::new(Exit::NotFound, format!("there is no journal in {}; check --data", dir.display())));
    }
    output::progress("reading the journal");
    let opened = JournalReader::open(&dir);
    output::progress_ends();
    Ok(opened.with_context(|| format!("the journal in {} cannot be read", dir.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::Entry;

    fn stored(payload: &str) -> Stored {
        let at = "2026-11-22T03:00:00Z".parse().unwrap();
        Stored { position: Position(7), entry: Entry { kind: kind::ACCEPTED, at, payload: payload.into() } }
    }

    #[test]
    fn a_record_is_one_line_whatever_stands_between_its_tokens() {
        let line = line(&stored("{\"a\":\r\n[1,\n2]}"), Screen::default());
        assert_eq!(
            line,
            "{\"position\":7,\"at\":\"2026-11-22T03:00:00Z\",\"kind\":\"accepted\",\"record\":{\"a\":  [1, 2]}}"
        );
    }

    #[test]
    fn a_terminal_gets_nothing_that_acts_and_a_pipe_gets_every_byte() {
        let payload = "{\"a\":\"\u{202e}x\u{9b}\"}";
        let terminal = Screen { is_terminal: true, ..Screen::default() };
        assert!(line(&stored(payload), terminal).contains("\\u202ex\\u009b"));
        assert!(line(&stored(payload), Screen::default()).contains(payload));
    }

    #[test]
    fn every_kind_that_can_be_asked_for_is_a_kind_of_record() {
        let known: Vec<&str> = (1..1_000).map(kind::name).filter(|name| *name != "unknown").collect();
        assert_eq!(known, KINDS);
    }

    #[test]
    fn a_torn_tail_is_no_damage() {
        assert!(!is_damage("torn tail from byte 10 on (x); cut at the next start"));
        assert!(is_damage("damaged at byte 10, record 3: x"));
    }
}
