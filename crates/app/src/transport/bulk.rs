//! Many jobs in one request, and several requests at once: takes what waits, within the kind's bounds, and never waits for
//! more; has it carried and a reply given for each job, and gives each job its own outcome. Knows neither the bytes nor
//! what they mean.

use super::http::Http;
use super::mongo::Mongo;
use super::postgres::Postgres;
use super::worker::{Leg, Script, panic_words};
use super::{Finished, Job, mismatched, no_answer};
use balefire_channels::{Bulk, BulkBounds, BulkStep, Exchange, HttpRequest, Reply, Request, Step};
use balefire_model::{Cause, DeliveryId, Outcome};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::{Id, JoinError, JoinSet};

/// How many requests an exchange may make beside two for each of its parts; a kind that asks for more is at fault. Enough
/// to ask for an acknowledgement once a second for half an hour.
const REQUESTS_SPARE: usize = 2000;

/// How many jobs are made into bytes before others may have the thread: they may be large, and senders wait for answers.
const RENDERED_AT_ONCE: usize = 32;

/// The jobs of one channel and their transport.
pub(super) struct Rounds<R> {
    pub(super) script: Script,
    pub(super) carrier: Carrier,
    pub(super) report: mpsc::Sender<R>,
}

/// Who carries what is sent.
pub(super) enum Carrier {
    /// Requests that the kind makes of parts.
    Http(Http),
    /// Documents as they are.
    Mongo(Mongo),
    /// Rows as they are.
    Postgres(Arc<Postgres>),
}

/// What all rounds share.
struct Shared {
    script: Script,
    carrier: Carrier,
    /// Set once the far side is ready.
    ready: OnceCell<()>,
    /// The node that answered last.
    node: AtomicUsize,
}

/// What travels of a request, and its size.
type Pick<T> = fn(Request) -> Option<(usize, T)>;

fn part(request: Request) -> Option<(usize, Vec<u8>)> {
    match request {
        Request::Part(part) => Some((part.len(), part)),
        _ => None,
    }
}

/// What became of a round's jobs.
pub(super) struct Round {
    ended: Vec<Finished>,
    /// Those for which there was no room.
    left: Vec<Job>,
}

impl<R: From<Finished> + Send + 'static> Rounds<R> {
    /// Works until the jobs' channel is closed and everything taken is reported, or until nobody listens any more.
    pub(super) async fn run(self, jobs: &mut mpsc::Receiver<Job>, tasks: &mut JoinSet<Round>) {
        let Rounds { script, carrier, report } = self;
        let bounds = match &carrier {
            Carrier::Http(_) => script.channel.bulk().map(Bulk::bounds),
            Carrier::Mongo(mongo) => Some(mongo.bounds()),
            Carrier::Postgres(postgres) => Some(postgres.bounds()),
        };
        let Some(bounds) = bounds else {
            return refuse_all(jobs, &report).await;
        };
        let shared = Arc::new(Shared { script, carrier, ready: OnceCell::new(), node: AtomicUsize::new(0) });
        // Whose tasks are whose, for the reports of one that panicked.
        let mut under_way: HashMap<Id, Vec<(DeliveryId, u32)>> = HashMap::new();
        let mut waiting: VecDeque<Job> = VecDeque::new();
        let mut taken = Vec::new();
        let mut open = true;
        while open || !waiting.is_empty() || !tasks.is_empty() {
            let has_room = tasks.len() < bounds.exchanges_max;
            if has_room && !waiting.is_empty() {
                taken.extend(waiting.drain(..waiting.len().min(bounds.parts_max)));
            } else {
                tokio::select! {
                    Some(ended) = tasks.join_next_with_id() => {
                        let round = shared.gather(ended, &mut under_way);
                        for job in round.left.into_iter().rev() {
                            waiting.push_front(job);
                        }
                        for finished in round.ended {
                            if report.send(finished.into()).await.is_err() {
                                return;
                            }
                        }
                    }
                    count = jobs.recv_many(&mut taken, bounds.parts_max), if open && has_room => open = count > 0,
                }
            }
            if !taken.is_empty() {
                let who = taken.iter().map(|job| (job.delivery, job.attempt)).collect();
                let task = tasks.spawn(Arc::clone(&shared).round(std::mem::take(&mut taken), bounds));
                under_way.insert(task.id(), who);
            }
        }
    }
}

