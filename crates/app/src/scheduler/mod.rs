//! Commands that are started by a timetable: one keeper each. The engine's rules decide what is due; here it is done, and
//! what becomes of it is made durable before the next step. A new configuration reaches the keepers without a restart.

mod command;
mod files;
mod incident;
mod keeper;
mod note;
pub(crate) mod patience;
mod run;
mod tail;
mod taker;

use crate::clock;
use crate::config::Schedule;
use crate::reception::Reception;
use jiff::Timestamp;
use keeper::Keeper;
use note::{LastRun, Note};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Orders that may wait for one keeper, which takes each at once. Where it is full, whoever orders waits.
const ORDERS_MAX: usize = 8;

/// New keepers on their way to whoever runs them, who takes each at once. Where it is full, the reload waits.
const KEEPERS_MAX: usize = 8;

/// What people see of a schedule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    name: String,
    timetable: String,
    state: &'static str,
    /// Of the run under way.
    started: Option<Timestamp>,
    next: Option<Timestamp>,
    last: Option<LastRun>,
    /// The next run waits for the one under way.
    queued: bool,
}

/// Somebody wants a run now.
struct Order {
    by: String,
    /// When it was started, or why not.
    reply: oneshot::Sender<Result<Timestamp, String>>,
}

/// Why a run was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartError {
    /// There is no such schedule; these are there.
    Unknown(Vec<String>),
    /// It cannot be now.
    Refused(String),
}

/// All schedules, for whoever asks. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Board>);

#[derive(Default)]
struct Board {
    /// In the configuration's order; behind them those that are not in it any more.
    entries: Mutex<Vec<Arc<Entry>>>,
    /// To whoever runs them; none where nobody does.
    keepers: Option<mpsc::Sender<Keeper>>,
    /// What the journal said of inputs when we were started.
    known: HashMap<String, (String, u64)>,
}

struct Entry {
    name: String,
    status: Arc<Mutex<Status>>,
    orders: mpsc::Sender<Order>,
    /// None while it is not in the configuration: it may come back, and its run may still be under way.
    schedule: watch::Sender<Option<Arc<Schedule>>>,
}

impl Runs {
    /// What there is, in the configuration's order, and what is still under way though it is not in it any more.
    pub(crate) fn list(&self) -> Vec<Status> {
        let entries = self.entries();
        let status = |entry: &Arc<Entry>| {
            let status = entry.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (entry.schedule.borrow().is_some() || status.started.is_some()).then_some(status)
        };
        entries.iter().filter_map(status).collect()
    }

    /// Starts a run now; returns when that is durable and done.
    pub(crate) async fn start(&self, name: &str, by: String) -> Result<Timestamp, StartError> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.schedule.borrow().is_some());
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
            return Err(StartError::Unknown(entries.iter().map(|entry| entry.name.clone()).collect()));
        };
        let stopping = || StartError::Refused("balefire is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        entry.orders.send(Order { by, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(StartError::Refused)
    }

    /// Brings these schedules into force. A run that is under way ends as it began, whatever becomes of its schedule; one
    /// that is new begins from now.
    pub(crate) async fn configure(&self, schedules: &[Schedule]) {
        let Some(keepers) = &self.0.keepers else { return };
        let mut hired = Vec::new();
        let mut before = self.entries();
        let mut entries = Vec::with_capacity(schedules.len());
        for schedule in schedules {
            let entry = match before.iter().position(|entry| entry.name == schedule.name) {
                Some(place) => {
                    let entry = before.remove(place);
                    entry.adopt(schedule);
                    entry
                }
                None => {
                    let (entry, keeper) = hire(schedule, &self.0.known, true);
                    hired.push(keeper);
                    entry
                }
            };
            entries.push(entry);
        }
        for entry in before {
            entry.schedule.send_if_modified(|schedule| schedule.take().is_some());
            entries.push(entry);
        }
        // Reloads come one after the other: nobody else has changed it since.
        *self.0.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
        for keeper in hired {
            if keepers.send(keeper).await.is_err() {
                tracing::debug!("a schedule was not begun because balefire is stopping");
            }
        }
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Entry {
    fn adopt(&self, new: &Schedule) {
        self.schedule.send_if_modified(|schedule| {
            let is_other = schedule.as_deref() != Some(new);
            if is_other {
                *schedule = Some(Arc::new(new.clone()));
            }
            is_other
        });
    }
}

/// Those who keep the schedules, and those who will.
pub(crate) struct Keepers {
    first: Vec<Keeper>,
    further: mpsc::Receiver<Keeper>,
}

impl Keepers {
    /// Runs them until `stop` is true and each has noted what it leaves.
    pub(crate) async fn run(mut self, reception: Reception, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let theirs = stop.clone();
        for keeper in self.first {
            tasks.spawn(keeper.run(reception.clone(), theirs.clone()));
        }
        loop {
            tokio::select! {
                Some(keeper) = self.further.recv() => {
                    tasks.spawn(keeper.run(reception.clone(), theirs.clone()));
                }
                // Its owner may be gone, which is the same.
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// The keepers of these schedules, which still have to run, and who asks them. `known` is what the journal says of inputs.
pub(crate) fn open(schedules: &[Schedule], known: &HashMap<String, (String, u64)>) -> (Runs, Keepers) {
    let (keepers, further) = mpsc::channel(KEEPERS_MAX);
    let (entries, first): (Vec<_>, Vec<_>) = schedules.iter().map(|schedule| hire(schedule, known, false)).unzip();
    let board = Board { entries: Mutex::new(entries), keepers: Some(keepers), known: known.clone() };
    (Runs(Arc::new(board)), Keepers { first, further })
}

/// A keeper and who asks it. `begins_now`: what was due before it came is none of its business.
fn hire(schedule: &Schedule, known: &HashMap<String, (String, u64)>, begins_now: bool) -> (Arc<Entry>, Keeper) {
    let (orders, inbox) = mpsc::channel(ORDERS_MAX);
    let timetable = &schedule.rules.timetable;
    let kept = known.get(&note::key(&schedule.name)).and_then(|(file, offset)| match Note::read(file, *offset) {
        Ok(note) => Some(note),
        Err(error) => {
            tracing::error!(
                schedule = schedule.name,
                error,
                "its note in the journal is not understood; it begins anew"
            );
            None
        }
    });
    let status = Arc::new(Mutex::new(Status {
        name: schedule.name.clone(),
        timetable: timetable.text(),
        state: "idle",
        started: None,
        next: timetable.next(clock::now()),
        last: kept.as_ref().and_then(|note| note.last.clone()),
        queued: false,
    }));
    let schedule = Arc::new(schedule.clone());
    let (changed, changes) = watch::channel(Some(schedule.clone()));
    let entry = Entry { name: schedule.name.clone(), status: status.clone(), orders, schedule: changed };
    (Arc::new(entry), Keeper { schedule, changes, kept, begins_now, status, orders: inbox })
}
