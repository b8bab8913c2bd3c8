//! Looks on a thread of their own, so that one that hangs, as at a dead network file system, keeps no other from looking. Waits
//! for each only so long; what is late is asked for again. Knows nothing of what a look means.

use balefire_watch::{Around, Look, Moment, Watcher};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many threads may hang. Then we wait, and whoever watches over us says that nobody looks.
const AWAY_MAX: usize = 8;

/// How long we wait for what may have begun while we took the rest of the work away.
const MOMENT: Duration = Duration::from_millis(100);

/// A watcher that is to look.
pub(super) struct Work {
    pub(super) name: String,
    pub(super) watcher: Box<dyn Watcher>,
}

/// One that has looked.
pub(super) struct Done {
    pub(super) name: String,
    pub(super) watcher: Box<dyn Watcher>,
    pub(super) begin: Moment,
    pub(super) end: Moment,
    /// What it saw, and when it wants to look next; none where it failed by a fault of our own.
    pub(super) found: Option<(Look, Option<Duration>)>,
}

/// Lets one look here and now.
pub(super) fn look(work: Work, clock: &dyn Fn() -> Moment, around: &dyn Around) -> Done {
    let Work { name, mut watcher } = work;
    let begin = clock();
    let found = catch_unwind(AssertUnwindSafe(|| (watcher.look(begin, around), watcher.next()))).ok();
    Done { name, watcher, begin, end: clock(), found }
}

/// Whoever is asked by a thread that is not ours.
pub(super) type Asked = Arc<dyn Around + Send + Sync>;

/// The threads.
pub(super) struct Hands {
    around: Asked,
    clock: fn() -> Moment,
    patience: Duration,
    worker: Option<Worker>,
    away: Vec<Away>,
}

struct Worker {
    queue: Arc<Mutex<VecDeque<Work>>>,
    wake: SyncSender<()>,
    done: Receiver<Done>,
}

/// A thread that hangs, with the watchers that it has.
struct Away {
    names: Vec<String>,
    done: Receiver<Done>,
}

impl Hands {
    /// With how long a look may take.
    pub(super) fn new(around: Asked, clock: fn() -> Moment, patience: Duration) -> Hands {
        Hands { around, clock, patience, worker: None, away: Vec::new() }
    }

    /// Those that were late and are back.
    pub(super) fn returned(&mut self) -> Vec<Done> {
        let mut back = Vec::new();
        self.away.retain_mut(|away| {
            while let Ok(done) = away.done.try_recv() {
                away.names.retain(|name| *name != done.name);
                back.push(done);
            }
            !away.names.is_empty()
        });
        back
    }

    /// Lets them look, one after the other. `take` gets each that has looked; what comes back are the names of those that have
    /// not ended in time, and those that could not look because there is no thread.
    pub(super) fn look(
        &mut self,
        mut work: VecDeque<Work>,
        mut take: impl FnMut(Done),
    ) -> (Vec<String>, VecDeque<Work>) {
        let mut late = Vec::new();
        while !work.is_empty() {
            let Some(worker) = self.worker.take().or_else(|| Worker::start(&self.around, self.clock)) else {
                return (late, work);
            };
            let mut names: VecDeque<String> = work.iter().map(|work| work.name.clone()).collect();
            worker.begin(std::mem::take(&mut work));
            let patience = (self.away.len() < AWAY_MAX).then_some(self.patience);
            while !names.is_empty() {
                let Some(done) = worker.wait(patience) else { break };
                names.retain(|name| *name != done.name);
                take(done);
            }
            if names.is_empty() {
                self.worker = Some(worker);
                continue;
            }
            work = worker.take_rest();
            names.retain(|name| work.iter().all(|work| work.name != *name));
            while let Some(done) = worker.wait(Some(MOMENT)) {
                names.retain(|name| *name != done.name);
                take(done);
            }
            late.extend(names.iter().cloned());
            if !names.is_empty() {
                self.away.push(Away { names: names.into(), done: worker.done });
            }
        }
        (late, work)
    }
}

impl Worker {
    fn start(around: &Asked, clock: fn() -> Moment) -> Option<Worker> {
        let queue: Arc<Mutex<VecDeque<Work>>> = Arc::default();
        let ((wake, woken), (told, done)) = (sync_channel(1), sync_channel(1));
        let (shared, around) = (queue.clone(), around.clone());
        let run = move || {
            while woken.recv().is_ok() {
                while let Some(work) = pop(&shared) {
                    if told.send(look(work, &clock, &*around)).is_err() {
                        return;
                    }
                }
            }
        };
        match std::thread::Builder::new().name("look".to_owned()).spawn(run) {
            Ok(_) => Some(Worker { queue, wake, done }),
            Err(error) => {
                tracing::error!(%error, "nothing is looked at: no thread can be started");
                None
            }
        }
    }

    fn begin(&self, work: VecDeque<Work>) {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = work;
        // A call that waits already will do. Waiting until it is heard would be waiting for a thread that may itself wait until
        // we take what it has done.
        if let Err(TrySendError::Disconnected(())) = self.wake.try_send(()) {
            tracing::error!("the thread that looks has ended by a fault of our own");
        }
    }

    /// The next that has looked; none after `patience`.
    fn wait(&self, patience: Option<Duration>) -> Option<Done> {
        match patience {
            Some(patience) => self.done.recv_timeout(patience).ok(),
            None => self.done.recv().ok(),
        }
    }

    /// Those that have not begun.
    fn take_rest(&self) -> VecDeque<Work> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pop(queue: &Mutex<VecDeque<Work>>) -> Option<Work> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
