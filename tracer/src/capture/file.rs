//! The file formats: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

use std::io::{self, Read};

use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};
use pcap_parser::{
    InterfaceDescriptionBlock, PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::clock::Resolution;
use crate::event::Nanos;
use crate::input::Input;

/// Largest record that is read: what claims to be larger is damaged. Tools cut packets at 256 KiB.
pub const MAX_RECORD: usize = 16 << 20;

/// Interfaces of a section that are told apart; packets of any more are skipped, counted.
pub const MAX_INTERFACES: usize = 65_536;

/// Bytes of a pcap file before its first packet.
const PCAP_HEADER: usize = 24;

/// First four bytes of a pcapng file: the type of a section header block, the same in both byte orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured: nanoseconds since the epoch.
    pub time: Nanos,
    /// LINKTYPE_…: what it begins with.
    pub link: i32,
    /// Its length where it was captured, in bytes; more than `bytes` when it was cut.
    pub length: u32,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// Why a file gives no packets, or no more.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It begins like neither format.
    #[error("it is neither pcap nor pcapng")]
    NotACapture,
    /// The system cannot read it.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// How a capture came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEnd {
    /// After a whole record.
    Whole,
    /// In the middle of a record.
    Cut,
    /// A record contradicts itself: what follows cannot be found.
    Damaged,
}

/// What the next record of a file is.
#[derive(Debug)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// A packet without time or of an interface that was not described.
    Unusable,
    /// Nothing any more.
    End(FileEnd),
}

/// The packets of a file, one after the other.
#[derive(Debug)]
pub struct Packets<R> {
    input: Input<R>,
    format: Format,
    /// Bytes of the record that was lent last.
    lent: usize,
    end: Option<FileEnd>,
}

#[derive(Debug)]
enum Format {
    Pcap { header: PcapHeader, resolution: Resolution },
    PcapNg(Section),
}

#[derive(Debug, Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the last packet: simple packets have none of their own.
    last: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    snap: u32,
    resolution: Option<Resolution>,
}

/// Whether a file that begins so is a capture. Four bytes decide.
#[must_use]
pub fn is_capture(start: &[u8]) -> bool {
    // With the magic numbers of both byte orders and both resolutions, and that of Kuznetsov's patched tcpdump.
    const PCAP: [[u8; 4]; 5] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x34, 0xcd, 0xb2, 0xa1],
    ];
    start.first_chunk().is_some_and(|magic| *magic == SECTION || PCAP.contains(magic))
}

impl<R: Read> Packets<R> {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// When that is no capture's, or cannot be read.
    pub fn open(source: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(source);
        let start = input.peek(PCAP_HEADER)?;
        if !is_capture(start) {
            return Err(CaptureError::NotACapture);
        }
        if start.starts_with(&SECTION) {
            return Ok(Self { input, format: Format::PcapNg(Section::default()), lent: 0, end: None });
        }
        let (_, header) = parse_pcap_header(start).map_err(|_| CaptureError::NotACapture)?;
        let resolution = Resolution::decimal(if header.is_nanosecond_precision() { 9 } else { 6 });
        Ok(Self { input, format: Format::Pcap { header, resolution }, lent: PCAP_HEADER, end: None })
    }

    /// The next record. (Not an iterator: a packet is lent from the buffer.)
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn next_record(&mut self) -> io::Result<Next<'_>> {
        loop {
            self.input.consume(std::mem::take(&mut self.lent));
            if let Some(end) = self.end {
                return Ok(Next::End(end));
            }
            let Some(length) = self.find()? else { continue };
            self.lent = length;
            // Looked at twice, because a packet that is lent in a loop would be lent for its next turns too.
            if self.format.is_packet(self.input.peek(length)?) {
                break;
            }
            let block = self.input.peek(length)?.get(..length).unwrap_or_default();
            if !self.format.learn(block) {
                self.end = Some(FileEnd::Damaged);
            }
        }
        let record = self.input.peek(self.lent)?.get(..self.lent).unwrap_or_default();
        Ok(self.format.packet(record))
    }

    /// The length of the next record, which is whole in the buffer; `None` at an end.
    fn find(&mut self) -> io::Result<Option<usize>> {
        let head = self.format.head();
        let start = self.input.peek(head)?;
        let (claimed, available) = (self.format.length(start), start.len());
        if available < head {
            self.end = Some(if available == 0 { FileEnd::Whole } else { FileEnd::Cut });
            return Ok(None);
        }
        let Some(length) = claimed.filter(|length| *length <= MAX_RECORD) else {
            self.end = Some(FileEnd::Damaged);
            return Ok(None);
        };
        if self.input.peek(length)?.len() < length {
            self.end = Some(FileEnd::Cut);
            return Ok(None);
        }
        Ok(Some(length))
    }
}

