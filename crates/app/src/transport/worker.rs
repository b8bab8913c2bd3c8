//! A channel's worker: takes jobs, lets the channel say what to send, has its transport send it, and reports one outcome
//! per job. Knows the order of things and the time limit of an attempt; neither the bytes nor what follows an outcome.

use super::bulk::{Carrier, Rounds};
use super::console::Console;
use super::exec::Exec;
use super::file::File;
use super::http::Http;
use super::mongo::Mongo;
use super::postgres::Postgres;
use super::run::{Pages, RunSource};
use super::smtp::Smtp;
use super::store::Store;
use super::syslog::Syslog;
use super::{Finished, Job, Notes, harmless, mismatched};
use balefire_channels::{Channel, Reply, Request, Step};
use balefire_model::{Cause, Delivery, DeliveryId, Incident, Outcome, RunPage};
use jiff::Timestamp;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

/// How many jobs an ordered transport takes at once: what one fdatasync or one write pays for. The rest waits in the
/// jobs' channel.
const BATCH_MAX: usize = 256;

/// How many requests one attempt may make: seven for each of fifty recipients. A channel that asks for more is at fault.
const STEPS_MAX: usize = 400;

/// How long connections that only one side may close politely (SMTP) are kept without work.
const IDLE: Duration = Duration::from_secs(30);

/// The transport that a channel asked for.
pub(super) enum Line {
    /// Many at once.
    Http(Http),
    /// Many at once, and many in each request.
    Bulk(Http),
    /// Many at once.
    Smtp(Smtp),
    /// Many at once.
    Exec(Exec),
    /// In order.
    Syslog(Syslog),
    /// In order.
    File(File),
    /// In order.
    Store(Store),
    /// Many at once, and many in each insert.
    Mongo(Mongo),
    /// Many at once, and many in each insert.
    Postgres(Arc<Postgres>),
    /// In order.
    Console(Console),
}

/// A channel and its open transport.
pub(crate) struct Worker {
    name: String,
    channel: Arc<dyn Channel>,
    /// How long an attempt may take.
    limit: Duration,
    line: Line,
}

impl Worker {
    pub(super) fn new(name: &str, channel: Arc<dyn Channel>, limit: Duration, line: Line) -> Worker {
        Worker { name: name.to_owned(), channel, limit, line }
    }

    /// Who can say what was acknowledged on the channel's far side, where it keeps that.
    pub(crate) fn notes(&self) -> Option<Notes> {
        match &self.line {
            Line::Postgres(postgres) => Some(Notes { every: postgres.poll()?, postgres: postgres.clone() }),
            _ => None,
        }
    }

    /// Works until `jobs` is closed and everything taken is reported, until `cancel` becomes true, or until nobody
    /// listens to the reports any more. Cancelled work is not reported: what became of it is unknown.
    ///
    /// HTTP and mail have at most the channel's `in_flight` attempts under way, bulk requests and inserts as many as their kind says;
    /// the other transports keep the order of the jobs. `now` is asked once per attempt. A report that finds its queue full waits, and so does the work behind it.
    pub(crate) async fn run<R>(
        self,
        mut jobs: mpsc::Receiver<Job>,
        report: mpsc::Sender<R>,
        mut cancel: watch::Receiver<bool>,
        now: fn() -> Timestamp,
    ) where
        R: From<Finished> + Send + 'static,
    {
        let limits = self.channel.limits();
        let script = Script { name: self.name, channel: self.channel, limit: self.limit, now };
        let (mut tasks, mut rounds) = (JoinSet::new(), JoinSet::new());
        let program = match &self.line {
            Line::Exec(exec) => Some(exec.clone()),
            _ => None,
        };
        let work = async {
            match self.line {
                Line::Http(http) => {
                    let crew = Crew { script, line: Crowd::Http(http), report };
                    crew.run(&mut jobs, &mut tasks, limits.in_flight as usize).await;
                }
                Line::Bulk(http) => {
                    Rounds { script, carrier: Carrier::Http(http), report }.run(&mut jobs, &mut rounds).await;
                }
                Line::Mongo(mongo) => {
                    Rounds { script, carrier: Carrier::Mongo(mongo), report }.run(&mut jobs, &mut rounds).await;
                }
                Line::Postgres(postgres) => {
                    Rounds { script, carrier: Carrier::Postgres(postgres), report }.run(&mut jobs, &mut rounds).await;
                }
                Line::Smtp(smtp) => {
                    let crew = Crew { script, line: Crowd::Smtp(smtp), report };
                    crew.run(&mut jobs, &mut tasks, limits.in_flight as usize).await;
                }
                Line::Exec(exec) => {
                    let crew = Crew { script, line: Crowd::Exec(exec), report };
                    crew.run(&mut jobs, &mut tasks, limits.in_flight as usize).await;
                }
                Line::Syslog(syslog) => in_order(&script, Queue::Syslog(syslog), &mut jobs, &report).await,
                Line::File(file) => in_order(&script, Queue::File(file), &mut jobs, &report).await,
                Line::Store(store) => in_order(&script, Queue::Store(store), &mut jobs, &report).await,
                Line::Console(console) => in_order(&script, Queue::Console(console), &mut jobs, &report).await,
            }
        };
        tokio::select! {
            () = work => {}
            () = cancelled(&mut cancel) => {}
        }
        // Aborted tasks are awaited, so that nothing of this channel is under way when we return.
        tasks.shutdown().await;
        rounds.shutdown().await;
        if let Some(program) = program {
            program.close().await;
        }
    }
}

