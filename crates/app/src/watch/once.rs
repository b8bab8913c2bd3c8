//! The readings once, with no server and no journal.

use super::around::Nobody;
use super::desk::Desk;
use super::status::{Published, Status};
use crate::clock;
use crate::config::Watching;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks: detectors compare what they saw with what they see.
const REST: Duration = Duration::from_secs(1);

/// How many looks there are where something stays unknown.
const LOOKS_MAX: u32 = 4;

/// Lets each watcher look until nothing is unknown, or for about three seconds.
pub(crate) fn once(watching: &Watching) -> Vec<Status> {
    let published = Published::default();
    let mut desk = Desk::new(clock::moment(), BTreeMap::new(), published.clone());
    // What is to be told goes nowhere: nobody is told by a look without a server.
    drop(desk.configure(clock::moment(), Some(&Watching { drill_every: None, ..watching.clone() })));
    for look in 1..=LOOKS_MAX {
        drop(desk.round(&clock::moment, &Nobody, true));
        let found = published.list();
        if look == LOOKS_MAX || !found.iter().any(Status::is_unknown) {
            return found;
        }
        std::thread::sleep(REST);
    }
    published.list()
}
