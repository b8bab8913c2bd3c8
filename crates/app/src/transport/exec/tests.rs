//! Programs that keep the protocol and programs that break it in every way that we could think of, on a real Python.

use super::*;
use balefire_channels::{ExecReply, ExecRun, ExecStatus, exec_done};
use balefire_model::Cause;
use balefire_model::text::Secret;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Not what is first on the path, which may be a script around it.
const PYTHON: &str = "/usr/bin/python3";

/// What every program begins with. `wait` waits without an end.
const PRELUDE: &str = r#"
import json, os, select, signal, subprocess, sys
def send(message): sys.stdout.write(json.dumps(message) + "\n"); sys.stdout.flush()
def hello(): greeting = json.loads(sys.stdin.readline()); send({"type": "hello", "version": 1, "name": "t"}); return greeting
def messages(): return map(json.loads, sys.stdin)
def reply(message, status="ok", **more): send(dict(more, type="reply", id=message["id"], status=status))
def wait(seconds=None): select.select([], [], [], seconds)
def note(name, text): open(name, "a").write(str(text) + "\n")
"#;

fn settings(directory: &Path, script: &str) -> ExecTransport {
    let script = format!("{PRELUDE}{script}");
    ExecTransport {
        command: [PYTHON, "-c", &script].map(str::to_owned).to_vec(),
        directory: Some(directory.to_owned()),
        env: Vec::new(),
        settings: Secret::new("{\"path\":\"/x\"}".to_owned()),
        secrets: Vec::new(),
        timeout: Duration::from_secs(2),
        start_timeout: Duration::from_secs(20),
        stop_timeout: Duration::from_secs(20),
        in_flight: 16,
    }
}

fn write(id: &str) -> ExecRequest {
    ExecRequest::Write {
        id: id.to_owned(),
        line: format!("{{\"type\":\"write\",\"id\":\"{id}\",\"record\":{{}}}}").into(),
    }
}

/// Asks for all of them at once.
async fn ask(exec: &Exec, ids: &[&str]) -> Vec<Reply> {
    let asked: Vec<_> = ids
        .iter()
        .map(|id| {
            let (exec, message) = (exec.clone(), write(id));
            tokio::spawn(async move { exec.exec(message).await })
        })
        .collect();
    let mut replies = Vec::new();
    for reply in asked {
        replies.push(reply.await.unwrap());
    }
    replies
}

fn ok(detail: &str) -> Reply {
    Reply::Exec(ExecReply { status: ExecStatus::Ok, detail: detail.to_owned(), is_lost: false })
}

/// One message to a program that fails, and that the failure says why.
async fn check_failure(script: &str, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let exec = Exec::open("soc", settings(directory.path(), script));
    let reply = exec.exec(write("a")).await;
    let Reply::Failed { cause: Cause::Network, detail } = &reply else { panic!("{script}: {reply:?}") };
    assert!(detail.contains(expected), "{script}: {detail}");
    assert!(!detail.chars().any(balefire_model::text::is_unsafe) && detail.len() <= 1000, "{detail}");
    // Nothing of it is left, and it is not started again at once.
    let again = exec.exec(write("a")).await;
    assert!(matches!(&again, Reply::Failed { detail, .. } if detail.contains("not started again for")), "{again:?}");
    if let Ok(pids) = fs::read_to_string(directory.path().join("pids")) {
        for pid in pids.lines() {
            gone(pid).await;
        }
    }
    exec.close().await;
}

/// Lets time pass.
async fn pause(ms: u64) {
    tokio::time::timeout(Duration::from_millis(ms), std::future::pending::<()>()).await.unwrap_err();
}

/// Waits until a process has ended: what was killed still needs a moment.
async fn gone(pid: &str) {
    for _ in 0..1000 {
        if !lives(pid) {
            return;
        }
        pause(10).await;
    }
    panic!("{pid} lives");
}

/// Whether a process runs; one that has ended and that nobody has asked for yet does not.
fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(status.rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z' | 'X'))
}

#[tokio::test]
async fn answers_reach_their_messages_in_whatever_order_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
note("starts", 1)
greeting = hello()
held = []
for message in messages():
    held.append(message)
    if len(held) == 3:
        for message in reversed(held):
            reply(message, detail=message["id"] + greeting["channel"] + greeting["settings"]["path"])
        held = []
