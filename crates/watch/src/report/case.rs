//! Incidents that tell of one failure become one case: from its begin over what became worse to its end.

use crate::look::ALLOWED;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where our own watchers' incidents come from, and how their rules begin.
const OWN: (&str, &str) = ("balefire", "watch.");

/// A failure of audit logging, with all that a record of one must have.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Case {
    /// The watcher, or the program that mailed it.
    pub watcher: String,
    /// What it watches.
    pub target: String,
    /// The failure's id: `audit.owner_lost`.
    pub failure: String,
    /// The worst that it was told as.
    pub severity: String,
    /// In one line.
    pub title: String,
    /// The last time at which it is known to have worked, or the first at which it did not.
    pub first_bad: Option<Timestamp>,
    /// When it was seen.
    pub detected: Option<Timestamp>,
    /// Seconds that it might be so by the settings before it was wrong, as a heartbeat may be late.
    pub allowed_s: Option<f64>,
    /// Seconds between the two, less those that were allowed.
    pub detect_s: Option<f64>,
    /// To whom it was sent, and what they answered.
    pub told: Vec<Told>,
    /// Seconds from its detection to the first acceptance.
    pub notify_s: Option<f64>,
    /// Who acknowledged it and when, in words.
    pub acknowledged: Vec<String>,
    /// When it was over.
    pub recovered: Option<Timestamp>,
    /// How that is known.
    pub proof: String,
    /// How many seconds it lasted.
    pub lasted_s: Option<f64>,
    /// How much is lost, with its unit.
    pub loss: Option<String>,
    /// What brought it about.
    pub cause: String,
    /// What was to be done.
    pub remediation: String,
    /// What people did and wrote down, in words.
    pub actions: Vec<String>,
    /// The watcher whose failure explains it.
    pub parent: Option<String>,
    /// Whether it is a drill.
    pub is_drill: bool,
    /// Whether it is something that happened and has no end.
    pub is_event: bool,
    /// The incidents, and where each stands in the journal.
    pub evidence: Vec<String>,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The channel.
    pub channel: String,
    /// `delivered`, or what else became of it.
    pub status: String,
    /// When the far side answered.
    pub at: Option<Timestamp>,
    /// What it answered.
    pub answer: String,
}

impl Case {
    /// Whether any of it was at this time or later.
    pub(super) fn reaches(&self, since: Timestamp) -> bool {
        let last = if self.is_event { self.detected } else { self.recovered };
        last.is_none_or(|last| last >= since)
    }

    /// Whether it is a failure, and not only somebody's word that a watcher is not expected any more.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.failure != "watch.retired"
    }
}

/// The cases of these incidents, the oldest first. Incidents that tell of no audit failure are passed over.
#[must_use]
pub fn cases(incidents: &[Value]) -> Vec<Case> {
    let mut all: Vec<&Value> = incidents.iter().filter(|shown| concerns(&shown["incident"])).collect();
    all.sort_by_key(|shown| (time(&shown["incident"]["received_at"]), text(&shown["incident"]["id"])));
    let mut cases: Vec<Case> = Vec::new();
    // By fingerprint, and apart from what senders say, who can write any: the case that is not over.
    let mut open: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for shown in all {
        let incident = &shown["incident"];
        let (matter, change) = ((is_own(incident), text(&incident["fingerprint"])), change(&incident["labels"]));
        let known = open.get(&matter).copied().filter(|_| matches!(change.as_str(), "worse" | "over" | "began"));
        let place = known.unwrap_or_else(|| {
            cases.push(Case::begin(incident));
            cases.len() - 1
        });
        cases[place].add(shown, &change);
        match change.as_str() {
            "over" => _ = open.remove(&matter),
            "began" | "worse" => _ = open.insert(matter, place),
            _ => cases[place].is_event = true,
        }
    }
    cases.iter_mut().for_each(Case::measure);
    cases
}

/// When the first began of those failures that became worse or ended among these incidents and began before this time.
#[must_use]
pub fn begins_before(incidents: &[Value], since: Timestamp) -> Option<Timestamp> {
    let goes_on = |incident: &Value| matches!(incident["labels"]["change"].as_str(), Some("worse" | "over"));
    let ours =
        incidents.iter().map(|shown| &shown["incident"]).filter(|incident| concerns(incident) && goes_on(incident));
    ours.filter_map(|incident| time(&incident["labels"]["detected"])).filter(|began| *began < since).min()
}

/// Ours, what auditd mailed, and what is known as the switching off of logging.
fn concerns(incident: &Value) -> bool {
    let labels = &incident["labels"];
    is_own(incident) || text(&labels["failure"]).starts_with("audit.") || labels["audit_failure"].is_string()
}

fn is_own(incident: &Value) -> bool {
    text(&incident["source"]) == OWN.0 && text(&incident["detected_by"]).starts_with(OWN.1)
}

/// What it tells of its matter. Events that mean that logging was switched off elsewhere have labels of their own.
fn change(labels: &Value) -> String {
    match (labels["audit_failure"].is_string(), text(&labels["audit_failure_over"]) == "true") {
        (false, _) => text(&labels["change"]),
        (true, true) => "over".to_owned(),
        (true, false) => "began".to_owned(),
    }
}

