//! What the application's driver does, with a crash possible before and after each thing that can be seen from outside:
//! takes what waits, lets the engine decide, appends everything at once, then acts.

use crate::agenda::Event;
use crate::disk::{DiskFault, Survival};
use crate::health::alarming;
use crate::plan::{SECOND, Strike};
use crate::process::{Letter, Process, ReplyTo, Round, last_snapshot};
use crate::world::World;
use balefire_engine::Input;
use balefire_model::{AppendError, Entry, Journal, Record};
use std::sync::Arc;

/// How long the driver waits when the disk is full.
const FULL_WAIT: u64 = 2 * SECOND;

/// How often the engine may be called in vain because it asked for that.
const IN_VAIN_MAX: u32 = 3;

/// What became of a round.
enum Committed {
    Done,
    Full(Vec<Input>),
    Died,
}

/// Where the process dies in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    BeforeAppend,
    DuringAppend,
    AfterAppend,
    /// After so many answers and sends.
    BetweenActs(u64),
}

impl Stage {
    fn of(strike: Strike) -> Option<Stage> {
        match strike {
            Strike::Full | Strike::Sync => None,
            Strike::CrashBefore => Some(Stage::BeforeAppend),
            Strike::CrashDuring => Some(Stage::DuringAppend),
            Strike::CrashAfter => Some(Stage::AfterAppend),
            Strike::CrashBetween(acts) => Some(Stage::BetweenActs(acts)),
        }
    }
}

