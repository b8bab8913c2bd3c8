//! Records of changes to audit itself: what somebody did, or tried to do, and how bad that is. Decides from the record alone.

use super::record::Record;
use crate::look::Failure;
use balefire_model::Severity;
use balefire_model::text::{cut, one_line};

/// What one record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Audit is off from here on.
    Disabled,
    /// The counter of lost records begins anew.
    LostReset(i64),
    /// A rule more.
    RuleAdded,
    /// A rule less.
    RuleRemoved,
    /// A limit or the failure mode: its name, what it is now and what it was.
    Set(&'static str, i64, i64),
    /// Refused because audit is locked: somebody tries to change what must not change.
    Refused,
}

/// What can be set, by the name in the record.
const SETTINGS: [&str; 4] = ["audit_failure", "audit_backlog_limit", "audit_rate_limit", "audit_backlog_wait_time"];

/// What a record says of audit's configuration; none where it is of something else, or changes nothing.
pub(crate) fn act(record: &Record<'_>) -> Option<Act> {
    if record.kind != "CONFIG_CHANGE" {
        return None;
    }
    let is_refused = record.number("res") == Some(0);
    let enabled = record.number("audit_enabled");
    let old = record.number("old");
    if is_refused {
        let is_locked = old == Some(2) || enabled == Some(2);
        return is_locked.then_some(Act::Refused);
    }
    match record.field("op") {
        Some("add_rule") => return Some(Act::RuleAdded),
        Some("remove_rule") => return Some(Act::RuleRemoved),
        _ => {}
    }
    if let (Some(0), Some(1..)) = (enabled, old) {
        return Some(Act::Disabled);
    }
    if let (Some(0), Some(count)) = (record.number("lost"), old) {
        return Some(Act::LostReset(count));
    }
    let set = SETTINGS.iter().find_map(|name| Some((*name, record.number(name)?)))?;
    let old = old.unwrap_or(-1);
    (set.1 != old).then_some(Act::Set(set.0, set.1, old))
}

impl Act {
    /// How bad it is.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Act::Disabled => Severity::Critical,
            Act::Refused | Act::RuleRemoved | Act::Set("audit_failure", 0, _) => Severity::High,
            Act::Set("audit_rate_limit", limit, _) if limit > 0 => Severity::High,
            _ => Severity::Medium,
        }
    }

    /// In a few words.
    pub(crate) fn text(self) -> String {
        match self {
            Act::Disabled => "audit was switched off".to_owned(),
            Act::LostReset(count) => format!("the counter of lost records was reset from {count}"),
            Act::RuleAdded => "an audit rule was added".to_owned(),
            Act::RuleRemoved => "an audit rule was removed".to_owned(),
            Act::Set(name, new, old) => format!("{name} was changed from {old} to {new}"),
            Act::Refused => "a change of audit was tried while it is locked, and refused".to_owned(),
        }
    }

    /// Acts of one sort are told together.
    fn sort(self) -> (&'static str, &'static str) {
        match self {
            Act::LostReset(_) => ("audit.lost_reset", ""),
            Act::RuleAdded => ("audit.config_change", "added"),
            Act::RuleRemoved => ("audit.config_change", "removed"),
            Act::Refused => ("audit.config_change", "refused"),
            Act::Disabled => ("audit.config_change", "disabled"),
            Act::Set(name, ..) => ("audit.config_change", name),
        }
    }
}

/// What is told of the acts of one look: one event for each sort, with how many there were and the first record.
pub(crate) fn told(acts: &[(Act, String)]) -> Vec<Failure> {
    let mut events: Vec<Failure> = Vec::new();
    let mut sorts: Vec<(Severity, usize, &(Act, String))> = Vec::new();
    for found in acts {
        let severity = found.0.severity();
        match sorts.iter_mut().find(|(.., (act, _))| act.sort() == found.0.sort()) {
            Some((worst, count, _)) => (*worst, *count) = ((*worst).max(severity), *count + 1),
            None => sorts.push((severity, 1, found)),
        }
    }
    for (severity, count, (act, record)) in sorts {
        let (id, what) = act.sort();
        let times = if count == 1 { String::new() } else { format!(", {count} times") };
        let event = Failure::new(id, severity, format!("{}{times}", act.text()))
            .caused_by(format!("the audit log says: {}", cut(&one_line(record), 400)))
            .cured_by("auditctl -s; auditctl -l; compare with /etc/audit/rules.d, and ask who did it");
        events.push(if what.is_empty() { event } else { event.labelled("audit_change", what) });
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Option<Act> {
        let line = format!("type=CONFIG_CHANGE msg=audit(1732305600.123:456): {body}");
        act(&Record::parse(&line).unwrap())
    }

    #[test]
    fn the_records_of_the_kernel_are_understood() {
        assert_eq!(of("op=set audit_enabled=0 old=1 auid=0 ses=1 res=1"), Some(Act::Disabled));
        assert_eq!(of("op=set audit_enabled=1 old=1 auid=0 ses=1 res=1"), None);
        assert_eq!(of("op=set audit_enabled=2 old=1 auid=0 ses=1 res=1"), None);
        assert_eq!(of("op=set lost=0 old=600 auid=0 res=1"), Some(Act::LostReset(600)));
        assert_eq!(of("op=set audit_rate_limit=5 old=0 auid=0 res=1"), Some(Act::Set("audit_rate_limit", 5, 0)));
        assert_eq!(of("auid=0 ses=1 op=remove_rule key=\"gen\" list=4 res=1"), Some(Act::RuleRemoved));
        assert_eq!(of("op=set audit_pid=0 old=105 auid=0 res=1"), None);
    }

    #[test]
    fn what_is_tried_on_a_locked_audit_is_an_attack() {
        let tried = of("op=set audit_enabled=0 old=2 auid=0 ses=1 res=0").unwrap();
        assert_eq!((tried, tried.severity()), (Act::Refused, Severity::High));
        assert_eq!(of("auid=0 ses=1 op=remove_rule audit_enabled=2 res=0"), Some(Act::Refused));
    }

    #[test]
    fn weakening_is_worse_than_changing() {
        assert_eq!(Act::Set("audit_failure", 0, 1).severity(), Severity::High);
        assert_eq!(Act::Set("audit_rate_limit", 0, 5).severity(), Severity::Medium);
        assert_eq!(Act::Set("audit_backlog_limit", 64, 8192).severity(), Severity::Medium);
    }

    #[test]
    fn many_acts_of_one_sort_are_one_event() {
        let removed = (Act::RuleRemoved, "type=CONFIG_CHANGE\u{202e}\n".to_owned());
        let acts = [removed.clone(), removed, (Act::Set("audit_failure", 0, 1), String::new())];
        let told = told(&acts);
        let summaries: Vec<&str> = told.iter().map(|event| event.summary.as_str()).collect();
        assert_eq!(summaries, ["an audit rule was removed, 2 times", "audit_failure was changed from 1 to 0"]);
        assert!(!told[0].cause.contains(['\n', '\u{202e}']));
    }
}
