//! From an IP packet to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6ExtensionsSlice, Ipv6HeaderSlice, TcpHeader, TcpHeaderSlice, ip_number,
};

use super::file::Packet;
use super::fragments::{Fragment, Fragmented};
use super::link::{self, Payload};
use super::tunnel::{self, MAX_TUNNELS};
use crate::event::Nanos;

/// Bytes of a TCP header up to its flags: with these a segment's place in its stream is known.
const ENOUGH_OF_HEADER: usize = 14;

/// Longest segment that is believed; the longest that Linux hands on at once ("BIG TCP") has half a megabyte.
pub const MAX_SEGMENT: u32 = 1 << 24;

/// A TCP segment (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// When it was captured: nanoseconds since the epoch.
    pub time: Nanos,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Sequence number of the SYN, or of the first byte.
    pub sequence: u32,
    /// Acknowledgment number, if there is one.
    pub acknowledgment: Option<u32>,
    /// Flags.
    pub flags: Flags,
    /// Bytes of its payload.
    pub length: u32,
    /// What was captured of them.
    pub bytes: &'a [u8],
}

/// The flags that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// A connection begins.
    pub syn: bool,
    /// The sender will send no more.
    pub fin: bool,
    /// The connection is aborted.
    pub rst: bool,
    /// The sender had no more at that moment: the end of a write.
    pub psh: bool,
}

/// Why a packet gives no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its link layer is not read.
    UnknownLink,
    /// It is not IP.
    NotIp,
    /// It is not TCP.
    NotTcp,
    /// It is a fragment of an IP packet, of which the rest is missing.
    Fragment,
    /// It was cut before the end of its headers.
    CutHeader,
    /// Its headers contradict themselves.
    Malformed,
}

/// What a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Segment(Segment<'a>),
    /// A part of a packet that may hold one.
    Fragment(Fragment<'a>),
}

/// The TCP segment in a packet, or in the packet that it carries through a tunnel.
///
/// # Errors
/// Why there is none.
pub(super) fn find<'a>(packet: &Packet<'a>) -> Result<Found<'a>, Skip> {
    let mut payload = link::payload(packet.link, packet.bytes);
    // What the IP packet can be long, should it not say.
    let mut longest = (packet.length as usize).max(packet.bytes.len());
    for _ in 0..=MAX_TUNNELS {
        let (ip, before) = match payload {
            Payload::Ip(ip, before) => (ip, before),
            Payload::Other => return Err(Skip::NotIp),
            Payload::UnknownLink => return Err(Skip::UnknownLink),
        };
        longest = longest.saturating_sub(before);
        let inner = match ip.first().map(|first| first >> 4) {
            None => return Err(Skip::CutHeader),
            Some(4) => v4(ip, longest)?,
            Some(_) => v6(ip, longest)?,
        };
        if let Some(part) = inner.part {
            return inner.fragment(part).map(Found::Fragment);
        }
        if inner.protocol == ip_number::TCP {
            return tcp(&inner, packet.time).map(Found::Segment);
        }
        payload = tunnel::inside(inner.protocol, inner.bytes).ok_or(Skip::NotTcp)?;
        longest = inner.length;
    }
    Err(Skip::Malformed)
}

/// The payload of an IP packet.
struct Inner<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// What it is.
    protocol: IpNumber,
    /// Its length.
    length: usize,
    /// What was captured of it.
    bytes: &'a [u8],
    /// Which part of a payload it is, if not all.
    part: Option<Part>,
}

#[derive(Clone, Copy)]
struct Part {
    /// Of the packet.
    number: u32,
    offset: u16,
    more: bool,
}

impl<'a> Inner<'a> {
    fn new(ends: [IpAddr; 2], protocol: IpNumber, length: usize, rest: &'a [u8], part: Option<Part>) -> Self {
        // Behind a short packet stands Ethernet's padding.
        let bytes = rest.get(..length).unwrap_or(rest);
        let [source, destination] = ends;
        Self { source, destination, protocol, length, bytes, part }
    }

    fn fragment(&self, part: Part) -> Result<Fragment<'a>, Skip> {
        let Self { source, destination, protocol, length, bytes, .. } = *self;
        let Part { number, offset, more } = part;
        let packet = Fragmented { source, destination, protocol, number };
        // What was cut cannot be put together.
        let is_whole = bytes.len() == length;
        is_whole.then_some(Fragment { packet, offset, more, bytes }).ok_or(Skip::Fragment)
    }
}