impl World {
    /// A process begins: reads the journal, says so in it, and goes on with what was under way.
    pub(crate) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.lives += 1;
        let snapshot = last_snapshot(&self.disk);
        let engine = match self.replay(snapshot) {
            Ok(engine) => engine,
            Err(fault) => return self.ledger.faults.push(fault),
        };
        if snapshot.is_some() && self.may_replay() {
            self.check_replay(&engine, None, "a start");
        }
        let mut process = Process {
            life: self.lives,
            engine,
            config: self.wanted,
            mailbox: Default::default(),
            last_snapshot: snapshot,
            flights: Default::default(),
            stopping: None,
            kept: None,
            busy_until: self.now,
            next_round: None,
            in_vain: 0,
            owes: false,
        };
        self.open_tail(&process);
        let at = self.wall();
        let settings = self.configs[self.wanted].settings.clone();
        let effects = process.engine.resume(at, "sim", settings);
        let mut round = Round { at, ..Round::default() };
        round.take(effects, None);
        self.trace.note(self.now, format_args!("start {} with {} records", self.lives, self.disk.position()));
        let hands_on_more = round.hands_on_more;
        match self.commit(&mut process, round) {
            Committed::Done => self.after_round(process, hands_on_more),
            Committed::Full(_) => self.plan_start(5 * SECOND),
            Committed::Died => {}
        }
    }

    /// The driver goes round once.
    pub(crate) fn round(&mut self, life: u64) {
        // A round that was planned before an earlier one was is none any more.
        let is_due = |process: &mut Process| process.life == life && process.next_round == Some(self.now);
        let Some(mut process) = self.process.take_if(is_due) else { return };
        process.next_round = None;
        if process.kept.is_some() {
            self.process = Some(process);
            return;
        }
        if self.now < process.busy_until {
            let again = process.busy_until;
            self.process = Some(process);
            return self.wake(again);
        }
        self.check_punctual(&process);
        let most = self.random.pick(&[1, 4, 2048]).min(process.mailbox.len());
        let letters: Vec<Letter> = process.mailbox.drain(..most).collect();
        let round = process.decide(self.wall(), letters, &self.settings);
        process.in_vain = if round.is_idle() { process.in_vain + 1 } else { 0 };
        let hands_on_more = round.hands_on_more;
        match self.commit(&mut process, round) {
            Committed::Done => self.after_round(process, hands_on_more),
            Committed::Full(ended) => self.begin_waiting(process, ended),
            Committed::Died => {}
        }
    }

    /// Plans what follows a round, or stops.
    fn after_round(&mut self, mut process: Process, hands_on_more: bool) {
        let over = process.stopping.is_some_and(|deadline| self.now >= deadline);
        if process.stopping.is_some() && (over || process.engine.state().in_flight() == 0) {
            return self.stop_now(process);
        }
        process.busy_until = self.now + self.random.pick(&[200, 2_000, 20_000]);
        let now = self.wall();
        // Rounded up: a due time may lie between two microseconds.
        let due = process.engine.wakes_at(now).map(|due| (due.duration_since(now).as_nanos() + 999) / 1000);
        let due = due.map(|micros| u64::try_from(micros).unwrap_or(0));
        // Once, it may look at what waits and find that nothing follows.
        process.in_vain = if due == Some(0) { process.in_vain } else { 0 };
        let is_busy = process.in_vain >= IN_VAIN_MAX;
        self.ledger.demand(!is_busy, || "the engine does nothing, and wants to be called again at once".to_owned());
        self.check_owed(&mut process, hands_on_more, due == Some(0));
        let mut next = due.map(|wait| self.now + wait.min(self.plan.active + 40 * 24 * 3600 * SECOND));
        if !process.mailbox.is_empty() {
            next = Some(self.now);
        }
        if let Some(deadline) = process.stopping {
            next = Some(next.map_or(deadline, |next| next.min(deadline)));
        }
        let from = process.busy_until;
        // What it asks for at once need not have been done.
        self.looked = (due != Some(0) && !hands_on_more).then_some((self.now, process.life, self.offset));
        self.process = Some(process);
        if let Some(next) = next {
            self.wake(next.max(from));
        }
    }

    /// What should have followed by now has followed. One step hands on a bounded number of deliveries, and ends some after
    /// it has handed on others: then the engine asks to be called again at once, and does the rest.
    fn check_owed(&mut self, process: &mut Process, hands_on_more: bool, asks: bool) {
        let Some(left) = self.ledger.overdue(self.wall()) else {
            process.owes = false;
            return;
        };
        let is_draining = process.stopping.is_some();
        let may_wait = if hands_on_more { asks || is_draining } else { asks && !process.owes };
        process.owes = !hands_on_more;
        self.ledger.demand(may_wait, || format!("{left}; the engine asks to go on: {asks}"));
    }

    fn stop_now(&mut self, mut process: Process) {
        let left: Vec<Letter> = process.mailbox.drain(..).collect();
        let mut round = process.decide(self.wall(), left, &self.settings);
        process.step(Letter::plain(Input::Stop("an order".to_owned())), &mut round, &self.settings);
        match self.commit(&mut process, round) {
            Committed::Done => {
                self.report.stops += 1;
                self.note(format_args!("stopped"));
                self.plan_start(SECOND);
            }
            Committed::Full(_) => self.plan_start(5 * SECOND),
            Committed::Died => {}
        }
    }

    /// Appends a round's records with one sync, then acts.
    fn commit(&mut self, process: &mut Process, round: Round) -> Committed {
        let Round { at, mut records, answers, jobs, gathers, ended, alarms, .. } = round;
        let alarming = alarming(&records);
        self.ledger.demand(alarms == alarming, || {
            format!("{alarms} alarms for {alarming} incidents of our own that none hears of")
        });
        if self.chance(self.plan.snapshots) {
            let snapshot = Record::Snapshot(process.engine.state().snapshot());
            process.engine.apply(at, &snapshot);
            records.push(snapshot);
        }
        let strike = if records.is_empty() { None } else { self.strike() };
        let stage = self.death().or(strike.and_then(Stage::of));
        if stage == Some(Stage::BeforeAppend) {
            return self.die("before the append");
        }
        let entries: Vec<Entry> = records.iter().map(|record| record.encode(at)).collect();
        if stage == Some(Stage::DuringAppend) {
            self.disk.write_unsynced(&entries);
            return self.die("during the append");
        }
        if !entries.is_empty() {
            self.trace_entries(&entries);
            match self.append(&entries, strike) {
                Ok(()) => self.ledger.batch_over(at, process.stopping.is_some()),
                Err(AppendError::Full { .. }) => {
                    answers.into_iter().for_each(|(reply, _)| self.refuse(reply));
                    return Committed::Full(ended);
                }
                Err(error) => return self.die(&format!("{error}")),
            }
        }
        if let Some(place) = records.iter().rposition(|record| matches!(record, Record::Snapshot(_))) {
            process.last_snapshot = Some(self.disk.entries().len() - records.len() + place);
        }
        if stage == Some(Stage::AfterAppend) {
            return self.die("after the append");
        }
        let mut acts = 0;
        for (reply, answer) in answers {
            if stage == Some(Stage::BetweenActs(acts)) {
                return self.die("between two acts");
            }
            acts += 1;
            self.answer(process, reply, answer);
        }
        for gather in gathers {
            if stage == Some(Stage::BetweenActs(acts)) {
                return self.die("between two acts");
            }
            acts += 1;
            self.begin_to_count(process.life, gather);
        }
        for job in jobs {
            if stage == Some(Stage::BetweenActs(acts)) {
                return self.die("between two acts");
            }
            acts += 1;
            self.send(process, job);
        }
        if self.random.chance(10) && self.may_replay() {
            let snapshot = if self.random.chance(500) { process.last_snapshot } else { None };
            self.check_replay(&process.engine, snapshot, "a round");
        }
        Committed::Done
    }

    /// What happens to the append that follows; counts it.
    fn strike(&mut self) -> Option<Strike> {
        let number = self.report.appends;
        self.report.appends += 1;
        self.plan.strike.filter(|(struck, _)| *struck == number).map(|(_, strike)| strike)
    }

    fn append(&mut self, entries: &[Entry], strike: Option<Strike>) -> Result<(), AppendError> {
        let fault = if self.is_full || strike == Some(Strike::Full) {
            DiskFault::Full
        } else if self.chance(self.plan.sync_failures) || strike == Some(Strike::Sync) {
            DiskFault::Sync
        } else {
            DiskFault::None
        };
        self.disk.set_fault(fault);
        let appended = self.disk.append(self.disk.position(), entries);
        self.report.full_disks += u64::from(matches!(appended, Err(AppendError::Full { .. })));
        appended?;
        self.read_journal();
        Ok(())
    }

    fn death(&mut self) -> Option<Stage> {
        if !self.chance(self.plan.crashes) {
            return None;
        }
        let between = Stage::BetweenActs(self.random.between(0, 3));
        Some(self.random.pick(&[Stage::BeforeAppend, Stage::DuringAppend, Stage::AfterAppend, between]))
    }

    /// The process is gone; what it had not synced is there or not.
    fn die(&mut self, when: &str) -> Committed {
        let garbage = (0..self.random.between(0, 40)).map(|_| self.random.next().to_le_bytes()[0]).collect();
        let per_mille = self.random.between(0, 1000);
        let survival = match self.random.between(0, 2) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => Survival::Torn { per_mille, garbage },
        };
        let cut = self.disk.recover(&survival);
        self.report.crashes += 1;
        self.note(format_args!("died {when}; {cut} bytes of a torn end"));
        self.read_journal();
        let pause = self.random.pick(&[10_000, SECOND, 60 * SECOND, 600 * SECOND]);
        self.plan_start(pause);
        Committed::Died
    }

    pub(crate) fn plan_start(&mut self, pause: u64) {
        self.agenda.plan(self.now + pause, Event::Start);
    }

    fn begin_waiting(&mut self, mut process: Process, ended: Vec<Input>) {
        self.note(format_args!("the disk is full"));
        process.kept = Some(ended.into_iter().map(Letter::plain).collect());
        self.agenda.plan(self.now + FULL_WAIT, Event::Retry { life: process.life });
        self.process = Some(process);
    }

    /// The disk was full: refuses what is new, keeps what ended, and tries whether there is room.
    pub(crate) fn retry(&mut self, life: u64) {
        let Some(mut process) = self.process.take_if(|process| process.life == life) else { return };
        let mut kept = process.kept.take().unwrap_or_default();
        for mut letter in process.mailbox.drain(..) {
            match letter.reply.take() {
                Some(reply) => self.refuse(reply),
                None => kept.push(letter),
            }
        }
        process.engine = match self.replay(process.last_snapshot) {
            Ok(engine) => engine,
            Err(fault) => return self.ledger.faults.push(fault),
        };
        let configure = Letter { config: Some(process.config), ..Letter::plain(Input::Tick) };
        let drain = process.stopping.map(|_| Letter::plain(Input::Drain));
        let letters = std::iter::once(configure).chain(drain).chain(kept.iter().cloned()).collect();
        let round = process.decide(self.wall(), letters, &self.settings);
        let hands_on_more = round.hands_on_more;
        match self.commit(&mut process, round) {
            Committed::Done => self.after_round(process, hands_on_more),
            Committed::Full(_) => {
                process.kept = Some(kept);
                self.agenda.plan(self.now + FULL_WAIT, Event::Retry { life });
                self.process = Some(process);
            }
            Committed::Died => {}
        }
    }

    fn may_replay(&mut self) -> bool {
        let may = self.replays_left > 0;
        self.replays_left = self.replays_left.saturating_sub(1);
        may
    }

    /// The engine's memory and what the journal gives again are the same, from a snapshot on or from the beginning.
    pub(crate) fn check_replay(&mut self, engine: &balefire_engine::Engine, snapshot: Option<usize>, when: &str) {
        let again = match snapshot.map(|_| self.replay(snapshot)) {
            Some(Ok(again)) => again.state().snapshot(),
            Some(Err(fault)) => return self.ledger.faults.push(fault),
            None => self.replayed.state().snapshot(),
        };
        let live = engine.state().snapshot();
        self.ledger.demand(again.get() == live.get(), || {
            format!("at {when}, replay from {snapshot:?} differs:\n   live {live}\n   again {again}")
        });
    }

    fn answer(&mut self, process: &mut Process, reply: ReplyTo, answer: balefire_engine::Answer) {
        self.note(format_args!("answer to {reply:?}: {answer:?}"));
        match reply {
            ReplyTo::Sender { number, attempt } => self.told(number, attempt, &answer),
            ReplyTo::Tail => self.tail_taken(process.life),
            ReplyTo::Person(name) => {
                let durable = self.ledger.changes.contains(&name);
                self.ledger.demand(durable, || format!("{name} heard of a change before it was durable"));
            }
            ReplyTo::Mover(name) => self.has_moved(&name, &answer),
            ReplyTo::Table(channel) => self.note_there(channel, &answer),
            ReplyTo::Administrator => self.report.reloads += 1,
        }
    }

    fn refuse(&mut self, reply: ReplyTo) {
        self.note(format_args!("refused {reply:?}"));
        match reply {
            ReplyTo::Sender { number, .. } => self.agenda.plan(self.now + FULL_WAIT, Event::Request { number }),
            ReplyTo::Tail => {
                let life = self.lives;
                self.file.asked = self.file.next;
                self.agenda.plan(self.now + FULL_WAIT, Event::Tail { life });
            }
            ReplyTo::Person(_) | ReplyTo::Mover(_) | ReplyTo::Table(_) | ReplyTo::Administrator => {}
        }
    }

    fn trace_entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.trace.bytes(&entry.payload);
        }
        let kinds: Vec<&str> = entries.iter().map(|entry| balefire_model::record::kind::name(entry.kind)).collect();
        self.note(format_args!("append {}", kinds.join(" ")));
    }
}

/// The inputs that bring configurations into force.
pub(crate) fn configuring(configs: &[crate::config::Config]) -> Vec<Input> {
    configs.iter().map(|config| Input::Configure(Arc::clone(&config.settings))).collect()
}
