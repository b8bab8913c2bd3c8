//! The far sides: what a request comes to when its receiver is well, slow, ill or hostile, and what a receiver can tell of
//! a message that it got. Decides by the seed alone.

use crate::random::Random;
use balefire_channels::{ExecReply, ExecStatus, HttpReply, Reply, Request};
use balefire_model::Cause;

/// How a receiver behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Well,
    /// Answers in time, and sometimes too late.
    Slow,
    /// No connection.
    Refuses,
    /// Nothing comes through, and nobody says so.
    Drops,
    /// Takes the message and never answers.
    Swallows,
    /// Takes the message twice, the second time at any later time.
    Repeats,
    /// Takes the message and ends the connection.
    CutsOff,
    /// Fails in itself, having taken the message or not.
    Fails,
    /// Asks for patience.
    Busy,
    Unauthorized,
    /// Does not want what it got.
    Rejects,
    /// Answers with something that makes no sense.
    Garbles,
    /// Any of these, from message to message.
    Moody,
}

pub(crate) const ILL: [Behaviour; 12] = [
    Behaviour::Slow,
    Behaviour::Refuses,
    Behaviour::Drops,
    Behaviour::Swallows,
    Behaviour::Repeats,
    Behaviour::CutsOff,
    Behaviour::Fails,
    Behaviour::Busy,
    Behaviour::Unauthorized,
    Behaviour::Rejects,
    Behaviour::Garbles,
    Behaviour::Moody,
];

/// What a request comes to: after how many microseconds the receiver has it, and after how many there is a reply.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    pub arrives: Option<u64>,
    /// After how many it arrives once more.
    pub again: Option<u64>,
    pub replies: Option<(u64, Reply)>,
}

/// Decides what a request comes to.
pub(crate) fn fate(behaviour: Behaviour, request: &Request, random: &mut Random) -> Fate {
    let there = random.between(200, 20_000);
    let back = there + random.between(200, 20_000);
    let accepted = |delay, random: &mut Random| Fate {
        arrives: Some(there),
        again: None,
        replies: Some((delay, accepted(request, random))),
    };
    let refused = |reply| Fate { arrives: None, again: None, replies: Some((back, reply)) };
    match behaviour {
        Behaviour::Well => accepted(back, random),
        Behaviour::Slow => {
            let delay = random.between(1_000_000, 40_000_000);
            accepted(delay, random)
        }
        Behaviour::Refuses => refused(failed("connection refused")),
        Behaviour::Drops => Fate { arrives: None, again: None, replies: None },
        Behaviour::Repeats => {
            let again = Some(random.between(there, 600_000_000));
            Fate { again, ..accepted(back, random) }
        }
        Behaviour::Swallows => Fate { arrives: Some(there), again: None, replies: None },
        Behaviour::CutsOff => Fate {
            arrives: Some(there),
            again: None,
            replies: Some((back, failed("the connection ended before the answer"))),
        },
        Behaviour::Fails => {
            let arrives = random.chance(500).then_some(there);
            Fate { arrives, again: None, replies: Some((back, status(request, 500, 421, random))) }
        }
        Behaviour::Busy => {
            let http = random.pick(&[429, 429, 503]);
            refused(status(request, http, random.pick(&[421, 450, 451]), random))
        }
        Behaviour::Unauthorized => {
            let http = random.pick(&[401, 403]);
            refused(status(request, http, 535, random))
        }
        Behaviour::Rejects => {
            let (http, smtp) = random.pick(&[(400, 554), (413, 552), (410, 550)]);
            refused(status(request, http, smtp, random))
        }
        Behaviour::Garbles => {
            let reply = match random.between(0, 2) {
                0 => status(request, random.pick(&[302, 0, 999]), random.pick(&[0, 354, 999]), random),
                1 => Reply::Smtp { code: 1, text: "\u{1b}[31m\r\n".to_owned() },
                _ => failed("\0\u{202e}"),
            };
            Fate { arrives: random.chance(500).then_some(there), again: None, replies: Some((back, reply)) }
        }
        Behaviour::Moody => {
            let mood = if random.chance(500) { Behaviour::Well } else { random.pick(&ILL) };
            let mood = if mood == Behaviour::Moody { Behaviour::Well } else { mood };
            fate(mood, request, random)
        }
    }
}

/// What far sides write into `Retry-After`; the date is in the first hour of every life.
const WAITS: [&str; 9] = [
    "0",
    "3",
    "120",
    "3600",
    "soon",
    "-5",
    "99999999999999999999",
    "Sun, 22 Nov 2026 03:30:00 GMT",
    "Wed, 21 Oct 2015 07:28:00 GMT",
];