fn v4(ip: &[u8], longest: usize) -> Result<Inner<'_>, Skip> {
    let enough = ip.len() >= 20 && ip.len() >= usize::from(ip.first().map_or(0, |first| first & 15)) * 4;
    let cut = if enough { Skip::Malformed } else { Skip::CutHeader };
    let header = Ipv4HeaderSlice::from_slice(ip).map_err(|_| cut)?;
    let part = header.is_fragmenting_payload().then(|| Part {
        number: header.identification().into(),
        offset: header.fragments_offset().byte_offset(),
        more: header.more_fragments(),
    });
    let header_length = header.slice().len();
    // 0 where the network card cuts large packets for the kernel ("TCP segmentation offload").
    let total = Some(usize::from(header.total_len())).filter(|total| *total > 0).unwrap_or(longest);
    let length = total.checked_sub(header_length).ok_or(Skip::Malformed)?;
    let rest = ip.get(header_length..).unwrap_or_default();
    let ends = [header.source_addr().into(), header.destination_addr().into()];
    Ok(Inner::new(ends, header.protocol(), length, rest, part))
}

fn v6(ip: &[u8], longest: usize) -> Result<Inner<'_>, Skip> {
    let header = Ipv6HeaderSlice::from_slice(ip).map_err(|_| Skip::CutHeader)?;
    let header_length = header.slice().len();
    // 0 for what is larger than this field can tell (RFC 2675, and Linux's "BIG TCP").
    let told = usize::from(header.payload_length());
    let total = if told > 0 { told } else { longest.saturating_sub(header_length) };
    let behind = ip.get(header_length..).unwrap_or_default();
    let behind = behind.get(..total).unwrap_or(behind);
    let ends = [header.source_addr().into(), header.destination_addr().into()];
    if let Some((part, protocol, rest)) = part_of_v6(header.next_header(), behind) {
        let length = total.saturating_sub(behind.len() - rest.len());
        return Ok(Inner::new(ends, protocol, length, rest, Some(part)));
    }
    let (extensions, protocol, rest, error) =
        Ipv6ExtensionsSlice::from_slice_lax(header.next_header(), behind);
    if extensions.is_fragmenting_payload() {
        return Err(Skip::Fragment);
    }
    if error.is_some() && is_extension(protocol) {
        return Err(Skip::CutHeader);
    }
    let length = total.saturating_sub(behind.len() - rest.len());
    Ok(Inner::new(ends, protocol, length, rest, None))
}

/// The part of a packet behind a fragment header (RFC 8200 4.5), and what it is of; `None` where there is no such header, or
/// it says that this is all.
fn part_of_v6(mut next: IpNumber, mut rest: &[u8]) -> Option<(Part, IpNumber, &[u8])> {
    loop {
        // All extension headers have eight bytes at least.
        let [first, size, high, low, number @ ..] = *rest.first_chunk::<8>()?;
        let length = match next {
            ip_number::IPV6_FRAG => {
                let bits = u16::from_be_bytes([high, low]);
                let (offset, more) = (bits & !7, bits & 1 == 1);
                let part = Part { number: u32::from_be_bytes(number), offset, more };
                let is_part = more || offset > 0;
                return is_part.then_some((part, IpNumber(first), rest.get(8..)?));
            }
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                8 + 8 * usize::from(size)
            }
            ip_number::AUTH => 8 + 4 * usize::from(size),
            _ => return None,
        };
        rest = rest.get(length..)?;
        next = IpNumber(first);
    }
}

fn is_extension(protocol: IpNumber) -> bool {
    use ip_number::{AUTH, IPV6_DEST_OPTIONS, IPV6_FRAG, IPV6_HOP_BY_HOP, IPV6_ROUTE};
    [IPV6_HOP_BY_HOP, IPV6_ROUTE, IPV6_FRAG, IPV6_DEST_OPTIONS, AUTH].contains(&protocol)
}

fn tcp<'a>(inner: &Inner<'a>, time: Nanos) -> Result<Segment<'a>, Skip> {
    if inner.bytes.len() < ENOUGH_OF_HEADER {
        return Err(if inner.length < TcpHeader::MIN_LEN { Skip::Malformed } else { Skip::CutHeader });
    }
    // Options may have been cut, and are not needed.
    let mut padded = [0; TcpHeader::MAX_LEN];
    for (to, from) in padded.iter_mut().zip(inner.bytes) {
        *to = *from;
    }
    let header = TcpHeaderSlice::from_slice(&padded).map_err(|_| Skip::Malformed)?;
    let header_length = usize::from(header.data_offset()) * 4;
    let length = inner.length.checked_sub(header_length).ok_or(Skip::Malformed)?;
    Ok(Segment {
        time,
        source: SocketAddr::new(inner.source, header.source_port()),
        destination: SocketAddr::new(inner.destination, header.destination_port()),
        sequence: header.sequence_number(),
        acknowledgment: header.ack().then(|| header.acknowledgment_number()),
        flags: Flags { syn: header.syn(), fin: header.fin(), rst: header.rst(), psh: header.psh() },
        length: u32::try_from(length).ok().filter(|length| *length <= MAX_SEGMENT).ok_or(Skip::Malformed)?,
        bytes: inner.bytes.get(header_length..).unwrap_or_default(),
    })
}
