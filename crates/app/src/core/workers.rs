//! One worker per channel: opened when a configuration comes into force, drained when the next one does.

use super::mailbox::{Letter, Mailbox};
use super::noting;
use crate::clock;
use crate::config::ConfiguredChannel;
use crate::transport::{self, Finished, Terminal};
use balefire_channels::TakesRuns;
use balefire_engine::Input;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How many ended attempts may wait to be handed on. When it is full the workers wait, and with them nothing but
/// themselves.
const REPORTS_MAX: usize = 4096;

/// The workers of one configuration. Dropped, they end.
#[derive(Default)]
pub(crate) struct Crew(BTreeMap<String, OpenWorker>);

/// A worker that takes jobs.
struct OpenWorker {
    jobs: mpsc::Sender<transport::Job>,
    takes_runs: Option<TakesRuns>,
    /// Dropped with the worker, which ends who asks for its far side's notes.
    _asks: Option<oneshot::Sender<()>>,
}

/// All workers, by the channel's name.
pub(crate) struct Workers {
    open: BTreeMap<String, OpenWorker>,
    mailbox: Arc<Mailbox>,
    reports: mpsc::Sender<Finished>,
    cancel: watch::Sender<bool>,
    terminal: Terminal,
    runtime: Handle,
    tasks: JoinSet<()>,
}

impl Workers {
    pub(crate) fn new(mailbox: Arc<Mailbox>, terminal: Terminal, runtime: Handle) -> Workers {
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn_on(hand_on(inbox, mailbox.clone()), &runtime);
        Workers { open: BTreeMap::new(), mailbox, reports, cancel: watch::Sender::new(false), terminal, runtime, tasks }
    }

    /// Opens the workers of a configuration; all of them, also where nothing seems to have changed: a changed secret does
    /// not show. They get work once they are installed.
    pub(crate) fn open(&mut self, channels: &[ConfiguredChannel]) -> Result<Crew, transport::OpenError> {
        let mut crew = BTreeMap::new();
        for channel in channels {
            crew.insert(channel.name.clone(), self.spawn(channel)?);
        }
        Ok(Crew(crew))
    }

    /// Lets a crew take the place of the one before, which finishes what it has.
    pub(crate) fn install(&mut self, crew: Crew) {
        self.open = crew.0;
    }

    fn spawn(&mut self, channel: &ConfiguredChannel) -> Result<OpenWorker, transport::OpenError> {
        let _inside = self.runtime.enter();
        let worker = transport::open(&channel.name, channel.channel.clone(), channel.timeout, self.terminal)?;
        // As many jobs as may be under way: the engine never starts more, so the queue is never full.
        let (jobs, inbox) = mpsc::channel(channel.channel.limits().in_flight as usize);
        let asks = worker.notes().filter(|_| channel.follows_up).map(|notes| {
            let (asks, gone) = oneshot::channel();
            let (name, mailbox) = (channel.name.clone(), self.mailbox.clone());
            self.tasks.spawn_on(noting::run(name, notes, mailbox, gone, self.cancel.subscribe()), &self.runtime);
            asks
        });
        let run = worker.run(inbox, self.reports.clone(), self.cancel.subscribe(), clock::now);
        self.tasks.spawn_on(run, &self.runtime);
        Ok(OpenWorker { jobs, takes_runs: channel.channel.runs(), _asks: asks })
    }

    /// Hands a job to its channel's worker; false where there is none that takes it.
    pub(crate) fn send(&self, channel: &str, job: transport::Job) -> bool {
        self.open.get(channel).is_some_and(|worker| worker.jobs.try_send(job).is_ok())
    }

    /// How a channel takes the records of a run together, if it does.
    pub(crate) fn takes_runs(&self, channel: &str) -> Option<TakesRuns> {
        self.open.get(channel)?.takes_runs
    }

    /// No more jobs; what is under way is abandoned: its outcome is unknown, and the next start makes the attempt again
    /// under the same id. Await the tasks for the end.
    pub(crate) fn close(&mut self) -> JoinSet<()> {
        self.open.clear();
        self.cancel.send_replace(true);
        let (nowhere, _) = mpsc::channel(1);
        self.reports = nowhere;
        std::mem::take(&mut self.tasks)
    }
}

/// Brings ended attempts to the engine: all that have come at once.
async fn hand_on(mut inbox: mpsc::Receiver<Finished>, mailbox: Arc<Mailbox>) {
    let mut ended = Vec::new();
    while inbox.recv_many(&mut ended, REPORTS_MAX).await > 0 {
        let letter =
            |Finished { delivery, attempt, outcome }| Letter::plain(Input::AttemptEnded { delivery, attempt, outcome });
        if !mailbox.post_all(ended.drain(..).map(letter)) {
            tracing::debug!("attempts ended after the engine");
        }
    }
}
