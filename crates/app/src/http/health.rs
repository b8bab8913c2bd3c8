//! Liveness, readiness and metrics. Served to everybody who reaches the listener: they tell nothing of any incident.

use super::App;
use super::problem::Problem;
use crate::clock;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use balefire_engine::QueueStatus;
use std::time::Duration;

/// The engine's thread goes round at least once a second; silent for this long, it hangs.
pub(crate) const SILENT_MAX: Duration = Duration::from_secs(15);

pub(crate) async fn healthz(State(app): State<App>) -> Result<&'static str, Problem> {
    app.reception.heard.asked();
    let silent = app.mailbox.silent_for(clock::now());
    if silent > SILENT_MAX {
        let detail = format!("the engine has been silent for {} s", silent.as_secs());
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    Ok("ok\n")
}

/// Says which channels fail. That some do is no reason to send incidents elsewhere; that all do is one.
pub(crate) async fn readyz(State(app): State<App>) -> Result<String, Problem> {
    app.reception.heard.asked();
    if let Some(why) = app.mailbox.unready() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(Duration::from_secs(5)));
    }
    let standing = app.metrics.standing_now();
    let config = app.config.borrow().clone();
    let is_configured = |queue: &&QueueStatus| config.channels.iter().any(|channel| channel.name == queue.channel);
    let failing = standing.queues.iter().filter(is_configured).filter_map(told_failing);
    let failing = failing.collect::<Vec<_>>().join(", ");
    if standing.every_channel_fails {
        let detail = format!("every channel fails, nobody can be told: {failing}; incidents are accepted and kept");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(5)));
    }
    let alive = healthz(State(app)).await?;
    Ok(if failing.is_empty() { alive.to_owned() } else { format!("{alive}failing: {failing}\n") })
}

/// `hook (auth, since 2026-11-22T03:00:00Z)`
fn told_failing(queue: &QueueStatus) -> Option<String> {
    let (since, cause) = queue.failing_since.zip(queue.cause)?;
    Some(format!("{} ({}, since {since:.0})", queue.channel, cause.as_str()))
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    app.reception.heard.asked();
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = app.metrics.text(clock::now(), &app.watchers);
    let text = text.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, TYPE)], text))
}
