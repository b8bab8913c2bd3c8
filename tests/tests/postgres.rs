//! The postgres channel against a real server, in both forms of `alert_history`: every incident is one row, whatever
//! happens to the server, the table, the connection or the login, and what is refused is told of alone.

use balefire_tests::certificates::Certificates;
use balefire_tests::pooler::Pooler;
use balefire_tests::postgres::{DATABASE, PASSWORD, PLAN, Postgres, SHIPPED, USER};
use balefire_tests::relay::Relay;
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn site_as(user: &str, password: &str, address: impl Display, more: &str) -> Site {
    Site::new(&format!(
        "channels: {{history: {{postgres: {{url: \"postgresql://{user}@{address}/{DATABASE}\", password: \"{password}\", \
         connect_timeout: 2s{more}}}, retry: {{initial: 200ms, cap: 1s}}}}}}\nrouting: custom\n\
         routes: [{{name: all, to: [history]}}]\n"
    ))
}

fn site(address: SocketAddr, more: &str) -> Site {
    site_as(USER, PASSWORD, address, more)
}

fn send(server: &Server, batch: usize, size: usize) -> Vec<String> {
    let incident = |nth: usize| json!({"title": format!("{batch}-{nth}"), "severity": "low", "detected_by": format!("r{}", nth % 7)});
    let incidents: Vec<Value> = (0..size).map(incident).collect();
    server.send(&json!(incidents)).expect(202).ids()
}

/// The delivery to the history.
fn stored(server: &Server, id: &str) -> Value {
    let why = server.why(id);
    let deliveries = why["deliveries"].as_array().expect("a list");
    deliveries.iter().find(|delivery| delivery["channel"] == "history").cloned().unwrap_or_default()
}

/// Waits until the last outcome of the delivery is a refusal of this cause, and gives its words.
fn refusal(server: &Server, id: &str, cause: &str) -> String {
    wait::until(&format!("{id} is refused as {cause}"), || {
        let delivery = stored(server, id);
        let refused = &delivery["last_outcome"]["rejected"];
        match refused["detail"].as_str() {
            Some(detail) if refused["cause"] == cause => Ok(detail.to_owned()),
            _ => Err(delivery.to_string()),
        }
    })
}

/// Waits until nothing waits for the history.
fn wait_until_empty(server: &Server) {
    wait::within(Duration::from_secs(240), "the queue is empty", || {
        let channels = server.get("/api/v1/channels").expect(200).json();
        let mut queues = channels["channels"].as_array().expect("a list").iter();
        if queues.all(|channel| channel["queue"]["depth"] == 0) { Ok(()) } else { Err(channels.to_string()) }
    });
}

/// Each of these incidents, and none of ours beside them, is one row, by the column that holds our ids.
fn each_is_there_once(postgres: &Postgres, column: &str, ids: &[String]) {
    let found = postgres.sql(&format!(
        "SELECT {column} FROM blueteam.alert_history WHERE rule_id IS NULL OR rule_id NOT LIKE 'balefire%'"
    ));
    let rows: Vec<&str> = found.lines().collect();
    let distinct: HashSet<&str> = rows.iter().copied().collect();
    assert_eq!((rows.len(), distinct.len()), (ids.len(), ids.len()));
    for id in ids {
        assert!(distinct.contains(id.as_str()), "{id}");
    }
}

/// A file that users run.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/postgres").join(name)
}

fn resolve(server: &Server, id: &str) {
    server.post(&format!("/api/v1/incidents/{id}/resolve"), "{\"by\": \"ann\"}").expect(200);
}

