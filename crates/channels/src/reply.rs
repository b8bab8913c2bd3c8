//! What a reply means for an attempt, for all kinds of one transport alike. Decides nothing about what follows.

use crate::shown::line;
use crate::{ExecStatus, HttpReply, Reply};
use balefire_model::{Cause, Outcome};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// As much of a far side's answer as helps to find the fault.
const DETAIL_BYTES_MAX: usize = 400;

/// The meaning of an HTTP reply at `now` (RFC 9110, section 15; RFC 6585 for 429).
pub(crate) fn http(reply: &Reply, now: Timestamp) -> Outcome {
    let answer = match reply {
        Reply::Http(answer) => answer,
        other => return no_answer(other, "an HTTP reply"),
    };
    let after_ms = answer.header("retry-after").and_then(|value| retry_after_ms(value, now));
    let cause = match answer.status {
        200..=299 => return Outcome::Delivered { receipt: format!("HTTP {}", answer.status) },
        429 => return Outcome::Deferred { after_ms, detail: http_detail(answer) },
        503 if after_ms.is_some() => return Outcome::Deferred { after_ms, detail: http_detail(answer) },
        300..=399 => return redirected(answer),
        401 | 403 | 407 => Cause::Auth,
        402 => Cause::Quota,
        404 | 410 => Cause::Gone,
        413 => Cause::Size,
        408 | 421 | 425 => Cause::Network,
        400..=499 => Cause::Schema,
        _ => Cause::Network,
    };
    Outcome::Rejected { cause, detail: http_detail(answer) }
}

fn redirected(answer: &HttpReply) -> Outcome {
    let target = answer.header("location").map_or_else(|| "no address".to_owned(), safe);
    let detail = format!("HTTP {}: redirected to {target}, which is not followed", answer.status);
    Outcome::Rejected { cause: Cause::Schema, detail }
}

fn http_detail(answer: &HttpReply) -> String {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(DETAIL_BYTES_MAX * 2)]);
    match safe(body.trim()) {
        body if body.is_empty() => format!("HTTP {}", answer.status),
        body => format!("HTTP {}: {body}", answer.status),
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3), as milliseconds from `now`; a date in the past is 0.
fn retry_after_ms(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse::<u64>().map_or(u64::MAX, |seconds| seconds.saturating_mul(1000)));
    }
    let until = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
    Some(u64::try_from(until.as_millisecond() - now.as_millisecond()).unwrap_or(0))
}

/// The meaning of a mail server's reply (RFC 5321, section 4.2; RFC 3463 for the codes in the text).
pub(crate) fn smtp(reply: &Reply) -> Outcome {
    let (code, text) = match reply {
        Reply::Smtp { code, text } => (*code, safe(text)),
        other => return no_answer(other, "an SMTP reply"),
    };
    let detail = format!("SMTP {code}: {text}");
    let enhanced = |codes: &[&str]| codes.iter().any(|code| text.starts_with(code));
    let cause = match code {
        200..=299 => return Outcome::Delivered { receipt: text },
        400..=499 => return Outcome::Deferred { after_ms: None, detail },
        530 | 534 | 535 | 538 => Cause::Auth,
        552 if enhanced(&["5.2.2"]) => Cause::Quota,
        552 => Cause::Size,
        500..=599 if enhanced(&["5.3.4", "5.2.3"]) => Cause::Size,
        500..=599 if enhanced(&["5.2.2"]) => Cause::Quota,
        500..=599 if enhanced(&["5.7."]) => Cause::Auth,
        550 | 551 | 553 => Cause::Gone,
        500..=599 if enhanced(&["5.1."]) => Cause::Gone,
        500..=599 => Cause::Schema,
        _ => Cause::Network,
    };
    Outcome::Rejected { cause, detail }
}

/// The meaning of the reply of a transport that only writes.
pub(crate) fn written(reply: &Reply) -> Outcome {
    match reply {
        Reply::Written(receipt) => Outcome::Delivered { receipt: safe(receipt) },
        other => no_answer(other, "a confirmation of the write"),
    }
}

/// The meaning of a program's answer (docs/exec.md). "Retry" stays a failure that is tried again, and "rejected" one that is
/// not, whatever cause the program names beside it.
pub(crate) fn exec(reply: &Reply) -> Outcome {
    let answer = match reply {
        Reply::Exec(answer) => answer,
        other => return no_answer(other, "a program's answer"),
    };
    let detail = safe(&answer.detail);
    match answer.status {
        ExecStatus::Ok => Outcome::Delivered { receipt: detail },
        ExecStatus::Retry { after_ms: Some(after_ms), .. } => Outcome::Deferred { after_ms: Some(after_ms), detail },
        ExecStatus::Retry { after_ms: None, cause } => {
            let cause = cause.filter(|cause| matches!(cause, Cause::Auth | Cause::Quota)).unwrap_or(Cause::Network);
            Outcome::Rejected { cause, detail }
        }
        ExecStatus::Rejected { cause } => {
            let cause = cause.filter(|cause| *cause != Cause::Network).unwrap_or(Cause::Schema);
            Outcome::Rejected { cause, detail }
        }
    }
}

