//! Processes and threads of targets: selection follows forks.

use tracer_ebpf::config::option;
use tracer_ebpf::{EventKind, LossReason, ProcessEvent, ProcessNote};

use super::emit;
use super::filter::{self, Caller};
use super::kernel::read;
use super::maps::{PROCESSES, RUNTIMES, WAITS, count_loss};

/// The current thread made `child` (a `task_struct`).
#[inline(always)]
pub fn on_fork(child: u64) {
    let Some(caller) = filter::target() else {
        return;
    };
    let tgid: u32 = read(child, config!(task_tgid));
    if tgid == caller.tgid {
        return tell(&caller, ProcessNote::ThreadStart, child);
    }
    // The copy of a process is read as the process is.
    if let Some(runtime) = RUNTIMES.get_ptr(&caller.tgid) {
        // SAFETY: the pointer is to a map value. Without room the child has no evidence until user space looks at it.
        let _ = RUNTIMES.insert(&tgid, unsafe { &*runtime }, 0);
    }
    // Only a process that was itself selected hands this on: a selected cgroup speaks for its own members.
    if PROCESSES.get_ptr(&caller.tgid).is_some() && PROCESSES.insert(&tgid, &1, 0).is_err() {
        count_loss(LossReason::TableFull);
    }
    tell(&caller, ProcessNote::Fork, child);
}

/// The current process executed a new program.
#[inline(always)]
pub fn on_exec() {
    let _ = RUNTIMES.remove(&filter::current().tgid);
    if config!(options) & option::ALL_EXECS != 0 {
        let caller = filter::current();
        if caller.tgid != config!(own_tgid) {
            tell(&caller, ProcessNote::Exec, 0);
        }
    } else if let Some(caller) = filter::target() {
        tell(&caller, ProcessNote::Exec, 0);
    }
}

/// The current thread ends; `signal->live` no longer counts it (kernel/exit.c, do_exit).
#[inline(always)]
pub fn on_exit() {
    let Some(caller) = filter::target() else {
        return;
    };
    let _ = WAITS.remove(&caller.tid);
    // SAFETY: no arguments; always allowed in tracing programs.
    let task = unsafe { aya_ebpf::helpers::generated::bpf_get_current_task() };
    let signal: u64 = read(task, config!(task_signal));
    let live: i32 = read(signal, config!(signal_live));
    if live > 0 {
        return tell(&caller, ProcessNote::ThreadExit, 0);
    }
    tell(&caller, ProcessNote::Exit, 0);
    let _ = RUNTIMES.remove(&caller.tgid);
    let _ = PROCESSES.remove(&caller.tgid);
}

/// Tells user space what the caller did, with `child` a `task_struct` or 0.
#[inline(always)]
pub fn tell(caller: &Caller, note: ProcessNote, child: u64) {
    let Some(record) = emit::reserve::<ProcessEvent>(LossReason::RingControl) else {
        return;
    };
    let mut header = emit::header(caller);
    header.kind = EventKind::Process as u16;
    header.size = size_of::<ProcessEvent>() as u32;
    let mut event = ProcessEvent {
        header,
        note: note as u32,
        child_tgid: 0,
        child_tid: 0,
        padding: 0,
        child_start_ns: 0,
    };
    if child != 0 {
        event.child_tgid = read(child, config!(task_tgid));
        event.child_tid = read(child, config!(task_pid));
        event.child_start_ns = read(child, config!(task_start_time));
    }
    // SAFETY: the record has this size.
    unsafe { record.write(event) };
    if note as u32 == ProcessNote::Exec as u32 {
        // The program may be one to select: it has hardly begun.
        emit::submit_at_once(record);
    } else {
        emit::submit(record);
    }
}
