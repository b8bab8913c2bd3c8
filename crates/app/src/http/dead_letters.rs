//! Dead letters over HTTP: listed, shown with what was last sent and answered, sent on their way again, purged. The engine
//! has them and decides; what was sent is made anew by the channel, with its secrets masked.

use super::access::Operator;
use super::api::{Read, find, not_a_query, parsed, read, time, unavailable, wrong};
use super::problem::Problem;
use super::{App, masked};
use crate::clock;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use balefire_channels::Step;
use balefire_engine::{Answer, DeadLetter, DeadLetterFilter, DeadLetterOrder, Input};
use balefire_model::{Cause, Delivery, DeliveryId, Incident, IncidentId, Outcome, Record, Repeats};
use balefire_store::view::StoryLine;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many letters a list has where it does not say, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1000;

/// The largest body, and the most ids in it: the engine compares each letter with each of them.
const BODY_BYTES_MAX: u64 = 64 * 1024;
const IDS_MAX: usize = 1000;

/// How often one request lets the engine move as many as fit into one batch of the journal: enough for all that are kept.
const ROUNDS_MAX: usize = 100;

/// How many ids an answer lists; it counts all.
const LISTED_MAX: usize = 1000;

const CAUSES: [Cause; 6] = [Cause::Auth, Cause::Quota, Cause::Size, Cause::Schema, Cause::Gone, Cause::Network];

/// The query of the list, as text: each member is judged by itself, so that an error can say what is allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    channel: Option<String>,
    cause: Option<String>,
    incident: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

/// What is to be done, and with which.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    deliveries: Vec<String>,
    incidents: Vec<String>,
    channel: Option<String>,
    cause: Option<String>,
    before: Option<String>,
    all: bool,
    by: Option<String>,
    reason: Option<String>,
}

/// A letter as the list has it.
#[derive(Serialize)]
struct Listed<'a> {
    delivery: DeliveryId,
    #[serde(flatten)]
    letter: &'a DeadLetter,
}

