//! Whom a message is for: what a configuration may say, and how Slack takes it. Knows no request.

/// What may stand in `to`, for an error.
pub(super) const FORM: &str =
    "an e-mail address, a channel id such as C024BE91L, a user id such as U023BECGF, or #name";

/// A channel's name has at most 80 characters (docs.slack.dev, `conversations.create`).
const NAME_CHARS_MAX: usize = 80;
/// An address has at most 254 bytes (RFC 5321, section 4.5.3.1.3, less the brackets).
const EMAIL_BYTES_MAX: usize = 254;

/// Somebody or some place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    /// A person by the address of their account.
    Email(String),
    /// A person by their id.
    User(String),
    /// A channel, a group or a conversation by its id or, with `#`, its name.
    Conversation(String),
}

impl Recipient {
    pub(super) fn parse(text: &str) -> Option<Recipient> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('#') {
            return is_name(name).then(|| Recipient::Conversation(text.to_owned()));
        }
        if text.contains('@') {
            return is_email(text).then(|| Recipient::Email(text.to_owned()));
        }
        match text.as_bytes().first()? {
            b'C' | b'G' | b'D' if is_id(text) => Some(Recipient::Conversation(text.to_owned())),
            b'U' | b'W' if is_id(text) => Some(Recipient::User(text.to_owned())),
            _ => None,
        }
    }

    /// As the configuration says it.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Recipient::Email(text) | Recipient::User(text) | Recipient::Conversation(text) => text,
        }
    }
}

/// Whether a text has the form of an id: of a channel, a user or a file.
pub(super) fn is_id(text: &str) -> bool {
    (5..=30).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether a text has the form of a message's time, which is its name within its channel: `1503435956.000247`.
pub(super) fn is_time(text: &str) -> bool {
    let digits = |text: &str| (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, rest)| digits(seconds) && digits(rest))
}

fn is_name(name: &str) -> bool {
    let chars = name.chars().count();
    (1..=NAME_CHARS_MAX).contains(&chars)
        && name.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || matches!(c, '-' | '_'))
}

/// Narrower than RFC 5321: no account has an address with quotes, and receipts list addresses.
fn is_email(text: &str) -> bool {
    let is_part = |part: &str, also: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    text.len() <= EMAIL_BYTES_MAX
        && text
            .split_once('@')
            .is_some_and(|(user, domain)| is_part(user, b".!#$%&'*+-^_`{|}~") && is_part(domain, b".-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_can_find_is_taken_and_nothing_else() {
        let email = |text: &str| Some(Recipient::Email(text.to_owned()));
        let place = |text: &str| Some(Recipient::Conversation(text.to_owned()));
        let user = |text: &str| Some(Recipient::User(text.to_owned()));
        for (text, expected) in [
            (" soc+night@example.org ", email("soc+night@example.org")),
            ("C024BE91L", place("C024BE91L")),
            ("G01AAAAAA", place("G01AAAAAA")),
            ("U023BECGF", user("U023BECGF")),
            ("W012A3CDE", user("W012A3CDE")),
            ("#sec-alerts_2", place("#sec-alerts_2")),
            ("#größe", place("#größe")),
            ("#Sec", None),
            ("#a b", None),
            ("#", None),
            ("", None),
            ("c024be91l", None),
            ("X024BE91L", None),
            ("general", None),
            ("@ann", None),
            ("a,b@example.org", None),
            ("a=b@example.org", None),
            ("a@b@example.org", None),
            ("<!channel>", None),
        ] {
            assert_eq!(Recipient::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_messages_time_is_two_numbers() {
        assert!(is_time("1503435956.000247"));
        for text in ["1503435956", "1503435956.", ".1", "1.2.3", "1.2, x", "1e3.0"] {
            assert!(!is_time(text), "{text}");
        }
    }
}
