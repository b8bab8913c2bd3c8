//! What became of an incident, told: the answers of `incidents show`, `why` and `channels list` as JSON. Every line of
//! a story carries its facts and a sentence.

use crate::config::Config;
use balefire_engine::QueueStatus;
use balefire_engine::route::{response_time, told_muted};
use balefire_model::record::{
    AttemptEnded, Escalation, FollowedUp, Next, Planned, ReportStep, RouteTaken, Routed, RunEnd,
};
use balefire_model::text::one_line;
use balefire_model::{IncidentId, Outcome, Position, Record, State};
use balefire_store::view::{
    Assignment, Change, DeliveryStatus, DeliveryView, IncidentView, Measure, Note, Page, Report, StoryLine,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;

/// An incident with its state, its changes and its deliveries; the incident byte for byte as it was accepted.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    incident: &'a RawValue,
    state: State,
    accepted_at_position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_of: Option<IncidentId>,
    repeats: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    changes: &'a [Change],
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_to: Option<&'a str>,
    assignments: &'a [Assignment],
    notes: &'a [Note],
    dfars_reportable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
    routes: &'a [RouteTaken],
    history_only: Option<&'a str>,
    deliveries: &'a [DeliveryView],
}

/// How much a page of an export holds, as far as senders and people wrote it.
pub(crate) const PAGE_BYTES_MAX: usize = 8 << 20;

/// "At once" is within this time: people need one to press a button.
const AT_ONCE: Duration = Duration::from_secs(60);

/// Against what the times of people are held: the response times of the BT-08 plan.
pub(crate) fn measure(now: Timestamp) -> Measure {
    Measure { now, response_time: |severity| Some(response_time(severity)?.max(AT_ONCE)) }
}

/// Incidents with all that is known of them, and where the next page begins.
#[derive(Serialize)]
struct Exported<'a> {
    incidents: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<IncidentId>,
}

/// The text of [`Exported`].
///
/// # Errors
/// Where the view holds something that is not JSON: somebody else has written to it.
pub(crate) fn page(page: &Page) -> Result<String, serde_json::Error> {
    let incidents = page.incidents.iter().map(shown).collect::<Result<_, _>>()?;
    serde_json::to_string(&Exported { incidents, next: page.next })
}

/// The text of [`Shown`].
///
/// # Errors
/// Where the view holds something that is not JSON: somebody else has written to it.
pub(crate) fn incident(view: &IncidentView) -> Result<String, serde_json::Error> {
    serde_json::to_string(&shown(view)?)
}

fn shown(view: &IncidentView) -> Result<Shown<'_>, serde_json::Error> {
    Ok(Shown {
        incident: serde_json::from_slice(&view.json)?,
        state: view.row.state,
        accepted_at_position: view.accepted_at,
        repeat_of: view.row.repeat_of,
        repeats: view.row.repeats,
        last_seen: view.row.last_seen,
        changes: &view.changes,
        assigned_to: view.row.assigned_to.as_deref(),
        assignments: &view.assignments,
        notes: &view.notes,
        dfars_reportable: view.row.dfars_reportable,
        report: view.row.report.as_ref(),
        routes: &view.routes,
        history_only: view.history_only.as_deref(),
        deliveries: &view.deliveries,
    })
}

/// Whether it was decided who hears of it, and every delivery has an answer: delivered, given up, kept back or put off.
pub(crate) fn is_settled(view: &IncidentView) -> bool {
    let is_decided = !view.routes.is_empty() || view.history_only.is_some() || !view.deliveries.is_empty();
    let waits = |status: &DeliveryStatus| matches!(status, DeliveryStatus::Waiting | DeliveryStatus::UnderWay);
    is_decided && !view.deliveries.iter().any(|delivery| waits(&delivery.status))
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
        "repeat_of": view.row.repeat_of,
        "repeats": view.row.repeats,
        "last_seen": view.row.last_seen,
        "ending": collected(view, lines).unwrap_or_else(|| ending(view)),
        "story": lines.iter().map(line).collect::<Vec<_>>(),
        "deliveries": view.deliveries,
    })
}

/// How it stands with an incident that goes out with its run only.
fn collected(view: &IncidentView, lines: &[StoryLine]) -> Option<String> {
    lines.iter().filter(|_| view.deliveries.is_empty()).find_map(|line| match &line.record {
        Record::Routed(routed) => tell_collected(routed),
        _ => None,
    })
}

/// Who gets an incident with the others of its run.
fn tell_collected(routed: &Routed) -> Option<String> {
    let run = routed.run.as_ref().filter(|_| !routed.collected.is_empty())?;
    let (key, version) = (one_line(&run.id.run.key), one_line(&run.id.run.version));
    Some(format!("collected for {}: it goes out when run {key} {version} is over", list(&routed.collected)))
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
    let count = |is: fn(&DeliveryStatus) -> bool| view.deliveries.iter().filter(|d| is(&d.status)).count();
    let delivered = count(|status| *status == DeliveryStatus::Delivered);
    let suppressed = count(|status| matches!(status, DeliveryStatus::Suppressed { .. }));
    let given_up = view.deliveries.len() - pending - delivered - suppressed;
    let ending = format!("{delivered} delivered, {pending} still to come, {given_up} given up");
    if suppressed > 0 { format!("{ending}, {suppressed} suppressed") } else { ending }
}

