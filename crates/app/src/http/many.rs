//! Questions about many incidents at once: what they come to, which rules found them, and all of each, page by page.

use super::App;
use super::access::Operator;
use super::api::{Filter, Read, marked, not_a_query, read, time};
use super::problem::Problem;
use crate::clock;
use crate::story;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// From when to when.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    since: Option<String>,
    until: Option<String>,
}

type Asked = Result<Query<Span>, QueryRejection>;

fn times(span: Asked) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let Query(span) = span.map_err(|rejection| not_a_query(&rejection))?;
    Ok((time("since", span.since.as_deref())?, time("until", span.until.as_deref())?))
}

pub(crate) async fn stats(State(app): State<App>, _: Operator, span: Asked) -> Result<Json<Value>, Problem> {
    let (since, until) = times(span)?;
    let measure = story::measure(clock::now());
    let Read { found, behind } = read(&app, move |view| view.stats(since, until, measure)).await?;
    Ok(Json(marked(json!(found), behind)))
}

pub(crate) async fn rules(State(app): State<App>, _: Operator, span: Asked) -> Result<Json<Value>, Problem> {
    let (since, until) = times(span)?;
    let Read { found, behind } = read(&app, move |view| view.rules(since, until)).await?;
    Ok(Json(marked(json!(found), behind)))
}

pub(crate) async fn export(
    State(app): State<App>,
    _: Operator,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Query(filter) = filter.map_err(|rejection| not_a_query(&rejection))?;
    let query = filter.query()?;
    let Read { found: page, .. } = read(&app, move |view| view.export(&query, story::PAGE_BYTES_MAX)).await?;
    let text = story::page(&page).map_err(|_| {
        let detail = "the view is damaged here: run `balefire rebuild`; the journal has everything";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}
