//! What people do about incidents: acknowledge, take back, resolve, assign, note, report. Each is a record, and answered when
//! that is durable.

use super::App;
use super::access::Operator;
use super::api::{find, unavailable};
use super::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use balefire_engine::Input;
use balefire_model::record::{Assigned, Noted, ReportStep, Reporting, StateChanged};
use balefire_model::{IncidentId, State as IncidentState, text};
use balefire_store::view::{IncidentView, Whose};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The largest body of these requests.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The longest name of who does something, or of whose an incident is.
const NAME_BYTES_MAX: usize = 200;
/// The longest note or comment.
pub(super) const TEXT_BYTES_MAX: usize = 8 * 1024;
/// The longest number of a report.
const REFERENCE_BYTES_MAX: usize = 500;

/// How many known names a warning shows.
const NAMES_SHOWN_MAX: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    by: Option<String>,
    #[serde(default)]
    comment: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assign {
    to: String,
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    by: Option<String>,
    #[serde(default)]
    reference: String,
}

pub(crate) async fn ack(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    change(&app, &name, &id, body, IncidentState::Acked).await
}

pub(crate) async fn resolve(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    change(&app, &name, &id, body, IncidentState::Resolved).await
}

pub(crate) async fn unack(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    change(&app, &name, &id, body, IncidentState::Open).await
}

async fn change(app: &App, name: &str, id: &str, body: Body, state: IncidentState) -> Result<Json<Value>, Problem> {
    let (change, bytes): (Change, _) = read(app, body, "{\"by\": \"who\", \"comment\": \"why\"} or no body").await?;
    let by = who(change.by, name)?;
    let comment = bounded("comment", change.comment, TEXT_BYTES_MAX)?;
    let (found, repeated_by) = meant(app, id).await?;
    let incident = found.row.id;
    let refused = match (state, found.row.state) {
        (IncidentState::Open, IncidentState::Open | IncidentState::Resolved) => {
            Some(", not acked; allowed: what somebody has acknowledged")
        }
        (IncidentState::Acked, IncidentState::Resolved) => Some("; allowed: what is not over; a note says more"),
        _ => None,
    };
    if let Some(refused) = refused {
        return Err(Problem::new(StatusCode::CONFLICT, format!("it is {}{refused}", found.row.state)));
    }
    tell(app, Input::Change(StateChanged { incident, state, by, comment }), bytes).await?;
    Ok(Json(named(json!({ "id": incident, "state": state }), repeated_by)))
}

/// The incident that is meant: of a repeat, the first one, since it is that which somebody takes care of; and the repeat.
async fn meant(app: &App, id: &str) -> Result<(IncidentView, Option<IncidentId>), Problem> {
    let asked = find(app, id).await?;
    match asked.row.repeat_of {
        Some(first) => Ok((find(app, &first.to_string()).await?, Some(asked.row.id))),
        None => Ok((asked, None)),
    }
}

/// An answer that says which repeat was named, where it was one.
fn named(mut answer: Value, repeated_by: Option<IncidentId>) -> Value {
    if let Some(repeat) = repeated_by {
        answer["repeated_by"] = json!(repeat);
    }
    answer
}

pub(crate) async fn assign(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let (assign, bytes): (Assign, _) = read(&app, body, "{\"to\": \"whom, or nobody\", \"by\": \"who\"}").await?;
    let to = bounded("to", assign.to, NAME_BYTES_MAX)?.trim().to_owned();
    if to.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "to: found nothing; allowed: a name, or nobody"));
    }
    let by = who(assign.by, &name)?;
    let (found, repeated_by) = meant(&app, &id).await?;
    let incident = found.row.id;
    let warning = warning(&app, &to);
    let to = match Whose::of(&to) {
        Whose::Nobody => None,
        Whose::Of(name) => Some(name),
    };
    tell(&app, Input::Assign(Assigned { incident, to: to.clone(), by }), bytes).await?;
    let mut answer = named(json!({ "id": incident, "assigned_to": to }), repeated_by);
    if let Some(warning) = warning {
        answer["warning"] = warning.into();
    }
    Ok(Json(answer))
}

/// What is odd about a name, where people are configured.
fn warning(app: &App, name: &str) -> Option<String> {
    let config = app.config.borrow();
    if name == Whose::NOBODY || config.people.knows(name) {
        return None;
    }
    let known: Vec<&str> = config.people.names().take(NAMES_SHOWN_MAX).collect();
    Some(format!("nobody of this name is in `people` or `teams`; known are {}", known.join(", ")))
}

pub(crate) async fn note(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let (note, bytes): (Note, _) = read(&app, body, "{\"text\": \"what\", \"by\": \"who\"}").await?;
    let (text, by) = (bounded("text", note.text, TEXT_BYTES_MAX)?, who(note.by, &name)?);
    if text.trim().is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "text: found nothing; allowed: a text that is not blank"));
    }
    let incident = find(&app, &id).await?.row.id;
    tell(&app, Input::Note(Noted { incident, text, by }), bytes).await?;
    Ok(Json(json!({ "id": incident })))
}

pub(crate) async fn reported(
    State(app): State<App>,
    Operator(name): Operator,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let allowed = "{\"by\": \"who\", \"reference\": \"its number\"} or no body";
    let (reported, bytes): (Reported, _) = read(&app, body, allowed).await?;
    let reference = bounded("reference", reported.reference, REFERENCE_BYTES_MAX)?;
    let by = who(reported.by, &name)?;
    let IncidentView { row, .. } = find(&app, &id).await?;
    let step = ReportStep::Reported { by, reference };
    tell(&app, Input::Report(Reporting { incident: row.id, step }), bytes).await?;
    let due = row.report.and_then(|report| report.due);
    Ok(Json(json!({ "id": row.id, "dfars_reportable": row.dfars_reportable, "due": due })))
}

/// The body's value and its length; none is the default.
pub(super) async fn read<T: DeserializeOwned + Default>(
    app: &App,
    body: Body,
    allowed: &str,
) -> Result<(T, usize), Problem> {
    let body = app.places.read(body, BODY_BYTES_MAX).await?.bytes;
    if body.is_empty() {
        return Ok((T::default(), 0));
    }
    let refuse = |error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}; allowed: {allowed}"));
    Ok((serde_json::from_slice(&body).map_err(refuse)?, body.len()))
}

/// Who does something: as the body says, or else whoever asks.
pub(super) fn who(by: Option<String>, name: &str) -> Result<String, Problem> {
    bounded("by", by.unwrap_or_else(|| name.to_owned()), NAME_BYTES_MAX)
}

pub(super) fn bounded(name: &str, text: String, bytes_max: usize) -> Result<String, Problem> {
    if text.len() > bytes_max {
        let (found, begin) = (text.len(), text::cut(&text, 40));
        let detail = format!("{name}: found {found} bytes ({begin:?}); allowed: at most {bytes_max}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    Ok(text)
}

/// Hands over to the engine, and waits until it is durable.
async fn tell(app: &App, input: Input, bytes: usize) -> Result<(), Problem> {
    app.mailbox.ask(input, bytes, 0).await.map(drop).map_err(unavailable)
}
