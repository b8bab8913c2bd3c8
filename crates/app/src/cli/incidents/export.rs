//! `balefire incidents export`: incidents with all that is known of them, page by page into a file that is there whole or
//! not at all.

use super::csv;
use super::list::Filter;
use crate::cli::client::Reach;
use crate::cli::history::{self, Ask};
use crate::cli::output::{self, Output, inert_json};
use crate::cli::{Exit, Failure, Place};
use anyhow::Context;
use balefire_model::IncidentId;
use balefire_store::view::{LIMIT_MAX, Query};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// As what they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line an incident, for spreadsheets; what a sender wrote is never a formula there
    Csv,
    /// A JSON list; what a sender wrote stands in it byte for byte
    Json,
}

const EXAMPLES: &str = "\
Examples:
  balefire incidents export --format csv -o incidents.csv --since 30d
  balefire incidents export --format json --cui | jq '.[].incident.title'

All that match are written, the newest first. A file is there when all of it is written, for its owner only, and not before. Works without a
server, too, on the data directory itself.";

/// Write incidents with all that is known of them into a file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// As what
    #[arg(long, value_enum)]
    format: Format,
    /// The file; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Deserialize)]
struct Page {
    incidents: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<IncidentId>,
}

impl Export {
    pub(super) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let Some(path) = &self.output else {
            let is_terminal = output.screen.is_terminal;
            self.write(place, |text| {
                // What stands in a cell is harmless already; JSON has what a sender wrote.
                let inert = is_terminal && self.format == Format::Json;
                let written = if inert { output.text(&inert_json(text)) } else { output.text(text) };
                written.map_err(Failure::from)
            })?;
            return Ok(Exit::Done);
        };
        let unfinished = unfinished(path)?;
        let written = self.write_file(place, &unfinished, path);
        if written.is_err() {
            // The failure matters, and not what is left of the file.
            let _ = fs::remove_file(&unfinished);
        }
        let count = written?;
        output::tell(&format!("{count} incidents written to {}", path.display()));
        Ok(Exit::Done)
    }

    fn write_file(&self, place: &Place, unfinished: &Path, path: &Path) -> Result<u64, Failure> {
        let cannot = || format!("{} cannot be written", path.display());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished);
        let mut file = BufWriter::new(file.with_context(cannot)?);
        let count = self.write(place, |text| Ok(file.write_all(text.as_bytes()).with_context(cannot)?))?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
        file.sync_all().with_context(cannot)?;
        fs::rename(unfinished, path).with_context(cannot)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(cannot)?;
        Ok(count)
    }

    /// Gives the text part by part, and says how many incidents are in it.
    fn write(&self, place: &Place, mut put: impl FnMut(&str) -> Result<(), Failure>) -> Result<u64, Failure> {
        let mut query = Query { limit: LIMIT_MAX, ..self.filter.query()? };
        let (source, mut answer) = history::open(place, &self.reach, &Ask::Export(&query))?;
        put(&match self.format {
            Format::Csv => csv::header(),
            Format::Json => "[".to_owned(),
        })?;
        let mut count = 0;
        loop {
            let page: Page = serde_json::from_str(&answer).context("the answer has another form than an export's")?;
            for incident in &page.incidents {
                let separator = if count == 0 { "\n" } else { ",\n" };
                count += 1;
                match self.format {
                    Format::Csv => {
                        let found: Value = serde_json::from_str(incident.get()).context("an incident is no JSON")?;
                        put(&csv::line(&found))?;
                    }
                    Format::Json => put(&format!("{separator}{}", incident.get()))?,
                }
            }
            output::progress(&format!("{count} incidents"));
            let Some(next) = page.next else { break };
            query.before = Some(next);
            answer = source.ask(&Ask::Export(&query))?;
        }
        output::progress_ends();
        if self.format == Format::Json {
            put("\n]\n")?;
        }
        Ok(count)
    }
}

/// The file beside the one that is wanted, under which it is written.
fn unfinished(path: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = path.file_name() else {
        return Err(Failure::new(Exit::Usage, format!("--output: {} names no file", path.display())));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.unfinished", std::process::id()));
    Ok(path.with_file_name(hidden))
}
