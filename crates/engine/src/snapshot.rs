//! The engine's memory as a record, and back: a start reads the last snapshot and what follows it.

use crate::deadletter::DeadLetter;
use crate::dedup::Seen;
use crate::engine::Engine;
use crate::open::{Open, Over};
use crate::report::Reports;
use crate::runs::Runs;
use crate::state::{Answered, Pending, Rare, State};
use crate::told_cui::ToldCui;
use balefire_model::channel::Reason;
use balefire_model::{Cause, DeliveryId, IncidentId, Position, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The stored form, versions 1 and 2.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    position: Position,
    orders: u64,
    digest: String,
    channels: Vec<StoredChannel>,
    keys: Vec<(Timestamp, String, String, Vec<IncidentId>)>,
    inputs: BTreeMap<String, (String, u64)>,
    #[serde(default)]
    open: Vec<Open>,
    #[serde(default)]
    steps: Vec<(Timestamp, IncidentId, u32)>,
    #[serde(default)]
    dead: Vec<(DeliveryId, DeadLetter)>,
    #[serde(default)]
    over: Vec<(IncidentId, Over)>,
    #[serde(default)]
    clock: Timestamp,
    #[serde(default, skip_serializing_if = "Runs::is_empty")]
    runs: Runs,
    #[serde(default, skip_serializing_if = "Reports::is_empty")]
    reports: Reports,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Vec<Seen>,
    #[serde(default, skip_serializing_if = "ToldCui::is_empty")]
    told_cui: ToldCui,
}

#[derive(Serialize, Deserialize)]
struct StoredChannel {
    name: String,
    failures: u32,
    paused_until: Option<Timestamp>,
    recent: Vec<Timestamp>,
    #[serde(default)]
    keep: usize,
    #[serde(default)]
    failing: Option<(Timestamp, Cause)>,
    #[serde(default)]
    told_by: Option<IncidentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard: Option<Vec<String>>,
    #[serde(default)]
    handed_on: BTreeMap<u32, u64>,
    #[serde(default)]
    summarised_at: Option<Timestamp>,
    #[serde(default)]
    recovered_at: Option<Timestamp>,
    pending: Vec<StoredPending>,
}

#[derive(Serialize, Deserialize)]
struct StoredPending {
    id: DeliveryId,
    incident: IncidentId,
    at: Position,
    severity: Severity,
    reason: Reason,
    attempts: u32,
    in_flight: bool,
    due: Option<Timestamp>,
    since: Timestamp,
    order: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plain: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waits_for_channel: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rare: Option<Box<Rare>>,
}

/// 2 has what 1 has, and what follows an incident after its routing.
const VERSION: u32 = 2;

/// A snapshot that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The text is not a snapshot's.
    #[error("the journal's snapshot does not fit")]
    Form(#[source] serde_json::Error),
    /// It is from the future.
    #[error("the journal's snapshot has version {0}; this balefire reads up to {VERSION}")]
    Version(u32),
}

impl Engine {
    /// An engine with the memory of a snapshot. Records after it are to be applied.
    ///
    /// # Errors
    /// [`SnapshotError`] where the snapshot cannot be read.
    pub fn restore(snapshot: &[u8]) -> Result<Engine, SnapshotError> {
        let stored: Stored = serde_json::from_slice(snapshot).map_err(SnapshotError::Form)?;
        if !(1..=VERSION).contains(&stored.version) {
            return Err(SnapshotError::Version(stored.version));
        }
        let mut state = State {
            // The snapshot's own record stands at the position that it states.
            position: stored.position.plus(1),
            orders: stored.orders,
            digest: stored.digest,
            clock: stored.clock,
            inputs: stored.inputs,
            runs: stored.runs.restored(),
            reports: stored.reports,
            told_cui: stored.told_cui,
            ..State::default()
        };
        for (at, key, body, incidents) in stored.keys {
            state.key_ages.push_back((at, key.clone()));
            state.keys.insert(key, Answered { body, incidents: Arc::new(incidents) });
        }
        for channel in stored.channels {
            restore_channel(&mut state, channel);
        }
        stored.open.into_iter().for_each(|open| state.open.restore(open));
        stored.steps.into_iter().for_each(|step| state.open.restore_step(step));
        stored.over.into_iter().for_each(|(incident, over)| state.open.restore_over(incident, over));
        stored.seen.into_iter().for_each(|seen| state.matters.restore(seen));
        stored.dead.into_iter().for_each(|(delivery, letter)| state.dead.insert(delivery, letter));
        Ok(Engine { state, ..Engine::default() })
    }
}

