//! Where a request may go: reads an URL just far enough to know that, and refuses the addresses of cloud metadata
//! services, which hand out credentials to whoever asks from inside. Looks nothing up; the transport checks the addresses
//! that a name resolves to with [`is_metadata_address`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A checked URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    url: String,
}

/// The debug form shows the origin only: paths of webhooks are secrets.
impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Destination({}/…)", origin(&self.url))
    }
}

/// Why an URL is refused. The messages never repeat the URL, which may hold a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refused {
    #[error("not an http:// or https:// URL")]
    Scheme,
    #[error("has characters that must be percent-encoded in a URL")]
    Characters,
    #[error("has no host")]
    NoHost,
    #[error("has a host or port that cannot be read")]
    Authority,
    #[error("has a user or password in it; use `token` or `headers`")]
    UserInfo,
    #[error("has an IPv4 address in an unusual notation; write four decimal numbers")]
    OddAddress,
    #[error("points to a cloud metadata service, which must never be called")]
    Metadata,
}

impl Destination {
    /// Checks an absolute URL.
    pub(crate) fn parse(url: &str) -> Result<Destination, Refused> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(Refused::Scheme)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Refused::Scheme);
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`')) {
            return Err(Refused::Characters);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        if authority.contains('@') {
            return Err(Refused::UserInfo);
        }
        check_host(authority)?;
        // A fragment is for browsers and never sent; a URL that ends at its host asks for the root.
        let path = rest[end..].split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let scheme = scheme.to_ascii_lowercase();
        Ok(Destination { url: format!("{scheme}://{authority}{slash}{path}") })
    }

    /// The URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }
}

/// `scheme://host:port` of an absolute URL.
pub(crate) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Checks `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn check_host(authority: &str) -> Result<(), Refused> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(Refused::Authority)?;
            let address: Ipv6Addr = address.parse().map_err(|_| Refused::Authority)?;
            if is_metadata_address(address.into()) {
                return Err(Refused::Metadata);
            }
            ("", port)
        }
        None => {
            let colon = authority.find(':').unwrap_or(authority.len());
            if colon == 0 {
                return Err(Refused::NoHost);
            }
            authority.split_at(colon)
        }
    };
    match port.strip_prefix(':') {
        Some(number) if number.parse::<u16>().is_ok_and(|number| number > 0) => {}
        None if port.is_empty() => {}
        _ => return Err(Refused::Authority),
    }
    if host.is_empty() { Ok(()) } else { check_name(host) }
}

fn check_name(host: &str) -> Result<(), Refused> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(Refused::Authority);
    }
    // Resolvers also take `2852039166`, `0xa9fea9fe` and `0251.0376.0251.0376` for addresses (inet_aton).
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        let address: Ipv4Addr = name.parse().map_err(|_| Refused::OddAddress)?;
        return if is_metadata_address(address.into()) { Err(Refused::Metadata) } else { Ok(()) };
    }
    if METADATA_NAMES.contains(&name.as_str()) { Err(Refused::Metadata) } else { Ok(()) }
}

/// Google's three, the name that Amazon's DNS gives it, and its short form.
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Whether an address belongs to a metadata service of a cloud: all of IPv4's link-local range (RFC 3927; 169.254.169.254
/// of most clouds, 169.254.170.2 and .23 of Amazon's containers, 169.254.0.23 of Tencent), Alibaba's 100.100.100.200,
/// Oracle's 192.0.0.192, Azure's 168.63.129.16, Amazon's fd00:ec2::/32 and Google's fd20:ce::254; also where they are
/// written within IPv6 (mapped, or NAT64's 64:ff9b::/96).
#[must_use]
pub fn is_metadata_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_metadata_v4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let [.., a, b, c, d] = v6.octets();
            let embeds_v4 = s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || s[..6] == [0; 6];
            (s[0] == 0xfd00 && s[1] == 0xec2)
                || s == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
                || (embeds_v4 && is_metadata_v4(Ipv4Addr::new(a, b, c, d)))
        }
    }
}

fn is_metadata_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || matches!(address.octets(), [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public_hosts_may_be_named() {
        for (url, expected) in [
            ("https://hooks.example.org/x?y=1#z", "https://hooks.example.org/x?y=1"),
            ("HTTP://10.0.0.1:8080", "http://10.0.0.1:8080/"),
            ("http://[::1]:9093/api", "http://[::1]:9093/api"),
            ("http://localhost?x=1", "http://localhost/?x=1"),
        ] {
            assert_eq!(Destination::parse(url).map(|url| url.as_str().to_owned()), Ok(expected.to_owned()), "{url}");
        }
    }

    #[test]
    fn metadata_services_are_refused_however_they_are_written() {
        for host in [
            "169.254.169.254",
            "169.254.170.2:80",
            "100.100.100.200",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[::169.254.169.254]:80",
        ] {
            assert_eq!(Destination::parse(&format!("http://{host}/latest")), Err(Refused::Metadata), "{host}");
        }
        for host in ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "1.0xfe"] {
            assert_eq!(Destination::parse(&format!("http://{host}/")), Err(Refused::OddAddress), "{host}");
        }
    }

    #[test]
    fn what_is_no_clear_destination_is_refused() {
        for (url, expected) in [
            ("ftp://example.org/", Refused::Scheme),
            ("example.org", Refused::Scheme),
            ("https://", Refused::NoHost),
            ("https://:80/", Refused::NoHost),
            ("https://user:hunter2@example.org/", Refused::UserInfo),
            ("https://example.org:0/", Refused::Authority),
            ("https://example.org:99999/", Refused::Authority),
            ("https://exa%6dple.org/", Refused::Authority),
            ("https://[::1/", Refused::Authority),
            ("https://example.org/a b", Refused::Characters),
            ("https://example.org/\r\nx: y", Refused::Characters),
            ("https://example.org\\@evil/", Refused::Characters),
            ("https://größe.example/", Refused::Characters),
        ] {
            assert_eq!(Destination::parse(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn the_debug_form_keeps_the_path() {
        let url = Destination::parse("https://hooks.example.org/T0/s3cret").expect("a URL");
        assert_eq!(format!("{url:?}"), "Destination(https://hooks.example.org/…)");
    }
}
