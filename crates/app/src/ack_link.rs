//! Links in messages by which whoever gets them acknowledges an incident, without an account: signed, for one incident and
//! one channel, and good for a week. Whoever has the link has its right, as with the message itself.

use crate::ids;
use balefire_model::IncidentId;
use balefire_model::id::hex;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How long a link is good, from when the incident came in. Later, an acknowledgement helps nobody.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The file with the key, in the data directory. Without it, links that are on their way stop to work; nothing else does.
const KEY_FILE: &str = "ack.key";

/// Signs links and checks them.
pub(crate) struct Signer(Hmac<Sha256>);

/// The key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("cannot read or make the key for acknowledgement links, {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} holds no key: 32 bytes were expected; remove the file, and a new one is made")]
    Form { path: PathBuf },
    #[error(transparent)]
    Randomness(#[from] ids::NoRandomness),
}

/// A link that is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLink {
    #[error("this link was not made here, or it was changed on its way")]
    Forged,
    #[error("this link is too old")]
    Expired,
}

impl Signer {
    /// Reads the key from the data directory, and makes one where there is none.
    pub(crate) fn open(data: &Path) -> Result<Signer, KeyError> {
        let path = data.join(KEY_FILE);
        let failed = |source| KeyError::File { path: path.clone(), source };
        let key = match std::fs::read(&path) {
            Ok(key) if key.len() == 32 => key,
            Ok(_) => return Err(KeyError::Form { path }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = ids::key()?.to_vec();
                make(&path, &key).map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Signer(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length")))
    }

    fn signature(&self, incident: IncidentId, channel: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("balefire:ack:1\n{incident}\n{expires}\n{channel}").as_bytes());
        mac
    }

    /// The link for an incident in a message of a channel; the same for every attempt.
    pub(crate) fn url(&self, public_url: &str, incident: IncidentId, channel: &str) -> String {
        let expires = incident.received_at().checked_add(GOOD_FOR).unwrap_or(Timestamp::MAX).as_second();
        let signature = hex(&self.signature(incident, channel, expires).finalize().into_bytes());
        let base = public_url.trim_end_matches('/');
        format!("{base}/ack/{incident}?c={}&e={expires}&s={signature}", percent(channel))
    }

    /// Checks what came with a link.
    pub(crate) fn check(
        &self,
        (incident, channel): (IncidentId, &str),
        expires: i64,
        signature: &str,
        now: Timestamp,
    ) -> Result<(), BadLink> {
        let signature = unhex(signature).ok_or(BadLink::Forged)?;
        let mac = self.signature(incident, channel, expires);
        mac.verify_slice(&signature).map_err(|_| BadLink::Forged)?;
        if now.as_second() > expires { Err(BadLink::Expired) } else { Ok(()) }
    }
}

/// Readable for us alone, and there as a whole or not at all.
fn make(path: &Path, key: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

/// Everything but letters, digits and `-._~` (RFC 3986, section 2.3).
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a text takes everything");
        }
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn incident() -> IncidentId {
        "01935f1c-7c00-7000-8000-000000000001".parse().unwrap()
    }

    /// The expiry and the signature of a link.
    fn parts(url: &str) -> (i64, String) {
        let value = |name: &str| url.split(['?', '&']).find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        (value("e=").parse().unwrap(), value("s="))
    }

    #[test]
    fn a_link_is_good_for_its_incident_its_channel_and_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let url = signer.url("https://balefire.example/", incident(), "soc mail");
        assert!(url.starts_with("https://balefire.example/ack/01935f1c-7c00-7000-8000-000000000001?c=soc%20mail&e="));
        let (expires, signature) = parts(&url);
        let (id, now) = (incident(), incident().received_at());
        let check = |id, channel, expires, signature: &str, now| signer.check((id, channel), expires, signature, now);
        assert_eq!(check(id, "soc mail", expires, &signature, now), Ok(()));
        let other = IncidentId::derive(now, "other");
        assert_eq!(check(other, "soc mail", expires, &signature, now), Err(BadLink::Forged));
        assert_eq!(check(id, "pager", expires, &signature, now), Err(BadLink::Forged));
        assert_eq!(check(id, "soc mail", expires + 1, &signature, now), Err(BadLink::Forged));
        for bad in ["", "zz", "00", &signature[2..], &"0".repeat(64)] {
            assert_eq!(check(id, "soc mail", expires, bad, now), Err(BadLink::Forged), "{bad}");
        }
        let late = now.checked_add(GOOD_FOR + SignedDuration::from_secs(1)).unwrap();
        assert_eq!(check(id, "soc mail", expires, &signature, late), Err(BadLink::Expired));
    }

    #[test]
    fn the_key_is_made_once_for_us_alone_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let url = |signer: Signer| signer.url("http://x", incident(), "c");
        let first = url(Signer::open(dir.path()).unwrap());
        assert_eq!(url(Signer::open(dir.path()).unwrap()), first);
        let path = dir.path().join(KEY_FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Signer::open(dir.path()), Err(KeyError::Form { .. })));
    }
}
