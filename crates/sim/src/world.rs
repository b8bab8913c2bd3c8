//! The world of one life: its clock, its agenda, its people, its one process and its disk. Lets things happen in their
//! order until everything has come to rest.

use crate::Report;
use crate::agenda::{Agenda, Event};
use crate::config::{Config, STEADY, configs};
use crate::disk::SimJournal;
use crate::driver::configuring;
use crate::ledger::{Ledger, Moment};
use crate::network::{Behaviour, ILL};
use crate::people::{Draft, Request, TailedFile, requests};
use crate::plan::{Plan, SECOND, Strike};
use crate::process::{Letter, Process, ReplyTo};
use crate::random::Random;
use crate::trace::Trace;
use balefire_engine::{DeadLetterFilter, Engine, Input};
use balefire_model::DeliveryId;
use balefire_model::Record;
use balefire_model::record::kind;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;

/// When every life begins: 2026-11-22T03:00:00Z.
pub(crate) const BEGINNING: i64 = 1_795_316_400_000_000;

/// How often a life compares what the process knows with what the journal gives again, beside its end: that is slow.
const REPLAYS_MAX: u32 = 16;

/// How long after the faults everything must have come to rest.
const REST_BOUND: u64 = 20 * 24 * 3_600 * SECOND;

pub(crate) struct World {
    pub now: u64,
    /// By how much the clock differs from the time that has passed, in microseconds.
    pub offset: i64,
    pub random: Random,
    pub trace: Trace,
    pub agenda: Agenda,
    pub plan: Plan,
    pub configs: Vec<Config>,
    pub settings: Vec<Input>,
    /// The configuration that a start finds.
    pub wanted: usize,
    pub disk: SimJournal,
    /// What is durable on it.
    pub records: Vec<Record>,
    /// The engine's memory as all of them give it.
    pub replayed: Engine,
    pub is_full: bool,
    pub process: Option<Process>,
    pub behaviours: BTreeMap<String, Behaviour>,
    pub requests: Vec<Request>,
    pub file: TailedFile,
    pub ledger: Ledger,
    pub lives: u64,
    pub flights: u64,
    pub changes: u64,
    moment: Moment,
    /// When a round last ended with all done that was due, in which life, and by how much the clock differed.
    pub looked: Option<(u64, u64, i64)>,
    settled: bool,
    pub replays_left: u32,
    pub report: Report,
}

impl World {
    pub(crate) fn new(seed: u64, strike: Option<(u64, Strike)>) -> World {
        let mut random = Random::new(seed);
        let plan = match strike {
            Some(strike) => Plan::short(&mut random, strike),
            None => Plan::new(&mut random),
        };
        let configs = configs(&mut random);
        let requests = requests(&mut random, plan.requests);
        let lines = (0..plan.lines).map(|line| Draft::new(1_000_000 + line, &mut random)).collect();
        let names = configs[0].channels.keys();
        let mut world = World {
            now: 0,
            offset: 0,
            trace: Trace::default(),
            agenda: Agenda::default(),
            settings: configuring(&configs),
            wanted: 0,
            disk: SimJournal::default(),
            records: Vec::new(),
            replayed: Engine::default(),
            is_full: false,
            process: None,
            behaviours: names.map(|name| (name.clone(), Behaviour::Well)).collect(),
            requests,
            file: TailedFile { lines, ..TailedFile::default() },
            ledger: Ledger::new(configs.iter().map(|config| config.settings.clone()), plan.has_steady),
            lives: 0,
            flights: 0,
            changes: 0,
            moment: Moment::default(),
            looked: None,
            settled: false,
            replays_left: REPLAYS_MAX,
            report: Report::default(),
            random,
            plan,
            configs,
        };
        world.plan_life();
        world
    }

    fn plan_life(&mut self) {
        let end = self.plan.active;
        self.agenda.plan(0, Event::Start);
        self.agenda.plan(end, Event::Settle);
        let mut at = 0;
        for number in 0..self.requests.len() {
            // Bursts: most requests follow on the one before, some come at any time.
            at =
                if self.random.chance(700) { at + self.random.between(0, 20_000) } else { self.random.between(0, end) };
            self.agenda.plan(at.min(end), Event::Request { number });
        }
        let names: Vec<String> = self.behaviours.keys().filter(|name| self.may_fall_ill(name)).cloned().collect();
        for _ in 0..self.plan.moods {
            let channel = names[self.random.index(names.len())].clone();
            self.plan_any(Event::Mood { channel });
        }
        for _ in 0..self.plan.reloads {
            let config = self.random.index(self.configs.len());
            self.plan_any(Event::Reload { config });
        }
        for _ in 0..self.plan.full_times {
            let begin = self.random.between(0, end);
            self.agenda.plan(begin, Event::Space { full: true });
            self.agenda.plan(begin + self.random.between(0, (end / 8).min(60 * SECOND)), Event::Space { full: false });
        }
        for _ in 0..self.plan.clock_jumps {
            let by = i64::try_from(self.random.between(0, 7_200 * SECOND)).expect("two hours");
            let by = if self.random.chance(500) { -by } else { by };
            self.plan_any(Event::ClockJump { by });
        }
        for _ in 0..self.plan.stops {
            self.plan_any(Event::Stop);
        }
        for _ in 0..self.plan.acts {
            self.plan_any(Event::Act);
        }
    }

