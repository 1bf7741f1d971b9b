//! Records of the ring buffer, written as the probe writes them: the structs of `tracer_ebpf`, field by field.

use tracer_ebpf::{
    ConnectionEvent, ConnectionNote, DataEvent, Direction, Family, Header, ProcessEvent, ProcessNote,
};

/// What a call moved.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// Which way.
    pub direction: Direction,
    /// Captured bytes from the start.
    pub head: &'a [u8],
    /// Captured bytes from the end.
    pub tail: &'a [u8],
    /// Bytes between them that were not captured.
    pub missing: u32,
    /// The error of the call.
    pub errno: u16,
    /// The direction has ended.
    pub end: bool,
}

impl Default for Moved<'_> {
    fn default() -> Self {
        Self { direction: Direction::Ingress, head: &[], tail: &[], missing: 0, errno: 0, end: false }
    }
}

impl Moved<'_> {
    /// Bytes that the call moved.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.missing + self.head.len() as u32 + self.tail.len() as u32
    }
}

/// What is told of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// What.
    pub note: ConnectionNote,
    /// Of a shutdown: which way.
    pub how: u8,
    /// Position of the next byte that is read.
    pub rx: u32,
    /// Position of the next byte that is written.
    pub tx: u32,
}

/// A call that moved bytes on a socket.
#[must_use]
pub fn data(header: Header, sock: u64, ino: u64, position: u64, moved: &Moved<'_>) -> Vec<u8> {
    let size = size_of::<DataEvent>() + moved.head.len() + moved.tail.len();
    let mut record = start(header, size);
    record.extend([sock, ino, position].map(u64::to_ne_bytes).concat());
    let (head, tail) = (moved.head.len() as u32, moved.tail.len() as u32);
    record.extend([moved.length(), head, tail, head].map(u32::to_ne_bytes).concat());
    record.extend(moved.errno.to_ne_bytes());
    record.extend([moved.direction as u8, 0, 0, 0, 0, 0]);
    record.extend([moved.head, moved.tail].concat());
    record
}

/// A write to a log.
#[must_use]
pub fn log(header: Header, fd: u64, ino: u64, text: &[u8]) -> Vec<u8> {
    data(header, 1, ino, fd, &Moved { direction: Direction::Egress, head: text, ..Moved::default() })
}

/// A connection: 10.0.0.1:40000 (ours) and 10.0.0.2:80.
#[must_use]
pub fn connection(header: Header, sock: u64, ino: u64, told: &Note) -> Vec<u8> {
    let mut record = start(header, size_of::<ConnectionEvent>());
    record.extend([sock, ino, 0, 0].map(u64::to_ne_bytes).concat());
    record.extend([told.rx, told.tx, told.rx].map(u32::to_ne_bytes).concat());
    record.extend((Family::Inet as u16).to_ne_bytes());
    record.extend([told.note as u8, 1]);
    record.extend([40_000, 80].map(u16::to_ne_bytes).concat());
    record.extend([told.how, 0, 0, 0]);
    for last in [1, 2] {
        record.extend([10, 0, 0, last]);
        record.extend([0; 12]);
    }
    record.extend([0; 112]);
    record
}

/// A process or thread.
#[must_use]
pub fn process(header: Header, note: ProcessNote) -> Vec<u8> {
    let mut record = start(header, size_of::<ProcessEvent>());
    record.extend([note as u32, 0, 0, 0].map(u32::to_ne_bytes).concat());
    record.extend(0_u64.to_ne_bytes());
    record
}

fn start(header: Header, size: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(size);
    record.extend([header.kind, header.flags].map(u16::to_ne_bytes).concat());
    record.extend((size as u32).to_ne_bytes());
    record.extend(header.time_ns.to_ne_bytes());
    record.extend([header.tgid, header.tid].map(u32::to_ne_bytes).concat());
    record.extend(
        [header.thread_start_ns, header.process_start_ns, header.cgroup_id].map(u64::to_ne_bytes).concat(),
    );
    record.extend([header.wait_epoch, header.mux_epoch].map(u32::to_ne_bytes).concat());
    record.extend(header.context.to_ne_bytes());
    header.waiters.iter().for_each(|waiter| record.extend(waiter.to_ne_bytes()));
    record
}

#[cfg(test)]
mod tests {
    use tracer::probe::decode::{Event, decode};

    use super::*;

    #[test]
    fn records_have_the_size_they_say_and_are_decoded() {
        let header = |kind| Header { kind, ..Header::default() };
        let moved = Moved { head: b"abc", tail: b"z", missing: 3, ..Moved::default() };
        let record = data(header(1), 2, 3, 4, &moved);
        let Ok(Event::Data(data)) = decode(&record) else { panic!("{:?}", decode(&record)) };
        assert_eq!((data.length, data.head, data.tail), (7, &b"abc"[..], &b"z"[..]));
        let told = Note { note: ConnectionNote::Shutdown, how: 1, rx: 5, tx: 6 };
        let record = connection(header(3), 2, 3, &told);
        let Ok(Event::Connection(_, event)) = decode(&record) else { panic!("{:?}", decode(&record)) };
        assert_eq!((event.tx_position, event.remote_port, event.how), (6, 80, 1));
        assert!(decode(&process(header(4), ProcessNote::Exit)).is_ok());
        assert!(decode(&log(header(2), 1, 3, b"x")).is_ok());
    }
}
