//! Questions about scheduled runs, and the order to start one.

use super::App;
use super::access::Operator;
use super::problem::Problem;
use crate::scheduler::StartError;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

pub(crate) async fn list(State(app): State<App>, _: Operator) -> Json<Value> {
    Json(json!({ "runs": app.runs.list() }))
}

pub(crate) async fn start(
    State(app): State<App>,
    Operator(by): Operator,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    match app.runs.start(&name, by).await {
        Ok(started) => Ok((StatusCode::ACCEPTED, Json(json!({ "name": name, "started": started })))),
        Err(StartError::Unknown(known)) if known.is_empty() => {
            let detail = "there is no schedule of this name; none is configured in `runs.schedules`";
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
        Err(StartError::Unknown(known)) => {
            let detail = format!("there is no schedule of this name; allowed: {}", known.join(", "));
            Err(Problem::new(StatusCode::NOT_FOUND, detail))
        }
        Err(StartError::Refused(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
    }
}
