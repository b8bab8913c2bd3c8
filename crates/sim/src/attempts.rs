//! Attempts under way: the channel says what to send, the network says what becomes of it, and one outcome comes back as a
//! letter, as from the application's workers.

use crate::agenda::Event;
use crate::network::{Sighting, fate, sight};
use crate::process::{Flight, Letter, Process};
use crate::world::World;
use balefire_channels::{Reply, Request, Step};
use balefire_engine::{Input, Job};
use balefire_model::{Cause, Delivery, Outcome, Record};
use std::sync::Arc;

impl World {
    /// Begins an attempt.
    pub(crate) fn send(&mut self, process: &mut Process, job: Job) {
        self.ledger.sent(job.delivery, job.attempt);
        let place = usize::try_from(job.accepted_at.0).expect("a journal in memory");
        let mut incident = match self.records.get(place) {
            Some(Record::Accepted(incident)) => Arc::clone(incident),
            _ => return self.ledger.faults.push(format!("record {place} is no incident, but {job:?} says so")),
        };
        if incident.id != job.incident {
            Arc::make_mut(&mut incident).id = job.incident;
        }
        self.note(format_args!("attempt {} of {} to {}", job.attempt, job.delivery, job.channel));
        let Some(channel) = self.configs[process.config].channels.get(&job.channel) else {
            let detail = format!("channel {} has no worker", job.channel);
            let outcome = Outcome::Rejected { cause: Cause::Network, detail };
            return process.mailbox.push_back(Letter::plain(ended(&job, outcome)));
        };
        self.flights += 1;
        let timeout = u64::try_from(channel.limits().attempt_timeout.as_micros()).expect("a short time");
        let (life, flight) = (process.life, self.flights);
        self.agenda.plan(self.now + timeout, Event::Timeout { life, flight });
        let begun = Flight { job, incident, config: process.config, at: self.wall(), replies: Vec::new() };
        process.flights.insert(flight, begun);
        self.go_on(process, flight);
    }

    /// Asks the channel what to do next, and does it.
    fn go_on(&mut self, process: &mut Process, number: u64) {
        let Some(flight) = process.flights.get(&number) else { return };
        let job = &flight.job;
        let channel = self.configs[flight.config].channels[&job.channel].clone();
        let delivery = Delivery {
            id: job.delivery,
            channel: &job.channel,
            reason: job.reason,
            stands_in_for: job.stands_in_for.as_deref(),
            resolved_at: job.resolved_at,
            acknowledgement: job.acknowledgement.as_ref(),
            repeats: job.repeats.as_deref().copied(),
            repeat_of: job.repeat_of,
            plain: job.plain,
            ack_url: None,
            reached: None,
            opened: None,
            run: None,
            incident: &flight.incident,
            attempt: job.attempt,
            now: flight.at,
        };
        let step = channel.step(&delivery, &flight.replies);
        if self.random.chance(50) {
            let again = channel.step(&delivery, &flight.replies);
            let same = format!("{step:?}") == format!("{again:?}");
            self.ledger.demand(same, || format!("{} answers the same question in two ways", job.channel));
        }
        match step {
            Step::Send(request) => {
                let job = job.clone();
                self.transmit(process.life, number, &job, &request);
            }
            Step::Done(outcome) => self.land(process, number, outcome),
        }
    }

    fn transmit(&mut self, life: u64, flight: u64, job: &Job, request: &Request) {
        let fate = fate(self.behaviours[&job.channel], request, &mut self.random);
        if let Some(after) = fate.arrives {
            let arrival = Event::Arrival { delivery: job.delivery, sighting: sight(request) };
            self.agenda.plan(self.now + after, arrival);
        }
        if let Some(after) = fate.again {
            let sighting = Sighting { is_copy: true, ..sight(request) };
            self.agenda.plan(self.now + after, Event::Arrival { delivery: job.delivery, sighting });
        }
        if let Some((after, reply)) = fate.replies {
            self.agenda.plan(self.now + after, Event::Answered { life, flight, reply });
        }
    }

    fn land(&mut self, process: &mut Process, number: u64, outcome: Outcome) {
        let Some(flight) = process.flights.remove(&number) else { return };
        self.note(format_args!("attempt {} of {}: {outcome:?}", flight.job.attempt, flight.job.delivery));
        process.mailbox.push_back(Letter::plain(ended(&flight.job, outcome)));
    }

    /// A reply has come.
    pub(crate) fn replied(&mut self, life: u64, flight: u64, reply: Reply) {
        let Some(mut process) = self.process.take_if(|process| process.life == life) else { return };
        if let Some(flight) = process.flights.get_mut(&flight) {
            flight.replies.push(reply);
        }
        self.go_on(&mut process, flight);
        self.process = Some(process);
        self.wake(self.now);
    }

    /// An attempt has taken as long as it may.
    pub(crate) fn timed_out(&mut self, life: u64, flight: u64) {
        let Some(mut process) = self.process.take_if(|process| process.life == life) else { return };
        let outcome = Outcome::Rejected { cause: Cause::Network, detail: "no answer in time".to_owned() };
        self.land(&mut process, flight, outcome);
        self.process = Some(process);
        self.wake(self.now);
    }
}

fn ended(job: &Job, outcome: Outcome) -> Input {
    Input::AttemptEnded { delivery: job.delivery, attempt: job.attempt, outcome }
}
