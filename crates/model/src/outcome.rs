//! What one attempt came to. Says what happened; what follows from it is decided in the engine.

use serde::{Deserialize, Serialize};

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The far side has it, as far as its protocol can say.
    Delivered {
        /// What the far side answered that may help to find the message there: a queue id, a message id, a status.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        receipt: String,
    },
    /// The far side asked for patience (HTTP 429 and 503 with Retry-After, SMTP 4xx). Not a failure.
    Deferred {
        /// How long it asked us to wait, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
        /// The reply, in words.
        detail: String,
    },
    /// The attempt failed.
    Rejected {
        /// Why.
        cause: Cause,
        /// The reply or the error, in words, without secrets.
        detail: String,
    },
    /// We stopped between the start and the end of the attempt: the far side may have it or not.
    Unknown,
}

impl Outcome {
    /// Whether the far side has the message.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self, Outcome::Delivered { .. })
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Our credentials were refused.
    Auth,
    /// An allowance is used up.
    Quota,
    /// The message is too large for the far side.
    Size,
    /// The far side does not understand or want what we sent.
    Schema,
    /// The destination is not there any more.
    Gone,
    /// The far side could not be reached, did not answer in time, or failed in itself.
    Network,
}

impl Cause {
    /// The lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Auth => "auth",
            Cause::Quota => "quota",
            Cause::Size => "size",
            Cause::Schema => "schema",
            Cause::Gone => "gone",
            Cause::Network => "network",
        }
    }
}
