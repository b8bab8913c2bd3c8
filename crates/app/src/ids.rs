//! The only place that makes random ids.

use balefire_model::IncidentId;
use uuid::Uuid;

/// A new incident's id: version 7, so that ids sort by time of arrival.
pub(crate) fn incident() -> IncidentId {
    IncidentId(Uuid::now_v7())
}
