//! Which greenlet runs, and which ones wait for it.
//!
//! The module of greenlets keeps what it knows of a thread in a thread-local variable, to which glibc's vector of modules
//! (`dtv`) leads. A greenlet of gevent's calls its links when it is done: where another one waits for it (`join`, `get`),
//! that one's `switch`, and where it waits for several (`joinall`, `wait`), that of a waiter, which names it as long as it
//! does. Whoever only wants to be told is not waited for.

use tracer_ebpf::event::WAITERS;
use tracer_ebpf::runtime::Runtime;
use tracer_ebpf::runtime::context::STACK;

use super::asyncio::{BASE, LIST_ITEMS, SIZE, TYPE, pointer, runtime};

/// `tcbhead_t.dtv`; an element of the vector; where the one before the first says how many there are.
const VECTOR: u64 = 8;
const ELEMENT: u64 = 16;

/// What the module knows of a thread: the main greenlet, and the one that runs.
const RUNNING: u64 = 8;

/// Links that are looked at. With more nobody is known to wait.
const MAX_LINKS: u64 = 4;

/// `PyMethodObject`: `im_func`, `im_self`. `PyCFunctionObject`: `m_ml`, `m_self`.
const FUNCTION: u64 = 16;
const OWNER: u64 = 24;

/// The greenlet that runs on the current thread, or 0. It is believed if the thread's main one is a greenlet too.
#[inline(always)]
pub fn running(runtime: &Runtime, thread: u64) -> u64 {
    let module = runtime.greenlets.module as u64;
    if module == 0 {
        return 0;
    }
    let vector = pointer(thread + VECTOR);
    // A thread that never asked for the module's variables may have none.
    if pointer(vector.wrapping_sub(ELEMENT)) < module {
        return 0;
    }
    let variables = pointer(vector + module * ELEMENT);
    let state = pointer(variables.wrapping_add(runtime.greenlets.state as u64));
    if state == 0 || pointer(pointer(state) + TYPE) != runtime.greenlets.kind {
        return 0;
    }
    pointer(state + RUNNING)
}

/// The greenlets that wait for one, nearest first, as contexts.
#[inline(always)]
pub fn waiters(tgid: u32, greenlet: u64, found: &mut [u64; WAITERS]) {
    let mut awaited = greenlet;
    for place in found {
        awaited = greenlet_waiter(tgid, awaited);
        if awaited == 0 {
            return;
        }
        *place = awaited | STACK;
    }
}

/// The greenlet that waits for another one; 0 where none does, or several do.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn greenlet_waiter(tgid: u32, greenlet: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|runtime| runtime.links.at != 0) else {
        return 0;
    };
    if !is_spawned(runtime, pointer(greenlet + TYPE)) {
        return 0;
    }
    let list = pointer(greenlet + runtime.links.at as u64);
    let count = pointer(list + SIZE);
    if pointer(list + TYPE) != runtime.links.list_type || count > MAX_LINKS {
        return 0;
    }
    let items = pointer(list + LIST_ITEMS);
    let mut found = 0;
    for index in 0..MAX_LINKS {
        if index >= count {
            break;
        }
        let waiter = waiter(runtime, pointer(items + index * 8));
        if waiter != 0 && found != 0 {
            return 0;
        }
        found |= waiter;
    }
    found
}

/// The greenlet that waits by this link; 0 where it is another kind of link.
#[inline(always)]
fn waiter(runtime: &Runtime, link: u64) -> u64 {
    let function = pointer(link + FUNCTION);
    let mut waiter = pointer(link + OWNER);
    if function == runtime.links.waiter_switch {
        waiter = pointer(waiter + runtime.links.waiter_greenlet as u64);
    } else if function != runtime.links.switch {
        return 0;
    }
    // A waiter by which nobody waits has `None`.
    let kind = pointer(waiter + TYPE);
    if kind == runtime.greenlets.kind || is_spawned(runtime, kind) { waiter } else { 0 }
}

/// Whether this is gevent's type of greenlets, or one that was made of it.
#[inline(always)]
fn is_spawned(runtime: &Runtime, kind: u64) -> bool {
    kind == runtime.links.spawned_type || pointer(kind + BASE) == runtime.links.spawned_type
}
