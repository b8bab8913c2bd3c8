//! What auditd and the kernel say of audit in the system's log, line by line. The program at the head of a line decides whose word
//! it is; what that means for audit is judged elsewhere.

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// auditd has begun to take records.
    Started,
    /// It tries to write again.
    Resuming,
    /// It takes records from here on and writes none.
    Suspended,
    /// `space_left`, `admin_space_left`, and no room at all.
    SpaceLow,
    SpaceAdmin,
    Full,
    /// Its log cannot be opened, written or rotated.
    WriteError,
    /// It stops the machine, or takes it to single user mode.
    Halting,
    /// A record found no room in the queue to the plugins.
    QueueFull,
    /// The same, and nothing more will be said of it.
    QueueSilent,
    /// Nothing goes to the plugins any more.
    QueueSuspended,
    /// A plugin has ended, was started again, and is not started again any more.
    PluginEnded(&'a str),
    PluginBack(&'a str),
    PluginGivenUp(&'a str),
    /// Records were lost; so many in all, where the line says it.
    Lost(Option<u64>),
}

/// The programs whose word it is.
const DAEMONS: [&str; 2] = ["auditd", "audispd"];

/// Reads a line such as `Nov 22 08:00:00 web auditd[812]: Audit daemon resumed logging.`
pub(crate) fn said(line: &str) -> Option<Said<'_>> {
    let (program, text) = program(line)?;
    if program == "kernel" {
        return of_kernel(text);
    }
    DAEMONS.contains(&program).then(|| of_daemon(text)).flatten()
}

/// The program of a line and what it says. Before it stand at least a time and a host, and none of them ends with a colon: a
/// program that writes another one's name into its own text is not that program.
fn program(line: &str) -> Option<(&str, &str)> {
    let (head, text) = line.split_once(": ")?;
    let (before, tag) = head.rsplit_once(' ')?;
    if before.trim().is_empty() || before.starts_with(' ') {
        return None;
    }
    let name = match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((name, process)) if process.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => tag,
    };
    Some((name, text.trim()))
}

fn of_kernel(text: &str) -> Option<Said<'_>> {
    // `[  123.456789] audit: backlog limit exceeded`
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest.trim_start(),
        None => text,
    };
    let text = text.strip_prefix("audit: ")?;
    if let Some(rest) = text.strip_prefix("audit_lost=") {
        return Some(Said::Lost(rest.split(' ').next().and_then(|number| number.parse().ok())));
    }
    let losses = [
        "rate limit exceeded",
        "backlog limit exceeded",
        "kauditd hold queue overflow",
        "kauditd retry queue overflow",
    ];
    losses.iter().any(|loss| text.starts_with(loss)).then_some(Said::Lost(None))
}

