//! What the probe remembers of a connection, and how it tells user space of it.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use tracer_ebpf::config::CaptureWindow;
use tracer_ebpf::event::flag;
use tracer_ebpf::hint::{begins_commands, holds_many_messages};
use tracer_ebpf::limits::{HUGE_HEAD, MAX_TAIL};
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction, EventKind, Header, LossReason};

use super::emit;
use super::kernel::read;
use super::maps::{CONNECTIONS, PORT_WINDOWS, WINDOWS, count_loss};
use super::socket::{INET6, Socket, UNIX};
use super::verifier::clamp;

/// One connection.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Connection {
    /// Inode number: the socket's address alone is reused.
    pub ino: u64,
    /// Bytes received so far, where there are no sequence numbers.
    pub rx: u64,
    /// Bytes sent so far, where there are no sequence numbers.
    pub tx: u64,
    /// Window that the connection starts with; `head` 0 means the default.
    pub window: CaptureWindow,
    /// Of what user space was told: [`told`].
    pub told: u64,
}

/// What user space is told of a connection once.
pub mod told {
    /// That it exists.
    pub const EXISTS: u64 = 1 << 0;
    /// That its `connect` was answered.
    pub const ANSWER: u64 = 1 << 1;
    /// That nothing more will be sent.
    pub const FINISH: u64 = 1 << 2;
}

/// The entry of a socket, made when it is not there yet. `None` when the table refuses.
#[inline(always)]
pub fn entry(socket: &Socket) -> Option<*mut Connection> {
    if let Some(found) = known(socket) {
        return Some(found);
    }
    let fresh = Connection { ino: socket.ino, rx: 0, tx: 0, window: window_by_port(socket), told: 0 };
    if CONNECTIONS.insert(&socket.sock, &fresh, 0).is_err() {
        count_loss(LossReason::TableFull);
        return None;
    }
    CONNECTIONS.get_ptr_mut(&socket.sock)
}

/// The entry of a socket that was seen before.
#[inline(always)]
pub fn known(socket: &Socket) -> Option<*mut Connection> {
    let found = CONNECTIONS.get_ptr_mut(&socket.sock)?;
    // SAFETY: the pointer is to a map value.
    if unsafe { (*found).ino } == socket.ino { Some(found) } else { None }
}

#[inline(always)]
fn window_by_port(socket: &Socket) -> CaptureWindow {
    if socket.family != UNIX {
        let remote = u16::from_be(read::<u16>(socket.sock, config!(skc_dport)));
        let local: u16 = read(socket.sock, config!(skc_num));
        for port in [remote, local] {
            if let Some(window) = PORT_WINDOWS.get_ptr(&port) {
                // SAFETY: the pointer is to a map value.
                return unsafe { *window };
            }
        }
    }
    CaptureWindow { ino: 0, head: 0, tail: 0 }
}

/// How many bytes of a call to capture: what was asked for this connection, else for its port, else the default; but
/// all from the first long call on that looks as if each boundary in it mattered, and of a connection that begins with a
/// command of Redis. `start` reads the call's first bytes.
#[inline(always)]
pub fn window(
    socket: &Socket,
    connection: *mut Connection,
    length: u32,
    start: impl FnOnce() -> Option<[u8; 4]>,
) -> (u32, u32) {
    if let Some(asked) = WINDOWS.get_ptr(&socket.sock) {
        // SAFETY: the pointer is to a map value.
        let asked = unsafe { *asked };
        if asked.ino == socket.ino {
            return (asked.head, asked.tail);
        }
    }
    // SAFETY: the pointer is to a map value.
    let first = unsafe { (*connection).window };
    if first.head != 0 {
        return (first.head, first.tail);
    }
    let (head, tail) = (config!(head), config!(tail));
    let is_long = length > head + tail;
    if (first.ino == 0 || is_long)
        && let Some(start) = start()
        && (begins_commands(start) || is_long && holds_many_messages(start))
    {
        // SAFETY: the pointer is to a map value.
        unsafe { (*connection).window = CaptureWindow { ino: LOOKED_AT, head: HUGE_HEAD, tail: MAX_TAIL } };
        return (HUGE_HEAD, MAX_TAIL);
    }
    // SAFETY: the pointer is to a map value.
    unsafe { (*connection).window.ino = LOOKED_AT };
    (head, tail)
}

/// In place of a window's inode number: the connection's first bytes were looked at.
const LOOKED_AT: u64 = 1;

/// Position of the first byte of a call that moved `length` bytes. Counts them where the kernel does not.
#[inline(always)]
pub fn position(socket: &Socket, connection: *mut Connection, direction: Direction, length: u32) -> u64 {
    if socket.sequence {
        let next: u32 = match direction {
            Direction::Ingress => read(socket.sock, config!(tcp_copied_seq)),
            Direction::Egress => read(socket.sock, config!(tcp_write_seq)),
        };
        return next.wrapping_sub(length) as u64;
    }
    // SAFETY: the pointer is to a map value. Two threads that move bytes of one direction at once may race; the
    // sum of positions then shows a gap or a step back in user space.
    unsafe {
        let count = match direction {
            Direction::Ingress => &mut (*connection).rx,
            Direction::Egress => &mut (*connection).tx,
        };
        let start = *count;
        *count = start + length as u64;
        start
    }
}

