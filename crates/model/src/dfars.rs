//! Which incidents the law wants to hear of, and until when: DFARS 252.204-7012(c), "rapidly report" is "within 72 hours of
//! discovery of any cyber incident" (text of May 2024). Knows neither clocks nor who reports.

use crate::severity::Severity;
use jiff::{SignedDuration, Timestamp};

/// How much time there is from discovery on.
pub const REPORT_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// Whether an incident has to be reported: it concerns controlled unclassified information and is high or critical.
#[must_use]
pub fn is_reportable(severity: Severity, cui_involved: bool) -> bool {
    cui_involved && severity >= Severity::High
}

/// Until when, for what was discovered at this time: when it was taken in.
#[must_use]
pub fn report_due(discovered_at: Timestamp) -> Timestamp {
    discovered_at.checked_add(REPORT_WITHIN).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controlled_information_in_high_and_critical_incidents_is_reportable_and_nothing_else_is() {
        let reportable: Vec<_> = Severity::ALL.into_iter().filter(|severity| is_reportable(*severity, true)).collect();
        assert_eq!(reportable.len(), 2);
        assert!(reportable.contains(&Severity::High) && reportable.contains(&Severity::Critical));
        assert!(!Severity::ALL.into_iter().any(|severity| is_reportable(severity, false)));
    }

    #[test]
    fn three_days_are_given_and_the_end_of_time_is_no_fault() {
        let found: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
        assert_eq!(report_due(found).to_string(), "2026-11-25T03:00:00Z");
        assert_eq!(report_due(Timestamp::MAX), Timestamp::MAX);
    }
}
