//! Questions about incidents, answered from the view; tests of channels, and reloads.

use super::App;
use super::access::Operator;
use super::problem::Problem;
use crate::core::Unavailable;
use crate::reception::Declined;
use crate::story;
use crate::{clock, ids};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use balefire_engine::Submission;
use balefire_model::{IncidentId, Severity};
use balefire_store::view::{self, IncidentView, ViewError, ViewReader};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long a question waits for the view to catch up with what is durable. Then it is answered with what there is, and
/// with how much is missing.
const VIEW_WAIT_MAX: Duration = Duration::from_secs(10);

/// The longest `wait` of a question: a stop waits for it, too.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long to rest between two looks while one waits; each is a query of the view.
const LOOK_REST: Duration = Duration::from_millis(20);

/// The query of the list, as text: each member is judged by itself, so that an error can say what is allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    since: Option<String>,
    until: Option<String>,
    severity: Option<String>,
    min_severity: Option<String>,
    source: Option<String>,
    text: Option<String>,
    state: Option<String>,
    rule: Option<String>,
    assigned_to: Option<String>,
    cui: Option<String>,
    reportable: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

impl Filter {
    pub(super) fn query(&self) -> Result<view::Query, Problem> {
        let mut severities = match &self.severity {
            Some(words) => words.split(',').map(severity).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        if let Some(least) = &self.min_severity {
            let least = severity(least)?;
            severities = view::at_least(least)
                .into_iter()
                .filter(|severity| severities.is_empty() || severities.contains(severity))
                .collect();
        }
        let defaults = view::Query::default();
        Ok(view::Query {
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            severities,
            source: self.source.clone(),
            text: self.text.clone(),
            state: parsed("state", self.state.as_deref(), "open, acked, resolved", balefire_model::State::parse)?,
            rule: self.rule.clone(),
            assigned_to: self.assigned_to.as_deref().map(view::Whose::of),
            is_cui: parsed("cui", self.cui.as_deref(), "true, false", truth)?.unwrap_or_default(),
            is_reportable: parsed("reportable", self.reportable.as_deref(), "true, false", truth)?.unwrap_or_default(),
            limit: parsed("limit", self.limit.as_deref(), "1 to 1000", |text| {
                text.parse().ok().filter(|limit| (1..=1000).contains(limit))
            })?
            .unwrap_or(defaults.limit),
            before: parsed("before", self.before.as_deref(), "an incident's id", |text| text.parse().ok())?,
        })
    }
}

fn truth(word: &str) -> Option<bool> {
    word.parse().ok()
}

fn severity(word: &str) -> Result<Severity, Problem> {
    Severity::parse(word).ok_or_else(|| wrong("severity", word, Severity::ALLOWED))
}

/// A time, or how long ago: `2026-11-22T03:00:00Z`, `2h`.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<jiff::Timestamp>, Problem> {
    const ALLOWED: &str = "a time such as 2026-11-22T03:00:00Z, or an age such as 15m, 2h or 7d";
    parsed(name, text, ALLOWED, |text| {
        let age = balefire_model::settings::parse_duration(text);
        match age {
            Some(age) => clock::now().checked_sub(age).ok(),
            None => text.parse().ok(),
        }
    })
}

pub(super) fn parsed<T>(
    name: &str,
    text: Option<&str>,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    text.map(|text| parse(text).ok_or_else(|| wrong(name, text, allowed))).transpose()
}

/// What stands behind the question mark cannot be read.
pub(super) fn not_a_query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, rejection.body_text())
}

pub(super) fn wrong(name: &str, found: &str, allowed: &str) -> Problem {
    let found = balefire_model::text::one_line(found);
    let found = balefire_model::text::cut(&found, 80);
    Problem::new(StatusCode::BAD_REQUEST, format!("{name}: found {found:?}; allowed: {allowed}"))
}

pub(crate) async fn list(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(filter) = filter.map_err(|rejection| not_a_query(&rejection))?;
    let query = filter.query()?;
    let Read { found: rows, behind } = read(&app, move |view| view.list(&query)).await?;
    Ok(Json(marked(json!({ "incidents": rows }), behind)))
}

/// How long an answer may take so that it can say more.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    wait: Option<String>,
}

