//! The keeper of one schedule: asks the rules what is due, makes durable that a run begins before it begins, and tells what
//! went wrong. The only writer of the schedule's note.

use super::incident::{Failure, Over, failed, over, started};
use super::note::{Ended, EndedBy, LastRun, Note, UnderWay};
use super::patience::{self, Stopped};
use super::run::{Done, Halt, Run, shown};
use super::taker::Taken;
use super::{Order, Status};
use crate::clock;
use crate::config::{Records, Schedule};
use crate::reception::Reception;
use balefire_engine::schedule::{Standing, Verdict};
use balefire_engine::{Input, OWN_SOURCE, Submission};
use balefire_model::record::StateChanged;
use balefire_model::{Incident, State};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long we sleep at most: a clock that is moved, or a machine that slept, is noticed after this time.
const SLEEP_MAX: Duration = Duration::from_secs(20);

/// Keeps one schedule.
pub(super) struct Keeper {
    pub(super) schedule: Arc<Schedule>,
    /// What it becomes; none while it is not in the configuration.
    pub(super) changes: watch::Receiver<Option<Arc<Schedule>>>,
    pub(super) kept: Option<Note>,
    /// Whatever its timetable was before.
    pub(super) begins_now: bool,
    pub(super) status: Arc<Mutex<Status>>,
    pub(super) orders: mpsc::Receiver<Order>,
}

impl Keeper {
    /// Runs until `stop` is true; a command that runs then is ended, and that is told.
    pub(super) async fn run(self, reception: Reception, stop: watch::Receiver<bool>) {
        let Keeper { schedule, changes, kept, begins_now, status, mut orders } = self;
        let timetable = &schedule.rules.timetable;
        let is_new = begins_now || kept.as_ref().is_none_or(|note| note.timetable != timetable.text());
        let mut note = Note::new(timetable, clock::now());
        if let Some(kept) = kept {
            // Another timetable says nothing about what was due before it was there.
            let (settled, text) = if is_new { (note.settled, note.timetable) } else { (kept.settled, kept.timetable) };
            note = Note { settled, timetable: text, ..kept };
        }
        let (queued, active) = (None, None);
        let (is_retired, overlap_told) = (false, false);
        let mut desk =
            Desk { schedule, changes, is_retired, status, note, queued, overlap_told, active, reception, stop };
        desk.count_what_was();
        if desk.begin(is_new).await.is_ok() && desk.work(&mut orders).await.is_err() {
            tracing::debug!(schedule = desk.schedule.name, "stopped");
        }
        desk.close().await;
    }
}

/// A part of a run that is under way.
struct Active {
    /// As it was when the run began: a change holds for the next one.
    schedule: Arc<Schedule>,
    task: JoinHandle<Done>,
    halt: watch::Sender<Option<Halt>>,
}

/// What a keeper works with.
struct Desk {
    schedule: Arc<Schedule>,
    changes: watch::Receiver<Option<Arc<Schedule>>>,
    /// It is not in the configuration: it starts nothing, and may come back.
    is_retired: bool,
    status: Arc<Mutex<Status>>,
    note: Note,
    queued: Option<Timestamp>,
    /// That runs overlap is told once for the run under way.
    overlap_told: bool,
    active: Option<Active>,
    reception: Reception,
    stop: watch::Receiver<bool>,
}

