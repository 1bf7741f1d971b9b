//! The exit of a call: which it was. Waits and changes of connections are told from here.
//!
//! Of a call that moved bytes `arguments` says where those lie, `capture` finds out what is known of them and how many
//! are wanted, and `moved` tells of them.

mod arguments;
mod capture;
mod moved;

use aya_ebpf::helpers::generated::bpf_get_current_task;

use tracer_ebpf::{ConnectionNote, LossReason};

use super::connection::{self, told};
use super::filter::{self, Caller};
use super::maps::count_loss;
use super::verifier::{ignore, nothing};
use super::{arch, emit, socket, wait};
use arguments::Moved;

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
        arch::EPOLL_WAIT | arch::EPOLL_PWAIT | arch::EPOLL_PWAIT2 => wait::on_return(&caller, false),
        // CPython before 3.11 sleeps by a select of no descriptor.
        arch::SELECT | arch::PSELECT6 => wait::on_return(&caller, arch::argument::<0>(regs) as u32 <= 1),
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

/// A call that moved bytes, or met an end.
#[inline(always)]
fn on_data(number: u64, regs: *const u64, ret: i64, caller: Caller, task: u64) {
    let mut call = Moved::new(regs, ret, caller, task);
    let Some(place) = call.sort_out(number, regs) else {
        return;
    };
    moved::tell(&mut call, place);
}
