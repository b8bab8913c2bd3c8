//! Counts incidents that are to become one message: reads them from the journal, away from the engine's thread.

use super::incidents::Incidents;
use super::mailbox::{Letter, Mailbox};
use balefire_engine::{Gather, Input, Tally};
use balefire_store::journal::Reader;
use std::sync::Arc;

/// Counts on a thread of its own and posts what it comes to.
pub(crate) fn count(gather: Gather, journal: Reader, mailbox: Arc<Mailbox>) {
    let work = {
        let (gather, mailbox) = (gather.clone(), mailbox.clone());
        move || {
            let tally = tally(&gather, Incidents::new(journal));
            post(&mailbox, gather, tally);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("gather".to_owned()).spawn(work) {
        tracing::error!(%error, channel = gather.channel, "no thread to count with: the summary has no names");
        let mut tally = Tally::default();
        gather.items.iter().for_each(|_| tally.add_unreadable());
        post(&mailbox, gather, tally);
    }
}

fn tally(gather: &Gather, mut incidents: Incidents) -> Tally {
    let mut tally = Tally::default();
    for (delivery, position) in &gather.items {
        match incidents.get(*position).and_then(|subject| subject.read()) {
            Ok(incident) => tally.add(&incident),
            Err(why) => {
                tracing::error!(%delivery, why, "an incident of a summary cannot be read");
                tally.add_unreadable();
            }
        }
    }
    tally
}

fn post(mailbox: &Mailbox, gather: Gather, tally: Tally) {
    if !mailbox.post(Letter::plain(Input::Gathered { gather, tally: Box::new(tally) })) {
        tracing::debug!("counted after the engine's end; the next start gathers again");
    }
}
