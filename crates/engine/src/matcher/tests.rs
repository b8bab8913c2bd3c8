//! The laws of conditions: what they hold for, how they are told, how they are refused.

use super::*;
use proptest::prelude::*;

/// An incident with something in every sort of field.
fn incident() -> Incident {
    serde_json::from_str(
        r#"{"id":"01935f1c-7c00-7000-8000-000000000001","title":"5 failed logins","severity":"critical",
        "severity_original":"P1","detected_by":"brute_force","description":"one\ntwo","nist_controls":["3.3.1","3.3.4"],
        "cui_involved":true,"incident_id":null,
        "events":[{"ip_address":"10.0.0.7","details":{"port":22,"tags":["a","b"]}}],
        "labels":{"host":"web-7","src_ip":"10.1.2.3","six":"::ffff:192.168.1.1","count":"12","title":"label",
        "a.b":"dotted","code":"022","empty":""},
        "fingerprint":"f00d","source":"token:falco","received_at":"2026-11-22T00:00:00Z",
        "extra":{"host":"shadowed","n":7,"f":22.0,"ext":{"record_type":"firewall_rule_event","none":null},
        "rule.level":"12","list":[80,443,"x"],"nothing":[],"esc":"a\"b","ok":true,"big":9007199254740993}}"#,
    )
    .unwrap()
}

#[track_caller]
fn check(conditions: &[&str], expected: bool) {
    for condition in conditions {
        let matcher = Matcher::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!(matcher.holds(&incident()), expected, "{condition}");
        assert_eq!(matcher.explain(&incident()).is_some(), expected, "{condition}");
    }
}

#[test]
fn alertmanager_s_four_operators_compare_whole_texts() {
    check(
        &[
            "host=web-7",
            "host = \"web-7\"",
            " host=\"web-7\" ",
            "host!=web",
            "host =~ web-.*",
            "host=~\"web-\\d\"",
            "host !~ web",
            "host=~web-7|db",
            "esc = \"a\\\"b\"",
            "description = \"one\\ntwo\"",
            "\"host\" = web-7",
            "title = 5 failed logins",
            "description =~ \"(?s)one.*\"",
            "empty=",
            "id =~ 01935f1c-.*",
        ],
        true,
    );
    check(&["host=web", "host = WEB-7", "host =~ web", "host =~ eb-7", "host !~ web-.", "description =~ one.*"], false);
}

#[test]
fn a_missing_field_is_the_empty_text() {
    check(
        &[
            "nohost!=x",
            "nohost=\"\"",
            "nohost=~.*",
            "nohost!~.+",
            "nohost not in (x, y)",
            "incident_id = \"\"",
            "nothing = \"\"",
            "ext.none = \"\"",
            "events.1.ip_address = \"\"",
            "nohost not in 10.0.0.0/8",
        ],
        true,
    );
    check(&["nohost=x", "nohost =~ .+", "nohost > 0", "nohost <= 0", "nohost in 0.0.0.0/0", "nothing != \"\""], false);
}

#[test]
fn severities_are_ordered_and_their_case_does_not_matter() {
    check(
        &[
            "severity >= high",
            "severity>HIGH",
            "severity = Critical",
            "severity != low",
            "severity <= critical",
            "severity in (critical, \"Low\")",
            "severity not in (info, low)",
            "severity =~ \"high|critical\"",
            "severity_original = P1",
        ],
        true,
    );
    check(&["severity < critical", "severity <= high", "severity = high", "severity not in critical"], false);
}

#[test]
fn numbers_compare_as_numbers_and_other_texts_meet_no_order() {
    check(
        &[
            "count > 5",
            "count < 100",
            "extra.n >= 7",
            "n <= 7.0",
            "f = 22",
            "f != 23",
            "events.0.details.port = 22",
            "events.0.details.port < 1024",
            "big > 9007199254740992",
            "big != 9007199254740992",
            "rule.level >= 12",
            "list > 400",
        ],
        true,
    );
    check(&["count > 12", "host > 0", "host < 1000", "code = 22", "n < 7", "list > 443", "ok > 0"], false);
}

#[test]
fn addresses_are_looked_for_in_networks() {
    check(
        &[
            "src_ip in 10.0.0.0/8",
            "src_ip in (192.168.0.0/16, 10.1.0.0/16)",
            "src_ip not in (192.168.0.0/16)",
            "src_ip in (10.1.2.3)",
            "six in 192.168.0.0/16",
            "events.0.ip_address in \"10.0.0.0/24\"",
            "host not in 0.0.0.0/0",
        ],
        true,
    );
    check(
        &["src_ip in 10.2.0.0/16", "src_ip not in (10.0.0.0/8)", "host in 0.0.0.0/0", "src_ip in 2001:db8::/32"],
        false,
    );
}