    fn may_fall_ill(&self, channel: &str) -> bool {
        channel != STEADY || !self.plan.has_steady
    }

    fn plan_any(&mut self, event: Event) {
        let at = self.random.between(0, self.plan.active);
        self.agenda.plan(at, event);
    }

    /// Lives until everything is at rest, and checks what must hold then.
    pub(crate) fn live(&mut self) {
        while let Some((at, event)) = self.agenda.next() {
            if self.is_good() {
                self.moment.good += at - self.now;
            }
            self.now = at;
            self.happen(event);
            if !self.ledger.faults.is_empty() || self.at_rest() {
                break;
            }
            if at > self.plan.active + REST_BOUND {
                self.ledger.faults.push("everything should have come to rest by now".to_owned());
                break;
            }
        }
        if self.ledger.faults.is_empty() {
            self.close();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Round { life } => self.round(life),
            Event::Retry { life } => self.retry(life),
            Event::Request { number } => self.request(number),
            Event::Patience { number, attempt } => self.lose_patience(number, attempt),
            Event::Tail { life } => self.read_tail(life),
            Event::Act => self.act(),
            Event::Arrival { delivery, sighting } => {
                self.note(format_args!("arrival {delivery} {sighting:?}"));
                self.ledger.received(delivery, &sighting);
            }
            Event::Answered { life, flight, reply } => self.replied(life, flight, reply),
            Event::Timeout { life, flight } => self.timed_out(life, flight),
            Event::Counted { life, gather } => self.counted(life, gather),
            Event::Mood { channel } => self.change_mood(channel),
            Event::Reload { config } => self.reload(config),
            Event::Space { full } => {
                self.is_full = full && !self.settled;
                self.note(format_args!("the disk {}", if full { "fills up" } else { "has room" }));
            }
            Event::ClockJump { by } => self.jump(by),
            Event::Stop => {
                let stop = Some(self.now + 10 * SECOND);
                self.post(Letter { stop, ..Letter::plain(Input::Drain) });
            }
            Event::Settle => self.settle(),
        }
    }

    /// Whether the process can work.
    fn is_good(&self) -> bool {
        !self.is_full
            && self.process.as_ref().is_some_and(|process| process.kept.is_none() && process.stopping.is_none())
    }

    fn at_rest(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let told = self.requests.iter().all(|request| request.over);
        let channels = self.configs[process.config].channels.keys();
        self.settled
            && told
            && self.file.next == self.file.lines.len()
            && process.mailbox.is_empty()
            && process.flights.is_empty()
            && !self.ledger.is_open(channels)
            && self.ledger.follow.steps.is_empty()
    }

    fn settle(&mut self) {
        self.note(format_args!("no more faults"));
        self.settled = true;
        self.is_full = false;
        let names: Vec<String> = self.behaviours.keys().cloned().collect();
        for name in names {
            self.behaviours.insert(name, Behaviour::Well);
        }
        if self.plan.lost_receiver {
            let lost = self.random.pick(&[Behaviour::Refuses, Behaviour::Unauthorized, Behaviour::Swallows]);
            self.behaviours.insert("hook-a".to_owned(), lost);
        }
        self.reload(0);
    }

