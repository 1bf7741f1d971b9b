//! The events, as they lie in the ring buffer.

/// Version of the events. It grows with every change of what they mean, so that a recording of other events is not taken
/// for one of these. (That their sizes change is noticed without it.)
pub const WIRE_VERSION: u32 = 1;

/// What an event is: the value of [`Header::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EventKind {
    /// Bytes moved on a stream socket: [`DataEvent`].
    Data = 1,
    /// Bytes written to an inode that is, or may be, a target's stdout or stderr: [`DataEvent`].
    Log = 2,
    /// A connection was seen first, or changed: [`ConnectionEvent`].
    Connection = 3,
    /// A process or thread started or ended: [`ProcessEvent`].
    Process = 4,
    /// A cgroup was made or removed below a selected one: [`CgroupEvent`].
    Cgroup = 5,
}

impl EventKind {
    /// The kind with this wire value, if there is one.
    #[must_use]
    pub fn from_wire(value: u16) -> Option<Self> {
        [Self::Data, Self::Log, Self::Connection, Self::Process, Self::Cgroup]
            .into_iter()
            .find(|kind| *kind as u16 == value)
    }
}

/// Which way bytes moved, seen from the process that made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Received: read, recv*.
    Ingress = 0,
    /// Sent: write, send*, sendfile, splice.
    Egress = 1,
}

/// A socket's address family: the value of [`ConnectionEvent::family`], as in `<linux/socket.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Family {
    /// AF_UNIX.
    Unix = 1,
    /// AF_INET.
    Inet = 2,
    /// AF_INET6.
    Inet6 = 10,
}

/// The start of every event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// An [`EventKind`].
    pub kind: u16,
    /// Bits: see [`flag`].
    pub flags: u16,
    /// Bytes of the whole event that mean something: header, fixed part and captured bytes. The ring's record
    /// can be longer, because records come in size classes.
    pub size: u32,
    /// `bpf_ktime_get_ns`: CLOCK_MONOTONIC at the exit of the call, in nanoseconds.
    pub time_ns: u64,
    /// The process (thread group) id in the initial pid namespace.
    pub tgid: u32,
    /// The thread id in the initial pid namespace.
    pub tid: u32,
    /// `task_struct.start_time` of the thread, in nanoseconds of CLOCK_MONOTONIC: tells a reused id.
    pub thread_start_ns: u64,
    /// The same of the thread group's leader.
    pub process_start_ns: u64,
    /// The cgroup v2 id of the caller: the inode number of its directory.
    pub cgroup_id: u64,
    /// How often this thread came back from any wait (epoll, poll, select) so far.
    pub wait_epoch: u32,
    /// How often it came back from a wait on possibly more than one descriptor: all but one-descriptor polls.
    pub mux_epoch: u32,
    /// Which of the contexts that take turns on the thread made the call, where the process's runtime is read
    /// ([`crate::runtime`]): an asyncio task's, a greenlet's, a goroutine. An address of the process, used again after
    /// it is freed, with bits of [`crate::runtime::context`]; 0 when nothing is known.
    pub context: u64,
    /// Contexts that wait for this one: the next is that of the asyncio task that awaits this task, and so on; 0 where
    /// none does.
    pub waiters: [u64; WAITERS],
}

/// How many contexts that wait for each other are followed.
pub const WAITERS: usize = 3;

/// Bits of [`Header::flags`].
pub mod flag {
    /// Data: no more will move in its direction: the peer is done (`RCV_SHUTDOWN`), or this end is (`SEND_SHUTDOWN`, by
    /// another thread within the call), when the call returned. The kernel may have advanced `copied_seq` or `write_seq`
    /// by one more for the FIN.
    pub const DIRECTION_DONE: u16 = 1 << 0;
    /// Data: the call ended the direction: a read of 0, or an error that ends the connection (see `errno`).
    pub const END: u16 = 1 << 1;
    /// Data: the bytes did not pass through user memory (sendfile, splice): none could be captured.
    pub const UNCAPTURABLE: u16 = 1 << 2;
    /// Data or log: captured bytes are fewer than the window allows, because a page could not be read or there
    /// were more segments than the cap.
    pub const CUT: u16 = 1 << 3;
    /// Log: the inode is not known as a log yet; the write was to descriptor 1 or 2.
    pub const LOG_CANDIDATE: u16 = 1 << 4;
    /// Data and connection: positions are 32-bit TCP sequence numbers; without it they are 64-bit byte counts.
    pub const SEQUENCE: u16 = 1 << 5;
    /// Every kind: the ring was full since the last event that came through, so that some before this one are lost.
    pub const LOST: u16 = 1 << 6;
    /// Data: more of the call whose first bytes the thread's event before this one told.
    pub const CONTINUED: u16 = 1 << 7;
}

/// Bytes moved by one call, on a socket ([`EventKind::Data`]) or to a log inode ([`EventKind::Log`]).
///
/// The captured payload follows: `head` bytes at its start and `tail` bytes at `tail_offset` in it. Between the
/// two, `length - head - tail` bytes were moved but not captured.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataEvent {
    /// Common part.
    pub header: Header,
    /// Data: address of the `struct sock`, half of the connection's identity.
    /// Log: `super_block.s_dev` in the kernel's encoding (major << 20 | minor).
    pub sock: u64,
    /// Inode number of the file: the other half.
    pub ino: u64,
    /// Data: position of the call's first byte: a TCP sequence number (low 32 bits) when [`flag::SEQUENCE`] is
    /// set, else a byte count from the first byte that the probe saw. Log: the descriptor.
    pub position: u64,
    /// Bytes that the call moved.
    pub length: u32,
    /// Captured bytes from the start.
    pub head: u32,
    /// Captured bytes from the end.
    pub tail: u32,
    /// Where the tail starts in the payload.
    pub tail_offset: u32,
    /// The error of the call as a positive number, or 0.
    pub errno: u16,
    /// A [`Direction`].
    pub direction: u8,
    /// Zero.
    pub padding: u8,
    /// Data with [`flag::SEQUENCE`]: the position of the next byte of the other direction (`copied_seq`, `write_seq`); 0
    /// where that is not known. Else zero.
    pub other_position: u32,
}

