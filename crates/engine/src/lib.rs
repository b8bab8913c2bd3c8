//! Every decision: admit, route, deliver, replay. `step(now, input)` gives the records to write and the acts to do once
//! they are durable; the same inputs give the same effects. Knows no clock, no randomness, no disk and no network.

pub mod admit;
pub mod allowance;
pub mod internal_scan;
pub mod matcher;
pub mod retry;
pub mod route;
pub mod schedule;

mod acknowledge;
mod deadletter;
mod dedup;
mod dispatch;
mod engine;
mod follow;
mod gather;
mod health;
mod open;
mod queue;
mod report;
mod runs;
mod set_back;
mod snapshot;
mod state;
mod submit;
mod tally;
mod told_cui;

pub use acknowledge::{AckSeen, AcksSeen, Unacknowledged};
pub use deadletter::{DeadLetter, DeadLetterFilter, DeadLetterOrder, ORDER_MAX};
pub use dedup::{DedupSettings, WATCH_RULE};
pub use engine::{Act, Answer, Effects, Engine, Input, Job, Settings};
pub use gather::{Digest, Gather, GatherCause, SUMMARY, Stale, Storm};
pub use health::{CHANNEL_FAILING, CHANNEL_RECOVERED, OWN_SOURCE};
pub use queue::{ChannelPolicy, Fallback, FallbackOn, Rate};
pub use report::{DFARS_DUE, DFARS_OVERDUE, ReportSettings};
pub use retry::Retry;
pub use runs::{RUN_ENDED, RUN_STARTED, RunSettings};
pub use snapshot::SnapshotError;
pub use state::{QueueStatus, State};
pub use submit::{Idempotency, Submission};
pub use tally::Tally;
