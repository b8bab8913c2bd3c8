//! The packs `windows` and `edr`: the event log's own events, and those of Defender, Sysmon, services and Wazuh's agents. Reads
//! the shapes in which shippers write a Windows event: its XML as JSON, Winlogbeat's, NXLog's and Wazuh's.
//!
//! Source: Microsoft's lists of security audit events, of Defender events and of Sysmon events, read November 2026.

use super::field::{first, is, text};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

const MARKS: &[&str] = &["EventID", "event_id", "eventID", "rule"];

pub(super) const PACK: Pack = Pack {
    ids: &[
        "windows.cleared",
        "windows.stopped",
        "windows.dropped",
        "windows.filling",
        "windows.full",
        "windows.error",
        "windows.policy",
        "windows.lost",
        "windows.crash_on_audit_fail",
    ],
    marks: MARKS,
    judge,
};

pub(super) const EDR: Pack = Pack {
    ids: &[
        "edr.defender.realtime",
        "edr.defender.scanning",
        "edr.defender.tamper",
        "edr.defender.config",
        "edr.sysmon.state",
        "edr.sysmon.config",
        "edr.sysmon.error",
        "edr.service",
        "edr.agent_offline",
    ],
    marks: MARKS,
    judge: judge_edr,
};

/// What every Windows event has.
struct Entry {
    id: u32,
    channel: String,
    computer: String,
}

const IDS: [&str; 9] = [
    "Event.System.EventID",
    "Event.System.EventID.#text",
    "Event.System.EventID.Value",
    "winlog.event_id",
    "EventID",
    "EventId",
    "win.system.eventID",
    "System.EventID",
    "event_id",
];
const CHANNELS: [&str; 6] =
    ["Event.System.Channel", "winlog.channel", "Channel", "win.system.channel", "System.Channel", "log_name"];
const COMPUTERS: [&str; 7] = [
    "Event.System.Computer",
    "winlog.computer_name",
    "Computer",
    "Hostname",
    "win.system.computer",
    "System.Computer",
    "computer_name",
];

impl Entry {
    fn of(event: &Value) -> Option<Entry> {
        let id = first(event, &IDS)?.trim().parse().ok()?;
        let channel = first(event, &CHANNELS)?.to_ascii_lowercase();
        Some(Entry { id, channel, computer: first(event, &COMPUTERS).unwrap_or_default().to_ascii_lowercase() })
    }
}

/// A field of what the event itself says.
fn data<'a>(event: &'a Value, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    let places = ["Event.EventData.", "Event.UserData.LogFileCleared.", "winlog.event_data.", "win.eventdata.", ""];
    places.iter().find_map(|place| {
        let small = || {
            let mut letters = name.chars();
            letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str())
        };
        text(event, &format!("{place}{name}")).or_else(|| text(event, &format!("{place}{}", small()?)))
    })
}

fn judge(event: &Value) -> Option<Verdict> {
    let Entry { id, channel, computer } = Entry::of(event)?;
    let found = |failure, severity| Some(Verdict::new(failure, severity, computer.clone()));
    match (channel.as_str(), id) {
        ("security", 1102 | 517) => found("windows.cleared", Severity::High),
        ("system", 104) => cleared(event, &computer),
        // A shutdown does it, too: the start that follows ends it.
        ("security" | "system", 1100) => found("windows.stopped", Severity::Medium),
        ("security", 4608) => Some(Verdict::over("windows.stopped", computer)),
        ("security", 1101 | 1106) => found("windows.dropped", Severity::High),
        ("security", 1103) => found("windows.filling", Severity::Medium),
        ("security" | "system", 1104) => found("windows.full", Severity::Critical),
        ("security", 1108) => found("windows.error", Severity::Medium),
        ("security", 4612) => found("windows.lost", Severity::Critical),
        ("security", 4719) => policy(event, &computer),
        ("security", 4906) => found("windows.crash_on_audit_fail", Severity::High),
        _ => None,
    }
}

