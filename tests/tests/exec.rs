//! The exec channel against the built binary: a plugin in Python under our host, one that dies and one that never answers,
//! and what a stop and a kill leave of it.

use balefire_tests::python::{PYTHON, command, package};
use balefire_tests::server::{Server, Site};
use balefire_tests::wait;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A channel `plugin` with these settings, and a second one that hears when it fails.
fn site(plugin: &str, settings: &str) -> Site {
    let site = Site::new(&format!(
        "channels:\n  plugin:\n    exec:\n      command: [{PYTHON}, -m, balefire.host, plugin.Plugin]\n      \
         env: {{PYTHONPATH: \"{package}:{{dir}}\", PYTHONDONTWRITEBYTECODE: \"1\"}}\n      cwd: \"{{dir}}\"\n{settings}\n    \
         retry: {{initial: 200ms, cap: 1s}}\ndedup: {{enabled: false}}\nrouting: custom\nroutes: [{{name: all, to: [plugin]}}]\n",
        package = package().display(),
    ));
    fs::write(site.path("plugin.py"), plugin).expect("the directory is ours");
    site
}

/// Appends each record's title to `seen`, and `done` to it at the end.
const KEEPER: &str = "
import os
class Plugin:
    def write(self, record):
        print('a plugin prints what it likes', record)
        if os.path.exists('die'): os.remove('die'); os._exit(9)
        if os.path.exists('broken'): raise OSError('the far side is away')
        open('seen', 'a').write(record['incident']['title'] + '\\n')
    def done(self): open('seen', 'a').write('done\\n')
";

fn incident(nth: usize) -> Value {
    json!({"title": format!("t{nth}"), "severity": "high", "detected_by": "t"})
}

