//! Any body taken for Cloudmarker's records comes to incidents within their limits or to errors that are safe to show; a
//! bucket is kept byte for byte but for line breaks, and a record is the same whether it was recognised or announced.
#![no_main]

use balefire_intake::formats::Format;
use balefire_intake::formats::json::{Shape, decode_as};
use balefire_intake::normalise::{Context, normalise};
use balefire_intake::{Draft, Kind, Limits};
use balefire_model::{Incident, IncidentId, Severity, text};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fn check_message(message: &str) {
    assert!(!message.chars().any(text::is_unsafe), "{message:?}");
}

fn incident(draft: Draft) -> Vec<u8> {
    let id: IncidentId = "01935f1c-7c00-7000-8000-000000000001".parse().expect("a constant id");
    let context =
        Context { id, source: "fuzz", received_at: Timestamp::UNIX_EPOCH, severity_default: Severity::Medium };
    serde_json::to_vec(&normalise(draft, &context)).expect("an incident is JSON")
}

/// Raw line breaks stand between tokens only; what is kept has blanks in their place.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn check(draft: Draft, body: &str, limits: &Limits) {
    assert!(!draft.title.trim().is_empty() && draft.title.len() <= limits.title_bytes_max);
    assert!(draft.description.len() <= limits.description_bytes_max);
    assert!(draft.labels.values().all(|value| value.len() <= limits.label_value_bytes_max));
    for (_, value) in &draft.extra.0 {
        assert!(one_line(body).contains(&one_line(value.get())), "a bucket is not what the sender wrote");
    }
    let first = incident(draft);
    let again: Incident = serde_json::from_slice(&first).expect("an incident's JSON is an incident");
    assert_eq!(first, serde_json::to_vec(&again).expect("an incident is JSON"));
}

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    for shape in [Shape::Json, Shape::Ndjson, Shape::Auto] {
        let announced = decode_as(Format::Cloudmarker, body, shape, &limits);
        let recognised = decode_as(Format::Auto, body, shape, &limits);
        let (announced, recognised) = match (announced, recognised) {
            (Ok(announced), Ok(recognised)) => (announced, recognised),
            (Err(error), Err(_)) => {
                check_message(&error.to_string());
                continue;
            }
            (one, other) => panic!("where items begin depends on what they are: {} {}", one.is_ok(), other.is_ok()),
        };
        assert_eq!(announced.len(), recognised.len());
        for (announced, recognised) in announced.into_iter().zip(recognised) {
            match (announced, recognised) {
                (Err(error), _) => check_message(&error.to_string()),
                (Ok(announced), recognised) => {
                    if let Ok(recognised) = recognised
                        && recognised.kind != Kind::Incident
                    {
                        assert_eq!(incident(announced.clone()), incident(recognised));
                    }
                    check(announced, &String::from_utf8_lossy(body), &limits);
                }
            }
        }
    }
});
