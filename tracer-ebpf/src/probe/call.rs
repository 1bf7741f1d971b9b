//! The exit of a call: which it was, and what it moved, waited for or changed.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_get_current_task;

use tracer_ebpf::config::{LogInode, log_inode, option};
use tracer_ebpf::event::flag;
use tracer_ebpf::limits::{
    HUGE_HEAD, LARGE_HEAD, MAX_LOG_HEAD, MAX_MANY_HEAD, MAX_PARTS, MAX_SEGMENT_PARTS, MAX_SEGMENTS,
};
use tracer_ebpf::{ConnectionNote, DataEvent, Direction, EventKind, LossReason};

use super::connection::{self, told};
use super::emit;
use super::filter::{self, Caller};
use super::kernel::{read, read_user};
use super::maps::{LOG_INODES, count_loss};
use super::segments;
use super::socket::{self, File, Socket};
use super::verifier::{Words, blur, ignore, nothing, opaque};
use super::{arch, wait};

const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;

const EINPROGRESS: i64 = 115;
const RCV_SHUTDOWN: u8 = 1;
const SEND_SHUTDOWN: u8 = 2;

/// Where the bytes of a call lie in the application's memory.
#[derive(Clone, Copy)]
enum Place {
    /// One buffer: its address.
    Buffer,
    /// An array of segments (`struct iovec[]`): its address and length.
    Vector,
    /// An array of messages (`struct mmsghdr[]`): its address and how many were moved.
    Messages,
    /// Nowhere: the bytes stayed in the kernel, or were thrown away.
    None,
}

/// A call that may have moved bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct Moved {
    caller: Caller,
    task: u64,
    address: u64,
    count: u64,
    ret: i64,
    fd: u32,
    direction: Direction,
    padding: [u8; 3],
}

// SAFETY: 16 bytes of the caller, and five words.
unsafe impl Words for Moved {}
const _: () = assert!(size_of::<Moved>() == 56);

/// What is known of moved bytes before any of them is looked at.
#[derive(Clone, Copy)]
#[repr(C)]
struct Capture {
    event: DataEvent,
    /// How many bytes from the start and from the end are wanted.
    head: u32,
    tail: u32,
}

// SAFETY: the event's 136 bytes, and a word.
unsafe impl Words for Capture {}
const _: () = assert!(size_of::<Capture>() == 144);

/// Handles the exit of call `number` with its registers and result.
#[inline(always)]
pub fn on_exit(number: u64, regs: *const u64, ret: i64) {
    if !is_traced(number) && !arch::is_compat_data(number) {
        return;
    }
    let Some(caller) = filter::target() else {
        return;
    };
    // SAFETY: no arguments; always allowed in tracing programs.
    let task = unsafe { bpf_get_current_task() };
    if arch::is_compat(task) {
        if arch::is_compat_data(number) {
            count_loss(LossReason::Compat);
        }
        return;
    }
    match number {
        arch::EPOLL_WAIT | arch::EPOLL_PWAIT | arch::EPOLL_PWAIT2 | arch::SELECT | arch::PSELECT6 => {
            wait::on_return(&caller, false);
        }
        arch::POLL | arch::PPOLL => wait::on_return(&caller, arch::argument::<1>(regs) <= 1),
        arch::CONNECT if ret == 0 || ret == -EINPROGRESS => {
            ignore(note(&caller, task, arch::argument::<0>(regs) as u32, ConnectionNote::Connect, 0));
        }
        arch::ACCEPT | arch::ACCEPT4 if ret >= 0 => {
            ignore(note(&caller, task, ret as u32, ConnectionNote::Accept, 0));
        }
        arch::SHUTDOWN if ret == 0 => {
            let how = arch::argument::<1>(regs) as u8;
            ignore(note(&caller, task, arch::argument::<0>(regs) as u32, ConnectionNote::Shutdown, how));
        }
        _ => on_data(number, regs, ret, caller, task),
    }
}

