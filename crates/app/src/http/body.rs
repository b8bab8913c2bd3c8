//! A request's body: read whole, up to a size, within a time, and out of a common allowance of memory.

use super::problem::Problem;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body may take to arrive. A body that never ends costs this long and its limit in memory, no more.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Bodies up to this size need no place: all connections together cannot fill the memory with them.
const SMALL_BYTES: usize = 16 * 1024;

/// What all larger bodies together may hold. Decoding and writing cost about three times as much again.
const LARGE_BYTES_ALL: u64 = 48 << 20;

/// How long a large body waits for its place before its sender is told to come back.
const PLACE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a sender is told to wait then.
const PLACE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The memory that large bodies share, in KiB.
#[derive(Clone)]
pub(crate) struct Places(Arc<Semaphore>);

/// A body, and its place, which is free again when this is dropped.
pub(crate) struct Whole {
    pub bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// For bodies of at most `bytes_max`: one of them always finds a place.
    pub(crate) fn new(bytes_max: u64) -> Places {
        Places(Arc::new(Semaphore::new(kib(LARGE_BYTES_ALL.max(bytes_max)) as usize)))
    }

    /// Reads a body of at most `bytes_max` bytes.
    pub(crate) async fn read(&self, body: Body, bytes_max: u64) -> Result<Whole, Problem> {
        match tokio::time::timeout(BODY_TIME_MAX, self.collect(body, bytes_max)).await {
            Ok(read) => read,
            Err(_) => {
                let detail = format!("the body did not end; allowed: at most {} s", BODY_TIME_MAX.as_secs());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
            }
        }
    }

    async fn collect(&self, mut body: Body, bytes_max: u64) -> Result<Whole, Problem> {
        // A length that is told is judged before anything is read.
        let told = HttpBody::size_hint(&body);
        if told.lower() > bytes_max {
            return Err(too_large(bytes_max));
        }
        let reserve = told.exact().unwrap_or(bytes_max);
        let mut place = None;
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let broken = |error| Problem::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if (read.len() + data.len()) as u64 > bytes_max {
                return Err(too_large(bytes_max));
            }
            if place.is_none() && read.len() + data.len() > SMALL_BYTES {
                // All of it at once: bodies that hold a part and wait for more would wait for each other.
                place = Some(self.place(kib(reserve)).await?);
                read.reserve(usize::try_from(told.lower()).unwrap_or(0).saturating_sub(read.len()));
            }
            read.extend_from_slice(&data);
        }
        Ok(Whole { bytes: read.freeze(), _place: place })
    }

    async fn place(&self, kib: u32) -> Result<OwnedSemaphorePermit, Problem> {
        let place = self.0.clone().acquire_many_owned(kib);
        match tokio::time::timeout(PLACE_TIME_MAX, place).await {
            Ok(place) => Ok(place.expect("the semaphore is never closed")),
            Err(_) => {
                let detail = "too many large bodies at once; nothing of this one was accepted";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(PLACE_RETRY_AFTER))
            }
        }
    }
}

fn too_large(bytes_max: u64) -> Problem {
    let detail = format!("the body is too large; allowed: at most {bytes_max} bytes; send it in parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