"#;
    let exec = Exec::open("soc", settings(directory.path(), script));
    for _ in 0..2 {
        assert_eq!(ask(&exec, &["a", "b", "c"]).await, [ok("asoc/x"), ok("bsoc/x"), ok("csoc/x")]);
    }
    exec.close().await;
    assert_eq!(fs::read_to_string(directory.path().join("starts")).unwrap(), "1\n", "it was kept");
    assert!(matches!(exec.exec(write("a")).await, Reply::Failed { .. }), "it is closed");
}

#[tokio::test]
async fn a_run_ends_with_done_which_is_answered_like_any_message() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
hello()
for message in messages():
    if message["type"] == "done":
        assert message["run"] == {"audit_key": "nightly", "audit_version": "20261122_000000"}, message
        reply(message, "retry", lost=True, detail="%d records" % message["records"])
    else:
        reply(message)
"#;
    let exec = Exec::open("soc", settings(directory.path(), script));
    assert_eq!(ask(&exec, &["a"]).await, [ok("")]);
    let run = ExecRun { audit_key: "nightly".to_owned(), audit_version: "20261122_000000".to_owned() };
    let lost = ExecStatus::Retry { after_ms: None, cause: None };
    let expected = Reply::Exec(ExecReply { status: lost, detail: "1 records".to_owned(), is_lost: true });
    assert_eq!(exec.exec(exec_done("run", &run, 1)).await, expected);
    exec.close().await;
}

#[tokio::test]
async fn what_a_dead_program_has_not_answered_has_failed_and_the_next_one_gets_it_under_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
note("starts", 1)
hello()
seen = 0
for message in messages():
    note("seen", message["id"])
    seen += 1
    if not os.path.exists("mended") and seen == 3:
        sys.stderr.write("the disk is full\x1b[31m\n")
        sys.exit(3)
    if seen <= 2 or os.path.exists("mended"): reply(message)
"#;
    let exec = Exec::open("soc", settings(directory.path(), script));
    let replies = ask(&exec, &["a", "b", "c", "d", "e"]).await;
    let failed = |reply: &&Reply| match reply {
        Reply::Failed { cause: Cause::Network, detail } => {
            assert!(detail.contains("exit code 3; it said last: the disk is full\\u{1b}[31m"), "{detail}");
            true
        }
        reply => {
            assert_eq!(**reply, ok(""));
            false
        }
    };
    assert_eq!(
        replies[..3].iter().filter(failed).count() + replies[3..].iter().filter(failed).count(),
        3,
        "{replies:?}"
    );
    fs::write(directory.path().join("mended"), "").unwrap();
    // It rests for a second first, and says so.
    let mut refused = 0;
    for id in ["c", "d", "e"] {
        loop {
            match exec.exec(write(id)).await {
                Reply::Failed { detail, .. } if detail.contains("not started again for") => refused += 1,
                reply => {
                    assert_eq!(reply, ok(""));
                    break;
                }
            }
            pause(20).await;
        }
    }
    assert!(refused > 10, "{refused}");
    exec.close().await;
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("starts"), "1\n1\n");
    assert!(read("seen").ends_with("c\nd\ne\n"), "{}", read("seen"));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let open = |command: &[&str], timeout: u64| {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let start_timeout = Duration::from_secs(timeout);
        Exec::open("soc", ExecTransport { command, start_timeout, ..settings(directory.path(), "") })
    };
    for (command, expected) in [
        (&["/nowhere/program"][..], "No such file"),
        (&["/etc/passwd"], "Permission denied"),
        (&["sh", "-c", "echo no >&2; exit 7"], "it ended with exit code 7; it said last: no"),
        (&["sh", "-c", "kill -9 $$"], "it was ended by signal 9; it said nothing"),
        (&["sh", "-c", "echo Welcome; cat >/dev/null"], "it wrote \"Welcome\" to its standard output"),
        (&["sh", "-c", "echo '{\"type\":\"hello\",\"version\":2}'; cat >/dev/null"], "it speaks version 2"),
        (
            &["sh", "-c", "echo '{\"type\":\"reply\",\"id\":\"a\",\"status\":\"ok\"}'; cat >/dev/null"],
            "before it said hello",
        ),
        (&["tail", "-f", "/dev/null"], "it did not say hello within 1s"),
    ] {
        let exec = open(command, if expected.contains("within") { 1 } else { 20 });
        let reply = exec.exec(write("a")).await;
        let Reply::Failed { cause: Cause::Network, detail } = reply else { panic!("{command:?}: {reply:?}") };
        assert!(detail.starts_with("cannot start ") && detail.contains(expected), "{command:?}: {detail}");
        exec.close().await;
    }
}

