//! A real Postfix in a directory of its own that delivers everything for example.org into one maildir: a plain listener,
//! one with STARTTLS and AUTH, one with TLS from the first byte. Mails are parsed by Python's `email`, which knows nothing
//! of us.

use crate::certificates::Certificates;
use crate::daemon::{Daemon, free_address, needed, wait_for_listeners, wait_for_silence};
use crate::wait;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The one user that may log in.
pub const USER: &str = "soc";
/// The user's password.
pub const PASSWORD: &str = "open-sesame-4711";

/// The uid and gid that own the mails: nobody and nogroup in Debian.
const NOBODY: u32 = 65_534;

/// Services of Postfix beside its listeners.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// Prints every mail of a maildir as a JSON list, by the time of arrival.
const PARSE: &str = r#"
import email, email.policy, json, pathlib, sys
def text(content):
    return content if isinstance(content, str) else content.decode("utf-8", "replace")
mails = []
for path in sorted(pathlib.Path(sys.argv[1]).glob("*"), key=lambda path: path.stat().st_mtime_ns):
    raw = path.read_bytes()
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    parts = [part for part in mail.walk() if not part.is_multipart()]
    mails.append({
        "headers": [[name.lower(), str(value)] for name, value in mail.items()],
        "defects": [str(defect) for part in mail.walk() for defect in part.defects],
        "parts": [[part.get_content_type(), text(part.get_content())] for part in parts],
        "bytes": len(raw),
    })
print(json.dumps(mails))
"#;

/// The mail system with its directory; what it delivered stays over its stops.
pub struct Postfix {
    dir: TempDir,
    daemon: Option<Daemon>,
    /// No TLS, no login.
    pub plain: SocketAddr,
    /// STARTTLS and a login, or nothing.
    pub submission: SocketAddr,
    /// TLS from the first byte, and a login.
    pub implicit: SocketAddr,
}

/// A delivered mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Fields in order: names in lower case, values decoded and unfolded.
    pub headers: Vec<(String, String)>,
    /// Media type and decoded text of each part, with line feeds.
    pub parts: Vec<(String, String)>,
    /// What the parser found wrong.
    pub defects: Vec<String>,
    /// The size as delivered.
    pub bytes: u64,
}

impl Mail {
    /// All fields of this name (in lower case).
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one field of this name.
    ///
    /// # Panics
    /// Where there is none, or more than one.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        match self.all(name).as_slice() {
            [only] => only,
            other => panic!("{} fields {name}: {:?}", other.len(), self.headers),
        }
    }

    /// The text of the part with this media type.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn part(&self, kind: &str) -> &str {
        let found = self.parts.iter().find(|(key, _)| key == kind);
        found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("no part {kind}: {:?}", self.parts))
    }
}

impl Postfix {
    /// Starts it with this server certificate, and waits until it listens.
    ///
    /// # Panics
    /// Where a package is missing, or it does not come up.
    #[must_use]
    pub fn start(certificates: &Certificates) -> Postfix {
        let dir =
            tempfile::Builder::new().prefix("balefire-mail-").tempdir().expect("a temporary directory can be made");
        let (plain, submission, implicit) = (free_address(), free_address(), free_address());
        let mut postfix = Postfix { dir, daemon: None, plain, submission, implicit };
        // Postfix works as several users, and each must come through.
        fs::set_permissions(postfix.dir.path(), fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        for name in ["config/sasl", "queue", "data", "mail"] {
            fs::create_dir_all(postfix.path(name)).expect("the directory is ours");
        }
        chown(postfix.path("mail"), Some(NOBODY), Some(NOBODY)).expect("the tests run as root");
        postfix.chown_to_postfix("data");
        postfix.write_users();
        fs::write(postfix.path("config/master.cf"), postfix.listeners() + SERVICES).expect("the directory is ours");
        fs::write(postfix.path("config/main.cf"), postfix.settings(certificates)).expect("the directory is ours");
        postfix.make_queue();
        postfix.resume();
        postfix
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        // `postfix start-fg` would stand between us and the process that ends all others.
        let master = needed(Path::new("/usr/lib/postfix/sbin/master"), "postfix");
        let mut command = Command::new(master);
        command.arg("-c").arg(self.path("config")).arg("-s");
        self.daemon = Some(Daemon::start(&mut command));
        let log = self.path("log");
        wait_for_listeners(&[self.plain, self.submission, self.implicit], || {
            fs::read_to_string(&log).unwrap_or_else(|error| error.to_string())
        });
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
            wait_for_silence(&[self.plain, self.submission, self.implicit]);
        }
    }

    /// What recipients meet from now on, such as `defer` or `reject`; `permit` is the usual. Takes effect at once.
    ///
    /// # Panics
    /// Where Postfix does not come back.
    pub fn recipients_meet(&mut self, restriction: &str) {
        self.stop();
        let path = self.path("config/main.cf");
        let text = fs::read_to_string(&path).expect("it is ours");
        let others = text.lines().filter(|line| !line.starts_with("smtpd_recipient_restrictions"));
        let text: String = others.map(|line| format!("{line}\n")).collect();
        fs::write(&path, format!("{text}smtpd_recipient_restrictions = {restriction}\n")).expect("it is ours");
        self.resume();
    }