#[test]
fn an_incident_is_a_row_of_the_plan_column_by_column_and_its_rule_is_made() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let link = "7c0e1a52-0000-4000-8000-000000000007";
    postgres.run(&format!("INSERT INTO blueteam.security_incidents VALUES ('{link}', 'a breach', 'high')"));
    postgres.run("INSERT INTO blueteam.alert_rules (rule_id, name, severity) VALUES ('known', 'Kept as it is', 'low')");
    let site = site(postgres.address, "");
    let server = site.start();
    let event = "01935f1c-7c00-7000-8000-00000000000a";
    let full = server.accept(&json!({
        "title": "Brute force – größer", "severity": "critical", "detected_by": "brute_force",
        "description": "two\nlines", "nist_controls": ["3.1.8", "3.14.6"], "cui_involved": true, "incident_id": link,
        "events": [{"event_id": event, "action": "login"}, {"action": "none"}], "labels": {"host": "web-1"},
    }));
    let plain = server.accept(&json!({
        "title": "b", "severity": "info", "detected_by": "known", "incident_id": "9c0e1a52-0000-4000-8000-000000000009",
    }));
    for id in [&full, &plain] {
        let why = server.wait_for_deliveries(id, "delivered");
        let receipt = &why["deliveries"][0]["last_outcome"]["delivered"]["receipt"];
        assert_eq!(receipt, "in blueteam.alert_history", "{why}");
    }
    let rows = postgres.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let received = server.show(&full)["incident"]["received_at"].clone();
    let created = postgres.sql(&format!(
        "SELECT created_at = '{}' FROM blueteam.alert_history WHERE alert_id = '{full}'",
        received.as_str().expect("a time")
    ));
    assert_eq!(created, "t");
    let expected = json!({
        "alert_id": full, "rule_id": "brute_force", "severity": "critical", "title": "Brute force – größer",
        "description": "two\nlines", "event_ids": [event], "incident_id": link, "acknowledged": false,
        "acknowledged_by": null, "acknowledged_at": null, "created_at": rows[0]["created_at"],
    });
    assert_eq!(rows[0], expected);
    assert_eq!((&rows[1]["alert_id"], &rows[1]["severity"]), (&json!(plain), &json!("info")));
    assert_eq!(
        (&rows[1]["event_ids"], &rows[1]["incident_id"]),
        (&json!([]), &Value::Null),
        "no such incident is there"
    );
    let rules = "SELECT rule_id, name, severity, nist_controls FROM blueteam.alert_rules ORDER BY 1";
    assert_eq!(postgres.sql(rules), "brute_force|brute_force|critical|{3.1.8,3.14.6}\nknown|Kept as it is|low|");
}

#[test]
fn an_incident_that_is_over_closes_its_row_and_what_a_person_acknowledged_stays_theirs() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, "");
    let server = site.start();
    let ids = send(&server, 0, 2);
    wait_until_empty(&server);
    postgres.run(&format!(
        "UPDATE blueteam.alert_history SET acknowledged = TRUE, acknowledged_by = 'ann', acknowledged_at = '2020-01-01' \
         WHERE alert_id = '{}'",
        ids[0]
    ));
    for id in &ids {
        resolve(&server, id);
    }
    wait::until("the row is closed", || {
        let rows = postgres.rows();
        if rows.iter().all(|row| row["acknowledged"] == true) { Ok(()) } else { Err(json!(rows).to_string()) }
    });
    let rows = postgres.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0]["acknowledged_by"], "ann");
    assert!(rows[0]["acknowledged_at"].as_str().is_some_and(|at| at.starts_with("2020-01-01")), "{rows:?}");
    assert_eq!(rows[1]["acknowledged_by"], "balefire: resolved");
    assert!(rows[1]["acknowledged_at"].as_str() > rows[1]["created_at"].as_str(), "{rows:?}");
}

