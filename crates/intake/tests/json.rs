//! What each kind of bad or unusual JSON body comes to, as the sender reads it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use balefire_intake::formats::json::{Shape, decode};
use balefire_intake::normalise::{Context, normalise};
use balefire_intake::{Draft, Limits};
use balefire_model::{Incident, Severity};
use jiff::Timestamp;

/// The outcome of a body: a line for each item, or the body's error.
fn outcome(body: &[u8], shape: Shape) -> String {
    match decode(body, shape, &Limits::default()) {
        Err(error) => error.to_string(),
        Ok(items) => {
            let lines = items.into_iter().map(|item| match item {
                Ok(draft) => format!("ok: {}", draft.title),
                Err(error) => error.to_string(),
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn check(body: impl AsRef<[u8]>, expected: &str) {
    let body = body.as_ref();
    assert_eq!(outcome(body, Shape::Auto), expected, "{}", String::from_utf8_lossy(&body[..body.len().min(200)]));
}

/// The outcome of one field beside a good title.
fn check_field(field: &str, expected: &str) {
    check(format!(r#"{{"title":"t",{field}}}"#), expected);
}

fn draft(body: impl AsRef<[u8]>) -> Draft {
    decode(body.as_ref(), Shape::Auto, &Limits::default()).unwrap().remove(0).unwrap()
}

fn incident(body: impl AsRef<[u8]>) -> Incident {
    let context = Context {
        id: "01935f1c-7c00-7000-8000-000000000001".parse().unwrap(),
        source: "web-hook",
        received_at: Timestamp::UNIX_EPOCH,
        severity_default: Severity::Medium,
    };
    normalise(draft(body), &context)
}

#[test]
fn a_title_alone_is_an_incident_with_defaults_that_are_said() {
    assert_eq!(
        serde_json::to_string(&incident(r#"{"title":"disk full"}"#)).unwrap(),
        concat!(
            r#"{"id":"01935f1c-7c00-7000-8000-000000000001","title":"disk full","severity":"medium","#,
            r#""detected_by":"web-hook","description":"","nist_controls":[],"cui_involved":false,"incident_id":null,"#,
            r#""events":[],"fingerprint":"837b4030785992a6457a73484f97d6bc","source":"web-hook","#,
            r#""received_at":"1970-01-01T00:00:00Z","notes":["severity is missing; medium was assumed"]}"#
        )
    );
}

#[test]
fn every_field_reaches_the_incident_and_unknown_ones_keep_their_bytes_and_order() {
    let body = r#" {"z": 1.0, "title":"Brute \u0066orce","severity":" HIGH","detected_by":"brute_force",
        "nist_controls":["3.1.8"],"description":"a\nb","cui_involved":true,"incident_id":17.0,
        "events":[{"n": 12345678901234567890123, "n": "\ud83d\ude00"}],"labels":{"port":22,"up":true,"host":"\"web\"","no":null},
        "fingerprint":"own","event_time":"2026-11-22T14:03:00+01:00","extra":{"a":[1e400,-0]},"id":"forged","source":null,
        "notes":"\u0000"} "#;
    assert_eq!(
        serde_json::to_string(&incident(body)).unwrap(),
        concat!(
            r#"{"id":"01935f1c-7c00-7000-8000-000000000001","title":"Brute force","severity":"high","severity_original":" HIGH","#,
            r#""detected_by":"brute_force","description":"a\nb","nist_controls":["3.1.8"],"cui_involved":true,"#,
            r#""incident_id":"17.0","events":[{"n": 12345678901234567890123, "n": "\ud83d\ude00"}],"#,
            r#""labels":{"host":"\"web\"","port":"22","up":"true"},"fingerprint":"own","source":"web-hook","#,
            r#""event_time":"2026-11-22T13:03:00Z","received_at":"1970-01-01T00:00:00Z","#,
            r#""extra":{"z":1.0,"extra":{"a":[1e400,-0]},"id":"forged","source":null,"notes":"\u0000"}}"#
        )
    );
}

#[test]
fn null_counts_as_absent_and_a_blank_detector_is_the_source() {
    let body = r#"{"title":"t","severity":null,"detected_by":"  ","nist_controls":null,"description":null,
        "cui_involved":null,"incident_id":null,"events":null,"labels":null,"fingerprint":null,"event_time":null}"#;
    let (with_nulls, without) = (incident(body), incident(r#"{"title":"t"}"#));
    assert_eq!(serde_json::to_string(&with_nulls).unwrap(), serde_json::to_string(&without).unwrap());
}

#[test]
fn an_unknown_severity_is_kept_and_the_assumption_is_said_in_one_line() {
    let of = |severity: &str| incident(format!(r#"{{"title":"t","severity":"{severity}"}}"#));
    let urgent = of("urgent");
    assert_eq!(urgent.severity, Severity::Medium);
    assert_eq!(urgent.severity_original.as_deref(), Some("urgent"));
    assert_eq!(urgent.notes, [r#"severity "urgent" is unknown; medium was assumed"#]);
    assert_eq!(of(r"a\u001b[2J\r\nb").notes, [r#"severity "a\u{1b}[2J\r\nb" is unknown; medium was assumed"#]);
    assert_eq!(of("").notes, [r#"severity "" is unknown; medium was assumed"#]);
    assert!(of("CRITICAL").notes.is_empty());
}

#[test]
fn each_wrong_field_says_what_was_found_and_what_is_allowed() {
    let title = "item 0: title: found nothing; allowed: a string that is not blank";
    check("{}", title);
    check(r#"{"title":null}"#, title);
    check(r#"{"Title":"x"}"#, &format!("{title}; \"Title\" is there; names of fields are in lower case"));
    check(r#"{"title":" \n"}"#, r#"item 0: title: found a string (" \n"); allowed: a string that is not blank"#);
    check(
        r#"{"title":7}"#,
        "item 0: title: found a number (7); allowed: a string that is not blank; put it in double quotes",
    );
    check_field(
        r#""severity":3"#,
        "item 0: severity: found a number (3); allowed: critical, high, medium, low, info; \
         a number says different things in different products; send the word",
    );
    check_field(r#""detected_by":{}"#, "item 0: detected_by: found an object; allowed: a string");
    check_field(r#""description":["a"]"#, "item 0: description: found a list; allowed: a string");
    check_field(
        r#""nist_controls":"3.3.4""#,
        r#"item 0: nist_controls: found a string ("3.3.4"); allowed: a list of strings; put it in square brackets"#,
    );
    check_field(
        r#""nist_controls":["3.3.4",3.10,null]"#,
        "item 0: nist_controls[1]: found a number (3.10); allowed: a string; put it in double quotes | \
         nist_controls[2]: found null; allowed: a string",
    );
    check_field(
        r#""cui_involved":"true""#,
        r#"item 0: cui_involved: found a string ("true"); allowed: true or false; write it without quotes"#,
    );
    check_field(r#""cui_involved":1"#, "item 0: cui_involved: found a number (1); allowed: true or false");
    check_field(r#""incident_id":[]"#, "item 0: incident_id: found a list; allowed: a string or a number");
    check_field(r#""events":{}"#, "item 0: events: found an object; allowed: a list of objects");
    check_field(r#""events":[{},"x"]"#, r#"item 0: events[1]: found a string ("x"); allowed: an object"#);
    check_field(r#""labels":[]"#, "item 0: labels: found a list; allowed: an object of strings");
    check_field(
        r#""labels":{"a\nb":[]}"#,
        r"item 0: labels.a\nb: found a list; allowed: a string, a number or a boolean; labels are flat; fields beside the labels may hold anything",
    );
    check_field(r#""labels":{"":"x"}"#, "item 0: labels.: found a key of 0 bytes; allowed: 1 to 128 bytes");
    check_field(
        r#""fingerprint":"""#,
        r#"item 0: fingerprint: found a string (""); allowed: a string that is not blank; leave it out to have it computed"#,
    );
    let time = "allowed: a time as in RFC 3339, such as 2026-11-22T14:03:00Z";
    check_field(
        r#""event_time":1732284180"#,
        &format!(
            "item 0: event_time: found a number (1732284180); {time}; \
             a number may be seconds, milliseconds or nanoseconds; send the time as text"
        ),
    );
    check_field(
        r#""event_time":"2026-11-22T14:03:00""#,
        &format!(
            r#"item 0: event_time: found a string ("2026-11-22T14:03:00"); {time}; the zone is missing; add Z or an offset such as +01:00"#
        ),
    );
    check_field(r#""event_time":"yesterday""#, &format!(r#"item 0: event_time: found a string ("yesterday"); {time}"#));
}

#[test]
fn all_faults_of_an_item_are_told_at_once_but_not_without_end() {
    check(
        r#"{"severity":1,"cui_involved":0}"#,
        "item 0: title: found nothing; allowed: a string that is not blank | \
         severity: found a number (1); allowed: critical, high, medium, low, info; \
         a number says different things in different products; send the word | \
         cui_involved: found a number (0); allowed: true or false",
    );
    let body = format!(r#"{{"title":"t","events":[{}]}}"#, vec!["1"; 1000].join(","));
    let error = decode(body.as_bytes(), Shape::Auto, &Limits::default()).unwrap().remove(0).unwrap_err();
    assert_eq!((error.errors.len(), error.errors_left_out), (16, 984));
    assert!(error.to_string().ends_with(" | and 984 more"), "{error}");
}

#[test]
fn a_field_that_comes_twice_is_an_error_that_names_it() {
    let twice = "found the field twice; allowed: each field once; which of the two is meant cannot be known";
    check(r#"{"title":"a","title":"b"}"#, &format!("item 0: title: {twice}"));
    check(r#"{"title":"a","\u0074itle":null}"#, &format!("item 0: title: {twice}"));
    check_field(r#""x":1,"x":1"#, &format!("item 0: x: {twice}"));
    let many: Vec<_> = (0..40).map(|nth| format!(r#""k{}":0"#, nth % 39)).collect();
    check_field(&many.join(","), &format!("item 0: k0: {twice}"));
    check_field(r#""labels":{"a":1,"a":2}"#, "item 0: labels.a: found the label twice; allowed: each label once");
    check_field(r#""labels":{"a":null,"a":2}"#, "item 0: labels.a: found the label twice; allowed: each label once");
}

#[test]
fn each_limit_says_what_was_found_and_what_is_allowed() {
    let long = |bytes: usize| "x".repeat(bytes);
    check(
        format!(r#"{{"title":"{}"}}"#, long(10_000_000)),
        "item 0: found 10000012 bytes; allowed: at most 1048576 bytes",
    );
    let title = format!(r#"{{"title":"{}"}}"#, long(65_537));
    check(&title, "item 0: title: found 65537 bytes; allowed: at most 65536 bytes");
    check_field(
        &format!(r#""description":"{}""#, long(262_145)),
        "item 0: description: found 262145 bytes; allowed: at most 262144 bytes",
    );
    for field in ["severity", "detected_by", "incident_id", "fingerprint", "event_time"] {
        let expected = format!("item 0: {field}: found 257 bytes; allowed: at most 256 bytes");
        check_field(&format!(r#""{field}":"{}""#, long(257)), &expected);
    }
    check_field(
        &format!(r#""incident_id":{}"#, "1".repeat(257)),
        "item 0: incident_id: found 257 bytes; allowed: at most 256 bytes",
    );
    check_field(
        &format!(r#""nist_controls":["{}"]"#, long(257)),
        "item 0: nist_controls[0]: found 257 bytes; allowed: at most 256 bytes",
    );
    check_field(
        &format!(r#""nist_controls":[{}]"#, vec!["\"\""; 257].join(",")),
        "item 0: nist_controls: found 257 entries; allowed: at most 256 entries",
    );
    check_field(
        &format!(r#""events":[{}]"#, vec!["{}"; 1001].join(",")),
        "item 0: events: found 1001 entries; allowed: at most 1000 entries",
    );
    let labels: Vec<_> = (0..10_000).map(|nth| format!(r#""k{nth}":"v""#)).collect();
    check_field(
        &format!(r#""labels":{{{}}}"#, labels.join(",")),
        "item 0: labels: found 10000 entries; allowed: at most 256 entries",
    );
    check_field(
        &format!(r#""labels":{{"{}":"v"}}"#, long(129)),
        &format!("item 0: labels.{}… [129 bytes in all]: found a key of 129 bytes; allowed: 1 to 128 bytes", long(58)),
    );
    for value in [format!("\"{}\"", long(4097)), format!("\"{}\\n\"", long(4096)), "1".repeat(4097)] {
        let expected = "item 0: labels.k: found 4097 bytes; allowed: at most 4096 bytes";
        check_field(&format!(r#""labels":{{"k":{value}}}"#), expected);
    }
    let extra: Vec<_> = (0..1001).map(|nth| format!(r#""k{nth}":0"#)).collect();
    check_field(&extra.join(","), "item 0: found 1001 fields beside ours; allowed: at most 1000 fields beside ours");
    check_field(
        &format!(r#""{}":0"#, long(1025)),
        &format!("item 0: {}… [1025 bytes in all]: found a name of 1025 bytes; allowed: at most 1024 bytes", long(57)),
    );
}

#[test]
fn a_value_at_its_limit_is_taken() {
    let title = "x".repeat(65_536);
    assert_eq!(draft(format!(r#"{{"title":"{title}"}}"#)).title, title);
    let value = "v".repeat(4096);
    assert_eq!(draft(format!(r#"{{"title":"t","labels":{{"k":"{value}"}}}}"#)).labels["k"], value);
    let nested = format!("{}{}", "[".repeat(63), "]".repeat(63));
    assert_eq!(draft(format!(r#"{{"title":"t","x":{nested}}}"#)).extra.get("x").unwrap().get(), nested);
}

#[test]
fn nesting_without_end_is_a_clear_error() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let error = |field: &str, levels: usize| {
        format!(
            "item 0: {field}: found {levels} levels of lists and objects; allowed: at most 64 levels, the item itself included"
        )
    };
    check_field(&format!(r#""x":{}"#, nested(64)), &error("x", 65));
    check_field(&format!(r#""x":{}"#, nested(1000)), &error("x", 1001));
    check_field(&format!(r#""x":{}"#, nested(500_000)), &error("x", 500_001));
    check_field(&format!(r#""events":[{{"x":{}}}]"#, nested(62)), &error("events[0]", 65));
    check_field(
        &format!(r#""title2":{}"#, nested(1_000_000)),
        "item 0: found 2000023 bytes; allowed: at most 1048576 bytes",
    );
    check(nested(1_000_000), "item 0: found 1999998 bytes; allowed: at most 1048576 bytes");
    check(nested(1000), "item 0: found a list; allowed: an object");
    check(
        "[".repeat(1_000_000),
        "body: line 1, column 1000001 (byte 1000000): found the end of the text; \
         allowed: `,` and the next value, or `]` at the end of the list",
    );
    check(
        "{\"a\":".repeat(1_000_000),
        "body: line 1, column 5000001 (byte 5000000): found the end of the text; \
         allowed: a value: a string in double quotes, a number, true, false, null, a list or an object",
    );
}

#[test]
fn half_a_surrogate_pair_is_refused_wherever_it_stands() {
    let refused = |field: &str, escape: &str| {
        format!(
            "item 0: {field}: found half of a surrogate pair ({escape}); \
             allowed: \\u escapes of whole characters, beyond \\uffff in pairs such as \\ud83d\\ude00"
        )
    };
    check(r#"{"title":"\ud800"}"#, &refused("title", r"\ud800"));
    check_field(r#""x":{"a":["\udc00"]}"#, &refused("x", r"\udc00"));
    check_field(r#""x":{"\ud800\ud800":1}"#, &refused("x", r"\ud800"));
    check_field(r#""events":[{},{"a":"\uDBFFx"}]"#, &refused("events[1]", r"\uDBFF"));
    check_field(r#""labels":{"k":"\ud800"}"#, &refused("labels.k", r"\ud800"));
    check_field(r#""labels":{"\ud800":"k"}"#, &refused("labels", r"\ud800"));
    check_field(r#""nist_controls":["\ud800"]"#, &refused("nist_controls[0]", r"\ud800"));
    assert!(outcome(br#"[{"title":"ok"},{"\ud800":1}]"#, Shape::Auto).starts_with("ok: ok\nitem 1: line 1, column "));
}

#[test]
fn control_characters_arrive_as_escapes_only_and_stay_text() {
    assert_eq!(draft(r#"{"title":"a\u0000b\r\nc\u001b[31m"}"#).title, "a\0b\r\nc\u{1b}[31m");
    check(
        b"{\"title\":\"a\nb\"}",
        "body: line 1, column 12 (byte 11): found `\\n`; \
         allowed: no control characters in a string; write them as escapes such as \\n or \\u0000",
    );
}

#[test]
fn broken_json_says_where_and_what_could_stand_there() {
    let value = "a value: a string in double quotes, a number, true, false, null, a list or an object";
    let cases = [
        (r#"{"title":"x\q"}"#, 12, "q", r#"an escape that JSON knows: \" \\ \/ \b \f \n \r \t \uXXXX"#),
        (r#"{"title":01}"#, 10, "1", "a number such as 0, -1, 2.5 or 1e6"),
        (r#"{"title":-}"#, 10, "}", "a number such as 0, -1, 2.5 or 1e6"),
        (r#"{"title":tru }"#, 12, " ", "true, false or null"),
        (r#"{"title":"é"é}"#, 13, "é", "`,` and the next field, or `}` at the end of the object"),
    ];
    for (body, byte, found, allowed) in cases {
        check(body, &format!("body: line 1, column {} (byte {byte}): found `{found}`; allowed: {allowed}", byte + 1));
    }
    check(
        "{\"title\" \"x\"}",
        "body: line 1, column 10 (byte 9): found `\"`; allowed: `:` between a field's name and its value",
    );
    check("{\n \"title\": ,\n}", &format!("body: line 2, column 11 (byte 12): found `,`; allowed: {value}"));
    check("{'title':1}", "body: line 1, column 2 (byte 1): found `'`; allowed: a field's name in double quotes");
    check(
        "{\"title\":\"x\",}",
        "body: line 1, column 14 (byte 13): found `}`; allowed: a value after `,`; the last one has no comma",
    );
    check(
        "[{\"title\":\"x\"} {\"title\":\"x\"}]",
        "body: line 1, column 16 (byte 15): found `{`; allowed: `,` and the next value, or `]` at the end of the list",
    );
    check(
        "{\"title\":\"x\"}{\"title\":\"y\"}",
        "body: line 1, column 14 (byte 13): found `{`; allowed: nothing after the end of the value",
    );
    check("[] x", "body: line 1, column 4 (byte 3): found `x`; allowed: nothing after the end of the value");
    check(
        "{\"title\":\"x\"",
        "body: line 1, column 13 (byte 12): found the end of the text; allowed: `,` and the next field, or `}` at the end of the object",
    );
    check(
        "{\"title\":\"x",
        "body: line 1, column 12 (byte 11): found the end of the text; allowed: `\"` at the end of the string",
    );
    check("\u{202e}hello", &format!("body: line 1, column 1 (byte 0): found `\\u{{202e}}`; allowed: {value}"));
}

#[test]
fn a_body_that_holds_no_items_says_so() {
    let allowed = "an object, a list of objects, or one object a line";
    for body in ["", " \r\n\t", "\u{feff}", "\u{feff}\n"] {
        check(body, &format!("body: found nothing; allowed: {allowed}"));
    }
    check("true", &format!("body: found a boolean (true); allowed: {allowed}"));
    check(" \"x\" ", &format!("body: found a string (\"x\"); allowed: {allowed}"));
    check("1e999999", &format!("body: found a number (1e999999); allowed: {allowed}"));
    check("[]", "");
    check("[[],1]", "item 0: found a list; allowed: an object\nitem 1: found a number (1); allowed: an object");
}

#[test]
fn bytes_that_are_no_text_are_found() {
    check(b"{\"title\":\n\"\xff\"}", "body: line 2, column 2 (byte 11): found the byte 0xff; allowed: text in UTF-8");
    check(
        b"\xff\xfe{\0}\0",
        "body: line 1, column 1 (byte 0): found the byte 0xff, as at the beginning of UTF-16; allowed: text in UTF-8",
    );
    check(
        b"{\"title\":\"a\"}\n{\"title\":\"\xc3\"}\n{\"title\":\"c\"}",
        "ok: a\nitem 1 (line 2): line 2, column 11 (byte 24): found the byte 0xc3; allowed: text in UTF-8\nok: c",
    );
}

#[test]
fn a_broken_line_breaks_one_item_and_blank_lines_do_not_count() {
    let body = "\u{feff}{\"title\":\"a\"}\r\n\r\n{\"title\":}\r\n  {\"title\":\"c\"}  \n[]\n{}x\n{\"title\":\"d\"}";
    let value = "a value: a string in double quotes, a number, true, false, null, a list or an object";
    let expected = format!(
        "ok: a\nitem 1 (line 3): line 3, column 10 (byte 29): found `}}`; allowed: {value}\nok: c\n\
         item 3 (line 5): found a list; allowed: an object\n\
         item 4 (line 6): line 6, column 3 (byte 55): found `x`; allowed: nothing after the end of the value\nok: d"
    );
    check(body, &expected);
    assert_eq!(outcome(body.as_bytes(), Shape::Ndjson), expected);
    assert!(outcome(body.as_bytes(), Shape::Json).starts_with("body: line 3, column 1 "));
}

#[test]
fn json_over_several_lines_is_one_document() {
    check("{\n\"title\":\n\"a\"\n}\n", "ok: a");
    check("{\"x\":{}\n,\"title\":\"a\"}", "ok: a");
    check("[\n{\"title\":\"a\"},\n{\"title\":\"b\"}\n]", "ok: a\nok: b");
}

#[test]
fn ten_thousand_items_are_taken_and_one_more_is_not() {
    let items = |count: usize, between: &str| vec!["{\"title\":\"t\"}"; count].join(between);
    for (shape, count) in [(Shape::Auto, 10_000), (Shape::Auto, 10_001)] {
        let bodies = [format!("[{}]", items(count, ",")), items(count, "\n")];
        for body in bodies {
            match decode(body.as_bytes(), shape, &Limits::default()) {
                Ok(drafts) => assert_eq!((drafts.len(), drafts.iter().all(Result::is_ok)), (10_000, true)),
                Err(error) => {
                    assert_eq!(count, 10_001);
                    let expected = "body: found more than 10000 items; allowed: at most 10000; send it in parts";
                    assert_eq!(error.to_string(), expected);
                }
            }
        }
    }
}

#[test]
fn an_item_error_is_an_answer_that_a_program_can_read() {
    let errors = decode(br#"[1,{"title":"t","labels":{"a":{}}}]"#, Shape::Json, &Limits::default()).unwrap();
    let answers: Vec<_> = errors.into_iter().map(|item| serde_json::to_string(&item.unwrap_err()).unwrap()).collect();
    assert_eq!(
        answers,
        [
            r#"{"index":0,"errors":[{"found":"a number (1)","allowed":"an object"}]}"#,
            r#"{"index":1,"errors":[{"field":"labels.a","found":"an object","allowed":"a string, a number or a boolean","hint":"labels are flat; fields beside the labels may hold anything"}]}"#,
        ]
    );
    let error = decode(b"[1,", Shape::Json, &Limits::default()).unwrap_err();
    assert_eq!(
        serde_json::to_string(&error).unwrap(),
        r#"{"kind":"syntax","place":{"line":1,"column":4,"byte":3},"found":"the end of the text","allowed":"a value: a string in double quotes, a number, true, false, null, a list or an object"}"#
    );
}
