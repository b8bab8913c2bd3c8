//! `balefire sendmail`, also when called as `sendmail`: what programs of the machine mail becomes an incident. It goes to
//! the server's socket or, where that cannot be had, into the spool; success is said when it is durable in one of them.

mod options;

use super::client::{Client, Question, Reach};
use super::output;
use super::place::Place;
use crate::{clock, environment, ids, spool};
use anyhow::Context;
use balefire_intake::mail::{self, BYTES_MAX, Envelope};
use balefire_model::text::one_line;
use bytes::Bytes;
use clap::Args;
use hyper::{Method, StatusCode};
use options::Options;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the configuration is that counts here. Never the working directory's: that may be anybody's.
const CONFIG: &str = "/etc/balefire/balefire.yaml";

/// Where the socket is if nobody says.
const SOCKET: &str = "/run/balefire/balefire.sock";

/// As much is read and thrown away behind what is kept, so that the writer is not cut off.
const DRAINED_BYTES_MAX: u64 = 1 << 30;

const EXAMPLES: &str = "\
Examples:
  printf 'Subject: backup failed\\n\\nno tape\\n' | balefire sendmail -t
  df -h | balefire sendmail root
  ln -s /usr/bin/balefire /usr/sbin/sendmail         what cron, auditd, smartd and mdadm call

Takes the options of sendmail(8): -t, -i, -oi, -f ADDRESS, -r ADDRESS, -F NAME, -B TYPE, recipients, and -- before them; -s SUBJECT
as mail(1) does, for smartd; and
--spool DIR, --socket PATH, --config FILE, --data DIR, which BALEFIRE_SPOOL, BALEFIRE_SOCKET, BALEFIRE_CONFIG and BALEFIRE_DATA
say, too. Without them the socket is that of /etc/balefire/balefire.yaml where this user may read that, else
/run/balefire/balefire.sock; the spool is its `spool`, else /var/spool/balefire.

Exit codes are those of sysexits.h:
  0   the incident is durable: the server has it, or the spool
  64  the command line is wrong
  74  standard input cannot be read
  75  neither the server nor the spool took it; try again";

/// Take a mail on standard input as an incident, as sendmail takes it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sendmail {
    /// The options of sendmail(8), and recipients
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION|RECIPIENT")]
    arguments: Vec<String>,
}

/// sysexits.h
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SysExit {
    Ok = 0,
    Usage = 64,
    IoErr = 74,
    TempFail = 75,
}

/// Called as `sendmail`: all arguments are that program's.
pub(crate) fn called_as_sendmail(arguments: Vec<String>) -> ExitCode {
    Sendmail { arguments }.run(&Place { config: None, data: None })
}

impl Sendmail {
    pub(crate) fn run(&self, place: &Place) -> ExitCode {
        ExitCode::from(self.send(place) as u8)
    }

    fn send(&self, place: &Place) -> SysExit {
        let options = match options::parse(&self.arguments) {
            Ok(options) => options,
            Err(error) => return told(SysExit::Usage, &error.to_string()),
        };
        for option in &options.passed_over {
            output::tell(&one_line(&format!("sendmail: option {option} is not known and passed over")));
        }
        let mail = match read(io::stdin().lock(), options.ignore_dots) {
            Ok(mail) => with_subject(options.subject.as_deref(), mail),
            Err(error) => return told(SysExit::IoErr, &format!("standard input cannot be read: {error}")),
        };
        let ways = Ways::of(&options, place);
        let incident = mail::incident(&mail::read(&mail), &envelope(options));
        let body = Bytes::from(incident.to_string());
        let key = ids::idempotency_key();
        let Err(refusal) = ways.to_server(&key, &body) else { return SysExit::Ok };
        // The same key: what the server took and could not say any more is not taken twice.
        match ways.to_spool(&key, &body) {
            Ok(()) => SysExit::Ok,
            Err(error) => told(
                SysExit::TempFail,
                &format!("the server did not take it: {refusal:#}; and neither did the spool: {error:#}"),
            ),
        }
    }
}

fn told(exit: SysExit, text: &str) -> SysExit {
    output::tell(&format!("sendmail: {text}"));
    exit
}

fn envelope(options: Options) -> Envelope {
    Envelope {
        host: environment::host().name,
        from: options.from,
        name: options.name,
        recipients: options.recipients,
        user: rustix::process::getuid().as_raw(),
        at: clock::now(),
    }
}

/// The mail, and one byte more where it is longer than what is kept.
fn read(mut stdin: impl Read, ignore_dots: bool) -> io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    stdin.by_ref().take(BYTES_MAX as u64 + 1).read_to_end(&mut mail)?;
    if mail.len() > BYTES_MAX {
        io::copy(&mut stdin.take(DRAINED_BYTES_MAX), &mut io::sink())?;
    }
    if !ignore_dots && let Some(end) = lone_dot(&mail) {
        mail.truncate(end);
    }
    Ok(mail)
}