fn restore_channel(state: &mut State, stored: StoredChannel) {
    let channel = state.channel(&stored.name);
    let queue = state.queue(channel);
    queue.failures = stored.failures;
    queue.paused_until = stored.paused_until;
    queue.recent = stored.recent.into();
    queue.keep = stored.keep;
    queue.failing = stored.failing;
    queue.told_by = stored.told_by;
    queue.heard = stored.heard;
    queue.handed_on = stored.handed_on;
    queue.summarised_at = stored.summarised_at;
    queue.recovered_at = stored.recovered_at;
    for p in stored.pending {
        let pending = Pending {
            incident: p.incident,
            accepted_at: p.at,
            channel,
            severity: p.severity,
            reason: p.reason,
            attempts: p.attempts,
            in_flight: p.in_flight,
            due: p.due.map(Into::into),
            decided_at: p.since.into(),
            order: p.order,
            plain: p.plain,
            waits_for_channel: p.waits_for_channel,
            rare: p.rare,
        };
        if pending.in_flight {
            let queue = state.queue(channel);
            queue.in_flight += 1;
            queue.by_order.insert(pending.order, p.id);
            queue.counts[pending.severity as usize] += 1;
            state.pending.insert(p.id, pending);
        } else {
            state.enqueue(p.id, pending);
        }
    }
}

impl State {
    /// The stored form of everything that is known: the payload of a [`balefire_model::Record::Snapshot`] at this
    /// position.
    #[must_use]
    pub fn snapshot(&self) -> Box<RawValue> {
        let mut channels: Vec<StoredChannel> = self
            .names
            .iter()
            .zip(&self.queues)
            .map(|(name, queue)| StoredChannel {
                name: name.clone(),
                failures: queue.failures,
                paused_until: queue.paused_until,
                recent: queue.recent.iter().copied().collect(),
                keep: queue.keep,
                failing: queue.failing,
                told_by: queue.told_by,
                heard: queue.heard.clone(),
                handed_on: queue.handed_on.clone(),
                summarised_at: queue.summarised_at,
                recovered_at: queue.recovered_at,
                pending: Vec::with_capacity(queue.len()),
            })
            .collect();
        for (id, p) in self.pending_in_order() {
            channels[p.channel as usize].pending.push(StoredPending {
                id,
                incident: p.incident,
                at: p.accepted_at,
                severity: p.severity,
                reason: p.reason,
                attempts: p.attempts,
                in_flight: p.in_flight,
                due: p.due.map(Into::into),
                since: p.decided_at.into(),
                order: p.order,
                plain: p.plain,
                waits_for_channel: p.waits_for_channel,
                rare: p.rare.clone(),
            });
        }
        let key = |(at, key): &(Timestamp, String)| {
            let answered = self.keys.get(key)?;
            Some((*at, key.clone(), answered.body.clone(), answered.incidents.to_vec()))
        };
        let stored = Stored {
            version: VERSION,
            position: self.position,
            orders: self.orders,
            digest: self.digest.clone(),
            channels,
            keys: self.key_ages.iter().filter_map(key).collect(),
            inputs: self.inputs.clone(),
            open: self.open.iter().cloned().collect(),
            steps: self.open.steps().collect(),
            dead: self.dead.iter().cloned().collect(),
            over: self.open.over().collect(),
            clock: self.clock,
            runs: self.runs.clone(),
            reports: self.reports.clone(),
            seen: self.matters.iter().cloned().collect(),
            told_cui: self.told_cui.clone(),
        };
        serde_json::value::to_raw_value(&stored).expect("a snapshot has string keys and no failing serialisers")
    }

    /// Deliveries under way, in the order in which they were decided on.
    pub(crate) fn under_way(&self) -> Vec<(DeliveryId, u32)> {
        let in_order = self.pending_in_order();
        in_order.into_iter().filter(|(_, p)| p.in_flight).map(|(id, p)| (id, p.attempts)).collect()
    }

    fn pending_in_order(&self) -> Vec<(DeliveryId, &Pending)> {
        let mut pending: Vec<_> = self.pending.iter().map(|(id, pending)| (*id, pending)).collect();
        pending.sort_unstable_by_key(|(_, pending)| pending.order);
        pending
    }
}
