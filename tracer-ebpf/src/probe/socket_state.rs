//! TCP state changes: a connection begins, is answered or is over, or a process began to listen.

use tracer_ebpf::{ConnectionNote, ProcessNote};

use super::connection::{announce, told};
use super::filter::current;
use super::kernel::read;
use super::maps::{CONNECTIONS, PORTS, PROCESSES, WINDOWS};
use super::socket::{INET6, Socket, UNIX};
use super::{emit, process};

const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_LAST_ACK: i32 = 9;
const TCP_LISTEN: i32 = 10;
const IPPROTO_TCP: u16 = 6;
const SHUT_WR: u8 = 1;

/// The state of `sock` was `before` and became `state`. Comes from any context: the current task means nothing but for
/// a listen.
#[inline(always)]
pub fn on_change(sock: u64, before: i32, state: i32) {
    if state == TCP_LISTEN {
        on_listen(sock);
    } else {
        on_change_again(sock, before, state);
    }
}

/// What the program that comes second does: what the first one told, it does not tell. A process alone enters a listen,
/// in a call: the first one misses none.
#[inline(always)]
pub fn on_change_again(sock: u64, before: i32, state: i32) {
    if state == TCP_CLOSE {
        on_close(sock);
    } else if state == TCP_ESTABLISHED && before == TCP_SYN_SENT {
        on_answer(sock);
    } else if state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK {
        on_finish(sock);
    } else if state == TCP_SYN_SENT || state == TCP_SYN_RECV {
        forget(sock);
    }
}

/// The peer's first sequence number is known: `tcp_rcv_synsent_state_process` in net/ipv4/tcp_input.c has set
/// `copied_seq` by now. Where `connect` still waits, the socket is not known yet: its own event will tell.
#[inline(always)]
fn on_answer(sock: u64) {
    tell_once(sock, told::ANSWER, ConnectionNote::Established, 0);
}

/// The socket begins a connection: what is remembered of its address is of a dead one, whose close was not told. (It was
/// closed before it was accepted, or something was moved since.) Its changes would be taken for the dead one's.
#[inline(always)]
fn forget(sock: u64) {
    let _ = CONNECTIONS.remove(&sock);
    let _ = WINDOWS.remove(&sock);
}

/// `close`, `shutdown` or the process's end: nothing more will be sent (`tcp_close_state` in net/ipv4/tcp.c, always
/// in the context of the process). The end of the connection comes a round trip later at the earliest, or long after:
/// when the peer has finished too.
#[inline(always)]
fn on_finish(sock: u64) {
    tell_once(sock, told::FINISH, ConnectionNote::Shutdown, SHUT_WR);
}

/// Tells of a connection what was not told before.
#[inline(always)]
fn tell_once(sock: u64, what: u64, note: ConnectionNote, how: u8) {
    let Some(entry) = CONNECTIONS.get_ptr_mut(&sock) else {
        return;
    };
    // SAFETY: the pointer is to a map value.
    if unsafe { (*entry).told } & what != 0 {
        return;
    }
    if let Some(socket) = known(sock)
        && announce(&emit::header(&current()), &socket, note, how)
    {
        // SAFETY: as above.
        unsafe { (*entry).told |= what };
    }
}

/// A TCP socket that was seen before.
#[inline(always)]
fn known(sock: u64) -> Option<Socket> {
    let entry = CONNECTIONS.get_ptr(&sock)?;
    // SAFETY: the pointer is to a map value.
    let ino = unsafe { (*entry).ino };
    let family: u16 = read(sock, config!(skc_family));
    if family == UNIX {
        return None;
    }
    let protocol: u16 = read(sock, config!(sk_protocol));
    let family = if family == INET6 { INET6 } else { 2 };
    Some(Socket { sock, ino, family, sequence: protocol == IPPROTO_TCP })
}

#[inline(always)]
fn on_close(sock: u64) {
    let Some(socket) = known(sock) else {
        return;
    };
    announce(&emit::header(&current()), &socket, ConnectionNote::Closed, 0);
    forget(sock);
}

/// `--port`: whoever listens on a selected port is a target from now on.
#[inline(always)]
fn on_listen(sock: u64) {
    let port: u16 = read(sock, config!(skc_num));
    if PORTS.get_ptr(&port).is_some() {
        let caller = current();
        if caller.tgid != config!(own_tgid) && PROCESSES.insert(&caller.tgid, &1, 0).is_ok() {
            process::tell(&caller, ProcessNote::Listen, 0);
        }
    }
}
