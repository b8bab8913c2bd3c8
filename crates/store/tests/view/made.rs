//! Records for the tests, made by counting: the same call gives the same record.

use balefire_model::incident::Extra;
use balefire_model::record::{
    Assigned, AttemptEnded, AttemptStarted, InputRead, Next, Noted, Planned, ReportStep, Reporting, RouteTaken, Routed,
    Started, StateChanged,
};
use balefire_model::{
    Cause, DeliveryId, Fingerprint, Incident, IncidentId, Outcome, Position, Reason, Record, Severity, State, Stored,
};
use balefire_store::view::{Query, View, ViewReader};
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

pub type Placed = (Position, Timestamp, Record);

/// 2026-11-22T00:00:00Z.
pub const MIDNIGHT_MS: u64 = 1_795_305_600_000;
pub const DAY_MS: u64 = 86_400_000;

pub fn id(ms: u64, number: u64) -> IncidentId {
    let ms = format!("{ms:012x}");
    format!("{}-{}-7000-8000-{number:012x}", &ms[..8], &ms[8..]).parse().unwrap()
}

pub fn time(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap()
}

pub fn incident(ms: u64, number: u64) -> Incident {
    Incident {
        id: id(ms, number),
        title: format!("Brute force number {number}"),
        severity: Severity::ALL[usize::try_from(number % 5).unwrap()],
        severity_original: None,
        detected_by: "ssh-guard".to_owned(),
        description: "Many failed logins within a short time from one address.".to_owned(),
        nist_controls: vec!["3.3.4".to_owned()],
        cui_involved: number.is_multiple_of(7),
        incident_id: None,
        events: Vec::new(),
        labels: [("host".to_owned(), format!("web-{}", number % 10))].into(),
        fingerprint: Fingerprint(format!("{number:032x}")),
        source: if number.is_multiple_of(2) { "http" } else { "tail" }.to_owned(),
        event_time: None,
        received_at: time(ms),
        notes: Vec::new(),
        run: None,
        internal_scan: None,
        extra: Extra::default(),
    }
}

pub fn delivery(incident: IncidentId) -> DeliveryId {
    DeliveryId::derive(incident, "opened", "hook")
}

pub fn routed(incident: &Incident, accepted_at: Position) -> Record {
    Record::Routed(Routed {
        incident: incident.id,
        accepted_at,
        severity: incident.severity,
        cui_involved: incident.cui_involved,
        routes: vec![RouteTaken {
            route: "all".to_owned(),
            because: "severity >= info".to_owned(),
            channels: vec!["hook".to_owned()],
            muted_by: None,
        }],
        deliveries: vec![Planned {
            delivery: delivery(incident.id),
            channel: "hook".to_owned(),
            reason: Reason::Opened,
            stands_in_for: None,
            behind: None,
            behind_also: Vec::new(),
            has_opened: false,
            opened: None,
            repeat_of: None,
            follows_up: false,
        }],
        history_only: None,
        escalations: Vec::new(),
        run: None,
        collected: Vec::new(),
        sighting: None,
    })
}

pub fn attempt_started(incident: IncidentId, attempt: u32) -> Record {
    Record::AttemptStarted(AttemptStarted {
        delivery: delivery(incident),
        incident,
        channel: "hook".to_owned(),
        attempt,
    })
}

pub fn attempt_ended(incident: IncidentId, attempt: u32, outcome: Outcome, next: Next) -> Record {
    Record::AttemptEnded(AttemptEnded {
        delivery: delivery(incident),
        incident,
        channel: "hook".to_owned(),
        attempt,
        outcome,
        next,
        plain_next: false,
    })
}

pub fn delivered(incident: IncidentId, attempt: u32) -> Record {
    attempt_ended(incident, attempt, Outcome::Delivered { receipt: "200".to_owned() }, Next::Done)
}

pub fn failed(incident: IncidentId, attempt: u32, next: Next) -> Record {
    let outcome = Outcome::Rejected { cause: Cause::Network, detail: "connection refused".to_owned() };
    attempt_ended(incident, attempt, outcome, next)
}

pub fn changed(incident: IncidentId, state: State) -> Record {
    Record::StateChanged(StateChanged { incident, state, by: "ana".to_owned(), comment: "on it".to_owned() })
}

