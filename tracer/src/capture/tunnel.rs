//! IP packets inside of IP packets: what leaves a node where pods' networks are laid over the nodes' own.
//!
//! Read are IP in IP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784, RFC 2890), VXLAN (RFC 7348) and Geneve (RFC 8926).

use etherparse::{IpNumber, ip_number};

use super::link::{Payload, ethernet, ethertype, number, version};

/// Tunnels within tunnels; more are no honest packet.
pub const MAX_TUNNELS: usize = 4;

/// Ports that VXLAN's receivers have: IANA's, and the one that Linux had before there was one, still used by CNI plugins.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];

/// The port of Geneve's receivers.
const GENEVE_PORT: u16 = 6081;

/// Bytes of a UDP header (RFC 768).
const UDP_HEADER: usize = 8;

/// Ethernet as the payload of GRE and Geneve ("transparent Ethernet bridging").
const BRIDGED: u16 = 0x6558;

/// What the payload of an IP packet carries, if that is a tunnel's.
#[must_use]
pub fn inside(protocol: IpNumber, bytes: &[u8]) -> Option<Payload<'_>> {
    match protocol {
        ip_number::IPV4 | ip_number::IPV6 => Some(version(bytes, 0)),
        ip_number::GRE => gre(bytes),
        ip_number::UDP => match number(bytes, 2)? {
            port if VXLAN_PORTS.contains(&port) => vxlan(bytes),
            GENEVE_PORT => geneve(bytes),
            _ => None,
        },
        _ => None,
    }
}

/// Which optional fields a header has, and its version, then the payload's EtherType.
fn gre(bytes: &[u8]) -> Option<Payload<'_>> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    let flags = number(bytes, 0)?;
    // Version 1 is PPTP's, and what else was defined is not used any more (RFC 1701: routing).
    if flags & !(CHECKSUM | KEY | SEQUENCE) != 0 {
        return None;
    }
    let options = (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize;
    carried(number(bytes, 2)?, bytes, 4 + 4 * options)
}

fn vxlan(bytes: &[u8]) -> Option<Payload<'_>> {
    // The one flag that must be set: the network identifier is valid.
    let valid = bytes.get(UDP_HEADER)? & 0x08 != 0;
    valid.then(|| ethernet(bytes, UDP_HEADER + 8))
}

fn geneve(bytes: &[u8]) -> Option<Payload<'_>> {
    let first = *bytes.get(UDP_HEADER)?;
    let (its_version, options) = (first >> 6, usize::from(first & 0x3f));
    if its_version != 0 {
        return None;
    }
    carried(number(bytes, UDP_HEADER + 2)?, bytes, UDP_HEADER + 8 + 4 * options)
}

fn carried(kind: u16, bytes: &[u8], at: usize) -> Option<Payload<'_>> {
    match kind {
        BRIDGED => Some(ethernet(bytes, at)),
        ethertype::IPV4 | ethertype::IPV6 => Some(version(bytes, at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &[u8] = &[0x45, 1, 2, 3];
    const MACS: [u8; 12] = [0x11; 12];

    #[track_caller]
    fn check(protocol: IpNumber, header: &[u8]) {
        let packet = [header, IP].concat();
        assert_eq!(inside(protocol, &packet), Some(Payload::Ip(IP, header.len())));
        for end in 0..header.len() {
            let cut = inside(protocol, &header[..end]);
            assert!(matches!(cut, None | Some(Payload::Ip([], _))), "cut at {end}: {cut:?}");
        }
    }

    fn udp(port: u16, rest: &[&[u8]]) -> Vec<u8> {
        let header = [&[0xc0, 0x01], &port.to_be_bytes()[..], &[0, 0, 0, 0]].concat();
        [&header, &rest.concat()[..]].concat()
    }

    #[test]
    fn every_tunnel_leads_to_ip() {
        check(ip_number::IPV4, &[]);
        check(ip_number::IPV6, &[]);
        check(ip_number::GRE, &[0, 0, 8, 0]);
        check(ip_number::GRE, &[0xb0, 0, 0x86, 0xdd, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
        check(ip_number::GRE, &[&[0x20, 0, 0x65, 0x58, 0, 0, 0, 9][..], &MACS, &[8, 0]].concat());
        for port in VXLAN_PORTS {
            check(ip_number::UDP, &udp(port, &[&[8, 0, 0, 0, 0, 0, 7, 0], &MACS, &[8, 0]]));
        }
        let tagged = [0x81, 0, 0, 7, 8, 0];
        check(ip_number::UDP, &udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &MACS, &tagged]));
        check(ip_number::UDP, &udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], &MACS, &[0x86, 0xdd]]));
        check(ip_number::UDP, &udp(6081, &[&[2, 0, 8, 0, 0, 0, 7, 0], &[0; 8]]));
    }

    #[test]
    fn what_is_no_tunnel_is_left_alone() {
        assert_eq!(inside(ip_number::TCP, IP), None);
        assert_eq!(inside(ip_number::UDP, &udp(53, &[IP])), None);
        assert_eq!(inside(ip_number::UDP, &udp(4789, &[&[0; 8], &MACS, &[8, 0], IP])), None, "no identifier");
        assert_eq!(
            inside(ip_number::UDP, &udp(6081, &[&[0x40, 0, 8, 0, 0, 0, 7, 0], IP])),
            None,
            "version 1"
        );
        assert_eq!(inside(ip_number::UDP, &udp(6081, &[&[0, 0, 8, 6, 0, 0, 7, 0], IP])), None, "ARP");
        assert_eq!(inside(ip_number::GRE, &[0x30, 1, 0x88, 0x0b, 0, 0, 0, 0]), None, "PPTP");
        assert_eq!(inside(ip_number::IPV4, &[0x10, 0, 0, 0]), Some(Payload::Other));
    }
}
