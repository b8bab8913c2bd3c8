//! The postgres kind from outside: its settings, its secrets, and what its tables may be.

use crate::scene::{channel, delivery, incident, request, resolve_node, sample};
use balefire_channels::{
    Kind, PostgresForm, PostgresLayout, PostgresMisfit, PostgresRows, PostgresTable, PostgresTls, PostgresTransport,
    Reply, Request, Step, Transport,
};
use balefire_model::{Delivery, Outcome};
use serde_json::{Value, json};
use std::time::Duration;

fn kind() -> &'static Kind {
    Kind::find("postgres").expect("a kind")
}

fn transport(settings: &[(&'static str, &str)]) -> PostgresTransport {
    let Transport::Postgres(transport) = channel(kind(), settings).transport() else { panic!("no PostgreSQL") };
    *transport
}

#[test]
fn its_settings_that_cannot_work_are_told() {
    let check = |settings: &[(&'static str, &str)], expected: &str| {
        let (_, problems) = resolve_node(kind(), &sample(kind(), settings));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(expected)), "{settings:?}: {told:?}");
        assert!(!told.iter().any(|problem| problem.contains("hunter2")), "{told:?}");
    };
    check(&[("url", "hunter2")], "is no postgresql:// address");
    check(&[("url", "postgresql://u:hunter2@169.254.169.254/x")], "metadata");
    check(&[("url", "postgresql://u:hunter2@db/x?sslrootcert=/x")], "has the option sslrootcert");
    check(&[("url", "postgresql://u:hunter2@db/x?sslmode=allow")], "has an sslmode that is none");
    check(&[("url", "postgresql://u@db/x?sslmode=require"), ("sslmode", "require")], "stands beside an sslmode");
    check(&[("url", "postgresql://db/x")], "names no user");
    check(&[("username", "u")], "stands beside a user in `url`");
    check(&[("url", "postgresql://u:hunter2@db/x"), ("password", "hunter2")], "stands beside a password in `url`");
    check(&[("ca_file", "/ca.pem"), ("sslmode", "require")], "`sslmode: verify-full` or `verify-ca` beside it");
    check(&[("client_key", "/k.pem")], "`client_certificate` beside it");
    check(&[("client_certificate", "/c.pem")], "`client_key` beside it");
    check(
        &[("client_certificate", "/c.pem"), ("client_key", "/k.pem"), ("sslmode", "disable")],
        "an `sslmode` with TLS",
    );
    check(&[("sslmode", "full")], "verify-full");
    check(&[("table", "a.b.c")], "is no name of a table");
    check(&[("table", "a.b\"; DROP")], "is no name of a table");
    check(&[("table", "a.b"), ("create", "plan")], "SCHEMA.alert_history");
    check(&[("create", "yes")], "no, plan, shipped");
    check(&[("tabel", "x")], "did you mean `table`");
}

#[test]
fn its_password_shows_nowhere() {
    for settings in [&[("password", "hunter2")][..], &[("url", "postgresql://u:hunter2@db1,db2/x")][..]] {
        let channel = channel(kind(), settings);
        let transport = transport(settings);
        assert_eq!(transport.password.as_ref().map(|password| password.expose()), Some("hunter2"));
        let shown = format!("{channel:?} {transport:?} {:?}", request(channel.as_ref(), &delivery(&incident("x"))));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn whoever_is_elsewhere_must_show_who_it_is_unless_the_settings_say_less() {
    let tls = |url: &str, more: &[(&'static str, &str)]| transport(&[&[("url", url)], more].concat()).tls;
    assert_eq!(tls("postgresql://u@db/x", &[]), PostgresTls::VerifyFull);
    assert_eq!(tls("postgresql://u@127.0.0.1/x", &[]), PostgresTls::Prefer);
    assert_eq!(tls("postgresql://u@db/x?sslmode=require", &[]), PostgresTls::Require);
    assert_eq!(tls("postgresql://u@db/x", &[("sslmode", "disable")]), PostgresTls::Disable);
}

#[test]
fn the_server_gives_up_before_we_do() {
    let transport = transport(&[("timeout", "8s")]);
    assert_eq!((transport.statement_timeout, transport.lock_timeout), (Duration::from_secs(4), Duration::from_secs(2)));
}

#[test]
fn what_a_database_cannot_keep_of_an_incident_does_not_cost_its_row() {
    let channel = channel(kind(), &[]);
    let incident = incident("x");
    let first = delivery(&incident);
    let refused = |state: &str| Reply::SqlRefused { state: state.into(), text: "no".into() };
    let Step::Send(Request::Part(part)) = channel.step(&first, &[refused("22003")]) else { panic!("no second try") };
    let read: Value = serde_json::from_slice(&part).expect("JSON");
    assert_eq!((&read["title"], read.get("body")), (&json!("x"), None));
    for replies in [&[refused("22003"), refused("22003")][..], &[refused("23514")][..]] {
        assert!(matches!(channel.step(&first, replies), Step::Done(Outcome::Rejected { .. })), "{replies:?}");
    }
}

/// What a row is made of.
fn part_of(delivery: &Delivery<'_>) -> Vec<u8> {
    match request(channel(kind(), &[]).as_ref(), delivery) {
        Request::Part(part) => part,
        other => panic!("no part: {other:?}"),
    }
}

/// A column as the catalogue tells of it.
fn column(kind: &str) -> Value {
    json!({"type": kind, "length": null, "must_be_given": false, "is_unique": kind == "uuid",
        "may_insert": true, "may_select": true, "may_update": true, "refers": null})
}

fn answer(key: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut columns = json!({"alert_id": column(key), "created_at": column("timestamp with time zone")});
    for name in ["rule_id", "severity", "title", "description"] {
        columns[name] = column("text");
    }
    change(&mut columns);
    json!({"is_standby": false, "columns": columns, "rules": null, "incidents": null}).to_string()
}

#[test]
fn what_does_not_fit_is_told_with_what_would() {
    let table = PostgresTable {
        schema: "s".into(),
        name: "alert_history".into(),
        create: None,
        may_repeat: false,
        makes_incidents: true,
    };
    let check = |answer: &str, expected: &str| {
        let misfit = table.read(answer).expect_err("it does not fit").to_string();
        assert!(misfit.contains(expected), "{misfit}");
    };
    check(r#"{"is_standby":true,"columns":null,"rules":null,"incidents":null}"#, "standby");
    check(r#"{"is_standby":false,"columns":null,"rules":null,"incidents":null}"#, "there is no table s.alert_history");
    check("[]", "cannot be read");
    check(&answer("text", |_| ()), "alert_id of type text; allowed: alert_id of type uuid");
    check(&answer("uuid", |columns| columns["alert_id"]["is_unique"] = json!(false)), "without a unique index");
    check(&answer("integer", |_| ()), "no unique column balefire_id");
    check(&answer("uuid", |columns| columns["title"] = Value::Null), "cannot be read");
    check(&answer("uuid", |columns| columns["title"]["type"] = json!("bytea")), "title of type bytea");
    check(
        &answer("uuid", |columns| drop(columns.as_object_mut().map(|columns| columns.remove("rule_id")))),
        "no column rule_id",
    );
    let required = |columns: &mut Value| {
        columns["tenant"] = column("text");
        columns["tenant"]["must_be_given"] = json!(true);
    };
    check(&answer("uuid", required), "wants a value in tenant");
}

#[test]
fn nothing_is_made_that_nobody_asked_for_or_that_is_there() {
    let table = |create| PostgresTable {
        schema: "s".into(),
        name: "alert_history".into(),
        create,
        may_repeat: false,
        makes_incidents: true,
    };
    let missing = || Err(PostgresMisfit::NoTable { table: "s.alert_history".into() });
    assert_eq!(table(None).migration(&missing()), None);
    let asked = table(Some(PostgresForm::Plan));
    let made = asked.migration(&missing()).expect("it is made");
    assert!(made.contains("CREATE SCHEMA") && made.contains("alert_rules"), "{made}");
    let complete = asked.read(&answer("uuid", |columns| {
        columns["balefire"] = column("jsonb");
        columns["balefire_first"] = column("uuid");
    }));
    assert_eq!(asked.migration(&complete), None);
    let bare = asked.read(&answer("uuid", |_| ()));
    assert!(asked.migration(&bare).is_some_and(|made| !made.contains("CREATE SCHEMA") && made.contains("ADD COLUMN")));
    assert_eq!(asked.migration(&Err(PostgresMisfit::Standby)), None);
}

#[test]
fn every_name_of_the_catalogue_is_quoted_in_the_statement() {
    let name = "x\" ; DROP TABLE y; --";
    let table =
        PostgresTable { schema: name.into(), name: "t".into(), create: None, may_repeat: false, makes_incidents: true };
    let refers = json!({"schema": name, "table": name, "column": name, "may_select": true});
    let answer = answer("uuid", |columns| {
        columns["incident_id"] = column("uuid");
        columns["incident_id"]["refers"] = refers;
    });
    let layout = table.read(&answer).expect("it fits");
    let statements = layout.statements(&[part_of(&delivery(&incident("x")))], PostgresRows::All);
    let all: String = statements.iter().map(|statement| statement.text).collect();
    assert!(all.contains("\"x\"\" ; DROP TABLE y; --\""), "{all}");
    assert!(!all.replace("\"\"", "").contains("x\" ;"), "{all}");
}

#[test]
fn what_the_table_has_no_column_for_does_not_travel_and_the_rest_does_whatever_it_says() {
    let table =
        PostgresTable { schema: "s".into(), name: "t".into(), create: None, may_repeat: false, makes_incidents: true };
    let bare = table.read(&answer("uuid", |_| ())).expect("it fits");
    let whole = table.read(&answer("uuid", |columns| columns["balefire"] = column("jsonb"))).expect("it fits");
    let parts: Vec<Vec<u8>> = [",\"body\":{\"x\":1}", "\\\",\"body\":{", "plain"]
        .into_iter()
        .map(|text| part_of(&delivery(&incident(text))))
        .collect();
    let list = |layout: &PostgresLayout| layout.statements(&parts, PostgresRows::All)[0].list.clone();
    let mut all: Value = serde_json::from_str(&list(&whole)).expect("JSON");
    let told: Value = serde_json::from_str(&list(&bare)).expect("JSON");
    for part in all.as_array_mut().expect("a list") {
        assert!(part.as_object_mut().and_then(|part| part.remove("body")).is_some());
    }
    assert_eq!(told, all);
}