/// A failure, or a reply of another transport, which only a fault of our own can bring about: it is tried again, as a
/// failure in the network is, and it is told.
fn no_answer(reply: &Reply, wanted: &str) -> Outcome {
    let got = match reply {
        Reply::Failed { cause, detail } => return Outcome::Rejected { cause: *cause, detail: safe(detail) },
        Reply::Http(answer) => format!("HTTP {}", answer.status),
        Reply::Smtp { code, .. } => format!("SMTP {code}"),
        Reply::DocumentRefused { code, .. } | Reply::CommandRefused { code, .. } => {
            format!("the database error {code}")
        }
        Reply::SqlRefused { state, .. } => format!("the database error {}", safe(state)),
        Reply::Written(_) => "a confirmation of a write".to_owned(),
        Reply::Exec(_) => "a program's answer".to_owned(),
    };
    Outcome::Rejected {
        cause: Cause::Network,
        detail: format!("the transport answered with {got} instead of {wanted}"),
    }
}

fn safe(text: &str) -> String {
    line(text.trim(), DETAIL_BYTES_MAX).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T04:00:00Z".parse().expect("a constant time")
    }

    fn check_http(status: u16, headers: &[(&str, &str)], body: &str, expected: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let reply = Reply::Http(HttpReply { status, headers, body: body.as_bytes().to_vec() });
        assert_eq!(format!("{:?}", http(&reply, now())), expected);
    }

    #[test]
    fn an_http_status_says_what_has_become_of_the_attempt() {
        check_http(204, &[], "", "Delivered { receipt: \"HTTP 204\" }");
        check_http(403, &[], "no\r\nway", "Rejected { cause: Auth, detail: \"HTTP 403: no\\\\r\\\\nway\" }");
        check_http(410, &[], "", "Rejected { cause: Gone, detail: \"HTTP 410\" }");
        check_http(413, &[], "", "Rejected { cause: Size, detail: \"HTTP 413\" }");
        check_http(422, &[], "", "Rejected { cause: Schema, detail: \"HTTP 422\" }");
        check_http(500, &[], "", "Rejected { cause: Network, detail: \"HTTP 500\" }");
        check_http(503, &[], "", "Rejected { cause: Network, detail: \"HTTP 503\" }");
        check_http(
            302,
            &[("location", "http://169.254.169.254/")],
            "",
            "Rejected { cause: Schema, detail: \"HTTP 302: redirected to http://169.254.169.254/, which is not followed\" }",
        );
    }

    #[test]
    fn retry_after_is_patience_in_seconds_or_until_a_date() {
        let deferred = |ms: u64, status: u16| format!("Deferred {{ after_ms: Some({ms}), detail: \"HTTP {status}\" }}");
        check_http(429, &[("retry-after", "30")], "", &deferred(30_000, 429));
        check_http(503, &[("retry-after", "Sun, 22 Nov 2026 04:01:00 GMT")], "", &deferred(60_000, 503));
        check_http(503, &[("retry-after", "Sun, 22 Nov 2026 03:00:00 GMT")], "", &deferred(0, 503));
        check_http(429, &[("retry-after", "99999999999999999999")], "", &deferred(u64::MAX, 429));
        check_http(429, &[("retry-after", "soon")], "", "Deferred { after_ms: None, detail: \"HTTP 429\" }");
    }

    #[test]
    fn a_mail_servers_code_says_what_has_become_of_the_attempt() {
        let check = |code: u16, text: &str, expected: &str| {
            assert_eq!(format!("{:?}", smtp(&Reply::Smtp { code, text: text.to_owned() })), expected);
        };
        check(250, "2.0.0 Ok: queued as 4F", "Delivered { receipt: \"2.0.0 Ok: queued as 4F\" }");
        check(451, "4.7.1 later", "Deferred { after_ms: None, detail: \"SMTP 451: 4.7.1 later\" }");
        check(535, "5.7.8 bad", "Rejected { cause: Auth, detail: \"SMTP 535: 5.7.8 bad\" }");
        check(530, "", "Rejected { cause: Auth, detail: \"SMTP 530: \" }");
        check(552, "too big", "Rejected { cause: Size, detail: \"SMTP 552: too big\" }");
        check(552, "5.2.2 full", "Rejected { cause: Quota, detail: \"SMTP 552: 5.2.2 full\" }");
        check(550, "5.1.1 who?", "Rejected { cause: Gone, detail: \"SMTP 550: 5.1.1 who?\" }");
        check(554, "5.7.1 relay", "Rejected { cause: Auth, detail: \"SMTP 554: 5.7.1 relay\" }");
        check(501, "syntax", "Rejected { cause: Schema, detail: \"SMTP 501: syntax\" }");
        check(42, "?", "Rejected { cause: Network, detail: \"SMTP 42: ?\" }");
    }
}
