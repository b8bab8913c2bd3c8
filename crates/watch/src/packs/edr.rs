//! The pack `edr`: Defender, Sysmon, the services that watch or audit, Defender for Endpoint's own tables, and Wazuh's agents.
//!
//! Source: Microsoft's lists of Defender events, of Sysmon events and of the tables of advanced hunting, and Wazuh's rules, read
//! November 2026.

use super::field::{first, is, is_any, text};
use super::windows_event::Entry;
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
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
    marks: &[
        "EventID",
        "EventId",
        "event_id",
        "eventID",
        "EventCode",
        "LogName",
        "rule",
        "AdvancedHunting-",
        "ActionType",
    ],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    if let Some(verdict) = wazuh(event).or_else(|| hunting(event)) {
        return Some(verdict);
    }
    let entry = Entry::of(event)?;
    match entry.channel.as_str() {
        "microsoft-windows-windows defender/operational" => defender(&entry),
        "microsoft-windows-sysmon/operational" => sysmon(&entry),
        "system" if entry.is_of("service control manager") => service(&entry),
        _ => None,
    }
}

fn defender(entry: &Entry<'_>) -> Option<Verdict> {
    let found = |failure, severity| Some(Verdict::new(failure, severity, entry.computer.clone()));
    let over = |failure| Some(Verdict::over(failure, entry.computer.clone()));
    match entry.id {
        5001 => found("edr.defender.realtime", Severity::High),
        5000 => over("edr.defender.realtime"),
        5010 | 5012 => found("edr.defender.scanning", Severity::High),
        5009 | 5011 => over("edr.defender.scanning"),
        5013 => found("edr.defender.tamper", Severity::High),
        5007 if weakens(entry) => found("edr.defender.config", Severity::Medium),
        _ => None,
    }
}

/// Settings that make Defender see less, by a part of their key. It writes the same event with each update of its signatures.
const WEIGHTY: [&str; 7] =
    ["exclusions", "disable", "real-time protection", "spynet", "tamperprotection", "threatseverity", "asr"];

fn weakens(entry: &Entry<'_>) -> bool {
    let values = [("Old Value", 2), ("New Value", 3), ("OldValue", 2), ("NewValue", 3)];
    let mut values = values.iter().filter_map(|(name, place)| entry.data(name, *place)).peekable();
    // What was changed is not told: better once too often.
    values.peek().is_none() || values.any(|value| WEIGHTY.iter().any(|part| value.to_ascii_lowercase().contains(part)))
}

fn sysmon(entry: &Entry<'_>) -> Option<Verdict> {
    let found = |failure, severity| Some(Verdict::new(failure, severity, entry.computer.clone()));
    match entry.id {
        4 if entry.data("State", 1)?.eq_ignore_ascii_case("started") => {
            Some(Verdict::over("edr.sysmon.state", entry.computer.clone()))
        }
        4 => found("edr.sysmon.state", Severity::High),
        16 => found("edr.sysmon.config", Severity::Medium),
        255 => found("edr.sysmon.error", Severity::High),
        _ => None,
    }
}

/// Services that audit or protect, by a part of the name that the service manager shows.
const SERVICES: [&str; 7] =
    ["defender", "sysmon", "event log", "elastic endpoint", "elastic agent", "crowdstrike", "wazuh"];

/// These start and stop by themselves.
const AS_NEEDED: [&str; 1] = ["network inspection"];

fn service(entry: &Entry<'_>) -> Option<Verdict> {
    let name = entry.data("param1", 0)?.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if !has(&SERVICES) || has(&AS_NEEDED) {
        return None;
    }
    let state = match entry.id {
        7036 => entry.data("param2", 1)?.to_ascii_lowercase(),
        // It ended without being told to.
        7031 | 7034 => "stopped".to_owned(),
        _ => return None,
    };
    let subject = format!("{}/{name}", entry.computer);
    match state.as_str() {
        "stopped" => Some(Verdict::new("edr.service", Severity::High, subject)),
        "running" => Some(Verdict::over("edr.service", subject)),
        _ => None,
    }
}

/// A row of Defender for Endpoint's tables, as it is streamed: `properties` of a record of an event hub.
fn hunting(event: &Value) -> Option<Verdict> {
    let device = first(event, &["DeviceName", "DeviceId"])?.to_ascii_lowercase();
    if is(event, "ActionType", "TamperingAttempt") {
        return Some(Verdict::new("edr.defender.tamper", Severity::High, device));
    }
    let state = first(event, &["SensorHealthState"])?;
    match state.to_ascii_lowercase().as_str() {
        "active" => Some(Verdict::over("edr.agent_offline", device)),
        "inactive" | "misconfigured" | "impairedcommunication" | "nosensordata" => {
            Some(Verdict::new("edr.agent_offline", Severity::Medium, device))
        }
        _ => None,
    }
}

/// Wazuh's manager on its agents. An alert of the manager itself (agent 000) names the agent in its text.
fn wazuh(event: &Value) -> Option<Verdict> {
    let is_lost = is_any(event, &["rule.id"], &["504", "506"]);
    if !is_lost && !is_any(event, &["rule.id"], &["501", "503"]) {
        return None;
    }
    let agent = match text(event, "agent.id") {
        Some(id) if id.trim_start_matches('0').is_empty() => named(&text(event, "full_log")?)?,
        Some(id) => id.into_owned(),
        None => first(event, &["agent.name"])?.into_owned(),
    };
    Some(match is_lost {
        true => Verdict::new("edr.agent_offline", Severity::Medium, agent),
        false => Verdict::over("edr.agent_offline", agent),
    })
}

/// The agent in `Agent disconnected: 'NAME-ADDRESS'` and `Agent started: 'NAME->ADDRESS'`.
fn named(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('\'')?;
    let (named, _) = rest.split_once('\'')?;
    let (name, _) = named.split_once("->").or_else(|| named.rsplit_once('-')).unwrap_or((named, ""));
    Some(name.to_owned())
}
