//! Rows of `security_incidents`, and rows of `alert_history` that belong together, against a real server in both forms: an
//! incident has one row whatever comes again, and who acknowledges one of its rows has acknowledged all.

use balefire_tests::postgres::{DATABASE, PASSWORD, PLAN, Postgres, SHIPPED, USER};
use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::{Path, PathBuf};

const FORMS: [(&str, &str, &str, &str); 2] =
    [("plan", PLAN, "alert_id", "incident_id"), ("shipped", SHIPPED, "balefire_id", "balefire_id")];

fn site_as(user: &str, password: &str, address: impl Display, settings: &str) -> Site {
    Site::new(&format!(
        "history: {{postgres: {{url: \"postgresql://{user}@{address}/{DATABASE}\", password: \"{password}\", \
         connect_timeout: 2s, acknowledgements: {{poll: 200ms}}{settings}}}, retry: {{initial: 200ms, cap: 1s}}}}\n\
         routing: custom\n"
    ))
}

/// A history in a table of this form that has our own columns.
fn site(address: impl Display, form: &str) -> Site {
    site_as(USER, PASSWORD, address, &format!(", create: {form}"))
}

fn incident(title: &str, severity: &str) -> Value {
    json!({"title": title, "severity": severity, "detected_by": "brute_force", "description": "from 192.0.2.7",
        "nist_controls": ["3.1.8"], "fingerprint": title})
}

/// Does the same with a table of each form, where there is a database at all.
fn with_each_form(check: impl Fn(&Postgres, &Server, &str)) {
    for (form, schema, key, _) in FORMS {
        let Some(postgres) = Postgres::start(schema) else { return };
        check(&postgres, &site(postgres.address, form).start(), key);
    }
}

/// Alerts of these titles, when all of them are in the table.
fn accepted<const N: usize>(server: &Server, titles: [&str; N]) -> [String; N] {
    let ids = titles.map(|title| server.accept(&incident(title, "high")));
    wait_until_empty(server);
    ids
}

fn act(server: &Server, id: &str, what: &str, by: &str) {
    server.post(&format!("/api/v1/incidents/{id}/{what}"), json!({"by": by}).to_string()).expect(200);
}

fn acknowledge_there(postgres: &Postgres, key: &str, id: &str, by: &str) {
    postgres.run(&format!(
        "UPDATE blueteam.alert_history SET acknowledged = TRUE, acknowledged_by = '{by}', acknowledged_at = now() \
         WHERE {key} = '{id}'"
    ));
}

/// The rows of incidents that are not about Balefire itself, the oldest first.
fn incidents(postgres: &Postgres) -> Vec<Value> {
    let rows = postgres.sql(
        "SELECT coalesce(json_agg(r), '[]') FROM (SELECT * FROM blueteam.security_incidents \
         WHERE coalesce(detected_by, '') NOT LIKE 'balefire%' ORDER BY created_at, title) r",
    );
    serde_json::from_str(&rows).expect("a list")
}

fn wait_until_empty(server: &Server) {
    wait::until("the queue is empty", || {
        let channels = server.get("/api/v1/channels").expect(200).json();
        let mut queues = channels["channels"].as_array().expect("a list").iter();
        if queues.all(|channel| channel["queue"]["depth"] == 0) { Ok(()) } else { Err(channels.to_string()) }
    });
}

/// Who has acknowledged each of these, in the table; nobody is nothing.
fn wait_for_names(postgres: &Postgres, key: &str, expected: &[(&String, Option<&str>)]) {
    wait::until(&format!("the rows say {expected:?}"), || {
        let rows = postgres.rows();
        let is_so = |(id, by): &(&String, Option<&str>)| {
            rows.iter().any(|row| {
                row[key] == **id && row["acknowledged"] == by.is_some() && row["acknowledged_by"] == json!(by)
            })
        };
        if expected.iter().all(is_so) { Ok(()) } else { Err(json!(rows).to_string()) }
    });
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/postgres").join(name)
}

