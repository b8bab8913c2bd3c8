//! The time within which an incident must be reported (DFARS 252.204-7012(c)): somebody is reminded before it is over and
//! told when it is, until somebody says that it was reported. Does not know how one reports.

use crate::engine::{Act, Effects, Engine};
use crate::health::{OWN_SOURCE, own};
use crate::retry::later;
use balefire_model::record::{ReportStep, Reporting, StateChanged};
use balefire_model::{Fingerprint, Incident, IncidentId, Record, Severity, State, dfars, text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who finds that the time will be over soon, in `detected_by`; what routes match on.
pub const DFARS_DUE: &str = "balefire.dfars_due";
/// Who finds that it is over.
pub const DFARS_OVERDUE: &str = "balefire.dfars_overdue";

/// How many incidents are watched. Of those that were told to be overdue the oldest go first; where there are none, what
/// comes is not watched, which is told wherever somebody may look.
const WATCHED_MAX: usize = 10_000;
/// As much of a title as reminders show.
const TITLE_BYTES_MAX: usize = 160;

/// What the configuration says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// How long after an incident was taken in it must be reported.
    pub report_within: Duration,
    /// How long before the end of that time somebody is reminded; nothing: nobody is.
    pub remind_before: Duration,
}

impl Default for ReportSettings {
    fn default() -> ReportSettings {
        let report_within = dfars::REPORT_WITHIN.unsigned_abs();
        ReportSettings { report_within, remind_before: Duration::from_secs(24 * 3600) }
    }
}

/// An incident that must be reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Watch {
    incident: IncidentId,
    title: String,
    /// `None`: nobody is to be reminded (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remind_at: Option<Timestamp>,
    due: Timestamp,
    is_overdue: bool,
    /// The incidents that told of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told_by: Vec<IncidentId>,
}

impl Watch {
    /// When the next thing is to be said.
    fn next(&self) -> Option<Timestamp> {
        self.remind_at.or((!self.is_overdue).then_some(self.due))
    }
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Watch>", into = "Vec<Watch>")]
pub(crate) struct Reports {
    watched: BTreeMap<IncidentId, Watch>,
    next: BTreeSet<(Timestamp, IncidentId)>,
    overdue: BTreeSet<IncidentId>,
}

impl From<Vec<Watch>> for Reports {
    fn from(watched: Vec<Watch>) -> Reports {
        let mut reports = Reports::default();
        watched.into_iter().for_each(|watch| reports.put(watch));
        reports
    }
}

impl From<Reports> for Vec<Watch> {
    fn from(reports: Reports) -> Vec<Watch> {
        reports.watched.into_values().collect()
    }
}

impl Reports {
    pub(crate) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.watched.len()
    }

    /// When something is to be said.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.next.first().map(|(at, _)| *at)
    }

    pub(crate) fn is_watched(&self, incident: IncidentId) -> bool {
        self.watched.contains_key(&incident)
    }

    fn has_room(&self) -> bool {
        self.watched.len() < WATCHED_MAX || !self.overdue.is_empty()
    }

    fn put(&mut self, watch: Watch) {
        if self.watched.len() >= WATCHED_MAX
            && let Some(oldest) = self.overdue.pop_first()
        {
            self.watched.remove(&oldest);
        }
        self.next.extend(watch.next().map(|at| (at, watch.incident)));
        self.overdue.extend(watch.is_overdue.then_some(watch.incident));
        self.watched.insert(watch.incident, watch);
    }

    fn take(&mut self, incident: IncidentId) -> Option<Watch> {
        let watch = self.watched.remove(&incident)?;
        if let Some(at) = watch.next() {
            self.next.remove(&(at, incident));
        }
        self.overdue.remove(&incident);
        Some(watch)
    }

    /// Takes note of a step.
    pub(crate) fn apply(&mut self, reporting: &Reporting) {
        let incident = reporting.incident;
        match &reporting.step {
            ReportStep::Due { title, remind_at, due } => self.put(Watch {
                incident,
                title: title.clone(),
                remind_at: *remind_at,
                due: *due,
                is_overdue: false,
                told_by: Vec::new(),
            }),
            ReportStep::Reminded { told_by } => self.told(incident, *told_by, false),
            ReportStep::Overdue { told_by } => self.told(incident, *told_by, true),
            ReportStep::Reported { .. } => _ = self.take(incident),
        }
    }

    fn told(&mut self, incident: IncidentId, told_by: IncidentId, is_overdue: bool) {
        let Some(mut watch) = self.take(incident) else { return };
        watch.remind_at = None;
        watch.is_overdue |= is_overdue;
        watch.told_by.push(told_by);
        self.put(watch);
    }

    /// What is to come comes so much earlier.
    pub(crate) fn set_back(&mut self, earlier: impl Fn(Timestamp) -> Timestamp) {
        let watched = std::mem::take(self);
        for mut watch in watched.watched.into_values() {
            watch.remind_at = watch.remind_at.map(&earlier);
            watch.due = earlier(watch.due);
            self.put(watch);
        }
    }
}

