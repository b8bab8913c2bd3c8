//! Waiting until what was declined for now can be tried again, or Balefire stops. Knows no schedule.

use crate::reception::Declined;
use std::time::Duration;
use tokio::sync::watch;

/// The longest wait between two tries of what was declined for now.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Balefire stops: what is not done now is done another time, or was told as interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// When what was declined may be tried again.
pub(crate) fn after(declined: &Declined) -> Duration {
    match declined {
        Declined::Overload { retry_after, .. } | Declined::TooFast { retry_after, .. } => *retry_after,
        Declined::Unavailable(unavailable) => unavailable.retry_after,
        Declined::Body(_) | Declined::KeyReused => RETRY_MAX,
    }
}

/// Waits so long, within bounds.
pub(crate) async fn rest(time: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = tokio::time::sleep(time.min(RETRY_MAX)) => Ok(()),
        _ = stop.wait_for(|stop| *stop) => Err(Stopped),
    }
}
