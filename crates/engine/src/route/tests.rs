//! The laws of routing.

use super::*;
use balefire_model::Severity;
use balefire_model::calendar::{Interval, TimeOfDay, TimeRange};
use proptest::prelude::*;

fn incident(severity: Severity, cui: bool) -> Incident {
    let json = format!(
        r#"{{"id":"01935f1c-7c00-7000-8000-000000000001","title":"t","severity":"{severity}","detected_by":"d",
        "cui_involved":{cui},"labels":{{"host":"web-1"}},"fingerprint":"f","source":"s",
        "received_at":"2026-11-22T00:00:00Z"}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn route(name: &str, matchers: &[&str], to: &[&str], goes_on: bool) -> Route {
    let matchers = matchers.iter().map(|text| Matcher::parse(text).unwrap()).collect();
    Route { name: name.into(), matchers, to: to.iter().map(|&name| name.into()).collect(), goes_on, ..Route::default() }
}

fn routing(preset: Preset, kinds: &[&str], routes: Vec<Route>) -> Routing {
    // A channel is named after its kind.
    let channels = kinds.iter().map(|&kind| (format!("my-{kind}"), kind.to_owned())).collect();
    Routing { routes, preset, channels, history: None }
}

/// The moment at which the tests ask.
fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// Every day between these, UTC.
fn interval(name: &str, start: &str, end: &str) -> Arc<TimeInterval> {
    let mut interval = Interval::always(jiff::tz::TimeZone::UTC);
    let time = |text| TimeOfDay::parse(text).unwrap();
    interval.times.push(TimeRange::new(time(start), time(end)).unwrap());
    Arc::new(TimeInterval { name: name.to_owned(), intervals: vec![interval] })
}

const KINDS: &[&str] = &["console", "syslog", "webhook", "email"];

#[track_caller]
fn check(routing: &Routing, incident: &Incident, channels: &[&str], why: &[&str]) {
    let decision = routing.decide(incident, noon());
    assert_eq!(decision.channels, channels);
    let because = decision.routes.iter().filter(|taken| !taken.channels.is_empty()).map(|taken| taken.because.as_str());
    let because: Vec<_> = because.chain(decision.history_only.as_deref()).collect();
    assert_eq!(because, why);
}

#[test]
fn plan_names_kinds_by_severity_and_keeps_info_in_the_history() {
    let plan = routing(Preset::Plan, KINDS, vec![]);
    let three = ["my-email", "my-syslog", "my-console"];
    let at = |severity| incident(severity, true);
    check(&plan, &at(Severity::Critical), &three, &["plan: critical goes to email, syslog, console"]);
    check(&plan, &at(Severity::High), &three[..2], &["plan: high goes to email, syslog"]);
    check(&plan, &at(Severity::Medium), &three[1..2], &["plan: medium goes to syslog"]);
    check(&plan, &at(Severity::Low), &three[1..2], &["plan: low goes to syslog"]);
    check(&plan, &at(Severity::Info), &[], &["plan keeps info in the history only"]);
}

#[test]
fn shipped_has_thresholds_and_sends_cui_to_every_channel() {
    let shipped = routing(Preset::Shipped, KINDS, vec![]);
    let three = ["my-email", "my-syslog", "my-console"];
    let at = |severity| incident(severity, false);
    check(&shipped, &at(Severity::Critical), &three, &["shipped: critical goes to email, syslog, console"]);
    check(&shipped, &at(Severity::High), &three, &["shipped: high goes to email, syslog, console"]);
    check(&shipped, &at(Severity::Low), &three[1..], &["shipped: low goes to syslog, console"]);
    check(&shipped, &at(Severity::Info), &three[2..], &["shipped: info goes to console"]);
    let every = ["my-console", "my-syslog", "my-webhook", "my-email"];
    check(&shipped, &incident(Severity::Info, true), &every, &["shipped: cui_involved goes to every channel"]);
}

#[test]
fn nothing_sent_always_has_a_reason() {
    let high = incident(Severity::High, false);
    let missing = "plan names email, syslog for high, but no such channel is configured";
    check(&routing(Preset::Plan, &["console"], vec![]), &high, &[], &[missing]);
    check(&routing(Preset::Custom, KINDS, vec![]), &high, &[], &["no route matched"]);
    let drop = vec![route("noise", &["host = web-1"], &[], false)];
    check(&routing(Preset::Plan, KINDS, drop), &high, &[], &["route `noise` names no channel"]);
    let unknown = vec![route("r", &[], &["gone"], false)];
    check(
        &routing(Preset::Plan, KINDS, unknown),
        &high,
        &[],
        &["route `r` names gone, but no such channel is configured"],
    );
}

#[test]
fn the_first_match_wins_unless_it_goes_on() {
    let routes = |goes_on| {
        vec![
            route("db", &["host = db"], &["my-email"], false),
            route("web", &["severity >= high", "host =~ web-.*"], &["my-webhook", "my-webhook"], goes_on),
            route("rest", &["host != \"\""], &["my-webhook", "my-console"], goes_on),
        ]
    };
    let high = incident(Severity::High, false);
    let web = "severity is high (>= high), host is \"web-1\" (=~ web-.*)";
    check(&routing(Preset::Plan, KINDS, routes(false)), &high, &["my-webhook"], &[web]);
    let all = ["my-webhook", "my-console", "my-email", "my-syslog"];
    let because = [web, "host is \"web-1\" (!= \"\")", "plan: high goes to email, syslog"];
    check(&routing(Preset::Plan, KINDS, routes(true)), &high, &all, &because);
}

#[test]
fn a_muted_route_takes_the_incident_and_sends_nothing() {
    let step = Escalate { after: Duration::from_secs(900), to: vec!["my-email".to_owned()], ..Escalate::default() };
    let muted = |mute: &[Arc<TimeInterval>], active: &[Arc<TimeInterval>], goes_on| {
        let route = route("web", &[], &["my-webhook"], goes_on);
        let (mute, active) = (mute.to_vec(), active.to_vec());
        let route = Route { mute, active, escalate: vec![step.clone()], ..route };
        let decision = routing(Preset::Plan, KINDS, vec![route]).decide(&incident(Severity::High, false), noon());
        // Nothing sent starts no escalation, and the other way round.
        assert_eq!(decision.routes[0].channels.is_empty(), decision.escalations.is_empty());
        decision
    };
    let (noon, night) = (interval("noon", "12:00", "12:01"), interval("night", "00:00", "06:00"));
    let evening = interval("evening", "18:00", "24:00");
    let is_sent = |mute: &[Arc<TimeInterval>], active: &[Arc<TimeInterval>]| {
        let decision = muted(mute, active, false);
        let why = (decision.routes[0].muted_by.clone(), decision.history_only);
        if decision.channels == ["my-webhook"] { Ok(why) } else { Err(why) }
    };
    let some = |muted_by: &str, why: &str| Err((Some(muted_by.to_owned()), Some(why.to_owned())));
    assert_eq!(is_sent(&[], &[]), Ok((None, None)));
    assert_eq!(is_sent(&[night.clone(), evening.clone()], &[night.clone(), noon.clone()]), Ok((None, None)));
    let by_noon = some("noon", "route `web` is muted by time interval noon");
    assert_eq!(is_sent(&[night.clone(), noon.clone()], &[]), by_noon);
    let only_noon = std::slice::from_ref(&noon);
    assert_eq!(is_sent(only_noon, only_noon), by_noon);
    let outside = "route `web` is muted outside time interval night, evening";
    assert_eq!(is_sent(&[], &[night, evening]), some("outside night, evening", outside));

    // Whether later routes are asked does not depend on it.
    let preset = muted(only_noon, &[], true);
    assert_eq!(preset.channels, ["my-email", "my-syslog"]);
    assert_eq!((preset.routes.len(), preset.history_only), (2, None));
}

#[test]
fn an_explanation_tells_each_route_s_answer() {
    let routes = vec![
        route("db", &["severity >= low", "host = db"], &["my-email"], false),
        route("web", &[], &["my-webhook"], false),
        route("late", &[], &["my-webhook"], false),
    ];
    let steps = routing(Preset::Plan, KINDS, routes).explain(&incident(Severity::High, false), noon());
    let names: Vec<_> = steps.iter().map(|step| step.route.as_str()).collect();
    assert_eq!(names, ["db", "web", "late", "plan"]);
    let found = "host is \"web-1\"".to_owned();
    assert_eq!(steps[0].verdict, Verdict::Missed { condition: "host = db".into(), found });
    let because = "the route has no conditions".into();
    assert_eq!(
        steps[1].verdict,
        Verdict::Matched { because, channels: vec!["my-webhook".into()], muted_by: None, goes_on: false }
    );
    assert_eq!(steps[2].verdict, Verdict::NotAsked { taken_by: "web".into() });
    assert_eq!(steps[3].verdict, Verdict::NotAsked { taken_by: "web".into() });
}

#[track_caller]
fn check_findings(routing: &Routing, expected: &[(&str, &str)]) {
    let findings = routing.findings();
    let found: Vec<_> = findings.iter().map(|finding| (finding.code.as_str(), finding.subject.as_str())).collect();
    assert_eq!(found, expected, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.sentence.contains(&finding.subject)), "{findings:#?}");
}