fn seen(site: &Site) -> Vec<String> {
    fs::read_to_string(site.path("seen")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn counts(site: &Site) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for title in seen(site) {
        *counts.entry(title).or_default() += 1;
    }
    counts
}

fn send(server: &Server, count: usize) -> Vec<String> {
    let incidents: Vec<Value> = (0..count).map(incident).collect();
    server.send(&json!(incidents)).expect(202).ids()
}

fn wait_for_attempt(server: &Server, id: &str, expected: &str) {
    wait::until(&format!("an attempt has failed with {expected}"), || {
        let outcome = server.why(id)["deliveries"][0]["last_outcome"]["rejected"].clone();
        let is_it = outcome["cause"] == "network" && outcome.to_string().contains(expected);
        if is_it { Ok(()) } else { Err(outcome.to_string()) }
    });
}

#[test]
fn every_incident_reaches_the_plugin_once_and_a_stop_lets_it_finish() {
    let site = site(KEEPER, "");
    let mut server = site.start();
    for id in send(&server, 200) {
        server.wait_for_deliveries(&id, "delivered");
    }
    assert!(server.terminate().success());
    let counts = counts(&site);
    assert_eq!(counts.len(), 201, "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_eq!(seen(&site).last().map(String::as_str), Some("done"));
    assert!(server.stderr().contains("a plugin prints what it likes"), "{}", server.stderr());
}

#[test]
fn what_a_plugin_that_died_had_not_answered_comes_again_and_nothing_is_lost() {
    let site = site(KEEPER, "");
    let server = site.start();
    let mut ids = send(&server, 50);
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    fs::write(site.path("die"), "").expect("the directory is ours");
    ids.extend(send(&server, 50));
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    let counts = counts(&site);
    assert_eq!(counts.len(), 50, "{counts:?}");
    // Two of each were sent; the one under the plugin's hands may have come to nothing or to two.
    let most = counts.values().filter(|count| **count == 2).count();
    assert!(most >= 49 && counts.values().all(|count| (2..=3).contains(count)), "{counts:?}");
    let failed = server.logged("program failed").expect("its death is told");
    assert!(failed["why"].to_string().contains("it ended with exit code 9"), "{failed}");
}

#[test]
fn a_plugin_that_raises_keeps_the_work_and_says_why() {
    let site = site(KEEPER, "");
    fs::write(site.path("broken"), "").expect("the directory is ours");
    let server = site.start();
    let id = server.accept(&incident(0));
    wait_for_attempt(&server, &id, "OSError: the far side is away");
    fs::remove_file(site.path("broken")).expect("it is there");
    server.wait_for_deliveries(&id, "delivered");
    assert!(server.stderr().contains("Traceback (most recent call last)"), "{}", server.stderr());
}

#[test]
fn a_record_that_the_plugin_cannot_take_is_a_dead_letter_with_its_reason() {
    let site = site("class Plugin:\n    def write(self, record): record['nothing']\n    def done(self): pass\n", "");
    let server = site.start();
    let id = server.accept(&incident(0));
    let letters = wait::until("it is a dead letter", || {
        let answer = server.get("/api/v1/dead-letters").expect(200).json();
        if answer["dead_letters"].as_array().is_some_and(|all| !all.is_empty()) {
            Ok(answer)
        } else {
            Err(answer.to_string())
        }
    });
    assert!(letters.to_string().contains(&id), "{letters}");
    assert!(letters.to_string().contains("KeyError: 'nothing'"), "{letters}");
}

#[test]
fn a_plugin_that_cannot_be_loaded_does_not_lose_what_waits_for_it() {
    let site = site("import nothing_of_this_name\n", "");
    let server = site.start();
    let id = server.accept(&incident(0));
    wait_for_attempt(&server, &id, "No module named 'nothing_of_this_name'");
    fs::write(site.path("plugin.py"), KEEPER).expect("the directory is ours");
    server.wait_for_deliveries(&id, "delivered");
    assert_eq!(seen(&site), ["t0"]);
}

#[test]
fn a_plugin_that_hangs_is_ended_and_the_work_goes_on() {
    let plugin = "
import os, signal
class Plugin:
    def write(self, record):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while not os.path.exists('mended'): signal.pause()
    def done(self): pass
";
    let site = site(plugin, "      timeout: 1s");
    let server = site.start();
    let id = server.accept(&incident(0));
    wait_for_attempt(&server, &id, "it gave no answer within 1s");
    fs::write(site.path("mended"), "").expect("the directory is ours");
    server.wait_for_deliveries(&id, "delivered");
}

#[test]
fn a_plugin_does_not_outlive_a_server_that_was_killed() {
    let plugin = "
import os
class Plugin:
    def write(self, record): open('pid', 'w').write(str(os.getpid()))
    def done(self): pass
";
    let site = site(plugin, "");
    let mut server = site.start();
    let id = server.accept(&incident(0));
    server.wait_for_deliveries(&id, "delivered");
    let pid = fs::read_to_string(site.path("pid")).expect("the plugin has written it");
    server.kill();
    wait::until("the plugin has ended", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") { Ok(()) } else { Err(status) }
    });
}

#[test]
fn secrets_reach_the_plugin_and_nothing_else() {
    let plugin = "
import os
class Plugin:
    def __init__(self, password, port): self.text = '%s %r' % (password, port)
    def write(self, record): raise OSError('login failed: ' + self.text)
    def done(self): pass
";
    let site = site(plugin, "      settings: {port: 27017}\n      secrets: {password: hunter2-hunter2}");
    let server = site.start();
    let id = server.accept(&incident(0));
    wait_for_attempt(&server, &id, "OSError: login failed: *** 27017");
    assert!(!server.stderr().contains("hunter2-hunter2"), "{}", server.stderr());
}

#[test]
fn the_python_package_keeps_its_own_laws() {
    let mut tests = command(Path::new(PYTHON));
    let tests = tests.args(["-m", "unittest", "discover", "-s", "tests", "-t", "."]).current_dir(package());
    let output = tests.output().expect("Python can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Appends each record's title and delivery to `seen`; refuses what is odd, and dies once after a record was written.
const PICKY: &str = "
import os
class Plugin:
    def write(self, record):
        title = record['incident']['title']
        if int(title[1:]) % 2: raise ValueError('odd: ' + title)
        open('seen', 'a').write(title + ' ' + record['delivery']['id'] + '\\n')
        if os.path.exists('die'): os.remove('die'); os._exit(9)
    def done(self): pass
";

#[test]
fn half_may_be_refused_and_an_answer_lost_and_the_others_are_there_under_one_id_each() {
    let site = site(PICKY, "");
    fs::write(site.path("die"), "").expect("the directory is ours");
    let server = site.start();
    let ids = send(&server, 100);
    for (nth, id) in ids.iter().enumerate() {
        if nth % 2 == 0 {
            server.wait_for_deliveries(id, "delivered");
        } else {
            wait::until("what is odd is given up", || {
                let status = server.why(id)["deliveries"][0]["status"].to_string();
                if status.contains("odd: t") { Ok(()) } else { Err(status) }
            });
        }
    }
    let lines = counts(&site);
    let titles: BTreeSet<&str> = lines.keys().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((lines.len(), titles.len()), (50, 50), "one id each: {lines:?}");
    assert_eq!(
        lines.values().filter(|count| **count > 1).count(),
        1,
        "only what was not answered came again: {lines:?}"
    );
}

#[test]
fn a_plugin_whose_far_side_is_slow_or_full_keeps_the_work() {
    let plugin = "
import errno, os, time
class Plugin:
    def write(self, record):
        if os.path.exists('full'): raise OSError(errno.ENOSPC, 'No space left on device')
        if os.path.exists('slow'): time.sleep(0.2)
        open('seen', 'a').write(record['incident']['title'] + '\\n')
    def done(self): pass
";
    let site = site(plugin, "      timeout: 5s");
    fs::write(site.path("full"), "").expect("the directory is ours");
    fs::write(site.path("slow"), "").expect("the directory is ours");
    let server = site.start();
    let ids = send(&server, 20);
    wait_for_attempt(&server, &ids[0], "No space left on device");
    fs::remove_file(site.path("full")).expect("it is there");
    for id in &ids {
        server.wait_for_deliveries(id, "delivered");
    }
    let counts = counts(&site);
    assert!(counts.len() == 20 && counts.values().all(|count| *count == 1), "{counts:?}");
}