#[tokio::test]
async fn a_program_that_never_answers_is_ended() {
    check_failure("note('pids', os.getpid()); hello(); wait()", "it gave no answer within 2s").await;
}

#[tokio::test]
async fn a_program_that_ignores_the_request_to_end_is_killed() {
    let script = "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('pids', os.getpid()); hello(); wait()";
    check_failure(script, "it gave no answer within 2s").await;
}

#[tokio::test]
async fn a_program_that_prints_is_told_where_printing_belongs() {
    let script = "hello()\nfor m in messages(): print('Connecting to \\x1b[31mhost ...', flush=True); wait()";
    check_failure(script, "which is only for the protocol; what it prints belongs to its standard error").await;
    check_failure(
        "hello()\nfor m in messages(): os.write(1, os.urandom(4000) + b'\\n'); wait()",
        "only for the protocol",
    )
    .await;
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_is_not_kept() {
    let script = "hello()\nfor m in messages():\n  for n in range(100): os.write(1, b'x' * 1000000)\n  wait()";
    check_failure(script, "it wrote a line of more than 65536 bytes").await;
    let script = "hello()\nfor m in messages():\n  m['id'] = 'a' * 100000\n  reply(m)";
    check_failure(script, "it wrote a line of more than 65536 bytes").await;
}

#[tokio::test]
async fn a_child_that_holds_the_pipes_does_not_outlive_its_parent() {
    let child = "child = subprocess.Popen([sys.executable, '-c', 'import signal\\nsignal.pause()'])";
    let script = format!(
        "{child}; note('pids', os.getpid()); note('pids', child.pid); hello()\nfor m in messages(): os._exit(4)"
    );
    check_failure(&script, "it ended with exit code 4").await;
    check_failure(&script.replace("os._exit(4)", "wait()"), "it gave no answer within 2s").await;
}

#[tokio::test]
async fn a_program_that_closes_a_pipe_is_ended() {
    // Before its hello, so that the first message finds nobody.
    let script =
        "note('pids', os.getpid()); os.read(0, 1000); os.close(0); send({'type': 'hello', 'version': 1}); wait()";
    check_failure(script, "it closed its standard input").await;
    let script = "note('pids', os.getpid()); hello(); os.close(1); wait()";
    check_failure(script, "it closed its standard output").await;
}

#[tokio::test]
async fn an_answer_to_a_question_that_nobody_asked_ends_the_program() {
    let script = "hello()\nfor m in messages(): m['id'] = 'other\\n'; reply(m); wait()";
    check_failure(script, "it answered \"other\\\\n\", which it was not asked").await;
    check_failure("for line in sys.stdin: sys.stdout.write(line); sys.stdout.flush()", "a message of the type").await;
    check_failure("hello()\nfor m in messages(): send({'type': 'hello', 'version': 1}); wait()", "it said hello twice")
        .await;
}

#[tokio::test]
async fn a_slow_program_keeps_its_work_as_long_as_it_goes_on_answering() {
    let directory = tempfile::tempdir().unwrap();
    // Eight answers take twice as long as a silence may last.
    let script = "hello()\nfor m in messages(): wait(0.5); reply(m)";
    let exec = Exec::open("soc", settings(directory.path(), script));
    assert_eq!(ask(&exec, &["a", "b", "c", "d", "e", "f", "g", "h"]).await, vec![ok(""); 8]);
    exec.close().await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_dropped_and_one_to_the_repeat_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let script = "hello()\nfor n, m in enumerate(messages()): wait(1 if n == 0 else 0); reply(m, detail=str(n))";
    let exec = Exec::open("soc", settings(directory.path(), script));
    let given_up = tokio::time::timeout(Duration::from_millis(700), exec.exec(write("a"))).await;
    assert!(given_up.is_err(), "{given_up:?}");
    let repeat = exec.exec(write("a")).await;
    assert!(repeat == ok("0") || repeat == ok("1"), "{repeat:?}");
    assert_eq!(exec.exec(write("b")).await, ok("2"));
    exec.close().await;
}

#[tokio::test]
async fn a_message_of_twenty_megabytes_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let script = "hello()\nfor m in messages(): reply(m, detail=str(len(m['record'])))";
    let exec = Exec::open("soc", settings(directory.path(), script));
    let record = "x".repeat(20 << 20);
    let line = format!("{{\"type\":\"write\",\"id\":\"big\",\"record\":\"{record}\"}}").into_bytes();
    assert_eq!(exec.exec(ExecRequest::Write { id: "big".to_owned(), line }).await, ok(&(20 << 20).to_string()));
    exec.close().await;
}