fn tell(record: &Record) -> (&'static str, String, Value) {
    match record {
        Record::Accepted(incident) => {
            let mut text = format!("accepted from {}", incident.source);
            if let Some(because) = &incident.internal_scan {
                text = format!("{text}; marked as an internal scan ({because})");
            }
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
        Record::FollowedUp(followed) => ("followed_up", tell_followed_up(followed), to_json(followed)),
        Record::Suppressed(suppressed) => {
            let (channel, rule, because) = (&suppressed.channel, &suppressed.rule, &suppressed.because);
            ("suppressed", format!("delivery to {channel} suppressed by {rule}: {because}"), to_json(suppressed))
        }
        Record::Redriven(redriven) => {
            let text = format!("dead letter to {} sent on its way again by {}", redriven.channel, redriven.by);
            ("redriven", text, to_json(redriven))
        }
        Record::Purged(purged) => {
            let text = format!("dead letter to {} purged by {}: {}", purged.channel, purged.by, purged.comment);
            ("purged", text, to_json(purged))
        }
        Record::RunEnded(ended) => {
            let why = match ended.by {
                RunEnd::Mark => "its end has come",
                RunEnd::Time => "nothing came of it for too long",
                RunEnd::Crowd => "too many runs are open",
            };
            let text = format!("the run is over: {why}; its records stand at {} to {}", ended.from, ended.to);
            ("run_ended", text, to_json(ended))
        }
        Record::Assigned(assigned) => {
            let (to, by) = (assigned.to.as_deref().unwrap_or("nobody"), &assigned.by);
            ("assigned", format!("assigned to {to} by {by}"), to_json(assigned))
        }
        Record::Noted(noted) => ("noted", format!("noted by {}: {}", noted.by, noted.text), to_json(noted)),
        Record::Reporting(reporting) => ("reporting", tell_report(&reporting.step), to_json(reporting)),
        other => (balefire_model::record::kind::name(other.kind()), String::new(), Value::Null),
    }
}

fn tell_report(step: &ReportStep) -> String {
    match step {
        ReportStep::Due { due, .. } => format!("must be reported by {due} (DFARS 252.204-7012)"),
        ReportStep::Reminded { told_by } => format!("the time for its report will be over soon: told by {told_by}"),
        ReportStep::Overdue { told_by } => format!("its report is overdue: told by {told_by}"),
        ReportStep::Reported { by, reference } if reference.is_empty() => format!("reported by {by}"),
        ReportStep::Reported { by, reference } => format!("reported by {by}: {reference}"),
    }
}

fn tell_routed(routed: &Routed) -> String {
    let mut parts: Vec<String> = routed
        .routes
        .iter()
        .map(|route| {
            let to = route.muted_by.as_deref().map_or_else(|| list(&route.channels), told_muted);
            format!("route {} took it ({}): {to}", route.route, route.because)
        })
        .collect();
    if let Some(why) = &routed.history_only {
        parts.push(format!("recorded only: {why}"));
    }
    let sighting = routed.sighting.iter().filter(|sighting| !sighting.because.is_empty());
    parts.extend(sighting.map(|sighting| format!("only archives hear of it: {}", sighting.because)));
    parts.extend(tell_collected(routed));
    parts.extend(routed.deliveries.iter().filter_map(tell_behind));
    parts.extend(routed.escalations.iter().map(tell_escalation));
    parts.join("; ")
}

fn tell_followed_up(followed: &FollowedUp) -> String {
    let channels: Vec<String> = followed.deliveries.iter().map(|planned| planned.channel.clone()).collect();
    let mut text = format!("{}: {}", followed.because, list(&channels));
    for waits in followed.deliveries.iter().filter_map(tell_behind) {
        text = format!("{text}; {waits}");
    }
    for escalation in &followed.escalations {
        text = format!("{text}; {}", tell_escalation(escalation));
    }
    text
}

fn tell_escalation(escalation: &Escalation) -> String {
    let Escalation { route, due, to } = escalation;
    format!("escalates at {due} to {} unless acknowledged (route {route})", list(to))
}

/// What a delivery waits for, where it does.
fn tell_behind(planned: &Planned) -> Option<String> {
    let first = planned.behind?;
    let also = planned.behind_also.iter().fold(String::new(), |also, delivery| format!("{also} and {delivery}"));
    let what = if also.is_empty() { "delivery" } else { "deliveries" };
    let end = if also.is_empty() { "has ended" } else { "have ended" };
    Some(format!("the delivery to {} waits until {what} {first}{also} {end}", planned.channel))
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
        Next::Retry(_) if ended.plain_next => "; the next attempt leaves the template out".to_owned(),
        Next::Retry(at) => format!("; next attempt not before {at:.3}"),
        Next::GiveUp { reason, .. } => format!("; given up: {reason}"),
    };
    format!("attempt {attempt} to {channel}: {came_to}{follows}")
}

