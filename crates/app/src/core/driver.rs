//! The engine's thread: takes what waits, lets the engine decide, appends everything with one sync, then acts. An answer
//! or a message leaves only after the sync.

use super::alarm;
use super::durable::Durable;
use super::gather;
use super::incidents::Incidents;
use super::mailbox::{Letter, Mailbox, Unavailable};
use super::workers::{Crew, Workers};
use crate::ack_link::Signer;
use crate::clock;
use crate::metrics::Metrics;
use crate::transport;
use balefire_engine::{Act, Answer, Effects, Engine, Gather, Input, Job, Settings};
use balefire_model::journal::{AppendError, Entry};
use balefire_model::{Cause, DeliveryId, Journal, Outcome, Position, Reason, Record, Severity};
use balefire_store::journal::{FileJournal, Reader};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The most letters that share a sync: enough to fill it, few enough to keep it short.
const GROUP_LETTERS_MAX: usize = 2048;

/// The bytes of bodies that share a sync: more would only hold memory.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// How long the thread sleeps at most: the watchdog wants to see it go round.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// How long senders are told to wait, and we wait ourselves, when the disk is full.
const FULL_WAIT: Duration = Duration::from_secs(2);

/// An order to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    /// What asked for it.
    pub reason: String,
    /// How long attempts under way may still take.
    pub deadline: Instant,
}

pub(crate) struct Driver {
    pub engine: Engine,
    pub journal: FileJournal,
    pub reader: Reader,
    pub mailbox: Arc<Mailbox>,
    pub durable: Arc<Durable>,
    pub workers: Workers,
    pub metrics: Arc<Metrics>,
    pub settings: Arc<Settings>,
    pub last_snapshot: Option<Position>,
    pub incidents: Incidents,
    pub under_way: HashMap<DeliveryId, (Timestamp, Severity)>,
    pub stopping: Option<Stopping>,
    pub signer: Arc<Signer>,
    /// Under which address people reach us.
    pub public_url: Option<String>,
}

type Reply = oneshot::Sender<Result<Answer, Unavailable>>;

/// What one round has come to, before it is durable.
struct Round {
    at: Timestamp,
    records: Vec<Record>,
    answers: Vec<(Reply, Answer)>,
    jobs: Vec<Job>,
    /// What is to become one message.
    gathers: Vec<Gather>,
    /// What no channel can carry.
    alarms: Vec<String>,
    /// Attempts that ended; taken in again if the append fails.
    ended: Vec<Input>,
    /// A configuration that comes into force with this round.
    configured: Option<(Crew, Arc<Settings>, Option<String>)>,
}

impl Driver {
    /// Does what follows from the start, whose records are durable.
    pub(crate) fn begin(&mut self, effects: Effects) {
        self.metrics.queues(&self.engine, clock::now());
        for act in effects.acts {
            match act {
                Act::Send(job) => self.send(job),
                Act::Gather(gather) => self.count(gather),
                Act::Alarm(text) => alarm::raise(&text),
                Act::Answer(_) => {}
            }
        }
    }

    /// Runs until the last record is durable. The tasks are the workers that still finish.
    pub(crate) fn run(mut self) -> Result<JoinSet<()>, AppendError> {
        loop {
            let now = clock::now();
            self.mailbox.beat(now);
            let letters = self.mailbox.take(GROUP_LETTERS_MAX, GROUP_BYTES_MAX, self.until_due(now));
            let round = self.decide(clock::now(), letters);
            match self.commit(round) {
                Ok(()) => {}
                Err(Refused { error: AppendError::Full { place, source }, ended }) => {
                    tracing::error!(place, error = %source, "journal has no space: refusing until there is some");
                    if let Err(error) = self.wait_for_space(ended) {
                        self.finish();
                        return Err(error);
                    }
                }
                Err(Refused { error, .. }) => {
                    self.finish();
                    return Err(error);
                }
            }
            if let Some(reason) = self.drained() {
                return self.stop(reason);
            }
        }
    }

    fn until_due(&self, now: Timestamp) -> Duration {
        let due = self.engine.wakes_at(now).map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        due.unwrap_or(ROUND_MAX).min(ROUND_MAX)
    }

    /// Why to stop now: it was asked for, and nothing is under way any more or the time for that is over.
    fn drained(&self) -> Option<String> {
        let stopping = self.stopping.as_ref()?;
        let over = clock::monotonic() >= stopping.deadline;
        (over || self.engine.state().in_flight() == 0).then(|| stopping.reason.clone())
    }