impl Case {
    fn begin(incident: &Value) -> Case {
        let labels = &incident["labels"];
        let label = |name: &str| text(&labels[name]);
        let first = |names: &[&str]| names.iter().map(|name| label(name)).find(|value| !value.is_empty());
        Case {
            watcher: first(&["watcher", "program"]).unwrap_or_else(|| text(&incident["detected_by"])),
            target: first(&["target", "host"]).unwrap_or_default(),
            failure: first(&["failure", "audit_failure"]).unwrap_or_default(),
            title: text(&incident["title"]),
            parent: Some(label("parent")).filter(|parent| !parent.is_empty()),
            is_drill: label("drill") == "true",
            ..Case::default()
        }
    }

    fn add(&mut self, shown: &Value, change: &str) {
        let incident = &shown["incident"];
        let labels = &incident["labels"];
        let described = text(&incident["description"]);
        let line = |title: &str| {
            let found = described.lines().find_map(|line| line.strip_prefix(title));
            found.unwrap_or_default().trim().to_owned()
        };
        let set = |field: &mut String, value: String| {
            if !value.is_empty() {
                *field = value;
            }
        };
        set(&mut self.cause, line("Cause:"));
        set(&mut self.remediation, line("What to do:"));
        self.first_bad = self.first_bad.or_else(|| time(&labels["first_bad"]));
        self.allowed_s = self.allowed_s.or_else(|| labels[ALLOWED].as_str().and_then(|allowed| allowed.parse().ok()));
        self.detected = self.detected.or_else(|| time(&labels["detected"])).or_else(|| time(&incident["received_at"]));
        if let Some(count) = labels["loss"].as_str() {
            self.loss = Some(format!("{count} {}", text(&labels["loss_unit"])));
        }
        if change == "over" {
            self.recovered = time(&incident["received_at"]);
            self.lasted_s = labels["lasted"].as_str().and_then(|lasted| lasted.parse().ok());
            set(&mut self.proof, line("How that is known:"));
        } else {
            self.severity = worse(&self.severity, &text(&incident["severity"]));
            self.told.extend(list(&shown["deliveries"]).iter().map(told));
        }
        for change in list(&shown["changes"]) {
            let (state, by, at) = (text(&change["state"]), text(&change["by"]), text(&change["at"]));
            if by != OWN.0 {
                let said = sentence(&format!("{state} by {by} at {at}"), &text(&change["comment"]));
                if state == "acked" { self.acknowledged.push(said) } else { self.actions.push(said) }
            }
        }
        for note in list(&shown["notes"]) {
            let said = format!("note of {} at {}", text(&note["by"]), text(&note["at"]));
            self.actions.push(sentence(&said, &text(&note["text"])));
        }
        for assigned in list(&shown["assignments"]) {
            self.actions.push(format!("assigned to {} at {}", text(&assigned["to"]), text(&assigned["at"])));
        }
        let position = &shown["accepted_at_position"];
        self.evidence.push(format!("{} (record {position})", text(&incident["id"])));
    }

    fn measure(&mut self) {
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| {
            let seconds = |(from, to): (Timestamp, Timestamp)| to.duration_since(from).as_secs_f64();
            from.zip(to).map(seconds).filter(|seconds| *seconds >= 0.0)
        };
        // Where nothing is known of before, the label holds the time of detection: that measures nothing.
        let first_bad = self.first_bad.filter(|first_bad| Some(*first_bad) != self.detected);
        self.detect_s =
            between(first_bad, self.detected).map(|seconds| (seconds - self.allowed_s.unwrap_or(0.0)).max(0.0));
        let accepted = self.told.iter().filter(|told| told.status == "delivered").filter_map(|told| told.at).min();
        self.notify_s = between(self.detected, accepted);
        let ended = |seconds: f64| SignedDuration::try_from_secs_f64(seconds).ok();
        if self.recovered.is_some() && self.lasted_s.is_none() {
            self.lasted_s = between(self.detected, self.recovered);
        }
        if let (Some(detected), Some(lasted)) = (self.detected, self.lasted_s.and_then(ended)) {
            // What told of the end may have waited; how long it lasted did not.
            self.recovered = detected.checked_add(lasted).ok().or(self.recovered);
        }
    }
}

fn told(delivery: &Value) -> Told {
    let status = match &delivery["status"] {
        Value::String(status) => status.clone(),
        Value::Object(status) => status.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let outcome = &delivery["last_outcome"];
    let answers = [&outcome["delivered"]["receipt"], &outcome["deferred"]["detail"], &outcome["rejected"]["detail"]];
    let more = [&delivery["status"]["suppressed"]["because"], &delivery["status"]["given_up"]["reason"]];
    let answer = answers.into_iter().chain(more).find_map(Value::as_str).unwrap_or_default().to_owned();
    Told { channel: text(&delivery["channel"]), status, at: time(&delivery["last_at"]), answer }
}

fn sentence(said: &str, more: &str) -> String {
    if more.is_empty() { said.to_owned() } else { format!("{said}: {more}") }
}

fn worse(one: &str, other: &str) -> String {
    let rank = |word: &str| balefire_model::Severity::parse(word);
    if rank(other) > rank(one) { other.to_owned() } else { one.to_owned() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