/// The text as a mail, where the subject was an argument: then it has no head.
fn with_subject(subject: Option<&str>, text: Vec<u8>) -> Vec<u8> {
    match subject {
        Some(subject) => [format!("Subject: {}\n\n", one_line(subject)).into_bytes(), text].concat(),
        None => text,
    }
}

/// Where a line begins that holds a dot alone.
fn lone_dot(mail: &[u8]) -> Option<usize> {
    let mut start = 0;
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii_end() == b"." {
            return Some(start);
        }
        start += line.len();
    }
    None
}

/// Where a mail can go.
struct Ways {
    socket: PathBuf,
    spool: PathBuf,
    /// Whether the spool may be made here: nobody but us is to read it.
    may_make: bool,
}

impl Ways {
    fn of(options: &Options, place: &Place) -> Ways {
        let named = options.config.clone().or_else(|| place.config.clone());
        let named = named.or_else(|| environment::variable("BALEFIRE_CONFIG").map(PathBuf::from));
        let data = options.data.clone().or_else(|| place.data.clone());
        let data = data.or_else(|| environment::variable("BALEFIRE_DATA").map(PathBuf::from));
        let is_named = named.is_some();
        let config = named.or_else(|| Some(PathBuf::from(CONFIG)).filter(|path| path.exists()));
        let loaded = config.and_then(|config| match (Place { config: Some(config), data: data.clone() }).load() {
            Ok(loaded) => Some(loaded.config),
            // The system's holds secrets, and most users may not read it.
            Err(problems) => {
                if is_named {
                    output::tell(&format!("sendmail: the configuration cannot be used: {problems}"));
                }
                None
            }
        });
        let (socket, spool) = match (loaded, &data) {
            (Some(config), _) => (config.socket.path, config.spool.path),
            (None, Some(data)) => (data.join("balefire.sock"), data.join("spool")),
            (None, None) => (PathBuf::from(SOCKET), PathBuf::from(spool::DEFAULT_PATH)),
        };
        let from_environment = |name| environment::variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let own_spool = options.spool.clone().or_else(|| from_environment("BALEFIRE_SPOOL"));
        Ways {
            socket: options.socket.clone().or_else(|| from_environment("BALEFIRE_SOCKET")).unwrap_or(socket),
            may_make: own_spool.is_some() || spool != Path::new(spool::DEFAULT_PATH),
            spool: own_spool.unwrap_or(spool),
        }
    }

    fn to_server(&self, key: &str, body: &Bytes) -> anyhow::Result<()> {
        let client = Client::new(&Reach::default(), || Ok(self.socket.clone())).map_err(|failure| failure.error)?;
        let question = Question {
            method: Method::POST,
            path: "/api/v1/incidents".to_owned(),
            body: Some((super::parts::JSON, body.clone())),
            idempotency_key: Some(key.to_owned()),
        };
        let reply = client.ask(&question)?;
        if reply.status == StatusCode::ACCEPTED { Ok(()) } else { Err(reply.failure().error) }
    }

    fn to_spool(&self, key: &str, body: &[u8]) -> anyhow::Result<()> {
        let place = || format!("{} cannot be written", self.spool.display());
        if self.may_make {
            spool::make(&self.spool).with_context(place)?;
        }
        spool::put(&self.spool, key, body).with_context(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_dot_ends_the_mail_unless_it_is_to_be_ignored() {
        let mail = b"Subject: x\n\na\n.b\n..\n.\nmore\n";
        assert_eq!(read(&mail[..], false).unwrap(), b"Subject: x\n\na\n.b\n..\n");
        assert_eq!(read(&mail[..], true).unwrap(), mail);
        assert_eq!(read(&b".\r\nx"[..], false).unwrap(), b"");
    }

    #[test]
    fn a_subject_that_is_an_argument_is_that_of_a_text_without_a_head() {
        assert_eq!(
            with_subject(Some("a\nTo: b"), b"Device: /dev/sda\n".to_vec()),
            b"Subject: a\\nTo: b\n\nDevice: /dev/sda\n"
        );
        assert_eq!(with_subject(None, b"x".to_vec()), b"x");
    }

    #[test]
    fn of_a_mail_that_is_too_long_one_byte_more_is_kept_as_its_mark() {
        let mail = vec![b'x'; BYTES_MAX + 1000];
        assert_eq!(read(&mail[..], true).unwrap().len(), BYTES_MAX + 1);
    }
}
