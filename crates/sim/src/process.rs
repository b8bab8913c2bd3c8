//! A process: all that a crash takes away. Its shape is that of the application's core: letters that wait, an engine,
//! attempts under way.

use balefire_channels::Reply;
use balefire_engine::{Answer, Engine, Gather, Input, Job};
use balefire_model::{Incident, Record};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::disk::SimJournal;

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
        let Letter { input, mut reply, config, stop } = letter;
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
        round.records.extend(effects.records);
        for act in effects.acts {
            match act {
                balefire_engine::Act::Answer(answer) => {
                    round.answers.extend(reply.take().map(|reply| (reply, answer)));
                }
                balefire_engine::Act::Send(job) => round.jobs.push(job),
                balefire_engine::Act::Gather(gather) => round.gathers.push(gather),
                balefire_engine::Act::Alarm(_) => round.alarms += 1,
            }
        }
    }
}

/// The engine's memory as the journal has it, from a snapshot's position or from the beginning.
/// `records` are its entries, decoded.
pub(crate) fn replay(journal: &SimJournal, records: &[Record], snapshot: Option<usize>) -> Result<Engine, String> {
    let entries = journal.entries();
    if entries.len() != records.len() {
        return Err(format!("of {} durable records only {} can be read", entries.len(), records.len()));
    }
    let (mut engine, from) = match snapshot {
        Some(place) => {
            let restored = Engine::restore(&entries[place].payload);
            (restored.map_err(|error| format!("the snapshot at {place} cannot be read: {error}"))?, place + 1)
        }
        None => (Engine::default(), 0),
    };
    for (entry, record) in entries.iter().zip(records).skip(from) {
        engine.apply(entry.at, record);
    }
    Ok(engine)
}

/// Where the last snapshot stands.
pub(crate) fn last_snapshot(journal: &SimJournal) -> Option<usize> {
    journal.entries().iter().rposition(|entry| entry.kind == balefire_model::record::kind::SNAPSHOT)
}
