//! From a packet of any link layer to the IP packet in it.

/// LINKTYPE_… of <https://www.tcpdump.org/linktypes.html>.
pub mod linktype {
    /// BSD loopback: an address family in the byte order of the machine that captured.
    pub const NULL: i32 = 0;
    /// Ethernet.
    pub const ETHERNET: i32 = 1;
    /// PPP, with or without HDLC framing.
    pub const PPP: i32 = 9;
    /// IP, as some systems number it.
    pub const RAW_BSD: i32 = 12;
    /// IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: i32 = 14;
    /// IP.
    pub const RAW: i32 = 101;
    /// Cisco's HDLC: an address, a control byte, an EtherType.
    pub const C_HDLC: i32 = 104;
    /// OpenBSD loopback: an address family in network byte order.
    pub const LOOP: i32 = 108;
    /// Linux cooked.
    pub const LINUX_SLL: i32 = 113;
    /// IPv4.
    pub const IPV4: i32 = 228;
    /// IPv6.
    pub const IPV6: i32 = 229;
    /// Linux's netfilter log (`tcpdump -i nflog`).
    pub const NFLOG: i32 = 239;
    /// Linux cooked, version 2.
    pub const LINUX_SLL2: i32 = 276;
}

/// EtherTypes of IP (IEEE 802 numbers).
pub(super) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const IPV6: u16 = 0x86dd;
}

/// Tags (VLAN, QinQ) before the payload; more are no honest packet.
const MAX_TAGS: usize = 8;

/// IEEE 802.2 headers that say that an EtherType follows (RFC 1042).
const SNAP: &[u8] = &[0xaa, 0xaa, 3, 0, 0, 0];

/// What a packet of a link layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// An IP packet, and the bytes of the link layer's headers before it. There may be padding behind it.
    Ip(&'a [u8], usize),
    /// Something else (ARP, LLDP …).
    Other,
    /// A link layer that is not read.
    UnknownLink,
}

/// The IP packet in a packet. An empty one where it was cut before that begins.
#[must_use]
pub fn payload(link: i32, bytes: &[u8]) -> Payload<'_> {
    match link {
        linktype::ETHERNET => ethernet(bytes, 0),
        // The address family has other numbers on each system: the IP version says what it says.
        linktype::NULL | linktype::LOOP => version(bytes, 4),
        linktype::RAW | linktype::RAW_BSD | linktype::RAW_OPENBSD | linktype::IPV4 | linktype::IPV6 => {
            version(bytes, 0)
        }
        linktype::LINUX_SLL => typed(bytes, 14, 16),
        linktype::LINUX_SLL2 => typed(bytes, 0, 20),
        linktype::C_HDLC => typed(bytes, 2, 4),
        linktype::PPP => ppp(bytes),
        linktype::NFLOG => nflog(bytes),
        _ => Payload::UnknownLink,
    }
}

/// An Ethernet header stands at `at`.
pub(super) fn ethernet(bytes: &[u8], at: usize) -> Payload<'_> {
    typed(bytes, at + 12, at + 14)
}

/// The EtherType stands at `at`, what follows on the header at `after`.
fn typed(bytes: &[u8], mut at: usize, mut after: usize) -> Payload<'_> {
    for _ in 0..=MAX_TAGS {
        let Some(kind) = number(bytes, at) else { return Payload::Ip(&[], after) };
        match kind {
            ethertype::IPV4 | ethertype::IPV6 => return version(bytes, after),
            // IEEE 802.1Q, 802.1ad, and what was used for the latter before: two bytes of tag, then the next type.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => (at, after) = (after + 2, after + 4),
            // MPLS (RFC 3032).
            0x8847 | 0x8848 => return mpls(bytes, after),
            // A length, of IEEE 802.3, rather than a type.
            0..=1500 if bytes.get(after..).is_some_and(|rest| rest.starts_with(SNAP)) => {
                (at, after) = (after + SNAP.len(), after + SNAP.len() + 2);
            }
            // PPPoE session (RFC 2516): six bytes, then PPP's protocol.
            0x8864 => return ppp_protocol(bytes, after + 6),
            _ => return Payload::Other,
        }
    }
    Payload::Other
}

/// Labels of four bytes, of which the last one says that it is the last. What follows is IP if it looks like it.
fn mpls(bytes: &[u8], mut at: usize) -> Payload<'_> {
    for _ in 0..=MAX_TAGS {
        let Some(flags) = bytes.get(at + 2) else { return Payload::Ip(&[], at + 4) };
        at += 4;
        if flags & 1 == 1 {
            return version(bytes, at);
        }
    }
    Payload::Other
}

fn ppp(bytes: &[u8]) -> Payload<'_> {
    // Address and control of HDLC-like framing (RFC 1662 3.1).
    let framed = bytes.starts_with(&[0xff, 0x03]);
    ppp_protocol(bytes, if framed { 2 } else { 0 })
}

fn ppp_protocol(bytes: &[u8], at: usize) -> Payload<'_> {
    // Compressed to one byte, which is odd; the first of two is even (RFC 1661 6.5).
    if let Some(0x21 | 0x57) = bytes.get(at) {
        return version(bytes, at + 1);
    }
    match number(bytes, at) {
        Some(0x0021 | 0x0057) => version(bytes, at + 2),
        Some(_) => Payload::Other,
        None => Payload::Ip(&[], at + 2),
    }
}

