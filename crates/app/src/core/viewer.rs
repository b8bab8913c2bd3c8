//! The view's thread: reads what is durable and applies it. Never on the way to an answer or a delivery; when it fails, it
//! says so and tries again.

use super::durable::Durable;
use crate::metrics::Metrics;
use balefire_model::{Position, Stored};
use balefire_store::journal::Reader;
use balefire_store::view::{View, ViewError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many records are applied in one transaction.
const CHUNK: usize = 4096;

/// The bytes of records that one transaction holds in memory.
const CHUNK_BYTES: usize = 8 << 20;

/// How long to rest after less than a chunk: long enough to gather (a transaction costs as much as many records), short
/// enough not to be noticed.
const REST: Duration = Duration::from_millis(20);

/// How long to rest after a failure.
const FAILED_REST: Duration = Duration::from_secs(2);

/// The thread's nice value. On a full machine acceptance and delivery come first: about nine times our share.
const NICE: i32 = 10;

/// The running thread.
pub(crate) struct Viewer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Viewer {
    /// Lets it catch up with what is durable, and ends it.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the view's thread panicked; `balefire rebuild` makes the view anew");
        }
    }
}

pub(crate) fn start(
    dir: PathBuf,
    journal: Reader,
    durable: Arc<Durable>,
    metrics: Arc<Metrics>,
) -> std::io::Result<Viewer> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let run = move || {
        step_back();
        let mut follower = Follower { dir, journal, durable, metrics, view: None };
        follower.run(&told);
    };
    let thread = std::thread::Builder::new().name("view".to_owned()).spawn(run)?;
    Ok(Viewer { stop, thread })
}

/// Lowers this thread's priority, and no other's: on Linux, nice values belong to threads, and none named is the caller.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, nice = NICE, "view runs at the priority of the others");
    }
}

struct Follower {
    dir: PathBuf,
    journal: Reader,
    durable: Arc<Durable>,
    metrics: Arc<Metrics>,
    view: Option<View>,
}

/// Why the view does not follow the journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Journal(#[from] balefire_model::ReadError),
}

impl Follower {
    fn run(&mut self, told_to_stop: &AtomicBool) {
        loop {
            // Asked before the work: what became durable before the order is still applied.
            let last_round = told_to_stop.load(Ordering::Acquire);
            match self.follow() {
                Ok(0) if last_round => return,
                Ok(count) if count < CHUNK && self.is_close() && !last_round => std::thread::sleep(REST),
                Ok(_) => {}
                Err(error) => {
                    self.view = None;
                    self.metrics.view_failed();
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "view cannot follow the journal; trying again");
                    if last_round {
                        return;
                    }
                    std::thread::sleep(FAILED_REST);
                }
            }
        }
    }

    /// Whether less than a chunk is missing.
    fn is_close(&self) -> bool {
        self.durable.journal().0.saturating_sub(self.durable.view().0) < CHUNK as u64
    }

    /// Applies the next chunk; returns how many records that were.
    fn follow(&mut self) -> Result<usize, FollowError> {
        let view = match &mut self.view {
            Some(view) => view,
            none => none.insert(View::open(&self.dir)?),
        };
        let from = view.position();
        if from > self.durable.journal() {
            tracing::warn!(view = from.0, "view is of another journal, which was longer; building it anew");
            self.view = None;
            View::wipe(&self.dir)?;
            return Ok(0);
        }
        let chunk = read_chunk(&self.journal, from, self.durable.journal())?;
        if !chunk.is_empty() {
            view.apply(&chunk)?;
        }
        self.durable.set_view(view.position());
        Ok(chunk.len())
    }
}

/// Applies everything that the journal has; `each` hears how far it is. For commands that work where no server runs.
pub(crate) fn catch_up(view: &mut View, journal: &Reader, mut each: impl FnMut(Position)) -> Result<(), FollowError> {
    loop {
        let chunk = read_chunk(journal, view.position(), journal.position())?;
        if chunk.is_empty() {
            return Ok(view.sync()?);
        }
        view.apply(&chunk)?;
        each(view.position());
    }
}

/// Reads up to [`CHUNK`] records, of no more than [`CHUNK_BYTES`] but for the last of them.
fn read_chunk(journal: &Reader, from: Position, upto: Position) -> Result<Vec<Stored>, FollowError> {
    let mut chunk = Vec::new();
    let mut bytes = 0;
    if from < upto {
        journal.read(from, upto, &mut |stored| {
            bytes += stored.entry.payload.len();
            chunk.push(stored);
            chunk.len() < CHUNK && bytes < CHUNK_BYTES
        })?;
    }
    Ok(chunk)
}
