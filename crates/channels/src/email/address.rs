//! Mail addresses and servers' names as settings give them, read strictly: what is accepted can stand in a header, in an
//! envelope and in a command without quoting.

use balefire_model::text::is_unsafe;
use std::net::IpAddr;

/// What a setting may look like.
pub(super) const FORM: &str = "an address such as soc@example.org or SOC <soc@example.org>";

/// RFC 5321, section 4.5.3.1.
const ADDRESS_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 128;

/// An address, and the name of whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailbox {
    pub(super) name: Option<String>,
    pub(super) address: String,
}

impl Mailbox {
    /// Reads `local@domain` or `Name <local@domain>`; the name may stand in quotes.
    pub(super) fn parse(text: &str) -> Option<Mailbox> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>') {
            Some(rest) => {
                let (name, address) = rest.rsplit_once('<')?;
                let name = name.trim();
                (name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name), address)
            }
            None => ("", text),
        };
        if name.len() > NAME_BYTES_MAX || name.chars().any(is_unsafe) || !is_address(address) {
            return None;
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Some(Mailbox { name, address: address.to_owned() })
    }

    /// Stands in for one that could not be read.
    pub(super) fn placeholder() -> Mailbox {
        Mailbox { name: None, address: "balefire@localhost".to_owned() }
    }

    pub(super) fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    // RFC 5322's dot-atom, without what only quoting allows.
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    text.len() <= ADDRESS_BYTES_MAX
        && !local.is_empty()
        && local.bytes().all(atom)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && is_domain(domain)
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    domain.split('.').all(label)
}

/// A host's name or address, as it stands in a command; an IPv6 address may come in brackets and leaves them.
pub(super) fn server(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let known = bare.parse::<IpAddr>().is_ok() || is_domain(text.trim_end_matches('.'));
    known.then(|| bare.to_owned())
}

/// Whether a server is this machine by its very name.
pub(super) fn is_loopback(server: &str) -> bool {
    match server.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => server.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name() {
        let check = |text: &str, name: Option<&str>, address: &str| {
            let expected = Mailbox { name: name.map(str::to_owned), address: address.to_owned() };
            assert_eq!(Mailbox::parse(text), Some(expected), "{text}");
        };
        check("soc@example.org", None, "soc@example.org");
        check(" SOC, Größe <soc+x@example.org> ", Some("SOC, Größe"), "soc+x@example.org");
        check("\"SOC\" <root@localhost>", Some("SOC"), "root@localhost");
        check("<soc@example.org>", None, "soc@example.org");
    }

    #[test]
    fn what_could_act_in_a_header_or_command_is_no_address() {
        for wrong in [
            "",
            "soc",
            "@example.org",
            "soc@",
            "a@b, c@d",
            "a b@example.org",
            "a@example.org\r\nBcc: x@y",
            "x\ny <a@example.org>",
            "a@exa_mple..org",
            "größe@example.org",
            "<a@b",
            "a@[1.2.3.4]",
            ".a@b",
        ] {
            assert_eq!(Mailbox::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (server, expected) in [
            ("localhost", true),
            ("127.0.0.2", true),
            ("::1", true),
            ("localhost.example.org", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(server), expected, "{server}");
        }
        assert_eq!(server("[::1]"), Some("::1".to_owned()));
        assert_eq!(server("a\r\nb"), None);
    }
}
