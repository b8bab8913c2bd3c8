//! The checker's part for reports: what must be reported is told of in order, not before its time, once, and no more when
//! somebody has reported it. Reads the journal only.

use crate::ledger::Ledger;
use balefire_engine::{DFARS_DUE, DFARS_OVERDUE};
use balefire_model::record::{ReportStep, Reporting};
use balefire_model::{Incident, IncidentId};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// What is known of reports.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    open: BTreeMap<IncidentId, Open>,
    /// Incidents that are about to tell of a report, and by what they must be found.
    announced: BTreeMap<IncidentId, &'static str>,
    /// How many were told of.
    pub told: u64,
}

#[derive(Debug)]
struct Open {
    remind_at: Option<Timestamp>,
    due: Timestamp,
    reminded: bool,
    overdue: bool,
}

impl Ledger {
    /// Takes note of a step.
    pub(crate) fn reporting(&mut self, at: Timestamp, reporting: &Reporting) {
        let known = self.routed.contains(&reporting.incident);
        let open = self.reports.open.get_mut(&reporting.incident);
        let (fits, announced) = match (&reporting.step, open) {
            (ReportStep::Due { remind_at, due, .. }, None) => {
                let open = Open { remind_at: *remind_at, due: *due, reminded: false, overdue: false };
                self.reports.open.insert(reporting.incident, open);
                (*due > at && remind_at.is_none_or(|remind_at| remind_at < *due), None)
            }
            (ReportStep::Reminded { told_by }, Some(open)) => {
                let in_time = open.remind_at.is_some_and(|remind_at| remind_at <= at) && at < open.due;
                let fits = in_time && !open.reminded && !open.overdue;
                open.reminded = true;
                (fits, Some((*told_by, DFARS_DUE)))
            }
            (ReportStep::Overdue { told_by }, Some(open)) => {
                let fits = open.due <= at && !open.overdue;
                open.overdue = true;
                (fits, Some((*told_by, DFARS_OVERDUE)))
            }
            (ReportStep::Reported { by, .. }, _) => {
                self.changes.insert(by.clone());
                self.reports.open.remove(&reporting.incident);
                (true, None)
            }
            _ => (false, None),
        };
        self.reports.told += u64::from(announced.is_some());
        self.reports.announced.extend(announced);
        self.demand(known && fits, || format!("{reporting:?} at {at} is out of order, or before its time"));
    }

    /// Whether an incident tells of a report, as it was announced.
    pub(crate) fn tells_of_report(&mut self, incident: &Incident) -> bool {
        let Some(found) = self.reports.announced.remove(&incident.id) else { return false };
        self.demand(incident.detected_by == found, || format!("{incident:?} should be {found}"));
        true
    }

    /// The clock was set back: what is to come comes so much earlier.
    pub(crate) fn set_reports_back(&mut self, by: SignedDuration) {
        for open in self.reports.open.values_mut() {
            open.remind_at = open.remind_at.map(|remind_at| remind_at - by);
            open.due -= by;
        }
    }

    /// When everything has come to rest, nothing is half told.
    pub(crate) fn check_reports(&mut self) {
        let announced = self.reports.announced.clone();
        self.demand(announced.is_empty(), || format!("{announced:?} were announced and are not there"));
    }
}