#[test]
fn counted_rows_take_nothing_until_a_repeat_can_be_recognised() {
    let Some(postgres) = Postgres::start(SHIPPED) else { return };
    postgres.run("INSERT INTO blueteam.security_incidents VALUES (42, 'a breach', 'high')");
    postgres.run("INSERT INTO blueteam.alert_history (severity, title) VALUES ('low', 'of old')");
    let plain = site(postgres.address, "");
    let server = plain.start();
    let incident =
        json!({"title": "a", "severity": "high", "detected_by": "r", "incident_id": "42", "cui_involved": true});
    let id = server.accept(&incident);
    let words = refusal(&server, &id, "network");
    for way in ["balefire.sql", "`create: shipped`", "`may_repeat: true`"] {
        assert!(words.contains(way), "{words}");
    }
    // As an administrator adds it, while the incident waits.
    postgres.run_file(USER, &script("balefire.sql"), &[]);
    postgres.run_file(USER, &script("balefire.sql"), &[]);
    server.wait_for_deliveries(&id, "delivered");
    drop(server);
    let asked = site(postgres.address, ", create: shipped");
    let server = asked.start();
    let second = server.accept(&incident);
    server.wait_for_deliveries(&second, "delivered");
    resolve(&server, &second);
    wait::until("the row is closed", || match postgres.rows() {
        rows if rows.iter().any(|row| row["acknowledged"] == true) => Ok(()),
        rows => Err(json!(rows).to_string()),
    });
    let rows = postgres.rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, id) in rows.iter().zip([&id, &second]) {
        assert_eq!((&row["balefire_id"], &row["incident_id"], &row["rule_id"]), (&json!(id), &json!(42), &json!("r")));
        assert_eq!(row["balefire"]["incident"]["cui_involved"], true, "what has no column is there, too");
        assert!(row["alert_id"].as_i64() > Some(1), "{row}");
    }
    assert_eq!(rows[1]["acknowledged_by"], "balefire: resolved");
    assert_eq!(
        postgres.sql("SELECT version, name FROM blueteam.balefire_migrations ORDER BY 1"),
        "2|balefire columns\n3|repeats and incidents"
    );
}

#[test]
fn counted_rows_without_our_id_are_written_where_that_is_asked_for() {
    let Some(postgres) = Postgres::start(SHIPPED) else { return };
    let site = site(postgres.address, ", may_repeat: true");
    let server = site.start();
    let ids = send(&server, 0, 20);
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    assert_eq!(postgres.count(), 20);
    let receipt = stored(&server, &ids[0])["last_outcome"]["delivered"]["receipt"].clone();
    assert_eq!(receipt, "in blueteam.alert_history, whose rows stay as they are");
}

#[test]
fn tables_are_made_only_where_that_is_asked_for_and_once() {
    let Some(postgres) = Postgres::start("SELECT 1") else { return };
    for (form, column, version) in [("plan", "alert_id", "1|plan"), ("shipped", "balefire_id", "1|shipped")] {
        let unasked = site(postgres.address, "");
        let server = unasked.start();
        let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
        let words = refusal(&server, &id, "network");
        assert!(words.contains("there is no table blueteam.alert_history; make it with"), "{words}");
        drop(server);
        assert_eq!(postgres.sql("SELECT to_regnamespace('blueteam') IS NULL"), "t", "nothing is made unasked");
        let asked = site(postgres.address, &format!(", create: {form}"));
        let mut ids = Vec::new();
        for start in 0..2 {
            let server = asked.start();
            ids.extend(send(&server, start, 3));
            wait_until_empty(&server);
        }
        each_is_there_once(&postgres, column, &ids);
        let versions = postgres.sql("SELECT version, name FROM blueteam.balefire_migrations ORDER BY 1");
        assert_eq!(versions, format!("{version}\n2|balefire columns\n3|repeats and incidents"));
        postgres.run("DROP SCHEMA blueteam CASCADE");
    }
}

