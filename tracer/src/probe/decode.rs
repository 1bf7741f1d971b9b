//! One record of the ring buffer, decoded.
//!
//! Total: whatever the bytes are, the answer is an event or a [`DecodeError`]. Nothing is copied but the fixed
//! part; captured bytes are lent from the record.

use tracer_ebpf::{
    CgroupEvent, ConnectionEvent, ConnectionNote, DataEvent, Direction, EventKind, Header, ProcessEvent,
    ProcessNote,
};

use crate::event::ConnectionId;

/// What the probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes moved on a stream socket.
    Data(Data<'a>),
    /// Bytes were written to a log, or what may be one.
    Log(Log<'a>),
    /// A connection was first seen, or changed.
    Connection(ConnectionNote, ConnectionEvent),
    /// A process or thread started or ended.
    Process(ProcessNote, ProcessEvent),
    /// A cgroup was made or removed.
    Cgroup(CgroupEvent),
}

impl Event<'_> {
    /// The common part.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Data(data) => &data.header,
            Self::Log(log) => &log.header,
            Self::Connection(_, event) => &event.header,
            Self::Process(_, event) => &event.header,
            Self::Cgroup(event) => &event.header,
        }
    }
}

/// Bytes that one call moved on one socket, or the end of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Who, when, flags.
    pub header: Header,
    /// The socket.
    pub connection: ConnectionId,
    /// Position of the call's first byte: see [`DataEvent::position`].
    pub position: u64,
    /// Position of the next byte of the other direction, where the kernel counts: TCP.
    pub other_position: Option<u32>,
    /// Bytes that the call moved.
    pub length: u32,
    /// Which way.
    pub direction: Direction,
    /// The error of the call as a positive number, or 0.
    pub errno: u16,
    /// Captured bytes from the start.
    pub head: &'a [u8],
    /// Captured bytes from the end.
    pub tail: &'a [u8],
}

/// Bytes that one call wrote to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// Who, when, flags.
    pub header: Header,
    /// Inode number.
    pub ino: u64,
    /// Device of the file system, in the kernel's encoding (major << 20 | minor).
    pub dev: u32,
    /// The descriptor that was written to.
    pub fd: u32,
    /// Bytes that the call moved.
    pub length: u32,
    /// Captured bytes, from the start.
    pub bytes: &'a [u8],
}

/// Why a record is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends before the event does.
    #[error("the record is shorter than the event in it")]
    TooShort,
    /// The kind, or what the kind's own kind field says, is not one of ours.
    #[error("unknown kind of event {0}")]
    UnknownKind(u32),
    /// Lengths in the event contradict each other.
    #[error("the event's lengths contradict each other")]
    Inconsistent,
}

/// Decodes one record.
///
/// # Errors
/// When the record is too short, of unknown kind, or contradicts itself.
pub fn decode(record: &[u8]) -> Result<Event<'_>, DecodeError> {
    let mut fields = Fields(record);
    let header = header(&mut fields)?;
    let kind = EventKind::from_wire(header.kind).ok_or(DecodeError::UnknownKind(header.kind.into()))?;
    let size = usize::try_from(header.size).map_err(|_| DecodeError::TooShort)?;
    // Records come in size classes: only `size` bytes of this one mean something.
    let rest = record.get(size_of::<Header>()..size).ok_or(DecodeError::TooShort)?;
    let fields = Fields(rest);
    match kind {
        EventKind::Data => data(header, fields).map(Event::Data),
        EventKind::Log => log(header, fields).map(Event::Log),
        EventKind::Connection => connection(header, fields),
        EventKind::Process => process(header, fields),
        EventKind::Cgroup => cgroup(header, fields).map(Event::Cgroup),
    }
}

fn header(fields: &mut Fields<'_>) -> Result<Header, DecodeError> {
    Ok(Header {
        kind: fields.u16()?,
        flags: fields.u16()?,
        size: fields.u32()?,
        time_ns: fields.u64()?,
        tgid: fields.u32()?,
        tid: fields.u32()?,
        thread_start_ns: fields.u64()?,
        process_start_ns: fields.u64()?,
        cgroup_id: fields.u64()?,
        wait_epoch: fields.u32()?,
        mux_epoch: fields.u32()?,
        context: fields.u64()?,
        waiters: [fields.u64()?, fields.u64()?, fields.u64()?],
    })
}

