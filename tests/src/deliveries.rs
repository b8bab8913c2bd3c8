//! What a receiver saw of a storm: every incident under one id of delivery, and how often it came again.

use crate::server::Server;
use crate::sink::Sink;
use crate::wait;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Counts of one receiver's requests.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// The incidents that came at least once.
    pub incidents: HashSet<String>,
    /// Requests beyond the first of an id.
    pub repeats: usize,
}

/// Counts what a receiver of native bodies has got of what senders sent; what the engine says of itself is left out.
///
/// # Panics
/// Where one incident came under two `webhook-id`s, or one `webhook-id` names two incidents.
#[must_use]
pub fn count(sink: &Sink) -> Deliveries {
    let mut incident_of: HashMap<String, String> = HashMap::new();
    let mut deliveries = Deliveries::default();
    sink.look(|received| {
        for request in received {
            let id = request.header("webhook-id").expect("every request has a webhook-id").to_owned();
            let body = request.json();
            if body["incident"]["source"] == "balefire" {
                continue;
            }
            let incident = body["incident"]["id"].as_str().expect("a native body").to_owned();
            match incident_of.get(&id) {
                Some(first) => {
                    assert_eq!(*first, incident, "webhook-id {id} stands for two incidents");
                    deliveries.repeats += 1;
                }
                None => {
                    let is_new = deliveries.incidents.insert(incident.clone());
                    assert!(is_new, "incident {incident} came under two webhook-ids; one is {id}");
                    incident_of.insert(id, incident);
                }
            }
        }
    });
    deliveries
}

/// Waits until nothing waits for any channel, as long as the receiver still gets something.
///
/// # Panics
/// When nothing comes any more and something waits.
pub fn wait_until_empty(server: &Server, sink: &Sink) {
    let mut last = 0;
    loop {
        let is_empty = wait::until("the queues are empty, or more was delivered", || {
            let channels = server.get("/api/v1/channels").expect(200).json();
            let mut queues = channels["channels"].as_array().expect("a list").iter();
            let is_empty = queues.all(|channel| channel["queue"]["depth"] == 0);
            if is_empty || sink.count() > last { Ok(is_empty) } else { Err(channels.to_string()) }
        });
        if is_empty {
            return;
        }
        last = sink.count();
        wait::pause(Duration::from_millis(50));
    }
}

/// Checks that nothing was lost: what was acknowledged is in the history, what is in the history was delivered, and
/// nothing else was. Gives what the receiver got.
///
/// # Panics
/// Where something is missing, was invented, or has two ids.
#[must_use]
pub fn nothing_is_lost(server: &Server, sink: &Sink, acknowledged: &[String]) -> Deliveries {
    wait_until_empty(server, sink);
    let distinct: HashSet<&String> = acknowledged.iter().collect();
    assert_eq!(distinct.len(), acknowledged.len(), "an id was given twice");
    let own: HashSet<String> = server
        .list("source=balefire&limit=1000")
        .iter()
        .map(|row| row["id"].as_str().expect("a row has an id").to_owned())
        .collect();
    let history: HashSet<String> = server.all_ids().into_iter().filter(|id| !own.contains(id)).collect();
    let missing: Vec<_> = distinct.into_iter().filter(|id| !history.contains(*id)).take(5).collect();
    assert!(missing.is_empty(), "acknowledged, but not in the history: {missing:?} and maybe more");
    let delivered = count(sink);
    let undelivered: Vec<_> = history.difference(&delivered.incidents).take(5).collect();
    assert!(undelivered.is_empty(), "in the history, but never delivered: {undelivered:?} and maybe more");
    let invented: Vec<_> = delivered.incidents.difference(&history).take(5).collect();
    assert!(invented.is_empty(), "delivered, but not in the history: {invented:?} and maybe more");
    delivered
}
