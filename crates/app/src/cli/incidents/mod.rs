//! `balefire incidents`, also `balefire alerts`: the history, one incident in full, what people do about them, and what
//! all of them come to.

mod acts;
mod csv;
mod export;
mod list;
mod show;
mod stats;
mod test;
mod words;

pub(crate) use words::{age, duration};

use super::output::Output;
use super::{Exit, Failure, Place};
use clap::Subcommand;

/// Look at incidents, take them on, close them
#[derive(Debug, Subcommand)]
pub(crate) enum Incidents {
    /// List incidents, newest first
    List(list::List),
    /// Show one incident with its state, its changes and its deliveries
    Show(show::Show),
    /// Say that somebody takes care of incidents
    Ack(acts::Change),
    /// Say that nobody takes care of incidents any more; escalation steps that are still to come come again
    Unack(acts::Change),
    /// Say that incidents are over
    Resolve(acts::Change),
    /// Say whose incidents are
    Assign(acts::Assign),
    /// Write something down about incidents
    Note(acts::Note),
    /// Say that incidents were reported (DFARS 252.204-7012): their clock stops
    Reported(acts::Reported),
    /// Count incidents, and tell how long it took to acknowledge and to resolve them
    Stats(stats::StatsCommand),
    /// List the rules that have found something: the values of `detected_by`
    Rules(stats::RulesCommand),
    /// Write incidents with all that is known of them into a file
    Export(export::Export),
    /// Send a test incident through the routes, or to one channel, and wait for what comes of it
    Test(test::Test),
}

impl Incidents {
    pub(crate) fn run(&self, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Incidents::List(command) => command.run(place, output),
            Incidents::Show(command) => command.run(place, output),
            Incidents::Ack(command) => command.run("ack", place, output),
            Incidents::Unack(command) => command.run("unack", place, output),
            Incidents::Resolve(command) => command.run("resolve", place, output),
            Incidents::Assign(command) => command.run(place, output),
            Incidents::Note(command) => command.run(place, output),
            Incidents::Reported(command) => command.run(place, output),
            Incidents::Stats(command) => command.run(place, output),
            Incidents::Rules(command) => command.run(place, output),
            Incidents::Export(command) => command.run(place, output),
            Incidents::Test(command) => command.run(place, output),
        }
    }
}