#[tokio::test]
async fn a_program_gets_the_environment_that_it_was_given_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let script = "hello()\nfor m in messages(): sys.stderr.write(os.environ['TOKEN'] + '\\n'); reply(m, detail=' '.join(sorted(os.environ)) + os.environ['TOKEN'] + os.getcwd())";
    let env = vec![("TOKEN".to_owned(), Secret::new("s3cret-token".to_owned()))];
    let exec = Exec::open("soc", ExecTransport { env, ..settings(directory.path(), script) });
    let Reply::Exec(reply) = exec.exec(write("a")).await else { panic!("no answer") };
    let names: Vec<&str> = reply.detail.split(' ').filter(|name| !name.starts_with("TOKEN")).collect();
    // Python itself sets LC_CTYPE where the locale is C; by the mark we know what it has started.
    let allowed = ["PATH", "HOME", "LANG", "LC_CTYPE", "BALEFIRE_PROCESS"];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(reply.detail.contains("TOKEN***/") && !reply.detail.contains("s3cret"), "{}", reply.detail);
    exec.close().await;
}

#[tokio::test]
async fn a_channel_that_is_closed_gives_its_program_time_to_finish() {
    let directory = tempfile::tempdir().unwrap();
    let script = "hello()\nfor m in messages(): reply(m)\nos.close(1); wait(0.7); note('finished', 1)";
    let exec = Exec::open("soc", settings(directory.path(), script));
    assert_eq!(exec.exec(write("a")).await, ok(""));
    exec.close().await;
    assert_eq!(fs::read_to_string(directory.path().join("finished")).unwrap(), "1\n");
    let stop_timeout = Duration::from_millis(300);
    let script = "note('pids', os.getpid()); hello()\nfor m in messages(): reply(m)\nwait()";
    let exec = Exec::open("soc", ExecTransport { stop_timeout, ..settings(directory.path(), script) });
    assert_eq!(exec.exec(write("a")).await, ok(""));
    exec.close().await;
    let pid = fs::read_to_string(directory.path().join("pids")).unwrap();
    gone(pid.trim()).await;
}

#[tokio::test]
async fn a_program_that_has_ended_in_order_is_started_for_the_next_message_without_a_rest() {
    let directory = tempfile::tempdir().unwrap();
    let script = "note('pids', os.getpid()); hello(); reply(next(messages()))";
    let exec = Exec::open("soc", settings(directory.path(), script));
    for start in 1..=3 {
        assert_eq!(exec.exec(write("a")).await, ok(""));
        let pids = fs::read_to_string(directory.path().join("pids")).unwrap();
        assert_eq!(pids.lines().count(), start);
        gone(pids.lines().last().unwrap()).await;
        // Its end is heard of a moment later.
        pause(500).await;
    }
    exec.close().await;
}

#[tokio::test]
async fn a_flood_on_the_standard_error_hinders_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let script = "hello()\nfor m in messages():\n  for n in range(50): os.write(2, b'noise\\n' * 10000)\n  reply(m)";
    let exec = Exec::open("soc", settings(directory.path(), script));
    assert_eq!(ask(&exec, &["a", "b"]).await, vec![ok(""); 2]);
    exec.close().await;
}
