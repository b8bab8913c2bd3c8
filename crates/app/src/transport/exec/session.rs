//! A program from its `hello` to its end: messages go in, answers come out, and whatever breaks the protocol or the
//! patience ends it. Knows no back-off.

use super::super::{harmless, no_answer};
use super::Order;
use super::chatter::Chatter;
use super::ending::{Ending, words};
use super::lines::{Line, Lines};
use super::pending::Pending;
use super::program::{Program, Sign};
use balefire_channels::{EXEC_LINE_BYTES_MAX, ExecLine, ExecTransport, Reply, read_exec_line};
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep, timeout};

/// How many messages may stay without an answer for ever beside those that somebody waits for.
const FORGOTTEN_MAX: usize = 1_000;
/// How long what a program has left in its pipes is read. Children of its own may hold them open.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A program that has said `hello`.
pub(super) struct Session<'a> {
    settings: &'a ExecTransport,
    program: Program,
    lines: Lines,
    chatter: Chatter,
    pending: Pending,
    /// When its silence has lasted too long. It counts only while something waits for an answer.
    silence: Pin<Box<Sleep>>,
}

/// What a session must react to.
enum Event {
    /// Go on.
    Nothing,
    /// It cannot go on.
    Broken(String),
    /// It closed a pipe, as it does when it ends.
    Closed(&'static str),
    /// The program has ended by itself.
    Ended(std::io::Result<ExitStatus>),
}

impl<'a> Session<'a> {
    /// Starts the program and waits for its `hello`.
    ///
    /// # Errors
    /// In words, where there is no such program or it does not say `hello` in time. It does not run any more then.
    pub(super) async fn start(
        channel: &str,
        settings: &'a ExecTransport,
        inherited: &[(&str, String)],
    ) -> Result<Session<'a>, String> {
        let program = Program::start(settings, inherited)?;
        let mut session = Session {
            settings,
            program,
            lines: Lines::new(EXEC_LINE_BYTES_MAX),
            chatter: Chatter::new(channel, &settings.hidden()),
            pending: Pending::default(),
            silence: Box::pin(sleep(settings.timeout)),
        };
        session.program.write(&settings.hello(channel));
        let broken = match timeout(settings.start_timeout, session.hello()).await {
            Ok(Ok(name)) => {
                let name = session.chatter.clean(&name);
                tracing::info!(channel, program = %settings.command[0], name, "program started");
                return Ok(session);
            }
            Ok(Err(event)) => event,
            Err(_) => Event::Broken(format!("it did not say hello within {:?}", settings.start_timeout)),
        };
        Err(session.wind_up(broken).await.words)
    }

    /// The program's name for itself.
    async fn hello(&mut self) -> Result<String, Event> {
        loop {
            if let Some(line) = self.lines.next() {
                return match whole(line).and_then(|line| read_exec_line(&line).map_err(|error| error.to_string())) {
                    Ok(ExecLine::Hello { name }) => Ok(name),
                    Ok(ExecLine::Reply { .. }) => Err(Event::Broken("it answered before it said hello".to_owned())),
                    Err(what) => Err(Event::Broken(what)),
                };
            }
            match self.sign().await {
                Event::Nothing => {}
                event => return Err(event),
            }
        }
    }

    /// Serves until nobody orders any more or the program is gone. Whatever is not answered then has failed.
    pub(super) async fn serve(mut self, first: Order, orders: &mut mpsc::Receiver<Order>) -> Ending {
        self.take(first);
        loop {
            let is_free = !self.program.is_writing();
            let event = tokio::select! {
                order = orders.recv(), if is_free => match order {
                    Some(order) => {
                        self.take(order);
                        Event::Nothing
                    }
                    None => return self.finish().await,
                },
                event = self.next() => event,
            };
            match event {
                Event::Nothing => {}
                event => return self.wind_up(event).await,
            }
        }
    }

    fn take(&mut self, order: Order) {
        self.program.write(order.message.line());
        if self.pending.is_empty() {
            self.listen();
        }
        self.pending.add(order.message.id(), order.answer);
    }

    /// From now on its silence counts anew.
    fn listen(&mut self) {
        self.silence = Box::pin(sleep(self.settings.timeout));
    }

    /// Ends its input and waits for its end, in good order if it can.
    async fn finish(mut self) -> Ending {
        let patience = self.settings.stop_timeout;
        let orderly = async {
            loop {
                if !self.program.is_writing() {
                    self.program.close_input();
                }
                match self.next().await {
                    // It may close its pipes before it has done what is left.
                    Event::Nothing | Event::Closed(_) => {}
                    event => return event,
                }
            }
        };
        let event = match timeout(patience, orderly).await {
            Ok(event) => event,
            Err(_) => Event::Broken(format!("it did not end within {patience:?} after its input did")),
        };
        self.wind_up(event).await
    }