impl Format {
    /// Bytes that tell a record's length.
    fn head(&self) -> usize {
        match self {
            Self::Pcap { header, .. } if header.is_modified_format() => 24,
            Self::Pcap { .. } => 16,
            Self::PcapNg(_) => 12,
        }
    }

    /// The whole length of a record that begins so; `None` when it can be none.
    fn length(&self, start: &[u8]) -> Option<usize> {
        let number = |at: usize, big_endian: bool| {
            let bytes = *start.get(at..)?.first_chunk()?;
            let number = if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
            usize::try_from(number).ok()
        };
        match self {
            Self::Pcap { header, .. } => number(8, header.is_bigendian())?.checked_add(self.head()),
            Self::PcapNg(section) => {
                let big_endian = match start.starts_with(&SECTION) {
                    // The byte order of this very section: 1A 2B 3C 4D.
                    true => start.get(8) == Some(&0x1a),
                    false => section.big_endian,
                };
                number(4, big_endian).filter(|length| *length >= 12 && length.is_multiple_of(4))
            }
        }
    }

    fn is_packet(&self, record: &[u8]) -> bool {
        let Self::PcapNg(section) = self else { return true };
        // The types of simple and enhanced packet blocks.
        let kind = record.first_chunk().copied().unwrap_or_default();
        let kind = if section.big_endian { u32::from_be_bytes(kind) } else { u32::from_le_bytes(kind) };
        [3, 6].contains(&kind)
    }

    /// Takes a block that is no packet. `false` when it contradicts itself in a way that matters.
    fn learn(&mut self, block: &[u8]) -> bool {
        let Self::PcapNg(section) = self else { return true };
        match parse_block(block, section.big_endian) {
            Some(Block::SectionHeader(header)) => {
                *section = Section { big_endian: header.big_endian(), ..Section::default() };
            }
            Some(Block::InterfaceDescription(described)) if section.interfaces.len() < MAX_INTERFACES => {
                section.interfaces.push(Interface::of(&described, section.big_endian));
            }
            None => return !block.starts_with(&SECTION),
            Some(_) => {}
        }
        true
    }

    fn packet<'a>(&mut self, record: &'a [u8]) -> Next<'a> {
        match self {
            Self::Pcap { header, resolution } => pcap_packet(header, *resolution, record),
            Self::PcapNg(section) => section.packet(record).map_or(Next::Unusable, Next::Packet),
        }
    }
}

fn pcap_packet<'a>(header: &PcapHeader, resolution: Resolution, record: &'a [u8]) -> Next<'a> {
    let parse = match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => parse_pcap_frame_modified,
        (false, true) => parse_pcap_frame_be,
        (false, false) => parse_pcap_frame,
    };
    let Ok((_, frame)) = parse(record) else { return Next::Unusable };
    Next::Packet(Packet {
        time: resolution.seconds(frame.ts_sec).saturating_add(resolution.nanos(frame.ts_usec.into())),
        // The upper bits tell whether frames end with their check sequence, and how long that is.
        link: header.network.0 & 0x03ff_ffff,
        length: frame.origlen,
        bytes: frame.data,
    })
}

fn parse_block(block: &[u8], big_endian: bool) -> Option<Block<'_>> {
    let parsed = if big_endian { parse_block_be(block) } else { parse_block_le(block) };
    parsed.ok().map(|(_, block)| block)
}

impl Section {
    fn packet<'a>(&mut self, record: &'a [u8]) -> Option<Packet<'a>> {
        match parse_block(record, self.big_endian)? {
            Block::EnhancedPacket(packet) => {
                let interface = self.interfaces.get(usize::try_from(packet.if_id).ok()?)?;
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                self.last = interface.resolution?.nanos(units);
                let bytes = packet.data.get(..usize::try_from(packet.caplen).ok()?)?;
                Some(Packet { time: self.last, link: interface.link, length: packet.origlen, bytes })
            }
            Block::SimplePacket(packet) => {
                let interface = self.interfaces.first()?;
                let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
                let captured = usize::try_from(packet.origlen.min(snap)).ok()?;
                let bytes = packet.data.get(..captured.min(packet.data.len()))?;
                Some(Packet { time: self.last, link: interface.link, length: packet.origlen, bytes })
            }
            _ => None,
        }
    }
}

impl Interface {
    fn of(described: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        // if_tsoffset, which the crate reads as little-endian always.
        const OFFSET: u16 = 14;
        let offset = described.options.iter().find(|option| option.code.0 == OFFSET);
        let seconds = offset.and_then(|option| option.value.first_chunk().copied()).map_or(0, |bytes| {
            if big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) }
        });
        Self {
            link: described.linktype.0,
            snap: described.snaplen,
            resolution: Resolution::coded(described.if_tsresol, seconds),
        }
    }
}
