//! The types of failure that are alerted on, for whoever asks which they are.

use balefire_model::Severity;
use serde::Serialize;

/// A type of failure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Known {
    /// Its id.
    pub id: &'static str,
    /// The key in the section `watch` that watches for it.
    pub kind: &'static str,
    /// How bad it is at once.
    pub severity: Severity,
    /// What it is.
    pub what: &'static str,
}

const fn known(id: &'static str, kind: &'static str, severity: Severity, what: &'static str) -> Known {
    Known { id, kind, severity, what }
}

use Severity::{Critical, High, Info, Low, Medium};

/// By kind.
pub const CATALOGUE: &[Known] = &[
    known("audit.unavailable", "kernel", High, "the kernel has no audit"),
    known("audit.disabled", "kernel", Critical, "audit was switched off"),
    known("audit.owner_lost", "kernel", Critical, "nobody takes the kernel's records"),
    known("audit.owner_changed", "kernel", High, "another program takes the kernel's records"),
    known("audit.stuck", "kernel", High, "the audit daemon stands still or is too slow"),
    known("audit.lost", "kernel", High, "the kernel lost records"),
    known("audit.lost_reset", "kernel", Medium, "the counter of lost records was reset"),
    known("audit.serial_gap", "kernel", High, "records are missing between others"),
    known("windows.record_gap", "windows", High, "records of Windows' event logs never came"),
    known("audit.config_change", "kernel", Medium, "rules or limits of audit were changed"),
    known("audit.listener_new", "kernel", Low, "another program reads the kernel's records, too"),
    known("audit.rules_drift", "kernel", High, "other rules are loaded than expected"),
    known("audit.suspended", "auditd", Critical, "auditd lives and writes nothing"),
    known("audit.space_low", "auditd", Medium, "room for audit logs becomes short"),
    known("audit.space_admin", "auditd", Critical, "room for audit logs is nearly gone"),
    known("audit.full", "auditd", Critical, "no room is left for audit logs"),
    known("audit.write_error", "auditd", Critical, "audit logs cannot be written"),
    known("audit.halt_pending", "auditd", Critical, "auditd will stop the machine"),
    known("audit.queue_overflow", "auditd", High, "auditd's queue to its plugins overflows"),
    known("audit.plugin_dead", "auditd", Medium, "a plugin of auditd has ended"),
    known("audit.remote_down", "auditd", Medium, "audisp-remote does not get its records through"),
    known("audit.posture", "auditd", Medium, "auditd is not set as the profile asks"),
    known("audit.alternate", "auditd", Info, "records were kept elsewhere while auditd wrote nothing"),
    known("audit.alternate_failed", "auditd", High, "records cannot be kept elsewhere while auditd writes nothing"),
    known("canary.lost", "canary", Critical, "what was written to be seen did not arrive"),
    known("syslog.input_loss", "rsyslog", High, "messages are lost before the queue"),
    known("syslog.queue_loss", "rsyslog", High, "messages are lost in a queue"),
    known("syslog.queue_growth", "rsyslog", Medium, "a queue grows and nothing goes out"),
    known("syslog.action_failed", "rsyslog", High, "an output fails"),
    known("syslog.stats_silent", "rsyslog", High, "rsyslog does not say how it is"),
    known("syslog.blocked_producers", "canary", Critical, "whoever writes to the log waits"),
    known("syslogng.loss", "syslogng", High, "messages are lost on the way out"),
    known("syslogng.queue_growth", "syslogng", Medium, "a queue grows and nothing goes out"),
    known("syslogng.silent", "syslogng", High, "syslog-ng does not answer"),
    known("journal.suppressed", "journald", Medium, "messages were held back by their rate"),
    known("journal.missed", "journald", High, "messages were missed"),
    known("journal.forward_missed", "journald", High, "messages did not go on to syslog"),
    known("journal.usage", "journald", Medium, "the journal is near the most that it may take"),
    known("journal.stopped", "journald", Critical, "journald was stopped"),
    known("journal.vacuum", "journald", High, "files of the journal were removed"),
    known("journal.seqnum_gap", "journald", Medium, "entries of the journal are missing"),
    known("journal.verify_fail", "journald", High, "an archived file of the journal is damaged"),
    known("file.missing", "file", High, "a log is not there"),
    known("file.truncated", "file", High, "a log was cut"),
    known("file.replaced", "file", High, "a log is another file"),
    known("file.rewritten", "file", Critical, "what stood in a log was changed"),
    known("file.perm", "file", Medium, "a log may be read or written by others"),
    known("file.stalled", "file", Medium, "a log does not grow"),
    known("file.writer_gone", "file", High, "nobody holds a log open for writing"),
    known("file.future", "file", Medium, "records of a log come from the future"),
    known("file.out_of_order", "file", Medium, "records of a log go back in time"),
    known("file.unreadable", "file", High, "a log cannot be read"),
    known("capacity.bytes", "capacity", Medium, "the file system of logs fills up"),
    known("capacity.inodes", "capacity", Medium, "inodes of the file system of logs run out"),
    known("capacity.cap", "capacity", Medium, "logs take as much as they may"),
    known("capacity.retain", "capacity", Medium, "logs are removed before their time"),
    known("capacity.read_only", "capacity", Critical, "the file system of logs cannot be written"),
    known("capacity.forecast", "capacity", Medium, "the file system of logs will be full soon"),
    known("capacity.volatile", "capacity", Low, "logs are kept in memory"),
    known("clock.step", "clock", Medium, "the clock was set"),
    known("clock.unsynced", "clock", Medium, "the clock is not kept by a server"),
    known("clock.skew", "clock", Medium, "the clock of a source is wrong"),
    known("source.silent", "source", High, "a source of events is silent"),
    known("source.late", "source", Medium, "a scheduled source is late"),
    known("source.overrun", "source", High, "a run of a scheduled source does not end"),
    known("source.failed", "source", High, "a run of a scheduled source failed"),
    known("source.unknown", "source", Medium, "a source that nobody expects"),
    known("source.flood", "source", Medium, "a source sends far more than it did"),
    known("bt08.no_rows", "bt08", Critical, "no audit row came for too long in the hours of business"),
    known("bt08.audit_failure", "bt08", Critical, "an application could not write an audit record"),
    known("bt08.audit_db_failure", "bt08", Critical, "an application does not reach the database of its audit records"),
    known("bt08.logger_failure", "bt08", Critical, "an application's audit logger has failed"),
    known("self.db_write_failed", "self", Critical, "our own journal takes nothing"),
    known("self.view_behind", "self", Medium, "our own history is behind"),
    known("self.all_channels_failing", "self", Critical, "no channel of alerts works"),
    known("self.no_external_watch", "self", Medium, "nobody outside asks whether we are well"),
    known("self.outside_failing", "self", Medium, "our own heartbeats do not arrive"),
    known("watch.blind", "every kind", Medium, "a watcher cannot see"),
    known(
        "watch.not_configured",
        "every kind",
        Medium,
        "a watcher that is expected is not in the configuration any more",
    ),
];
