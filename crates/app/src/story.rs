//! What became of an incident, told: the answers of `incidents show`, `why` and `channels list` as JSON. Every line of
//! a story carries its facts and a sentence.

use crate::config::Config;
use balefire_engine::QueueStatus;
use balefire_model::record::{AttemptEnded, Next, RouteTaken, Routed};
use balefire_model::{Outcome, Position, Record, State};
use balefire_store::view::{Change, DeliveryView, IncidentView, StoryLine};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// An incident with its state, its changes and its deliveries; the incident byte for byte as it was accepted.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    incident: &'a RawValue,
    state: State,
    accepted_at_position: Position,
    changes: &'a [Change],
    routes: &'a [RouteTaken],
    history_only: Option<&'a str>,
    deliveries: &'a [DeliveryView],
}

/// The text of [`Shown`].
///
/// # Errors
/// Where the view holds something that is not JSON: somebody else has written to it.
pub(crate) fn incident(view: &IncidentView) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Shown {
        incident: serde_json::from_slice(&view.json)?,
        state: view.row.state,
        accepted_at_position: view.accepted_at,
        changes: &view.changes,
        routes: &view.routes,
        history_only: view.history_only.as_deref(),
        deliveries: &view.deliveries,
    })
}

/// The whole story.
pub(crate) fn why(view: &IncidentView, lines: &[StoryLine]) -> Value {
    let line = |line: &StoryLine| {
        let (step, text, facts) = tell(&line.record);
        json!({ "position": line.position, "at": line.at, "step": step, "text": text, "facts": facts })
    };
    json!({
        "id": view.row.id,
        "title": view.row.title,
        "severity": view.row.severity,
        "state": view.row.state,
        "ending": ending(view),
        "story": lines.iter().map(line).collect::<Vec<_>>(),
        "deliveries": view.deliveries,
    })
}

/// How it stands, in a sentence.
fn ending(view: &IncidentView) -> String {
    if view.deliveries.is_empty() {
        return match &view.history_only {
            Some(why) => format!("recorded only: {why}"),
            None => "not decided on yet".to_owned(),
        };
    }
    let pending = view.deliveries.iter().filter(|delivery| delivery.status.is_pending()).count();
    let delivered = view.deliveries.iter().filter(|d| d.status == balefire_store::view::DeliveryStatus::Delivered);
    let delivered = delivered.count();
    let given_up = view.deliveries.len() - pending - delivered;
    format!("{delivered} delivered, {pending} still to come, {given_up} given up")
}

fn tell(record: &Record) -> (&'static str, String, Value) {
    match record {
        Record::Accepted(incident) => {
            let mut text = format!("accepted from {}", incident.source);
            for note in &incident.notes {
                text = format!("{text}; {note}");
            }
            ("accepted", text, json!({ "source": incident.source, "notes": incident.notes }))
        }
        Record::Routed(routed) => ("routed", tell_routed(routed), to_json(routed)),
        Record::AttemptStarted(started) => {
            let text = format!("attempt {} to {} started", started.attempt, started.channel);
            ("attempt_started", text, to_json(started))
        }
        Record::AttemptEnded(ended) => ("attempt_ended", tell_ended(ended), to_json(ended)),
        Record::StateChanged(change) => {
            let comment = if change.comment.is_empty() { String::new() } else { format!(": {}", change.comment) };
            ("state_changed", format!("{} by {}{comment}", change.state, change.by), to_json(change))
        }
        other => (balefire_model::record::kind::name(other.kind()), String::new(), Value::Null),
    }
}

fn tell_routed(routed: &Routed) -> String {
    let mut parts: Vec<String> = routed
        .routes
        .iter()
        .map(|route| format!("route {} took it ({}): {}", route.route, route.because, list(&route.channels)))
        .collect();
    if let Some(why) = &routed.history_only {
        parts.push(format!("recorded only: {why}"));
    }
    parts.join("; ")
}

fn list(channels: &[String]) -> String {
    if channels.is_empty() { "no channel".to_owned() } else { channels.join(", ") }
}

fn tell_ended(ended: &AttemptEnded) -> String {
    let AttemptEnded { channel, attempt, outcome, next, .. } = ended;
    let came_to = match outcome {
        Outcome::Delivered { receipt } if receipt.is_empty() => "delivered".to_owned(),
        Outcome::Delivered { receipt } => format!("delivered ({receipt})"),
        Outcome::Deferred { detail, .. } => format!("deferred by the far side ({detail})"),
        Outcome::Rejected { cause, detail } => format!("failed, {} ({detail})", cause.as_str()),
        Outcome::Unknown => "interrupted: the far side may have it or not".to_owned(),
    };
    let follows = match next {
        Next::Done => String::new(),
        Next::Retry(at) => format!("; next attempt not before {at}"),
        Next::GiveUp { reason, .. } => format!("; given up: {reason}"),
    };
    format!("attempt {attempt} to {channel}: {came_to}{follows}")
}

fn to_json<T: serde::Serialize>(record: &T) -> Value {
    serde_json::to_value(record).expect("records have string keys and no failing serialisers")
}

/// Every configured channel with what waits for it, and those that are gone but still have something waiting.
pub(crate) fn channels(config: &Config, queues: &[QueueStatus]) -> Vec<Value> {
    let configured = config.channels.iter().map(|channel| {
        let queue = queues.iter().find(|queue| queue.channel == channel.name);
        json!({
            "name": channel.name,
            "kind": channel.kind.key,
            "configured": true,
            "queue": queue,
        })
    });
    let gone = queues
        .iter()
        .filter(|queue| queue.depth > 0 && !config.channels.iter().any(|channel| channel.name == queue.channel));
    let gone = gone.map(|queue| json!({ "name": queue.channel, "kind": null, "configured": false, "queue": queue }));
    configured.chain(gone).collect()
}
