//! A list from a running server, shown as a table or as JSON. Knows nothing of what is listed.

use super::client::{Question, Reach};
use super::output::{self, Output, Screen};
use super::{Failure, Place};
use clap::Args;
use serde_json::Value;

/// How a list is asked for and shown.
#[derive(Debug, Default, Args)]
pub(crate) struct Listing {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// A list that a server has.
pub(crate) struct Wanted<'a> {
    /// Where it is.
    pub(crate) path: String,
    /// The name under which the answer has it.
    pub(crate) member: &'a str,
    /// What a person is told where it is empty.
    pub(crate) nothing: &'a str,
}

impl Listing {
    /// Asks, and shows the rows as `table` lays them out; gives the whole answer.
    pub(crate) fn show(
        &self,
        wanted: Wanted<'_>,
        place: &Place,
        output: &mut Output,
        table: impl FnOnce(&[Value], Screen) -> String,
    ) -> Result<Value, Failure> {
        let Wanted { path, member, nothing } = wanted;
        let found = place.client(&self.reach)?.ask(&Question::get(path))?.json()?;
        show_rows(found[member].as_array().map(Vec::as_slice).unwrap_or_default(), self.json, nothing, output, table)?;
        Ok(found)
    }
}

/// Shows rows as JSON or as `table` lays them out; where there are none, tells a person so.
pub(crate) fn show_rows(
    rows: &[Value],
    is_json: bool,
    nothing: &str,
    output: &mut Output,
    table: impl FnOnce(&[Value], Screen) -> String,
) -> Result<(), Failure> {
    if is_json {
        output.json(&rows)?;
    } else if rows.is_empty() {
        output::tell(nothing);
    } else {
        output.text(&table(rows, output.screen))?;
    }
    Ok(())
}
