//! What a running server says of the watchers of audit logging, and waiting until it says so.

use crate::server::Server;
use crate::wait;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A machine that does much else takes its time.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What a running server says of one watcher.
///
/// # Panics
/// Where it is not so.
#[must_use]
pub fn watcher(server: &Server, name: &str) -> Value {
    of(&server.get("/api/v1/watch").expect(200).json(), name)
}

/// What is said of one watcher, in what is said of all.
///
/// # Panics
/// Where it is not so.
#[must_use]
pub fn of(all: &Value, name: &str) -> Value {
    let watchers = all["watchers"].as_array().expect("a list of watchers");
    watchers.iter().find(|watcher| watcher["name"] == name).unwrap_or_else(|| panic!("no {name} in {all}")).clone()
}

/// The ids of what is wrong, sorted.
///
/// # Panics
/// Where it is not so.
#[must_use]
pub fn ids(watcher: &Value) -> Vec<String> {
    let failures = watcher["failures"].as_array().expect("a list of failures");
    let mut ids: Vec<String> =
        failures.iter().map(|failure| failure["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

/// Waits until the watcher is ok, and gives it.
///
/// # Panics
/// Where it is not so.
pub fn wait_ok(server: &Server, name: &str) -> Value {
    wait::until(&format!("{name} is ok"), || {
        let watcher = watcher(server, name);
        if watcher["state"] == "ok" { Ok(watcher) } else { Err(watcher.to_string()) }
    })
}

/// Waits until the watcher is in this state, and gives it.
///
/// # Panics
/// Where it is not so.
pub fn wait_for_state(server: &Server, name: &str, state: &str) -> Value {
    wait::within(PATIENCE, &format!("{name} is {state}"), || {
        let watcher = watcher(server, name);
        if watcher["state"] == state { Ok(watcher) } else { Err(watcher.to_string()) }
    })
}

/// Waits for the newest incident that tells of this change of this failure, and gives it.
///
/// # Panics
/// Where it is not so.
pub fn wait_for_newest(server: &Server, (failure, change): (&str, &str)) -> Value {
    wait::within(PATIENCE, &format!("{failure}: {change}"), || {
        let rows = server.list(&format!("limit=1000&rule=watch.{failure}"));
        let all: Vec<Value> = rows.iter().map(|row| server.show(row["id"].as_str().expect("an id"))).collect();
        let found = all.iter().find(|shown| shown["incident"]["labels"]["change"] == change).cloned();
        found.ok_or_else(|| server.get("/api/v1/watch").text())
    })
}

/// Waits until the watcher says that this is wrong, and gives it.
///
/// # Panics
/// Where it is not so.
pub fn wait_failing(server: &Server, name: &str, id: &str) -> Value {
    wait::until(&format!("{name} says {id}"), || {
        let watcher = watcher(server, name);
        if ids(&watcher).iter().any(|found| found == id) { Ok(watcher) } else { Err(watcher.to_string()) }
    })
}

/// Waits until there are so many incidents of a failure.
///
/// # Panics
/// Where it is not so.
pub fn wait_incidents(server: &Server, id: &str, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} incidents of {id}"), || {
        let of_it = |row: &Value| row["detected_by"] == format!("watch.{id}").as_str();
        let found: Vec<Value> = server.list("limit=100").into_iter().filter(of_it).collect();
        if found.len() >= count { Ok(found) } else { Err(format!("{:?}", server.list("limit=100"))) }
    })
}

/// Writes at the end of a file, which is made where it is not there.
///
/// # Panics
/// Where it is not so.
pub fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file is ours");
    file.write_all(text.as_bytes()).expect("there is room");
}
