//! How far the journal is durable, and how far the view has followed: who waits for either waits here.

use balefire_model::Position;
use std::time::Duration;
use tokio::sync::watch;

/// Two positions that only grow.
#[derive(Debug)]
pub(crate) struct Durable {
    journal: watch::Sender<Position>,
    view: watch::Sender<Position>,
}

impl Durable {
    pub(crate) fn new(journal: Position, view: Position) -> Durable {
        Durable { journal: watch::Sender::new(journal), view: watch::Sender::new(view) }
    }

    /// The position after the last durable record.
    pub(crate) fn journal(&self) -> Position {
        *self.journal.borrow()
    }

    pub(crate) fn set_journal(&self, position: Position) {
        self.journal.send_replace(position);
    }

    /// The position up to which the view has been brought.
    pub(crate) fn view(&self) -> Position {
        *self.view.borrow()
    }

    pub(crate) fn set_view(&self, position: Position) {
        self.view.send_replace(position);
    }

    /// Waits until the view has been brought further than a position, but no longer than `limit`. Whoever waits for what
    /// may never come asks here: it is told of to nobody.
    pub(crate) async fn view_moves_on(&self, seen: Position, limit: Duration) {
        let mut view = self.view.subscribe();
        let moved_on = view.wait_for(|position| *position > seen);
        // That the time is over is as good an end as the other.
        drop(tokio::time::timeout(limit, moved_on).await);
    }

    /// Waits until the view has been brought up to a position, but no longer than `limit`.
    pub(crate) async fn view_reaches(&self, target: Position, limit: Duration) {
        let mut view = self.view.subscribe();
        let caught_up = view.wait_for(|position| *position >= target);
        if !matches!(tokio::time::timeout(limit, caught_up).await, Ok(Ok(_))) {
            tracing::warn!(target = target.0, view = self.view().0, "view is behind the journal");
        }
    }
}
