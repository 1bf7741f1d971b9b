//! What is known of moved bytes before any of them is captured: the event that will tell of them, with their position, and
//! how many of them are wanted.

use core::mem::MaybeUninit;

use tracer_ebpf::config::{LogInode, log_inode, option};
use tracer_ebpf::event::flag;
use tracer_ebpf::limits::{LARGE_HEAD, MAX_LOG_HEAD};
use tracer_ebpf::{ConnectionNote, DataEvent, Direction, EventKind, LossReason};

use super::arguments::Moved;
use crate::probe::connection::{self, told};
use crate::probe::emit;
use crate::probe::kernel::read;
use crate::probe::maps::{LOG_INODES, count_loss};
use crate::probe::socket::{self, File, Socket};
use crate::probe::verifier::{Words, opaque};

const RCV_SHUTDOWN: u8 = 1;
const SEND_SHUTDOWN: u8 = 2;

/// What is known of moved bytes before any of them is looked at.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Capture {
    pub event: DataEvent,
    /// How many bytes from the start and from the end are wanted.
    pub head: u32,
    pub tail: u32,
}

// SAFETY: the event's 136 bytes, and a word.
unsafe impl Words for Capture {}
const _: () = assert!(size_of::<Capture>() == 144);

/// What moved, if anybody still wants anything of this connection.
#[inline(always)]
pub fn wanted<'a>(
    call: &Moved,
    capture: &'a mut MaybeUninit<Capture>,
    start: impl FnOnce() -> Option<[u8; 4]>,
) -> Option<&'a mut Capture> {
    prepare(call, capture, start).filter(|capture| capture.head != 0)
}

/// Finds out on what bytes moved. `capture` is the place for it: the stack has none for a second. `start` reads the first
/// of the bytes.
#[inline(always)]
pub fn prepare<'a>(
    call: &Moved,
    capture: &'a mut MaybeUninit<Capture>,
    start: impl FnOnce() -> Option<[u8; 4]>,
) -> Option<&'a mut Capture> {
    let file = socket::called(call.task, call.fd)?;
    if file.is_socket
        && let Some(socket) = socket::of(&file)
    {
        return on_socket(call, &socket, capture, start);
    }
    if call.direction == Direction::Egress && call.ret > 0 && config!(options) & option::LOGS != 0 {
        return on_log(call, &file, capture);
    }
    None
}

/// Puts the event of a call into its place.
#[inline(always)]
fn event<'a>(
    call: &Moved,
    capture: &'a mut MaybeUninit<Capture>,
    kind: EventKind,
    sock: u64,
    ino: u64,
) -> &'a mut Capture {
    let mut header = emit::header(&call.caller);
    header.kind = kind as u16;
    // Of zeros that it knows the compiler makes a call of `memset`: a frame of the little stack, and a loop.
    let zero = opaque(0) as u32;
    let event = DataEvent {
        header,
        sock,
        ino,
        position: 0,
        length: if call.ret > 0 { call.ret as u32 } else { 0 },
        head: zero,
        tail: zero,
        tail_offset: zero,
        errno: zero as u16,
        direction: call.direction as u8,
        padding: zero as u8,
        other_position: zero,
    };
    capture.write(Capture { event, head: 0, tail: 0 })
}

#[inline(always)]
fn on_socket<'a>(
    call: &Moved,
    socket: &Socket,
    capture: &'a mut MaybeUninit<Capture>,
    start: impl FnOnce() -> Option<[u8; 4]>,
) -> Option<&'a mut Capture> {
    if call.ret <= 0 {
        on_end(call, socket, capture);
        return None;
    }
    let entry = connection::entry(socket)?;
    let capture = event(call, capture, EventKind::Data, socket.sock, socket.ino);
    let event = &mut capture.event;
    event.position = connection::position(socket, entry, call.direction, event.length);
    event.other_position = connection::other_position(socket, call.direction);
    // SAFETY: the pointer is to a map value.
    if unsafe { (*entry).told } & told::EXISTS == 0 {
        if connection::is_stale(socket, call.direction, event.position) {
            count_loss(LossReason::StaleDescriptor);
            return None;
        }
        if connection::announce(&event.header, socket, ConnectionNote::Seen, 0) {
            // SAFETY: as above.
            unsafe { (*entry).told |= told::EXISTS };
        }
    }
    set_flags(event, socket, call.direction);
    (capture.head, capture.tail) = connection::window(socket, entry, event.length, start);
    if capture.head > LARGE_HEAD && emit::is_short() {
        // Better a gap here than events of everybody that are lost.
        capture.head = LARGE_HEAD;
    }
    Some(capture)
}

#[inline(always)]
fn set_flags(event: &mut DataEvent, socket: &Socket, direction: Direction) {
    if socket.sequence {
        event.header.flags |= flag::SEQUENCE;
        let shutdown: u8 = read(socket.sock, config!(sk_shutdown));
        let done = if direction == Direction::Ingress { RCV_SHUTDOWN } else { SEND_SHUTDOWN };
        if shutdown & done != 0 {
            event.header.flags |= flag::DIRECTION_DONE;
        }
    }
}

/// A read of nothing (the peer finished), or an error that ends the connection.
#[inline(always)]
fn on_end(call: &Moved, socket: &Socket, capture: &mut MaybeUninit<Capture>) {
    let errno = match -call.ret {
        0 if call.direction == Direction::Ingress && call.count != 0 => 0,
        // EPIPE, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH
        32 | 103 | 104 | 110 | 113 => -call.ret,
        _ => return,
    };
    let Some(entry) = connection::known(socket) else {
        return;
    };
    let event = &mut event(call, capture, EventKind::Data, socket.sock, socket.ino).event;
    set_flags(event, socket, call.direction);
    if errno == 0 && socket.sequence && event.header.flags & flag::DIRECTION_DONE == 0 && !is_closed(socket) {
        // TCP gives nothing only when the peer is done: this socket was not the one that was read.
        count_loss(LossReason::StaleDescriptor);
        return;
    }
    event.position = connection::position(socket, entry, call.direction, 0);
    event.errno = errno as u16;
    event.header.flags |= flag::END;
    emit::bare(event);
}

#[inline(always)]
fn is_closed(socket: &Socket) -> bool {
    const TCP_CLOSE: u8 = 7;
    read::<u8>(socket.sock, config!(skc_state)) == TCP_CLOSE
}

/// A write to a file that is no socket: a log line, if the inode is a log or may be one.
#[inline(always)]
fn on_log<'a>(call: &Moved, file: &File, capture: &'a mut MaybeUninit<Capture>) -> Option<&'a mut Capture> {
    let superblock: u64 = read(file.inode, config!(inode_sb));
    let dev: u32 = read(superblock, config!(sb_dev));
    let candidate = match LOG_INODES.get_ptr(&LogInode { ino: file.ino, dev: dev as u64 }) {
        // SAFETY: the pointer is to a map value.
        Some(state) if unsafe { *state } == log_inode::IGNORED => return None,
        Some(_) => 0,
        None if call.fd == 1 || call.fd == 2 => flag::LOG_CANDIDATE,
        None => return None,
    };
    let capture = event(call, capture, EventKind::Log, dev as u64, file.ino);
    capture.event.header.flags = candidate;
    capture.event.position = call.fd as u64;
    capture.head = MAX_LOG_HEAD;
    Some(capture)
}