impl Engine {
    /// Starts the clock for an incident that must be reported.
    pub(crate) fn start_report(&mut self, now: Timestamp, incident: &Incident, effects: &mut Effects) {
        let Some(settings) = self.settings.reports else { return };
        if !dfars::is_reportable(incident.severity, incident.cui_involved) {
            return;
        }
        if !self.state.reports.has_room() {
            let id = incident.id;
            let what =
                format!("incident {id} must be reported (DFARS 252.204-7012), and nobody will be reminded of it");
            effects.acts.push(Act::Alarm(format!("{what}: {WATCHED_MAX} others wait for their report")));
            return;
        }
        let due = later(now, settings.report_within);
        let reminds = !settings.remind_before.is_zero() && settings.remind_before < settings.report_within;
        let remind_at = reminds.then(|| later(now, settings.report_within.saturating_sub(settings.remind_before)));
        let title = text::cut(&text::one_line(&incident.title), TITLE_BYTES_MAX).into_owned();
        let step = ReportStep::Due { title, remind_at, due };
        self.record(now, Record::Reporting(Reporting { incident: incident.id, step }), effects);
    }

    /// Somebody has reported an incident: what told that it was to be reported is over.
    pub(crate) fn report(&mut self, now: Timestamp, reporting: Reporting, effects: &mut Effects) {
        let (incident, by) = (reporting.incident, reporter(&reporting.step));
        let told_by = self.state.reports.watched.get(&incident).map(|watch| watch.told_by.clone()).unwrap_or_default();
        self.record(now, Record::Reporting(reporting), effects);
        for notice in told_by {
            let comment = format!("incident {incident} was reported{by}");
            let (state, by) = (State::Resolved, OWN_SOURCE.to_owned());
            self.change(now, StateChanged { incident: notice, state, by, comment }, effects);
        }
    }

    /// Says what is to be said by now. After a long stop that is only that the time is over.
    pub(crate) fn watch_reports(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.draining || self.settings.reports.is_none() {
            return;
        }
        while let Some((at, incident)) = self.state.reports.next.first().copied()
            && at <= now
        {
            let watch = self.state.reports.watched[&incident].clone();
            self.tell_report(now, &watch, effects);
        }
    }

    fn tell_report(&mut self, now: Timestamp, watch: &Watch, effects: &mut Effects) {
        let Watch { incident, title, due, .. } = watch;
        let is_overdue = *due <= now;
        let (found, severity, what) = match is_overdue {
            true => (DFARS_OVERDUE, Severity::Critical, format!("has not been reported in time, by {due}")),
            false => (DFARS_DUE, Severity::High, format!("must be reported by {due}")),
        };
        let description = format!(
            "Incident {incident} involves controlled unclassified information and {what} (DFARS 252.204-7012(c): within \
             72 hours of discovery).\nTitle: {title}\nWhen it is reported: balefire incidents reported {incident} --by WHO \
             --reference NUMBER. What is known of it: balefire incidents show {incident}."
        );
        let seed = format!("{found}\n{incident}\n{}", self.state.position());
        let labels = [("incident", incident.to_string()), ("report_due", due.to_string())];
        let notice = own(now, &seed, (found, severity), (format!("Incident {what}: {title}"), description), &labels);
        let about = incident.to_string();
        let notice = Incident {
            fingerprint: Fingerprint::derive(found, "", [("incident", about.as_str())].into_iter()),
            nist_controls: vec!["3.6.2".to_owned()],
            ..notice
        };
        let told_by = notice.id;
        let step = if is_overdue { ReportStep::Overdue { told_by } } else { ReportStep::Reminded { told_by } };
        self.record(now, Record::Reporting(Reporting { incident: *incident, step }), effects);
        let decision = self.settings.routing.decide(&notice, now);
        self.tell(now, notice, (decision.routes, decision.channels, "no channel works that could carry it"), effects);
    }
}

fn reporter(step: &ReportStep) -> String {
    match step {
        ReportStep::Reported { by, .. } => format!(" by {}", text::one_line(by)),
        ReportStep::Due { .. } | ReportStep::Reminded { .. } | ReportStep::Overdue { .. } => String::new(),
    }
}
