//! Greenlets: where the module of greenlets says which one runs on a thread (`greenlet` since 2.0, on glibc), and how those
//! of gevent's are waited for.

use tracer_ebpf::runtime::{Greenlets, Links};

use super::cpython;
use super::objects::{Modules, Objects, TYPE};

/// `tcbhead_t.dtv`: one element for each module with thread-local variables, from 1; the one before the first says how many
/// there are.
const VECTOR: u64 = 8;
const ELEMENT: u64 = 16;

/// Modules that are looked at, and bytes of their variables: those of greenlets are a few words.
const MAX_MODULES: u64 = 256;
const MAX_VARIABLES: u64 = 128;

/// `PyTypeObject.tp_basicsize`, `tp_base`.
const BASIC_SIZE: u64 = 32;
const BASE: u64 = 256;

/// Types between that of the hub and that of greenlets.
const MAX_BASES: usize = 6;

/// Of Cython's types: behind what a greenlet has, gevent's have a table and twelve attributes. The links are after six of
/// them (`gevent/_gevent_cgreenlet.pxd`, so since 1.3).
const GREENLET_WORDS: u64 = 13;
const LINKS: u64 = 7;

/// `Waiter` has an object's head, a table, the hub, the greenlet that waits, a value and an exception
/// (`gevent/_gevent_c_waiter.pxd`, so since 1.3).
const WAITER_SIZE: u64 = 56;
const WAITER_GREENLET: u32 = 32;

/// `PyMethodDescrObject.d_method`.
const DESCRIBED: u64 = 40;

/// Finds the running greenlet by a thread that has one; `None` as long as there is none, and where two places could be it.
pub(super) fn running(objects: Objects<'_>, modules: &Modules, interpreter: u64) -> Option<Greenlets> {
    let kind = objects.variable(modules.get(b"greenlet._greenlet")?, b"greenlet")?;
    let mut found = None;
    let Objects { memory, layout } = objects;
    for state in cpython::states(memory, layout, interpreter) {
        let thread = objects.at(state, layout.thread_id.into())?;
        for running in of_thread(objects, thread, kind) {
            if found.is_some_and(|found| found != running) {
                return None;
            }
            found = Some(running);
        }
    }
    found
}

/// Where a thread's variables lead to two greenlets, of which the first is nothing more than that.
fn of_thread(objects: Objects<'_>, thread: u64, kind: u64) -> Vec<Greenlets> {
    let Some(vector) = objects.at(thread, VECTOR) else { return Vec::new() };
    let count = objects.at(vector.wrapping_sub(ELEMENT), 0).unwrap_or_default().min(MAX_MODULES);
    let is_state = |state: u64| {
        let greenlets = objects.at(state, 0).zip(objects.at(state, 8));
        greenlets.is_some_and(|(main, running)| {
            objects.at(main, TYPE) == Some(kind) && is_a(objects, running, kind)
        })
    };
    let mut found = Vec::new();
    for module in 1..=count {
        let Some(variables) = objects.at(vector, module * ELEMENT) else { break };
        for at in (0..MAX_VARIABLES).step_by(8) {
            let Some(state) = objects.at(variables, at) else { break };
            if is_state(state)
                && let (Ok(module), Ok(state)) = (u32::try_from(module), u32::try_from(at))
            {
                found.push(Greenlets { module, state, kind });
            }
        }
    }
    found
}

/// Whether an object is of a type, or of one that was made of it.
fn is_a(objects: Objects<'_>, object: u64, kind: u64) -> bool {
    let bases = std::iter::successors(objects.at(object, TYPE), |kind| objects.at(*kind, BASE));
    bases.take(MAX_BASES).any(|base| base == kind)
}

/// Finds how gevent's greenlets are waited for; `None` where there are none, or not such as are known.
pub(super) fn links(objects: Objects<'_>, modules: &Modules) -> Option<Links> {
    let kind = objects.variable(modules.get(b"greenlet._greenlet")?, b"greenlet")?;
    let spawned_type = objects.variable(modules.get(b"gevent._gevent_cgreenlet")?, b"Greenlet")?;
    let size = |kind| objects.at(kind, BASIC_SIZE);
    let greenlet_size = size(kind)?;
    if size(spawned_type)? != greenlet_size.checked_add(8 * GREENLET_WORDS)? {
        return None;
    }
    let waiters = modules.get(b"gevent._gevent_c_waiter")?;
    if size(objects.variable(waiters, b"Waiter")?)? != WAITER_SIZE {
        return None;
    }
    let several = objects.variable(waiters, b"MultipleWaiter")?;
    Some(Links {
        spawned_type,
        list_type: objects.variable(modules.get(b"builtins")?, b"list")?,
        at: u32::try_from(greenlet_size + 8 * LINKS).ok()?,
        switch: called(objects, objects.member(kind, b"switch")?)?,
        waiter_switch: called(objects, objects.member(several, b"switch")?)?,
        waiter_greenlet: WAITER_GREENLET,
    })
}

/// What a method that is bound to an object calls: a function, or where the type only describes it the description's.
fn called(objects: Objects<'_>, method: u64) -> Option<u64> {
    if objects.is(method, b"method_descriptor\0") { objects.at(method, DESCRIBED) } else { Some(method) }
}
