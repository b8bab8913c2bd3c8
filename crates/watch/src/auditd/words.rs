//! What is told of a word of auditd or of the kernel: its id, how bad it is, who else sees the same, and what to do. Knows no log.

use crate::audit::said::Said;
use crate::look::Failure;
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};

/// As much of a plugin's name is shown.
const NAME_BYTES_MAX: usize = 120;

/// What is told of a word; none where it is the end of something.
pub(super) fn failure(word: Said<'_>) -> Option<Failure> {
    let resume = "make room (df), then auditctl --signal resume (SIGUSR2): room alone does not resume it";
    let new = |id: &str, severity: Severity, summary: &str| Failure::new(id, severity, summary);
    Some(match word {
        Said::Suspended => new(
            "audit.suspended",
            Severity::Critical,
            "auditd says that it has suspended its log: it takes records and writes none",
        )
        .also_told_by("auditd.writing", "audit.suspended")
        .also_told_by("canary:audit", "audit.suspended")
        .also_told_by("canary:audit", "canary.lost")
        .cured_by(resume),
        Said::Full => new("audit.full", Severity::Critical, "auditd says that it has no room left")
            .also_told_by("auditd.space", "audit.full")
            .cured_by(resume),
        Said::SpaceAdmin => {
            of_space(new("audit.space_admin", Severity::Critical, "auditd says that its room is nearly at its end"))
                .cured_by(resume)
        }
        Said::SpaceLow => of_space(new("audit.space_low", Severity::Medium, "auditd says that its room ends"))
            .also_told_by("auditd.space", "audit.space_low")
            .cured_by("make room or make the file system larger"),
        Said::WriteError => new("audit.write_error", Severity::Critical, "auditd says that it cannot write its log")
            .also_told_by("auditd.writing", "audit.write_error")
            .cured_by("dmesg; df; then auditctl --signal resume"),
        Said::Halting => new("audit.halt_pending", Severity::Critical, "auditd says that it stops this machine")
            .also_told_by("auditd.space", "audit.halt_pending")
            .cured_by("make room, or mend the disk, before the machine is needed again; then start it"),
        Said::QueueFull | Said::QueueSilent | Said::QueueSuspended => queue(word),
        Said::PluginEnded(name) => plugin(name, Severity::Medium, "has ended unexpectedly"),
        Said::PluginGivenUp(name) => plugin(name, Severity::High, "ends again and again, and auditd starts it no more"),
        Said::Lost(count) => {
            let total = count.map_or_else(String::new, |count| format!("; {count} since its counter began"));
            new("audit.lost", Severity::High, &format!("the system's log says that audit records were lost{total}"))
                .also_told_by("kernel.status", "audit.lost")
                .cured_by(
                    "auditctl -s; raise the backlog limit (-b) or the rate limit (-r); ausearch for what is missing",
                )
        }
        Said::Started | Said::Resuming | Said::PluginBack(_) => return None,
    })
}

fn of_space(failure: Failure) -> Failure {
    failure.also_told_by("auditd.space", "audit.space_admin").also_told_by("auditd.space", "audit.full")
}

fn queue(word: Said<'_>) -> Failure {
    let summary = match word {
        Said::QueueSuspended => "auditd says that it sends its plugins nothing any more: their queue overflowed",
        _ => "auditd says that its queue to its plugins overflows: they miss records",
    };
    Failure::new("audit.queue_overflow", Severity::High, summary)
        .also_told_by("auditd.state", "audit.queue_overflow")
        .cured_by("see which plugin does not read (/etc/audit/plugins.d); raise q_depth in auditd.conf; auditctl --signal resume")
}

fn plugin(name: &str, severity: Severity, what: &str) -> Failure {
    let name = shown(name);
    Failure::new("audit.plugin_dead", severity, format!("auditd's plugin {name} {what}"))
        .cured_by("see what the plugin says in the system's log; systemctl restart auditd starts it again")
        .of(name)
}

/// A plugin's name, as it is shown and known again.
pub(super) fn shown(name: &str) -> String {
    cut(&one_line(name), NAME_BYTES_MAX).into_owned()
}
