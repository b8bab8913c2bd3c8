//! Identifiers. Those that leave the machine are functions of what they name, so that a repeat is recognised there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A record's place in the journal: the first record has 0. A journal's length is the position of its next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The position `count` records further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Position {
        Position(self.0 + count)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names an incident for ever: a UUID version 7 (RFC 9562, section 5.7), so that ids sort by time of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub Uuid);

impl IncidentId {
    /// The id of an incident of our own making: a function of when it was made and of what, so that the same decision
    /// made twice gives the same incident. The bits that are random elsewhere come from
    /// SHA-256(`balefire:incident:1` LF seed).
    #[must_use]
    pub fn derive(at: Timestamp, seed: &str) -> IncidentId {
        let digest = Sha256::digest(format!("balefire:incident:1\n{seed}").as_bytes());
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&digest[..10]);
        let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        IncidentId(uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid())
    }

    /// Milliseconds since 1970-01-01 UTC that a version 7 id carries; 0 for ids of other versions.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        if self.0.get_version_num() != 7 {
            return 0;
        }
        let bytes = self.0.as_bytes();
        bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }

    /// When the incident came in, to the millisecond, as its id tells; 1970 for ids of other versions than 7.
    #[must_use]
    pub fn received_at(self) -> Timestamp {
        i64::try_from(self.unix_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default()
    }
}

/// Names a delivery for ever: a function of the incident, the reason and the channel, never random, so that every
/// retry, also after a crash and on another node, reaches the far side under the same name.
///
/// A UUID version 8 (RFC 9562, section 5.8) from the first 128 bits of
/// SHA-256(`balefire:delivery:1` LF incident id LF reason LF channel name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub Uuid);

impl DeliveryId {
    /// The id of the delivery of one notification (incident and reason) to one channel.
    #[must_use]
    pub fn derive(incident: IncidentId, reason: &str, channel: &str) -> DeliveryId {
        let digest = Sha256::digest(format!("balefire:delivery:1\n{incident}\n{reason}\n{channel}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        DeliveryId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

macro_rules! uuid_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text.trim()).map($name)
            }
        }
    };
}
uuid_text!(IncidentId);
uuid_text!(DeliveryId);

/// Says which incidents are about the same thing.
///
/// A sender may state its own. Otherwise it is the first 128 bits, in hexadecimal, of SHA-256 over
/// `balefire:fingerprint:1` LF and then, each preceded by its length in bytes as a big-endian u64: `detected_by`,
/// `title`, and the key and value of every label, ordered by key. Severity, description, times, source and other data do
/// not count: they change while the matter stays the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// Computes the fingerprint by the recipe above. `labels` must come ordered by key.
    pub fn derive<'a>(detected_by: &str, title: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(b"balefire:fingerprint:1\n");
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(detected_by);
        part(title);
        for (key, value) in labels {
            part(key);
            part(value);
        }
        Fingerprint(hex(&hash.finalize()[..16]))
    }
}

/// Stands for a text of any length, such as a fingerprint, where many are remembered: the first 128 bits of
/// SHA-256(`balefire:matter:1` LF text).
#[must_use]
pub fn matter(text: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"balefire:matter:1\n");
    hash.update(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Uuid::from_bytes(bytes)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> IncidentId {
        "01935f1c-7c00-7000-8000-000000000001".parse().expect("a constant id")
    }

    #[test]
    fn a_delivery_id_depends_on_incident_reason_and_channel_only() {
        let id = DeliveryId::derive(incident(), "opened", "soc-mail");
        assert_eq!(id, DeliveryId::derive(incident(), "opened", "soc-mail"));
        assert_ne!(id, DeliveryId::derive(incident(), "opened", "hook"));
        assert_ne!(id, DeliveryId::derive(incident(), "resolved", "soc-mail"));
        assert_eq!(id.0.get_version_num(), 8);
        // Frozen: far sides remember these ids.
        assert_eq!(id.to_string(), "dc928552-11f2-8e39-af27-f60849dc3961");
    }

    #[test]
    fn a_fingerprint_keeps_its_parts_apart() {
        let of = |detected_by: &str, title: &str, labels: &[(&str, &str)]| {
            Fingerprint::derive(detected_by, title, labels.iter().copied())
        };
        assert_ne!(of("ab", "c", &[]), of("a", "bc", &[]));
        assert_ne!(of("a", "b", &[("c", "d")]), of("a", "b", &[("cd", "")]));
        // Frozen: open incidents are found again by it after an upgrade.
        assert_eq!(of("brute_force", "5 failed logins", &[("host", "web-1")]).0, "83a654bc481b169321b893aa484ff0f4");
    }

    #[test]
    fn a_matter_depends_on_its_text_only() {
        assert_ne!(matter("a"), matter("b"));
        // Frozen: open incidents are found again by it after an upgrade.
        let frozen = "4aa8b8ff-c091-c1e6-c76a-264efa8a2c5d";
        assert_eq!(matter("83a654bc481b169321b893aa484ff0f4").to_string(), frozen);
    }

    #[test]
    fn a_version_7_id_tells_its_time() {
        assert_eq!(incident().unix_ms(), 0x0193_5f1c_7c00);
    }
}