    /// The mails in the mailbox, by the time of arrival.
    ///
    /// # Panics
    /// Where Python cannot parse them.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        if self.count() == 0 {
            return Vec::new();
        }
        let output = Command::new("python3").arg("-c").arg(PARSE).arg(self.path("mail/box/new")).output();
        let output = output.expect("python3 is installed: install the Debian package python3, or run scripts/test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let parsed: Vec<Value> = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
        parsed.iter().map(mail).collect()
    }

    /// How many mails are in the mailbox.
    #[must_use]
    pub fn count(&self) -> usize {
        // The directory is made with the first mail.
        fs::read_dir(self.path("mail/box/new")).map_or(0, Iterator::count)
    }

    /// Waits until so many mails are there, and gives all.
    ///
    /// # Panics
    /// When the patience is over.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Mail> {
        wait::until(&format!("{count} mails are delivered"), || match self.count() {
            enough if enough >= count => Ok(()),
            few => Err(format!("{few}; {}", self.log())),
        });
        self.mails()
    }

    /// How many mails about an incident have come, once that many have. The failing channels are told of beside it.
    /// The server's "250" comes before the mail is in the box.
    ///
    /// # Panics
    /// When the patience is over.
    #[must_use]
    pub fn wait_for_mails_about(&self, incident: &str, count: usize) -> usize {
        wait::until(&format!("{count} mails about the incident came"), || {
            let mails = self.mails();
            let about = mails.iter().filter(|mail| mail.header("x-balefire-incident") == incident).count();
            if about >= count { Ok(about) } else { Err(format!("{about} of {} mails; {}", mails.len(), self.log())) }
        })
    }

    /// What Postfix has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn make_queue(&self) {
        let mut command = Command::new(needed(Path::new("/usr/sbin/postfix"), "postfix"));
        let output = command.arg("-c").arg(self.path("config")).arg("check").output().expect("postfix can be started");
        assert!(output.status.success(), "postfix check: {}; {}", String::from_utf8_lossy(&output.stderr), self.log());
    }

    fn chown_to_postfix(&self, name: &str) {
        let status = Command::new("chown").arg("postfix").arg(self.path(name)).status().expect("chown can be started");
        assert!(status.success(), "chown: {status}");
    }

    /// The user in a database of Cyrus SASL, which Debian's Postfix looks for beside its configuration.
    fn write_users(&self) {
        let users = self.path("config/sasl/users");
        let text = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
            users.display()
        );
        fs::write(self.path("config/sasl/smtpd.conf"), text).expect("the directory is ours");
        let program = needed(Path::new("/usr/sbin/saslpasswd2"), "sasl2-bin");
        let mut command = Command::new(program);
        command.args(["-p", "-c", "-u", "localhost", "-f"]).arg(users).arg(USER).stdin(Stdio::piped());
        let mut child = command.spawn().expect("saslpasswd2 can be started");
        let mut stdin = child.stdin.take().expect("it has a pipe");
        std::io::Write::write_all(&mut stdin, PASSWORD.as_bytes()).expect("it reads the password");
        drop(stdin);
        let status = child.wait().expect("it ends");
        assert!(status.success(), "saslpasswd2: {status}");
        self.chown_to_postfix("config/sasl/users");
    }

    fn listeners(&self) -> String {
        let login = " -o smtpd_tls_security_level=encrypt -o smtpd_tls_auth_only=yes -o smtpd_sasl_auth_enable=yes \
                     -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject";
        let Postfix { plain, submission, implicit, .. } = self;
        format!(
            "{plain} inet n - n - - smtpd\n{submission} inet n - n - - smtpd{login}\n\
             {implicit} inet n - n - - smtpd{login} -o smtpd_tls_wrappermode=yes\n"
        )
    }

    fn settings(&self, certificates: &Certificates) -> String {
        let dir = self.dir.path().display();
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {dir}/queue\n\
             data_directory = {dir}/data\n\
             maillog_file = {dir}/log\n\
             maillog_file_prefixes = {dir}\n\
             myhostname = localhost\n\
             mydestination =\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             alias_maps =\n\
             virtual_mailbox_domains = example.org\n\
             virtual_mailbox_base = {dir}/mail\n\
             virtual_mailbox_maps = static:box/\n\
             virtual_minimum_uid = 1\n\
             virtual_uid_maps = static:{NOBODY}\n\
             virtual_gid_maps = static:{NOBODY}\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_recipient_restrictions = permit\n",
            certificate = certificates.certificate().display(),
            key = certificates.key().display(),
        )
    }
}

fn mail(value: &Value) -> Mail {
    let pairs = |name: &str| -> Vec<(String, String)> {
        serde_json::from_value(value[name].clone()).expect("the script prints pairs of text")
    };
    Mail {
        headers: pairs("headers"),
        parts: pairs("parts"),
        defects: serde_json::from_value(value["defects"].clone()).expect("the script prints texts"),
        bytes: value["bytes"].as_u64().expect("the script prints a number"),
    }
}
