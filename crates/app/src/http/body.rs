//! A request's body: read whole, up to a size and within a time.

use super::problem::Problem;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// How long a body may take to arrive. A body that never ends costs this long and its limit in memory, no more.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads a body of at most `bytes_max` bytes.
pub(crate) async fn read(body: Body, bytes_max: u64) -> Result<Bytes, Problem> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let too_large = || {
        let detail = format!("the body is too large; allowed: at most {bytes_max} bytes; send it in parts");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    // A length that is told is judged before anything is read.
    if HttpBody::size_hint(&body).lower() > bytes_max {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
        Err(_) => {
            let detail = format!("the body did not end; allowed: at most {} s", BODY_TIME_MAX.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}
