//! Addresses as text.

use std::net::IpAddr;

/// An IP address as it is written. Nearly all are IPv4 ones, for which the general way costs several times as much;
/// every span has two or three.
pub(super) fn ip_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        for (least, power) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / power % 10));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn addresses_are_written_as_usual() {
        for octet in 0..=255 {
            let address = Ipv4Addr::new(octet, 0, octet, 10);
            assert_eq!(ip_text(address.into()), address.to_string());
        }
        assert_eq!(ip_text(Ipv6Addr::LOCALHOST.into()), "::1");
    }
}
