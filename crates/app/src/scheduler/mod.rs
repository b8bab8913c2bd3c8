//! Commands that are started by a timetable: one keeper each. The engine's rules decide what is due; here it is done, and
//! what becomes of it is made durable before the next step.

mod command;
mod files;
mod incident;
mod keeper;
mod note;
mod run;
mod tail;
mod taker;

pub(crate) use keeper::Keeper;

use crate::clock;
use crate::config::Schedule;
use jiff::Timestamp;
use note::{LastRun, Note};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for one keeper, which takes each at once. Where it is full, whoever orders waits.
const ORDERS_MAX: usize = 8;

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
pub(crate) struct Runs(Arc<Vec<Entry>>);

struct Entry {
    status: Arc<Mutex<Status>>,
    orders: mpsc::Sender<Order>,
    name: String,
}

impl Runs {
    /// What there is, in the configuration's order.
    pub(crate) fn list(&self) -> Vec<Status> {
        self.0.iter().map(|entry| entry.status.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Starts a run now; returns when that is durable and done.
    pub(crate) async fn start(&self, name: &str, by: String) -> Result<Timestamp, StartError> {
        let Some(entry) = self.0.iter().find(|entry| entry.name == name) else {
            return Err(StartError::Unknown(self.0.iter().map(|entry| entry.name.clone()).collect()));
        };
        let stopping = || StartError::Refused("balefire is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        entry.orders.send(Order { by, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(StartError::Refused)
    }
}

/// The keepers of these schedules, which still have to run, and who asks them. `known` is what the journal says of inputs.
pub(crate) fn open(schedules: &[Schedule], known: &HashMap<String, (String, u64)>) -> (Runs, Vec<Keeper>) {
    let mut keepers = Vec::new();
    let mut entries = Vec::new();
    for schedule in schedules {
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
        entries.push(Entry { status: status.clone(), orders, name: schedule.name.clone() });
        keepers.push(Keeper::new(schedule.clone(), kept, status, inbox));
    }
    (Runs(Arc::new(entries)), keepers)
}
