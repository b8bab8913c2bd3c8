//! What people do about incidents is found again, and what many incidents come to is what a plain count says.

use crate::made::{
    self, DAY_MS, MIDNIGHT_MS, Placed, all, assigned, changed, incident, noted, placed, reported, time, view_of,
};
use balefire_model::record::{ReportStep, Reporting};
use balefire_model::{Incident, IncidentId, Position, Record, Severity, State};
use balefire_store::view::{Measure, Query, ViewReader, Whose};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const COUNT: u64 = 60;
const STEP_MS: u64 = DAY_MS / 20;

/// Three days of incidents of three rules; every third one is anna's, every fourth one was hers, every fifth has a note, every
/// seventh involves controlled information, of which every second one was reported.
fn records() -> (Vec<Arc<Incident>>, Vec<Placed>) {
    let made = |number: u64| Incident {
        detected_by: format!("rule {}", number % 3),
        ..incident(MIDNIGHT_MS + number * STEP_MS, number)
    };
    let incidents: Vec<Arc<Incident>> = (0..COUNT).map(|number| Arc::new(made(number))).collect();
    let mut records: Vec<Record> = incidents.iter().cloned().map(Record::Accepted).collect();
    for (number, incident) in (0u64..).zip(&incidents) {
        let id = incident.id;
        records.extend(number.is_multiple_of(3).then(|| assigned(id, Some("anna"))));
        records.extend(number.is_multiple_of(4).then(|| assigned(id, Some("anna"))));
        records.extend(number.is_multiple_of(4).then(|| assigned(id, None)));
        records.extend(number.is_multiple_of(5).then(|| noted(id, "seen before")));
        records.extend(number.is_multiple_of(14).then(|| reported(id)));
    }
    (incidents, placed(records))
}

fn ids(reader: &ViewReader, query: &Query) -> Vec<IncidentId> {
    all(reader, &Query { limit: 7, ..query.clone() }).iter().map(|row| row.id).collect()
}

#[test]
fn whose_an_incident_is_which_rule_found_it_and_whether_it_must_be_reported_are_conditions() {
    let (incidents, records) = records();
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    let check = |query: Query, keeps: &dyn Fn(u64, &Incident) -> bool| {
        let kept = (0u64..).zip(&incidents).filter(|(number, incident)| keeps(*number, incident));
        let mut expected: Vec<_> = kept.map(|(_, incident)| incident.id).collect();
        expected.reverse();
        assert!(!expected.is_empty() && expected.len() < incidents.len(), "{query:?} shows nothing");
        assert_eq!(ids(&reader, &query), expected, "{query:?}");
    };
    let annas = |number: u64| number.is_multiple_of(3) && !number.is_multiple_of(4);
    check(Query { assigned_to: Some(Whose::of("anna")), ..Query::default() }, &|number, _| annas(number));
    check(Query { assigned_to: Some(Whose::of("nobody")), ..Query::default() }, &|number, _| !annas(number));
    check(Query { rule: Some("rule 1".to_owned()), ..Query::default() }, &|number, _| number % 3 == 1);
    check(Query { is_cui: true, ..Query::default() }, &|_, incident| incident.cui_involved);
    let reportable = |incident: &Incident| incident.cui_involved && incident.severity >= Severity::High;
    check(Query { is_reportable: true, ..Query::default() }, &|_, incident| reportable(incident));
    let high = Query { is_reportable: true, severities: vec![Severity::High, Severity::Low], ..Query::default() };
    check(high, &|_, incident| reportable(incident) && incident.severity == Severity::High);
    for (number, row) in (0u64..).zip(all(&reader, &Query::default()).iter().rev()) {
        assert_eq!(row.assigned_to.as_deref(), annas(number).then_some("anna"), "{number}");
        assert_eq!(row.dfars_reportable, reportable(&incidents[usize::try_from(number).unwrap()]));
        let report = row.report.as_ref();
        assert_eq!(report.is_some(), row.dfars_reportable || number.is_multiple_of(14), "{number}");
        assert_eq!(report.is_some_and(|report| report.reported_at.is_some()), number.is_multiple_of(14), "{number}");
    }
    let noted = reader.incident(incidents[15].id).unwrap().unwrap();
    assert_eq!((noted.notes.len(), noted.notes[0].text.as_str(), noted.assignments.len()), (1, "seen before", 1));
}

#[test]
fn an_export_has_every_incident_once_in_pages_of_any_size() {
    let (incidents, records) = records();
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    for (limit, bytes_max) in [(1, usize::MAX), (7, usize::MAX), (1_000, usize::MAX), (1_000, 1), (20, 2_000)] {
        let mut query = Query { limit, ..Query::default() };
        let mut seen = Vec::new();
        loop {
            let page = reader.export(&query, bytes_max).unwrap();
            seen.extend(page.incidents.iter().map(|found| found.row.id));
            let Some(next) = page.next else { break };
            query.before = Some(next);
        }
        let expected: Vec<_> = incidents.iter().rev().map(|incident| incident.id).collect();
        assert_eq!(seen, expected, "{limit} of {bytes_max} bytes");
    }
    let query = Query { assigned_to: Some(Whose::of("anna")), ..Query::default() };
    assert_eq!(reader.export(&query, usize::MAX).unwrap().incidents.len(), ids(&reader, &query).len());
}