#[test]
fn findings_name_what_can_do_nothing() {
    check_findings(&routing(Preset::Plan, &["console", "syslog", "email"], vec![]), &[]);
    check_findings(&routing(Preset::Custom, KINDS, vec![]), &[("nothing-routed", "custom")]);
    check_findings(&routing(Preset::Plan, KINDS, vec![]), &[("channel-unreached", "my-webhook")]);
    check_findings(&routing(Preset::Shipped, KINDS, vec![]), &[]);
    let unsent = [("severity-unsent", "high"), ("severity-unsent", "medium"), ("severity-unsent", "low")];
    check_findings(&routing(Preset::Plan, &["console"], vec![]), &unsent);
    check_findings(&routing(Preset::Shipped, &["email", "syslog"], vec![]), &[]);
    let high = vec![route("high", &["severity >= high"], &["my-console"], false)];
    check_findings(&routing(Preset::Plan, &["console"], high), &unsent[1..]);
}

#[test]
fn a_route_that_is_muted_whenever_it_is_active_never_sends() {
    let hours = |names: &[&str]| names.iter().map(|name| interval(name, "09:00", "17:00")).collect::<Vec<_>>();
    let with = |active: &[&str], mute: &[&str]| {
        let route = route("web", &[], &["my-syslog"], false);
        routing(Preset::Plan, &["syslog"], vec![Route { active: hours(active), mute: hours(mute), ..route }])
    };
    check_findings(&with(&["a", "b"], &["b", "c", "a"]), &[("route-never-sends", "web")]);
    check_findings(&with(&["a", "b"], &["b"]), &[]);
    check_findings(&with(&[], &["b"]), &[]);
}