fn data(header: Header, fields: Fields<'_>) -> Result<Data<'_>, DecodeError> {
    let (event, payload) = moved(header, fields)?;
    let direction = match event.direction {
        0 => Direction::Ingress,
        1 => Direction::Egress,
        _ => return Err(DecodeError::Inconsistent),
    };
    let tail = Fields(payload).skip(event.tail_offset, event.tail)?;
    Ok(Data {
        header,
        connection: ConnectionId { sock: event.sock, ino: event.ino },
        position: event.position,
        other_position: (event.other_position != 0).then_some(event.other_position),
        length: event.length,
        direction,
        errno: event.errno,
        head: Fields(payload).bytes(event.head)?,
        tail,
    })
}

fn log(header: Header, fields: Fields<'_>) -> Result<Log<'_>, DecodeError> {
    let (event, payload) = moved(header, fields)?;
    let narrow = |value| u32::try_from(value).map_err(|_| DecodeError::Inconsistent);
    Ok(Log {
        header,
        ino: event.ino,
        dev: narrow(event.sock)?,
        fd: narrow(event.position)?,
        length: event.length,
        bytes: Fields(payload).bytes(event.head)?,
    })
}

/// The fixed part of bytes that moved, and the payload behind it.
fn moved(header: Header, mut fields: Fields<'_>) -> Result<(DataEvent, &[u8]), DecodeError> {
    let event = DataEvent {
        header,
        sock: fields.u64()?,
        ino: fields.u64()?,
        position: fields.u64()?,
        length: fields.u32()?,
        head: fields.u32()?,
        tail: fields.u32()?,
        tail_offset: fields.u32()?,
        errno: fields.u16()?,
        direction: fields.u8()?,
        padding: fields.u8()?,
        other_position: fields.u32()?,
    };
    let captured = u64::from(event.head) + u64::from(event.tail);
    if captured > u64::from(event.length) || (event.tail > 0 && event.tail_offset < event.head) {
        return Err(DecodeError::Inconsistent);
    }
    Ok((event, fields.0))
}

fn connection(header: Header, mut fields: Fields<'_>) -> Result<Event<'_>, DecodeError> {
    let event = ConnectionEvent {
        header,
        sock: fields.u64()?,
        ino: fields.u64()?,
        peer_sock: fields.u64()?,
        bytes_received: fields.u64()?,
        rx_position: fields.u32()?,
        tx_position: fields.u32()?,
        rcv_nxt: fields.u32()?,
        family: fields.u16()?,
        note: fields.u8()?,
        state: fields.u8()?,
        local_port: fields.u16()?,
        remote_port: fields.u16()?,
        how: fields.u8()?,
        path_length: fields.u8()?,
        path_is_peer: fields.u8()?,
        padding: fields.u8()?,
        local_address: fields.take()?,
        remote_address: fields.take()?,
        path: fields.take()?,
        padding_end: fields.take()?,
    };
    let note = ConnectionNote::from_wire(event.note).ok_or(DecodeError::UnknownKind(event.note.into()))?;
    if usize::from(event.path_length) > event.path.len() {
        return Err(DecodeError::Inconsistent);
    }
    Ok(Event::Connection(note, event))
}

fn process(header: Header, mut fields: Fields<'_>) -> Result<Event<'_>, DecodeError> {
    let event = ProcessEvent {
        header,
        note: fields.u32()?,
        child_tgid: fields.u32()?,
        child_tid: fields.u32()?,
        padding: fields.u32()?,
        child_start_ns: fields.u64()?,
    };
    let note = ProcessNote::from_wire(event.note).ok_or(DecodeError::UnknownKind(event.note))?;
    Ok(Event::Process(note, event))
}

fn cgroup(header: Header, mut fields: Fields<'_>) -> Result<CgroupEvent, DecodeError> {
    Ok(CgroupEvent {
        header,
        id: fields.u64()?,
        parent_id: fields.u64()?,
        removed: fields.u32()?,
        padding: fields.u32()?,
    })
}

/// A cursor over the fields of an event, in the machine's byte order, without regard to alignment.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::TooShort)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self, count: u32) -> Result<&'a [u8], DecodeError> {
        let count = usize::try_from(count).map_err(|_| DecodeError::TooShort)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    /// `count` bytes from `offset`; none at all when none are wanted, wherever.
    fn skip(mut self, offset: u32, count: u32) -> Result<&'a [u8], DecodeError> {
        if count == 0 {
            return Ok(&[]);
        }
        self.bytes(offset)?;
        self.bytes(count)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(u8::from_ne_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_ne_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of `kind` whose event is `size` bytes long; every other field has its own value.
    fn header_bytes(kind: u16, size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend(u32::try_from(size).unwrap().to_ne_bytes());
        bytes.extend(3_u64.to_ne_bytes());
        bytes.extend(4_u32.to_ne_bytes());
        bytes.extend(5_u32.to_ne_bytes());
        bytes.extend(6_u64.to_ne_bytes());
        bytes.extend(7_u64.to_ne_bytes());
        bytes.extend(8_u64.to_ne_bytes());
        bytes.extend(9_u32.to_ne_bytes());
        bytes.extend(10_u32.to_ne_bytes());
        [33_u64, 34, 35, 36].iter().for_each(|context| bytes.extend(context.to_ne_bytes()));
        bytes
    }

    fn data_bytes(length: u32, head: u32, tail: u32, direction: u8, captured: &[u8]) -> Vec<u8> {
        let mut bytes = header_bytes(1, 136 + captured.len());
        for field in [11_u64, 12, 13] {
            bytes.extend(field.to_ne_bytes());
        }
        // The tail lies one byte behind the head.
        let tail_offset = if tail == 0 { 0 } else { head.wrapping_add(1) };
        for field in [length, head, tail, tail_offset] {
            bytes.extend(field.to_ne_bytes());
        }
        bytes.extend(14_u16.to_ne_bytes());
        bytes.extend([direction, 0, 0, 0, 0, 0]);
        bytes.extend(captured);
        bytes
    }

    #[test]
    fn data_with_head_and_tail() {
        let mut record = data_bytes(100, 3, 2, 1, b"abc-yz");
        record.extend([0xff; 40]);
        let Ok(Event::Data(data)) = decode(&record) else { panic!("{:?}", decode(&record)) };
        assert_eq!(data.connection, ConnectionId { sock: 11, ino: 12 });
        assert_eq!((data.position, data.length, data.errno), (13, 100, 14));
        assert_eq!((data.head, data.tail), (&b"abc"[..], &b"yz"[..]));
        assert_eq!(data.direction, Direction::Egress);
        let Header { flags, time_ns, tgid, tid, thread_start_ns, .. } = data.header;
        assert_eq!((flags, time_ns, tgid, tid, thread_start_ns), (2, 3, 4, 5, 6));
        let Header { process_start_ns, cgroup_id, wait_epoch, mux_epoch, context, .. } = data.header;
        assert_eq!((process_start_ns, cgroup_id, wait_epoch, mux_epoch, context), (7, 8, 9, 10, 33));
        assert_eq!(data.header.waiters, [34, 35, 36]);
    }

    #[test]
    fn contradictions_are_errors() {
        assert_eq!(decode(&data_bytes(4, 3, 2, 1, b"abc-yz")), Err(DecodeError::Inconsistent));
        assert_eq!(decode(&data_bytes(u32::MAX, u32::MAX, 1, 0, b"")), Err(DecodeError::Inconsistent));
        assert_eq!(decode(&data_bytes(9, 3, 2, 2, b"abc-yz")), Err(DecodeError::Inconsistent));
        assert_eq!(decode(&data_bytes(9, 3, 2, 0, b"abc-y")), Err(DecodeError::TooShort));
        assert_eq!(decode(&header_bytes(6, 88)), Err(DecodeError::UnknownKind(6)));
        assert_eq!(decode(&header_bytes(1, 89)), Err(DecodeError::TooShort));
        assert_eq!(decode(&header_bytes(1, 0)), Err(DecodeError::TooShort));
    }

    #[test]
    fn every_prefix_of_an_event_is_too_short() {
        let record = data_bytes(100, 3, 2, 1, b"abc-yz");
        for end in 0..record.len() {
            assert_eq!(decode(&record[..end]), Err(DecodeError::TooShort), "{end}");
        }
    }

    #[test]
    fn a_connection_event_reads_every_field_in_its_place() {
        let mut record = header_bytes(3, 288);
        for field in [21_u64, 22, 23, 24] {
            record.extend(field.to_ne_bytes());
        }
        for field in [25_u32, 26, 27] {
            record.extend(field.to_ne_bytes());
        }
        record.extend(10_u16.to_ne_bytes());
        record.extend([2, 1]);
        record.extend(28_u16.to_ne_bytes());
        record.extend(29_u16.to_ne_bytes());
        record.extend([1, 2, 1, 0]);
        record.extend([30; 16]);
        record.extend([31; 16]);
        record.extend([32; 108]);
        record.extend([0; 4]);
        let Ok(Event::Connection(note, event)) = decode(&record) else { panic!("{:?}", decode(&record)) };
        assert_eq!(note, ConnectionNote::Accept);
        assert_eq!((event.sock, event.ino, event.peer_sock, event.bytes_received), (21, 22, 23, 24));
        assert_eq!((event.rx_position, event.tx_position, event.rcv_nxt), (25, 26, 27));
        assert_eq!((event.family, event.state, event.local_port, event.remote_port), (10, 1, 28, 29));
        assert_eq!((event.how, event.path_length, event.path_is_peer), (1, 2, 1));
        assert_eq!((event.local_address, event.remote_address, event.path), ([30; 16], [31; 16], [32; 108]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(record in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&record);
        }

        /// Random bytes behind a plausible header reach the fixed parts.
        #[test]
        fn no_fixed_part_panics(
            kind in 1_u16..=5,
            size in 0_usize..400,
            rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut record = header_bytes(kind, size);
            record.extend(rest);
            let _ = decode(&record);
        }
    }
}
