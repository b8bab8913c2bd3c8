//! Measures decoding and normalising: `cargo run --release -p balefire-intake --example decode_speed`. Prints
//! nanoseconds per incident of about 900 bytes. Not a test: it judges nothing.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use balefire_intake::Limits;
use balefire_intake::formats::json::{Shape, decode};
use balefire_intake::normalise::{Context, normalise};
use balefire_model::{IncidentId, Severity};
use jiff::Timestamp;
use std::hint::black_box;
use std::time::Instant;

const INCIDENT: &str = r#"{"title":"Brute force: 14 failed logins from 203.0.113.7 in 300 s","severity":"high","detected_by":"brute_force","nist_controls":["3.1.8","3.14.6"],"description":"14 failed logins for 3 accounts from 203.0.113.7 within 300 seconds; the threshold is 5. The address has not been seen before.","cui_involved":false,"incident_id":"bt-2026-11-22-000417","labels":{"host":"web-1.example.org","env":"production","service":"portal","src_ip":"203.0.113.7"},"event_time":"2026-11-22T14:03:00.123456Z","events":[{"timestamp":"2026-11-22T14:02:58Z","source":"nginx","category":"auth","severity":"medium","action":"login_failed","user_id":"alice","ip_address":"203.0.113.7","details":{"path":"/login","status":401}},{"timestamp":"2026-11-22T14:02:59Z","source":"nginx","category":"auth","action":"login_failed","user_id":"bob"}],"playbook":"https://wiki.example.org/bf","score":7.5}"#;

fn measure(what: &str, body: &[u8], shape: Shape, rounds: u32) {
    let limits = Limits::default();
    let id: IncidentId = "01935f1c-7c00-7000-8000-000000000001".parse().expect("a constant id");
    let context =
        Context { id, source: "bench", received_at: Timestamp::UNIX_EPOCH, severity_default: Severity::Medium };
    let run = |with_normalise: bool| {
        let mut best = f64::MAX;
        for _ in 0..7 {
            let (start, mut items) = (Instant::now(), 0);
            for _ in 0..rounds {
                for draft in decode(black_box(body), shape, &limits).expect("a constant body") {
                    let draft = draft.expect("a constant item");
                    if with_normalise {
                        black_box(normalise(draft, &context));
                    } else {
                        black_box(draft);
                    }
                    items += 1;
                }
            }
            best = best.min(start.elapsed().as_nanos() as f64 / f64::from(items));
        }
        best
    };
    println!("{what:<24} decode {:>6.0} ns, with normalise {:>6.0} ns", run(false), run(true));
}

fn syntax_check() -> f64 {
    let rounds = 20_000;
    let once = || {
        let start = Instant::now();
        for _ in 0..rounds {
            let value: &serde_json::value::RawValue = serde_json::from_str(black_box(INCIDENT)).expect("constant JSON");
            black_box(value);
        }
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    };
    (0..7).map(|_| once()).fold(f64::MAX, f64::min)
}

fn main() {
    println!("{} bytes an incident; best of 7", INCIDENT.len());
    println!("{:<24} {:>13.0} ns, for comparison", "serde_json syntax check", syntax_check());
    measure("one object", INCIDENT.as_bytes(), Shape::Json, 20_000);
    measure("one object, shape auto", INCIDENT.as_bytes(), Shape::Auto, 20_000);
    let list = format!("[{}]", vec![INCIDENT; 100].join(","));
    measure("list of 100", list.as_bytes(), Shape::Auto, 200);
    let lines = vec![INCIDENT; 100].join("\n");
    measure("100 lines", lines.as_bytes(), Shape::Ndjson, 200);
    measure("100 lines, shape auto", lines.as_bytes(), Shape::Auto, 200);
}