/// Completes when the flag becomes true; never where its owner has gone without setting it.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What every attempt of a channel has in common.
pub(super) struct Script {
    pub(super) name: String,
    pub(super) channel: Arc<dyn Channel>,
    pub(super) limit: Duration,
    pub(super) now: fn() -> Timestamp,
}

impl Script {
    /// Asks the channel what to do next. Its panic ends the attempt, not the worker.
    pub(super) fn step(&self, leg: &Leg) -> Step {
        let Leg { job, incident, at, replies, page, .. } = leg;
        if replies.len() >= STEPS_MAX {
            return rejected(Cause::Schema, format!("the channel's kind asked for more than {STEPS_MAX} requests"));
        }
        let delivery = Delivery {
            id: job.delivery,
            channel: &self.name,
            reason: job.reason,
            stands_in_for: job.stands_in_for.as_deref(),
            resolved_at: job.resolved_at,
            acknowledgement: job.acknowledgement.as_ref(),
            repeats: job.repeats,
            repeat_of: job.repeat_of,
            plain: job.plain,
            ack_url: job.ack_url.as_deref(),
            reached: job.reached.as_deref(),
            opened: job.opened.as_deref(),
            run: page.as_ref(),
            incident,
            attempt: job.attempt,
            now: *at,
        };
        match catch_unwind(AssertUnwindSafe(|| self.channel.step(&delivery, replies))) {
            Ok(step) => step,
            Err(panic) => {
                let words = panic_words(&*panic);
                tracing::error!(channel = %self.name, delivery = %job.delivery, panic = %words, "a channel's kind panicked");
                rejected(Cause::Schema, format!("a fault in the channel's kind: it panicked: {words}"))
            }
        }
    }

    pub(super) fn out_of_time(&self) -> Outcome {
        Outcome::Rejected { cause: Cause::Network, detail: format!("no answer within {:?}", self.limit) }
    }
}

fn rejected(cause: Cause, detail: String) -> Step {
    Step::Done(Outcome::Rejected { cause, detail })
}

pub(super) fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    harmless(words.unwrap_or("without a message"))
}

/// The transports that carry many requests at once.
enum Crowd {
    Http(Http),
    Smtp(Smtp),
    Exec(Exec),
}

impl Crowd {
    async fn exec(&self, request: Request) -> Reply {
        match (self, request) {
            (Crowd::Http(http), Request::Http(request)) => http.exec(request).await,
            (Crowd::Smtp(smtp), Request::Mail(mail)) => smtp.exec(mail).await,
            (Crowd::Exec(exec), Request::Exec(message)) => exec.exec(message).await,
            (Crowd::Exec(_), _) => mismatched("a program's input"),
            (Crowd::Http(_), _) => mismatched("HTTP"),
            (Crowd::Smtp(_), _) => mismatched("SMTP"),
        }
    }

    /// Gives back what it holds between attempts.
    async fn rest(&self) {
        match self {
            // Its pool looks after itself.
            Crowd::Http(_) => {}
            // A program waits for its next message for as long as the channel is there.
            Crowd::Exec(_) => {}
            Crowd::Smtp(smtp) => smtp.rest().await,
        }
    }
}

/// Attempts side by side.
struct Crew<R> {
    script: Script,
    line: Crowd,
    report: mpsc::Sender<R>,
}

