//! Lives of the engine by seed: the real engine and the real channels over a simulated disk, network and clock, with
//! crashes at every step, and checkers that know only what senders were told, what receivers got and what the journal
//! says. The same seed lives the same life, to the last byte.

mod acks;
mod agenda;
mod attempts;
mod config;
mod crowd;
mod disk;
mod driver;
mod follow;
mod health;
mod lane;
mod ledger;
mod network;
mod people;
mod plan;
mod process;
mod random;
mod repeats;
mod reports;
mod runs;
mod summary;
mod trace;
mod world;

pub use plan::Strike;

pub use disk::{DiskFault, SimJournal, Survival};

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a life came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// SHA-256, in hexadecimal, over everything that happened.
    pub trace_hash: String,
    /// Incidents in the journal.
    pub incidents: u64,
    /// Deliveries that were decided on.
    pub deliveries: u64,
    /// Attempts that were started.
    pub attempts: u64,
    /// Messages that reached a receiver.
    pub receipts: u64,
    /// Messages that stand for many.
    pub summaries: u64,
    /// Deliveries that are told of in them.
    pub summarised: u64,
    /// Messages that something came again.
    pub told_again: u64,
    /// Incidents that are over because an event said so.
    pub ended_by_event: u64,
    /// How often channels were told that an acknowledgement was taken back.
    pub taken_back: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Processes that stopped in good order.
    pub stops: u64,
    /// Appends that found no room.
    pub full_disks: u64,
    /// Configurations that came into force while the process ran.
    pub reloads: u64,
    /// Appends that were tried.
    pub appends: u64,
    /// Dead letters that were moved.
    pub moved: u64,
    /// Records by kind, such as `followed_up`.
    pub kinds: std::collections::BTreeMap<&'static str, u64>,
    /// Snapshots in the journal.
    pub snapshots: u64,
    /// Records in the journal.
    pub records: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The life in which it was.
    pub seed: u64,
    /// What does not hold.
    pub faults: Vec<String>,
    /// The last lines of the trace.
    pub lines: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks a promise:", self.seed)?;
        for fault in self.faults.iter().take(10) {
            writeln!(f, "  {fault}")?;
        }
        writeln!(f, "the last lines of its trace:")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Violation {}

/// Lives the life of a seed.
///
/// # Errors
/// [`Violation`] where a promise is broken, or where the engine or a channel panics.
pub fn run(seed: u64) -> Result<Report, Box<Violation>> {
    live(seed, world::World::new(seed, None))
}

/// Lives a short life of a seed in which one append of the journal, counted from 0, goes wrong. The report says how many
/// there were: where there were fewer, nothing went wrong.
///
/// # Errors
/// As [`run`].
pub fn run_struck(seed: u64, append: u64, strike: Strike) -> Result<Report, Box<Violation>> {
    live(seed, world::World::new(seed, Some((append, strike))))
}

fn live(seed: u64, mut world: world::World) -> Result<Report, Box<Violation>> {
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let mut faults = std::mem::take(&mut world.ledger.faults);
    if let Err(panic) = lived {
        let words =
            panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        faults.push(format!("a panic: {}", words.unwrap_or("without words")));
    }
    let (report, lines) = world.finish();
    if faults.is_empty() { Ok(report) } else { Err(Box::new(Violation { seed, faults, lines })) }
}
