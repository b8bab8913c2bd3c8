//! Looks now and then whether a channel's far side says that incidents are acknowledged, and hands what it says to the
//! engine. Asks, waits and backs off; which incidents are asked about, and what follows, is decided by the engine.

use super::mailbox::Mailbox;
use crate::transport::{Acknowledged, Notes};
use balefire_engine::{AckSeen, AcksSeen, Answer, Input, Unacknowledged};
use balefire_model::{IncidentId, text};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How long one question may take, with its connection.
const ASKED_FOR_MAX: Duration = Duration::from_secs(60);

/// Asks until it is cancelled or its channel's worker is gone.
pub(super) async fn run(
    channel: String,
    notes: Notes,
    mailbox: Arc<Mailbox>,
    gone: oneshot::Receiver<()>,
    mut cancel: watch::Receiver<bool>,
) {
    let asks = ask_again_and_again(channel, &notes, &mailbox);
    tokio::select! {
        () = asks => {}
        // Nobody ever sends: it ends when the worker's other half is dropped.
        _ = gone => {}
        _ = cancel.wait_for(|cancelled| *cancelled) => {}
    }
}

async fn ask_again_and_again(channel: String, notes: &Notes, mailbox: &Mailbox) {
    let mut before = None;
    let mut pause = notes.every;
    let mut told = false;
    loop {
        tokio::time::sleep(pause).await;
        match ask(&channel, notes, mailbox, before).await {
            Ok(next) => {
                if told {
                    tracing::info!(channel, "acknowledgements in the table can be seen again");
                }
                (before, pause, told) = (next, notes.every, false);
            }
            Err(why) => {
                // Once for each outage: that the channel fails is told by its deliveries.
                if !told {
                    tracing::warn!(channel, why, "acknowledgements in the table cannot be seen; asking again");
                }
                (pause, told) = ((pause * 2).min(PAUSE_MAX.max(notes.every)), true);
            }
        }
    }
}

/// One round; gives where the next one goes on.
async fn ask(
    channel: &str,
    notes: &Notes,
    mailbox: &Mailbox,
    before: Option<IncidentId>,
) -> Result<Option<IncidentId>, String> {
    let question = Input::Unacknowledged { channel: channel.to_owned(), before };
    let answer = mailbox.ask(question, 0, 0).await.map_err(|error| error.to_string())?;
    let Answer::Unacknowledged(open) = answer else { return Ok(None) };
    let Unacknowledged { incidents, next, asked_at } = &*open;
    if incidents.is_empty() {
        return Ok(*next);
    }
    let ids: Vec<String> = incidents.iter().map(ToString::to_string).collect();
    let found = tokio::time::timeout(ASKED_FOR_MAX, notes.ask(&ids)).await;
    let found = found.map_err(|_| format!("no answer within {ASKED_FOR_MAX:?}"))??;
    let found: Vec<AckSeen> = found.into_iter().filter_map(read).collect();
    if !found.is_empty() {
        let seen = AcksSeen { channel: channel.to_owned(), place: notes.place(), asked_at: *asked_at, found };
        mailbox.ask(Input::AcksSeen(seen), 0, 0).await.map_err(|error| error.to_string())?;
    }
    Ok(*next)
}

/// A row whose id is none of ours was not asked for.
fn read(row: Acknowledged) -> Option<AckSeen> {
    let incident = row.id.parse().ok();
    if incident.is_none() {
        tracing::warn!(id = %text::cut(&text::one_line(&row.id), 80), "a row has an id that nobody asked for");
    }
    Some(AckSeen { incident: incident?, by: row.by, at: row.at, is_partial: row.is_partial })
}
