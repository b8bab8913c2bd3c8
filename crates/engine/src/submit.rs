//! A submission: incidents that are accepted together or not at all, decided on one by one.

use crate::dedup::DedupSettings;
use crate::engine::{Answer, Effects, Engine};
use crate::retry::later;
use crate::route::Escalate;
use balefire_model::channel::Reason;
use balefire_model::record::{Escalation, InputRead, RouteTaken, Routed, Submitted};
use balefire_model::{Incident, Position, Record, Severity};
use jiff::Timestamp;
use std::sync::Arc;

/// Incidents that a sender handed over in one request, or an input in one reading.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// Normalised, with ids.
    pub incidents: Vec<Arc<Incident>>,
    /// The sender's `Idempotency-Key`, if it gave one.
    pub idempotency: Option<Idempotency>,
    /// How far the input is read when these are accepted.
    pub read: Option<InputRead>,
    /// Ask no route: a test message for one channel.
    pub test_of: Option<String>,
}

/// An idempotency key and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// SHA-256, in hexadecimal, of source, NUL and key.
    pub key: String,
    /// SHA-256, in hexadecimal, of the body.
    pub body: String,
}

impl Engine {
    pub(crate) fn submit(&mut self, now: Timestamp, submission: Submission, effects: &mut Effects) -> Answer {
        if let Some(Idempotency { key, body }) = submission.idempotency {
            if let Some(known) = self.state.keys.get(&key) {
                return if known.body == body {
                    Answer::Accepted { incidents: known.incidents.clone(), repeated: true }
                } else {
                    Answer::KeyReused
                };
            }
            let incidents = submission.incidents.iter().map(|incident| incident.id).collect();
            self.record(now, Record::Submitted(Submitted { key, body, incidents }), effects);
        }
        let mut ids = Vec::with_capacity(submission.incidents.len());
        for incident in submission.incidents {
            ids.push(incident.id);
            let accepted_at = self.state.position();
            let (mut routed, dedup) = self.route(now, &incident, accepted_at, submission.test_of.as_deref());
            let part = self.take_for_run(&incident, &mut routed);
            let follows = self.recognise(now, &dedup, &incident, &mut routed);
            let is_new = submission.test_of.is_none() && self.is_new_matter(&routed, follows.as_ref());
            self.record(now, Record::Accepted(incident.clone()), effects);
            self.record(now, Record::Routed(routed), effects);
            if is_new {
                self.start_report(now, &incident, effects);
            }
            if let Some(follows) = follows {
                self.follow_sighting(now, (incident.id, &incident.source), follows, effects);
            }
            if let Some(part) = part {
                self.follow_run(now, &part, effects);
            }
        }
        if let Some(read) = submission.read {
            self.record(now, Record::InputRead(read), effects);
        }
        Answer::Accepted { incidents: Arc::new(ids), repeated: false }
    }

    /// Who hears of it, and what its routes say of repeats.
    fn route(
        &self,
        now: Timestamp,
        incident: &Incident,
        accepted_at: Position,
        test_of: Option<&str>,
    ) -> (Routed, DedupSettings) {
        let mut dedup = self.settings.dedup;
        let (routes, channels, history_only, reason, steps) = match test_of {
            Some(channel) => {
                let channels = vec![channel.to_owned()];
                let because = format!("a test of channel {channel} was asked for");
                let test = RouteTaken { route: "test".to_owned(), because, channels: channels.clone(), muted_by: None };
                (vec![test], channels, None, Reason::Test, Vec::new())
            }
            None => {
                let decision = self.settings.routing.decide(incident, now);
                dedup = decision.dedup.unwrap_or(dedup);
                (decision.routes, decision.channels, decision.history_only, Reason::Opened, decision.escalations)
            }
        };
        let plan = |channel: String| self.plan_of(incident.id, reason, channel);
        let escalation =
            |(route, step): (String, Escalate)| Escalation { route, due: later(now, step.after), to: step.to };
        let routed = Routed {
            incident: incident.id,
            accepted_at,
            // Whoever asks for a test waits for it: no storm and no digest holds it up.
            severity: if reason == Reason::Test { Severity::Critical } else { incident.severity },
            cui_involved: incident.cui_involved,
            routes,
            deliveries: channels.into_iter().map(plan).collect(),
            history_only,
            escalations: steps.into_iter().map(escalation).collect(),
            run: None,
            collected: Vec::new(),
            sighting: None,
        };
        (routed, dedup)
    }
}