fn measure(now: Timestamp) -> Measure {
    Measure { now, response_time: |severity| (severity >= Severity::High).then_some(Duration::from_secs(900)) }
}

#[test]
fn rules_and_counts_are_those_of_the_incidents_and_a_time_ends_with_the_first_who_took_it() {
    let (incidents, mut records) = records();
    let (fast, slow, back) = (incidents[5].id, incidents[6].id, incidents[10].id);
    // Of severities high and critical: one taken after 10 s, one after an hour and resolved after two (and once
    // more, which counts for nothing), one given back.
    for (incident, after_ms, state) in [
        (fast, 10_000, State::Acked),
        (slow, 3_600_000, State::Acked),
        (slow, 7_200_000, State::Resolved),
        (slow, 9_000_000, State::Resolved),
        (back, 20_000, State::Acked),
        (back, 30_000, State::Open),
    ] {
        let position = Position(records.len() as u64);
        records.push((position, time(incident.unix_ms() + after_ms), changed(incident, state)));
    }
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    let now = time(MIDNIGHT_MS + 4 * DAY_MS + DAY_MS / 2);
    let stats = reader.stats(None, None, measure(now)).unwrap();
    let total = &stats.total;
    assert_eq!((total.incidents, total.open, total.acked, total.resolved), (COUNT, COUNT - 2, 1, 1));
    let spread = total.to_acknowledge.unwrap();
    assert_eq!((spread.count, spread.median_seconds, spread.max_seconds), (3, 20, 3_600));
    assert_eq!(total.to_resolve.map(|spread| (spread.count, spread.max_seconds)), Some((1, 7_200)));
    let grave = incidents.iter().filter(|incident| incident.severity >= Severity::High).count() as u64;
    assert_eq!((total.response.kept, total.response.missed, total.response.running), (2, grave - 2, 0));
    assert_eq!(stats.by_severity.iter().map(|of| of.measured.incidents).sum::<u64>(), COUNT);
    assert!(stats.by_severity.is_sorted_by_key(|of| std::cmp::Reverse(of.severity)));
    assert_eq!(stats.by_rule.iter().map(|of| of.measured.incidents).collect::<Vec<_>>(), [20, 20, 20]);
    let reportable = ids(&reader, &Query { is_reportable: true, ..Query::default() }).len() as u64;
    assert_eq!(stats.dfars.reportable, reportable);
    assert_eq!((reportable, stats.dfars.reported, stats.dfars.overdue), (4, 2, 1));
    let later =
        reader.stats(Some(time(MIDNIGHT_MS + DAY_MS)), Some(time(MIDNIGHT_MS + 2 * DAY_MS)), measure(now)).unwrap();
    assert_eq!(later.total.incidents, 20);

    let rules = reader.rules(None, None).unwrap();
    assert_eq!((rules.rules.len(), rules.of_other_rules), (3, 0));
    for rule in &rules.rules {
        let of_it = incidents.iter().filter(|incident| incident.detected_by == rule.rule);
        assert_eq!(rule.incidents, of_it.clone().count() as u64);
        assert_eq!(Some(rule.last_at), of_it.clone().map(|incident| incident.received_at).max());
        assert_eq!(Some(rule.worst), of_it.clone().map(|incident| incident.severity).max());
        let open = |incident: &&Arc<Incident>| ![fast, slow].contains(&incident.id);
        assert_eq!(rule.open, of_it.clone().filter(open).count() as u64);
    }
    let nothing = reader.rules(Some(made::time(MIDNIGHT_MS + 9 * DAY_MS)), None).unwrap();
    assert!(nothing.rules.is_empty());
}

#[test]
fn the_time_for_a_report_is_the_one_that_was_decided_and_the_laws_where_none_was() {
    let grave = |number| Incident { severity: Severity::High, cui_involved: true, ..incident(MIDNIGHT_MS, number) };
    let (decided, undecided) = (Arc::new(grave(1)), Arc::new(grave(2)));
    let step = ReportStep::Due { title: "t".to_owned(), remind_at: None, due: time(MIDNIGHT_MS + 60_000) };
    let due = Record::Reporting(Reporting { incident: decided.id, step });
    let mut records = vec![Record::Accepted(decided.clone()), Record::Accepted(undecided.clone()), due];
    let dues = |records: &[Record]| {
        let (dir, _view) = view_of(&placed(records.to_vec()));
        let reader = ViewReader::open(dir.path()).unwrap();
        let of = |incident: &Incident| reader.incident(incident.id).unwrap().unwrap().row.report.unwrap();
        let measure = Measure { now: time(MIDNIGHT_MS + 61_000), response_time: |_| None };
        let overdue = reader.stats(None, None, measure).unwrap().dfars.overdue;
        (of(&decided), of(&undecided).due, overdue)
    };
    let (report, undecided_due, overdue) = dues(&records);
    assert_eq!((report.due, report.reported_at), (Some(time(MIDNIGHT_MS + 60_000)), None));
    assert_eq!((undecided_due, overdue), (Some(time(MIDNIGHT_MS + 3 * DAY_MS)), 1));
    records.push(reported(decided.id));
    let (report, _, overdue) = dues(&records);
    assert_eq!((report.due, report.reported_at.is_some()), (Some(time(MIDNIGHT_MS + 60_000)), true));
    assert_eq!(overdue, 0, "it was reported in time");
}
