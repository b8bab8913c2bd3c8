//! What a channel's far side notes about its incidents: who has acknowledged them. Only a table in PostgreSQL can be
//! asked. Decides nothing about what is found.

use super::postgres::{Acknowledged, Postgres};
use balefire_channels::Reply;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Somebody who can be asked.
#[derive(Clone)]
pub(crate) struct Notes {
    /// How often to ask.
    pub(crate) every: Duration,
    pub(super) postgres: Arc<Postgres>,
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("every", &self.every).field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Notes {
    /// Where the notes are, for people.
    pub(crate) fn place(&self) -> String {
        self.postgres.table()
    }

    /// Which of these incidents are acknowledged there. Cancel-safe.
    ///
    /// # Errors
    /// In words, why nothing is known.
    pub(crate) async fn ask(&self, ids: &[String]) -> Result<Vec<Acknowledged>, String> {
        let asked = self.postgres.acknowledged(ids).await;
        asked.map_err(|reply| match reply {
            Reply::Failed { detail, .. } => detail,
            Reply::SqlRefused { state, text } => format!("PostgreSQL error {state}: {text}"),
            other => format!("{other:?}"),
        })
    }
}