/// Some other log was cleared.
fn cleared(event: &Value, computer: &str) -> Option<Verdict> {
    let log = data(event, "Channel").unwrap_or_default().to_ascii_lowercase();
    let is_core = ["security", "system", "powershell", "sysmon"].iter().any(|core| log.contains(core));
    let severity = if is_core { Severity::High } else { Severity::Medium };
    Some(Verdict::new("windows.cleared", severity, format!("{computer}/{log}")))
}

/// What is audited was changed: `%%8448` and `%%8450` are taken away, `%%8449` and `%%8451` are added.
fn policy(event: &Value, computer: &str) -> Option<Verdict> {
    let changes = data(event, "AuditPolicyChanges")?;
    let what = data(event, "SubcategoryGuid").or_else(|| data(event, "SubcategoryId")).unwrap_or_default();
    let subject = format!("{computer}/{}", what.to_ascii_lowercase());
    let says = |words: [&str; 4]| words.iter().any(|word| changes.contains(word));
    if says(["%%8448", "%%8450", "Success removed", "Failure removed"]) {
        return Some(Verdict::new("windows.policy", Severity::High, subject));
    }
    says(["%%8449", "%%8451", "Success Added", "Failure added"]).then(|| Verdict::over("windows.policy", subject))
}

fn judge_edr(event: &Value) -> Option<Verdict> {
    if let Some(verdict) = wazuh(event) {
        return Some(verdict);
    }
    let Entry { id, channel, computer } = Entry::of(event)?;
    let found = |failure, severity| Some(Verdict::new(failure, severity, computer.clone()));
    let over = |failure| Some(Verdict::over(failure, computer.clone()));
    match (channel.as_str(), id) {
        ("microsoft-windows-windows defender/operational", 5001) => found("edr.defender.realtime", Severity::High),
        ("microsoft-windows-windows defender/operational", 5000) => over("edr.defender.realtime"),
        ("microsoft-windows-windows defender/operational", 5010 | 5012) => {
            found("edr.defender.scanning", Severity::High)
        }
        ("microsoft-windows-windows defender/operational", 5009 | 5011) => over("edr.defender.scanning"),
        ("microsoft-windows-windows defender/operational", 5013) => found("edr.defender.tamper", Severity::High),
        ("microsoft-windows-windows defender/operational", 5007) => found("edr.defender.config", Severity::Medium),
        ("microsoft-windows-sysmon/operational", 4) if data(event, "State")?.eq_ignore_ascii_case("started") => {
            over("edr.sysmon.state")
        }
        ("microsoft-windows-sysmon/operational", 4) => found("edr.sysmon.state", Severity::High),
        ("microsoft-windows-sysmon/operational", 16) => found("edr.sysmon.config", Severity::Medium),
        ("microsoft-windows-sysmon/operational", 255) => found("edr.sysmon.error", Severity::High),
        ("system", 7036) => service(event, &computer),
        _ => None,
    }
}

/// Services that audit or protect, by a part of the name that the service manager shows.
const SERVICES: [&str; 7] =
    ["defender", "sysmon", "event log", "elastic endpoint", "elastic agent", "crowdstrike", "wazuh"];

fn service(event: &Value, computer: &str) -> Option<Verdict> {
    let name = data(event, "param1")?.to_ascii_lowercase();
    let state = data(event, "param2")?;
    if !SERVICES.iter().any(|service| name.contains(service)) {
        return None;
    }
    let subject = format!("{computer}/{name}");
    match state.to_ascii_lowercase().as_str() {
        "stopped" => Some(Verdict::new("edr.service", Severity::High, subject)),
        "running" => Some(Verdict::over("edr.service", subject)),
        _ => None,
    }
}

/// Wazuh's manager on its agents.
fn wazuh(event: &Value) -> Option<Verdict> {
    let agent = first(event, &["agent.id", "agent.name"])?;
    let is_rule = |id| is(event, "rule.id", id);
    if is_rule("504") || is_rule("506") {
        return Some(Verdict::new("edr.agent_offline", Severity::Medium, agent));
    }
    (is_rule("501") || is_rule("503")).then(|| Verdict::over("edr.agent_offline", agent))
}
