//! The incidents that benches send: about 900 bytes each, as a log monitor writes them.

use super::sink::now_ns;
use std::io::Write;

/// Where they are sent.
pub(super) const PATH: &str = "/api/v1/incidents";

/// One object.
pub(super) fn single(number: u64, body: &mut Vec<u8>) {
    of_severity(["medium", "low", "high", "info"][(number % 4) as usize], number, body);
}

/// One object of a severity.
pub(super) fn of_severity(severity: &str, number: u64, body: &mut Vec<u8>) {
    let (host, user, sent) = (number % 97, number % 1013, now_ns());
    write!(
        body,
        "{{\"title\":\"Brute force: 12 failed logins for user{user} on web-{host} within 300 s\",\
         \"severity\":\"{severity}\",\"detected_by\":\"brute_force\",\
         \"description\":\"Twelve failed logins from one address within five minutes, followed by none that succeeded. \
         The account is not locked. Compare with the list of known scanners before you call anybody. \
         The address belongs to a hosting provider and has been seen in three of the last seven days on other hosts of the \
         zone.\",\
         \"nist_controls\":[\"3.1.8\",\"3.3.1\",\"3.14.6\"],\"cui_involved\":false,\"incident_id\":\"bench-{number}\",\
         \"labels\":{{\"host\":\"web-{host}\",\"env\":\"production\",\"user\":\"user{user}\",\"zone\":\"dmz-2\"}},\
         \"events\":[{{\"timestamp\":\"2026-11-22T03:04:05Z\",\"source\":\"audit_db\",\"category\":\"auth\",\
         \"severity\":\"medium\",\"action\":\"login_failed\",\"user_id\":\"user{user}\",\"ip_address\":\"203.0.113.7\",\
         \"details\":{{\"attempts\":12,\"method\":\"password\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64)\"}}}}],\
         \"sent_ns\":{sent}}}"
    )
    .expect("a vector takes every byte");
}

/// An array of `count` objects.
pub(super) fn batch(number: u64, count: u32, body: &mut Vec<u8>) {
    array(number, count, body, single);
}

/// An array of `count` lows.
pub(super) fn lows(number: u64, count: u32, body: &mut Vec<u8>) {
    array(number, count, body, |number, body| of_severity("low", number, body));
}

fn array(number: u64, count: u32, body: &mut Vec<u8>, one: impl Fn(u64, &mut Vec<u8>)) {
    let mut separator = b'[';
    for index in 0..u64::from(count) {
        body.push(separator);
        one(number * u64::from(count) + index, body);
        separator = b',';
    }
    body.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_json_of_about_900_bytes_and_a_batch_is_an_array_of_them() {
        let mut body = Vec::new();
        single(7, &mut body);
        assert!((850..=1000).contains(&body.len()), "{}", body.len());
        let incident: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(incident["incident_id"], "bench-7");
        body.clear();
        batch(2, 3, &mut body);
        let batch: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(batch.as_array().unwrap().len(), 3);
        assert_eq!(batch[0]["incident_id"], "bench-6");
    }
}
