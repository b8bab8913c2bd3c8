//! Queries mean what they say: each condition is compared with a plain filter over the incidents themselves.

use crate::made::{self, DAY_MS, MIDNIGHT_MS, all, journal, placed, stored, time, view_of};
use balefire_model::record::Next;
use balefire_model::{Cause, Incident, IncidentId, Outcome, Position, Reason, Record, Severity, State};
use balefire_store::view::{
    DeliveryStatus, LIMIT_DEFAULT, LIMIT_MAX, Query, TITLE_BYTES_MAX, ViewError, ViewReader, at_least,
};
use proptest::prelude::*;
use std::sync::Arc;

fn reader_of(incidents: impl IntoIterator<Item = Incident>) -> (tempfile::TempDir, ViewReader) {
    let records = placed(incidents.into_iter().map(|incident| Record::Accepted(Arc::new(incident))));
    let (dir, _) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    (dir, reader)
}

fn ids(rows: &[balefire_store::view::Row]) -> Vec<IncidentId> {
    rows.iter().map(|row| row.id).collect()
}

/// The state in which `made::journal` leaves an incident.
fn state_of(number: u64) -> State {
    if number % 4 == 2 { State::Resolved } else { State::Open }
}

#[test]
fn each_condition_keeps_what_a_plain_filter_keeps_newest_first() {
    let records = journal(100, MIDNIGHT_MS, DAY_MS / 30);
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    let incidents = made::accepted(&records);
    let check = |query: Query, keeps: &dyn Fn(u64, &Incident) -> bool| {
        let mut expected: Vec<_> = (0..)
            .zip(&incidents)
            .filter(|(n, incident)| keeps(*n, incident))
            .map(|(_, incident)| incident.id)
            .collect();
        expected.reverse();
        assert!(!expected.is_empty() && expected.len() < 100, "{query:?} shows nothing");
        for limit in [1, 7, LIMIT_MAX] {
            assert_eq!(ids(&all(&reader, &Query { limit, ..query.clone() })), expected, "{query:?} by {limit}");
        }
    };
    let noon = time(MIDNIGHT_MS + DAY_MS / 2);
    let next_noon = time(MIDNIGHT_MS + DAY_MS + DAY_MS / 2);
    check(Query { since: Some(noon), ..Query::default() }, &|_, i| i.received_at >= noon);
    check(Query { until: Some(noon), ..Query::default() }, &|_, i| i.received_at < noon);
    check(Query { since: Some(noon), until: Some(next_noon), ..Query::default() }, &|_, i| {
        i.received_at >= noon && i.received_at < next_noon
    });
    check(Query { severities: vec![Severity::Info, Severity::Critical], ..Query::default() }, &|_, i| {
        matches!(i.severity, Severity::Info | Severity::Critical)
    });
    check(Query { severities: at_least(Severity::High), ..Query::default() }, &|_, i| i.severity >= Severity::High);
    check(Query { source: Some("tail".into()), ..Query::default() }, &|_, i| i.source == "tail");
    check(Query { state: Some(State::Resolved), ..Query::default() }, &|n, _| state_of(n) == State::Resolved);
    check(Query { text: Some("NUMBER 7".into()), ..Query::default() }, &|_, i| i.title.contains("number 7"));
    check(Query { text: Some("host=WEB-3".into()), ..Query::default() }, &|_, i| i.labels["host"] == "web-3");
    check(
        Query {
            since: Some(noon),
            severities: at_least(Severity::Low),
            source: Some("http".into()),
            state: Some(State::Open),
            text: Some("web-".into()),
            ..Query::default()
        },
        &|n, i| {
            i.received_at >= noon && i.severity >= Severity::Low && i.source == "http" && state_of(n) == State::Open
        },
    );
}

#[test]
fn since_is_included_and_until_is_not_to_the_microsecond() {
    let at = MIDNIGHT_MS + 5;
    let (_dir, reader) = reader_of([made::incident(at, 1)]);
    let micro = jiff::SignedDuration::from_micros(1);
    let found = |since, until| reader.list(&Query { since, until, ..Query::default() }).unwrap().len();
    assert_eq!(found(Some(time(at)), None), 1);
    assert_eq!(found(Some(time(at) + micro), None), 0);
    assert_eq!(found(None, Some(time(at))), 0);
    assert_eq!(found(None, Some(time(at) + micro)), 1);
    assert_eq!(found(Some(jiff::Timestamp::MIN), Some(jiff::Timestamp::MAX)), 1);
}

