//! Senders as they should be: each request has a time limit and an `Idempotency-Key`, and is repeated under that key until
//! it is answered.

use crate::client::Connection;
use crate::wait;
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a sender waits for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Shared {
    ids: Mutex<Vec<String>>,
    answered: AtomicUsize,
    repeats: AtomicUsize,
    ending: AtomicBool,
}

/// Running senders.
pub struct Stubborn {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the senders were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The id of each key's incident.
    pub ids: Vec<String>,
    /// How often a request had to be repeated.
    pub repeats: usize,
}

impl Stubborn {
    /// So many senders, one request after the other.
    #[must_use]
    pub fn begin(address: SocketAddr, senders: usize) -> Stubborn {
        let shared = Arc::new(Shared::default());
        let threads = (0..senders).map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                let mut nth = 0;
                while !shared.ending.load(Ordering::Relaxed) {
                    insist(address, &format!("sender-{number}-{nth}"), &shared);
                    nth += 1;
                }
            })
        });
        Stubborn { threads: threads.collect(), shared }
    }

    /// Waits until so many more requests are answered than now.
    ///
    /// # Panics
    /// When the patience is over.
    pub fn wait_for_more(&self, count: usize) {
        let target = self.shared.answered.load(Ordering::Relaxed) + count;
        wait::until(&format!("{target} requests are answered"), || {
            match self.shared.answered.load(Ordering::Relaxed) {
                enough if enough >= target => Ok(()),
                few => Err(few.to_string()),
            }
        });
    }

    /// Ends the senders when their last requests are answered, and gives what they were told.
    ///
    /// # Panics
    /// Where a sender has panicked: an answer was no 202, or none came.
    #[must_use]
    pub fn end(mut self) -> Told {
        self.shared.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("senders do not panic");
        }
        let ids = std::mem::take(&mut *self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner));
        Told { ids, repeats: self.shared.repeats.load(Ordering::Relaxed) }
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
    }
}

/// Sends one incident until somebody says that it is accepted.
fn insist(address: SocketAddr, key: &str, shared: &Shared) {
    let body = json!({"title": key, "severity": "high", "detected_by": "stubborn"}).to_string();
    let answered = wait::until(&format!("{key} is answered"), || {
        try_once(address, key, body.as_bytes()).map_err(|error| {
            shared.repeats.fetch_add(1, Ordering::Relaxed);
            error.to_string()
        })
    });
    shared.ids.lock().unwrap_or_else(PoisonError::into_inner).push(answered);
    shared.answered.fetch_add(1, Ordering::Relaxed);
}

fn try_once(address: SocketAddr, key: &str, body: &[u8]) -> std::io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    let mut connection = Connection::over(stream, address.to_string());
    let headers = [("content-type", "application/json"), ("idempotency-key", key), ("connection", "close")];
    let answer = connection.request("POST", "/api/v1/incidents", &headers, body)?;
    Ok(answer.expect(202).ids().remove(0))
}
