//! `POST /api/v1/incidents`: one object, a list, or one object a line; an answer for each item, 202 only when what it
//! says is durable.

use super::App;
use super::access::Sender;
use super::problem::Problem;
use crate::reception::{Declined, OnError, Parcel, Receipt, same_request};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use balefire_engine::Idempotency;
use balefire_intake::formats::Format;
use balefire_intake::formats::json::Shape;
use serde::Deserialize;

/// The longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    #[serde(default)]
    on_error: OnError,
    /// One of [`Format::WORDS`].
    format: Option<String>,
}

pub(crate) async fn post(
    State(app): State<App>,
    Sender(source): Sender,
    choice: Result<Query<Choice>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let not_understood = || {
        let allowed = "on_error=keep, on_error=refuse, format=auto, format=native, format=cloudmarker";
        Problem::new(StatusCode::BAD_REQUEST, format!("query not understood; allowed: {allowed}"))
    };
    let Query(Choice { on_error, format }) = choice.map_err(|_| not_understood())?;
    let format = match format {
        Some(word) => Format::parse(&word).ok_or_else(not_understood)?,
        None => app.reception.format_of_token(&source),
    };
    let shape = shape(&headers)?;
    let bytes_max = app.config.borrow().body_bytes_max();
    let whole = app.places.read(body, bytes_max).await.inspect_err(|_| app.metrics.refused("body", 1))?;
    let body = &whole.bytes;
    let idempotency = idempotency(&headers, &source, body)?;
    let parcel = Parcel { body, shape, format, source: &source, on_error, idempotency, read: None };
    let receipt = app.reception.take(parcel).await.map_err(declined)?;
    Ok(answer(&receipt))
}

fn answer(receipt: &Receipt) -> Response {
    let status = if receipt.refused == 0 { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    let body = serde_json::to_vec(receipt).expect("a receipt has string keys and no failing serialisers");
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if receipt.repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

pub(super) fn declined(declined: Declined) -> Problem {
    let detail = declined.to_string();
    match declined {
        Declined::Body(error) => {
            let error = serde_json::to_value(&error).unwrap_or_default();
            Problem::new(StatusCode::BAD_REQUEST, detail).with("error", error).with("accepted", 0)
        }
        Declined::Unavailable(unavailable) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(unavailable.retry_after)
        }
        Declined::Overload { retry_after, .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(retry_after)
        }
        Declined::TooFast { retry_after, .. } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after)
        }
        Declined::KeyReused => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
    }
}

/// The body's shape by its media type. A page in a browser cannot send these types without asking first (CORS).
fn shape(headers: &HeaderMap) -> Result<Shape, Problem> {
    const ALLOWED: &str = "application/json, application/x-ndjson (or application/ndjson, application/jsonl)";
    let value = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence = value.map(|value| value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase());
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "an encoded body is not taken; allowed: no Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    match essence.as_deref() {
        Some("application/json") => Ok(Shape::Auto),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines") => {
            Ok(Shape::Ndjson)
        }
        found => {
            let found = found.map_or("no Content-Type".to_owned(), |found| {
                format!("Content-Type {}", balefire_model::text::one_line(found))
            });
            let detail = format!("found {found}; allowed: {ALLOWED}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

fn idempotency(headers: &HeaderMap, source: &str, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let detail = format!("Idempotency-Key has {} bytes; allowed: 1 to {KEY_BYTES_MAX}", key.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    Ok(Some(same_request(source, key, body)))
}
