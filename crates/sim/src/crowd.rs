//! What the people and the tailed file do in the world, and what they make of the answers.

use crate::agenda::Event;
use crate::ledger::Ledger;
use crate::people::{Request, incidents};
use crate::plan::SECOND;
use crate::process::{Letter, Process, ReplyTo};
use crate::random::Random;
use crate::world::{BEGINNING, World};
use balefire_engine::{AckSeen, AcksSeen, Answer, DeadLetterFilter, DeadLetterOrder, Input, Submission};
use balefire_model::record::{Assigned, InputRead, Noted, ReportStep, Reporting, StateChanged};
use balefire_model::{Cause, IncidentId, State};
use jiff::Timestamp;

/// The bytes of a line of the tailed file.
const LINE_BYTES: u64 = 10;

impl World {
    pub(crate) fn request(&mut self, number: usize) {
        let at = self.wall();
        let request = &mut self.requests[number];
        if request.over {
            return;
        }
        request.attempts += 1;
        let attempt = request.attempts;
        let submission = request.submission(at, &mut self.random);
        let reply = Some(ReplyTo::Sender { number, attempt });
        let letter = Letter { reply, ..Letter::plain(Input::Submit(submission)) };
        self.note(format_args!("request {number}, attempt {attempt}"));
        if self.post(letter) {
            let patience = self.random.pick(&[5, 10, 30]) * SECOND;
            self.agenda.plan(self.now + patience, Event::Patience { number, attempt });
        } else {
            let pause = self.random.between(2, 30) * SECOND;
            self.agenda.plan(self.now + pause, Event::Request { number });
        }
    }

    pub(crate) fn lose_patience(&mut self, number: usize, attempt: u32) {
        let request = &mut self.requests[number];
        if request.over || request.attempts != attempt {
            return;
        }
        // Without a key a repeat may double the incident: a careful sender asks a person, who says no.
        if request.key.is_none() && self.random.chance(500) {
            request.over = true;
        } else {
            self.agenda.plan(self.now, Event::Request { number });
        }
    }

    /// A sender gets an answer, if it does.
    pub(crate) fn told(&mut self, number: usize, attempt: u32, answer: &Answer) {
        let lost = self.chance(self.plan.lost_answers);
        let request = &mut self.requests[number];
        match answer {
            Answer::Accepted { incidents, .. } => {
                let incidents = incidents.to_vec();
                check_answer(&mut self.ledger, request, &incidents);
                if !lost {
                    request.told = Some(incidents);
                    request.over = true;
                }
            }
            Answer::KeyReused => {
                let wrong = !request.stolen_key
                    && !self.requests.iter().any(|other| other.stolen_key && other.key == self.requests[number].key);
                self.ledger.demand(!wrong, || format!("request {number}, attempt {attempt}: its key is nobody else's"));
                self.requests[number].over = true;
            }
            Answer::Changed | Answer::Moved { .. } | Answer::DeadLetters { .. } | Answer::Unacknowledged(_) => {
                self.ledger.faults.push(format!("request {number} got {answer:?}"))
            }
        }
    }

    /// A person does something, by what the history and the list of dead letters show.
    pub(crate) fn act(&mut self) {
        self.changes += 1;
        let by = format!("person {}", self.changes);
        if self.random.chance(450) {
            return self.move_dead_letters(by);
        }
        // The first ones again and again: what is acknowledged twice, or resolved after that, is of interest.
        let known: Vec<IncidentId> = self.ledger.routed.iter().copied().collect();
        let Some(few) = [3, known.len()].get(self.random.index(2)).map(|most| known.len().min(*most)) else { return };
        if few == 0 {
            return;
        }
        let incident = known[self.random.index(few)];
        // Drawn aside: reports do not change what else the seed's life is made of.
        if Random::new(self.random.clone().next()).chance(100) {
            let step = ReportStep::Reported { by: by.clone(), reference: String::new() };
            let report = Input::Report(Reporting { incident, step });
            self.post(Letter { reply: Some(ReplyTo::Person(by)), ..Letter::plain(report) });
            return;
        }
        if self.acts_aside(incident, &by) {
            return;
        }
        let state = self.random.pick(&[State::Acked, State::Resolved, State::Resolved]);
        let change = StateChanged { incident, state, by: by.clone(), comment: String::new() };
        self.post(Letter { reply: Some(ReplyTo::Person(by)), ..Letter::plain(Input::Change(change)) });
    }

    /// Who does something else than acknowledge or resolve. Drawn aside: it does not change what else the seed's life is made of.
    fn acts_aside(&mut self, incident: IncidentId, by: &str) -> bool {
        let mut aside = Random::new(self.random.clone().next() ^ 5);
        let by = by.to_owned();
        let input = match aside.between(0, 9) {
            0 => Input::Assign(Assigned { incident, to: aside.chance(700).then(|| "anna".to_owned()), by: by.clone() }),
            1 => Input::Note(Noted { incident, text: "seen before".to_owned(), by: by.clone() }),
            2..=4 => {
                let keeps = |(name, lane): (&String, &crate::lane::Lane)| {
                    lane.policy.as_ref().is_some_and(|policy| policy.hears_acks).then(|| name.clone())
                };
                let keep: Vec<String> = self.ledger.lanes.iter().filter_map(keeps).collect();
                if keep.is_empty() {
                    return false;
                }
                let channel = keep[aside.index(keep.len())].clone();
                let question = Input::Unacknowledged { channel: channel.clone(), before: None };
                self.post(Letter { reply: Some(ReplyTo::Table(channel)), ..Letter::plain(question) });
                return true;
            }
            5..=8 => {
                let acknowledged = self.ledger.acknowledged();
                if acknowledged.is_empty() {
                    return false;
                }
                let incident = acknowledged[aside.index(acknowledged.len())];
                let comment = String::new();
                Input::Change(StateChanged { incident, state: State::Open, by: by.clone(), comment })
            }
            _ => return false,
        };
        self.post(Letter { reply: Some(ReplyTo::Person(by)), ..Letter::plain(input) });
        true
    }

