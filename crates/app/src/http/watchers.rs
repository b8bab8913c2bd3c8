//! Questions about watchers of audit logging, and what people do with them. Names stand in bodies: they hold slashes.

use super::App;
use super::access::Operator;
use super::acts::{TEXT_BYTES_MAX, bounded, read, who};
use super::problem::Problem;
use crate::watch::Refusal;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many known names a refusal lists.
const NAMES_SHOWN_MAX: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    by: Option<String>,
    #[serde(default)]
    comment: String,
}

pub(crate) async fn list(State(app): State<App>, _: Operator) -> Json<Value> {
    Json(json!({ "watchers": app.watchers.list() }))
}

pub(crate) async fn retire(
    State(app): State<App>,
    Operator(operator): Operator,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let form = "{\"name\": \"which\", \"by\": \"who\", \"comment\": \"why\"}";
    let (Named { name, by, comment }, _): (Named, _) = read(&app, body, form).await?;
    let by = who(by, &operator)?;
    let comment = bounded("comment", comment, TEXT_BYTES_MAX)?;
    app.watchers.retire(name.clone(), by, comment).await.map_err(refused)?;
    Ok(Json(json!({ "name": name, "retired": true })))
}

pub(crate) async fn drill(
    State(app): State<App>,
    Operator(operator): Operator,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (Named { name, by, .. }, _): (Named, _) = read(&app, body, "{\"name\": \"which\", \"by\": \"who\"}").await?;
    let by = who(by, &operator)?;
    let id = app.watchers.drill(name.clone(), by).await.map_err(refused)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "name": name, "id": id }))))
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unknown(known) if known.is_empty() => {
            let detail = "there is no watcher of this name; none is configured in `watch`";
            Problem::new(StatusCode::NOT_FOUND, detail)
        }
        Refusal::Unknown(known) => {
            let shown = known.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = known.len().saturating_sub(NAMES_SHOWN_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Problem::new(StatusCode::NOT_FOUND, format!("there is no watcher of this name; allowed: {shown}{more}"))
        }
        Refusal::Refused(why) => Problem::new(StatusCode::CONFLICT, why),
    }
}
