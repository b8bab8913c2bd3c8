//! A real rsyslogd that listens on the loopback over UDP, TCP and TLS and on a local socket, and writes what it has
//! received, parsed and raw. Knows nothing of what is sent to it.

use crate::certificates::Certificates;
use crate::daemon::{Daemon, free_address, needed, wait_for_listeners};
use crate::wait;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The daemon with its directory; what it wrote stays over its stops.
pub struct Rsyslog {
    dir: TempDir,
    daemon: Option<Daemon>,
    /// Where it takes UDP.
    pub udp: SocketAddr,
    /// Where it takes TCP.
    pub tcp: SocketAddr,
    /// Where it takes TLS.
    pub tls: SocketAddr,
}

impl Rsyslog {
    /// Starts it with this server certificate, and waits until it listens.
    ///
    /// # Panics
    /// Where a package is missing, or it does not come up.
    #[must_use]
    pub fn start(certificates: &Certificates) -> Rsyslog {
        let dir =
            tempfile::Builder::new().prefix("balefire-log-").tempdir().expect("a temporary directory can be made");
        let mut rsyslog = Rsyslog { dir, daemon: None, udp: free_address(), tcp: free_address(), tls: free_address() };
        fs::write(rsyslog.path("conf"), rsyslog.configuration(certificates)).expect("the directory is ours");
        rsyslog.resume();
        rsyslog
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let program = needed(Path::new("/usr/sbin/rsyslogd"), "rsyslog");
        needed_driver();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(self.path("conf")).arg("-i").arg(self.path("pid"));
        self.daemon = Some(Daemon::start(&mut command));
        wait_for_listeners(&[self.tcp, self.tls], || "nothing".to_owned());
        let socket = self.socket();
        wait::until("the local socket is there", || if socket.exists() { Ok(()) } else { Err("nothing".to_owned()) });
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    /// Its local socket, a stand-in for `/dev/log`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("log")
    }

    /// What it has received so far that is ours: an object each, with `input`, `facility`, `severity`, `program`,
    /// `procid`, `hostname`, `msgid`, `data`, `text` and `raw`.
    ///
    /// # Panics
    /// Where a complete line is no JSON.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        // Not there before the first one.
        let text =
            String::from_utf8(fs::read(self.path("records")).unwrap_or_default()).expect("what was sent is UTF-8");
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        complete.lines().map(parse).collect()
    }

    /// Waits until it has so many records, and gives all.
    ///
    /// # Panics
    /// When the patience is over.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("rsyslogd has {count} records"), || {
            let records = self.records();
            if records.len() >= count { Ok(records) } else { Err(format!("{records:?}")) }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configuration(&self, certificates: &Certificates) -> String {
        let fields = [
            ("inputname", "input"),
            ("syslogfacility-text", "facility"),
            ("syslogseverity-text", "severity"),
            ("programname", "program"),
            ("procid", "procid"),
            ("hostname", "hostname"),
            ("msgid", "msgid"),
            ("structured-data", "data"),
            ("msg", "text"),
            ("rawmsg", "raw"),
        ]
        .map(|(property, name)| format!("property(name=\"{property}\" outname=\"{name}\" format=\"jsonf\")"))
        .join(" constant(value=\",\") ");
        // Control characters are not escaped on receipt: the test wants to see what was sent.
        format!(
            r#"global(workDirectory="{dir}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{authority}" defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imuxsock" SysSock.Use="off")
template(name="record" type="list") {{ constant(value="{{") {fields} constant(value="}}\n") }}
ruleset(name="keep") {{ action(type="omfile" file="{dir}/records" template="record") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="keep")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="keep")
input(type="imuxsock" socket="{dir}/log" ruleset="keep" rateLimit.interval="0")
"#,
            dir = self.dir.path().display(),
            authority = certificates.authority().display(),
            certificate = certificates.certificate().display(),
            key = certificates.key().display(),
            udp = self.udp.port(),
            tcp = self.tcp.port(),
            tls = self.tls.port(),
        )
    }
}

/// Debian keeps rsyslog's modules in a directory of the machine's kind.
fn needed_driver() {
    let directories = fs::read_dir("/usr/lib").expect("every machine has it").filter_map(Result::ok);
    let found = directories.map(|entry| entry.path().join("rsyslog/lmnsd_gtls.so")).any(|path| path.exists())
        || Path::new("/usr/lib/rsyslog/lmnsd_gtls.so").exists();
    assert!(found, "rsyslogd has no TLS; install the Debian package rsyslog-gnutls, or run scripts/test");
}
