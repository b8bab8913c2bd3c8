//! Liveness, readiness and metrics. Served to everybody who reaches the listener: they tell nothing of any incident.

use super::App;
use super::problem::Problem;
use crate::clock;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use std::time::Duration;

/// The engine's thread goes round at least once a second; silent for this long, it hangs.
pub(crate) const SILENT_MAX: Duration = Duration::from_secs(15);

pub(crate) async fn healthz(State(app): State<App>) -> Result<&'static str, Problem> {
    let silent = app.mailbox.silent_for(clock::now());
    if silent > SILENT_MAX {
        let detail = format!("the engine has been silent for {} s", silent.as_secs());
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    Ok("ok\n")
}

pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    if let Some(why) = app.mailbox.unready() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(Duration::from_secs(5)));
    }
    healthz(State(app)).await
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text =
        app.metrics.text().map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, TYPE)], text))
}
