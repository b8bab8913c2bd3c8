//! Lines to a program and back: the program is started when the first message comes, and kept. Knows neither what a
//! message says nor what follows an answer.

use super::no_answer;
use crate::environment;
use balefire_channels::{ExecRequest, ExecTransport, Reply};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

mod chatter;
mod ending;
mod keeper;
mod lines;
mod pending;
mod program;
mod session;

use keeper::Keeper;

/// What of our own environment every program gets: without them few programs find anything.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The program of one channel. Clones are the same program.
#[derive(Clone)]
pub(super) struct Exec(Arc<Inner>);

struct Inner {
    /// None once it is closed.
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    /// None once somebody awaits it.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// A message that waits for the program, and where its answer goes.
struct Order {
    message: ExecRequest,
    answer: oneshot::Sender<Reply>,
}

impl Exec {
    /// Starts nothing yet: a program that is not there is a failed attempt, not a failed start. Must run inside the
    /// runtime.
    pub(super) fn open(channel: &str, settings: ExecTransport) -> Exec {
        // As many as may be under way: nobody waits for a place.
        let (orders, inbox) = mpsc::channel(settings.in_flight as usize);
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, environment::variable(name)?))).collect();
        let keeper = Keeper::new(channel, settings, inherited);
        let keeper = tokio::spawn(keeper.run(inbox));
        Exec(Arc::new(Inner { orders: Mutex::new(Some(orders)), keeper: Mutex::new(Some(keeper)) }))
    }

    /// Hands a message to the program and gives its answer. Where the caller goes away, the message stays with the
    /// program, and the answer is dropped.
    pub(super) async fn exec(&self, message: ExecRequest) -> Reply {
        let gone = || no_answer("the channel is being closed");
        let (answer, reply) = oneshot::channel();
        let orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(orders) = orders else { return gone() };
        if orders.send(Order { message, answer }).await.is_err() {
            return gone();
        }
        reply.await.unwrap_or_else(|_| gone())
    }

    /// Ends the program's input, and waits until it has ended by itself or by force. No more messages after this.
    pub(super) async fn close(&self) {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let keeper = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper
            && let Err(error) = keeper.await
        {
            tracing::error!(%error, "the keeper of a program failed");
        }
    }
}

#[cfg(test)]
mod tests;
