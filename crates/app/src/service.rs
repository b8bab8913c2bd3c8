//! What the service manager hears from us (systemd's sd_notify): ready, alive, reloading, stopping. Without one, nothing.

use crate::clock;
use crate::core::Mailbox;
use crate::http::SILENT_MAX;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Tells the service manager.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "service manager could not be told");
    }
}

/// Keeps the watchdog quiet as long as the engine's thread goes round. When it hangs, the service manager restarts us: what
/// was accepted is in the journal.
pub(crate) async fn feed_watchdog(mailbox: Arc<Mailbox>, mut stop: watch::Receiver<bool>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if mailbox.silent_for(clock::now()) < SILENT_MAX.min(limit) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
