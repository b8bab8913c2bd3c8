//! Senders that do not stop when their server dies: many connections, single incidents and batches, and a book of every
//! id that was acknowledged.

use crate::client::{Answer, Connection};
use crate::wait;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two tries to reach a server that is down or refuses.
const REST: Duration = Duration::from_millis(5);

/// How many incidents a batch holds.
const BATCH: usize = 25;

const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

#[derive(Default)]
struct Shared {
    address: Mutex<Option<SocketAddr>>,
    book: Mutex<Book>,
    acknowledged: AtomicUsize,
    ending: AtomicBool,
}

/// What the senders were told.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Every id that came with a 202.
    pub acknowledged: Vec<String>,
    /// How often each other status came.
    pub refused: BTreeMap<u16, usize>,
    /// The `Retry-After` of the last refusal that had one.
    pub retry_after: Option<String>,
    /// How many requests got no answer: whether they were accepted is not known.
    pub unanswered: usize,
}

/// Running senders.
pub struct Storm {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Storm {
    /// Senders on so many connections, every second of them with batches. They wait until they are aimed.
    #[must_use]
    pub fn begin(connections: usize) -> Storm {
        let shared = Arc::new(Shared::default());
        let threads = (0..connections).map(|number| {
            let shared = shared.clone();
            thread::spawn(move || send(number, &shared))
        });
        Storm { threads: threads.collect(), shared }
    }

    /// Where they send from now on.
    pub fn aim(&self, address: SocketAddr) {
        *lock(&self.shared.address) = Some(address);
    }

    /// How many incidents are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many are acknowledged.
    ///
    /// # Panics
    /// When the patience is over.
    pub fn wait_for(&self, count: usize) {
        wait::until(&format!("{count} incidents are acknowledged"), || match self.acknowledged() {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few}; {:?}", self.refused())),
        });
    }

    /// How often each other status than 202 came.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<u16, usize> {
        lock(&self.shared.book).refused.clone()
    }

    /// Ends the senders and gives what they were told.
    ///
    /// # Panics
    /// Where a sender has panicked: it got something that is no answer.
    #[must_use]
    pub fn end(mut self) -> Book {
        self.shared.ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("senders do not panic");
        }
        std::mem::take(&mut *lock(&self.shared.book))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(number: usize, shared: &Shared) {
    let mut sent = 0;
    while !shared.ending.load(Ordering::Relaxed) {
        let address = *lock(&shared.address);
        match address.map(Connection::tcp) {
            Some(Ok(mut connection)) => send_over(&mut connection, number, &mut sent, shared),
            // Down, or not up yet: the next one will have another address.
            Some(Err(_)) | None => wait::pause(REST),
        }
    }
}

fn send_over(connection: &mut Connection, number: usize, sent: &mut usize, shared: &Shared) {
    while !shared.ending.load(Ordering::Relaxed) {
        let size = if number.is_multiple_of(2) { 1 } else { BATCH };
        let answer = connection.post("/api/v1/incidents", body(number, *sent, size).as_bytes());
        *sent += size;
        match answer {
            Ok(answer) if answer.status == 202 => note_accepted(&answer, size, shared),
            Ok(answer) => {
                let mut book = lock(&shared.book);
                *book.refused.entry(answer.status).or_default() += 1;
                if let Some(after) = answer.header("retry-after") {
                    book.retry_after = Some(after.to_owned());
                }
                drop(book);
                wait::pause(REST);
            }
            Err(_) => {
                lock(&shared.book).unanswered += 1;
                return;
            }
        }
    }
}

fn note_accepted(answer: &Answer, size: usize, shared: &Shared) {
    let ids = answer.ids();
    assert_eq!(ids.len(), size, "a 202 names every item: {}", answer.text());
    lock(&shared.book).acknowledged.extend(ids);
    shared.acknowledged.fetch_add(size, Ordering::Relaxed);
}

fn body(number: usize, first: usize, size: usize) -> String {
    let incident = |nth: usize| {
        json!({
            "title": format!("storm {number}-{nth}"),
            "severity": SEVERITIES[nth % SEVERITIES.len()],
            "detected_by": "storm",
            "description": "Repeated authentication failures from one address, then a success.",
            "labels": {"host": format!("web-{}", nth % 7), "connection": number.to_string()},
        })
    };
    let items: Vec<_> = (first..first + size).map(incident).collect();
    if let [only] = items.as_slice() { only.to_string() } else { json!(items).to_string() }
}
