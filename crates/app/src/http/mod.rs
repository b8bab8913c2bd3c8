//! The HTTP API, over TCP and over the Unix socket. Turns requests into questions and answers into responses; decides
//! nothing about incidents.

mod access;
mod ack;
mod acts;
mod api;
mod body;
mod dead_letters;
mod health;
mod heartbeat;
mod ingest;
mod many;
pub(crate) mod masked;
mod problem;
mod runs;
mod serve;
mod watchers;

pub(crate) use body::Places;
pub(crate) use health::SILENT_MAX;
pub(crate) use serve::Server;

use crate::ack_link::Signer;
use crate::config::Config;
use crate::core::{Durable, Mailbox};
use crate::metrics::Metrics;
use crate::reception::Reception;
use crate::reload::Reloader;
use crate::scheduler::Runs;
use crate::watch::Watchers;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;
use tokio::sync::watch;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub reception: Reception,
    pub mailbox: Arc<Mailbox>,
    pub durable: Arc<Durable>,
    pub metrics: Arc<Metrics>,
    pub config: watch::Receiver<Arc<Config>>,
    pub reloader: Arc<Reloader>,
    pub places: Places,
    pub signer: Arc<Signer>,
    pub runs: Runs,
    pub watchers: Watchers,
}

fn router(app: App) -> Router {
    Router::new()
        .route("/api/v1/incidents", post(ingest::post).get(api::list))
        .route("/api/v1/incidents/{id}", get(api::show))
        .route("/api/v1/incidents/{id}/why", get(api::why))
        .route("/api/v1/incidents/stats", get(many::stats))
        .route("/api/v1/incidents/rules", get(many::rules))
        .route("/api/v1/incidents/export", get(many::export))
        .route("/api/v1/incidents/{id}/ack", post(acts::ack))
        .route("/api/v1/incidents/{id}/unack", post(acts::unack))
        .route("/api/v1/incidents/{id}/resolve", post(acts::resolve))
        .route("/api/v1/incidents/{id}/assign", post(acts::assign))
        .route("/api/v1/incidents/{id}/notes", post(acts::note))
        .route("/api/v1/incidents/{id}/reported", post(acts::reported))
        .route("/api/v1/channels", get(api::channels))
        .route("/api/v1/channels/{name}/test", post(api::test_channel))
        .route("/api/v1/dead-letters", get(dead_letters::list))
        .route("/api/v1/dead-letters/{delivery}", get(dead_letters::show))
        .route("/api/v1/dead-letters/redrive", post(dead_letters::redrive))
        .route("/api/v1/dead-letters/purge", post(dead_letters::purge))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/{name}/start", post(runs::start))
        .route("/api/v1/watch", get(watchers::list))
        .route("/api/v1/watch/retire", post(watchers::retire))
        .route("/api/v1/watch/drill", post(watchers::drill))
        .route("/api/v1/heartbeat/{id}", get(heartbeat::alive).post(heartbeat::alive))
        .route("/api/v1/heartbeat/{id}/{word}", get(heartbeat::run).post(heartbeat::run))
        .route("/api/v1/reload", post(api::reload))
        .route("/ack/{id}", get(ack::page).post(ack::acknowledge))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(app)
}
