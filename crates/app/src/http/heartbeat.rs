//! `/api/v1/heartbeat/ID`: a source says that it is alive, and a job that its run begins, has ended or has failed. Any method
//! that a tool at hand can use; decides nothing about silence.

use super::App;
use super::access::Named;
use super::ingest::declined;
use super::problem::Problem;
use crate::clock;
use crate::config::{Config, Role};
use crate::watch::HeardOf;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use balefire_model::record::InputRead;
use balefire_model::text::{cut, one_line};
use balefire_watch::{Moment, Sign, Takes, fits};
use serde_json::{Value, json};

/// The longest body: a job's own words on why it failed.
const BODY_BYTES_MAX: u64 = 16 * 1024;

/// How often one heartbeat is written, where others of the same source come between; each of those is written, too.
const WRITES_MAX: usize = 3;

/// It is alive; of a job: its run has ended.
pub(crate) async fn alive(
    State(app): State<App>,
    named: Named,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    app.places.read(body, BODY_BYTES_MAX).await?;
    take(&app, &named, &id, Sign::Alive).await
}

/// `start` or `fail`.
pub(crate) async fn run(
    State(app): State<App>,
    named: Named,
    Path((id, word)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let body = app.places.read(body, BODY_BYTES_MAX).await?;
    let sign = match word.as_str() {
        "start" => Sign::Began,
        "fail" => Sign::Failed(String::from_utf8_lossy(&body.bytes).into_owned()),
        _ => {
            let detail = "nothing is told this way; allowed: /start and /fail behind the id, or nothing";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
    };
    take(&app, &named, &id, sign).await
}

async fn take(app: &App, named: &Named, id: &str, sign: Sign) -> Result<Json<Value>, Problem> {
    let config = app.config.borrow().clone();
    permit(&config, named, id)?;
    let takes = expected(&config, id);
    if takes == Takes::Nothing {
        let detail = format!(
            "no source {:?} is expected; allowed: an `id` of `watch.source` with `heartbeat` or `schedule`",
            cut(&one_line(id), 80)
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    if takes == Takes::Beats && sign != Sign::Alive {
        let detail = "this source has a heartbeat and no schedule; allowed: its id without /start and /fail";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    app.reception.charge(&named.name, 1).map_err(declined)?;
    let heard = &app.reception.heard;
    let now = clock::moment();
    if takes == Takes::Runs {
        if !heard.take_sign(id, now, sign) {
            let detail = "more jobs have told of their runs than are kept apart; nothing was taken";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        keep(app, id, now).await?;
    }
    // A silence that nobody will remember after a restart needs no record: the time counts from the start then.
    heard.beat(id);
    Ok(Json(json!({ "id": id, "heard": now.wall })))
}

/// Makes durable what is known of a job's runs. Where another heartbeat of it came between, what it told is written again:
/// what is written last must be what is known last.
async fn keep(app: &App, id: &str, now: Moment) -> Result<(), Problem> {
    let offset = u64::try_from(now.wall.as_millisecond()).unwrap_or(0);
    for _ in 0..WRITES_MAX {
        let (number, file) = app.reception.heard.written(id);
        let read = InputRead { input: HeardOf::input_of(id), file, offset };
        app.reception.note_read(read).await.map_err(declined)?;
        if app.reception.heard.written(id).0 == number {
            break;
        }
    }
    Ok(())
}

/// What is waited for from a source.
fn expected(config: &Config, id: &str) -> Takes {
    let watched = config.watch.iter().flat_map(|watching| &watching.watched);
    let mut own = watched.filter(|watched| watched.kind == "source" && watched.target == id);
    own.find_map(|watched| Some(watched.plan.takes()).filter(|takes| *takes != Takes::Nothing))
        .unwrap_or(Takes::Nothing)
}

/// A token speaks for the source that has its name, and for those that it names in `heartbeats`.
fn permit(config: &Config, named: &Named, id: &str) -> Result<(), Problem> {
    let tokens = config.http.as_ref().map(|http| http.tokens.as_slice()).unwrap_or_default();
    let token = tokens.iter().find(|token| token.name == named.name);
    let is_named = || token.is_some_and(|token| token.heartbeats.iter().any(|pattern| fits(pattern, id)));
    if named.role == Role::Admin || named.name == id || is_named() {
        return Ok(());
    }
    let detail = format!(
        "the token of {} may not send heartbeats of another source; allowed: its own name, or what `heartbeats` of the \
         token names",
        named.name
    );
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}
