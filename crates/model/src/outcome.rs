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
    /// What the words of an outcome begin with that say where a message has arrived.
    pub const POSTED: &'static str = "posted ";

    /// Where the message has arrived, in words that only the channel's kind understands: what its receipt or its detail
    /// says behind [`Outcome::POSTED`], up to the first `;`. The next attempt of the delivery, and the message that the
    /// incident is over, are told of it.
    #[must_use]
    pub fn posted(&self) -> Option<&str> {
        let words = match self {
            Outcome::Delivered { receipt } => receipt,
            Outcome::Deferred { detail, .. } | Outcome::Rejected { detail, .. } => detail,
            Outcome::Unknown => return None,
        };
        words.strip_prefix(Outcome::POSTED).and_then(|rest| rest.split(';').next())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_message_has_arrived_stands_at_the_beginning_of_the_words() {
        let receipt = |words: &str| Outcome::Delivered { receipt: words.to_owned() };
        assert_eq!(receipt("posted C1=C1/1.2, C2=C2/1.3; not C3: is_archived").posted(), Some("C1=C1/1.2, C2=C2/1.3"));
        assert_eq!(receipt("posted C1=C1/1.2").posted(), Some("C1=C1/1.2"));
        assert_eq!(receipt("HTTP 204").posted(), None);
        assert_eq!(receipt("it was posted C1").posted(), None);
        let deferred = Outcome::Deferred { after_ms: None, detail: "posted C1=C1/1.2; C2: ratelimited".into() };
        assert_eq!(deferred.posted(), Some("C1=C1/1.2"));
        assert_eq!(Outcome::Unknown.posted(), None);
    }
}
