//! Signs requests as Standard Webhooks 1.0 says (github.com/standard-webhooks/standard-webhooks, `spec`), so that the
//! receiver knows who sent them and that they are fresh. Only the symmetric scheme, `v1`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signing key. Its debug form does not show it.
#[derive(Clone)]
pub(crate) struct SigningKey {
    /// Keyed once: each signature starts from a copy.
    hmac: Hmac<Sha256>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Reads `whsec_` and base64, or takes any other text as it is. `None` where there is no key in it.
    pub(crate) fn parse(secret: &str) -> Option<SigningKey> {
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded.trim()).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        if key.is_empty() {
            return None;
        }
        let hmac = Hmac::new_from_slice(&key).expect("HMAC takes keys of every length");
        Some(SigningKey { hmac })
    }

    /// The value of `webhook-signature` for an id, a time in seconds since 1970 and a body.
    pub(crate) fn sign(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let mut hmac = self.hmac.clone();
        hmac.update(format!("{id}.{unix_seconds}.").as_bytes());
        hmac.update(body);
        format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::SigningKey;

    #[test]
    fn the_signature_is_that_of_the_reference_implementation() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        assert_eq!(
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_and_text_without_it() {
        let sign = |secret: &str| SigningKey::parse(secret).map(|key| key.sign("id", 1, b"x"));
        assert_eq!(sign("whsec_aHVudGVyMg=="), sign("hunter2"));
        assert!(sign("hunter2").is_some());
        assert_eq!(sign("whsec_not base64!"), None);
        assert_eq!(sign(""), None);
        assert_eq!(sign("whsec_"), None);
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", SigningKey::parse("hunter2")), "Some(SigningKey(***))");
    }
}
