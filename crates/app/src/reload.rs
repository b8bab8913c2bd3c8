//! A new configuration comes into force whole, or the old one stays.

use crate::config::{Config, Finding, Overrides};
use crate::core::Mailbox;
use crate::environment;
use crate::scheduler::Runs;
use crate::watch::Watchers;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// What it takes to read the configuration again.
pub(crate) struct Reloader {
    path: Option<PathBuf>,
    overrides: Overrides,
    current: watch::Sender<Arc<Config>>,
    runs: Runs,
    watchers: Watchers,
    /// One reload at a time.
    busy: Mutex<()>,
}

impl Reloader {
    pub(crate) fn new(
        path: Option<PathBuf>,
        overrides: Overrides,
        current: watch::Sender<Arc<Config>>,
        (runs, watchers): (Runs, Watchers),
    ) -> Reloader {
        Reloader { path, overrides, current, runs, watchers, busy: Mutex::new(()) }
    }

    /// Reads the configuration and brings it into force. The error says, in words for people, why not.
    pub(crate) async fn reload(&self, mailbox: &Mailbox) -> Result<Vec<Finding>, String> {
        let _one = self.busy.lock().await;
        let (path, overrides) = (self.path.clone(), self.overrides.clone());
        let load = move || Config::load(path.as_deref(), &overrides, &environment::variable, &environment::host());
        let loaded = tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())?;
        let loaded = loaded.map_err(|problems| problems.to_string())?;
        let config = Arc::new(loaded.config);
        let old = self.current.borrow().clone();
        if let Some(what) = needs_a_restart(&old, &config) {
            return Err(format!("{what} cannot change while balefire runs; restart it"));
        }
        mailbox.configure(config.clone()).await.map_err(|error| error.to_string())?;
        self.current.send_replace(config.clone());
        self.runs.configure(&config.schedules).await;
        self.watchers.configure(config.clone()).await;
        tracing::info!(findings = loaded.findings.len(), "configuration reloaded");
        Ok(loaded.findings)
    }
}

/// What a running process is built on.
fn needs_a_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let listen = |config: &Config| config.http.as_ref().map(|http| http.listen);
    if old.data != new.data {
        Some("data")
    } else if listen(old) != listen(new) {
        Some("http.listen")
    } else if old.socket != new.socket {
        Some("socket")
    } else if old.inputs != new.inputs {
        Some("inputs")
    } else {
        None
    }
}