/// A kind that asks for this transport without saying how its deliveries travel together: a fault of its own.
async fn refuse_all<R: From<Finished>>(jobs: &mut mpsc::Receiver<Job>, report: &mpsc::Sender<R>) {
    while let Some(Job { delivery, attempt, .. }) = jobs.recv().await {
        let detail = "a fault in the channel's kind: it cannot send many at once".to_owned();
        let outcome = Outcome::Rejected { cause: Cause::Schema, detail };
        if report.send(Finished { delivery, attempt, outcome }.into()).await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// A round that is over; what one that panicked had is over, too.
    fn gather(
        &self,
        ended: Result<(Id, Round), JoinError>,
        under_way: &mut HashMap<Id, Vec<(DeliveryId, u32)>>,
    ) -> Round {
        let error = match ended {
            Ok((id, round)) => {
                under_way.remove(&id);
                return round;
            }
            Err(error) => error,
        };
        let who = under_way.remove(&error.id()).unwrap_or_default();
        if !error.is_panic() {
            return Round { ended: Vec::new(), left: Vec::new() };
        }
        let words = panic_words(&*error.into_panic());
        tracing::error!(channel = %self.script.name, jobs = who.len(), panic = %words, "a transport panicked");
        let outcome = Outcome::Rejected {
            cause: Cause::Network,
            detail: format!("a fault in the transport: it panicked: {words}"),
        };
        let finished = |(delivery, attempt)| Finished { delivery, attempt, outcome: outcome.clone() };
        Round { ended: who.into_iter().map(finished).collect(), left: Vec::new() }
    }

    /// As many of the jobs as there is room for, together.
    async fn round(self: Arc<Self>, jobs: Vec<Job>, bounds: BulkBounds) -> Round {
        let mut round = Round { ended: Vec::with_capacity(jobs.len()), left: Vec::new() };
        match (&self.carrier, self.script.channel.bulk()) {
            (Carrier::Mongo(mongo), _) => {
                let document = |request| match request {
                    Request::Document(document) => Some((document.bson.len(), document)),
                    _ => None,
                };
                self.insert((document, |documents| mongo.exec(documents)), jobs, bounds, &mut round).await;
            }
            (Carrier::Postgres(postgres), _) => {
                self.insert((part, |parts| postgres.exec(parts)), jobs, bounds, &mut round).await;
            }
            (Carrier::Http(http), Some(bulk)) => self.post(http, bulk, jobs, &mut round).await,
            (Carrier::Http(_), None) => round.left = jobs,
        }
        round
    }

    /// One exchange.
    async fn post(&self, http: &Http, bulk: &dyn Bulk, jobs: Vec<Job>, round: &mut Round) {
        let readiness = self.ready.get_or_try_init(|| self.prepare(http, bulk)).await.err();
        let (legs, parts) = self.render(jobs, bulk.bounds().bytes_max, part, round).await;
        let replies = match readiness {
            Some(reply) => vec![reply; legs.len()],
            None if legs.is_empty() => Vec::new(),
            None => self.exchange(http, bulk, parts).await,
        };
        let mut replies = replies.into_iter();
        for mut leg in legs {
            leg.replies.push(replies.next().unwrap_or_else(|| mismatched("a request for many")));
            let outcome = match self.script.step(&leg) {
                Step::Done(outcome) => outcome,
                Step::Send(_) => refused("it wants a second request for one part"),
            };
            round.ended.push(leg.end(outcome));
        }
    }

    /// One insert, and another one for what the server wants in another form. `pick` takes what travels out of a request,
    /// `exec` gives one reply for each.
    async fn insert<T, F: Future<Output = Vec<Reply>>>(
        &self,
        (pick, exec): (Pick<T>, impl Fn(Vec<T>) -> F),
        jobs: Vec<Job>,
        bounds: BulkBounds,
        round: &mut Round,
    ) {
        let (mut legs, mut items) = self.render(jobs, bounds.bytes_max, pick, round).await;
        while !legs.is_empty() {
            let inserted = tokio::time::timeout(self.script.limit, exec(std::mem::take(&mut items))).await;
            let mut replies = inserted.unwrap_or_default().into_iter();
            for mut leg in std::mem::take(&mut legs) {
                let Some(reply) = replies.next() else {
                    round.ended.push(leg.end(self.script.out_of_time()));
                    continue;
                };
                leg.replies.push(reply);
                let request = match self.script.step(&leg) {
                    Step::Done(outcome) => {
                        round.ended.push(leg.end(outcome));
                        continue;
                    }
                    Step::Send(request) => request,
                };
                match pick(request) {
                    Some((_, item)) => {
                        items.push(item);
                        legs.push(leg);
                    }
                    None => round.ended.push(leg.end(refused("it sends what cannot travel together"))),
                }
            }
        }
    }

    /// What the jobs send, and how many bytes it is, as far as there is room; jobs that are over before they are sent are
    /// among the round's ended.
    async fn render<T>(
        &self,
        jobs: Vec<Job>,
        bytes_max: usize,
        pick: Pick<T>,
        round: &mut Round,
    ) -> (Vec<Leg>, Vec<T>) {
        let (mut legs, mut parts, mut bytes) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()), 0);
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref() {
            if legs.len() % RENDERED_AT_ONCE == RENDERED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let leg = match Leg::begin(job, (self.script.now)()) {
                Ok(leg) => leg,
                Err(unreadable) => {
                    round.ended.push(unreadable);
                    continue;
                }
            };
            let request = match self.script.step(&leg) {
                Step::Send(request) => request,
                Step::Done(outcome) => {
                    round.ended.push(leg.end(outcome));
                    continue;
                }
            };
            match pick(request) {
                Some((size, _)) if bytes > 0 && bytes + size > bytes_max => {
                    round.left.push(leg.job);
                    break;
                }
                Some((size, part)) => {
                    bytes += size;
                    parts.push(part);
                    legs.push(leg);
                }
                None => round.ended.push(leg.end(refused("it sends what cannot travel together"))),
            }
        }
        round.left.extend(jobs);
        (legs, parts)
    }

    /// What must be done once; the error is the reply that stands for every part.
    async fn prepare(&self, http: &Http, bulk: &dyn Bulk) -> Result<(), Reply> {
        let Some(preparation) = bulk.prepare(self.node.load(Ordering::Relaxed)) else { return Ok(()) };
        match self.travel(http, preparation, REQUESTS_SPARE).await.into_iter().next() {
            None => Ok(()),
            Some(reply) => Err(reply),
        }
    }

    async fn exchange(&self, http: &Http, bulk: &dyn Bulk, parts: Vec<Vec<u8>>) -> Vec<Reply> {
        let (count, node) = (parts.len(), self.node.load(Ordering::Relaxed));
        let begun = catch_unwind(AssertUnwindSafe(|| bulk.exchange(parts, node)));
        let replies = match begun {
            Ok(exchange) => self.travel(http, exchange, REQUESTS_SPARE + 2 * count).await,
            Err(panic) => vec![self.panicked(&*panic)],
        };
        // One reply for all is what a fault leaves behind.
        if replies.len() == 1 { vec![replies[0].clone(); count] } else { replies }
    }

    /// Makes an exchange's requests one after the other.
    async fn travel(&self, http: &Http, mut exchange: Box<dyn Exchange + '_>, requests_max: usize) -> Vec<Reply> {
        let mut reply = None;
        for _ in 0..=requests_max {
            let stepped = catch_unwind(AssertUnwindSafe(|| exchange.step(reply.take())));
            match stepped {
                Ok(BulkStep::Send { request, after }) => {
                    tokio::time::sleep(after).await;
                    reply = Some(self.send(http, request).await);
                }
                Ok(BulkStep::Done { replies, node }) => {
                    self.node.store(node, Ordering::Relaxed);
                    return replies;
                }
                Err(panic) => return vec![self.panicked(&*panic)],
            }
        }
        vec![fault(format!("it asked for more than {requests_max} requests"))]
    }

    async fn send(&self, http: &Http, request: HttpRequest) -> Reply {
        match tokio::time::timeout(self.script.limit, http.exec(request)).await {
            Ok(reply) => reply,
            Err(_) => no_answer(format!("no answer within {:?}", self.script.limit)),
        }
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> Reply {
        let words = panic_words(panic);
        tracing::error!(channel = %self.script.name, panic = %words, "a channel's kind panicked");
        fault(format!("it panicked: {words}"))
    }
}

/// Our own fault, which another try after an update may not meet: nothing is given up for it.
fn fault(what: String) -> Reply {
    Reply::Failed { cause: Cause::Network, detail: format!("a fault in the channel's kind: {what}") }
}

fn refused(what: &str) -> Outcome {
    Outcome::Rejected { cause: Cause::Schema, detail: format!("a fault in the channel's kind: {what}") }
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