pub(crate) async fn show(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<String>,
    patience: Result<Query<Patience>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Query(Patience { wait }) = patience.map_err(|rejection| not_a_query(&rejection))?;
    let wait = parsed("wait", wait.as_deref(), "a time from 0s to 10s, such as 500ms", |text| {
        balefire_model::settings::parse_duration(text).filter(|wait| *wait <= WAIT_MAX)
    })?;
    let text = story::incident(&settled(&app, &id, wait.unwrap_or_default()).await?);
    let text = text.map_err(|_| {
        let detail = "the view is damaged here: run `balefire rebuild`; the journal has everything";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}

/// The incident when all its deliveries have an answer, or when the time is over.
async fn settled(app: &App, id: &str, wait: Duration) -> Result<IncidentView, Problem> {
    let begin = clock::monotonic();
    loop {
        // Read before the question: what moves on meanwhile ends the wait at once.
        let seen = app.durable.view();
        let incident = find(app, id).await?;
        let rest = wait.saturating_sub(begin.elapsed());
        if rest.is_zero() || story::is_settled(&incident) {
            return Ok(incident);
        }
        app.durable.view_moves_on(seen, rest).await;
        tokio::time::sleep(LOOK_REST.min(rest)).await;
    }
}

pub(crate) async fn why(State(app): State<App>, _: Operator, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let incident = find(&app, &id).await?;
    let id = incident.row.id;
    let Read { found: lines, behind } = read(&app, move |view| view.story(id)).await?;
    Ok(Json(marked(story::why(&incident, &lines), behind)))
}

pub(crate) async fn channels(State(app): State<App>, _: Operator) -> Json<Value> {
    Json(json!({ "channels": story::channels(&app.config.borrow(), &app.metrics.queues_now(), clock::now()) }))
}

pub(crate) async fn test_channel(
    State(app): State<App>,
    Operator(name): Operator,
    Path(channel): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let known: Vec<String> = app.config.borrow().channels.iter().map(|channel| channel.name.clone()).collect();
    if !known.contains(&channel) {
        let detail = format!("there is no channel of this name; allowed: {}", known.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    let incident = Arc::new(crate::sample::test_incident(ids::incident(), clock::now(), &channel, &name));
    let id = incident.id;
    let submission = Submission { incidents: vec![incident], test_of: Some(channel), ..Submission::default() };
    app.reception.submit(submission, 1024).await.map_err(|declined| match declined {
        Declined::Unavailable(why) => unavailable(why),
        other => Problem::new(StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
    })?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))))
}

pub(crate) async fn reload(State(app): State<App>, _: Operator) -> Result<Json<Value>, Problem> {
    match app.reloader.reload(&app.mailbox).await {
        Ok(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            Ok(Json(json!({ "reloaded": true, "findings": findings })))
        }
        Err(why) => Err(Problem::new(StatusCode::CONFLICT, format!("the old configuration stays in force:\n{why}"))),
    }
}

pub(super) fn unavailable(why: Unavailable) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string()).retry_after(why.retry_after)
}

pub(super) async fn find(app: &App, id: &str) -> Result<IncidentView, Problem> {
    let text = id.to_owned();
    let found = read(app, move |view| match text.parse::<IncidentId>() {
        Ok(id) => view.incident(id),
        Err(_) => match view.find(&text)? {
            Some(id) => view.incident(id),
            None => Ok(None),
        },
    });
    let Read { found, behind } = found.await?;
    if found.is_none() && behind > 0 {
        let detail = format!("not found yet: the view is {behind} records behind the journal; nothing is lost");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(VIEW_WAIT_MAX));
    }
    found.ok_or_else(|| {
        let id = balefire_model::text::one_line(id);
        Problem::new(StatusCode::NOT_FOUND, format!("there is no incident {}", balefire_model::text::cut(&id, 80)))
    })
}

/// What the view says, and how many durable records it does not know of.
pub(super) struct Read<T> {
    pub(super) found: T,
    pub(super) behind: u64,
}

/// An answer that says how much is missing from it, if anything is.
pub(super) fn marked(mut answer: Value, behind: u64) -> Value {
    if let (Value::Object(members), 1..) = (&mut answer, behind) {
        members.insert("records_behind".to_owned(), behind.into());
    }
    answer
}

/// Asks the view for what was durable when the question came.
pub(super) async fn read<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&ViewReader) -> Result<T, ViewError> + Send + 'static,
) -> Result<Read<T>, Problem> {
    let target = app.durable.journal();
    app.durable.view_reaches(target, VIEW_WAIT_MAX).await;
    let behind = target.0.saturating_sub(app.durable.view().0);
    let dir = app.config.borrow().data.join("view");
    let read = tokio::task::spawn_blocking(move || ask(&ViewReader::open(&dir)?));
    match read.await {
        Ok(Ok(found)) => Ok(Read { found, behind }),
        Ok(Err(error)) => Err(view_problem(&error)),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the question could not be answered")),
    }
}

fn view_problem(error: &ViewError) -> Problem {
    match error {
        ViewError::NotAnId { .. } | ViewError::Ambiguous { .. } => {
            Problem::new(StatusCode::BAD_REQUEST, error.to_string())
        }
        // What passes without anybody's doing, such as a lack of descriptors: the journal has everything meanwhile.
        ViewError::Missing { .. }
        | ViewError::Full { .. }
        | ViewError::Denied { .. }
        | ViewError::Busy { .. }
        | ViewError::Failed { .. }
        | ViewError::Directory { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(VIEW_WAIT_MAX)
        }
        ViewError::Newer { .. }
        | ViewError::Older { .. }
        | ViewError::Damaged { .. }
        | ViewError::Gap { .. }
        | ViewError::Unreadable { .. } => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