#[test]
fn a_role_that_may_only_add_rows_is_enough_in_both_forms_and_may_do_no_more() {
    for (schema, key) in [(PLAN, "alert_id"), (SHIPPED, "balefire_id")] {
        let Some(postgres) = Postgres::start(schema) else { return };
        postgres.run_file(USER, &script("balefire.sql"), &[]);
        postgres.run("CREATE ROLE adder LOGIN PASSWORD 'let-me-add-7'");
        let grants = |closes: &str| {
            postgres.run_file(
                USER,
                &script("grants.sql"),
                &["role=adder", "schema=blueteam", &format!("closes={closes}")],
            );
        };
        grants("0");
        let site = site_as("adder", "let-me-add-7", postgres.address, "");
        let server = site.start();
        let ids = send(&server, 0, 10);
        wait_until_empty(&server);
        each_is_there_once(&postgres, key, &ids);
        resolve(&server, &ids[0]);
        wait_until_empty(&server);
        assert_eq!(postgres.rows().iter().filter(|row| row["acknowledged"] == true).count(), 0);
        for forbidden in [
            "DELETE FROM blueteam.alert_history",
            "UPDATE blueteam.alert_history SET title = 'x'",
            "SELECT title FROM blueteam.alert_history",
        ] {
            let told = postgres.ask("adder", DATABASE, forbidden);
            assert!(String::from_utf8_lossy(&told.stderr).contains("permission denied"), "{forbidden}: {told:?}");
        }
        drop(server);
        grants("1");
        let server = site.start();
        resolve(&server, &ids[1]);
        wait::until("the row is closed", || {
            let closed = postgres.rows().iter().filter(|row| row["acknowledged"] == true).count();
            if closed == 1 { Ok(()) } else { Err(closed.to_string()) }
        });
    }
}

#[test]
fn a_role_that_may_not_add_is_told_in_the_servers_words() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    postgres.run("CREATE ROLE reader LOGIN PASSWORD 'only-look-7'; GRANT USAGE ON SCHEMA blueteam TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA blueteam TO reader");
    let site = site_as("reader", "only-look-7", postgres.address, "");
    let server = site.start();
    let id = server.accept(&json!({"title": "a", "detected_by": "r"}));
    let words = refusal(&server, &id, "auth");
    assert!(words.contains("42501") && words.contains("permission denied for table alert_history"), "{words}");
}

#[test]
fn a_wrong_password_is_told_as_auth_and_never_shown() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let site = site_as(USER, "hunter2-wrong", postgres.address, "");
    let server = site.start();
    let id = server.accept(&json!({"title": "locked out"}));
    let words = refusal(&server, &id, "auth");
    assert!(words.contains("28P01") && words.contains("password authentication failed"), "{words}");
    let shown = format!("{words}{}{}", server.stderr(), server.get("/api/v1/channels").text());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn tls_makes_sure_who_answers_as_far_as_it_is_asked_to() {
    let (named, elsewhere) = (Certificates::new(), Certificates::naming("DNS:elsewhere.example.org"));
    let Some(postgres) = Postgres::with_tls(PLAN, &elsewhere) else { return };
    let mode =
        |mode: &str, known: &Certificates| format!(", sslmode: {mode}, ca_file: \"{}\"", known.authority().display());
    let refused = |more: &str, expected: &str| {
        let site = site(postgres.address, more);
        let server = site.start();
        let id = server.accept(&json!({"title": "distrusted"}));
        let words = refusal(&server, &id, "auth");
        assert!(words.contains(expected), "{more}: {words}");
    };
    refused(&mode("verify-full", &elsewhere), "not valid for");
    refused(&mode("verify-full", &named), "certificate");
    refused(&mode("verify-ca", &named), "certificate");
    let mut ids = Vec::new();
    for more in [mode("verify-ca", &elsewhere), ", sslmode: require".to_owned(), String::new()] {
        let site = site(postgres.address, &more);
        let server = site.start();
        ids.extend(send(&server, ids.len(), 1));
        server.wait_for_deliveries(&ids[ids.len() - 1], "delivered");
        let protected = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'soc'";
        assert_eq!(postgres.sql(protected), "t", "{more}");
    }
    each_is_there_once(&postgres, "alert_id", &ids);
    drop(postgres);
    let Some(postgres) = Postgres::with_tls(PLAN, &named) else { return };
    let site = site(postgres.address, &mode("verify-full", &named));
    let server = site.start();
    let id = send(&server, 0, 1).remove(0);
    server.wait_for_deliveries(&id, "delivered");
}

#[test]
fn a_server_without_tls_gets_no_password_where_tls_is_wanted() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, ", sslmode: require");
    let server = site.start();
    let id = server.accept(&json!({"title": "a"}));
    let words = refusal(&server, &id, "auth");
    assert!(words.contains("offers no TLS"), "{words}");
}

