//! TCP state changes: a connection is over, or a process began to listen.

use tracer_ebpf::{ConnectionNote, ProcessNote};

use super::connection::announce;
use super::filter::current;
use super::kernel::read;
use super::maps::{CONNECTIONS, PORTS, PROCESSES, WINDOWS};
use super::socket::{INET6, Socket, UNIX};
use super::{emit, process};

const TCP_CLOSE: i32 = 7;
const TCP_LISTEN: i32 = 10;
const IPPROTO_TCP: u16 = 6;

/// The state of `sock` became `state`. Comes from any context: the current task means nothing but for a listen.
#[inline(always)]
pub fn on_change(sock: u64, state: i32) {
    if state == TCP_CLOSE {
        on_close(sock);
    } else if state == TCP_LISTEN {
        on_listen(sock);
    }
}

#[inline(always)]
fn on_close(sock: u64) {
    let Some(entry) = CONNECTIONS.get_ptr(&sock) else {
        return;
    };
    // SAFETY: the pointer is to a map value.
    let ino = unsafe { (*entry).ino };
    let family: u16 = read(sock, config!(skc_family));
    if family == UNIX {
        return;
    }
    let protocol: u16 = read(sock, config!(sk_protocol));
    let socket = Socket {
        sock,
        ino,
        family: if family == INET6 { INET6 } else { 2 },
        sequence: protocol == IPPROTO_TCP,
    };
    announce(&emit::header(&current()), &socket, ConnectionNote::Closed, 0);
    let _ = CONNECTIONS.remove(&sock);
    let _ = WINDOWS.remove(&sock);
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