#[inline(always)]
fn is_traced(number: u64) -> bool {
    matches!(
        number,
        arch::READ
            | arch::WRITE
            | arch::POLL
            | arch::READV
            | arch::WRITEV
            | arch::SELECT
            | arch::SENDFILE
            | arch::CONNECT
            | arch::ACCEPT
            | arch::SENDTO
            | arch::RECVFROM
            | arch::SENDMSG
            | arch::RECVMSG
            | arch::SHUTDOWN
            | arch::EPOLL_WAIT
            | arch::PSELECT6
            | arch::PPOLL
            | arch::SPLICE
            | arch::EPOLL_PWAIT
            | arch::ACCEPT4
            | arch::RECVMMSG
            | arch::SENDMMSG
            | arch::EPOLL_PWAIT2
    )
}

/// connect, accept, shutdown: tells user space of the connection. (A function of its own, for its stack: all that call
/// each other have 512 bytes.)
#[inline(never)]
fn note(caller: &Caller, task: u64, fd: u32, note: ConnectionNote, how: u8) -> u64 {
    let Some(file) = socket::file(task, fd) else {
        return nothing();
    };
    if !file.is_socket {
        return nothing();
    }
    let Some(socket) = socket::of(&file) else {
        return nothing();
    };
    let Some(entry) = connection::entry(&socket) else {
        return nothing();
    };
    if connection::announce(&emit::header(caller), &socket, note, how) {
        // SAFETY: the pointer is to a map value.
        unsafe { (*entry).told |= told::EXISTS };
    }
    nothing()
}

/// Sorts out the arguments of a call that moves bytes.
#[inline(always)]
fn on_data(number: u64, regs: *const u64, ret: i64, caller: Caller, task: u64) {
    let (a0, a1, a2) = (arch::argument::<0>(regs), arch::argument::<1>(regs), arch::argument::<2>(regs));
    let mut call = Moved {
        caller,
        task,
        address: a1,
        count: a2,
        ret,
        fd: a0 as u32,
        direction: Direction::Ingress,
        padding: [0; 3],
    };
    let mut place = Place::Buffer;
    let mut flags = 0;
    match number {
        arch::READ => {}
        arch::WRITE => call.direction = Direction::Egress,
        arch::RECVFROM => flags = arch::argument::<3>(regs),
        arch::SENDTO => call.direction = Direction::Egress,
        arch::READV => place = Place::Vector,
        arch::WRITEV => {
            call.direction = Direction::Egress;
            place = Place::Vector;
        }
        arch::RECVMSG | arch::SENDMSG => {
            if number == arch::SENDMSG {
                call.direction = Direction::Egress;
            } else {
                flags = a2;
            }
            if !message(&mut call, a1) {
                return;
            }
            place = Place::Vector;
        }
        arch::RECVMMSG | arch::SENDMMSG => {
            if number == arch::SENDMMSG {
                call.direction = Direction::Egress;
            } else {
                flags = arch::argument::<3>(regs);
            }
            place = Place::Messages;
            call.count = if ret > 0 { ret as u64 } else { 0 };
            let Some(length) = segments::messages_length(a1, ret) else {
                return;
            };
            call.ret = length;
        }
        arch::SENDFILE => {
            call.direction = Direction::Egress;
            return ignore(passed(&call));
        }
        arch::SPLICE => {
            ignore(passed(&call));
            call.direction = Direction::Egress;
            call.fd = a2 as u32;
            return ignore(passed(&call));
        }
        _ => return,
    }
    if flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) != 0 {
        return;
    }
    if flags & MSG_TRUNC != 0 {
        // On TCP the bytes are thrown away instead of copied (tcp(7)).
        place = Place::None;
    }
    blur(&mut call);
    match place {
        Place::Buffer => ignore(buffer(&call)),
        Place::Vector => ignore(vector(&call)),
        Place::Messages => ignore(messages(&call)),
        Place::None => ignore(passed(&call)),
    }
}