fn to_json<T: Serialize>(record: &T) -> Value {
    serde_json::to_value(record).expect("our values have string keys and no failing serialisers")
}

/// Every configured channel with what waits for it, and those that are gone but still have something waiting or dead.
pub(crate) fn channels(config: &Config, queues: &[QueueStatus], now: Timestamp) -> Vec<Value> {
    let aged = |queue: &QueueStatus| {
        let mut aged = to_json(queue);
        let age = queue.oldest_since.map(|since| now.duration_since(since).as_secs().max(0));
        aged["oldest_age_seconds"] = age.into();
        // A pause that is over stays in the engine's memory until something happens there.
        aged["paused_until"] = to_json(&queue.paused_until.filter(|until| *until > now));
        aged
    };
    let configured = config.channels.iter().map(|channel| {
        let queue = queues.iter().find(|queue| queue.channel == channel.name);
        json!({
            "name": channel.name,
            "kind": channel.kind.key,
            "configured": true,
            "queue": queue.map(aged),
        })
    });
    let is_configured = |queue: &QueueStatus| config.channels.iter().any(|channel| channel.name == queue.channel);
    let gone = queues.iter().filter(|queue| queue.depth + queue.dead > 0 && !is_configured(queue));
    let gone =
        gone.map(|queue| json!({ "name": queue.channel, "kind": null, "configured": false, "queue": aged(queue) }));
    configured.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::Entry;

    /// The sentence for a record of this kind.
    fn told(kind: u16, mut payload: Value) -> String {
        payload["incident"] = json!("01935f1c-7c00-7000-8000-000000000001");
        payload["channel"] = json!("hook");
        payload["delivery"] = json!("dc928552-11f2-8e39-af27-f60849dc3961");
        let entry = Entry { kind, at: Timestamp::UNIX_EPOCH, payload: payload.to_string().into_bytes() };
        tell(&Record::decode(&entry).unwrap()).1
    }

    #[test]
    fn every_step_after_the_routing_has_its_sentence() {
        let planned = json!({ "delivery": "dc928552-11f2-8e39-af27-f60849dc3962", "channel": "hook", "reason": "resolved",
            "behind": "dc928552-11f2-8e39-af27-f60849dc3961" });
        let mut followed = json!({ "accepted_at": 1, "severity": "high", "cause": "resolved", "because": "resolved by ann",
            "deliveries": [planned] });
        let waits = "the delivery to hook waits until delivery dc928552-11f2-8e39-af27-f60849dc3961 has ended";
        assert_eq!(told(12, followed.clone()), format!("resolved by ann: hook; {waits}"));
        followed["deliveries"][0]["behind_also"] = json!(["dc928552-11f2-8e39-af27-f60849dc3963"]);
        let both =
            "deliveries dc928552-11f2-8e39-af27-f60849dc3961 and dc928552-11f2-8e39-af27-f60849dc3963 have ended";
        assert_eq!(told(12, followed), format!("resolved by ann: hook; the delivery to hook waits until {both}"));
        let spared = json!({ "accepted_at": 1, "severity": "high", "because": "channel spare does not step in: it is over",
            "cause": { "fallback": { "delivery": "dc928552-11f2-8e39-af27-f60849dc3961", "step": 0, "channel": "spare" } } });
        assert_eq!(told(12, spared), "channel spare does not step in: it is over: no channel");
        let suppressed = json!({ "rule": "resolved-first", "because": "it was over" });
        assert_eq!(told(13, suppressed), "delivery to hook suppressed by resolved-first: it was over");
        assert_eq!(told(15, json!({ "by": "ann" })), "dead letter to hook sent on its way again by ann");
        assert_eq!(told(16, json!({ "by": "ann", "comment": "old" })), "dead letter to hook purged by ann: old");
        let routed = json!({ "accepted_at": 1, "severity": "high", "routes": [], "escalations": [
            { "route": "all", "due": "2026-11-22T03:15:00Z", "to": ["boss"] }] });
        assert_eq!(told(4, routed), "escalates at 2026-11-22T03:15:00Z to boss unless acknowledged (route all)");
        let ended = json!({ "attempt": 1, "outcome": { "rejected": { "cause": "schema", "detail": "400" } },
            "next": { "retry": "2026-11-22T03:00:00Z" }, "plain_next": true });
        let expected = "attempt 1 to hook: failed, schema (400); the next attempt leaves the template out";
        assert_eq!(told(6, ended), expected);
    }
}
