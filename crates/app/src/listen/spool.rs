//! The spool as a source: every file in it is taken in once, and removed when what it says is durable. What is no incident
//! is kept aside and told.

use crate::config::Config;
use crate::reception::{Declined, OnError, Parcel, Reception, same_request};
use crate::spool::{self, Waiting};
use balefire_intake::formats::Format;
use balefire_intake::formats::json::Shape;
use balefire_model::text::{cut, one_line};
use serde_json::json;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The source of what comes this way.
const SOURCE: &str = "spool";

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Takes in what waits until the order to stop. The setting may change meanwhile.
pub(crate) async fn follow(reception: Reception, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_unreadable = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let config = reception.config.borrow().clone();
        let looked = take_all(&reception, &config, &stop).await;
        match looked {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut was_unreadable, true) {
                    let path = config.spool.path.display().to_string();
                    tracing::error!(path, %error, "spool cannot be read; what waits there is not taken in");
                }
            }
            // A spool that nobody has made is empty.
            Ok(()) | Err(_) => was_unreadable = false,
        }
    }
}

/// Takes in what waits, until nothing does or something must wait on.
async fn take_all(reception: &Reception, config: &Arc<Config>, stop: &watch::Receiver<bool>) -> io::Result<()> {
    while !*stop.borrow() {
        let spool = config.spool.path.clone();
        let now = crate::clock::now().into();
        let found = blocking(move || spool::waiting(&spool, now)).await?;
        if found.is_empty() {
            return Ok(());
        }
        for waiting in found {
            if !take(reception, &config.spool.path, waiting).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes one in; whether the next may follow.
async fn take(reception: &Reception, spool: &Path, waiting: Waiting) -> io::Result<bool> {
    let why = match &waiting.body {
        Err(why) => why.clone(),
        Ok(body) => {
            let parcel = Parcel {
                body,
                shape: Shape::Auto,
                format: Format::Native,
                source: SOURCE,
                on_error: OnError::Refuse,
                // As if it had come over the socket: its sender tried that first, and may not have heard the answer.
                idempotency: Some(same_request("socket", &waiting.key, body)),
                read: None,
            };
            match reception.take(parcel).await {
                Ok(receipt) if receipt.refused == 0 => {
                    let path = waiting.path.clone();
                    blocking(move || spool::done(&path)).await?;
                    return Ok(true);
                }
                Ok(receipt) => serde_json::to_string(&receipt.results).unwrap_or_default(),
                Err(Declined::Body(error)) => error.to_string(),
                Err(error @ Declined::KeyReused) => error.to_string(),
                Err(Declined::Unavailable(_) | Declined::Overload { .. } | Declined::TooFast { .. }) => {
                    return Ok(false);
                }
            }
        }
    };
    let (directory, path) = (spool.to_owned(), waiting.path.clone());
    let place = blocking(move || spool::set_aside(&directory, &path)).await?;
    let file = place.unwrap_or(waiting.path);
    let file = one_line(&file.display().to_string()).into_owned();
    tracing::error!(file, why, "a file of the spool could not be taken in");
    tell(reception, spool, &file, &why).await;
    Ok(true)
}

/// An incident about a file that is none.
async fn tell(reception: &Reception, spool: &Path, file: &str, why: &str) {
    let incident = json!({
        "title": "What a program mailed could not be taken in from the spool",
        "severity": "medium",
        "detected_by": "balefire.spool",
        "description": format!("{file}: {}", cut(why, 4096)),
        "fingerprint": format!("balefire.spool:{}", cut(&spool.display().to_string(), 200)),
    });
    let body = incident.to_string();
    let parcel = Parcel {
        body: body.as_bytes(),
        shape: Shape::Auto,
        format: Format::Native,
        source: SOURCE,
        on_error: OnError::Refuse,
        idempotency: None,
        read: None,
    };
    if let Err(error) = reception.take(parcel).await {
        tracing::error!(%error, file, "that could not be told as an incident, either");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