pub(crate) async fn list(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(filter) = filter.map_err(|rejection| not_a_query(&rejection))?;
    let limit = parsed("limit", filter.limit.as_deref(), "1 to 1000", |text| {
        text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    let incidents: Vec<String> = filter.incident.iter().flat_map(|ids| ids.split(',')).map(str::to_owned).collect();
    let Filter { channel, cause, before, .. } = filter;
    let order = Order { incidents, channel, cause, before, ..Order::default() };
    let (letters, left) = ask(&app, order.filter(&app).await?, limit.unwrap_or(LIMIT_DEFAULT)).await?;
    let listed: Vec<Listed<'_>> =
        letters.iter().map(|(delivery, letter)| Listed { delivery: *delivery, letter }).collect();
    Ok(Json(json!({ "dead_letters": listed, "left": left })))
}

type Letters = Arc<Vec<(DeliveryId, DeadLetter)>>;

async fn ask(app: &App, filter: DeadLetterFilter, limit: usize) -> Result<(Letters, usize), Problem> {
    match app.mailbox.ask(Input::ListDeadLetters { filter, limit }, 0, 0).await.map_err(unavailable)? {
        Answer::DeadLetters { letters, left } => Ok((letters, left)),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Answer) -> Problem {
    tracing::error!(?answer, "the engine answered another question");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine answered another question; please report this")
}

pub(crate) async fn show(
    State(app): State<App>,
    _: Operator,
    Path(delivery): Path<String>,
) -> Result<Json<Value>, Problem> {
    let delivery = delivery_id(&delivery)?;
    let filter = DeadLetterFilter { deliveries: vec![delivery], ..DeadLetterFilter::default() };
    let (letters, _) = ask(&app, filter, 1).await?;
    let Some((_, letter)) = letters.first().cloned() else {
        let detail = format!("there is no dead letter {delivery}: it was never given up, or was redriven or purged");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let id = letter.incident;
    let Read { found: story, .. } = read(&app, move |view| view.story(id)).await?;
    let tried = Tried::of(delivery, &story);
    let incident = |story: &[StoryLine]| {
        story.iter().find_map(|line| match &line.record {
            Record::Accepted(incident) => Some(incident.clone()),
            _ => None,
        })
    };
    let mut incident = match letter.repeats {
        // It tells of the first under the text of the last.
        Some(Repeats { last, .. }) => incident(&read(&app, move |view| view.story(last)).await?.found),
        None => incident(&story),
    };
    if let Some(incident) = &mut incident {
        Arc::make_mut(incident).id = id;
    }
    let title = incident.as_ref().map(|incident| incident.title.clone());
    let (request, note) = match incident {
        Some(incident) => again(&app, (delivery, letter.clone()), incident, &tried).await,
        None => (Value::Null, Some("the history of its incident is not kept any more".to_owned())),
    };
    let mut shown = serde_json::to_value(Listed { delivery, letter: &letter }).expect("letters have string keys");
    shown["title"] = json!(title);
    shown["request"] = request;
    shown["request_note"] = json!(note);
    shown["reply"] = json!(tried.last);
    shown["tries"] = json!(tried.tries);
    Ok(Json(shown))
}

/// One attempt.
#[derive(Debug, Serialize)]
struct Try {
    attempt: u32,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    outcome: Option<Outcome>,
}

/// What the story says of a delivery's attempts.
#[derive(Debug, Default)]
struct Tried {
    tries: Vec<Try>,
    last: Option<Outcome>,
    /// The last attempt left the template out.
    plain: bool,
}

impl Tried {
    fn of(delivery: DeliveryId, story: &[StoryLine]) -> Tried {
        let mut tried = Tried::default();
        let mut plain_next = false;
        for StoryLine { at, record, .. } in story {
            match record {
                Record::AttemptStarted(started) if started.delivery == delivery => {
                    tried.plain = plain_next;
                    let attempt = started.attempt;
                    tried.tries.push(Try { attempt, started_at: Some(*at), ended_at: None, outcome: None });
                }
                Record::AttemptEnded(ended) if ended.delivery == delivery => {
                    plain_next |= ended.plain_next;
                    tried.last = Some(ended.outcome.clone());
                    if let Some(last) = tried.tries.last_mut().filter(|last| last.attempt == ended.attempt) {
                        (last.ended_at, last.outcome) = (Some(*at), Some(ended.outcome.clone()));
                    }
                }
                Record::Redriven(redriven) if redriven.delivery == delivery => plain_next = false,
                _ => {}
            }
        }
        tried
    }
}

/// The request of the last attempt, made anew by the channel as it is configured now; and what there is to say of that.
async fn again(
    app: &App,
    (delivery, letter): (DeliveryId, DeadLetter),
    incident: Arc<Incident>,
    tried: &Tried,
) -> (Value, Option<String>) {
    let config = app.config.borrow().clone();
    let Some(index) = config.channels.iter().position(|channel| channel.name == letter.channel) else {
        return (Value::Null, Some(format!("channel {} is not configured any more", letter.channel)));
    };
    let last = tried.tries.last();
    let (attempt, plain) = (last.map_or(letter.attempts, |last| last.attempt), tried.plain);
    let now = last.and_then(|last| last.started_at).unwrap_or(letter.at);
    // Beside the runtime: a large incident takes its time, and a fault in a channel's kind ends here.
    let made = tokio::task::spawn_blocking(move || {
        let delivery = Delivery {
            id: delivery,
            channel: &letter.channel,
            reason: letter.reason,
            stands_in_for: letter.stands_in_for.as_deref(),
            resolved_at: letter.resolved_at,
            acknowledgement: letter.acknowledgement.as_ref(),
            repeats: letter.repeats,
            repeat_of: letter.repeat_of,
            plain,
            ack_url: None,
            reached: None,
            opened: None,
            run: None,
            incident: &incident,
            attempt,
            now,
        };
        match config.channels[index].channel.step(&delivery, &[]) {
            Step::Send(request) => (masked::request(&request), None),
            Step::Done(_) => (Value::Null, Some("the channel's kind sends nothing for it".to_owned())),
        }
    });
    made.await.unwrap_or_else(|_| (Value::Null, Some("the channel's kind could not make it again".to_owned())))
}

pub(crate) async fn redrive(
    State(app): State<App>,
    Operator(name): Operator,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let order = Order::read(&app, body).await?;
    if order.reason.is_some() {
        let detail = "reason: is recorded by a purge only; leave it out to redrive";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    order.carry_out(&app, name, None).await
}

pub(crate) async fn purge(
    State(app): State<App>,
    Operator(name): Operator,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let mut order = Order::read(&app, body).await?;
    let Some(reason) = order.reason.take().filter(|reason| !reason.trim().is_empty()) else {
        let detail = "reason: is missing; allowed: a text that says why these are given up for good";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    order.carry_out(&app, name, Some(reason)).await
}

impl Order {
    async fn read(app: &App, body: Body) -> Result<Order, Problem> {
        let body = app.places.read(body, BODY_BYTES_MAX).await?.bytes;
        let refuse = |error| {
            let allowed =
                "an object with deliveries, incidents (lists of ids), channel, cause, before, all, by, reason";
            Problem::new(StatusCode::BAD_REQUEST, format!("{error}; allowed: {allowed}"))
        };
        let order: Order = serde_json::from_slice(&body).map_err(refuse)?;
        if order.deliveries.len() + order.incidents.len() > IDS_MAX {
            let detail = format!("too many ids; allowed: at most {IDS_MAX} in all; send them in parts");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        Ok(order)
    }

    /// The letters that it means.
    async fn filter(&self, app: &App) -> Result<DeadLetterFilter, Problem> {
        let mut incidents: Vec<IncidentId> = Vec::with_capacity(self.incidents.len());
        for id in &self.incidents {
            incidents.push(match id.parse() {
                Ok(id) => id,
                Err(_) => find(app, id).await?.row.id,
            });
        }
        let causes = CAUSES.map(Cause::as_str).join(", ");
        Ok(DeadLetterFilter {
            deliveries: self.deliveries.iter().map(|id| delivery_id(id)).collect::<Result<_, _>>()?,
            incidents,
            channel: self.channel.clone(),
            cause: parsed("cause", self.cause.as_deref(), &causes, |text| {
                CAUSES.into_iter().find(|cause| cause.as_str() == text)
            })?,
            before: time("before", self.before.as_deref())?,
        })
    }

    async fn carry_out(self, app: &App, name: String, purge: Option<String>) -> Result<Json<Value>, Problem> {
        let filter = self.filter(app).await?;
        if filter == DeadLetterFilter::default() && !self.all {
            let detail =
                "this names no dead letters; allowed: deliveries, incidents, channel, cause or before, or `all`";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let by = self.by.filter(|by| !by.trim().is_empty()).unwrap_or(name);
        let asked_for = filter.deliveries.clone();
        let (moved, left) = move_all(app, DeadLetterOrder { filter, by, purge }).await?;
        let missing: Vec<&DeliveryId> = asked_for.iter().filter(|delivery| !moved.contains(delivery)).collect();
        let listed = &moved[..moved.len().min(LISTED_MAX)];
        Ok(Json(json!({ "moved": moved.len(), "left": left, "deliveries": listed, "not_found": missing })))
    }
}

/// Lets the engine move all that the order takes, batch by batch.
async fn move_all(app: &App, mut order: DeadLetterOrder) -> Result<(Vec<DeliveryId>, usize), Problem> {
    let begin = clock::now();
    let mut moved = Vec::new();
    let mut rest = 0;
    for _ in 0..ROUNDS_MAX {
        let answer = app.mailbox.ask(Input::DeadLetters(order.clone()), 0, 0).await;
        let answer = answer.map_err(|why| unavailable(why).with("moved", moved.len()))?;
        let Answer::Moved { deliveries, left } = answer else { return Err(unexpected(&answer)) };
        moved.extend_from_slice(&deliveries);
        rest = left;
        if left == 0 || deliveries.is_empty() {
            break;
        }
        // What comes back from its redrive while we are at it has had its try.
        let before = order.filter.before.map_or(begin, |before| before.min(begin));
        order.filter.before = Some(before);
    }
    Ok((moved, rest))
}

fn delivery_id(text: &str) -> Result<DeliveryId, Problem> {
    text.parse().map_err(|_| wrong("delivery", text, "a delivery's id, as the list shows it"))
}
