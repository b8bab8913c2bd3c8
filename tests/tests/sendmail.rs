//! `balefire sendmail` as programs call it: over the socket, into the spool while nobody is there, as a user without
//! rights, and from cron and mail themselves.

#![expect(clippy::unwrap_used, reason = "a test")]

use balefire_tests::server::{Server, Site, binary};
use balefire_tests::{left_out, wait};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const AUDITD: &str = "To: root\nFrom: root\nSubject: Audit Disk Space Alert\n\nThe audit daemon is low on disk space for \
                      logging! Please take action\nto ensure no loss of service.";

const CONFIG: &str =
    "channels: {kept: {file: {path: '{dir}/kept.jsonl'}}}\nrouting: custom\nroutes: [{name: all, to: [kept]}]\n";

fn pipe(command: &mut Command, mail: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses does not read.
    drop(child.stdin.take().unwrap().write_all(mail));
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The incidents whose title begins so, when there are as many.
fn titled(server: &Server, begin: &str, count: usize) -> Vec<Value> {
    let rows = wait::until(&format!("{count} incidents {begin:?}"), || {
        let rows = server.list("limit=1000");
        let found = rows.iter().filter(|row| row["title"].as_str().unwrap().starts_with(begin)).cloned();
        let found: Vec<Value> = found.collect();
        if found.len() == count { Ok(found) } else { Err(format!("{rows:?}")) }
    });
    rows.iter().map(|row| server.show(row["id"].as_str().unwrap())["incident"].clone()).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A directory that everybody may reach, with a spool that everybody may write in.
fn open_spool(site: &Site) -> PathBuf {
    fs::set_permissions(site.path(""), Permissions::from_mode(0o755)).unwrap();
    let spool = site.path("open");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, Permissions::from_mode(0o3733)).unwrap();
    spool
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[test]
fn what_auditd_mails_is_an_incident_when_it_is_told_so() {
    let site = Site::new(CONFIG);
    let server = site.start();
    let sent = pipe(&mut site.command(&["sendmail", "-t", "-froot"]), AUDITD.as_bytes());
    assert_eq!((code(&sent), words(&sent)), (0, String::new()));
    let incident = titled(&server, "Audit Disk Space Alert", 1).remove(0);
    assert_eq!(incident["severity"], "high");
    assert_eq!(incident["detected_by"], "watch.audit.space_low");
    assert_eq!(incident["source"], "socket");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(incident["labels"]["host"], host.as_str());
    assert!(incident["title"].as_str().unwrap().contains(host.split('.').next().unwrap()), "{incident}");
    assert!(files(&site.path("data/spool")).is_empty(), "the server had it");
}

#[test]
fn a_link_named_sendmail_is_sendmail() {
    let site = Site::new(CONFIG);
    let server = site.start();
    let link = site.path("sendmail");
    symlink(binary(), &link).unwrap();
    let mut command = Command::new(&link);
    command.args(["-oi", "-FCronDaemon", "root"]).env("BALEFIRE_DATA", site.path("data"));
    let sent = pipe(&mut command, b"Subject: Cron <root@x> run-parts\n\ntext\n.\nafter the dot\n");
    assert_eq!((code(&sent), words(&sent)), (0, String::new()));
    let incident = titled(&server, "Cron <root@x> run-parts", 1).remove(0);
    assert_eq!(incident["labels"]["program"], "cron");
    assert!(incident["description"].as_str().unwrap().contains("after the dot"));
    // smartd's own script calls its mailer so, whatever the text begins with.
    let mut command = Command::new(&link);
    let subject = "SMART error (Health) detected on host: x";
    command.args(["-s", subject, "root"]).env("BALEFIRE_DATA", site.path("data"));
    let sent = pipe(&mut command, b"Device: /dev/sda [SAT], FAILED SMART self-check. BACK UP DATA NOW!\n");
    assert_eq!((code(&sent), words(&sent)), (0, String::new()));
    let incident = titled(&server, "SMART error (Health)", 1).remove(0);
    assert_eq!((&incident["severity"], &incident["labels"]["smart_error"]), (&"critical".into(), &"Health".into()));
    assert!(incident["description"].as_str().unwrap().starts_with("Device: /dev/sda"), "{incident}");
}

#[test]
fn the_exit_code_says_what_is_wrong() {
    let site = Site::new(CONFIG);
    for (arguments, expected, said) in [
        (&["sendmail", "-bs"][..], 64, "SMTP session"),
        (&["sendmail", "-i"], 64, "no recipients"),
        (&["sendmail", "root", "--spool", "/proc/nowhere"], 75, "the spool"),
    ] {
        let sent = pipe(&mut site.command(arguments), b"Subject: x\n\ny\n");
        assert_eq!(code(&sent), expected, "{arguments:?}: {}", words(&sent));
        assert!(words(&sent).contains(said), "{arguments:?}: {}", words(&sent));
    }
    // The machine's own spool is made by whoever installs it: one of root's would be read by nobody.
    let mut command = Command::new(binary());
    for name in ["BALEFIRE_CONFIG", "BALEFIRE_DATA", "BALEFIRE_SPOOL", "BALEFIRE_SOCKET"] {
        command.env_remove(name);
    }
    if !Path::new("/var/spool/balefire").exists() && !Path::new("/etc/balefire").exists() {
        let sent = pipe(command.args(["sendmail", "root"]), b"x\n");
        assert_eq!(code(&sent), 75, "{}", words(&sent));
    }
}

#[test]
fn what_is_mailed_while_no_server_runs_waits_and_is_taken_in_once() {
    let site = Site::new(CONFIG);
    fs::create_dir(site.path("data")).unwrap();
    for number in 0..20 {
        let mail = format!("Subject: waits {number}\n\ntext\n");
        let sent = pipe(&mut site.command(&["sendmail", "-t"]), mail.as_bytes());
        assert_eq!((code(&sent), words(&sent)), (0, String::new()));
    }
    let spool = site.path("data/spool");
    let waiting = files(&spool);
    assert_eq!(waiting.len(), 20, "{waiting:?}");
    let again = waiting[0].file_name().unwrap().to_owned();
    let body = fs::read(&waiting[0]).unwrap();
    let mut server = site.start();
    let incidents = titled(&server, "waits ", 20);
    assert!(incidents.iter().all(|incident| incident["source"] == "spool"), "{incidents:?}");
    wait::until("the spool is empty", || {
        if files(&spool).is_empty() { Ok(()) } else { Err(format!("{:?}", files(&spool))) }
    });
    // As after a crash between the sync of the journal and the removal of the file.
    server.kill();
    fs::write(spool.join(again), body).unwrap();
    let server = site.start();
    wait::until("the spool is empty again", || {
        if files(&spool).is_empty() { Ok(()) } else { Err(format!("{:?}", files(&spool))) }
    });
    assert_eq!(titled(&server, "waits ", 20).len(), 20);
}

#[test]
fn a_file_that_is_no_incident_is_kept_aside_and_told() {
    let site = Site::new(CONFIG);
    let spool = site.path("data/spool");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join("a-1.json"), "no json").unwrap();
    symlink("/etc/shadow", spool.join("a-2.json")).unwrap();
    fs::write(spool.join("b-1.json"), r#"{"title":"good one"}"#).unwrap();
    let server = site.start();
    let _good = titled(&server, "good one", 1);
    let told = wait::until("the bad ones are told", || {
        let rows = server.list("rule=balefire.spool");
        if rows.is_empty() { Err("nothing".to_owned()) } else { Ok(rows) }
    });
    assert_eq!(told[0]["severity"], "medium");
    wait::until("both are aside", || {
        let aside = files(&spool.join("bad"));
        if aside.len() == 2 { Ok(()) } else { Err(format!("{aside:?}")) }
    });
    assert!(
        server.stderr().contains("regular file") || server.stderr().contains("cannot be read"),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_user_who_may_not_open_the_socket_is_heard_over_the_spool() {
    if !is_root() {
        return left_out("only root can become another user");
    }
    let site = Site::new(&format!("{CONFIG}spool: {{path: '{{dir}}/open'}}\n"));
    let spool = open_spool(&site);
    let server = site.start();
    let program = site.path("balefire");
    fs::copy(binary(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["sendmail", "-t", "--spool"]).arg(&spool).arg("--data").arg(site.path("data"));
    command.uid(65534).gid(65534).current_dir("/");
    let sent = pipe(&mut command, b"Subject: from nobody\n\nhelp\n");
    assert_eq!((code(&sent), words(&sent)), (0, String::new()));
    let incident = titled(&server, "from nobody", 1).remove(0);
    assert_eq!((&incident["labels"]["mail_uid"], &incident["source"]), (&"65534".into(), &"spool".into()));
}

/// Killed with all that it started when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; a failing test must not fail twice.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

/// Whether a real program is there; in CI it must be.
fn has(program: &str) -> bool {
    let is_there = Path::new(program).exists();
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is missing; scripts/test installs it");
    if !is_there {
        left_out(&format!("{program} is not installed"));
    }
    is_there
}

#[test]
fn the_output_of_a_job_of_cron_is_an_incident() {
    if !has("/usr/sbin/cron") {
        return;
    }
    let may_mount = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !is_root() || !may_mount {
        return left_out("cron calls /usr/sbin/sendmail, and no other may be mounted there");
    }
    let site = Site::new(&format!("{CONFIG}spool: {{path: '{{dir}}/open'}}\n"));
    let spool = open_spool(&site);
    let server = site.start();
    for name in ["crontabs", "cron.d"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    fs::copy(binary(), site.path("balefire")).unwrap();
    // A user without rights: its mail cannot take the socket.
    let crontab = site.path("crontabs/bin");
    fs::write(&crontab, "@reboot echo the tape is full; exit 1\n").unwrap();
    fs::set_permissions(&crontab, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&crontab, Some(2), None).unwrap();
    let script = "mount --bind \"$0/balefire\" /usr/sbin/sendmail && mount -t tmpfs none /run \
                  && mount --bind \"$0/crontabs\" /var/spool/cron/crontabs && mount --bind \"$0/cron.d\" /etc/cron.d \
                  && exec cron -f";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(site.path("")).env("BALEFIRE_SPOOL", &spool);
    let _cron = Daemon(command.stdin(Stdio::null()).spawn().unwrap());
    let incident = titled(&server, "Cron <bin@", 1).remove(0);
    assert_eq!(incident["labels"]["cron_command"], "echo the tape is full; exit 1");
    assert_eq!(incident["severity"], "low");
    assert!(incident["description"].as_str().unwrap().starts_with("the tape is full"), "{incident}");
}

#[test]
fn what_mail_sends_is_an_incident() {
    if !has("/usr/bin/bsd-mailx") {
        return;
    }
    let site = Site::new(CONFIG);
    let server = site.start();
    let link = site.path("sendmail");
    symlink(binary(), &link).unwrap();
    let settings = site.path("mailrc");
    fs::write(&settings, format!("set sendmail={}\n", link.display())).unwrap();
    let mut command = Command::new("/usr/bin/bsd-mailx");
    command.args(["-s", "Größe überschritten", "root", "ops@example.org"]).env("MAILRC", &settings);
    command.env("BALEFIRE_DATA", site.path("data")).env("HOME", site.path(""));
    let sent = pipe(&mut command, "Zeile eins\n".as_bytes());
    assert_eq!(code(&sent), 0, "{}", words(&sent));
    let incident = titled(&server, "Größe überschritten", 1).remove(0);
    assert!(incident["labels"]["mail_to"].as_str().unwrap().contains("ops@example.org"), "{incident}");
}