    fn stop(&mut self, reason: String) -> Result<JoinSet<()>, AppendError> {
        let left: VecDeque<Letter> = self.mailbox.close();
        let mut round = self.decide(clock::now(), left);
        self.step(Letter::plain(Input::Stop(reason)), &mut round);
        let committed = self.commit(round);
        let workers = self.workers.close();
        committed.map(|()| workers).map_err(|refused| refused.error)
    }

    fn decide(&mut self, at: Timestamp, letters: VecDeque<Letter>) -> Round {
        let mut round = Round {
            at,
            records: Vec::new(),
            answers: Vec::new(),
            jobs: Vec::new(),
            gathers: Vec::new(),
            alarms: Vec::new(),
            ended: Vec::new(),
            configured: None,
        };
        if letters.is_empty() {
            self.step(Letter::plain(Input::Tick), &mut round);
        }
        for letter in letters {
            self.step(letter, &mut round);
        }
        round
    }

    fn step(&mut self, letter: Letter, round: &mut Round) {
        let Letter { input, mut reply, config, stop, .. } = letter;
        if let Some(stopping) = stop {
            self.stopping.get_or_insert(stopping);
        }
        if let Some(config) = config {
            match self.workers.open(&config.channels) {
                Ok(crew) => {
                    round.configured = Some((crew, Arc::new(config.engine_settings()), config.public_url()));
                }
                Err(error) => {
                    let why = format!("the new configuration cannot be used: {error}");
                    return answer(reply, Err(Unavailable { why, retry_after: FULL_WAIT }));
                }
            }
        }
        if matches!(input, Input::AttemptEnded { .. }) {
            round.ended.push(input.clone());
        }
        let effects = self.engine.step(round.at, input);
        round.records.extend(effects.records);
        for act in effects.acts {
            match act {
                Act::Answer(answer) => round.answers.extend(reply.take().map(|reply| (reply, answer))),
                Act::Send(job) => round.jobs.push(job),
                Act::Gather(gather) => round.gathers.push(gather),
                Act::Alarm(text) => round.alarms.push(text),
            }
        }
    }

    fn commit(&mut self, round: Round) -> Result<(), Refused> {
        let Round { at, records, answers, jobs, gathers, alarms, ended, configured } = round;
        let first = self.durable.journal();
        if !records.is_empty() {
            let mut scratch = Vec::new();
            let encode = |record: &Record| record.encode_with(at, &mut scratch);
            let entries: Vec<Entry> = records.iter().map(encode).collect();
            let before = clock::monotonic();
            match self.journal.append(first, &entries) {
                Ok(position) => self.durable.set_journal(position),
                Err(error) => {
                    for (reply, _) in answers {
                        refuse(reply, &error);
                    }
                    return Err(Refused { error, ended });
                }
            }
            self.metrics.synced(before.elapsed());
        }
        if let Some((crew, settings, public_url)) = configured {
            self.workers.install(crew);
            self.settings = settings;
            self.public_url = public_url;
        }
        for (offset, record) in (0..).zip(records) {
            self.metrics.count(&record);
            match record {
                Record::Accepted(incident) => self.incidents.insert(first.plus(offset), incident),
                Record::Snapshot(_) => self.last_snapshot = Some(first.plus(offset)),
                _ => {}
            }
        }
        // Before the answers: who gets one may look at once.
        self.metrics.queues(&self.engine, at);
        for (reply, decided) in answers {
            answer(Some(reply), Ok(decided));
        }
        for ended in ended {
            self.observe(&ended);
        }
        for job in jobs {
            self.send(job);
        }
        for gather in gathers {
            self.count(gather);
        }
        for text in alarms {
            alarm::raise(&text);
        }
        Ok(())
    }

    fn count(&self, gather: Gather) {
        gather::count(gather, self.reader.clone(), self.mailbox.clone());
    }

    fn send(&mut self, job: Job) {
        let Job { delivery, incident, severity, accepted_at, channel, reason, stands_in_for, attempt, .. } = job;
        let Job { resolved_at, acknowledgement, repeats, repeat_of, plain, reached, opened, .. } = job;
        let subject = match self.incidents.get(accepted_at) {
            Ok(subject) => subject,
            Err(detail) => return self.fail(delivery, attempt, detail),
        };
        let repeats = repeats.map(|repeats| *repeats);
        let came = repeats.map_or(incident, |repeats| repeats.last);
        self.under_way.insert(delivery, (came.received_at(), severity));
        let run = self.run_of(&channel, (reason, accepted_at, stands_in_for.as_deref()));
        let ack_url = self.public_url.as_ref().map(|base| self.signer.url(base, incident, &channel));
        let job = transport::Job {
            delivery,
            subject,
            reason,
            stands_in_for,
            resolved_at,
            acknowledgement,
            told_as: incident,
            repeats,
            repeat_of,
            plain,
            ack_url,
            reached,
            opened,
            run,
            attempt,
        };
        if !self.workers.send(&channel, job) {
            self.fail(delivery, attempt, format!("channel {channel} has no worker"));
        }
    }

