//! Watchers of audit logging at work: one thread looks, beside the runtime; what it finds becomes durable in the order in which
//! it was found. A new configuration reaches them without a restart.

mod around;
mod desk;
mod hands;
mod heard;
mod incident;
mod note;
mod once;
mod outward;
mod rows;
mod runner;
mod status;
mod teller;
mod unbegun;

pub(crate) use around::Surroundings;
pub(crate) use desk::Refusal;
pub(crate) use heard::{Count, HeardOf, PLUGIN};
pub(crate) use incident::sample;
pub(crate) use once::once;
pub(crate) use rows::RowsSeen;
pub(crate) use status::{Counts, Measure, Status, lacks};

use crate::clock;
use crate::config::Config;
use crate::core::{Mailbox, alarm};
use balefire_model::IncidentId;
use runner::{Beat, Order, Runner};
use status::Published;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use teller::Parcel;
use tokio::sync::{mpsc, oneshot, watch};

/// Orders that may wait for the thread, which takes each between two looks. Where it is full, whoever orders is refused.
const ORDERS_MAX: usize = 16;

/// What may wait to become durable. Where it is full nobody looks: nothing could be told of it.
const PARCELS_MAX: usize = 256;

/// How long whoever orders waits.
const ORDER_TIME_MAX: Duration = Duration::from_secs(20);

/// How long the thread may take to end; a look at a dead network file system may never return.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the thread may not go round until that is told: it hangs in a look, or the journal takes nothing.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// All watchers, for whoever asks. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watchers {
    orders: SyncSender<Order>,
    published: Published,
}

impl Watchers {
    /// What is expected, by name.
    pub(crate) fn list(&self) -> Vec<Status> {
        self.published.list()
    }

    /// How many failures there were since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.published.counts()
    }

    /// Brings the watchers of a configuration into force.
    pub(crate) async fn configure(&self, config: Arc<Config>) {
        let orders = self.orders.clone();
        let sent = tokio::task::spawn_blocking(move || orders.send(Order::Configure(config)).is_ok());
        if !matches!(tokio::time::timeout(ORDER_TIME_MAX, sent).await, Ok(Ok(true))) {
            tracing::error!("the watchers go on as before: their thread does not take the new configuration");
        }
    }

    /// A watcher is not expected any more; returns when that is durable.
    pub(crate) async fn retire(&self, name: String, by: String, comment: String) -> Result<(), Refusal> {
        self.order(|reply| Order::Retire { name, by, comment, reply }).await
    }

    /// Begins a drill; returns the incident that tells of it when that is durable.
    pub(crate) async fn drill(&self, name: String, by: String) -> Result<IncidentId, Refusal> {
        self.order(|reply| Order::Drill { name, by, reply }).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(T, Durable), Refusal>>) -> Order,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(order(reply)).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Refused("too many orders wait; try again".to_owned()),
            TrySendError::Disconnected(_) => stopping(),
        })?;
        let answered = tokio::time::timeout(ORDER_TIME_MAX, async {
            let (value, durable) = answer.await.map_err(|_| stopping())??;
            durable.await.map_err(|_| stopping())?.map_err(Refusal::Refused)?;
            Ok(value)
        });
        answered.await.unwrap_or_else(|_| {
            Err(Refusal::Refused("the watchers do not answer: a look hangs, or the journal takes nothing".to_owned()))
        })
    }
}

/// Answered when what was ordered is durable.
type Durable = oneshot::Receiver<Result<(), String>>;

fn stopping() -> Refusal {
    Refusal::Refused("balefire is stopping".to_owned())
}

/// Those who watch, before they begin.
pub(crate) struct Watch {
    runner: Runner,
    orders: SyncSender<Order>,
    parcels: mpsc::Receiver<Parcel>,
}

/// The watchers of a configuration, which still have to begin, and who asks them. `known` is what the journal says of
/// inputs.
pub(crate) fn open(config: &Config, known: &HashMap<String, (String, u64)>, around: Surroundings) -> (Watchers, Watch) {
    let (orders, inbox) = sync_channel(ORDERS_MAX);
    let (outbox, parcels) = mpsc::channel(PARCELS_MAX);
    let published = Published::default();
    let runner = Runner::new((config, note::read(known)), published.clone(), around, (inbox, outbox));
    (Watchers { orders: orders.clone(), published }, Watch { runner, orders, parcels })
}

impl Watch {
    /// Watches until `stop` is true, and makes durable what was found until then.
    pub(crate) async fn run(self, mailbox: Arc<Mailbox>, mut stop: watch::Receiver<bool>) {
        let Watch { runner, orders, parcels } = self;
        let beat = runner.beat();
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || runner.run());
        let thread: JoinHandle<()> = match thread {
            Ok(thread) => thread,
            Err(error) => {
                tracing::error!(%error, "nothing is watched: no thread can be started");
                return;
            }
        };
        let telling = teller::run(parcels, mailbox, stop.clone());
        let ending = async {
            // Its owner may be gone, which is the same.
            drop(stop.wait_for(|stop| *stop).await);
            let told = tokio::task::spawn_blocking(move || orders.send(Order::Stop).is_ok());
            drop(tokio::time::timeout(END_TIME_MAX, told).await);
            tokio::time::sleep(END_TIME_MAX).await;
        };
        tokio::select! {
            // The thread has ended and everything is told.
            () = telling => {
                if tokio::task::spawn_blocking(move || thread.join().is_err()).await.unwrap_or(true) {
                    tracing::error!("the thread of the watchers has failed by a fault of our own; nothing is watched");
                }
            }
            () = watch_over(&beat) => {}
            () = ending => tracing::warn!("a look hangs; what it would have found is left to the next start"),
        }
    }
}

/// Says so where it can still be heard when the thread does not go round; never ends.
async fn watch_over(beat: &Beat) {
    let mut told = false;
    let mut ticks = tokio::time::interval(SILENT_MAX / 6);
    loop {
        ticks.tick().await;
        match beat.silent_for(clock::moment()) {
            Some(silent) if silent >= SILENT_MAX && !told => {
                told = true;
                let seconds = silent.as_secs();
                alarm::raise(&format!(
                    "nothing of audit logging is watched for {seconds} s: a look hangs, or the journal takes nothing"
                ));
            }
            Some(silent) if silent < SILENT_MAX && told => {
                told = false;
                tracing::info!("the watchers look again");
            }
            _ => {}
        }
    }
}
