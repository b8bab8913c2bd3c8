//! Takes out of a record's payload what the view's rows need, borrowed, and nothing else: decoding whole records costs
//! more than writing the rows. Knows neither SQL nor files.

use super::error::ViewError;
use balefire_model::record::{DecodeError, RepeatOf, kind};
use balefire_model::{IncidentId, Position, Severity, State, Stored};
use jiff::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;

/// A record as the view writes it: the payload goes into the row as it is.
#[derive(Debug)]
pub(crate) struct Extract<'a> {
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
    pub(crate) matter: Matter<'a>,
}

/// What a record is about, as far as rows depend on it.
#[derive(Debug)]
pub(crate) enum Matter<'a> {
    /// A new incident.
    Accepted(Accepted<'a>),
    /// An incident that is in another state from now on.
    Changed(Changed),
    /// Another step in an incident's story.
    Step(IncidentId),
    /// The routing of an incident that repeats another one.
    Repeat(IncidentId, RepeatOf),
    /// The engine itself.
    Engine,
    /// Nothing that people ask for: the engine's own memory.
    Nothing,
}

/// The columns of an incident's row.
#[derive(Debug, Deserialize)]
pub(crate) struct Accepted<'a> {
    pub(crate) id: IncidentId,
    pub(crate) severity: Severity,
    #[serde(borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) detected_by: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) title: Cow<'a, str>,
    #[serde(default)]
    pub(crate) cui_involved: bool,
    pub(crate) received_at: Timestamp,
}

/// A change of state.
#[derive(Debug, Deserialize)]
pub(crate) struct Changed {
    pub(crate) incident: IncidentId,
    pub(crate) state: State,
}

#[derive(Deserialize)]
struct Step {
    incident: IncidentId,
}

#[derive(Deserialize)]
struct Routing {
    incident: IncidentId,
    #[serde(default)]
    sighting: Option<Sighting>,
}

#[derive(Deserialize)]
struct Sighting {
    #[serde(default)]
    repeat: Option<RepeatOf>,
}

impl Extract<'_> {
    /// Looks into a record as far as its row needs it.
    pub(crate) fn of(stored: &Stored) -> Result<Extract<'_>, ViewError> {
        let position = stored.position;
        let entry = &stored.entry;
        let matter = matter(entry.kind, &entry.payload).map_err(|source| ViewError::Unreadable { position, source })?;
        Ok(Extract { position, at: entry.at, kind: entry.kind, payload: &entry.payload, matter })
    }

    /// The incident that it concerns.
    pub(crate) fn incident(&self) -> Option<IncidentId> {
        match &self.matter {
            Matter::Accepted(accepted) => Some(accepted.id),
            Matter::Changed(changed) => Some(changed.incident),
            Matter::Step(id) | Matter::Repeat(id, _) => Some(*id),
            Matter::Engine | Matter::Nothing => None,
        }
    }
}

fn matter(kind: u16, payload: &[u8]) -> Result<Matter<'_>, DecodeError> {
    Ok(match kind {
        kind::ACCEPTED => Matter::Accepted(parse(kind, payload)?),
        kind::STATE_CHANGED => Matter::Changed(parse(kind, payload)?),
        kind::ROUTED => {
            let Routing { incident, sighting } = parse(kind, payload)?;
            let repeat = sighting.and_then(|sighting| sighting.repeat);
            repeat.map_or(Matter::Step(incident), |repeat| Matter::Repeat(incident, repeat))
        }
        kind::ATTEMPT_STARTED
        | kind::ATTEMPT_ENDED
        | kind::FOLLOWED_UP
        | kind::SUPPRESSED
        | kind::REDRIVEN
        | kind::PURGED
        | kind::RUN_ENDED
        | kind::ASSIGNED
        | kind::NOTED
        | kind::REPORTING => {
            let step: Step = parse(kind, payload)?;
            Matter::Step(step.incident)
        }
        kind::STARTED | kind::CONFIGURED | kind::STOPPED | kind::HEALTH_CHANGED | kind::CLOCK_SET_BACK => {
            Matter::Engine
        }
        kind::SUBMITTED | kind::INPUT_READ | kind::SNAPSHOT => Matter::Nothing,
        other => return Err(DecodeError::Kind(other)),
    })
}

fn parse<'a, T: Deserialize<'a>>(kind: u16, payload: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(payload).map_err(|source| DecodeError::Payload { kind: kind::name(kind), source })
}
