//! Reads where syslog messages go. Opens nothing.

use crate::SyslogTarget;
use balefire_model::settings::Reader;
use std::path::PathBuf;

const FORMS: &str = "a socket such as /dev/log, or udp://host:514, tcp://host:514, tls://host:6514";

pub(super) fn read(reader: &Reader<'_>) -> SyslogTarget {
    let parsed = reader
        .parsed("to", "The receiver: a local socket, or a host.", FORMS, parse)
        .default_shown(Parsed::Local(PathBuf::from("/dev/log")), "/dev/log");
    let ca_file = reader
        .text("ca_file", "A PEM file of certificate authorities to trust instead of the system's, for `tls://`.")
        .optional()
        .map(PathBuf::from);
    let server_name = reader
        .parsed(
            "server_name",
            "The name that the receiver's certificate must carry, for `tls://`; the host of `to`, if left out.",
            "a host's name or address",
            |text| is_host(text).then(|| text.to_owned()),
        )
        .optional();
    if !matches!(parsed, Parsed::Tls(..)) {
        for (name, given) in [("ca_file", ca_file.is_some()), ("server_name", server_name.is_some())] {
            if given {
                reader.reject(name, "has a meaning only where `to` begins with tls://", "");
            }
        }
    }
    match parsed {
        Parsed::Local(path) => SyslogTarget::Local(path),
        Parsed::Udp(address) => SyslogTarget::Udp(address),
        Parsed::Tcp(address) => SyslogTarget::Tcp(address),
        Parsed::Tls(address, host) => SyslogTarget::Tls { address, server_name: server_name.unwrap_or(host), ca_file },
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Local(PathBuf),
    Udp(String),
    Tcp(String),
    /// Address and host.
    Tls(String, String),
}

fn parse(text: &str) -> Option<Parsed> {
    if text.starts_with('/') && !text.contains('\0') {
        return Some(Parsed::Local(PathBuf::from(text)));
    }
    let (scheme, rest) = text.split_once("://")?;
    let default_port = match scheme {
        "udp" | "tcp" => 514,
        "tls" => 6514,
        _ => return None,
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(number) => number.parse::<u16>().ok().filter(|number| *number > 0)?,
        None if port.is_empty() => default_port,
        None => return None,
    };
    if !is_host(host) {
        return None;
    }
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Some(match scheme {
        "udp" => Parsed::Udp(address),
        "tcp" => Parsed::Tcp(address),
        _ => Parsed::Tls(address, host.to_owned()),
    })
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_socket_or_a_host_with_its_usual_port() {
        assert_eq!(parse("/dev/log"), Some(Parsed::Local("/dev/log".into())));
        assert_eq!(parse("udp://log"), Some(Parsed::Udp("log:514".into())));
        assert_eq!(parse("tcp://10.0.0.1:601"), Some(Parsed::Tcp("10.0.0.1:601".into())));
        assert_eq!(parse("tls://[::1]"), Some(Parsed::Tls("[::1]:6514".into(), "::1".into())));
        for wrong in ["", "log:514", "http://log", "udp://", "udp://log:0", "udp://log:x", "udp://a b", "tls://[x]:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
