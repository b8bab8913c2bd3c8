//! What Slack's answers mean: the Web API says `ok` or an error's name under status 200, incoming webhooks say a word.
//! Decides nothing about what follows. Sources: docs.slack.dev/apis/web-api ("Evaluating responses"), the tables of errors
//! of the methods, docs.slack.dev/apis/web-api/rate-limits, docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.

use crate::shown::line;
use crate::{HttpReply, Reply, reply};
use balefire_model::{Cause, Outcome};
use jiff::Timestamp;
use serde_json::Value;

/// As much of an explanation as helps to find the fault.
const WORDS_BYTES_MAX: usize = 200;

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// As an outcome: deferred or rejected.
    pub(super) outcome: Outcome,
    /// Whether it would befall every other call as well: there was no answer, or the token is not taken.
    pub(super) is_everyones: bool,
    /// The error's name; empty where Slack gave none.
    pub(super) code: String,
}

/// What must not come back in an outcome when the far side repeats our request.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Words that are too short to be secrets are left out: hiding them would hide the answer.
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Secrets {
        Secrets(words.into_iter().filter(|word| word.len() >= 12).map(str::to_owned).collect())
    }

    fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// The reply without them.
    fn without(&self, reply: &Reply) -> Reply {
        match reply {
            Reply::Http(http) => Reply::Http(HttpReply {
                status: http.status,
                headers: http.headers.iter().map(|(name, value)| (name.clone(), self.redact(value))).collect(),
                body: self.redact(&String::from_utf8_lossy(&http.body)).into_bytes(),
            }),
            Reply::Failed { cause, detail } => Reply::Failed { cause: *cause, detail: self.redact(detail) },
            other => other.clone(),
        }
    }
}

/// Reads answers at a time, which `Retry-After` may count from.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) now: Timestamp,
}

impl Reading<'_> {
    /// The answer of a method of the Web API.
    pub(super) fn api(&self, reply: &Reply) -> Result<Value, Fault> {
        let http = match reply {
            Reply::Http(http) if http.status == 200 => http,
            other => return Err(self.refusal(other)),
        };
        let value = match serde_json::from_slice::<Value>(&http.body) {
            Ok(value) => value,
            // An answer that repeats a long message may be longer than what is read of it.
            Err(_) if http.body.trim_ascii_start().starts_with(b"{\"ok\":true") => return Ok(Value::Null),
            Err(_) => Value::Null,
        };
        match (value["ok"].as_bool(), value["error"].as_str()) {
            (Some(true), _) => Ok(value),
            (Some(false), Some(code)) => Err(self.error(http, code, &value)),
            _ => {
                let Reply::Http(shown) = self.secrets.without(reply) else { return Err(self.refusal(reply)) };
                let body = String::from_utf8_lossy(&shown.body[..shown.body.len().min(WORDS_BYTES_MAX)]).into_owned();
                let detail = format!("HTTP 200 without an answer of the API: {}", line(body.trim(), WORDS_BYTES_MAX));
                Err(Fault { outcome: rejected(Cause::Network, detail), is_everyones: false, code: String::new() })
            }
        }
    }

    /// The answer of an upload: its status says all (docs.slack.dev, `files.getUploadURLExternal`).
    pub(super) fn upload(&self, reply: &Reply) -> Result<Value, Fault> {
        match reply {
            Reply::Http(http) if http.status == 200 => Ok(Value::Null),
            other => Err(self.refusal(other)),
        }
    }

    /// The answer of an incoming webhook: `ok` or an error's name, as text; a workflow's trigger answers in JSON.
    pub(crate) fn webhook(&self, reply: &Reply) -> Outcome {
        let Reply::Http(http) = reply else { return self.refusal(reply).outcome };
        let body = String::from_utf8_lossy(&http.body);
        let word = body.trim();
        let is_ok = word == "ok" || serde_json::from_str::<Value>(word).is_ok_and(|value| value["ok"] == true);
        if http.status == 200 && is_ok {
            return Outcome::Delivered { receipt: "ok".to_owned() };
        }
        if !is_code(word) {
            return match self.refusal(reply).outcome {
                Outcome::Rejected { cause: Cause::Schema, detail } if http.status == 200 => {
                    rejected(Cause::Network, detail)
                }
                outcome => outcome,
            };
        }
        self.named(http, word, format!("HTTP {}: {}", http.status, line(word, WORDS_BYTES_MAX)))
    }

    fn error(&self, http: &HttpReply, code: &str, value: &Value) -> Fault {
        let mut detail = line(&self.secrets.redact(code), WORDS_BYTES_MAX).into_owned();
        if let Some(needed) = value["needed"].as_str() {
            detail = format!("{detail} (needs {})", line(&self.secrets.redact(needed), WORDS_BYTES_MAX));
        }
        if let Some(message) = value["response_metadata"]["messages"][0].as_str() {
            detail = format!("{detail}: {}", line(&self.secrets.redact(message), WORDS_BYTES_MAX));
        }
        let outcome = self.named(http, code, detail);
        let is_auth = matches!(outcome, Outcome::Rejected { cause: Cause::Auth, .. });
        // A scope is missing for one method, the rest of the token may be good.
        Fault { outcome, is_everyones: is_auth && code != "missing_scope", code: code.to_owned() }
    }

    fn named(&self, http: &HttpReply, code: &str, detail: String) -> Outcome {
        match cause(code) {
            Some(cause) => rejected(cause, detail),
            // The header stands there also where the status does not say 429.
            None => {
                let paced = HttpReply { status: 429, headers: http.headers.clone(), body: Vec::new() };
                match reply::http(&Reply::Http(paced), self.now) {
                    Outcome::Deferred { after_ms, .. } => Outcome::Deferred { after_ms, detail },
                    other => other,
                }
            }
        }
    }

    /// What is no answer of Slack's, or one by its status.
    fn refusal(&self, reply: &Reply) -> Fault {
        let outcome = match reply::http(&self.secrets.without(reply), self.now) {
            Outcome::Delivered { receipt } => {
                rejected(Cause::Schema, format!("{receipt}, which is no answer of Slack's"))
            }
            other => other,
        };
        Fault { outcome, is_everyones: !matches!(reply, Reply::Http(_)), code: String::new() }
    }
}

