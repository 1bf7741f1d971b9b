//! What the process's language runtime is doing on the thread: which of its contexts made the call.
//!
//! Everything here is read from the application's memory, so nothing of it is trusted: what cannot be read, or
//! contradicts itself, is no context. Pages that are not in memory are not fetched.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use tracer_ebpf::Header;
use tracer_ebpf::runtime::context::{MIGRATES, NONE, STACK};
use tracer_ebpf::runtime::{Runtime, source};

use super::asyncio;
use super::goroutine;
use super::greenlet;
use super::kernel::{read, read_user};
use super::maps::RUNTIMES;

/// Pieces of a stack that are followed to its first one: frames before 3.11, since then chunks of some fifty frames.
const MAX_PIECES: usize = 128;

/// Writes into a record's header which context runs on the current thread, and those that wait for it. (Into the record:
/// the stack is too small. A function of its own, which the verifier leaves with one state.)
///
/// # Safety
/// The header is the begin of a reserved record.
#[inline(always)]
pub unsafe fn tell(header: *mut Header) {
    // SAFETY: the caller's promise.
    let header = unsafe { &mut *header };
    header.context = runtime_context(header.tgid);
    if header.context & STACK != 0 {
        greenlet::waiters(header.tgid, header.context & !STACK, &mut header.waiters);
    } else if header.context & MIGRATES == 0 {
        let running = if header.context & NONE == 0 {
            asyncio::asyncio_running(header.tgid, header.context)
        } else {
            0
        };
        if running != 0 {
            header.context = asyncio::asyncio_context(header.tgid, running);
        }
        asyncio::waiters(header.tgid, running, &mut header.waiters);
    }
}

/// The context that the current thread runs, or 0. (Of a function of this kind, with numbers alone, the verifier looks at
/// the body once, and not again from each place and state in which it is called.)
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn runtime_context(tgid: u32) -> u64 {
    let Some(runtime) = RUNTIMES.get_ptr(&tgid) else {
        return 0;
    };
    // SAFETY: the pointer is to a map value.
    let runtime: &Runtime = unsafe { &*runtime };
    if runtime.sources & source::MIGRATING != 0 {
        return goroutine::running(thread_pointer(), runtime.slot) | MIGRATES;
    }
    let state = thread_state(runtime);
    if state == 0 {
        return 0;
    }
    let context = read_user::<u64>(state + runtime.context as u64).unwrap_or(0);
    if runtime.sources & source::ENTERED != 0
        && context != 0
        && read_user::<u32>(context + runtime.entered as u64) == Some(1)
    {
        return context;
    }
    if runtime.sources & source::STACK != 0 {
        let running = greenlet::running(runtime, thread_pointer());
        return if running != 0 { running | STACK } else { first_piece(runtime, state) };
    }
    if runtime.sources & source::NONE != 0 { state | NONE } else { 0 }
}

/// Where the current thread's own storage is.
#[inline(always)]
fn thread_pointer() -> u64 {
    // SAFETY: no arguments; always allowed in tracing programs.
    let task = unsafe { bpf_get_current_task() };
    read(task, config!(task_thread_pointer))
}

/// The current thread's state, or 0.
#[inline(always)]
pub fn thread_state(runtime: &Runtime) -> u64 {
    let thread = thread_pointer();
    let mut slot = thread.wrapping_add(runtime.slot as u64);
    if runtime.sources & source::ARRAY != 0 {
        slot = read_user::<u64>(slot).unwrap_or(0).wrapping_add(runtime.key as u64);
    }
    match read_user::<u64>(slot) {
        // A slot that is not set, or not for this thread: a thread that the runtime did not make.
        Some(state) if state != 0 && read_user::<u64>(state + runtime.thread_id as u64) == Some(thread) => {
            state
        }
        _ => 0,
    }
}

/// The first piece of the thread's stack of frames; 0 when there are too many. Told apart from a context by its lowest
/// bit.
#[inline(always)]
pub fn first_piece(runtime: &Runtime, state: u64) -> u64 {
    let mut piece = read_user::<u64>(state + runtime.stack as u64).unwrap_or(0);
    for _ in 0..MAX_PIECES {
        if piece == 0 {
            return 0;
        }
        match read_user::<u64>(piece + runtime.previous as u64) {
            Some(0) => return piece | STACK,
            Some(previous) => piece = previous,
            None => return 0,
        }
    }
    0
}
