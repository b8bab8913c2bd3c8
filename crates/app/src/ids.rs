//! The only place that makes random ids and tokens.

use balefire_model::IncidentId;
use balefire_model::id::hex;
use balefire_model::text::Secret;
use uuid::Uuid;

/// A new incident's id: version 7, so that ids sort by time of arrival.
pub(crate) fn incident() -> IncidentId {
    IncidentId(Uuid::now_v7())
}

/// A key that no other request has.
pub(crate) fn idempotency_key() -> String {
    Uuid::now_v7().to_string()
}

/// What a program is marked with that we start, and all that it starts.
pub(crate) fn process() -> String {
    Uuid::now_v7().to_string()
}

/// 24 hexadecimal digits that nobody can foresee, for a canary.
pub(crate) fn nonce() -> String {
    match key() {
        Ok(bits) => hex(&bits[..12]),
        // Another event of the same name is all that is to be told from it then.
        Err(NoRandomness) => hex(&Uuid::now_v7().as_bytes()[4..]),
    }
}

/// The system gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness")]
pub(crate) struct NoRandomness;

/// A fresh key of 256 bits.
pub(crate) fn key() -> Result<[u8; 32], NoRandomness> {
    let mut bits = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bits).map_err(|_| NoRandomness)?;
    Ok(bits)
}

/// A fresh bearer token: 256 bits, with a prefix by which a scanner for leaked secrets finds it.
pub(crate) fn token() -> Result<Secret, NoRandomness> {
    Ok(Secret::new(format!("bf_{}", hex(&key()?))))
}
