//! CPython's structures, and the proof that a process has them as its version's headers say.

use std::fmt;
use std::io;

use super::Unread;
use super::image::Interpreter;
use super::layout::Layout;
use super::memory::Memory;
use super::storage::{self, Slot};

/// Interpreters of a process that are looked at.
const MAX_INTERPRETERS: usize = 16;

/// Threads of an interpreter that are looked at.
const MAX_THREADS: usize = 256;

/// CPython's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// 3.
    pub major: u8,
    /// The release that layouts belong to.
    pub minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// `PyThreadState.next` and `.interp`.
const NEXT_THREAD: u64 = 8;
const THREAD_INTERPRETER: u64 = 16;

/// `PyObject.ob_type`, `PyTypeObject.tp_name`.
const OBJECT_TYPE: u64 = 8;
const TYPE_NAME: u64 = 24;

/// What was proved.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) layout: Layout,
    /// Which of a thread's own values names its state.
    pub(super) slot: Slot,
    /// The main interpreter.
    pub(super) interpreter: u64,
    pub(super) version: Version,
}

/// Proves that the interpreter is laid out as its version is, and finds the slot.
pub(super) fn prove(memory: &Memory, place: Interpreter) -> Result<Proof, Unread> {
    let version = version(memory, place)?;
    let layout = Layout::of(version, |offset| word(memory, place.runtime + offset))?;
    let main = word(memory, place.runtime + layout.interpreters)?;
    let mut interpreter = main;
    let mut slots: Option<Vec<Slot>> = None;
    for _ in 0..MAX_INTERPRETERS {
        if interpreter == 0 {
            break;
        }
        threads(memory, &layout, interpreter, &mut slots)?;
        interpreter = word(memory, interpreter + layout.next_interpreter)?;
    }
    let slots = slots.ok_or(Unread::NotReady)?;
    let slot = *slots.first().ok_or(Unread::NotProved("no thread's storage names its state"))?;
    Ok(Proof { layout, slot, interpreter: main, version })
}

fn version(memory: &Memory, place: Interpreter) -> Result<Version, Unread> {
    // `Py_Version` came with 3.11. Before, 3.9 and 3.10 are alike in what is read here.
    Ok(match place.version {
        Some(address) => {
            let [_, _, minor, major] = memory.bytes(address).map_err(Unread::Unreadable)?;
            Version { major, minor }
        }
        None if place.since_3_10 => Version { major: 3, minor: 10 },
        None if place.since_3_9 => Version { major: 3, minor: 9 },
        None => Version { major: 3, minor: 8 },
    })
}

/// The states of an interpreter's threads. One that came or went meanwhile may be missing.
pub(super) fn states(memory: &Memory, layout: &Layout, interpreter: u64) -> Vec<u64> {
    let mut states = Vec::new();
    let mut state = memory.word(interpreter + layout.threads).unwrap_or_default();
    while state != 0 && states.len() < MAX_THREADS {
        states.push(state);
        state = memory.word(state + NEXT_THREAD).unwrap_or_default();
    }
    states
}

/// Checks the states of an interpreter's threads, and keeps of `slots` those that name every one of them.
fn threads(
    memory: &Memory,
    layout: &Layout,
    interpreter: u64,
    slots: &mut Option<Vec<Slot>>,
) -> Result<(), Unread> {
    let mut state = word(memory, interpreter + layout.threads)?;
    for _ in 0..MAX_THREADS {
        if state == 0 {
            break;
        }
        if word(memory, state + THREAD_INTERPRETER)? != interpreter {
            return Err(Unread::NotProved("a thread state is of no interpreter"));
        }
        context(memory, word(memory, state + u64::from(layout.context))?)?;
        if let Some(offset) = layout.task_list {
            list(memory, state + u64::from(offset))?;
        }
        let thread = word(memory, state + u64::from(layout.thread_id))?;
        // A state that no thread has taken yet has no thread.
        if thread != 0 {
            let found = storage::naming(memory, thread, state)?;
            match slots {
                None => *slots = Some(found),
                Some(slots) => slots.retain(|slot| found.contains(slot)),
            }
        }
        state = word(memory, state + NEXT_THREAD)?;
    }
    Ok(())
}

/// Checks that what lies where a thread's context should be is one, or nothing.
fn context(memory: &Memory, context: u64) -> Result<(), Unread> {
    if context == 0 {
        return Ok(());
    }
    let kind = word(memory, context + OBJECT_TYPE)?;
    let name = word(memory, kind + TYPE_NAME)?;
    let name: [u8; 32] = memory.bytes(name).map_err(|_| Unread::NotProved("a type's name"))?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    // `Context`, or `_contextvars.Context`.
    name.ends_with(b"Context").then_some(()).ok_or(Unread::NotProved("a thread's context is none"))
}

/// Checks that a list (`struct llist_node`) begins here: what comes next names this as what was before.
fn list(memory: &Memory, head: u64) -> Result<(), Unread> {
    let next = word(memory, head)?;
    // Tasks come and go while this is read.
    let is_list = word(memory, next + 8)? == head || word(memory, head)? != next;
    is_list.then_some(()).ok_or(Unread::NotProved("a thread state has no list of tasks"))
}

/// A word that must be readable if the structures are what they should be.
pub(super) fn word(memory: &Memory, address: u64) -> Result<u64, Unread> {
    memory.word(address).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unread::Unreadable(error),
        _ => Unread::NotProved("a pointer leads nowhere"),
    })
}
