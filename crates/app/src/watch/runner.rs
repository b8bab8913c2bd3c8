//! The watchers' thread: waits until something is due or ordered, lets it be done, and hands on what came of it.

use super::Durable;
use super::around::Surroundings;
use super::desk::{Desk, Outgoing, Refusal};
use super::hands::Hands;
use super::note::Note;
use super::status::Published;
use super::teller::Parcel;
use crate::clock;
use crate::config::Config;
use balefire_model::IncidentId;
use balefire_watch::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A look should take less than a second; one that takes longer than this on a busy machine hangs.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// Answers whoever ordered, and gives them something to wait for.
type Reply<T> = oneshot::Sender<Result<(T, Durable), Refusal>>;

/// What somebody wants of the watchers.
pub(super) enum Order {
    Configure(Arc<Config>),
    Retire { name: String, by: String, comment: String, reply: Reply<()> },
    Drill { name: String, by: String, reply: Reply<IncidentId> },
    Stop,
}

/// Nobody makes durable any more what is found.
struct Closed;

/// When the thread last went round, in milliseconds of the boot-time clock; 0 while it has nothing to do. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Beat(Arc<AtomicU64>);

impl Beat {
    fn set(&self, moment: Option<Moment>) {
        let ms = moment.map_or(0, |moment| u64::try_from(moment.boot.as_millis()).unwrap_or(u64::MAX).max(1));
        self.0.store(ms, Ordering::Relaxed);
    }

    /// How long it has not gone round; none while it has nothing to do.
    pub(super) fn silent_for(&self, now: Moment) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed);
        (last > 0).then(|| now.boot.saturating_sub(Duration::from_millis(last)))
    }
}

/// Whoever runs on the thread.
pub(super) struct Runner {
    desk: Desk,
    begun: Vec<Outgoing>,
    around: Surroundings,
    orders: Receiver<Order>,
    parcels: mpsc::Sender<Parcel>,
    beat: Beat,
}

impl Runner {
    pub(super) fn new(
        (config, notes): (&Config, BTreeMap<String, Note>),
        published: Published,
        around: Surroundings,
        (orders, parcels): (Receiver<Order>, mpsc::Sender<Parcel>),
    ) -> Runner {
        let now = clock::moment();
        let mut desk = Desk::new(now, notes, published);
        let begun = desk.configure(now, config.watch.as_ref());
        desk.look_by(Hands::new(Arc::new(around.clone()), clock::moment, LOOK_TIME_MAX));
        Runner { desk, begun, around, orders, parcels, beat: Beat::default() }
    }

    /// By which somebody else sees whether it goes round.
    pub(super) fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        if self.work().is_err() {
            tracing::debug!("the watchers end because nobody hears them");
        }
    }

    fn work(&mut self) -> Result<(), Closed> {
        let begun = std::mem::take(&mut self.begun);
        self.tell_all(begun)?;
        loop {
            let now = clock::moment();
            let until_due = self.desk.until_due(now);
            self.beat.set(until_due.map(|_| now));
            let order = match until_due {
                Some(wait) => self.orders.recv_timeout(wait),
                None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    let last = self.desk.close(clock::moment());
                    return self.tell_all(last);
                }
                Ok(order) => self.obey(order)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let found = self.desk.round(&clock::moment, &self.around, false);
            self.tell_all(found)?;
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), Closed> {
        let now = clock::moment();
        match order {
            Order::Configure(config) => {
                let found = self.desk.configure(now, config.watch.as_ref());
                self.tell_all(found)
            }
            Order::Retire { name, by, comment, reply } => {
                let retired = self.desk.retire(now, &name, (&by, &comment));
                self.answer(retired.map(|outgoing| ((), outgoing)), reply)
            }
            Order::Drill { name, by, reply } => {
                let begun = self.desk.drill(now, &name, &by);
                self.answer(begun, reply)
            }
            Order::Stop => Ok(()),
        }
    }

    fn answer<T>(&self, done: Result<(T, Outgoing), Refusal>, reply: Reply<T>) -> Result<(), Closed> {
        let (answer, parcel) = match done {
            Ok((value, outgoing)) => {
                let (told, durable) = oneshot::channel();
                (Ok((value, durable)), Some(Parcel { outgoing, reply: Some(told) }))
            }
            Err(refusal) => (Err(refusal), None),
        };
        if reply.send(answer).is_err() {
            tracing::debug!("whoever gave an order went away");
        }
        parcel.map_or(Ok(()), |parcel| self.tell(parcel))
    }

    fn tell_all(&self, found: Vec<Outgoing>) -> Result<(), Closed> {
        found.into_iter().try_for_each(|outgoing| self.tell(Parcel { outgoing, reply: None }))
    }

    fn tell(&self, parcel: Parcel) -> Result<(), Closed> {
        self.parcels.blocking_send(parcel).map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_nothing_to_do_is_not_silent() {
        let (beat, now) = (Beat::default(), clock::moment());
        assert_eq!(beat.silent_for(now), None);
        beat.set(Some(now));
        let later = Moment { boot: now.boot + Duration::from_secs(90), ..now };
        assert!(beat.silent_for(later).is_some_and(|silent| silent >= Duration::from_secs(90)));
        beat.set(None);
        assert_eq!(beat.silent_for(later), None);
    }
}