/// What a [`ConnectionEvent`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionNote {
    /// `connect` returned (0 or EINPROGRESS): this process is the client.
    Connect = 1,
    /// `accept` returned: this process is the server.
    Accept = 2,
    /// First seen when it moved bytes: older than the probe, or inherited from a process that is not a target.
    Seen = 3,
    /// The TCP state became CLOSE: nothing will move any more.
    Closed = 4,
    /// `shutdown` was called, or a TCP socket was closed and sends its FIN; `how` says which way.
    Shutdown = 5,
    /// A `connect` that did not wait was answered: only now is it known where the peer's bytes begin.
    Established = 6,
}

impl ConnectionNote {
    /// The note with this wire value, if there is one.
    #[must_use]
    pub fn from_wire(value: u8) -> Option<Self> {
        [Self::Connect, Self::Accept, Self::Seen, Self::Closed, Self::Shutdown, Self::Established]
            .into_iter()
            .find(|note| *note as u8 == value)
    }
}

/// A connection was first seen, or changed. `Closed` and `Established` events carry no trustworthy thread: they come
/// from whatever context the TCP state changed in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// Common part.
    pub header: Header,
    /// Address of the `struct sock`.
    pub sock: u64,
    /// Inode number of the socket's file.
    pub ino: u64,
    /// AF_UNIX: address of the peer's `struct sock`, or 0.
    pub peer_sock: u64,
    /// TCP: `bytes_received`, the data bytes that have arrived so far.
    pub bytes_received: u64,
    /// TCP: `copied_seq`: the position of the next byte that will be read.
    pub rx_position: u32,
    /// TCP: `write_seq`: the position of the next byte that will be written.
    pub tx_position: u32,
    /// TCP: `rcv_nxt`.
    pub rcv_nxt: u32,
    /// A [`Family`].
    pub family: u16,
    /// A [`ConnectionNote`].
    pub note: u8,
    /// `skc_state`, as in `<net/tcp_states.h>`.
    pub state: u8,
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `shutdown`: SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2.
    pub how: u8,
    /// Length of what `path` holds.
    pub path_length: u8,
    /// 1 when `path` is the peer's bound name, 0 when it is our own.
    pub path_is_peer: u8,
    /// Zero.
    pub padding: u8,
    /// Network byte order; IPv4 in the first four bytes.
    pub local_address: [u8; 16],
    /// Network byte order; IPv4 in the first four bytes.
    pub remote_address: [u8; 16],
    /// AF_UNIX: the bound name (`sun_path`; a first byte of 0 marks an abstract name). Only the first `path_length`
    /// bytes mean something.
    pub path: [u8; 108],
    /// Zero.
    pub padding_end: [u8; 4],
}

/// What a [`ProcessEvent`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProcessNote {
    /// A target forked: `child_tgid` is a target too.
    Fork = 1,
    /// A process executed a new program (sent for targets, and for all when the configuration asks for it).
    Exec = 2,
    /// The last thread of a target ended.
    Exit = 3,
    /// A target made a thread: `child_tid`.
    ThreadStart = 4,
    /// A target's thread ended.
    ThreadExit = 5,
    /// A process began to listen on a port that is selected, and became a target.
    Listen = 6,
}

impl ProcessNote {
    /// The note with this wire value, if there is one.
    #[must_use]
    pub fn from_wire(value: u32) -> Option<Self> {
        [Self::Fork, Self::Exec, Self::Exit, Self::ThreadStart, Self::ThreadExit, Self::Listen]
            .into_iter()
            .find(|note| *note as u32 == value)
    }
}

/// A process or thread started or ended. The header names the one that acted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessEvent {
    /// Common part.
    pub header: Header,
    /// A [`ProcessNote`].
    pub note: u32,
    /// Fork and thread start: the new process.
    pub child_tgid: u32,
    /// Fork and thread start: the new thread.
    pub child_tid: u32,
    /// Zero.
    pub padding: u32,
    /// Fork and thread start: `start_time` of the new thread.
    pub child_start_ns: u64,
}

/// A cgroup was made (`removed` 0) or removed (1) below a selected one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupEvent {
    /// Common part. The caller is whoever made the directory: never a target by that.
    pub header: Header,
    /// The cgroup's id.
    pub id: u64,
    /// Its parent's id.
    pub parent_id: u64,
    /// 0 made, 1 removed.
    pub removed: u32,
    /// Zero.
    pub padding: u32,
}

// Both sides are built by different compilers for different targets: the layout is part of the contract.
const _: () = assert!(size_of::<Header>() == 88);
const _: () = assert!(size_of::<DataEvent>() == 136);
const _: () = assert!(size_of::<ConnectionEvent>() == 88 + 32 + 12 + 4 + 8 + 32 + 108 + 4);
const _: () = assert!(size_of::<ProcessEvent>() == 112);
const _: () = assert!(size_of::<CgroupEvent>() == 112);