#[test]
fn a_query_gives_fifty_rows_unless_it_says_and_never_more_than_a_thousand() {
    let (_dir, reader) = reader_of((0..1100).map(|number| made::incident(MIDNIGHT_MS + number, number)));
    let rows = |limit| reader.list(&Query { limit, ..Query::default() }).unwrap().len();
    assert_eq!(reader.list(&Query::default()).unwrap().len(), LIMIT_DEFAULT);
    assert_eq!((rows(0), rows(3), rows(usize::MAX)), (1, 3, LIMIT_MAX));
}

#[test]
fn pages_have_no_gaps_and_no_repeats_while_incidents_come_in() {
    let (dir, mut view) = view_of(&placed((0..40).map(|n| accepted(n, DAY_MS / 7))));
    let reader = ViewReader::open(dir.path()).unwrap();
    let mut query = Query { limit: 7, ..Query::default() };
    let mut seen = Vec::new();
    let mut position = 40;
    while let Some(last) = reader.list(&query).unwrap().last().cloned() {
        seen.extend(ids(&reader.list(&query).unwrap()));
        query.before = Some(last.id);
        // A newer one comes between every two pages.
        let at = time(MIDNIGHT_MS);
        view.apply(&stored(&[(Position(position), at, accepted(position, DAY_MS / 7))])).unwrap();
        position += 1;
    }
    let expected: Vec<_> = (0..40).rev().map(|n| made::id(MIDNIGHT_MS + n * (DAY_MS / 7), n)).collect();
    assert_eq!(seen, expected);
}

fn accepted(number: u64, step_ms: u64) -> Record {
    Record::Accepted(Arc::new(made::incident(MIDNIGHT_MS + number * step_ms, number)))
}

const HOSTILE: [&str; 12] = [
    "100% sure",
    "100 percent sure",
    "a_b",
    "axb",
    "it's; DROP TABLE incidents; --",
    "say \"no\"",
    "nul\0byte",
    "nul",
    "back\\slash",
    "line\r\nbreak\u{1b}[31m\u{202e}",
    "GRÖSSE ΟΔΟΣ ΟΔΥΣΣΕΎΣ İstanbul",
    "🔥 \u{10ffff}",
];

#[test]
fn every_character_of_a_searched_text_stands_for_itself() {
    for place in ["title", "description", "detected_by", "label"] {
        let (_dir, reader) = reader_of((0..).zip(HOSTILE).map(|(number, text)| {
            let mut incident = made::incident(MIDNIGHT_MS + number, number);
            match place {
                "title" => incident.title = text.to_owned(),
                "description" => incident.description = text.to_owned(),
                "detected_by" => incident.detected_by = text.to_owned(),
                _ => incident.labels = [("note".to_owned(), text.to_owned())].into(),
            }
            incident
        }));
        let found = |text: &str| reader.list(&Query { text: Some(text.to_owned()), ..Query::default() }).unwrap().len();
        for text in HOSTILE {
            let expected = HOSTILE.iter().filter(|other| other.contains(text)).count();
            assert_eq!(found(text), expected, "{text:?} in {place}");
            assert_eq!(found(&text.to_lowercase()), expected, "{text:?} in {place}, lower case");
        }
        assert_eq!((found("0%"), found("_"), found("l\0b"), found("%"), found("größe")), (1, 1, 1, 1, 0), "{place}");
        assert_eq!(found("οδο"), 1, "{place}");
        assert_eq!(found(""), HOSTILE.len(), "{place}");
    }
}

