//! What is over when nothing has happened for a while is not over because we started anew: a watcher's failures of that kind
//! go on over a restart until the while has passed, or until they are seen again.

use crate::look::{Failure, Look, Moment, Sight};
use crate::watcher::{Around, Plan, Takes, Watcher};
use balefire_model::text::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The plan of a watcher, and how long which of its failures must not have been seen until they are over.
#[derive(Clone, Debug)]
pub(crate) struct Calm {
    plan: Arc<dyn Plan>,
    calms: Vec<(&'static str, Duration)>,
}

impl Calm {
    pub(crate) fn of(plan: Arc<dyn Plan>, calms: &[(&'static str, Duration)]) -> Arc<Calm> {
        Arc::new(Calm { plan, calms: calms.to_vec() })
    }
}

/// What a restart must know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    inner: Option<Value>,
    open: Vec<Failure>,
}

impl Plan for Calm {
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher> {
        let read = kept.and_then(|kept| Kept::deserialize(kept).ok());
        // Another form is that of a version which knew nothing of this.
        let kept = read.unwrap_or_else(|| Kept { inner: kept.cloned(), open: Vec::new() });
        let watcher = self.plan.begin(kept.inner.as_ref());
        Box::new(Calming { watcher, calms: self.calms.clone(), first: None, before: kept.open, open: Vec::new() })
    }

    fn takes(&self) -> Takes {
        self.plan.takes()
    }

    fn secret(&self) -> Option<&Secret> {
        self.plan.secret()
    }
}

struct Calming {
    watcher: Box<dyn Watcher>,
    calms: Vec<(&'static str, Duration)>,
    first: Option<Moment>,
    /// What was open when we stopped, and was not seen since.
    before: Vec<Failure>,
    /// What is open now.
    open: Vec<Failure>,
}

impl Watcher for Calming {
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look {
        let mut look = self.watcher.look(now, around);
        let since = now.since(*self.first.get_or_insert(now));
        let calm = |failure: &Failure| self.calms.iter().find(|(id, _)| *id == failure.id).map(|(_, calm)| *calm);
        let mut failing = match &look.sight {
            Sight::Failing(failures) => failures.clone(),
            Sight::Ok { .. } => Vec::new(),
            // Nothing is over by these.
            Sight::Blind { .. } | Sight::Unknown { .. } => return look,
        };
        self.before.retain(|before| {
            calm(before).is_some_and(|calm| since < calm) && !failing.iter().any(|seen| seen.key() == before.key())
        });
        failing.extend(self.before.iter().cloned());
        self.open = failing.iter().filter(|failure| calm(failure).is_some()).cloned().collect();
        if !failing.is_empty() {
            look.sight = Sight::Failing(failing);
        }
        look
    }

    fn memory(&self) -> Option<Value> {
        let open = if self.open.is_empty() { &self.before } else { &self.open };
        // It has no map with keys that are no text, so that nothing can go wrong.
        serde_json::to_value(Kept { inner: self.watcher.memory(), open: open.clone() }).ok()
    }

    fn next(&self) -> Option<Duration> {
        self.watcher.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watcher::Nobody;
    use balefire_model::Severity;
    use jiff::Timestamp;

    /// Says what its memory holds: the ids that fail.
    #[derive(Clone, Debug)]
    struct Says(Vec<&'static str>);

    impl Plan for Says {
        fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
            Box::new(self.clone())
        }
    }

    impl Watcher for Says {
        fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
            let failures = self.0.iter().map(|id| Failure::new(id, Severity::High, *id)).collect();
            Look::of(failures, "it works")
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment { boot: Duration::from_secs(seconds), wall: Timestamp::UNIX_EPOCH }
    }

    fn ids(look: Look) -> Vec<String> {
        match look.sight {
            Sight::Failing(failures) => failures.into_iter().map(|failure| failure.id).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_restart_ends_nothing_before_its_calm() {
        let calms = [("lost", Duration::from_secs(900))];
        let begin =
            |says: &[&'static str], kept: Option<&Value>| Calm::of(Arc::new(Says(says.to_vec())), &calms).begin(kept);
        let mut first = begin(&["lost", "off"], None);
        assert_eq!(ids(first.look(at(0), &Nobody)), ["lost", "off"]);
        let kept = first.memory();
        let mut second = begin(&[], kept.as_ref());
        let open = |memory: Option<Value>| memory.map(|memory| memory["open"].as_array().map_or(0, Vec::len));
        assert_eq!(open(second.memory()), Some(1), "also before its first look");
        assert_eq!(ids(second.look(at(100), &Nobody)), ["lost"], "what has another proof of its end is not ours");
        assert_eq!(ids(second.look(at(999), &Nobody)), ["lost"]);
        let mut third = begin(&[], second.memory().as_ref());
        assert_eq!(ids(third.look(at(1000), &Nobody)), ["lost"], "a second restart, too");
        assert_eq!(ids(third.look(at(1900), &Nobody)), [""; 0]);
        assert!(third.memory().is_some_and(|memory| memory["open"].as_array().is_some_and(Vec::is_empty)));
    }

    #[test]
    fn the_memory_of_an_older_version_is_the_watchers_own() {
        let old = serde_json::json!({"cursor": "x"});
        let mut watcher = Calm::of(Arc::new(Says(Vec::new())), &[]).begin(Some(&old));
        assert_eq!(ids(watcher.look(at(0), &Nobody)), [""; 0]);
    }
}