/// `struct user_msghdr`: the segments' address and number lie at 16 and 24.
#[inline(always)]
fn message(call: &mut Moved, header: u64) -> bool {
    let Some([address, count]) = read_user::<[u64; 2]>(header + 16) else {
        count_loss(LossReason::UnreadablePage);
        return false;
    };
    call.address = address;
    call.count = count;
    true
}

// The functions below share no more than they do so that each entry of its own (fexit) is verified with one of them.
// They are functions because the verifier follows what is inlined once for each call that leads there.

/// Bytes were copied from or to one buffer, or an end was met.
#[inline(never)]
fn buffer(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = wanted(call, &mut capture, || read_user(call.address)) {
        blur(capture);
        let behind = |event: &DataEvent| call.address + event.tail_offset as u64;
        parts(capture, MAX_PARTS, |event| emit::part(event, behind(event)));
        emit::buffer(&capture.event, behind(&capture.event), capture.head, capture.tail);
    }
    nothing()
}

/// The same with several segments.
#[inline(never)]
fn vector(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    // The first segment's address comes first.
    let start = || read_user(read_user(call.address)?);
    if let Some(capture) = wanted(call, &mut capture, start) {
        blur(capture);
        if call.count <= MAX_SEGMENTS as u64 {
            parts(capture, MAX_SEGMENT_PARTS, |event| segments::part(event, call.address, call.count));
        }
        let most = segments::most(call.count);
        (capture.head, capture.tail) = segments::ends(most, capture.event.length, capture.head, capture.tail);
        blur(capture);
        segments::vector(&capture.event, call.address, call.count, capture.head, capture.tail);
    }
    nothing()
}

/// Has `tell` tell as much of a call of which all is wanted as fits into `most` events of [`HUGE_HEAD`] bytes, as long as
/// the ring has room. The rest is left in `capture`, with the number of bytes before it in `tail_offset`. That, and
/// `head`, are of no use to anybody until the record is finished, and the stack has no room for what is kept there.
#[inline(always)]
fn parts(capture: &mut Capture, most: u32, tell: impl Fn(&DataEvent)) {
    for _ in 0..most {
        let event = &mut capture.event;
        let is_longer = capture.head == HUGE_HEAD && event.length > HUGE_HEAD + capture.tail;
        if !is_longer || !emit::has_room() {
            return;
        }
        event.head = event.length - HUGE_HEAD;
        event.length = HUGE_HEAD;
        tell(event);
        event.length = event.head;
        event.position += HUGE_HEAD as u64;
        event.tail_offset += HUGE_HEAD;
        event.header.flags |= flag::CONTINUED;
        blur(capture);
    }
}

/// The same with several messages.
#[inline(never)]
fn messages(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = wanted(call, &mut capture, || None) {
        (capture.head, capture.tail) = segments::ends(MAX_MANY_HEAD, capture.event.length, capture.head, 0);
        blur(capture);
        segments::messages(&capture.event, call.address, call.count, capture.head);
    }
    nothing()
}

/// Bytes passed between two files inside the kernel, of which one may be a connection, or were thrown away.
#[inline(never)]
fn passed(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = prepare(call, &mut capture, || None) {
        blur(capture);
        capture.event.header.flags |= flag::UNCAPTURABLE;
        emit::bare(&capture.event);
    }
    nothing()
}

/// What moved, if anybody still wants anything of this connection.
#[inline(always)]
fn wanted<'a>(
    call: &Moved,
    capture: &'a mut MaybeUninit<Capture>,
    start: impl FnOnce() -> Option<[u8; 4]>,
) -> Option<&'a mut Capture> {
    prepare(call, capture, start).filter(|capture| capture.head != 0)
}

/// Finds out on what bytes moved. `capture` is the place for it: the stack has none for a second. `start` reads the first
/// of the bytes.
#[inline(always)]
fn prepare<'a>(
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
