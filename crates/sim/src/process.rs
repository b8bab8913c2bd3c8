//! A process: all that a crash takes away. Its shape is that of the application's core: letters that wait, an engine,
//! attempts under way.

use balefire_channels::Reply;
use balefire_engine::{Act, Answer, Effects, Engine, Gather, Input, Job};
use balefire_model::record::FollowUp;
use balefire_model::{Incident, Record};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::disk::SimJournal;
use crate::world::World;

/// An input, and who waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub input: Input,
    pub reply: Option<ReplyTo>,
    /// A configuration that comes into force with it.
    pub config: Option<usize>,
    /// An order to stop, and when attempts under way are abandoned.
    pub stop: Option<u64>,
}

impl Letter {
    pub(crate) fn plain(input: Input) -> Letter {
        Letter { input, reply: None, config: None, stop: None }
    }
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(crate) enum ReplyTo {
    /// A sender, for an attempt at its request.
    Sender { number: usize, attempt: u32 },
    /// The tailed file's reader.
    Tail,
    /// A person, who is named in the change.
    Person(String),
    /// A person who moves dead letters, who is named in the records.
    Mover(String),
    /// Whoever looks for acknowledgements in what a channel keeps.
    Table(String),
    /// Whoever asked for a reload.
    Administrator,
}

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub job: Job,
    pub incident: Arc<Incident>,
    pub config: usize,
    pub at: Timestamp,
    pub replies: Vec<Reply>,
}

/// What one round has come to, before it is durable.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub at: Timestamp,
    pub records: Vec<Record>,
    pub answers: Vec<(ReplyTo, Answer)>,
    pub jobs: Vec<Job>,
    pub gathers: Vec<Gather>,
    pub ended: Vec<Input>,
    /// How often nobody could be told.
    pub alarms: usize,
    /// Whether the last step handed on as many deliveries as one step may: more may be due.
    pub hands_on_more: bool,
}

impl Round {
    /// Takes what the engine decided; `reply` waits for its answer.
    pub(crate) fn take(&mut self, effects: Effects, mut reply: Option<ReplyTo>) {
        self.hands_on_more = hands_on_more(&effects.records);
        self.records.extend(effects.records);
        for act in effects.acts {
            match act {
                Act::Answer(answer) => self.answers.extend(reply.take().map(|reply| (reply, answer))),
                Act::Send(job) => self.jobs.push(job),
                Act::Gather(gather) => self.gathers.push(gather),
                Act::Alarm(_) => self.alarms += 1,
            }
        }
    }

    /// Whether nothing came of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.records.is_empty() && self.gathers.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    pub life: u64,
    pub engine: Engine,
    /// Which configuration is in force.
    pub config: usize,
    pub mailbox: VecDeque<Letter>,
    pub last_snapshot: Option<usize>,
    pub flights: BTreeMap<u64, Flight>,
    /// When it stops at the latest, once it was told to.
    pub stopping: Option<u64>,
    /// While the disk is full: what must not be forgotten.
    pub kept: Option<Vec<Letter>>,
    /// While a sync takes its time.
    pub busy_until: u64,
    /// When the next round is planned.
    pub next_round: Option<u64>,
    /// How many rounds in a row have come to nothing, and ended with the wish to be called again at once.
    pub in_vain: u32,
    /// Whether a fallback should have stepped in with the last round, and the engine asked to be called again at once.
    pub owes: bool,
}

impl Process {
    /// Lets the engine decide on letters; nothing is durable yet.
    pub(crate) fn decide(&mut self, at: Timestamp, letters: Vec<Letter>, settings: &[Input]) -> Round {
        let mut round = Round { at, ..Round::default() };
        if letters.is_empty() {
            self.step(Letter::plain(Input::Tick), &mut round, settings);
        }
        for letter in letters {
            self.step(letter, &mut round, settings);
        }
        round
    }

    /// `settings` are the inputs that bring the configurations into force.
    pub(crate) fn step(&mut self, letter: Letter, round: &mut Round, settings: &[Input]) {
        let Letter { input, reply, config, stop } = letter;
        if let Some(deadline) = stop {
            self.stopping.get_or_insert(deadline);
        }
        let input = match config {
            Some(config) => {
                self.config = config;
                settings[config].clone()
            }
            None => input,
        };
        if matches!(input, Input::AttemptEnded { .. }) {
            round.ended.push(input.clone());
        }
        let effects = self.engine.step(round.at, input);
        round.take(effects, reply);
    }
}

impl World {
    /// The engine's memory as the journal has it, read from a snapshot's position or from the beginning.
    pub(crate) fn replay(&self, snapshot: Option<usize>) -> Result<Engine, String> {
        let (entries, records) = (self.disk.entries(), &self.records);
        if entries.len() != records.len() {
            return Err(format!("of {} durable records only {} can be read", entries.len(), records.len()));
        }
        let Some(place) = snapshot else { return Ok(self.replayed.clone()) };
        let restored = Engine::restore(&entries[place].payload);
        let mut engine = restored.map_err(|error| format!("the snapshot at {place} cannot be read: {error}"))?;
        for (entry, record) in entries.iter().zip(records).skip(place + 1) {
            engine.apply(entry.at, record);
        }
        Ok(engine)
    }
}

/// How many deliveries one step hands on to fallbacks at most, beside those that were given up in it.
const HANDED_ON_MAX: usize = 256;

fn hands_on_more(records: &[Record]) -> bool {
    let handed_on = |record: &&Record| match record {
        Record::FollowedUp(followed) => matches!(followed.cause, FollowUp::Fallback { .. }),
        _ => false,
    };
    records.iter().filter(handed_on).count() >= HANDED_ON_MAX
}

/// Where the last snapshot stands.
pub(crate) fn last_snapshot(journal: &SimJournal) -> Option<usize> {
    journal.entries().iter().rposition(|entry| entry.kind == balefire_model::record::kind::SNAPSHOT)
}
