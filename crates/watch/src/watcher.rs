//! What all watchers have in common: settings that were read once, and looks that are taken again and again.

use crate::clock::Skew;
use crate::look::{Look, Moment};
use crate::own::Outward;
use crate::record_gap::LogRecords;
use crate::source::Pulse;
use balefire_model::settings::Reader;
use balefire_model::text::Secret;
use serde_json::Value;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A kind of watcher.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its key in the section `watch`.
    pub key: &'static str,
    /// Reads that key from the section, and gives what is to be watched. Problems go to the reader's session.
    pub read: fn(&Reader<'_>) -> Vec<Watched>,
}

/// One thing that is watched, as it was set.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its name, for people, commands and incidents: the kind's key, and behind a colon what it watches where a kind can have
    /// several: `file:/var/log/auth.log`. What a kind sees with different rights has a name each: `kernel.owner`.
    pub name: String,
    /// The kind's key.
    pub kind: &'static str,
    /// What it watches, in a few words: a path, an address, an id.
    pub target: String,
    /// How often it looks.
    pub every: Duration,
    /// Watchers whose failure explains this one's: while one of them fails, this one tells nobody.
    pub under: Vec<String>,
    /// Makes the watcher.
    pub plan: Arc<dyn Plan>,
}

impl Watched {
    /// Whether it is the same with the same settings, so that a running watcher may go on.
    #[must_use]
    pub fn is_same(&self, other: &Watched) -> bool {
        let secrets = (self.plan.secret().map(Secret::expose), other.plan.secret().map(Secret::expose));
        secrets.0 == secrets.1 && format!("{self:?}") == format!("{other:?}")
    }
}

/// The settings of a watcher. Equal settings have equal `Debug` forms, and the same secret, which `Debug` does not show.
pub trait Plan: Debug + Send + Sync {
    /// A watcher that begins; `kept` is what one of the same name said last to [`Watcher::memory`].
    fn begin(&self, kept: Option<&Value>) -> Box<dyn Watcher>;

    /// Which heartbeats are for it.
    fn takes(&self) -> Takes {
        Takes::Nothing
    }

    /// The secret among them. With another one the watcher begins anew.
    fn secret(&self) -> Option<&Secret> {
        None
    }
}

/// Which heartbeats a watcher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// That its source is alive.
    Beats,
    /// That runs of a job begin, end and fail, too.
    Runs,
}

/// Something that looks again and again. It takes its readings itself, through `sensors`, and lets a pure detector judge them.
pub trait Watcher: Send {
    /// Looks. Must not take longer than a second: nothing else is looked at meanwhile.
    fn look(&mut self, now: Moment, around: &dyn Around) -> Look;

    /// What a restart must know: the file's identity, the last serial, the learned cadence. Small.
    fn memory(&self) -> Option<Value> {
        None
    }

    /// How long the last thing took that it sent on its way, from end to end; `None` where it sends nothing.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Where [`Watched::every`] does not fit what is under way: when it wants to look next.
    fn next(&self) -> Option<Duration> {
        None
    }
}

/// The label of an event that is a canary: its value is the nonce. Such events do not count as heard of their source.
pub const CANARY: &str = "balefire_canary";

/// What a watcher may ask of Balefire itself.
pub trait Around {
    /// What was heard of a source of events; `None` where nothing was since the start.
    fn source(&self, name: &str) -> Option<Heard>;

    /// All sources that were heard since the start.
    fn sources(&self) -> Vec<(String, Heard)>;

    /// A random text of 24 hexadecimal digits, for a canary.
    fn nonce(&self) -> String;

    /// When the event came in that had this nonce in its label [`CANARY`]; only the last ones are remembered.
    fn arrived(&self, _nonce: &str) -> Option<Moment> {
        None
    }

    /// What a job told of its runs by heartbeats, also before the start; `None` where it told nothing.
    fn pulse(&self, _source: &str) -> Option<Pulse> {
        None
    }

    /// What became of the heartbeats that Balefire sends; `None` before the first.
    fn outward(&self) -> Option<Outward> {
        None
    }

    /// How far the times of each source's events are from when they came in.
    fn skews(&self) -> Vec<(String, Skew)> {
        Vec::new()
    }

    /// Whether auditd's plugin on this machine has said, since this was last asked, that auditd is gone. Who asks must tell of it:
    /// the plugin's own alert is only `info` as long as somebody asks.
    fn plugin_told(&self) -> bool {
        false
    }

    /// The records of Windows' logs that a source has sent since this was asked last; each is handed out once.
    fn log_records(&self, _source: &str) -> LogRecords {
        LogRecords::default()
    }

    /// How Balefire itself is; none where no engine runs, as in `balefire watch status --once`.
    fn own(&self) -> Option<Own>;

    /// What was last seen of a table of audit rows, by the name of its watcher; `None` where nobody has asked yet.
    fn rows(&self, _watcher: &str) -> Option<Rows> {
        None
    }
}

/// What was seen of a table of audit rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// When it was asked.
    pub asked: Moment,
    /// How old its newest row was then, by the database's own clock; none where it has no row. The error says why it could
    /// not be asked.
    pub age: Result<Option<Duration>, String>,
}

/// What was heard of a source. Canaries do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When last.
    pub last: Moment,
    /// How many events since the start.
    pub count: u64,
}

/// How Balefire itself is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Why the journal takes nothing, where it does not.
    pub journal_fault: Option<String>,
    /// How many records the view is behind the journal.
    pub view_behind: u64,
    /// Channels that fail, and all channels.
    pub channels_failing: Vec<String>,
    /// How many channels there are.
    pub channels: usize,
    /// When somebody outside last asked whether we are well; none where nobody did.
    pub asked_from_outside: Option<Moment>,
    /// The directory of the journal.
    pub data: Option<PathBuf>,
}

/// Nobody who could be asked: no engine runs, and nothing was heard of anybody. Its nonces are empty, so that it is for what
/// sends no canary: a bench, a test.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Around for Nobody {
    fn source(&self, _: &str) -> Option<Heard> {
        None
    }

    fn sources(&self) -> Vec<(String, Heard)> {
        Vec::new()
    }

    fn nonce(&self) -> String {
        String::new()
    }

    fn own(&self) -> Option<Own> {
        None
    }
}