#[test]
fn an_incident_has_one_row_to_which_all_its_alerts_lead_and_it_gets_worse_with_them() {
    for (form, schema, key, own) in FORMS {
        let Some(postgres) = Postgres::start(schema) else { return };
        let site = site(postgres.address, form);
        let server = site.start();
        let first = server.accept(&incident("a", "low"));
        let nothing = server.accept(&incident("b", "info"));
        wait_until_empty(&server);
        let before = incidents(&postgres);
        assert_eq!(before.len(), 1, "what is info is no incident there: {before:?}");
        let row = &before[0];
        assert_eq!((&row[own], &row["title"], &row["severity"]), (&json!(first), &json!("a"), &json!("low")), "{row}");
        assert_eq!((&row["detected_by"], &row["description"]), (&json!("brute_force"), &json!("from 192.0.2.7")));
        assert_eq!((&row["cui_involved"], &row["dfars_reportable"]), (&json!(false), &json!(false)));
        assert_eq!(row["status"], if form == "plan" { "detected" } else { "open" });
        if form == "plan" {
            assert_eq!((&row["correlation_rule"], &row["nist_controls"]), (&json!("brute_force"), &json!(["3.1.8"])));
        }
        let mut worse = incident("a", "high");
        worse["cui_involved"] = json!(true);
        let second = server.accept(&worse);
        let third = server.accept(&incident("a", "medium"));
        wait_until_empty(&server);
        let after = incidents(&postgres);
        assert_eq!(after.len(), 1, "{after:?}");
        assert_eq!((&after[0]["severity"], &after[0]["cui_involved"]), (&json!("high"), &json!(true)), "{after:?}");
        assert_eq!(after[0]["dfars_reportable"], true);
        let rows = postgres.rows();
        for id in [&first, &second, &third] {
            let alert = rows.iter().find(|row| row[key] == **id).expect("each event is a row");
            assert_eq!(alert["incident_id"], after[0]["incident_id"], "{alert}");
        }
        let alert = rows.iter().find(|row| row[key] == nothing).expect("it is in the history");
        assert_eq!(alert["incident_id"], Value::Null);
        act(&server, &third, "resolve", "ann");
        wait::until("the incident is closed", || match incidents(&postgres) {
            rows if rows[0]["status"] == "closed" && rows[0]["closed_at"].is_string() => Ok(()),
            rows => Err(json!(rows).to_string()),
        });
    }
}

#[test]
fn what_a_person_has_taken_in_hand_stays_theirs_and_a_senders_own_incident_is_led_to() {
    for (form, schema, key, own) in FORMS {
        let Some(postgres) = Postgres::start(schema) else { return };
        let link = if form == "plan" { "7c0e1a52-0000-4000-8000-000000000007" } else { "42" };
        postgres.run(&format!("INSERT INTO blueteam.security_incidents VALUES ('{link}', 'a breach', 'high')"));
        let site = site(postgres.address, form);
        let server = site.start();
        let id = server.accept(&incident("a", "low"));
        let mut linked = incident("b", "critical");
        linked["incident_id"] = json!(link);
        let linked = server.accept(&linked);
        wait_until_empty(&server);
        let status = "UPDATE blueteam.security_incidents SET status = 'contained', severity = 'medium'";
        postgres.run(&format!("{status} WHERE {own} = '{id}'"));
        server.accept(&incident("a", "critical"));
        act(&server, &id, "resolve", "ann");
        act(&server, &linked, "resolve", "ann");
        wait_until_empty(&server);
        let rows = incidents(&postgres);
        let of = |title: &str| rows.iter().find(|row| row["title"] == title).cloned().unwrap_or_default();
        assert_eq!(rows.len(), 2, "the sender's own incident has no second row: {rows:?}");
        assert_eq!((&of("a")["status"], &of("a")["severity"]), (&json!("contained"), &json!("medium")), "{rows:?}");
        assert_ne!(of("a breach")["status"], "closed", "it is not ours: {rows:?}");
        let alerts = postgres.rows();
        let alert = alerts.iter().find(|row| row[key] == linked).expect("a row");
        assert_eq!(alert["incident_id"].to_string().trim_matches('"'), link);
    }
}