impl<R: From<Finished> + Send + 'static> Crew<R> {
    async fn run(self, jobs: &mut mpsc::Receiver<Job>, tasks: &mut JoinSet<bool>, in_flight: usize) {
        let crew = Arc::new(self);
        // Whose task is whose, for the report of one that panicked.
        let mut under_way: HashMap<Id, (DeliveryId, u32)> = HashMap::new();
        let mut open = true;
        while open || !tasks.is_empty() {
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => {
                    let heard = match ended {
                        Ok((id, heard)) => { under_way.remove(&id); heard }
                        Err(error) => crew.report_fault(under_way.remove(&error.id()), error).await,
                    };
                    if !heard {
                        return;
                    }
                }
                job = jobs.recv(), if open && tasks.len() < in_flight => match job {
                    Some(job) => {
                        let who = (job.delivery, job.attempt);
                        let task = tasks.spawn(Arc::clone(&crew).attempt(job));
                        under_way.insert(task.id(), who);
                    }
                    None => open = false,
                },
                () = tokio::time::sleep(IDLE), if tasks.is_empty() => crew.line.rest().await,
            }
        }
        crew.line.rest().await;
    }

    /// One attempt from the first step to its report; false where nobody listens any more.
    async fn attempt(self: Arc<Self>, job: Job) -> bool {
        let finished = match Leg::begin(job, (self.script.now)()) {
            Ok(mut leg) => {
                let outcome = loop {
                    // Each page of a run has the time of an attempt.
                    match tokio::time::timeout(self.script.limit, self.travel(&mut leg)).await {
                        Ok(None) => {}
                        Ok(Some(outcome)) => break outcome,
                        Err(_) => break self.abandon(&mut leg),
                    }
                };
                leg.end(outcome)
            }
            Err(unreadable) => unreadable,
        };
        self.report.send(finished.into()).await.is_ok()
    }

    /// What it came to; `None` where another page follows.
    async fn travel(&self, leg: &mut Leg) -> Option<Outcome> {
        if let Err(outcome) = leg.load().await {
            return Some(outcome);
        }
        loop {
            match self.script.step(leg) {
                Step::Done(outcome) => return leg.turn(outcome),
                // Boxed: an attempt is moved several times on its way into a task, and should be small.
                Step::Send(request) => leg.replies.push(Box::pin(self.line.exec(request)).await),
            }
        }
    }

    /// What has become of an attempt whose time is up: the channel knows what was reached before. Whatever else it would
    /// send has no answer.
    fn abandon(&self, leg: &mut Leg) -> Outcome {
        let detail = format!("no answer within {:?}", self.script.limit);
        loop {
            match self.script.step(leg) {
                Step::Done(outcome) => return outcome,
                Step::Send(_) => leg.replies.push(Reply::Failed { cause: Cause::Network, detail: detail.clone() }),
            }
        }
    }

    async fn report_fault(&self, who: Option<(DeliveryId, u32)>, error: tokio::task::JoinError) -> bool {
        let (Some((delivery, attempt)), true) = (who, error.is_panic()) else {
            return true;
        };
        let words = panic_words(&*error.into_panic());
        tracing::error!(channel = %self.script.name, %delivery, panic = %words, "a transport panicked");
        let detail = format!("a fault in the transport: it panicked: {words}");
        let outcome = Outcome::Rejected { cause: Cause::Network, detail };
        self.report.send(Finished { delivery, attempt, outcome }.into()).await.is_ok()
    }
}

/// The transports that keep order and do better with many at a time.
enum Queue {
    Syslog(Syslog),
    File(File),
    Store(Store),
    Console(Console),
}

impl Queue {
    /// One reply per request, in order. Cancel-safe: what was under way is abandoned, the next call starts afresh.
    async fn exec(&mut self, requests: Vec<Request>) -> Vec<Reply> {
        match self {
            Queue::Syslog(syslog) => {
                let (places, messages) = sort(requests, |request| match request {
                    Request::Syslog(message) => Some(message),
                    _ => None,
                });
                merge(places, syslog.exec(messages).await, "syslog")
            }
            Queue::File(file) => {
                let (places, lines) = sort(requests, |request| match request {
                    Request::Line(line) => Some(line),
                    _ => None,
                });
                merge(places, file.exec(lines).await, "a file")
            }
            Queue::Store(store) => {
                let (places, parts) = sort(requests, |request| match request {
                    Request::Store(part) => Some(part),
                    _ => None,
                });
                merge(places, store.exec(parts).await, "a directory of files")
            }
            Queue::Console(console) => {
                let (places, screens) = sort(requests, |request| match request {
                    Request::Screen(screen) => Some(screen),
                    _ => None,
                });
                merge(places, console.exec(screens).await, "the console")
            }
        }
    }
}

/// The requests of the right kind, and for each request whether it is one.
fn sort<T>(requests: Vec<Request>, pick: impl Fn(Request) -> Option<T>) -> (Vec<bool>, Vec<T>) {
    let picked: Vec<Option<T>> = requests.into_iter().map(pick).collect();
    (picked.iter().map(Option::is_some).collect(), picked.into_iter().flatten().collect())
}

fn merge(places: Vec<bool>, replies: Vec<Reply>, transport: &str) -> Vec<Reply> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or_else(|| mismatched(transport));
    places.into_iter().map(|fits| if fits { next() } else { mismatched(transport) }).collect()
}

