//! Asks now and then how old the newest audit row is, for the watcher that judges it. A table that does not answer keeps
//! nobody else from looking: this is a task of its own.

use crate::clock;
use crate::config::{AuditRows, Config};
use crate::transport::Newest;
use balefire_watch::Rows;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long one question may take, with its connection.
const ASKED_FOR_MAX: Duration = Duration::from_secs(30);

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct RowsSeen(Mutex<Option<Rows>>);

impl RowsSeen {
    pub(super) fn last(&self) -> Option<Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, answer: Option<Result<Option<Duration>, String>>) {
        let rows = answer.map(|age| Rows { asked: clock::moment(), age });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// Asks as the configuration says, until `stop` is true.
    pub(crate) async fn ask(
        self: Arc<Self>,
        mut config: watch::Receiver<Arc<Config>>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let rows = config.borrow_and_update().watch.as_ref().and_then(|watching| watching.audit_rows.clone());
            let asks = async {
                match rows {
                    Some(rows) => self.ask_again_and_again(&rows).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = asks => {}
                changed = config.changed() => match changed {
                    Ok(()) => self.set(None),
                    // Its owner is gone: the process ends.
                    Err(_) => return,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn ask_again_and_again(&self, rows: &AuditRows) {
        let mut pauses = tokio::time::interval(rows.table.every);
        pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut newest = None;
        loop {
            pauses.tick().await;
            let answer = match newest.take().map_or_else(|| Newest::new(rows), Ok) {
                Err(why) => Err(why),
                Ok(mut asks) => {
                    let answer = tokio::time::timeout(ASKED_FOR_MAX, asks.ask()).await;
                    newest = Some(asks);
                    answer.unwrap_or_else(|_| Err(format!("no answer within {ASKED_FOR_MAX:?}")))
                }
            };
            self.set(Some(answer));
        }
    }
}
