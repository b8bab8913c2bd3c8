//! What people do about an incident beside changing its state: whose it is, what they wrote down, and how it stands with
//! its report. A pure fold over the records; opens nothing.

use balefire_model::record::{Assigned, Noted, ReportStep, Reporting};
use balefire_model::{Position, Severity, dfars};
use jiff::Timestamp;
use serde::Serialize;

/// Whose an incident became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// Where its record stands.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// Whose; `None`: nobody's.
    pub to: Option<String>,
    /// Who said so.
    pub by: String,
}

/// What somebody wrote down about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Where its record stands.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// What, as it was written: not safe for a terminal.
    pub text: String,
    /// Who.
    pub by: String,
}

/// How it stands with a report under DFARS 252.204-7012(c).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Until when: as the configuration had it when the incident was taken in, and what the law allows where it said nothing;
    /// `None` where the incident need not be reported, and was all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When it was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<String>,
    /// Under which number, or why no report is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Care {
    pub(crate) assigned_to: Option<String>,
    pub(crate) report: Option<Report>,
}

impl Care {
    /// What holds before anybody has done anything.
    pub(crate) fn of_new(severity: Severity, cui_involved: bool, received_at: Timestamp) -> Care {
        let due = dfars::is_reportable(severity, cui_involved).then(|| dfars::report_due(received_at));
        let report = due.map(|due| Report { due: Some(due), reported_at: None, reported_by: None, reference: None });
        Care { assigned_to: None, report }
    }

    pub(crate) fn assigned(&mut self, assigned: Assigned) {
        self.assigned_to = assigned.to;
    }

    pub(crate) fn reporting(&mut self, at: Timestamp, reporting: Reporting) {
        let report =
            self.report.take().unwrap_or(Report { due: None, reported_at: None, reported_by: None, reference: None });
        self.report = Some(match reporting.step {
            ReportStep::Due { due, .. } => Report { due: Some(due), ..report },
            // The law asks for the first report; a later one adds its number, and takes none away.
            ReportStep::Reported { reference, .. } if report.reported_at.is_some() && reference.is_empty() => report,
            ReportStep::Reported { by, reference } => {
                let reference = Some(reference).filter(|reference| !reference.is_empty());
                let reported_at = report.reported_at.or(Some(at));
                Report { reported_at, reported_by: Some(by), reference, ..report }
            }
            ReportStep::Reminded { .. } | ReportStep::Overdue { .. } => report,
        });
    }
}

impl Assignment {
    pub(crate) fn new(position: Position, at: Timestamp, assigned: Assigned) -> Assignment {
        Assignment { position, at, to: assigned.to, by: assigned.by }
    }
}

impl Note {
    pub(crate) fn new(position: Position, at: Timestamp, noted: Noted) -> Note {
        Note { position, at, text: noted.text, by: noted.by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::IncidentId;

    #[test]
    fn the_first_report_counts_and_a_later_one_takes_no_number_away() {
        let time = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let mut care = Care::of_new(Severity::High, true, time(0));
        for (second, by, reference) in [(10, "ann", ""), (20, "ben", "DIBNet 7"), (30, "cid", "")] {
            let (by, reference) = (by.to_owned(), reference.to_owned());
            let incident = IncidentId("01935f1c-7c00-7000-8000-000000000001".parse().unwrap());
            care.reporting(time(second), Reporting { incident, step: ReportStep::Reported { by, reference } });
        }
        let report = care.report.unwrap();
        assert_eq!(report.reported_at, Some(time(10)));
        assert_eq!((report.reported_by.as_deref(), report.reference.as_deref()), (Some("ben"), Some("DIBNet 7")));
    }
}