#[test]
fn answers_that_are_lost_and_a_server_that_crashes_make_no_second_incident() {
    for (form, schema, _, own) in FORMS {
        let Some(mut postgres) = Postgres::start(schema) else { return };
        let relay = Relay::start(postgres.address);
        let site = site(relay.address(), form);
        let server = site.start();
        let mut ids = vec![server.accept(&incident("0", "low"))];
        wait_until_empty(&server);
        relay.cut(2);
        for number in 1..20 {
            ids.push(server.accept(&incident(&number.to_string(), "low")));
            server.accept(&incident("0", "low"));
        }
        wait::until("answers are lost", || match relay.cuts_left() {
            0 => Ok(()),
            left => Err(format!("{left} to come")),
        });
        postgres.crash();
        server.accept(&incident("0", "high"));
        postgres.resume();
        wait_until_empty(&server);
        let rows = incidents(&postgres);
        let mut found: Vec<&str> = rows.iter().filter_map(|row| row[own].as_str()).collect();
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids);
        let unlinked =
            "SELECT count(*) FROM blueteam.alert_history WHERE incident_id IS NULL AND rule_id = 'brute_force'";
        let unlinked = postgres.sql(unlinked);
        assert_eq!(unlinked, "0");
        let worst = rows.iter().find(|row| row["title"] == "0").expect("its row");
        assert_eq!(worst["severity"], "high");
    }
}

#[test]
fn an_alert_is_kept_also_where_the_table_of_incidents_refuses_its_row() {
    for (form, schema, key, own) in FORMS {
        let Some(postgres) = Postgres::start(schema) else { return };
        let site = site(postgres.address, form);
        let server = site.start();
        server.accept(&incident("fits", "high"));
        wait_until_empty(&server);
        postgres.run(
            "ALTER TABLE blueteam.security_incidents ADD CONSTRAINT short_title CHECK (length(title) < 8), \
             ADD CONSTRAINT never_closed CHECK (status <> 'closed')",
        );
        let long = server.accept(&incident("does not fit", "high"));
        let short = server.accept(&incident("fits 2", "high"));
        wait_until_empty(&server);
        let made = incidents(&postgres);
        assert_eq!(made.iter().map(|row| &row["title"]).collect::<Vec<_>>(), ["fits", "fits 2"], "{form}: {made:?}");
        let rows = postgres.rows();
        let row = |id: &String| rows.iter().find(|row| row[key] == **id).expect("each is a row").clone();
        assert_eq!((&row(&long)["incident_id"], row(&short)["incident_id"].is_null()), (&Value::Null, false), "{form}");
        let told = server.get(&format!("/api/v1/incidents/{long}")).expect(200).text();
        assert!(told.contains("its incident's row was refused") && told.contains("short_title"), "{told}");
        for id in [&long, &short] {
            act(&server, id, "resolve", "ann");
        }
        wait_for_names(&postgres, key, &[(&long, Some("balefire: resolved")), (&short, Some("balefire: resolved"))]);
        let open = incidents(&postgres).into_iter().find(|row| row[own] == short).expect("it is there");
        assert_ne!(open["status"], "closed", "{open}");
        wait_until_empty(&server);
        let letters = server.get("/api/v1/dead-letters").expect(200).json();
        assert_eq!(letters["dead_letters"], json!([]), "{letters}");
    }
}

#[test]
fn no_incident_is_made_where_that_is_switched_off_or_the_role_may_not() {
    for (form, schema, _, own) in FORMS {
        let Some(postgres) = Postgres::start(schema) else { return };
        postgres.run_file(USER, &script("balefire.sql"), &[]);
        postgres.run("CREATE ROLE adder LOGIN PASSWORD 'let-me-add-7'");
        let grants = |more: &str| {
            postgres.run_file(USER, &script("grants.sql"), &["role=adder", "schema=blueteam", more]);
        };
        let off = site_as(USER, PASSWORD, postgres.address, ", incidents: false");
        let server = off.start();
        server.accept(&incident("off", "high"));
        wait_until_empty(&server);
        drop(server);
        grants("incidents=0");
        let adder = site_as("adder", "let-me-add-7", postgres.address, "");
        let server = adder.start();
        server.accept(&incident("may not", "high"));
        wait_until_empty(&server);
        assert_eq!((incidents(&postgres), postgres.count()), (Vec::new(), 2), "{form}");
        drop(server);
        grants("incidents=1");
        let server = adder.start();
        let id = server.accept(&incident("may", "low"));
        server.accept(&incident("may", "high"));
        wait_until_empty(&server);
        let rows = incidents(&postgres);
        assert_eq!((rows.len(), &rows[0][own], &rows[0]["severity"]), (1, &json!(id), &json!("high")), "{rows:?}");
    }
}