fn failed(detail: &str) -> Reply {
    Reply::Failed { cause: Cause::Network, detail: detail.to_owned() }
}

fn accepted(request: &Request, random: &mut Random) -> Reply {
    match request {
        Request::Http(_) | Request::Part(_) => status(request, random.pick(&[200, 202, 204]), 0, random),
        Request::Mail(_) => Reply::Smtp { code: 250, text: "2.0.0 Ok: queued".to_owned() },
        Request::Exec(_) => exec(ExecStatus::Ok),
        Request::Syslog(_) | Request::Line(_) | Request::Screen(_) | Request::Document(_) | Request::Store(_) => {
            Reply::Written("written".to_owned())
        }
    }
}

/// The reply of the request's own protocol; those that only write have one failure for everything.
fn status(request: &Request, http: u16, smtp: u16, random: &mut Random) -> Reply {
    match request {
        Request::Http(_) | Request::Part(_) => {
            let mut headers = Vec::new();
            if matches!(http, 429 | 503) && random.chance(800) {
                let wait = random.pick(&WAITS);
                headers.push(("retry-after".to_owned(), wait.to_owned()));
            }
            Reply::Http(HttpReply { status: http, headers, body: b"words\r\nof the far side".to_vec() })
        }
        Request::Mail(_) => Reply::Smtp { code: smtp, text: "words of the far side".to_owned() },
        Request::Exec(_) => exec(ExecStatus::Retry { after_ms: None, cause: None }),
        Request::Document(_) => Reply::CommandRefused { code: 10_107, text: "not primary".to_owned() },
        Request::Syslog(_) | Request::Line(_) | Request::Screen(_) | Request::Store(_) => failed("broken pipe"),
    }
}

fn exec(status: ExecStatus) -> Reply {
    Reply::Exec(ExecReply { status, detail: "words of the program".to_owned(), is_lost: false })
}

/// What a receiver reads off a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The delivery's id, where the protocol carries one.
    pub id: Option<String>,
    /// The mark in the incident's title.
    pub mark: Option<String>,
    /// Whether the network made it of another one.
    pub is_copy: bool,
}

/// Reads a message as its receiver would.
pub(crate) fn sight(request: &Request) -> Sighting {
    let (id, text) = match request {
        Request::Http(http) => {
            let id = http.headers.iter().find(|(name, _)| name == "webhook-id").map(|(_, id)| id.clone());
            (id, String::from_utf8_lossy(&http.body).into_owned())
        }
        Request::Mail(mail) => {
            let text = String::from_utf8_lossy(&mail.message).into_owned();
            (between(&text, "\r\nMessage-ID: <", "@"), text)
        }
        Request::Syslog(message) => {
            let text = String::from_utf8_lossy(message).into_owned();
            (between(&text, " delivery=\"", "\""), text)
        }
        Request::Part(part) => {
            let text = String::from_utf8_lossy(part).into_owned();
            (between(&text, "\"_id\":\"", "\""), text)
        }
        Request::Line(line) => {
            let text = String::from_utf8_lossy(line).into_owned();
            (between(&text, "\"delivery\":{\"id\":\"", "\""), text)
        }
        Request::Exec(exec) => (Some(exec.id().to_owned()), String::from_utf8_lossy(exec.line()).into_owned()),
        Request::Document(document) => {
            (Some(document.id.clone()), String::from_utf8_lossy(&document.bson).into_owned())
        }
        Request::Store(part) => (None, format!("{:?}", part.files)),
        Request::Screen(screen) => (None, screen.plain.clone()),
    };
    Sighting { id, mark: mark(&text), is_copy: false }
}

/// What tells of which incident a text is: the mark of one that was sent, the first words of the title of one of the
/// engine's own.
pub(crate) fn mark(text: &str) -> Option<String> {
    if let Some((before, _)) = text.split_once(" incidents in one message") {
        let number = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        return Some(format!("{number} in one message"));
    }
    if let Some(number) = between(text, "mark-", "-") {
        return Some(format!("mark-{number}-"));
    }
    if let Some((_, run)) = ["Run nightly ", "Run weekly "].iter().find_map(|words| text.split_once(words)) {
        let version: String = run.chars().take_while(char::is_ascii_digit).collect();
        return Some(format!("run {version}"));
    }
    text.match_indices("Alert channel ").find_map(|(place, words)| {
        let (name, rest) = text[place + words.len()..].split_once(' ')?;
        let matter = ["is failing", "works again"].into_iter().find(|matter| rest.starts_with(matter))?;
        Some(format!("{words}{name} {matter}"))
    })
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0.to_owned())
}