pub fn assigned(incident: IncidentId, to: Option<&str>) -> Record {
    Record::Assigned(Assigned { incident, to: to.map(str::to_owned), by: "boss".to_owned() })
}

pub fn noted(incident: IncidentId, text: &str) -> Record {
    Record::Noted(Noted { incident, text: text.to_owned(), by: "ana".to_owned() })
}

pub fn reported(incident: IncidentId) -> Record {
    let step = ReportStep::Reported { by: "ana".to_owned(), reference: "1".to_owned() };
    Record::Reporting(Reporting { incident, step })
}

/// Gives records their places and times, one microsecond after the other.
pub fn placed(records: impl IntoIterator<Item = Record>) -> Vec<Placed> {
    let place = |(index, record)| {
        let at = Timestamp::from_microsecond(i64::try_from(MIDNIGHT_MS * 1000 + index).unwrap()).unwrap();
        (Position(index), at, record)
    };
    (0..).zip(records).map(place).collect()
}

/// The records as the journal gives them back.
pub fn stored(records: &[Placed]) -> Vec<Stored> {
    let stored = |(position, at, record): &Placed| Stored { position: *position, entry: record.encode(*at) };
    records.iter().map(stored).collect()
}

/// A journal of `count` incidents, `step_ms` apart from `start_ms` on, with everything that can follow: deliveries that
/// succeed, fail and wait, changes of state, records about the engine. Half of what follows comes much later, so that it
/// reaches back into older days.
pub fn journal(count: u64, start_ms: u64, step_ms: u64) -> Vec<Placed> {
    let mut records = vec![Record::Started(Started { version: "1".to_owned() })];
    let mut later = Vec::new();
    for number in 0..count {
        let incident = Arc::new(incident(start_ms + number * step_ms, number));
        let id = incident.id;
        let accepted_at = Position(records.len() as u64);
        records.push(Record::Accepted(Arc::clone(&incident)));
        records.push(routed(&incident, accepted_at));
        records.push(attempt_started(id, 1));
        let follows = match number % 4 {
            0 => vec![delivered(id, 1)],
            1 => vec![failed(id, 1, Next::Retry(time(start_ms))), attempt_started(id, 2), delivered(id, 2)],
            2 => vec![changed(id, State::Acked), delivered(id, 1), changed(id, State::Resolved)],
            _ => vec![failed(id, 1, Next::GiveUp { cause: Cause::Network, reason: "too late".to_owned() })],
        };
        if number % 8 < 4 {
            records.extend(follows);
        } else {
            later.extend(follows);
        }
        if number % 10 == 9 {
            records.push(Record::InputRead(InputRead { input: "log".into(), file: "1".into(), offset: number }));
        }
    }
    records.extend(later);
    placed(records)
}

pub fn accepted(records: &[Placed]) -> Vec<Arc<Incident>> {
    let incident = |(_, _, record): &Placed| match record {
        Record::Accepted(incident) => Some(Arc::clone(incident)),
        _ => None,
    };
    records.iter().filter_map(incident).collect()
}

/// Everything that can be seen in a view, as text: two views that show the same are the same.
pub fn contents(dir: &Path) -> String {
    let reader = ViewReader::open(dir).unwrap();
    let mut text = format!("position {}\n", reader.position().unwrap());
    for line in reader.engine_records(1000).unwrap() {
        text += &format!("{line:?}\n");
    }
    for row in all(&reader, &Query::default()) {
        text += &format!("{:?}\n", reader.incident(row.id).unwrap().unwrap());
        for line in reader.story(row.id).unwrap() {
            text += &format!("  {line:?}\n");
        }
    }
    text
}

/// All pages of a query.
pub fn all(reader: &ViewReader, query: &Query) -> Vec<balefire_store::view::Row> {
    let mut rows = Vec::new();
    let mut query = query.clone();
    loop {
        let page = reader.list(&query).unwrap();
        let Some(last) = page.last() else { return rows };
        query.before = Some(last.id);
        rows.extend(page);
    }
}

/// A new directory with a view of these records.
pub fn view_of(records: &[Placed]) -> (tempfile::TempDir, View) {
    let dir = tempfile::tempdir().unwrap();
    let mut view = View::open(dir.path()).unwrap();
    view.apply(&stored(records)).unwrap();
    (dir, view)
}
