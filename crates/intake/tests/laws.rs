//! What holds for any bytes whatever: no panic, kept fields keep their bytes, an incident survives its own JSON, and
//! lines do not depend on how they came.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use balefire_intake::Limits;
use balefire_intake::formats::json::{Shape, decode};
use balefire_intake::lines::{Line, LineSplitter, LineTooLong};
use balefire_intake::normalise::{Context, normalise};
use balefire_model::{Incident, Severity};
use jiff::Timestamp;
use proptest::prelude::*;

const SHAPES: [Shape; 3] = [Shape::Json, Shape::Ndjson, Shape::Auto];

fn incidents(body: &[u8], shape: Shape) -> Vec<Incident> {
    let context = Context {
        id: "01935f1c-7c00-7000-8000-000000000001".parse().unwrap(),
        source: "laws",
        received_at: Timestamp::UNIX_EPOCH,
        severity_default: Severity::Medium,
    };
    let drafts = decode(body, shape, &Limits::default()).unwrap_or_default();
    drafts.into_iter().flatten().map(|draft| normalise(draft, &context)).collect()
}

/// JSON text with the freedoms of writing that a parser of values would lose.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("-0e+7".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just(r#""\u00e9\/\ud83d\ude00\u0000""#.to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|values| format!("[ {}]", values.join(" ,"))),
            proptest::collection::vec((any::<String>(), inner), 0..6).prop_map(|fields| {
                let fields =
                    fields.iter().map(|(key, value)| format!("{}:\t{value}", serde_json::to_string(key).unwrap()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(",\r\n"))
            }),
        ]
    })
}

/// Pieces that make nearly good bodies.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\n"),
        Just("\""),
        Just("\\"),
        Just("\"title\""),
        Just("\"t\""),
        Just("\"severity\""),
        Just("\"labels\""),
        Just("\"events\""),
        Just("{}"),
        Just("\\ud800"),
        Just("1"),
        Just("null"),
        Just("{\"title\":\"t\"}"),
        Just(" "),
        Just("é"),
        Just("\u{feff}"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn split(pieces: &[&[u8]], bytes_max: usize) -> Vec<(Result<Vec<u8>, LineTooLong>, u64)> {
    let mut splitter = LineSplitter::new(bytes_max, 100);
    let mut lines = Vec::new();
    let mut take = |line: Line<'_>| lines.push((line.content.map(|content| content.into_owned()), line.end));
    for piece in pieces {
        splitter.push(piece, &mut take);
    }
    splitter.finish().into_iter().for_each(take);
    lines
}

proptest! {
    #[test]
    fn any_bytes_come_to_drafts_or_to_errors_of_one_line(body: Vec<u8>, text in almost_json()) {
        for shape in SHAPES {
            for body in [&body[..], text.as_bytes()] {
                let shown = match decode(body, shape, &Limits::default()) {
                    Ok(items) => items.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect(),
                    Err(error) => vec![error.to_string()],
                };
                for message in shown {
                    prop_assert!(!message.chars().any(balefire_model::text::is_unsafe), "{message:?}");
                    prop_assert!(message.len() < 10_000);
                }
            }
        }
    }

    #[test]
    fn extra_fields_and_events_keep_every_byte_but_line_breaks_through_an_incidents_own_json(kept in json(), event in json()) {
        let event = format!("{{\"e\": {event} }}");
        let one_line = |json: &str| json.replace(['\n', '\r'], " ");
        let body = format!("{{\"title\":\"t\",\"x\":{kept},\"events\":[{event} ]}}");
        let first = incidents(body.as_bytes(), Shape::Json).remove(0);
        prop_assert_eq!(first.extra.get("x").unwrap().get(), one_line(&kept));
        prop_assert_eq!(first.events[0].get(), one_line(&event));
        let stored = serde_json::to_vec(&first).unwrap();
        let again: Incident = serde_json::from_slice(&stored).unwrap();
        prop_assert_eq!(again.extra.get("x").unwrap().get(), one_line(&kept));
        prop_assert_eq!(serde_json::to_vec(&again).unwrap(), stored);
    }

    #[test]
    fn text_fields_arrive_as_they_were_meant(title in ".*\\S", word: String, key in ".{1,20}", value: String) {
        let body = serde_json::json!({"title": title, "severity": word, "labels": {key.clone(): value}}).to_string();
        for shape in SHAPES {
            for incident in incidents(body.as_bytes(), shape) {
                prop_assert_eq!(&incident.title, &title);
                prop_assert_eq!(incident.severity_original.as_deref(), Some(word.as_str()));
                prop_assert_eq!(&incident.labels[&key], &value);
            }
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_came(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(0usize..200, 0..20),
        bytes_max in 0usize..12,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        // The law in one sentence: what `split` at LF gives, without a CR, an error where it is too long.
        let mut expected = Vec::new();
        let mut end = 100;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            end += line.len() as u64;
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            let content = content.strip_suffix(b"\r").unwrap_or(content).to_vec();
            let bytes = content.len() as u64;
            expected.push((if bytes > bytes_max as u64 { Err(LineTooLong { bytes, bytes_max }) } else { Ok(content) }, end));
        }
        prop_assert_eq!(split(&pieces, bytes_max), expected);
    }
}

#[test]
fn an_over_long_line_costs_no_memory_and_the_next_one_is_good() {
    let mut splitter = LineSplitter::new(10, 0);
    let mut seen = Vec::new();
    let piece = vec![b'x'; 4096];
    for _ in 0..256 {
        splitter.push(&piece, |line| seen.push(line.end));
    }
    assert_eq!((splitter.partial_bytes(), splitter.line_start(), seen.len()), (1_048_576, 0, 0));
    let mut texts = Vec::new();
    splitter.push(b"\nnext\r\nrest", |line| {
        let text = line.content.map(|content| String::from_utf8(content.into_owned()).unwrap());
        texts.push((text.map_err(|error| error.to_string()), line.end));
    });
    let too_long = "line: found 1048576 bytes; allowed: at most 10 bytes".to_owned();
    assert_eq!(texts, [(Err(too_long), 1_048_577), (Ok("next".to_owned()), 1_048_583)]);
    assert_eq!((splitter.partial_bytes(), splitter.line_start()), (4, 1_048_583));
}

#[test]
fn what_is_kept_never_holds_a_line_break() {
    let body = b"{\"title\": \"t\", \"x\": {\"a\": [1,\n2,\r\n\"b\\nc\"]}, \"events\": [{\n\"y\": 1.0\r}]}";
    let drafts = decode(body, Shape::Json, &Limits::default()).unwrap();
    let draft = drafts.into_iter().next().unwrap().unwrap();
    assert_eq!(draft.extra.get("x").unwrap().get(), "{\"a\": [1, 2,  \"b\\nc\"]}");
    assert_eq!(draft.events[0].get(), "{ \"y\": 1.0 }");
}
