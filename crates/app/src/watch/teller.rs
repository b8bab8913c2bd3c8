//! Makes durable what watchers found, one thing after the other, and tries again until it is. Where the journal takes nothing
//! for too long, says so where it can still be heard. Decides nothing about watchers.

use super::desk::Outgoing;
use crate::clock;
use crate::core::{Mailbox, alarm};
use crate::scheduler::patience::{self, Stopped};
use balefire_engine::{Input, OWN_SOURCE, Submission};
use balefire_model::record::StateChanged;
use balefire_model::{IncidentId, Severity, State};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long the journal may take nothing before the local syslog and our own log hear what it should have heard.
const PATIENCE: Duration = Duration::from_secs(15);

/// What it weighs in memory, about.
const BYTES: usize = 4096;

/// Something to tell, and who waits for it to be durable.
pub(super) struct Parcel {
    pub(super) outgoing: Outgoing,
    pub(super) reply: Option<oneshot::Sender<Result<(), String>>>,
}

/// Works until nobody can send any more.
pub(super) async fn run(mut parcels: mpsc::Receiver<Parcel>, mailbox: Arc<Mailbox>, stop: watch::Receiver<bool>) {
    let mut teller = Teller { mailbox, stop };
    while let Some(Parcel { outgoing, reply }) = parcels.recv().await {
        let watcher = outgoing.watcher.clone();
        let told = teller.tell(outgoing).await;
        if told.is_err() {
            // Its note is the old one: the next start tells it anew.
            tracing::warn!(watcher, "balefire stops before what was found is durable; the next start finds it again");
        }
        let answer = told.map_err(|Stopped| "balefire is stopping".to_owned());
        if reply.is_some_and(|reply| reply.send(answer).is_err()) {
            tracing::debug!(watcher, "whoever asked went away");
        }
    }
}

struct Teller {
    mailbox: Arc<Mailbox>,
    stop: watch::Receiver<bool>,
}

impl Teller {
    async fn tell(&mut self, outgoing: Outgoing) -> Result<(), Stopped> {
        let Outgoing { resolves, incidents, note, ends, .. } = outgoing;
        let worst = incidents.iter().filter(|incident| !incident.says_over()).max_by_key(|incident| incident.severity);
        let alarm = worst.filter(|incident| incident.severity >= Severity::High).map(|incident| incident.title.clone());
        for (incident, comment) in resolves {
            self.resolve(incident, comment).await?;
        }
        let count = incidents.len();
        let submission = Submission { incidents, read: Some(note), ..Submission::default() };
        self.ask(Input::Submit(submission), count, alarm).await?;
        for incident in ends {
            self.resolve(incident, "it says that something is over".to_owned()).await?;
        }
        Ok(())
    }

    async fn resolve(&mut self, incident: IncidentId, comment: String) -> Result<(), Stopped> {
        let by = OWN_SOURCE.to_owned();
        self.ask(Input::Change(StateChanged { incident, state: State::Resolved, by, comment }), 0, None).await
    }

    /// Until it is taken. What our own watchers find is never shed: it is little, and it may be all that is left to tell.
    async fn ask(&mut self, input: Input, count: usize, mut alarm: Option<String>) -> Result<(), Stopped> {
        let begin: Instant = clock::monotonic();
        loop {
            let bytes = if count > 0 { BYTES } else { 0 };
            let Err(declined) = self.mailbox.ask(input.clone(), bytes, count).await else { return Ok(()) };
            if let Some(title) = alarm.take_if(|_| begin.elapsed() >= PATIENCE) {
                alarm::raise(&format!("audit logging fails, and the journal takes nothing ({declined}): {title}"));
            }
            patience::rest(declined.retry_after, &mut self.stop).await?;
        }
    }
}
