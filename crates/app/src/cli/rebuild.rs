//! `balefire rebuild`: the view is removed and built again from the journal.

use super::output::{self, Output};
use super::{Exit, Failure, Place};
use crate::clock;
use crate::core::catch_up;
use balefire_store::journal::{FileJournal, JournalOptions};
use balefire_store::view::View;
use clap::Args;
use serde_json::json;

/// Build the view of the journal anew; no server may run
#[derive(Debug, Args)]
#[command(after_help = "Nothing is lost by it: the journal is only read, and the view holds nothing of its own.")]
pub(crate) struct Rebuild {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rebuild {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        let data = place.directory()?;
        let dir = Place::journal(&data);
        if !dir.is_dir() {
            let message = format!("there is no journal in {}; check --data", dir.display());
            return Err(Failure::new(Exit::NotFound, message));
        }
        let begin = clock::monotonic();
        let (journal, opened) = FileJournal::open(&dir, JournalOptions::default())?;
        let upto = opened.position;
        let dir = Place::view(&data);
        View::wipe(&dir)?;
        let mut view = View::open(&dir)?;
        let caught_up = catch_up(&mut view, &journal.reader(), |position| {
            let percent = position.0 * 100 / upto.0.max(1);
            output::progress(&format!("{position} of {upto} records, {percent} %"));
        });
        output::progress_ends();
        caught_up?;
        let seconds = begin.elapsed().as_secs_f64();
        if self.json {
            output.json(&json!({ "records": upto, "seconds": seconds }))?;
        } else {
            output.line(&format!("{upto} records in {seconds:.1} s"))?;
        }
        Ok(Exit::Done)
    }
}