    /// Where the records of a run come from, for a channel that takes them.
    fn run_of(&self, channel: &str, about: (Reason, Position, Option<&str>)) -> Option<transport::RunSource> {
        let (Reason::Run, accepted_at, stands_in_for) = about else { return None };
        let takes = self.workers.takes_runs(channel)?;
        let collector = stands_in_for.unwrap_or(channel).to_owned();
        Some(transport::RunSource { journal: self.reader.clone(), accepted_at, collector, takes })
    }

    fn fail(&self, delivery: DeliveryId, attempt: u32, detail: String) {
        tracing::error!(%delivery, attempt, detail, "attempt could not be made");
        let outcome = Outcome::Rejected { cause: Cause::Network, detail };
        let letter = Letter::plain(Input::AttemptEnded { delivery, attempt, outcome });
        if !self.mailbox.post(letter) {
            tracing::debug!(%delivery, attempt, "attempt ended after the engine");
        }
    }

    fn observe(&mut self, ended: &Input) {
        let Input::AttemptEnded { delivery, outcome, .. } = ended else { return };
        let Some((received_at, severity)) = self.under_way.remove(delivery) else { return };
        if outcome.is_delivered() {
            let seconds = clock::now().duration_since(received_at).as_secs_f64();
            self.metrics.delivered_after(severity, seconds);
        }
    }

    /// The disk is full: refuse what is new, keep what ended, and try until there is room. The engine has decided things
    /// that are not durable, so its memory is read from the journal again.
    fn wait_for_space(&mut self, ended: Vec<Input>) -> Result<(), AppendError> {
        self.mailbox.set_unready(Some("the journal has no space"));
        let mut kept: Vec<Letter> = ended.into_iter().map(Letter::plain).collect();
        loop {
            std::thread::sleep(FULL_WAIT);
            self.mailbox.beat(clock::now());
            for mut letter in self.mailbox.take(usize::MAX, usize::MAX, Duration::ZERO) {
                match letter.reply.take() {
                    Some(reply) => refuse_full(reply),
                    None => kept.push(letter),
                }
            }
            match super::open::replay(&self.reader, self.last_snapshot) {
                Ok(engine) => self.engine = engine,
                Err(error) => {
                    tracing::error!(%error, "journal cannot be read back; trying again");
                    continue;
                }
            }
            let again = [Some(Input::Configure(self.settings.clone())), self.stopping.as_ref().map(|_| Input::Drain)];
            let again = again.into_iter().flatten().map(Letter::plain);
            let round = self.decide(clock::now(), again.chain(kept.iter().map(Letter::again)).collect());
            match self.commit(round) {
                Ok(()) => {
                    self.mailbox.set_unready(None);
                    tracing::info!("journal has space again");
                    return Ok(());
                }
                Err(Refused { error: AppendError::Full { .. }, .. }) => {}
                Err(Refused { error, .. }) => return Err(error),
            }
        }
    }

    fn finish(&mut self) {
        for Letter { reply, .. } in self.mailbox.close() {
            answer(reply, Err(Unavailable::stopping()));
        }
        self.workers.close().abort_all();
    }
}

/// An append that failed, and what must not be forgotten because of it.
struct Refused {
    error: AppendError,
    ended: Vec<Input>,
}

fn answer(reply: Option<Reply>, answer: Result<Answer, Unavailable>) {
    // A sender that has gone will ask again; what was accepted is durable either way.
    if reply.is_some_and(|reply| reply.send(answer).is_err()) {
        tracing::debug!("a sender went away before its answer");
    }
}

fn refuse(reply: Reply, error: &AppendError) {
    let why = format!("not accepted: {error}");
    answer(Some(reply), Err(Unavailable { why, retry_after: FULL_WAIT }));
}

fn refuse_full(reply: Reply) {
    let why = "not accepted: the journal has no space".to_owned();
    answer(Some(reply), Err(Unavailable { why, retry_after: FULL_WAIT }));
}
