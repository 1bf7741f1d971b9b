#![feature(asm_experimental_arch)]
//! The probe: one thin entry per attachment. What they share lies in `probe/`.
//!
//! The kernel lets only GPL-compatible programs read memory by helper, hence the licence section.
#![no_std]
#![no_main]
#![expect(missing_docs, reason = "aya's macros wrap each entry in a public function without its docs")]

mod probe;

use aya_ebpf::macros::{btf_tracepoint, fexit};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext};

use probe::{call, cgroup, process, socket_state};

/// `trace_sys_exit(regs, ret)`: every call of every process returns through here.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: *const u64 = ctx.arg(0);
    let ret: i64 = ctx.arg(1);
    call::on_exit(probe::arch::number(regs), regs, ret);
    0
}

/// `trace_inet_sock_set_state(sk, oldstate, newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    socket_state::on_change(ctx.arg::<*const u8>(0) as u64, ctx.arg(1), ctx.arg(2));
    0
}

/// The same once more. Where an interrupt changes a state while the program above runs on its processor, the kernel leaves
/// out that program (`__bpf_trace_run`, since 6.2), and not this one: they never run both at a time.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_again(ctx: BtfTracePointContext) -> i32 {
    socket_state::on_change_again(ctx.arg::<*const u8>(0) as u64, ctx.arg(1), ctx.arg(2));
    0
}

/// `trace_sched_process_fork(parent, child)`.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    process::on_fork(child as u64);
    0
}

/// `trace_sched_process_exec(p, old_pid, bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_ctx: BtfTracePointContext) -> i32 {
    process::on_exec();
    0
}

/// `trace_sched_process_exit(p)`.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(_ctx: BtfTracePointContext) -> i32 {
    process::on_exit();
    0
}

/// `trace_cgroup_mkdir(cgrp, path)`.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    cgroup::on_mkdir(cgroup as u64);
    0
}

/// `trace_cgroup_rmdir(cgrp, path)`.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    cgroup::on_rmdir(cgroup as u64);
    0
}

/// One entry for the return of each call's function, for `--attach fexit`: the arguments are the same
/// (`struct pt_regs *`, result), and the number is known.
macro_rules! on_return {
    ($($entry:ident: $number:ident),* $(,)?) => {
        $(
            #[fexit]
            pub fn $entry(ctx: FExitContext) -> i32 {
                let regs: *const u64 = ctx.arg(0);
                let ret: i64 = ctx.arg(1);
                call::on_exit(probe::arch::$number, regs, ret);
                0
            }
        )*
    };
}

on_return! {
    fexit_read: READ, fexit_write: WRITE, fexit_readv: READV, fexit_writev: WRITEV,
    fexit_recvfrom: RECVFROM, fexit_sendto: SENDTO, fexit_recvmsg: RECVMSG, fexit_sendmsg: SENDMSG,
    fexit_recvmmsg: RECVMMSG, fexit_sendmmsg: SENDMMSG, fexit_sendfile64: SENDFILE, fexit_splice: SPLICE,
    fexit_connect: CONNECT, fexit_accept: ACCEPT, fexit_accept4: ACCEPT4, fexit_shutdown: SHUTDOWN,
    fexit_ppoll: PPOLL, fexit_pselect6: PSELECT6, fexit_epoll_pwait: EPOLL_PWAIT, fexit_epoll_pwait2: EPOLL_PWAIT2,
}

// Calls that only this architecture has.
#[cfg(not(bpf_target_arch = "aarch64"))]
on_return! { fexit_poll: POLL, fexit_select: SELECT, fexit_epoll_wait: EPOLL_WAIT }

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that can reach this: there is nothing to do here.
    loop {}
}