#[test]
fn a_set_has_the_field_and_a_list_meets_what_one_element_meets() {
    check(
        &[
            "detected_by in (brute_force, \"credential stuffing\")",
            "detected_by not in (a,b)",
            "host in web-7",
            "nist_controls = 3.3.4",
            "nist_controls =~ \"3\\.3\\..*\"",
            "nist_controls != 3.1.1",
            "nist_controls in (3.1.1, 3.3.1)",
            "list = 443",
            "list = x",
            "events.0.details.tags = b",
            "events.0.details.tags.1 = b",
            "cui_involved = true",
            "cui_involved != FALSE",
            "ok = true",
        ],
        true,
    );
    check(&["detected_by in (brute)", "nist_controls != 3.3.4", "nist_controls = 3.3", "cui_involved = false"], false);
}

#[test]
fn built_in_fields_come_before_labels_and_labels_before_what_else_was_sent() {
    check(
        &[
            "title = 5 failed logins",
            "labels.title = label",
            "extra.host = shadowed",
            "a.b = dotted",
            "labels.a.b = dotted",
            "rule.level = 12",
            "ext.record_type = firewall_rule_event",
            "extra.ext.record_type =~ firewall.*",
            "source = token:falco",
            "fingerprint = f00d",
            "list.0 = 80",
        ],
        true,
    );
    check(
        &["extra.title != \"\"", "labels.n != \"\"", "ext.record_type.x != \"\"", "n.x != \"\"", "list.x != \"\""],
        false,
    );
}

#[test]
fn an_explanation_tells_the_value_and_the_condition() {
    let table = [
        ("severity >= high", "severity is critical (>= high)"),
        ("host =~ \"web-.*\"", "host is \"web-7\" (=~ \"web-.*\")"),
        ("host != x", "host is \"web-7\" (!= x)"),
        ("nohost != x", "nohost is missing (!= x)"),
        ("extra.n > 5", "extra.n is 7 (> 5)"),
        ("nist_controls = 3.3.4", "nist_controls has \"3.3.4\" (= 3.3.4)"),
        ("nist_controls != 9", "nist_controls is [\"3.3.1\", \"3.3.4\"] (!= 9)"),
        ("cui_involved = true", "cui_involved is true (= true)"),
        ("description =~ (?s).*", "description is \"one\\ntwo\" (=~ (?s).*)"),
        ("src_ip not in (172.16.0.0/12)", "src_ip is \"10.1.2.3\" (not in (172.16.0.0/12))"),
    ];
    for (condition, expected) in table {
        assert_eq!(Matcher::parse(condition).unwrap().explain(&incident()).unwrap(), expected);
    }
    assert_eq!(Matcher::parse("host = db").unwrap().found(&incident()), "host is \"web-7\"");
}

#[test]
fn a_refusal_says_where_and_what_is_allowed() {
    let operators = "allowed: =, !=, =~, !~, <, <=, >, >=, in, not in";
    let item = "other conditions of a route are items of their own";
    let table = [
        ("severity >= urgent", "unknown severity `urgent` at character 13; allowed: critical, high, medium, low, info".into()),
        ("severity =", "unknown severity `` at character 11; allowed: critical, high, medium, low, info".into()),
        ("host == x", format!("unknown operator `==` (did you mean `=`?) at character 6; {operators}")),
        ("n => 5", format!("unknown operator `=>` (did you mean `>=`?) at character 3; {operators}")),
        ("größe contains 5", format!("unknown operator `contains` (did you mean `=`?) at character 7; {operators}")),
        ("host", format!("no operator after `host` at character 5; {operators}")),
        ("n > many", "`many` at character 5; allowed: a number, such as 5 or 0.5".into()),
        ("cui_involved = yes", "`yes` at character 16; allowed: true, false".into()),
        ("a=\"b\",c=\"d\"", format!("`,c=\"d\"` after the value at character 6; allowed: nothing more; {item}")),
        ("a=b,c=d", format!("`,` in a value without quotes at character 4; allowed: a value in double quotes; {item}")),
        ("a = b and c = d", format!("an operator in a value without quotes at character 13; allowed: a value in double quotes; {item}")),
        ("a = 'b'", format!("`'` in a value without quotes at character 5; allowed: a value in double quotes; {item}")),
        ("ip in 10.0.0.0/33", "`10.0.0.0/33`, which is no network at character 7; allowed: address/prefix, such as 10.0.0.0/8 or 2001:db8::/32".into()),
        ("a in (b", "a list that is never closed at character 8; allowed: `)`".into()),
        ("events.ip = x", "the field `events.ip` at character 1; allowed: events.NUMBER, such as events.0.ip_address for the first event".into()),
        ("a = \"b", "a quote that is never closed at character 5; allowed: a `\"` at the value's end; `\\\"` inside it".into()),
        ("a =~ \"b(\"", "the pattern `b(`: unclosed group at character 6; allowed: a regular expression without look-around and back-references, such as \"web-.*\"".into()),
    ];
    for (condition, expected) in table {
        assert_eq!(Matcher::parse(condition).unwrap_err().to_string(), expected, "{condition}");
    }
    for condition in [
        "",
        "  ",
        "{a=\"b\"}",
        "= x",
        "a in ()",
        "a in",
        "a =~ \"a)|(b\"",
        "a =~ (a{1000}){1000}",
        "a..b = c",
        "a not x",
        "labels. = x",
    ] {
        assert!(Matcher::parse(condition).is_err(), "{condition}");
    }
}

