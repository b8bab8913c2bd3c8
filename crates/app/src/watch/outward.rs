//! Sends heartbeats outward while we are well, and keeps what became of them for the watcher that judges it. A task of its own: a
//! peer that does not answer keeps nobody from looking.

use super::around::Surroundings;
use crate::clock;
use crate::transport::Heartbeat;
use balefire_watch::{Around, Outward, Peer, withholds};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct OutwardSeen(Mutex<Option<Outward>>);

impl OutwardSeen {
    pub(super) fn last(&self) -> Option<Outward> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, outward: Option<Outward>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outward;
    }

    /// Sends them as the configuration says, until `stop` is true.
    pub(crate) async fn send(self: Arc<Self>, around: Surroundings, mut stop: watch::Receiver<bool>) {
        let mut config = around.config.clone();
        loop {
            let peer = config.borrow_and_update().watch.as_ref().and_then(|watching| watching.peer.clone());
            let sends = async {
                match peer {
                    Some(peer) => self.send_again_and_again(&peer, &around).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sends => {}
                changed = config.changed() => match changed {
                    Ok(()) => self.set(None),
                    // Its owner is gone: the process ends.
                    Err(_) => return,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn send_again_and_again(&self, peer: &Peer, around: &Surroundings) {
        let mut outward = Outward::default();
        let mut heartbeat: Option<Heartbeat> = None;
        loop {
            outward.withheld = around.own().and_then(|own| withholds(&own));
            if outward.withheld.is_none() {
                let ready = heartbeat.take().map_or_else(|| Heartbeat::new(peer), Ok);
                let sent = match &ready {
                    Ok(heartbeat) => heartbeat.send().await,
                    Err(why) => Err(why.clone()),
                };
                heartbeat = ready.ok();
                match sent {
                    Ok(()) => outward = Outward { arrived: Some(clock::moment()), ..Outward::default() },
                    Err(why) => (outward.failures, outward.why) = (outward.failures.saturating_add(1), why),
                }
            }
            self.set(Some(outward.clone()));
            tokio::time::sleep(outward.rest(peer.every)).await;
        }
    }
}