    /// Chance in a thousand, as long as there are faults.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        let happens = self.random.chance(per_mille);
        happens && !self.settled
    }

    /// The engine asks in time to be asked again: nothing is due for longer than the driver may take.
    pub(crate) fn check_punctual(&mut self, process: &Process) {
        let late = self.wall() - SignedDuration::from_secs(5);
        let Some((since, life, offset)) = self.looked else { return };
        // Before a stop nothing new is begun: it comes with the next start.
        if (life, offset) != (process.life, self.offset) || process.stopping.is_some() {
            return;
        }
        // What is not due for so long was looked at when that round ended; now and then it is looked at again.
        let is_soon = self.now < since + 5 * SECOND;
        if is_soon && !self.random.chance(20) {
            return;
        }
        let fault = self.ledger.overdue(late).or_else(|| self.ledger.overdue_summary(self.now, late));
        self.ledger.faults.extend(fault.map(|fault| format!("for five seconds, {fault}")));
    }

    pub(crate) fn wall(&self) -> Timestamp {
        let micros = BEGINNING + i64::try_from(self.now).expect("a few weeks") + self.offset;
        Timestamp::from_microsecond(micros).expect("a time in this century")
    }

    pub(crate) fn note(&mut self, words: Arguments<'_>) {
        self.trace.note(self.now, words);
    }

    pub(crate) fn read_journal(&mut self) {
        // Decoded and applied once: what is durable never changes, and is needed again and again.
        for entry in &self.disk.entries()[self.records.len()..] {
            match Record::decode(entry) {
                Ok(record) => {
                    self.replayed.apply(entry.at, &record);
                    self.records.push(record);
                }
                Err(error) => return self.ledger.faults.push(format!("a durable record cannot be read: {error}")),
            }
        }
        self.ledger.follow(self.disk.entries(), &self.records, self.moment);
    }

    /// Plans a round of the present process, unless one is planned before.
    pub(crate) fn wake(&mut self, at: u64) {
        let Some(process) = &mut self.process else { return };
        if process.next_round.is_none_or(|planned| at < planned) {
            process.next_round = Some(at);
            self.agenda.plan(at, Event::Round { life: process.life });
        }
    }

    /// Hands a letter to the process; false where there is none.
    pub(crate) fn post(&mut self, letter: Letter) -> bool {
        let Some(process) = &mut self.process else { return false };
        process.mailbox.push_back(letter);
        self.wake(self.now);
        true
    }

    fn change_mood(&mut self, channel: String) {
        let ill = self.random.chance(self.plan.illness) && !self.settled;
        let behaviour = if ill { self.random.pick(&ILL) } else { Behaviour::Well };
        self.note(format_args!("{channel} is {behaviour:?}"));
        self.behaviours.insert(channel, behaviour);
    }

    fn reload(&mut self, config: usize) {
        self.wanted = config;
        let letter = Letter { reply: Some(ReplyTo::Administrator), config: Some(config), ..Letter::plain(Input::Tick) };
        self.post(letter);
    }

    fn jump(&mut self, by: i64) {
        self.note(format_args!("the clock jumps by {by} µs"));
        self.offset += by;
        self.moment.back += by.min(0).unsigned_abs();
        // The driver looks at the clock at least once a second.
        let soon = self.now + self.random.between(0, SECOND);
        self.wake(soon);
    }

    /// What must hold at rest.
    fn close(&mut self) {
        self.read_journal();
        let ledger = &mut self.ledger;
        for request in &self.requests {
            for id in request.told.iter().flatten() {
                let is_there = ledger.incidents.contains_key(id);
                ledger.demand(is_there, || format!("{id} was acknowledged and is not in the journal"));
            }
            for draft in &request.drafts {
                let count = ledger.marks.get(&draft.mark).copied().unwrap_or(0);
                let most = if request.key.is_some() { 1 } else { request.attempts };
                let least = u32::from(request.told.is_some());
                let right = (least..=most).contains(&count);
                ledger.demand(right, || {
                    format!("{} is {count} times in the journal, allowed {least} to {most}", draft.mark)
                });
            }
        }
        for draft in &self.file.lines {
            let count = ledger.marks.get(&draft.mark).copied().unwrap_or(0);
            ledger.demand(count == 1, || format!("the line {} is {count} times in the journal", draft.mark));
        }
        if let Some(process) = self.process.take() {
            let configured: BTreeSet<String> = self.configs[process.config].channels.keys().cloned().collect();
            self.ledger.close(&configured);
            self.check_dead_letters(&process);
            for snapshot in [None, process.last_snapshot] {
                self.check_replay(&process.engine, snapshot, "the end");
            }
        }
    }

    /// A list of the dead letters has those that the journal knows.
    fn check_dead_letters(&mut self, process: &Process) {
        let filter = DeadLetterFilter::default();
        let listed: BTreeSet<DeliveryId> = process.engine.dead_letters(&filter).map(|(id, _)| *id).collect();
        let dead = &self.ledger.dead;
        let fault = format!("the list of dead letters has {listed:?}, the journal {dead:?}");
        let same = listed == *dead;
        self.ledger.demand(same, || fault);
    }

    pub(crate) fn finish(self) -> (Report, Vec<String>) {
        let (deliveries, attempts, receipts) = self.ledger.counts();
        let entries = self.disk.entries();
        let snapshots = entries.iter().filter(|entry| entry.kind == kind::SNAPSHOT).count() as u64;
        let mut kinds = BTreeMap::new();
        for entry in entries {
            *kinds.entry(kind::name(entry.kind)).or_default() += 1;
        }
        let (trace_hash, lines) = self.trace.finish();
        let incidents = self.ledger.incidents.len() as u64;
        let (summaries, summarised) = self.ledger.summaries.counts();
        let records = entries.len() as u64;
        let (told_again, ended_by_event) = (self.ledger.repeating.told, self.ledger.repeating.ended);
        (
            Report {
                trace_hash,
                kinds,
                incidents,
                deliveries,
                attempts,
                receipts,
                summaries,
                summarised,
                told_again,
                ended_by_event,
                taken_back: self.ledger.acks.told_back,
                snapshots,
                records,
                ..self.report
            },
            lines,
        )
    }
}