    /// The next thing to react to. Cancel-safe.
    async fn next(&mut self) -> Event {
        if self.pending.len() > self.settings.in_flight as usize + FORGOTTEN_MAX {
            return Event::Broken(format!("it left more than {FORGOTTEN_MAX} messages without an answer"));
        }
        let is_waiting = !self.pending.is_empty();
        let event = tokio::select! {
            () = &mut self.silence, if is_waiting => {
                return Event::Broken(format!("it gave no answer within {:?}", self.settings.timeout));
            }
            event = Self::heard(&mut self.program, &mut self.lines, &mut self.chatter) => event,
        };
        match self.answers() {
            Ok(()) => event,
            Err(what) => Event::Broken(what),
        }
    }

    async fn sign(&mut self) -> Event {
        Self::heard(&mut self.program, &mut self.lines, &mut self.chatter).await
    }

    async fn heard(program: &mut Program, lines: &mut Lines, chatter: &mut Chatter) -> Event {
        tokio::select! {
            sign = program.sign() => match sign {
                Sign::Took => Event::Nothing,
                Sign::Said(bytes) => {
                    lines.push(bytes);
                    Event::Nothing
                }
                Sign::Complained(bytes) => {
                    chatter.hear(bytes);
                    Event::Nothing
                }
                Sign::Deaf => Event::Closed("it closed its standard input"),
                Sign::Mute => Event::Closed("it closed its standard output"),
                Sign::Ended(status) => Event::Ended(status),
            },
            () = chatter.pause() => Event::Nothing,
        }
    }

    /// Hands on all answers that have come.
    fn answers(&mut self) -> Result<(), String> {
        while let Some(line) = self.lines.next() {
            let line = whole(line)?;
            match read_exec_line(&line).map_err(|error| error.to_string())? {
                ExecLine::Hello { .. } => return Err("it said hello twice".to_owned()),
                ExecLine::Reply { id, mut reply } => {
                    reply.detail = self.chatter.clean(&reply.detail);
                    if !self.pending.answer(&id, Reply::Exec(reply)) {
                        let id = harmless(&id);
                        return Err(format!("it answered {id:?}, which it was not asked or has answered before"));
                    }
                    self.listen();
                }
            }
        }
        Ok(())
    }

    /// Reads what the program has left, ends it where it still runs, and fails what is not answered.
    async fn wind_up(mut self, event: Event) -> Ending {
        let mut fault = match &event {
            Event::Broken(what) => Some(what.clone()),
            Event::Closed(_) | Event::Nothing | Event::Ended(_) => None,
        };
        // Answers that it gave before its end are good; behind a fault, nothing is.
        let is_sound = fault.is_none();
        // Where the time is up, somebody else holds its pipes open.
        if let Ok(Err(what)) = timeout(LAST_WORDS, self.hear_out(is_sound)).await {
            fault = Some(what);
        }
        let by_itself = match event {
            Event::Ended(status) => Some(status),
            // Who ends closes first.
            Event::Closed(what) => {
                let ended = timeout(LAST_WORDS, self.program.wait()).await.ok();
                if ended.is_none() {
                    fault.get_or_insert_with(|| what.to_owned());
                }
                ended
            }
            Event::Broken(_) | Event::Nothing => None,
        };
        // Where it has ended by itself, there may be others in its group.
        let ended = self.program.end().await;
        let status = by_itself.unwrap_or(ended);
        self.chatter.end();
        let is_clean = fault.is_none() && self.pending.is_empty() && status.as_ref().is_ok_and(ExitStatus::success);
        let words = words(&self.settings.command[0], fault, &status, self.chatter.last().as_deref());
        self.pending.fail(&no_answer(harmless(&words)));
        Ending { words, is_clean }
    }

    async fn hear_out(&mut self, is_sound: bool) -> Result<(), String> {
        while let Some(sign) = self.program.last_words().await {
            match sign {
                Sign::Said(bytes) if is_sound => {
                    self.lines.push(bytes);
                    self.answers()?;
                }
                Sign::Complained(bytes) => self.chatter.hear(bytes),
                _ => {}
            }
        }
        Ok(())
    }
}

fn whole(line: Line) -> Result<Vec<u8>, String> {
    match line {
        Line::Whole(line) => Ok(line),
        Line::Cut(_) => {
            Err(format!("it wrote a line of more than {EXEC_LINE_BYTES_MAX} bytes; allowed: as many at most"))
        }
    }
}
