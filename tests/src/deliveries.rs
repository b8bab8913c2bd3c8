//! What a receiver saw of a storm: every incident under one id of delivery, and how often it came again.

use crate::sink::Sink;
use std::collections::{HashMap, HashSet};

/// Counts of one receiver's requests.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// The incidents that came at least once.
    pub incidents: HashSet<String>,
    /// Requests beyond the first of an id.
    pub repeats: usize,
}

/// Counts what a receiver of native bodies has got.
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
            let incident = request.json()["incident"]["id"].as_str().expect("a native body").to_owned();
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
