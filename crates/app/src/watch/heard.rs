//! When events of each source were last heard, and which canaries have arrived. Bounded; forgets with the process.

use crate::clock;
use balefire_model::Incident;
use balefire_watch::{CANARY, Heard, Moment};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// As many sources are kept apart: tokens, inputs and schedules are configured, and nobody configures more. Further ones are
/// not kept, and that is told once.
const SOURCES_MAX: usize = 20_000;

/// As many canaries are remembered; each is looked for within a minute or so.
const NONCES_MAX: usize = 1024;

/// As much of a nonce as is remembered; ours are shorter.
const NONCE_BYTES_MAX: usize = 64;

/// What was heard since the start.
#[derive(Debug, Default)]
pub(crate) struct HeardOf(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sources: HashMap<String, Heard>,
    nonces: VecDeque<(String, Moment)>,
    asked: Option<Moment>,
    told_full: bool,
}

/// The canaries among incidents, and how many others there are.
#[derive(Debug)]
pub(crate) struct Count {
    nonces: Vec<String>,
    others: u64,
}

impl Count {
    pub(crate) fn of(incidents: &[Arc<Incident>]) -> Count {
        let nonce = |incident: &Arc<Incident>| {
            let nonce = incident.labels.get(CANARY)?;
            Some(balefire_model::text::cut(nonce, NONCE_BYTES_MAX).into_owned())
        };
        let nonces: Vec<String> = incidents.iter().filter_map(nonce).collect();
        Count { others: incidents.len().saturating_sub(nonces.len()) as u64, nonces }
    }
}

impl HeardOf {
    /// Takes note of what a source has sent.
    pub(crate) fn note(&self, source: &str, count: Count) {
        let now = clock::moment();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for nonce in count.nonces {
            if inner.nonces.len() == NONCES_MAX {
                inner.nonces.pop_front();
            }
            inner.nonces.push_back((nonce, now));
        }
        if count.others == 0 {
            return;
        }
        if let Some(heard) = inner.sources.get_mut(source) {
            (heard.last, heard.count) = (now, heard.count + count.others);
        } else if inner.sources.len() < SOURCES_MAX {
            inner.sources.insert(source.to_owned(), Heard { last: now, count: count.others });
        } else if !std::mem::replace(&mut inner.told_full, true) {
            tracing::warn!(SOURCES_MAX, "more sources than are kept apart; the further ones are not watched");
        }
    }

    /// Somebody asks whether we are well.
    pub(crate) fn asked(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(clock::moment());
    }

    pub(super) fn when_asked(&self) -> Option<Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    pub(super) fn source(&self, name: &str) -> Option<Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sources.get(name).copied()
    }

    pub(super) fn sources(&self) -> Vec<(String, Heard)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sources.iter().map(|(name, heard)| (name.clone(), *heard)).collect()
    }

    pub(super) fn arrived(&self, nonce: &str) -> Option<Moment> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.nonces.iter().find(|(known, _)| known == nonce).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::sample;

    fn incident(nonce: Option<&str>) -> Arc<Incident> {
        let mut incident = sample(clock::now());
        incident.labels.extend(nonce.map(|nonce| (CANARY.to_owned(), nonce.to_owned())));
        Arc::new(incident)
    }

    #[test]
    fn a_canary_arrives_and_does_not_count_as_heard_of_its_source() {
        let heard = HeardOf::default();
        heard.note("web", Count::of(&[incident(Some("0123"))]));
        assert!(heard.source("web").is_none() && heard.arrived("0123").is_some() && heard.arrived("4567").is_none());
        heard.note("web", Count::of(&[incident(None), incident(Some("4567")), incident(None)]));
        assert_eq!(heard.source("web").map(|heard| heard.count), Some(2));
        assert_eq!(heard.sources().len(), 1);
    }

    #[test]
    fn no_more_canaries_are_remembered_than_the_bound_says() {
        let heard = HeardOf::default();
        let all: Vec<_> = (0..NONCES_MAX + 1).map(|n| incident(Some(&n.to_string()))).collect();
        heard.note("web", Count::of(&all));
        assert!(heard.arrived("0").is_none() && heard.arrived("1").is_some());
    }
}