/// One job on its way.
pub(super) struct Leg {
    pub(super) job: Job,
    incident: Arc<Incident>,
    at: Timestamp,
    pub(super) replies: Vec<Reply>,
    outcome: Option<Outcome>,
    /// The pages of its run, where it has one.
    pages: Option<Pages>,
    page: Option<RunPage>,
}

impl Leg {
    /// Reads the job's incident; where that cannot be had, the attempt is over.
    pub(super) fn begin(job: Job, at: Timestamp) -> Result<Leg, Finished> {
        match job.subject.read() {
            Ok(mut incident) => {
                // What came again is told of under the name that the far side knows.
                if incident.id != job.told_as {
                    Arc::make_mut(&mut incident).id = job.told_as;
                }
                let pages = job.run.as_ref().map(RunSource::pages);
                Ok(Leg { job, incident, at, replies: Vec::new(), outcome: None, pages, page: None })
            }
            Err(detail) => {
                tracing::error!(delivery = %job.delivery, detail, "attempt could not be made");
                let outcome = Outcome::Rejected { cause: Cause::Network, detail };
                Err(Finished { delivery: job.delivery, attempt: job.attempt, outcome })
            }
        }
    }

    /// Reads the page that is next, where the job has pages and none is open.
    async fn load(&mut self) -> Result<(), Outcome> {
        if self.page.is_some() {
            return Ok(());
        }
        let Some(mut pages) = self.pages.take() else { return Ok(()) };
        let read = tokio::task::spawn_blocking(move || {
            let page = pages.next();
            (pages, page)
        });
        let failed = |detail: String| Outcome::Rejected { cause: Cause::Network, detail };
        let (pages, page) = read.await.map_err(|error| failed(format!("the run's records were not read: {error}")))?;
        self.pages = Some(pages);
        self.page = Some(page.map_err(failed)?);
        Ok(())
    }

    /// The next step, on whichever page it is.
    async fn next(&mut self, script: &Script) -> Step {
        loop {
            if let Err(outcome) = self.load().await {
                return Step::Done(outcome);
            }
            match script.step(self) {
                Step::Done(outcome) => {
                    if let Some(outcome) = self.turn(outcome) {
                        return Step::Done(outcome);
                    }
                }
                send => return send,
            }
        }
    }

    /// The outcome, unless it is that of a page which another one follows: then that is the next to be opened.
    fn turn(&mut self, outcome: Outcome) -> Option<Outcome> {
        if !outcome.is_delivered() || self.page.as_ref().is_none_or(|page| page.is_last) {
            return Some(outcome);
        }
        self.page = None;
        self.replies.clear();
        None
    }

    pub(super) fn end(self, outcome: Outcome) -> Finished {
        Finished { delivery: self.job.delivery, attempt: self.job.attempt, outcome }
    }
}

/// Attempts in order, as many at a time as are waiting.
async fn in_order<R: From<Finished>>(
    script: &Script,
    mut line: Queue,
    jobs: &mut mpsc::Receiver<Job>,
    report: &mpsc::Sender<R>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while jobs.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut legs = Vec::with_capacity(batch.len());
        for job in batch.drain(..) {
            match Leg::begin(job, (script.now)()) {
                Ok(leg) => legs.push(leg),
                Err(unreadable) => {
                    if report.send(unreadable.into()).await.is_err() {
                        return;
                    }
                }
            }
        }
        // Legs that have their outcome when the time is up keep it; the others get theirs below.
        if !travel(script, &mut line, &mut legs).await {
            tracing::debug!(channel = %script.name, jobs = legs.len(), "a batch ran out of time");
        }
        for mut leg in legs {
            let outcome = leg.outcome.take().unwrap_or_else(|| script.out_of_time());
            if report.send(leg.end(outcome).into()).await.is_err() {
                return;
            }
        }
    }
}

/// Steps all legs together, so that what they send goes out in one piece; false where an answer took too long.
async fn travel(script: &Script, line: &mut Queue, legs: &mut [Leg]) -> bool {
    loop {
        let mut requests = Vec::new();
        let mut senders = Vec::new();
        for leg in legs.iter_mut().filter(|leg| leg.outcome.is_none()) {
            match leg.next(script).await {
                Step::Done(outcome) => leg.outcome = Some(outcome),
                Step::Send(request) => {
                    requests.push(request);
                    senders.push(leg);
                }
            }
        }
        if requests.is_empty() {
            return true;
        }
        let Ok(replies) = tokio::time::timeout(script.limit, line.exec(requests)).await else { return false };
        for (leg, reply) in senders.into_iter().zip(replies) {
            leg.replies.push(reply);
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
pub(super) mod tests;
