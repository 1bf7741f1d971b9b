//! The exit of a call: which it was, and so what it waited for, changed or moved.
//!
//! Of a call that moved bytes its `arguments` say where those lie; that becomes what is known of them (`capture`), and
//! that the events that tell of them (`moved`).

mod arguments;
mod capture;
mod moved;

use aya_ebpf::helpers::generated::bpf_get_current_task;

use tracer_ebpf::{ConnectionNote, Direction, LossReason};

use super::connection::{self, told};
use super::filter::{self, Caller};
use super::kernel::read_user;
use super::maps::count_loss;
use super::verifier::{ignore, nothing};
use super::{arch, emit, segments, socket, wait};
use arguments::{Moved, Place};

const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;

const EINPROGRESS: i64 = 115;

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
            return ignore(moved::passed(&call));
        }
        arch::SPLICE => {
            ignore(moved::passed(&call));
            call.direction = Direction::Egress;
            call.fd = a2 as u32;
            return ignore(moved::passed(&call));
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
    moved::tell(&mut call, place);
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