#[test]
fn a_route_behind_one_that_asks_for_less_is_shadowed() {
    let first = |goes_on| route("first", &["severity >= medium", "host=web-1"], &["my-email"], goes_on);
    let second = || route("second", &["a = b", "host = \"web-1\"", "severity = high"], &["my-webhook"], false);
    let with =
        |goes_on| routing(Preset::Plan, &["console", "syslog", "email", "webhook"], vec![first(goes_on), second()]);
    check_findings(&with(false), &[("route-shadowed", "second"), ("channel-unreached", "my-webhook")]);
    check_findings(&with(true), &[]);
    let all = vec![route("all", &[], &["my-syslog"], false), route("all", &["a = b"], &[], true)];
    let expected = [
        ("route-name-twice", "all"),
        ("route-shadowed", "all"),
        ("route-idle", "all"),
        ("channel-unreached", "my-email"),
    ];
    check_findings(&routing(Preset::Plan, &["syslog", "email"], all), &expected);
    let never = vec![route("never", &["severity > high", "severity < low"], &["my-syslog"], false)];
    check_findings(&routing(Preset::Plan, &["syslog"], never), &[("route-never-matches", "never")]);
}

fn any_routing() -> impl Strategy<Value = Routing> {
    let condition =
        prop::sample::select(vec!["severity >= high", "severity < high", "severity > low", "host = web-1", "host = x"]);
    let matchers = prop::collection::vec(condition, 0..3);
    let to = prop::collection::vec(prop::sample::select(vec!["my-email", "my-console", "my-webhook", "gone"]), 0..3);
    let routes = prop::collection::vec((matchers, to, any::<bool>(), 0usize..4), 0..5);
    let preset = prop::sample::select(vec![Preset::Plan, Preset::Shipped, Preset::Custom]);
    let kinds = prop::sample::subsequence(KINDS.to_vec(), 0..=4);
    (routes, preset, kinds).prop_map(|(routes, preset, kinds)| {
        let named = routes.iter().enumerate().map(|(at, (matchers, to, on, hours))| {
            let route = route(&at.to_string(), matchers, to, *on);
            let hours = |of: &[usize]| of.contains(hours).then(|| interval("hours", "12:00", "13:00"));
            Route { mute: hours(&[1, 3]).into_iter().collect(), active: hours(&[2, 3]).into_iter().collect(), ..route }
        });
        routing(preset, &kinds, named.collect())
    })
}