impl Desk {
    /// Ends what a crash has left open.
    async fn begin(&mut self, is_new: bool) -> Result<(), Stopped> {
        match self.note.under_way.clone() {
            Some(UnderWay { started, ended: Some(_) }) => {
                self.activate(self.schedule.clone(), started, true);
                Ok(())
            }
            Some(UnderWay { started, ended: None }) => {
                let fault = "balefire ended while it ran; it is not started again, and may still run".to_owned();
                let ended = Ended::without_status(clock::now(), EndedBy::Stop, fault);
                self.finish(&self.schedule.clone(), started, ended, Taken::default()).await
            }
            None if is_new => self.save(Vec::new()).await,
            None => Ok(()),
        }
    }

    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Stopped> {
        loop {
            let next = match self.judge() {
                Verdict::Wait(next) => next,
                verdict => {
                    self.settle(verdict).await?;
                    continue;
                }
            };
            self.publish();
            let wait = next.map_or(SLEEP_MAX, |next| {
                Duration::try_from(next.duration_since(clock::now())).unwrap_or_default().min(SLEEP_MAX)
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Some(order) = orders.recv() => self.order(order).await?,
                Ok(()) = self.changes.changed() => self.adopt().await?,
                done = ended(&mut self.active) => self.done(done).await?,
                () = async { drop(self.stop.wait_for(|stop| *stop).await) } => return Err(Stopped),
            }
        }
    }

    fn judge(&self) -> Verdict {
        if self.is_retired {
            return Verdict::Wait(None);
        }
        let (is_running, queued) = (self.active.is_some(), self.queued);
        let standing = Standing { settled: self.note.settled, is_running, queued };
        self.schedule.rules.judge(standing, clock::now())
    }

    /// Another configuration has come into force. What was due before it is settled where the timetable is another one.
    async fn adopt(&mut self) -> Result<(), Stopped> {
        let schedule = self.changes.borrow_and_update().clone();
        // What waits is judged anew.
        self.queued = None;
        let Some(schedule) = schedule else {
            self.is_retired = true;
            tracing::info!(schedule = self.schedule.name, "a schedule is not in the configuration any more");
            return Ok(());
        };
        let timetable = schedule.rules.timetable.text();
        let begins_now = std::mem::take(&mut self.is_retired) || self.note.timetable != timetable;
        tracing::info!(schedule = schedule.name, timetable, begins_now, "a schedule has changed");
        self.schedule = schedule;
        if begins_now {
            self.note.timetable = timetable;
            self.note.settled = clock::now();
            self.save(Vec::new()).await?;
        }
        Ok(())
    }

    /// Does what the rules say.
    async fn settle(&mut self, verdict: Verdict) -> Result<(), Stopped> {
        match verdict {
            Verdict::Wait(_) => Ok(()),
            Verdict::Start { due, stands_for, is_late } => {
                tracing::info!(schedule = self.schedule.name, %due, stands_for, is_late, "a run begins");
                self.note.settled = due;
                self.queued = None;
                self.start().await.map(drop)
            }
            Verdict::Missed { due, count } => {
                self.note.settled = due;
                let what = format!("missed {count} times, the last at {due}");
                let window = shown(self.schedule.rules.catch_up);
                let lines =
                    vec![format!("Balefire did not run then, and more than {window} (`catch_up`) have passed.")];
                self.tell("missed", what, lines).await
            }
            Verdict::Overlapped { due } => {
                self.note.settled = due;
                match self.overlap_told {
                    true => self.save(Vec::new()).await,
                    false => self.tell_overlap(due, "is left out, and so is each until that one ends").await,
                }
            }
            Verdict::Queued { due } => {
                self.queued = Some(due);
                self.tell_overlap(due, "begins when that one ends").await
            }
            Verdict::EndPrevious { due } => {
                self.queued = Some(due);
                if let Some(active) = &self.active {
                    active.halt.send_replace(Some(Halt::Replaced));
                }
                Ok(())
            }
            Verdict::SetBack(now) => {
                tracing::warn!(schedule = self.schedule.name, "the clock was set back; the timetable counts from now");
                self.note.settled = now;
                self.save(Vec::new()).await
            }
        }
    }

    async fn order(&mut self, order: Order) -> Result<(), Stopped> {
        let Order { by, reply } = order;
        let answer = match &self.note.under_way {
            _ if self.is_retired => Err("it is not in the configuration any more".to_owned()),
            Some(UnderWay { started, .. }) => {
                Err(format!("a run is under way since {started}; allowed: to start one when it has ended"))
            }
            None => {
                tracing::info!(schedule = self.schedule.name, by, "a run was asked for");
                Ok(self.start().await?)
            }
        };
        if reply.send(answer).is_err() {
            tracing::debug!(schedule = self.schedule.name, "whoever asked for a run went away");
        }
        Ok(())
    }

    /// That a run begins is durable before it begins: no crash makes two of it.
    async fn start(&mut self) -> Result<Timestamp, Stopped> {
        let now = clock::now();
        self.note.under_way = Some(UnderWay { started: now, ended: None });
        self.save(vec![started(&self.schedule, now)]).await?;
        self.activate(self.schedule.clone(), now, false);
        Ok(now)
    }

    fn activate(&mut self, schedule: Arc<Schedule>, started: Timestamp, only_files: bool) {
        self.reception.metrics.schedules.started(&schedule.name, started);
        let (halt, halted) = watch::channel(None);
        let (reception, stop) = (self.reception.clone(), self.stop.clone());
        let run = Run { schedule: schedule.clone(), started, reception, halt: halted, stop };
        let task = if only_files { tokio::spawn(run.files()) } else { tokio::spawn(run.command()) };
        self.active = Some(Active { schedule, task, halt });
        self.overlap_told = false;
        self.publish();
    }

    /// A part of the run has ended.
    async fn done(&mut self, done: Done) -> Result<(), Stopped> {
        let schedule = self.active.take().map_or_else(|| self.schedule.clone(), |active| active.schedule);
        let Some(UnderWay { started, ended }) = self.note.under_way.clone() else { return Ok(()) };
        match done {
            Done::Command(ended, _) if matches!(schedule.records, Records::Files(_)) => {
                self.note.under_way = Some(UnderWay { started, ended: Some(ended) });
                self.save(Vec::new()).await?;
                self.activate(schedule, started, true);
                Ok(())
            }
            Done::Command(ended, taken) => self.finish(&schedule, started, ended, taken).await,
            Done::Files(taken) => match ended {
                Some(ended) => self.finish(&schedule, started, ended, taken).await,
                None => Ok(()),
            },
            // The note says what is to be taken at the next start.
            Done::Stopped => Err(Stopped),
        }
    }

    /// Closes a run, with an incident where something was wrong, or the end of those before where nothing was.
    async fn finish(
        &mut self,
        schedule: &Schedule,
        started: Timestamp,
        ended: Ended,
        taken: Taken,
    ) -> Result<(), Stopped> {
        let Taken { accepted, refused, trouble } = taken;
        let took = Duration::try_from(ended.at.duration_since(started)).unwrap_or_default();
        let refusal = trouble.map(|trouble| format!("{refused} records could not be taken, first: {trouble}"));
        let fault = ended.fault.clone().or(refusal.clone());
        let name = schedule.name.as_str();
        self.note.under_way = None;
        self.note.last = Some(LastRun { started, ended: ended.at, fault: fault.clone(), accepted });
        self.reception.metrics.schedules.ended(name, took);
        let told = over(&Over { schedule, started, ended: ended.at, accepted, fault: fault.as_deref() });
        let Some(fault) = fault else {
            self.note.succeeded = Some(ended.at);
            self.reception.metrics.schedules.succeeded(name, ended.at);
            tracing::info!(schedule = name, accepted, took = shown(took), "a run has succeeded");
            self.resolve(started).await?;
            return self.save(vec![told]).await;
        };
        tracing::error!(schedule = name, fault, accepted, refused, took = shown(took), "a run has failed");
        let mut lines = vec![format!("Started {started}, ended {}, took {}.", ended.at, shown(took))];
        lines.extend(ended.exit_code.map(|code| format!("Exit code {code}.")));
        lines.push(format!("Records taken: {accepted}; refused: {refused}."));
        lines.extend(refusal.filter(|_| ended.fault.is_some()));
        if ended.last_lines.is_empty() {
            lines.push("It said nothing on its standard error.".to_owned());
        } else {
            lines.push("It said last:".to_owned());
            lines.extend(ended.last_lines);
        }
        let cause = if ended.fault.is_some() { ended.by.as_str() } else { "records" };
        let (what, exit_code) = (format!("failed: {fault}"), ended.exit_code);
        self.report(vec![told], Failure { schedule, cause, what, exit_code, lines }).await
    }

    /// Says that the incidents about earlier failures are over.
    async fn resolve(&mut self, started: Timestamp) -> Result<(), Stopped> {
        for incident in std::mem::take(&mut self.note.told) {
            let comment = format!("the run of {started} has succeeded");
            let changed = StateChanged { incident, state: State::Resolved, by: OWN_SOURCE.to_owned(), comment };
            // Once more after a crash is the same as once.
            while let Err(error) = self.reception.mailbox.ask(Input::Change(changed.clone()), 0, 0).await {
                patience::rest(error.retry_after, &mut self.stop).await?;
            }
        }
        Ok(())
    }

    async fn tell_overlap(&mut self, due: Timestamp, what: &str) -> Result<(), Stopped> {
        self.overlap_told = true;
        let since = self.note.under_way.as_ref().map(|run| run.started.to_string()).unwrap_or_default();
        let lines = vec![format!("The run of {since} is still under way. The run of {due} {what}.")];
        self.tell("overlap", format!("overlaps: the one before has run since {since}"), lines).await
    }

    async fn tell(&mut self, cause: &'static str, what: String, lines: Vec<String>) -> Result<(), Stopped> {
        tracing::error!(schedule = self.schedule.name, cause, what, "a run is not as it should be");
        let schedule = self.schedule.clone();
        self.report(Vec::new(), Failure { schedule: &schedule, cause, what, exit_code: None, lines }).await
    }

    /// Tells of a failure, behind what else there is to tell.
    async fn report(&mut self, mut told: Vec<Arc<Incident>>, failure: Failure<'_>) -> Result<(), Stopped> {
        self.reception.metrics.schedules.failed(&failure.schedule.name, failure.cause);
        let incident = failed(failure);
        self.note.tell(incident.id);
        told.push(incident);
        self.save(told).await
    }

    /// Makes the note durable, and with it what there is to tell.
    async fn save(&mut self, incidents: Vec<Arc<Incident>>) -> Result<(), Stopped> {
        loop {
            let read = Some(self.note.write(&self.schedule.name));
            let submission = Submission { incidents: incidents.clone(), read, ..Submission::default() };
            let declined = match self.reception.submit(submission, 4096).await {
                Ok(_) => return Ok(()),
                Err(declined) => declined,
            };
            tracing::warn!(schedule = self.schedule.name, why = %declined, "a schedule waits because it was declined for now");
            patience::rest(patience::after(&declined), &mut self.stop).await?;
        }
    }

    /// Ends a command that still runs, and notes how.
    async fn close(&mut self) {
        let Some(active) = &self.active else { return };
        active.halt.send_replace(Some(Halt::Stopping));
        let takes_files = matches!(active.schedule.records, Records::Files(_));
        let done = ended(&mut self.active).await;
        let Some(UnderWay { started, .. }) = self.note.under_way.clone() else { return };
        let noted = match done {
            Done::Command(ended, _) if takes_files => {
                self.note.under_way = Some(UnderWay { started, ended: Some(ended) });
                self.save(Vec::new()).await
            }
            done => self.done(done).await,
        };
        if noted.is_err() {
            tracing::warn!(schedule = self.schedule.name, "what became of its run is noted at the next start");
        }
    }

    /// What a scrape is to know of the time before the start.
    fn count_what_was(&self) {
        let (metrics, name) = (&self.reception.metrics.schedules, self.schedule.name.as_str());
        if let Some(last) = &self.note.last {
            metrics.started(name, last.started);
            metrics.ended(name, Duration::try_from(last.ended.duration_since(last.started)).unwrap_or_default());
        }
        if let Some(at) = self.note.succeeded {
            metrics.succeeded(name, at);
        }
    }

    fn publish(&self) {
        let (metrics, name) = (&self.reception.metrics.schedules, self.schedule.name.as_str());
        match (&self.note.under_way, self.is_retired) {
            (Some(_), _) => {}
            (None, true) => metrics.gone(name),
            (None, false) => metrics.idle(name),
        }
        let timetable = &self.schedule.rules.timetable;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.timetable = timetable.text();
        status.started = self.note.under_way.as_ref().map(|run| run.started);
        status.state = match &self.note.under_way {
            Some(UnderWay { ended: Some(_), .. }) => "taking records",
            Some(_) => "running",
            None => "idle",
        };
        status.next = if self.is_retired { None } else { timetable.next(self.note.settled.max(clock::now())) };
        status.last.clone_from(&self.note.last);
        status.queued = self.queued.is_some();
    }
}

/// Waits for the part that is under way; for ever where none is. Cancel-safe.
async fn ended(active: &mut Option<Active>) -> Done {
    let Some(active) = active else { return std::future::pending().await };
    (&mut active.task).await.unwrap_or_else(|error| {
        let fault = format!("it could not be followed: {error}");
        Done::Command(Ended::without_status(clock::now(), EndedBy::Itself, fault), Taken::default())
    })
}
