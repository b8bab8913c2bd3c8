//! Any body comes to incidents or to errors that are safe to show; an incident survives its own JSON.
#![no_main]

use balefire_intake::Limits;
use balefire_intake::formats::json::{Shape, decode};
use balefire_intake::normalise::{Context, normalise};
use balefire_model::{Incident, IncidentId, Severity, text};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fn check_message(message: &str) {
    assert!(!message.chars().any(text::is_unsafe), "{message:?}");
}

fuzz_target!(|body: &[u8]| {
    let id: IncidentId = "01935f1c-7c00-7000-8000-000000000001".parse().expect("a constant id");
    let context =
        Context { id, source: "fuzz", received_at: Timestamp::UNIX_EPOCH, severity_default: Severity::Medium };
    for shape in [Shape::Json, Shape::Ndjson, Shape::Auto] {
        let drafts = match decode(body, shape, &Limits::default()) {
            Ok(drafts) => drafts,
            Err(error) => {
                check_message(&error.to_string());
                continue;
            }
        };
        for draft in drafts {
            match draft {
                Err(error) => check_message(&error.to_string()),
                Ok(draft) => {
                    let first = serde_json::to_vec(&normalise(draft, &context)).expect("an incident is JSON");
                    let again: Incident = serde_json::from_slice(&first).expect("an incident's JSON is an incident");
                    assert_eq!(first, serde_json::to_vec(&again).expect("an incident is JSON"));
                }
            }
        }
    }
});