#[test]
fn who_acknowledges_an_incident_here_has_acknowledged_every_row_of_it_also_those_to_come() {
    with_each_form(|postgres, server, key| {
        let [first, second, other] = accepted(server, ["a", "a", "b"]);
        act(server, &second, "ack", "ann");
        wait_for_names(postgres, key, &[(&first, Some("ann")), (&second, Some("ann")), (&other, None)]);
        let third = server.accept(&incident("a", "high"));
        wait_for_names(postgres, key, &[(&third, Some("ann")), (&other, None)]);
        act(server, &first, "unack", "ann");
        wait_for_names(postgres, key, &[(&first, None), (&second, None), (&third, None)]);
        let [fourth] = accepted(server, ["a"]);
        wait_for_names(postgres, key, &[(&fourth, None)]);
        let mut over = incident("a", "info");
        over["status"] = json!("resolved");
        let over = server.accept(&over);
        let resolved = Some("balefire: resolved");
        wait_for_names(postgres, key, &[(&first, resolved), (&fourth, resolved), (&over, resolved), (&other, None)]);
    });
}

#[test]
fn who_acknowledges_the_row_of_a_repeat_there_has_acknowledged_all_of_the_incident() {
    with_each_form(|postgres, server, key| {
        let [first, second, third] = accepted(server, ["a", "a", "a"]);
        acknowledge_there(postgres, key, &second, "bob");
        wait::until("the first one is acknowledged", || match server.show(&first)["state"].clone() {
            state if state == "acked" => Ok(()),
            state => Err(state.to_string()),
        });
        wait_for_names(postgres, key, &[(&first, Some("bob")), (&second, Some("bob")), (&third, Some("bob"))]);
        act(server, &first, "unack", "ann");
        wait_for_names(postgres, key, &[(&first, None), (&second, None), (&third, None)]);
        wait_until_empty(server);
        assert_eq!(server.show(&first)["state"], "open", "our own word did not come back");
    });
}

#[test]
fn a_table_that_hears_of_an_incident_after_it_was_acknowledged_shows_so() {
    let Some(mut postgres) = Postgres::start(PLAN) else { return };
    postgres.stop();
    let table = |name: &str| {
        format!(
            "  {name}: {{postgres: {{url: \"postgresql://{USER}@{}/{DATABASE}\", password: \"{PASSWORD}\", \
             connect_timeout: 2s}}, retry: {{initial: 200ms, cap: 1s}}}}\n",
            postgres.address
        )
    };
    // Nobody listens there: the table steps in, some time after somebody has acknowledged it.
    let hook = "  hook: {webhook: {url: \"http://127.0.0.1:9/x\"}, retry: {initial: 100ms, cap: 200ms}, \
                fallback: [{channel: late, after: 3s}]}\n";
    let config = format!(
        "channels:\n{}{}{hook}routing: custom\nroutes:\n\
         \x20 - {{name: down, match: ['title = a'], to: [table]}}\n  - {{name: late, match: ['title = b'], to: [hook]}}\n",
        table("table"),
        table("late")
    );
    let site = Site::new(&config);
    let server = site.start();
    let down = server.accept(&incident("a", "high"));
    let late = server.accept(&incident("b", "high"));
    act(&server, &down, "ack", "ann");
    act(&server, &late, "ack", "ann");
    postgres.resume();
    wait_for_names(&postgres, "alert_id", &[(&down, Some("ann")), (&late, Some("ann"))]);
}