#[test]
fn hostile_text_is_a_row_and_acts_on_nothing() {
    let Some(postgres) = Postgres::start("SELECT 1") else { return };
    let site = site(postgres.address, ", create: plan");
    let server = site.start();
    let quote = "'); DROP TABLE blueteam.alert_history; --";
    let post = |body: String| server.post("/api/v1/incidents", body).expect(202).ids().remove(0);
    let deep = format!("{}1{}", "[".repeat(50), "]".repeat(50));
    let bodies = [
        format!(
            r#"{{"title":"{quote}","detected_by":"{quote}","description":"a\u0000b","labels":{{"k\u0000":"\u0000"}}}}"#
        ),
        // Larger than PostgreSQL can count.
        r#"{"title":"number","x":1e400000,"y":"\u0000"}"#.to_owned(),
        format!(r#"{{"title":"deep","x":{deep}}}"#),
        format!(r#"{{"title":"{}","detected_by":"{}"}}"#, "T".repeat(65_536), "R".repeat(256)),
        format!(r#"{{"title":"long","description":"{}"}}"#, "\\u0000".repeat(150_000)),
    ];
    let ids: Vec<String> = bodies.into_iter().map(post).collect();
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    each_is_there_once(&postgres, "alert_id", &ids);
    let of = |id: &str, what: &str| {
        postgres.sql(&format!("SELECT {what} FROM blueteam.alert_history WHERE alert_id = '{id}'"))
    };
    assert_eq!(of(&ids[0], "title, rule_id, description"), format!("{quote}|{quote}|a\u{2400}b"));
    assert_eq!(of(&ids[0], "balefire->'incident'->'labels'"), "{\"k\u{2400}\": \"\u{2400}\"}");
    assert_eq!(of(&ids[1], "title, balefire IS NULL"), "number|t");
    assert_eq!(of(&ids[2], "balefire IS NULL"), "f");
    let cut = of(&ids[3], "title");
    assert!(cut.len() < 10_000 && cut.ends_with("of 65536 bytes]"), "{} bytes", cut.len());
    assert_eq!(of(&ids[3], "length(rule_id)"), "256");
    assert_eq!(of(&ids[4], "length(description) > 100000"), "t");
}

#[test]
fn a_row_that_is_refused_is_given_up_alone() {
    let Some(mut postgres) = Postgres::start(SHIPPED) else { return };
    postgres.run_file(USER, &script("balefire.sql"), &[]);
    postgres.run("ALTER TABLE blueteam.alert_history ADD CONSTRAINT no_sevens CHECK (title NOT LIKE '%7')");
    postgres.stop();
    let site = site(postgres.address, "");
    let server = site.start();
    // All wait together while it is away, and go out in one piece.
    let ids = send(&server, 0, 100);
    refusal(&server, &ids[0], "network");
    postgres.resume();
    wait_until_empty(&server);
    let (bad, good): (Vec<_>, Vec<_>) = ids.iter().cloned().enumerate().partition(|(nth, _)| nth % 10 == 7);
    let good: Vec<String> = good.into_iter().map(|(_, id)| id).collect();
    each_is_there_once(&postgres, "balefire_id", &good);
    for (_, id) in bad {
        let delivery = stored(&server, &id);
        let reason = delivery["status"]["given_up"]["reason"].as_str().unwrap_or_else(|| panic!("{delivery}"));
        assert!(reason.contains("23514") && reason.contains("no_sevens"), "{reason}");
    }
}

#[test]
fn an_answer_that_is_lost_makes_no_second_row() {
    let Some(postgres) = Postgres::start(SHIPPED) else { return };
    let relay = Relay::start(postgres.address);
    let site = site(relay.address(), ", create: shipped");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    for batch in 1..=5 {
        relay.cut(1);
        ids.extend(send(&server, batch, 200));
        wait::until("the answer is lost", || match relay.cuts_left() {
            0 => Ok(()),
            left => Err(format!("{left} to come")),
        });
    }
    wait_until_empty(&server);
    each_is_there_once(&postgres, "balefire_id", &ids);
}

#[test]
fn a_lock_on_the_table_is_waited_for_and_told() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, ", timeout: 4s");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    let mut holder = postgres
        .hold("postgres", "BEGIN; LOCK TABLE blueteam.alert_history IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3600)");
    let locked =
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL";
    wait::until("the table is locked", || match postgres.sql(locked).as_str() {
        "0" => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    ids.extend(send(&server, 1, 300));
    let words = refusal(&server, &ids[10], "network");
    assert!(words.contains("55P03") && words.contains("lock timeout"), "{words}");
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'");
    holder.wait().expect("the session has ended");
    wait_until_empty(&server);
    each_is_there_once(&postgres, "alert_id", &ids);
}

#[test]
fn a_server_without_a_free_connection_is_told_and_gets_each_once_when_it_has_one() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let mut sessions: Vec<_> = (0..20).map(|_| postgres.hold(USER, "SELECT pg_sleep(3600)")).collect();
    wait::until("no connection is free", || {
        match postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'").parse::<u32>()
        {
            Ok(17..) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let site = site(postgres.address, "");
    let server = site.start();
    let ids = send(&server, 0, 300);
    let words = refusal(&server, &ids[0], "quota");
    assert!(words.contains("53300"), "{words}");
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'");
    for session in &mut sessions {
        session.wait().expect("the session has ended");
    }
    wait_until_empty(&server);
    each_is_there_once(&postgres, "alert_id", &ids);
}

#[test]
fn a_table_that_is_changed_under_way_is_looked_at_again() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let site = site(postgres.address, "");
    let server = site.start();
    let mut ids = send(&server, 0, 10);
    wait_until_empty(&server);
    postgres.run("ALTER TABLE blueteam.alert_history DROP COLUMN event_ids");
    ids.extend(send(&server, 1, 10));
    wait_until_empty(&server);
    each_is_there_once(&postgres, "alert_id", &ids);
    postgres.run("ALTER TABLE blueteam.alert_history RENAME TO elsewhere");
    let waits = send(&server, 2, 10);
    let words = refusal(&server, &waits[0], "network");
    assert!(words.contains("there is no table"), "{words}");
    postgres.run("ALTER TABLE blueteam.elsewhere RENAME TO alert_history");
    ids.extend(waits);
    wait_until_empty(&server);
    each_is_there_once(&postgres, "alert_id", &ids);
}

#[test]
fn a_standby_that_is_promoted_goes_on_where_the_primary_was_and_has_each_once() {
    let Some(mut primary) = Postgres::start(PLAN) else { return };
    let standby = primary.standby();
    // The standby comes first: it takes no rows until it is promoted.
    let both = format!("{},{}", standby.address, primary.address);
    let site = site_as(USER, PASSWORD, both, "");
    let server = site.start();
    let mut ids = Vec::new();
    for batch in 0..10 {
        ids.extend(send(&server, batch, 200));
        if batch == 4 {
            wait::until("rows come", || if primary.count() > 200 { Ok(()) } else { Err("few".to_owned()) });
            primary.crash();
        }
    }
    standby.run("SELECT pg_promote()");
    wait_until_empty(&server);
    each_is_there_once(&standby, "alert_id", &ids);
}

#[test]
fn a_pooler_may_stand_between_and_nothing_of_ours_is_left_in_its_session() {
    let Some(postgres) = Postgres::start(PLAN) else { return };
    let pooler = Pooler::before(&postgres);
    let site = site(pooler.address, ", timeout: 8s");
    let server = site.start();
    let mut ids = Vec::new();
    for batch in 0..5 {
        ids.extend(send(&server, batch, 300));
        wait_until_empty(&server);
        let left = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), \
                    (SELECT count(*) FROM pg_prepared_statements), pg_backend_pid()";
        let found = postgres.through(pooler.address, left);
        assert!(found.starts_with("0|0|0|"), "{found}");
        // The one session is anybody's: ours ends in the middle of nothing and goes on with the next.
        if batch == 2 {
            postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'soc'");
        }
    }
    each_is_there_once(&postgres, "alert_id", &ids);
}