proptest! {
    #[test]
    fn a_decision_names_each_channel_once_or_says_why_there_is_none(
        routing in any_routing(), at in 0usize..5, cui: bool,
    ) {
        let decision = routing.decide(&incident(Severity::ALL[at], cui), noon());
        prop_assert_eq!(decision.channels.is_empty(), decision.history_only.as_ref().is_some_and(|why| !why.is_empty()));
        for (index, channel) in decision.channels.iter().enumerate() {
            prop_assert!(!decision.channels[..index].contains(channel));
            prop_assert!(routing.channels.iter().any(|(name, _)| name == channel));
        }
    }

    #[test]
    fn an_explanation_and_a_decision_never_differ(routing in any_routing(), at in 0usize..5, cui: bool) {
        let incident = incident(Severity::ALL[at], cui);
        let explained: Vec<_> = routing.explain(&incident, noon()).into_iter().filter_map(|step| match step.verdict {
            Verdict::Matched { because, channels, muted_by, .. } => {
                Some(RouteTaken { route: step.route, because, channels, muted_by })
            }
            _ => None,
        }).collect();
        prop_assert_eq!(explained, routing.decide(&incident, noon()).routes);
    }

    #[test]
    fn a_route_without_conditions_always_matches(at in 0usize..5, cui: bool) {
        let routing = routing(Preset::Plan, KINDS, vec![route("all", &[], &["my-webhook"], false)]);
        prop_assert_eq!(routing.decide(&incident(Severity::ALL[at], cui), noon()).channels, ["my-webhook"]);
    }

    #[test]
    fn what_is_found_to_do_nothing_does_nothing(routing in any_routing(), at in 0usize..5, cui: bool) {
        let decision = routing.decide(&incident(Severity::ALL[at], cui), noon());
        for finding in routing.findings() {
            let is_it = |name: &String| *name == finding.subject;
            match finding.code {
                FindingCode::RouteShadowed | FindingCode::RouteNeverMatches => {
                    prop_assert!(!decision.routes.iter().any(|taken| is_it(&taken.route)), "{:?}", finding);
                }
                FindingCode::ChannelUnreached => prop_assert!(!decision.channels.iter().any(is_it), "{:?}", finding),
                FindingCode::RouteNeverSends => {
                    let mut taken = decision.routes.iter().filter(|taken| is_it(&taken.route));
                    prop_assert!(taken.all(|taken| taken.channels.is_empty()), "{:?}", finding);
                }
                FindingCode::NothingRouted => prop_assert!(decision.channels.is_empty()),
                _ => {}
            }
        }
    }
}

#[test]
fn a_step_after_the_response_time_waits_as_long_as_the_severity_allows() {
    let step = Escalate { after: Duration::from_secs(60), response_time: true, to: vec!["my-email".to_owned()] };
    let route = Route { escalate: vec![step], ..route("all", &[], &["my-email"], false) };
    let routing = routing(Preset::Custom, KINDS, vec![route]);
    let waits = Severity::ALL.map(|severity| {
        let decision = routing.decide(&incident(severity, false), Timestamp::UNIX_EPOCH);
        decision.escalations.first().map(|(_, step)| step.after.as_secs())
    });
    assert_eq!(waits, [Some(60), Some(960), Some(3660), Some(86_460), None]);
}

#[test]
fn a_history_gets_every_incident_after_all_routes_and_nobody_else_gets_more_or_less() {
    let none = route("none", &["severity = info"], &[], false);
    let some = route("some", &["severity = high"], &["my-email"], false);
    let mut routing = routing(Preset::Shipped, KINDS, vec![none, some]);
    let before = |routing: &Routing, severity, cui| routing.decide(&incident(severity, cui), noon());
    let without: Vec<Decision> = Severity::ALL.into_iter().map(|severity| before(&routing, severity, true)).collect();
    routing.history = Some("history".to_owned());
    for (severity, without) in Severity::ALL.into_iter().zip(without) {
        let with = before(&routing, severity, true);
        let (last, others) = with.channels.split_last().unwrap();
        assert_eq!((last.as_str(), others), ("history", without.channels.as_slice()), "{severity}");
        assert_eq!((with.history_only, &with.escalations), (None, &without.escalations));
        let because = &with.routes.last().unwrap().because;
        let alone = without.history_only.map(|why| format!("; nobody else hears of it: {why}")).unwrap_or_default();
        assert_eq!(*because, format!("every incident goes into the history{alone}"));
        let explained = routing.explain(&incident(severity, true), noon());
        let Verdict::Matched { because: told, channels, .. } = &explained.last().unwrap().verdict else { panic!() };
        assert_eq!((told, channels.as_slice()), (because, &["history".to_owned()][..]));
    }
    assert!(routing.findings().iter().all(|finding| finding.subject != "history"));
}