#[test]
fn a_hostile_value_is_only_text_and_is_cut() {
    let mut incident = incident();
    incident.labels.insert("host".into(), format!("\u{1b}[31m\n{}", "x".repeat(10_000_000)));
    let explained = Matcher::parse("host != a").unwrap().explain(&incident).unwrap();
    assert!(explained.len() < 1000 && !explained.chars().any(text::is_unsafe), "{explained}");
}

#[test]
fn deep_json_is_followed_without_recursion() {
    let mut incident = incident();
    let json = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let value = serde_json::value::RawValue::from_string(json);
    incident.extra.0.push(("deep".into(), value.unwrap()));
    assert!(Matcher::parse("deep.a.0.0 != x").unwrap().holds(&incident));
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn with_host(host: &str) -> Incident {
    let mut incident = incident();
    incident.labels.insert("host".into(), host.to_owned());
    incident
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: String) {
        let _ = Matcher::parse(&text).map(|matcher| matcher.explain(&incident()));
    }

    #[test]
    fn no_likely_text_makes_it_panic_and_what_parses_parses_again_to_the_same(
        text in "[a-z\"]{0,4} ?(severity|labels\\.|events\\.|)(=|!=|=~|!~|<|>=| in | not in )? ?[a-z0-9(),\"\\\\./ é=]{0,12}"
    ) {
        if let Ok(matcher) = Matcher::parse(&text) {
            prop_assert_eq!(&Matcher::parse(matcher.text()).unwrap(), &matcher);
            let holds = matcher.holds(&incident());
            prop_assert_eq!(matcher.explain(&incident()).is_some(), holds);
        }
    }

    #[test]
    fn a_quoted_value_is_the_value_and_each_negation_is_the_opposite(value: String, other: String) {
        prop_assume!(value.len() < 4000);
        let text = quoted(&value);
        let pattern = quoted(&regex::escape(&value));
        for host in [&value, &other] {
            let incident = with_host(host);
            let holds = |condition: String| Matcher::parse(&condition).unwrap().holds(&incident);
            let same = *host == value;
            prop_assert_eq!(holds(format!("host = {text}")), same);
            prop_assert_eq!(holds(format!("host != {text}")), !same);
            prop_assert_eq!(holds(format!("host =~ {pattern}")), same);
            prop_assert_eq!(holds(format!("host !~ {pattern}")), !same);
            let among = holds(format!("host in ({text})"));
            prop_assert!(among || !same);
            prop_assert_eq!(holds(format!("host not in ({text})")), !among);
        }
    }

    #[test]
    fn what_holds_for_a_severity_from_here_on_holds_for_all_above(at in 0usize..5) {
        let mut incident = incident();
        let matcher = Matcher::parse(&format!("severity >= {}", balefire_model::Severity::ALL[at])).unwrap();
        let mut held = Vec::new();
        for severity in balefire_model::Severity::ALL {
            incident.severity = severity;
            held.push(matcher.holds(&incident));
        }
        let expected: Vec<bool> = (0..5).map(|index| index <= at).collect();
        prop_assert_eq!(held, expected);
    }
}
