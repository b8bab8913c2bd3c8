//! Watchers of audit logging (NIST SP 800-171 3.3.4): pure detectors over readings, and the Linux sensors that take the
//! readings. Knows no clock and no runtime; tells nobody: what it finds, the application makes an incident of.
//!
//! To add a kind, write its file and add two lines here: `mod` and an entry in [`KINDS`].

mod audit;
mod auditd;
mod board;
mod bt08;
mod calm;
mod canary;
mod capacity;
mod clock;
mod file;
#[cfg(test)]
mod hostile;
mod journald;
mod kernel;
mod look;
mod own;
mod packs;
pub mod posture;
mod record_gap;
pub mod report;
mod rights;
mod rsyslog;
mod rules;
mod sensors;
mod source;
mod syslogng;
mod watcher;

pub use auditd::{Plugin, PluginEnd, PluginTold};
pub use board::{BLIND, Board, Change, NOT_CONFIGURED, Open, Standing, State, What};
pub use bt08::{AUDIT_ROWS, AuditTable, read_audit_table};
pub use clock::{Lag, Skew};
pub use look::{Failure, Look, Loss, Moment, Sight};
pub use own::{Outward, Peer, withholds};
pub use packs::{AUDIT_FAILURE, Packs, Tampering, disown, log_records, read_packs};
pub use record_gap::{LogRecord, LogRecords};
pub use rights::{Lack, unit_lines};
pub use rules::{Rise, Rules, read_rules};
pub use source::{Pulse, Sign, fits};
pub use watcher::{Around, CANARY, Heard, Kind, Nobody, Own, Plan, Rows, Takes, Watched, Watcher};

/// Every kind that the section `watch` may name, in the order in which help lists them.
pub static KINDS: &[Kind] = &[
    kernel::KIND,
    auditd::KIND,
    canary::KIND,
    file::KIND,
    rsyslog::KIND,
    syslogng::KIND,
    journald::KIND,
    capacity::KIND,
    clock::KIND,
    source::KIND,
    record_gap::KIND,
    bt08::KIND,
    own::KIND,
];