/// Position of the next byte of the other direction; 0 where the kernel does not count.
#[inline(always)]
pub fn other_position(socket: &Socket, direction: Direction) -> u32 {
    match direction {
        _ if !socket.sequence => 0,
        Direction::Ingress => read(socket.sock, config!(tcp_write_seq)),
        Direction::Egress => read(socket.sock, config!(tcp_copied_seq)),
    }
}

/// Whether bytes at `position` cannot be this connection's, because they lie before its first byte: then the
/// descriptor was closed and reused while the call was blocked on the old socket.
#[inline(always)]
pub fn is_stale(socket: &Socket, direction: Direction, position: u64) -> bool {
    if !socket.sequence {
        return false;
    }
    let first = match direction {
        Direction::Ingress => {
            let received: u64 = read(socket.sock, config!(tcp_bytes_received));
            read::<u32>(socket.sock, config!(tcp_rcv_nxt)).wrapping_sub(received as u32)
        }
        Direction::Egress => {
            let acked: u64 = read(socket.sock, config!(tcp_bytes_acked));
            read::<u32>(socket.sock, config!(tcp_snd_una)).wrapping_sub(acked as u32)
        }
    };
    // A FIN or SYN can count for one byte on either side.
    (position as u32).wrapping_sub(first).wrapping_add(1) as i32 <= -1
}

/// Tells user space of the connection. `header` is the caller's.
#[inline(always)]
pub fn announce(header: &Header, socket: &Socket, note: ConnectionNote, how: u8) -> bool {
    let Some(event) = emit::reserve::<ConnectionEvent>(LossReason::RingControl) else {
        return false;
    };
    let state = read(socket.sock, config!(skc_state));
    // SAFETY: the pointer is to a reserved record of this size. `path` is left as it is beyond `path_length`: to
    // clear it byte by byte would cost more than all the rest.
    unsafe {
        let e = &mut *event;
        e.header = *header;
        e.header.kind = EventKind::Connection as u16;
        e.header.size = size_of::<ConnectionEvent>() as u32;
        e.header.flags = if socket.sequence { flag::SEQUENCE } else { 0 };
        e.sock = socket.sock;
        e.ino = socket.ino;
        e.family = socket.family;
        e.note = note as u8;
        e.how = how;
        e.state = state;
        e.padding = 0;
        e.padding_end = [0; 4];
        e.path_length = 0;
        e.path_is_peer = 0;
        fill_positions(e, socket);
        if socket.family == UNIX { fill_path(e, socket.sock) } else { fill_addresses(e, socket) }
    }
    emit::submit(event);
    true
}

#[inline(always)]
fn fill_positions(event: &mut ConnectionEvent, socket: &Socket) {
    if socket.sequence {
        event.bytes_received = read(socket.sock, config!(tcp_bytes_received));
        event.rcv_nxt = read(socket.sock, config!(tcp_rcv_nxt));
        event.rx_position = read(socket.sock, config!(tcp_copied_seq));
        event.tx_position = read(socket.sock, config!(tcp_write_seq));
    } else {
        event.bytes_received = 0;
        event.rcv_nxt = 0;
        event.rx_position = 0;
        event.tx_position = 0;
    }
}

#[inline(always)]
fn fill_addresses(event: &mut ConnectionEvent, socket: &Socket) {
    let sock = socket.sock;
    event.peer_sock = 0;
    event.local_port = read(sock, config!(skc_num));
    event.remote_port = u16::from_be(read::<u16>(sock, config!(skc_dport)));
    if socket.family == INET6 {
        event.local_address = read(sock, config!(skc_v6_rcv_saddr));
        event.remote_address = read(sock, config!(skc_v6_daddr));
    } else {
        event.local_address = v4(read(sock, config!(skc_rcv_saddr)));
        event.remote_address = v4(read(sock, config!(skc_daddr)));
    }
}

/// An IPv4 address, in the kernel's byte order, in the first of 16 bytes. Made of words, since the compiler clears
/// bytes one by one.
#[inline(always)]
fn v4(address: u32) -> [u8; 16] {
    // SAFETY: two arrays of the same size, of integers.
    unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>([address, 0, 0, 0]) }
}

/// The bound name of this end, or else of the peer (`net/unix/af_unix.c`: an accepted socket shares its
/// listener's address).
#[inline(always)]
fn fill_path(event: &mut ConnectionEvent, sock: u64) {
    event.local_port = 0;
    event.remote_port = 0;
    event.local_address = v4(0);
    event.remote_address = v4(0);
    let peer: u64 = read(sock, config!(unix_peer));
    event.peer_sock = peer;
    let mut address: u64 = read(sock, config!(unix_addr));
    if address == 0 && peer != 0 {
        address = read(peer, config!(unix_addr));
        event.path_is_peer = 1;
    }
    if address == 0 {
        event.path_is_peer = 0;
        return;
    }
    let length: u32 = read(address, config!(unix_address_len));
    // `len` counts the family too.
    let bytes = clamp::<108>((length as u64).saturating_sub(2));
    let source = address + config!(unix_address_path) as u64;
    // SAFETY: `path` has 108 bytes; the helper checks the source.
    unsafe { bpf_probe_read_kernel(event.path.as_mut_ptr().cast(), bytes as u32, source as *const _) };
    event.path_length = bytes as u8;
}
