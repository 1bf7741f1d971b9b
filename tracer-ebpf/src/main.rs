#![feature(asm_experimental_arch)]
//! The probe: one thin entry per attachment. What they share lies in `probe/`.
//!
//! The kernel lets only GPL-compatible programs read memory by helper, hence the licence section.
#![no_std]
#![no_main]

mod probe;

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

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
    let sock: *const u8 = ctx.arg(0);
    let state: i32 = ctx.arg(2);
    socket_state::on_change(sock as u64, state);
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

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that can reach this: there is nothing to do here.
    loop {}
}