#[test]
fn a_hostile_source_is_compared_as_it_is() {
    let (_dir, reader) = reader_of((0..).zip(HOSTILE).map(|(number, text)| {
        let mut incident = made::incident(MIDNIGHT_MS + number, number);
        incident.source = text.to_owned();
        incident
    }));
    for text in HOSTILE {
        let rows = reader.list(&Query { source: Some(text.to_owned()), ..Query::default() }).unwrap();
        assert_eq!(rows.iter().map(|row| row.source.as_str()).collect::<Vec<_>>(), [text]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_text_its_incident_comes_back_byte_for_byte(title: String, label: String, source: String) {
        let mut incident = made::incident(MIDNIGHT_MS, 1);
        incident.title.clone_from(&title);
        incident.source.clone_from(&source);
        incident.labels = [(label.clone(), title.clone())].into();
        let json = serde_json::to_vec(&incident).unwrap();
        let (_dir, reader) = reader_of([incident]);
        for text in [&title, &label] {
            prop_assert_eq!(reader.list(&Query { text: Some(text.clone()), ..Query::default() }).unwrap().len(), 1);
        }
        let rows = reader.list(&Query { source: Some(source), ..Query::default() }).unwrap();
        prop_assert_eq!(reader.incident(rows[0].id).unwrap().unwrap().json, json);
    }
}

#[test]
fn a_row_cuts_a_huge_title_and_the_incident_keeps_it() {
    let mut incident = made::incident(MIDNIGHT_MS, 1);
    incident.title = format!("{}needle", "x".repeat(1 << 20));
    let title = incident.title.clone();
    let (_dir, reader) = reader_of([incident]);
    let rows = reader.list(&Query { text: Some("needle".to_owned()), ..Query::default() }).unwrap();
    assert!(
        rows[0].title.len() <= TITLE_BYTES_MAX && rows[0].title.ends_with(" of 1048582 bytes]"),
        "{}",
        rows[0].title
    );
    let view = reader.incident(rows[0].id).unwrap().unwrap();
    let kept: Incident = serde_json::from_slice(&view.json).unwrap();
    assert_eq!(kept.title, title);
}

#[test]
fn an_incident_is_found_by_an_unambiguous_beginning_of_its_id() {
    // The first two share eleven digits, the third has another minute and another day.
    let (_dir, reader) = reader_of([
        made::incident(MIDNIGHT_MS, 1),
        made::incident(MIDNIGHT_MS + 1, 2),
        made::incident(MIDNIGHT_MS + DAY_MS, 3),
    ]);
    let id = made::id(MIDNIGHT_MS, 1);
    let text = id.to_string();
    assert_eq!(reader.find(&text).unwrap(), Some(id));
    assert_eq!(reader.find(&text.replace('-', "").to_uppercase()).unwrap(), Some(id));
    assert_eq!(reader.find(&format!(" {} ", &text[..13])).unwrap(), Some(id));
    assert_eq!(
        reader.find(&made::id(MIDNIGHT_MS + DAY_MS, 3).to_string()[..8]).unwrap().map(|id| id.unix_ms()),
        Some(MIDNIGHT_MS + DAY_MS)
    );
    assert_eq!(reader.find(&made::id(MIDNIGHT_MS, 9).to_string()).unwrap(), None);
    assert_eq!(reader.find("00000000").unwrap(), None);
    assert_eq!(reader.find("ffffffff").unwrap(), None);
    let error = reader.find(&text[..8]).unwrap_err();
    assert!(matches!(&error, ViewError::Ambiguous { ids, .. } if ids.len() == 2), "{error}");
    for wrong in ["", &text[..7], "0123-4567-nothex", &format!("{text}0"), "ä1234567"] {
        let error = reader.find(wrong).unwrap_err();
        assert!(matches!(error, ViewError::NotAnId { .. }), "{wrong:?}: {error}");
    }
    assert_eq!(
        reader.find("123").unwrap_err().to_string(),
        "\"123\" is no incident id: allowed are the id, or at least its first 8 hexadecimal digits"
    );
}

#[test]
fn a_beginning_that_spans_midnight_is_looked_for_in_both_days() {
    // 0x1_0000 ms, which eight digits leave open, around a midnight.
    let before = MIDNIGHT_MS - 1;
    let (_dir, reader) = reader_of([made::incident(before, 1), made::incident(MIDNIGHT_MS, 2)]);
    let prefix = &made::id(MIDNIGHT_MS, 2).to_string()[..8];
    assert!(made::id(before, 1).to_string().starts_with(prefix), "the case is chosen so");
    let error = reader.find(prefix).unwrap_err();
    assert!(matches!(&error, ViewError::Ambiguous { ids, .. } if ids.len() == 2), "{error}");
}

#[test]
fn counts_are_the_sums_of_what_is_listed() {
    let records = journal(100, MIDNIGHT_MS, DAY_MS / 30);
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    let (since, until) = (Some(time(MIDNIGHT_MS + DAY_MS / 2)), Some(time(MIDNIGHT_MS + 2 * DAY_MS)));
    for (since, until) in [(None, None), (since, until), (since, None)] {
        let counts = reader.counts(since, until).unwrap();
        for severity in Severity::ALL {
            for state in [State::Open, State::Acked, State::Resolved] {
                let query = Query { since, until, severities: vec![severity], state: Some(state), ..Query::default() };
                assert_eq!(counts.of(severity, state), all(&reader, &query).len() as u64, "{severity} {state}");
            }
        }
        assert_eq!(counts.total(), all(&reader, &Query { since, until, ..Query::default() }).len() as u64);
        assert_eq!(counts.total(), Severity::ALL.into_iter().map(|severity| counts.of_severity(severity)).sum::<u64>());
    }
    assert_eq!(reader.counts(None, None).unwrap().of_state(State::Resolved), 25);
}

#[test]
fn a_story_has_every_record_in_order_and_as_it_was() {
    let records = journal(16, MIDNIGHT_MS, DAY_MS / 4);
    let (dir, _view) = view_of(&records);
    let reader = ViewReader::open(dir.path()).unwrap();
    for incident in made::accepted(&records) {
        let about = |record: &Record| {
            let text = format!("{record:?}");
            !matches!(record, Record::InputRead(_) | Record::Started(_)) && text.contains(&format!("{:?}", incident.id))
        };
        let expected: Vec<_> = records.iter().filter(|(_, _, record)| about(record)).collect();
        let story = reader.story(incident.id).unwrap();
        assert!(story.len() >= 4, "accepted, routed, started, ended");
        assert_eq!(story.len(), expected.len());
        for (line, (position, at, record)) in story.iter().zip(expected) {
            assert_eq!((line.position, line.at), (*position, *at));
            assert_eq!(line.record.encode(line.at), record.encode(*at));
        }
    }
    assert!(reader.story(made::id(MIDNIGHT_MS, 99)).unwrap().is_empty());
    assert!(reader.story(made::id(MIDNIGHT_MS - 9 * DAY_MS, 99)).unwrap().is_empty());
}

#[test]
fn a_delivery_stands_where_its_last_record_left_it() {
    let incident = made::incident(MIDNIGHT_MS, 1);
    let (id, later) = (incident.id, time(MIDNIGHT_MS + 60_000));
    let give_up = Next::GiveUp { cause: Cause::Network, reason: "28 h are over".to_owned() };
    let story = [
        (Record::Accepted(Arc::new(incident.clone())), None),
        (made::routed(&incident, Position(0)), Some((DeliveryStatus::Waiting, 0))),
        (made::attempt_started(id, 1), Some((DeliveryStatus::UnderWay, 1))),
        (made::failed(id, 1, Next::Retry(later)), Some((DeliveryStatus::Retrying(later), 1))),
        (made::attempt_started(id, 2), Some((DeliveryStatus::UnderWay, 2))),
        (
            made::failed(id, 2, give_up),
            Some((DeliveryStatus::GivenUp { cause: Some(Cause::Network), reason: "28 h are over".to_owned() }, 2)),
        ),
        (made::attempt_started(id, 3), Some((DeliveryStatus::UnderWay, 3))),
        (made::delivered(id, 3), Some((DeliveryStatus::Delivered, 3))),
    ];
    let records = placed(story.iter().map(|(record, _)| record.clone()));
    let dir = tempfile::tempdir().unwrap();
    let mut view = balefire_store::view::View::open(dir.path()).unwrap();
    let reader = ViewReader::open(dir.path()).unwrap();
    for (placed, (_, expected)) in records.iter().zip(&story) {
        view.apply(&stored(std::slice::from_ref(placed))).unwrap();
        let seen = reader.incident(id).unwrap().unwrap();
        let stands = seen.deliveries.first().map(|delivery| (delivery.status.clone(), delivery.attempts));
        assert_eq!(stands, *expected, "after record {}", placed.0);
        if let Some(delivery) = seen.deliveries.first() {
            assert_eq!((delivery.channel.as_str(), delivery.reason), ("hook", Some(Reason::Opened)));
            assert_eq!(delivery.status.is_pending(), (1..=4).contains(&placed.0.0) || placed.0.0 == 6);
        }
    }
    let seen = reader.incident(id).unwrap().unwrap();
    assert_eq!(seen.deliveries.len(), 1);
    assert_eq!(seen.deliveries[0].last_outcome, Some(Outcome::Delivered { receipt: "200".to_owned() }));
    assert_eq!(seen.deliveries[0].last_at, Some(records[7].1));
    assert_eq!(seen.routes[0].route, "all");
}

#[test]
fn changes_of_state_tell_who_when_and_why() {
    let incident = made::incident(MIDNIGHT_MS, 1);
    let id = incident.id;
    let records = placed([
        Record::Accepted(Arc::new(incident)),
        made::changed(id, State::Acked),
        made::changed(id, State::Open),
        made::changed(id, State::Acked),
        made::changed(id, State::Resolved),
        made::changed(id, State::Acked),
        made::changed(id, State::Open),
    ]);
    // Over is over, whatever is said of it later.
    let states = [(2, State::Acked), (3, State::Open), (4, State::Acked), (5, State::Resolved), (6, State::Resolved)];
    let states = [&[(1, State::Open)], &states[..], &[(7, State::Resolved)]].concat();
    for (count, state) in states {
        let (dir, _view) = view_of(&records[..count]);
        let seen = ViewReader::open(dir.path()).unwrap().incident(id).unwrap().unwrap();
        assert_eq!(seen.row.state, state);
        assert_eq!(seen.changes.len(), count - 1);
        if let Some(change) = seen.changes.last() {
            let said = [state, State::Acked, State::Open][usize::max(count, 5) - 5];
            assert_eq!((change.by.as_str(), change.comment.as_str(), change.state), ("ana", "on it", said));
            assert_eq!((change.position, change.at), (records[count - 1].0, records[count - 1].1));
        }
    }
}
