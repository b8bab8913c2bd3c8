//! The addresses at which clouds hand their machines' credentials to whoever asks. An alert's request never goes there.
//! Knows addresses only; names are resolved before this is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds serve metadata outside of 169.254.0.0/16.
const V4: [(Ipv4Addr, &str); 3] = [
    // https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    (Ipv4Addr::new(100, 100, 100, 200), "Alibaba Cloud"),
    // Oracle Cloud Infrastructure Classic, https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/stcsg/retrieving-instance-metadata.html
    (Ipv4Addr::new(192, 0, 0, 192), "Oracle Cloud Classic"),
    // https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
    (Ipv4Addr::new(168, 63, 129, 16), "Azure's host agent"),
];

const V6: [(Ipv6Addr, &str); 5] = [
    // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), "Amazon EC2"),
    // https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23), "Amazon EKS"),
    // https://cloud.google.com/compute/docs/metadata/querying-metadata
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), "Google Cloud"),
    // https://docs.openstack.org/nova/latest/user/metadata.html
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), "OpenStack"),
    // https://www.scaleway.com/en/docs/instances/how-to/use-cloud-init/
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), "Scaleway"),
];

/// Whose metadata the address serves; `None` where requests may go.
///
/// All of 169.254.0.0/16 (link-local, RFC 3927) is refused: 169.254.169.254 is Amazon, Azure, Google, Oracle, OpenStack
/// and DigitalOcean, 169.254.170.2 and .23 are containers' credentials at Amazon, 169.254.42.42 is Scaleway,
/// 169.254.0.23 is Tencent; nobody receives alerts in there. An IPv4 address inside an IPv6 one (mapped, RFC 4291 2.5.5.2;
/// compatible, 2.5.5.1; NAT64, RFC 6052; 6to4, RFC 3056) counts as itself.
pub(super) fn owner(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => owner_v4(v4),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(known, _)| *known == v6)
            .map(|(_, owner)| *owner)
            .or_else(|| embedded(v6).and_then(owner_v4)),
    }
}

fn owner_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_link_local() {
        return Some("link-local");
    }
    V4.iter().find(|(known, _)| *known == address).map(|(_, owner)| *owner)
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str) -> bool {
        owner(address.parse().expect("a constant address")).is_some()
    }

    #[test]
    fn metadata_is_refused_in_every_spelling() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(refused(address), "{address}");
        }
    }

    #[test]
    fn private_and_public_addresses_are_fine() {
        for address in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "93.184.216.34", "2001:db8::1"] {
            assert!(!refused(address), "{address}");
        }
    }
}
