//! Which program wrote a mail, and how bad that is: a table of what the programs of a Linux machine write.

use super::message::Message;
use balefire_model::Severity;

/// What a mail was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The program that wrote it; `mail` for one that is not known.
    pub(super) program: &'static str,
    /// The failure in the terms of the watchers, where it is one of audit logging.
    pub(super) failure: Option<&'static str>,
    /// How bad it is; none where nothing is known, and the configuration's default counts.
    pub(super) severity: Option<Severity>,
    /// Whether it concerns audit logging.
    pub(super) is_audit: bool,
    /// What stands in the subject at a fixed place.
    pub(super) labels: Vec<(&'static str, String)>,
}

/// How a program's mails are known.
struct Program {
    name: &'static str,
    /// The subject begins with this,
    begins: &'static str,
    /// and holds this.
    holds: &'static str,
    /// How bad one is that no word below tells.
    severity: Severity,
    /// The first of these that the subject or the text holds tells how bad it is.
    words: &'static [(&'static str, Severity)],
    /// The failure in the terms of the watchers.
    failure: Option<&'static str>,
}

use Severity::{Critical, High, Low, Medium};

const SMART: &[(&str, Severity)] = &[
    ("(EmailTest)", Low),
    ("(Health)", Critical),
    ("(FailedHealthCheck)", Critical),
    ("(Temperature)", Medium),
    ("(Usage)", High),
];

/// mdadm(8), the events of monitor mode.
const RAID: &[(&str, Severity)] = &[
    ("TestMessage event", Low),
    ("DeviceDisappeared event", Critical),
    ("DegradedArray event", High),
    ("FailSpare event", Medium),
    ("SparesMissing event", Medium),
    ("Fail event", High),
    ("RebuildStarted event", Low),
    ("RebuildFinished event", Low),
    ("SpareActive event", Low),
    ("NewArray event", Low),
    ("MoveSpare event", Low),
];

const CRON: &[(&str, Severity)] = &[
    ("No space left on device", High),
    ("Read-only file system", High),
    ("Segmentation fault", Medium),
    ("Permission denied", Medium),
    ("command not found", Medium),
    ("Traceback (most recent call last)", Medium),
];

const ZED: &[(&str, Severity)] =
    &[("fault", High), ("DEGRADED", High), ("FAULTED", Critical), ("scrub_finish", Low), ("resilver_finish", Low)];

/// In order: the first that fits.
const PROGRAMS: &[Program] = &[
    Program::audit("Audit Disk Space Alert", "audit.space_low", High),
    Program::audit("Audit Admin Space Alert", "audit.space_admin", High),
    Program::of("cron", "Cron <", "", Low, CRON),
    Program::of("anacron", "Anacron job", "", Low, CRON),
    Program::of("smartd", "SMART error", "", High, SMART),
    Program::of("mdadm", "", " event on /dev/", High, RAID),
    Program::of("mdadm", "", " event on unknown device", High, RAID),
    Program::of("zed", "ZFS ", "", Medium, ZED),
    Program::of("logwatch", "Logwatch for ", "", Low, &[]),
    Program::of("logcheck", "", " Attack Alerts", High, &[]),
    Program::of("logcheck", "", " Security Events", Medium, &[]),
    Program::of("logcheck", "", " System Events", Low, &[]),
    Program::of("sudo", "*** SECURITY information for ", "", High, &[]),
    Program::of("rkhunter", "[rkhunter] Warnings", "", High, &[]),
    Program::of("chkrootkit", "chkrootkit", "", Medium, &[("INFECTED", Critical)]),
    Program::of("aide", "", "AIDE report", Medium, &[("found NO differences", Low)]),
    Program::of("tripwire", "TWReport", "", Medium, &[]),
    Program::of("fail2ban", "[Fail2Ban]", "", Low, &[]),
    Program::of("unattended-upgrades", "", "unattended-upgrades result for", Low, &[(": FAILURE", Medium)]),
    Program::of("apticron", "", "Debian package update(s) for", Low, &[]),
    Program::of("monit", "monit alert", "", Medium, &[]),
];

impl Program {
    const fn of(
        name: &'static str,
        begins: &'static str,
        holds: &'static str,
        severity: Severity,
        words: &'static [(&'static str, Severity)],
    ) -> Program {
        Program { name, begins, holds, severity, words, failure: None }
    }

    const fn audit(begins: &'static str, failure: &'static str, severity: Severity) -> Program {
        Program { name: "auditd", begins, holds: "", severity, words: &[], failure: Some(failure) }
    }
}

/// What a mail is, by its subject and text.
pub(super) fn judge(message: &Message, from: &str) -> Verdict {
    let subject = message.subject.as_deref().unwrap_or_default().trim();
    let is_of = |program: &&Program| subject.starts_with(program.begins) && subject.contains(program.holds);
    let Some(program) = PROGRAMS.iter().find(is_of) else { return unknown(message, from) };
    let told = program.words.iter().find(|(word, _)| subject.contains(word) || message.text.contains(word));
    Verdict {
        program: program.name,
        failure: program.failure,
        severity: Some(told.map_or(program.severity, |(_, severity)| *severity)),
        is_audit: program.failure.is_some(),
        labels: facts(program.name, subject),
    }
}

fn unknown(message: &Message, from: &str) -> Verdict {
    // Some mails of cron have a subject of the administrator's own.
    let is_cron = message.marks.iter().any(|mark| mark.to_ascii_lowercase().starts_with("x-cron-env"));
    let is_auditd = from.starts_with("auditd@");
    let (program, severity) = match (is_cron, is_auditd) {
        (true, _) => ("cron", Some(Low)),
        (_, true) => ("auditd", Some(High)),
        _ => ("mail", None),
    };
    Verdict { program, failure: None, severity, is_audit: is_auditd, labels: Vec::new() }
}

/// What stands at a fixed place of the subject.
fn facts(program: &str, subject: &str) -> Vec<(&'static str, String)> {
    let between = |begin: &str, end: char| {
        let rest = subject.split_once(begin)?.1;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let mut facts = Vec::new();
    match program {
        "cron" => {
            facts.extend(between("<", '@').map(|user| ("cron_user", user)));
            facts.extend(subject.split_once("> ").map(|(_, command)| ("cron_command", command.to_owned())));
        }
        "smartd" => facts.extend(between("(", ')').map(|what| ("smart_error", what))),
        "mdadm" => {
            facts.extend(subject.split_once(" event").map(|(event, _)| ("md_event", event.to_owned())));
            facts.extend(
                subject
                    .split_once(" event on ")
                    .map(|(_, device)| ("md_device", device.split(':').next().unwrap_or(device).to_owned())),
            );
        }
        _ => {}
    }
    facts
}
