//! One run: the command from its start to its end, and the records that it brings meanwhile or leaves behind. Writes no
//! note and decides nothing about other runs.

use super::command::{Command, judge};
use super::files::{self, Found};
use super::note::{Ended, EndedBy};
use super::patience::Stopped;
use super::tail::{self, Tail};
use super::taker::{Taken, Taker};
use crate::config::{Records, Schedule};
use crate::reception::Reception;
use crate::{clock, environment};
use balefire_intake::formats::json::Shape;
use jiff::{SignedDuration, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::{mpsc, watch};

/// How long its pipes may stay open after the command has ended: then what it has left behind is killed.
const LINGER: Duration = Duration::from_secs(5);
/// How long they may then still be read: what has left the group may hold them for ever.
const LINGER_MAX: Duration = Duration::from_secs(60);
/// Batches of files that wait to be taken; reading waits where it is full.
const BATCHES_MAX: usize = 2;
/// A file's time is that of the kernel's last tick, and may be a little before the command's start.
const TICK: SignedDuration = SignedDuration::from_millis(20);
/// Shorter values of our own environment are no secrets, and to hide them would garble what is shown.
const SECRET_BYTES_MIN: usize = 8;

/// Why a command is ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The next run is due.
    Replaced,
    /// Balefire stops.
    Stopping,
}

/// What a part of a run came to.
pub(super) enum Done {
    /// The command has ended.
    Command(Ended, Taken),
    /// All that it left in files is taken.
    Files(Taken),
    /// Not all could be taken before Balefire stopped.
    Stopped,
}

/// What a run needs to know.
pub(super) struct Run {
    pub(super) schedule: Arc<Schedule>,
    pub(super) started: Timestamp,
    pub(super) reception: Reception,
    pub(super) halt: watch::Receiver<Option<Halt>>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Run {
    fn taker(&self) -> Taker {
        Taker::new(self.reception.clone(), self.schedule.name.clone(), self.started, self.stop.clone())
    }

    /// Runs the command, and takes what it writes where that is its records.
    pub(super) async fn command(mut self) -> Done {
        let secrets = secrets(&self.schedule);
        let (mut command, stdout, stderr) = match Command::start(&self.schedule) {
            Ok(started) => started,
            Err(error) => {
                let fault = tail::without(&error, &secrets);
                return Done::Command(Ended::without_status(clock::now(), EndedBy::NoStart, fault), Taken::default());
            }
        };
        let mut taker = (self.schedule.records == Records::Stdout).then(|| self.taker());
        let mut words = Tail::new(&secrets);
        let ended = self.follow(&mut command, (stdout, stderr), (&mut taker, &mut words)).await;
        let taken = match taker {
            // A run that was cut off is told so; its mark says that nothing more comes.
            Some(taker) => taker.finish().await.unwrap_or_default(),
            None => Taken::default(),
        };
        Done::Command(Ended { last_lines: words.finish(&secrets), ..ended }, taken)
    }

    /// Reads the command's pipes while it runs, and says how it ended.
    async fn follow(
        &mut self,
        command: &mut Command,
        (stdout, stderr): (ChildStdout, ChildStderr),
        (taker, words): (&mut Option<Taker>, &mut Tail),
    ) -> Ended {
        let mut chatter = Tail::new(&[]);
        let read_out = async {
            match taker {
                Some(taker) => taker.take_lines(stdout).await,
                None => {
                    tail::hear(stdout, &mut chatter).await;
                    Ok(())
                }
            }
        };
        let mut pipes = std::pin::pin!(async { tokio::join!(read_out, tail::hear(stderr, words)).0 });
        let mut read: Option<Result<(), Stopped>> = None;
        let ended = {
            let mut end = std::pin::pin!(self.end_of(command));
            loop {
                tokio::select! {
                    ended = &mut end => break ended,
                    done = &mut pipes, if read.is_none() => read = Some(done),
                }
            }
        };
        if read.is_none() {
            read = tokio::time::timeout(LINGER, &mut pipes).await.ok();
        }
        command.end_group();
        if read.is_none() {
            read = tokio::time::timeout(LINGER_MAX, &mut pipes).await.ok();
        }
        let cut_off = match read {
            None => Some("it has ended, but something that it started holds its output".to_owned()),
            Some(Err(Stopped)) => Some("balefire stopped before all records were taken".to_owned()),
            Some(Ok(())) => None,
        };
        Ended { fault: ended.fault.clone().or(cut_off), ..ended }
    }

    /// Waits for the command's end, or brings it about.
    async fn end_of(&mut self, command: &mut Command) -> Ended {
        let (by, fault) = tokio::select! {
            status = command.wait() => {
                let (fault, exit_code) = judge(&status);
                return Ended { at: clock::now(), by: EndedBy::Itself, fault, exit_code, last_lines: Vec::new() };
            }
            () = tokio::time::sleep(self.schedule.timeout) => {
                let allowed = shown(self.schedule.timeout);
                (EndedBy::Timeout, format!("it was ended because it ran for more than {allowed} (`timeout`)"))
            }
            halt = halted(&mut self.halt) => match halt {
                Halt::Replaced => (EndedBy::NextRun, "it was ended because its next run was due".to_owned()),
                Halt::Stopping => (EndedBy::Stop, "it was ended because balefire stopped".to_owned()),
            },
        };
        let exit_code = judge(&command.end().await).1;
        Ended { exit_code, ..Ended::without_status(clock::now(), by, fault) }
    }

    /// Takes what the command has left in files. A repeat takes nothing twice.
    pub(super) async fn files(self) -> Done {
        let Records::Files(directory) = &self.schedule.records else { return Done::Files(Taken::default()) };
        let directory = match &self.schedule.directory {
            Some(base) => base.join(directory),
            None => PathBuf::from(directory),
        };
        let since = SystemTime::from(self.started.checked_sub(TICK).unwrap_or(self.started));
        let bytes_max = self.reception.limits.item_bytes_max;
        let (sender, mut batches) = mpsc::channel(BATCHES_MAX);
        let reading = tokio::task::spawn_blocking(move || {
            files::read(&directory, since, bytes_max, &mut |found| sender.blocking_send(found).is_ok());
        });
        let mut taker = self.taker();
        while let Some(found) = batches.recv().await {
            let taken = match found {
                Found::Batch(batch) => taker.take(&batch.body, Shape::Json, Some(&batch.key)).await,
                Found::Trouble(text) => {
                    taker.refuse(1, &text);
                    Ok(())
                }
            };
            if taken == Err(Stopped) {
                return Done::Stopped;
            }
        }
        if let Err(error) = reading.await {
            taker.refuse(1, &format!("the files could not be read: {error}"));
        }
        taker.finish().await.map_or(Done::Stopped, Done::Files)
    }
}

async fn halted(halt: &mut watch::Receiver<Option<Halt>>) -> Halt {
    match halt.wait_for(Option::is_some).await {
        Ok(halt) => halt.unwrap_or(Halt::Stopping),
        // Whoever could end it is gone.
        Err(_) => Halt::Stopping,
    }
}

/// What the command is given and nobody is to see.
fn secrets(schedule: &Schedule) -> Vec<String> {
    let own = schedule.env.iter().map(|(_, value)| value.expose().to_owned());
    let passed = schedule.env_from.iter().filter_map(|name| environment::variable(name));
    own.filter(|value| !value.is_empty()).chain(passed.filter(|value| value.len() >= SECRET_BYTES_MIN)).collect()
}

/// A time that something took.
pub(super) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{} ms", time.as_millis()),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