    /// Somebody has acknowledged some of what a channel's far side keeps.
    pub(crate) fn note_there(&mut self, channel: String, answer: &Answer) {
        let Answer::Unacknowledged(open) = answer else {
            return self.ledger.faults.push(format!("{channel} was to be looked at, and got {answer:?}"));
        };
        for incident in &open.incidents {
            let there = self.ledger.has_arrived(*incident, &channel);
            self.ledger.demand(there, || format!("{channel} is asked about {incident}, which it never got"));
        }
        let mut aside = Random::new(self.random.clone().next() ^ 3);
        let note = |incident: &IncidentId| {
            let is_partial = aside.chance(500);
            let by = format!("{} {channel}", if is_partial { "one row of" } else { "all rows of" });
            aside.chance(400).then_some(AckSeen { incident: *incident, by, at: String::new(), is_partial })
        };
        let found: Vec<AckSeen> = open.incidents.iter().filter_map(note).collect();
        let seen = AcksSeen { place: "a table".to_owned(), asked_at: open.asked_at, found, channel };
        self.post(Letter::plain(Input::AcksSeen(seen)));
    }

    fn move_dead_letters(&mut self, by: String) {
        let dead: Vec<_> = self.ledger.dead.iter().copied().collect();
        let one = if dead.is_empty() { None } else { Some(dead[self.random.index(dead.len())]) };
        let mut filter = DeadLetterFilter::default();
        match self.random.between(0, 4) {
            0 => {}
            1 => filter.channel = one.map(|id| self.ledger.courses[&id].channel.clone()),
            2 => filter.cause = Some(self.random.pick(&[Cause::Size, Cause::Schema, Cause::Gone, Cause::Network])),
            3 => filter.incidents.extend(one.map(|id| self.ledger.courses[&id].incident)),
            _ => filter.deliveries.extend(one),
        }
        let purge = self.random.chance(300).then(|| "of no use any more".to_owned());
        let order = DeadLetterOrder { filter, by: by.clone(), purge };
        self.post(Letter { reply: Some(ReplyTo::Mover(by)), ..Letter::plain(Input::DeadLetters(order)) });
    }

    /// Somebody hears what has become of dead letters.
    pub(crate) fn has_moved(&mut self, by: &str, answer: &Answer) {
        let Answer::Moved { deliveries, .. } = answer else {
            return self.ledger.faults.push(format!("{by} moved dead letters and got {answer:?}"));
        };
        let durable = self.ledger.moved.get(by).cloned().unwrap_or_default();
        let same = durable.iter().eq(deliveries.iter().collect::<std::collections::BTreeSet<_>>());
        self.report.moved += deliveries.len() as u64;
        self.ledger.demand(same, || format!("{by} heard that {deliveries:?} are moved, durable are {durable:?}"));
    }

    /// The tail goes on where the journal says.
    pub(crate) fn open_tail(&mut self, process: &Process) {
        let offset = process.engine.state().inputs().get("audit").map_or(0, |(_, offset)| *offset);
        self.file.next = usize::try_from(offset / LINE_BYTES).expect("a short file");
        self.file.asked = self.file.next;
        let pause = self.random.between(0, 10 * SECOND);
        self.agenda.plan(self.now + pause, Event::Tail { life: process.life });
    }

    pub(crate) fn read_tail(&mut self, life: u64) {
        let waits = self.file.asked > self.file.next;
        if waits || self.file.next == self.file.lines.len() || self.process.as_ref().is_none_or(|p| p.life != life) {
            return;
        }
        let end = self.file.lines.len().min(self.file.next + self.random.index(5) + 1);
        let lines = &self.file.lines[self.file.next..end];
        let at = Timestamp::from_microsecond(BEGINNING).expect("a constant time");
        let read = InputRead { input: "audit".to_owned(), file: "1".to_owned(), offset: end as u64 * LINE_BYTES };
        let submission =
            Submission { incidents: incidents(lines, at, &mut self.random), read: Some(read), ..Submission::default() };
        self.file.asked = end;
        self.post(Letter { reply: Some(ReplyTo::Tail), ..Letter::plain(Input::Submit(submission)) });
    }

    pub(crate) fn tail_taken(&mut self, life: u64) {
        self.file.next = self.file.asked;
        let pause = self.random.between(0, self.plan.active / 20);
        self.agenda.plan(self.now + pause, Event::Tail { life });
    }
}

/// An answer must be about incidents that are durable, and be the same for each attempt under one key.
fn check_answer(ledger: &mut Ledger, request: &Request, incidents: &[IncidentId]) {
    let marks: Vec<Option<String>> = incidents.iter().map(|id| ledger.incidents.get(id).cloned()).collect();
    let expected: Vec<Option<String>> = request.drafts.iter().map(|draft| Some(draft.mark.clone())).collect();
    ledger.demand(marks == expected, || {
        format!("answered {marks:?} for {expected:?}: not durable, or another request's")
    });
    if let Some(key) = &request.key {
        let durable = ledger.keys.get(key).is_some_and(|ids| ids == incidents);
        ledger.demand(durable, || format!("the answer under the key {key} is not what the journal has"));
    }
}
