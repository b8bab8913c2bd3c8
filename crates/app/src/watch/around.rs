//! What watchers may ask of the running process. Answers from what others keep; decides nothing.

use super::heard::HeardOf;
use super::outward::OutwardSeen;
use super::rows::RowsSeen;
use crate::config::Config;
use crate::core::{Durable, Mailbox};
use crate::metrics::Metrics;
use crate::{clock, http, ids};
use balefire_watch::{AUDIT_ROWS, Around, Heard, LogRecords, Moment, Outward, Own, Pulse, Rows, Skew};
use std::sync::Arc;
use tokio::sync::watch;

/// The running process.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) heard: Arc<HeardOf>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) durable: Arc<Durable>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    pub(crate) rows: Arc<RowsSeen>,
    pub(crate) outward: Arc<OutwardSeen>,
}

impl Around for Surroundings {
    fn source(&self, name: &str) -> Option<Heard> {
        self.heard.source(name)
    }

    fn sources(&self) -> Vec<(String, Heard)> {
        self.heard.sources()
    }

    fn nonce(&self) -> String {
        ids::nonce()
    }

    fn arrived(&self, nonce: &str) -> Option<Moment> {
        self.heard.arrived(nonce)
    }

    fn pulse(&self, source: &str) -> Option<Pulse> {
        self.heard.pulse(source)
    }

    fn outward(&self) -> Option<Outward> {
        self.outward.last()
    }

    fn skews(&self) -> Vec<(String, Skew)> {
        self.heard.skews()
    }

    fn plugin_told(&self) -> bool {
        self.heard.plugin_told()
    }

    fn log_records(&self, source: &str) -> LogRecords {
        self.heard.log_records(source)
    }

    fn rows(&self, watcher: &str) -> Option<Rows> {
        (watcher == AUDIT_ROWS).then(|| self.rows.last()).flatten()
    }

    fn own(&self) -> Option<Own> {
        let silent = self.mailbox.silent_for(clock::now());
        let hangs = (silent > http::SILENT_MAX && self.mailbox.has_beaten())
            .then(|| format!("the engine has been silent for {} s", silent.as_secs()));
        let config = self.config.borrow().clone();
        let failing = self.metrics.queues_now().into_iter().filter(|queue| queue.failing_since.is_some());
        let is_configured = |name: &String| config.channels.iter().any(|channel| channel.name == *name);
        Some(Own {
            journal_fault: hangs.or_else(|| self.mailbox.unready().map(str::to_owned)),
            view_behind: self.durable.journal().0.saturating_sub(self.durable.view().0),
            channels_failing: failing.map(|queue| queue.channel.to_string()).filter(is_configured).collect(),
            channels: config.channels.len(),
            asked_from_outside: self.heard.when_asked(),
            data: Some(config.data.clone()),
        })
    }
}

/// No process: for a look without a server.
pub(super) struct Nobody;

impl Around for Nobody {
    fn source(&self, _: &str) -> Option<Heard> {
        None
    }

    fn sources(&self) -> Vec<(String, Heard)> {
        Vec::new()
    }

    fn nonce(&self) -> String {
        ids::nonce()
    }

    fn own(&self) -> Option<Own> {
        None
    }
}