fn rejected(cause: Cause, detail: String) -> Outcome {
    Outcome::Rejected { cause, detail }
}

fn is_code(word: &str) -> bool {
    (3..=64).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The class of an error; none where Slack asks for patience.
fn cause(code: &str) -> Option<Cause> {
    Some(match code {
        "ratelimited" | "rate_limited" => return None,
        "access_denied"
        | "accesslimited"
        | "account_inactive"
        | "action_prohibited"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "invalid_auth"
        | "invalid_token"
        | "missing_scope"
        | "no_active_hooks"
        | "no_permission"
        | "no_service"
        | "no_team"
        | "not_allowed_token_type"
        | "not_authed"
        | "org_login_required"
        | "team_access_not_granted"
        | "team_disabled"
        | "token_expired"
        | "token_revoked"
        | "two_factor_setup_required" => Cause::Auth,
        "internal_error"
        | "fatal_error"
        | "request_timeout"
        | "rollup_error"
        | "service_unavailable"
        | "team_added_to_org" => Cause::Network,
        "message_limit_exceeded" | "storage_limit_reached" => Cause::Quota,
        "file_upload_size_restricted"
        | "metadata_too_large"
        | "msg_blocks_too_long"
        | "msg_too_long"
        | "too_many_attachments" => Cause::Size,
        "as_user_not_supported"
        | "cannot_dm_bot"
        | "channel_is_archived"
        | "channel_not_found"
        | "is_archived"
        | "is_inactive"
        | "method_not_supported_for_channel_type"
        | "not_in_channel"
        | "posting_to_general_channel_denied"
        | "user_disabled"
        | "user_not_found"
        | "user_not_visible"
        | "users_not_found" => Cause::Gone,
        _ if code.starts_with("restricted_action") => Cause::Gone,
        _ => Cause::Schema,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Reply::Http(HttpReply { status, headers, body: body.as_bytes().to_vec() })
    }

    fn check(reply: &Reply, read: impl Fn(&Reading<'_>, &Reply) -> Outcome, expected: &str) {
        let secrets = Secrets::new(["xoxb-0123456789"]);
        let now = "2026-11-22T04:00:00Z".parse().expect("a constant time");
        assert_eq!(format!("{:?}", read(&Reading { secrets: &secrets, now }, reply)), expected, "{reply:?}");
    }

    fn check_api(reply: &Reply, expected: &str) {
        let read = |reading: &Reading<'_>, reply: &Reply| match reading.api(reply) {
            Ok(_) => Outcome::Delivered { receipt: String::new() },
            Err(fault) => fault.outcome,
        };
        check(reply, read, expected);
    }

    #[test]
    fn an_error_under_status_200_is_an_error() {
        let named = |code: &str| answer(200, &[], &format!("{{\"ok\":false,\"error\":\"{code}\"}}"));
        for (code, cause) in [
            ("invalid_auth", "Auth"),
            ("token_revoked", "Auth"),
            ("account_inactive", "Auth"),
            ("missing_scope", "Auth"),
            ("channel_not_found", "Gone"),
            ("is_archived", "Gone"),
            ("users_not_found", "Gone"),
            ("restricted_action_read_only_channel", "Gone"),
            ("msg_too_long", "Size"),
            ("invalid_blocks", "Schema"),
            ("what_nobody_knows", "Schema"),
            ("internal_error", "Network"),
            ("fatal_error", "Network"),
        ] {
            check_api(&named(code), &format!("Rejected {{ cause: {cause}, detail: \"{code}\" }}"));
        }
        check_api(&answer(200, &[], "{\"ok\":true}"), "Delivered { receipt: \"\" }");
        let body =
            "{\"ok\":false,\"error\":\"missing_scope\",\"needed\":\"users:read.email\",\"provided\":\"chat:write\"}";
        check_api(
            &answer(200, &[], body),
            "Rejected { cause: Auth, detail: \"missing_scope (needs users:read.email)\" }",
        );
        let body = "{\"ok\":false,\"error\":\"invalid_blocks\",\"response_metadata\":{\"messages\":[\"[ERROR] xoxb-0123456789\\n\"]}}";
        check_api(&answer(200, &[], body), "Rejected { cause: Schema, detail: \"invalid_blocks: [ERROR] ***\\\\n\" }");
    }

    #[test]
    fn pace_is_patience_whatever_the_status() {
        let header = [("retry-after", "30")];
        check_api(&answer(429, &header, ""), "Deferred { after_ms: Some(30000), detail: \"HTTP 429\" }");
        let body = "{\"ok\":false,\"error\":\"ratelimited\"}";
        check_api(&answer(200, &header, body), "Deferred { after_ms: Some(30000), detail: \"ratelimited\" }");
    }

    #[test]
    fn what_is_no_answer_of_the_api_is_tried_again() {
        let expected =
            "Rejected { cause: Network, detail: \"HTTP 200 without an answer of the API: <h1>Hotel Wi-Fi</h1>\" }";
        check_api(&answer(200, &[], "<h1>Hotel Wi-Fi</h1>"), expected);
        check_api(
            &answer(200, &[], ""),
            "Rejected { cause: Network, detail: \"HTTP 200 without an answer of the API: \" }",
        );
        check_api(
            &answer(204, &[], ""),
            "Rejected { cause: Schema, detail: \"HTTP 204, which is no answer of Slack's\" }",
        );
        check_api(&answer(503, &[], "x"), "Rejected { cause: Network, detail: \"HTTP 503: x\" }");
        check_api(&answer(200, &[], "{\"ok\":true,\"message\":{\"te"), "Delivered { receipt: \"\" }");
    }

    #[test]
    fn a_webhook_says_ok_or_a_word() {
        let check = |status: u16, body: &str, expected: &str| {
            check(&answer(status, &[("retry-after", "7")], body), |reading, reply| reading.webhook(reply), expected);
        };
        check(200, "ok", "Delivered { receipt: \"ok\" }");
        check(200, "{\"ok\":true}", "Delivered { receipt: \"ok\" }");
        check(200, "<html>", "Rejected { cause: Network, detail: \"HTTP 200, which is no answer of Slack's\" }");
        check(400, "invalid_payload", "Rejected { cause: Schema, detail: \"HTTP 400: invalid_payload\" }");
        check(400, "user_not_found", "Rejected { cause: Gone, detail: \"HTTP 400: user_not_found\" }");
        check(403, "action_prohibited", "Rejected { cause: Auth, detail: \"HTTP 403: action_prohibited\" }");
        check(404, "channel_not_found", "Rejected { cause: Gone, detail: \"HTTP 404: channel_not_found\" }");
        check(404, "no_service", "Rejected { cause: Auth, detail: \"HTTP 404: no_service\" }");
        check(410, "channel_is_archived", "Rejected { cause: Gone, detail: \"HTTP 410: channel_is_archived\" }");
        check(429, "rate_limited", "Deferred { after_ms: Some(7000), detail: \"HTTP 429: rate_limited\" }");
        check(500, "rollup_error", "Rejected { cause: Network, detail: \"HTTP 500: rollup_error\" }");
        check(500, "Oops!", "Rejected { cause: Network, detail: \"HTTP 500: Oops!\" }");
    }
}