/// How texts of auditd begin (3.0 and 3.1, and 2.8 where it differs), and what they say.
const BEGINNINGS: [(&str, Said<'static>); 17] = [
    ("Init complete, auditd ", Said::Started),
    ("Audit daemon is attempting to resume logging", Said::Resuming),
    ("Audit daemon resumed logging", Said::Resuming),
    ("Audit daemon is suspending logging due to ", Said::Suspended),
    ("Audit daemon is low on disk space for logging", Said::SpaceLow),
    ("Audit daemon is very low on disk space for logging", Said::SpaceAdmin),
    ("Audit daemon has no space left on logging partition", Said::Full),
    ("Couldn't open log file", Said::WriteError),
    ("Couldn't create log file", Said::WriteError),
    ("Error rotating logs", Said::WriteError),
    ("Could not reopen a log after ", Said::WriteError),
    ("The audit daemon is now halting the system", Said::Halting),
    ("The audit daemon is now changing the system to single user mode", Said::Halting),
    ("Auditd is now halting the system", Said::Halting),
    ("Auditd is now changing the system to single user mode", Said::Halting),
    ("Auditd is suspending event passing to plugins", Said::QueueSuspended),
    ("Error receiving audit netlink packet (No buffer space", Said::Lost(None)),
];

fn of_daemon(text: &str) -> Option<Said<'_>> {
    if let Some((_, said)) = BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning)) {
        return Some(*said);
    }
    if text.contains(": Audit daemon detected an error writing an event to disk") {
        return Some(Said::WriteError);
    }
    if text.starts_with("queue ") && text.contains("is full - dropping event") {
        return Some(Said::QueueFull);
    }
    if text.contains("queue full reporting limit reached") {
        return Some(Said::QueueSilent);
    }
    let plugin = text.strip_prefix("plugin ")?;
    let name = |end: &str| plugin.split_once(end).map(|(name, _)| name);
    let ended = name(" terminated unexpectedly").map(Said::PluginEnded);
    let back = || name(" was restarted").map(Said::PluginBack);
    ended.or_else(back).or_else(|| name(" has exceeded max_restarts").map(Said::PluginGivenUp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_auditd_and_of_the_kernel_are_known_in_every_form_of_their_head() {
        let known = [
            (
                "Nov 22 08:00:00 web auditd[812]: Audit daemon is suspending logging due to no space left on logging partition.",
                Said::Suspended,
            ),
            (
                "2026-11-22T08:00:00.123456+00:00 web auditd[812]: Audit daemon is low on disk space for logging",
                Said::SpaceLow,
            ),
            (
                "Nov 22 08:00:00 vm daemon.alert auditd[105]: Audit daemon has no space left on logging partition",
                Said::Full,
            ),
            (
                "Nov  2 08:00:00 web auditd: write: Audit daemon detected an error writing an event to disk (Input/output error)",
                Said::WriteError,
            ),
            ("Nov 22 08:00:00 web auditd[812]: Could not reopen a log after rotating.", Said::WriteError),
            ("Nov 22 08:00:00 web auditd[812]: The audit daemon is now halting the system", Said::Halting),
            ("Nov 22 08:00:00 web auditd[812]: queue to plugins is full - dropping event", Said::QueueFull),
            ("Nov 22 08:00:00 web audispd: queue is full - dropping event", Said::QueueFull),
            (
                "Nov 22 08:00:00 web auditd[8]: auditd queue full reporting limit reached - ending dropped event notifications",
                Said::QueueSilent,
            ),
            (
                "Nov 22 08:00:00 web auditd[812]: plugin /sbin/audisp-remote terminated unexpectedly",
                Said::PluginEnded("/sbin/audisp-remote"),
            ),
            (
                "Nov 22 08:00:00 web auditd[812]: plugin /sbin/audisp-remote was restarted",
                Said::PluginBack("/sbin/audisp-remote"),
            ),
            (
                "Nov 22 08:00:00 web auditd[812]: plugin /sbin/x has exceeded max_restarts",
                Said::PluginGivenUp("/sbin/x"),
            ),
            ("Nov 22 08:00:00 web kernel: [  123.456789] audit: backlog limit exceeded", Said::Lost(None)),
            (
                "Nov 22 08:00:00 web kernel: audit: audit_lost=227 audit_rate_limit=0 audit_backlog_limit=64",
                Said::Lost(Some(227)),
            ),
            ("Nov 22 08:00:00 vm kern.warn kernel: [    9.1] audit: rate limit exceeded", Said::Lost(None)),
        ];
        for (line, meaning) in known {
            assert_eq!(said(line), Some(meaning), "{line}");
        }
    }

    #[test]
    fn what_another_program_writes_is_not_the_word_of_auditd() {
        let others = [
            "Nov 22 08:00:00 web sshd[9]: Invalid user auditd: Audit daemon is suspending logging due to x",
            "Nov 22 08:00:00 web sshd[9]: Audit daemon is suspending logging due to x",
            "Nov 22 08:00:00 web my-auditd[9]: Audit daemon is suspending logging due to x",
            "Nov 22 08:00:00 web auditd[9]x]: Audit daemon is suspending logging due to x",
            "Nov 22 08:00:00 web app[9]: kernel: audit: backlog limit exceeded",
            "Nov 22 08:00:00 web kernel: [1.0] usb 1-1: audit: backlog limit exceeded",
            "auditd[812]: Audit daemon is suspending logging due to x",
            " auditd[812]: Audit daemon is suspending logging due to x",
            "Nov 22 08:00:00 web auditd[812]: it said: Audit daemon is suspending logging due to x",
            "",
            ": ",
        ];
        for line in others {
            assert_eq!(said(line), None, "{line}");
        }
    }
}
