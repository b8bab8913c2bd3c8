//! The Python package in the place of the BT-08 engine, against the built binary: what is called stays as it was, what comes
//! back is true, and no object is so odd that nobody hears of it.

use balefire_tests::python::{PYTHON, command};
use balefire_tests::server::{Server, Site};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Two channels that take everything, and one whose far side is not there.
const CONFIG: &str = "\
channels:
  kept: {file: {path: \"{dir}/kept.jsonl\"}}
  also: {file: {path: \"{dir}/also.jsonl\"}}
  away: {syslog: {to: \"{dir}/nobody\"}}
routing: custom
routes: [{name: all, match: \"severity > info\", to: [kept, also, away]}]
";

/// What each script begins with; it prints JSON, one line for each fact.
const HEAD: &str = "
import datetime, decimal, enum, json, logging, sys, time, uuid
from balefire.blueteam import AlertEngine, NotAccepted, SecurityEvent, SecurityIncident
def say(fact):
    print(json.dumps(fact), flush=True)
SOCKET = sys.argv[1]
";

/// Runs a script with the socket as its argument; what it printed, and what it logged.
fn run(socket: &Path, script: &str) -> (Vec<Value>, String) {
    let output = command(Path::new(PYTHON)).args(["-c", &format!("{HEAD}{script}")]).arg(socket).output();
    let output = output.expect("Python can be started");
    let (said, logged) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{logged}");
    let facts = said.lines().map(|line| serde_json::from_str(line).expect("a fact is JSON")).collect();
    (facts, logged.into_owned())
}

fn start() -> (Site, Server) {
    let site = Site::new(CONFIG);
    let server = site.start();
    (site, server)
}

#[test]
fn what_comes_back_is_how_each_channel_stands() {
    let (_site, server) = start();
    let (facts, logged) = run(
        server.socket(),
        "
event = SecurityEvent(timestamp=datetime.datetime(2026, 11, 22, 3, 0, tzinfo=datetime.timezone.utc), source='nginx',
                      category='auth', severity='high', action='login', ip_address='10.0.0.1', details={'n': 5})
incident = SecurityIncident('Brute force', 'critical', 'brute_force', ['3.1.8', '3.14.6'], description='5 failures',
                            cui_involved=True, events=[event], incident_id='INC-1')
plan = AlertEngine({'alerting': {}, 'balefire': {'socket': SOCKET}})
results = plan.deliver(incident, wait=30)
say([dict(results), results.accepted, results.id, results.error])
say([plan.alert(incident), plan.last.accepted])
shipped = AlertEngine(SOCKET, dialect='shipped', wait=30)
say([shipped.alert(incident), shipped.alert_many([incident, incident]), [r.accepted for r in shipped.results]])
incident.severity = 'info'
nobody = plan.deliver(incident, wait=30)
say([dict(nobody), nobody.accepted, nobody.error])
",
    );
    let deliveries = &facts[0][0];
    assert_eq!((&deliveries["kept"], &deliveries["also"]), (&json!("delivered"), &json!("delivered")), "{deliveries}");
    assert!(deliveries["away"].as_str().expect("it is told").starts_with("waiting until 20"), "{deliveries}");
    assert_eq!((&facts[0][1], &facts[0][3]), (&json!(true), &Value::Null));
    let id = facts[0][2].as_str().expect("an id");
    let incident = server.show(id)["incident"].clone();
    let expected = json!({"title": "Brute force", "severity": "critical", "detected_by": "brute_force",
        "nist_controls": ["3.1.8", "3.14.6"], "description": "5 failures", "cui_involved": true, "incident_id": "INC-1",
        "source": "socket"});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&incident[name], value, "{name}");
    }
    assert_eq!(incident["events"][0]["timestamp"], "2026-11-22T03:00:00+00:00");
    assert_eq!(
        (&incident["events"][0]["details"], &incident["events"][0]["user_id"]),
        (&json!({"n": 5}), &Value::Null)
    );
    assert_eq!(facts[1], json!([null, true]), "the plan's engine returned nothing");
    assert_eq!(facts[2], json!([2, 4, [true, true]]), "the released one counted channels");
    assert_eq!(facts[3], json!([{}, true, null]), "nobody is to hear of it, and it is there");
    assert_eq!(logged, "", "nothing went wrong");
}

#[test]
fn no_object_is_so_odd_that_nobody_hears_of_it() {
    let (_site, server) = start();
    let (facts, _) = run(
        server.socket(),
        r"
class Severity(enum.Enum):
    HIGH = 'high'
class Foreign:
    def __init__(self, **members):
        self.__dict__.update(members)
class Broken:
    def __getattr__(self, name):
        raise RuntimeError(name)
class Unshown:
    def __str__(self):
        raise ValueError('no')
round = []
round.extend([round] * 5)
odd = [
    Foreign(title='a foreign object', severity=Severity.HIGH, detected_by='r', nist_controls=('3.1.8',), events=(Foreign(x=1),)),
    Foreign(title=None, severity=None, detected_by=None, nist_controls=None, description=None, cui_involved=None, events=None),
    {'title': 'a dictionary', 'severity': 'HIGH', 'detected_by': 'r', 'nist_controls': '3.1.8', 'incident_id': uuid.UUID(int=7)},
    Broken(), None, 5, 'a text',
    SecurityIncident('forged\r\nSECURITY_INCIDENT [LOW] x\x1b[2J\x00', 'high', 'r\n', ['3.1\n']),
    SecurityIncident('half a character \ud800 and \U0001f525', 'high', 'r', []),
    SecurityIncident('long ' + 'x' * 10_000_000, 'high', 'r' * 100_000, ['3.1.8'] * 10_000, description='y\n' * 5_000_000),
    SecurityIncident('events', 'high', 'r', [], events=[1, 'two', None, round, {'deep': {'s': {1}, 'd': decimal.Decimal('1.5'),
                     'when': datetime.date(2026, 1, 2), 'nan': float('nan'), 'big': 10 ** 5000, 'u': Unshown(), 3: b'\xff'}}]),
    SecurityIncident('many events', 'high', 'r', [], events=[{'text': 'z' * 5000} for _ in range(3000)]),
    SecurityIncident('a word that nobody knows', 'catastrophic', 'r', []),
]
engine = AlertEngine(socket=SOCKET, timeout=60)
say([engine.alert_many(odd), [result.error for result in engine.results], [result.id for result in engine.results]])
",
    );
    assert_eq!(facts[0][0], Value::Null);
    let errors = facts[0][1].as_array().expect("a list");
    assert!(errors.len() == 13 && errors.iter().all(Value::is_null), "{errors:?}");
    let shown = |nth: usize| server.show(facts[0][2][nth].as_str().expect("an id"))["incident"].clone();
    let foreign = shown(0);
    assert_eq!((&foreign["severity"], &foreign["nist_controls"]), (&json!("high"), &json!(["3.1.8"])));
    assert_eq!(foreign["events"], json!([{"x": 1}]));
    assert_eq!(shown(6)["title"], "a text");
    for nth in [1, 3, 4, 5] {
        assert_eq!(shown(nth)["title"], "Security incident without a title");
    }
    assert_eq!(shown(2)["incident_id"], "00000000-0000-0000-0000-000000000007");
    assert!(shown(8)["title"].as_str().expect("a title").ends_with("\\ud800 and \u{1f525}"));
    assert!(shown(9)["title"].as_str().expect("a title").contains("[cut: "));
    let deep = shown(10)["events"][4]["deep"].clone();
    assert_eq!((&deep["d"], &deep["when"], &deep["nan"]), (&json!("1.5"), &json!("2026-01-02"), &json!("nan")));
    let many = shown(11);
    let kept = many["events"].as_array().expect("a list").len();
    assert_eq!(many["extra"]["events_left_out"], json!(3000 - kept), "what is left out is counted");
    assert_eq!((&shown(12)["severity"], &shown(12)["severity_original"]), (&json!("medium"), &json!("catastrophic")));
}

#[test]
fn what_is_not_accepted_is_said_and_holds_nobody_up() {
    let site = Site::new(CONFIG);
    let socket = site.path("data/balefire.sock");
    let (facts, logged) = run(
        &socket,
        "
engine = AlertEngine(socket=SOCKET, timeout=0.5)
incident = SecurityIncident('t', 'high', 'r', [])
for _ in range(2):
    begin = time.monotonic()
    returned = engine.alert(incident)
    say([returned, engine.last.accepted, bool(engine.last), engine.last.error, time.monotonic() - begin])
try:
    AlertEngine(socket=SOCKET, timeout=0.2, raises=True).alert(incident)
except NotAccepted as error:
    say(str(error))
say(AlertEngine(socket=SOCKET, timeout=0.2, dialect='shipped').alert(incident))
try:
    AlertEngine(dialect='released')
except ValueError as error:
    say(str(error))
",
    );
    for fact in &facts[..2] {
        assert_eq!((&fact[0], &fact[1], &fact[2]), (&Value::Null, &json!(false), &json!(false)));
        assert!(fact[3].as_str().expect("why").contains("FileNotFoundError"), "{fact}");
    }
    // The first waits for a restart in between; the second does not stand still again.
    assert!(facts[1][4].as_f64().expect("seconds") < facts[0][4].as_f64().expect("seconds"), "{facts:?}");
    assert!(facts[2].as_str().expect("a text").starts_with("1 of 1 incidents are not accepted"), "{facts:?}");
    assert_eq!(facts[3], json!(0));
    assert_eq!(facts[4], "dialect is 'released'; allowed: plan, shipped");
    assert_eq!(logged.matches("Balefire has not accepted an incident").count(), 4, "{logged}");
}

#[test]
fn a_sender_that_is_never_answered_gets_its_time_back() {
    let site = Site::new("routing: custom\n");
    let socket = site.path("deaf.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("the directory is ours");
    let (facts, _) = run(
        &socket,
        "
engine = AlertEngine(socket=SOCKET, timeout=0.5, dialect='shipped')
begin = time.monotonic()
say([engine.alert(SecurityIncident('t', 'high', 'r', [])), engine.last.error, time.monotonic() - begin])
",
    );
    drop(listener);
    assert_eq!(facts[0][0], json!(0));
    assert!(
        facts[0][1].as_str().expect("why").contains("timed out")
            || facts[0][1].as_str().expect("why").contains("in time")
    );
    assert!(facts[0][2].as_f64().expect("seconds") < 30.0, "{facts:?}");
}

#[test]
fn many_incidents_are_several_requests_and_each_is_there_once() {
    let (site, server) = start();
    fs::write(site.path("engine.yaml"), format!("data: \"{}\" # ours\n", site.path("data").display()))
        .expect("it is ours");
    let (facts, _) = run(
        &site.path("engine.yaml"),
        "
engine = AlertEngine(SOCKET, timeout=120)
say(engine.alert_many(SecurityIncident('t %d' % n, 'info', 'r', []) for n in range(2500)))
say([result.id for result in engine.results if result.accepted])
",
    );
    let ids: HashSet<&str> = facts[1].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!((&facts[0], ids.len()), (&Value::Null, 2500));
    let all = server.all_ids();
    assert_eq!(all.iter().filter(|id| ids.contains(id.as_str())).count(), 2500);
}

#[test]
fn an_answer_waits_for_the_channels_no_longer_than_it_was_told_to() {
    let (_site, server) = start();
    let id = server.accept(&json!({"title": "t", "severity": "high"}));
    let shown = server.get(&format!("/api/v1/incidents/{id}?wait=10s")).expect(200).json();
    let deliveries = shown["deliveries"].as_array().expect("a list");
    assert_eq!(deliveries.len(), 3);
    // Each has its answer, also the one that is put off: nobody waits for what may take a day.
    assert!(deliveries.iter().all(|delivery| delivery["attempts"] != json!(0)), "{shown}");
    for wrong in ["wait=11s", "wait=soon", "weit=1s"] {
        let refused = server.get(&format!("/api/v1/incidents/{id}?{wrong}"));
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
    }
}