/// Attributes in the byte order of the machine that captured, each with its length (of header and value) and type, padded
/// to four bytes. One of them is the packet.
fn nflog(bytes: &[u8]) -> Payload<'_> {
    const HEADER: usize = 4;
    const PAYLOAD: u16 = 9;
    let mut at = HEADER;
    // Each attribute has four bytes at least.
    while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let [a, b, c, d] = *header;
        // Types are small: their high byte is the one that is 0.
        let read = if d == 0 { u16::from_le_bytes } else { u16::from_be_bytes };
        let (length, kind) = (usize::from(read([a, b])), read([c, d]));
        match kind {
            PAYLOAD => return version(bytes, at + HEADER),
            _ if length < HEADER => return Payload::Other,
            _ => at += length.next_multiple_of(4),
        }
    }
    Payload::Ip(&[], at + HEADER)
}

/// An IP packet, of the version that its first byte names, stands at `at`.
pub(super) fn version(bytes: &[u8], at: usize) -> Payload<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first().map(|first| first >> 4) {
        None | Some(4 | 6) => Payload::Ip(rest, at),
        Some(_) => Payload::Other,
    }
}

/// The 16-bit number at `at`, in network byte order.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: &[u8] = &[0x45, 1, 2, 3];
    const IP6: &[u8] = &[0x60, 1, 2, 3];

    #[track_caller]
    fn check(link: i32, header: &[u8]) {
        for ip in [IP, IP6] {
            let packet = [header, ip].concat();
            assert_eq!(payload(link, &packet), Payload::Ip(ip, header.len()));
        }
        let other = [header, &[0x10, 0, 0, 0]].concat();
        assert_eq!(payload(link, &other), Payload::Other);
        for end in 0..header.len() {
            assert!(matches!(payload(link, &header[..end]), Payload::Ip([], _)), "cut at {end}");
        }
    }

    #[test]
    fn every_link_type_leads_to_ip() {
        let macs = [0x11; 12];
        check(linktype::ETHERNET, &[&macs[..], &[8, 0]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x86, 0xdd]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x81, 0, 0, 7, 8, 0]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0, 0x21]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x88, 0x47, 0, 1, 0, 9, 0, 2, 1, 9]].concat());
        check(linktype::ETHERNET, &[&macs[..], &[0x81, 0, 0, 7, 0x88, 0x48, 0, 1, 1, 9]].concat());
        check(linktype::C_HDLC, &[0x0f, 0, 8, 0]);
        check(linktype::NULL, &[2, 0, 0, 0]);
        check(linktype::NULL, &[0, 0, 0, 30]);
        check(linktype::LOOP, &[0, 0, 0, 2]);
        for raw in [linktype::RAW, linktype::RAW_BSD, linktype::RAW_OPENBSD, linktype::IPV4, linktype::IPV6] {
            check(raw, &[]);
        }
        check(linktype::LINUX_SLL, &[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
        check(linktype::LINUX_SLL, &[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 7, 8, 0]);
        check(linktype::LINUX_SLL2, &[8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(linktype::PPP, &[0xff, 3, 0, 0x21]);
        check(linktype::PPP, &[0, 0x57]);
        check(linktype::PPP, &[0xff, 3, 0x21]);
        check(linktype::NFLOG, &[2, 0, 0, 5, 6, 0, 10, 0, b'x', 0, 0, 0, 24, 0, 9, 0]);
        check(linktype::NFLOG, &[2, 0, 0, 5, 0, 6, 0, 10, b'x', 0, 0, 0, 0, 24, 0, 9]);
    }

    #[test]
    fn a_length_in_the_place_of_the_type_leads_to_snap() {
        let header = [&[0x11; 12][..], &[0, 12], SNAP, &[8, 0]].concat();
        let packet = [&header, IP].concat();
        assert_eq!(payload(linktype::ETHERNET, &packet), Payload::Ip(IP, header.len()));
        // Spanning tree.
        let other = [&[0x11; 12][..], &[0, 38, 0x42, 0x42, 3, 0, 0, 0, 8, 0], IP].concat();
        assert_eq!(payload(linktype::ETHERNET, &other), Payload::Other);
    }

    #[test]
    fn what_is_no_ip_is_left_alone() {
        assert_eq!(
            payload(linktype::ETHERNET, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 1]),
            Payload::Other
        );
        assert_eq!(payload(147, IP), Payload::UnknownLink);
        let labels = [0, 1, 0, 9].repeat(40);
        assert_eq!(
            payload(linktype::ETHERNET, &[&[0; 12][..], &[0x88, 0x47], &labels].concat()),
            Payload::Other
        );
        assert_eq!(payload(linktype::NFLOG, &[2, 0, 0, 5, 0, 0, 10, 0, 24, 0, 9, 0]), Payload::Other);
        let tags = [[0x81, 0, 0x81, 0]; 40].concat();
        assert_eq!(payload(linktype::ETHERNET, &[&[0; 12][..], &tags].concat()), Payload::Other);
    }
}
