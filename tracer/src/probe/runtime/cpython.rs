//! CPython's structures, and the proof that a process has them as its version's headers say.

use std::fmt;
use std::io;

use super::Unread;
use super::image::Interpreter;
use super::layout::Layout;
use super::memory::Memory;

/// Interpreters of a process that are looked at.
const MAX_INTERPRETERS: usize = 16;

/// Threads of an interpreter that are looked at.
const MAX_THREADS: usize = 256;

/// Bytes of a thread's control block in which the slot is looked for: glibc's `struct pthread` is no longer.
const CONTROL_BLOCK: usize = 2304;

/// Words at its begin that are no storage of anybody's: the thread control block proper.
const FIRST_SLOT: usize = 0x40;

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
    /// From a thread's pointer to the slot that names its state.
    pub(super) slot: i64,
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
    let mut slots: Option<Vec<usize>> = None;
    for _ in 0..MAX_INTERPRETERS {
        if interpreter == 0 {
            break;
        }
        threads(memory, &layout, interpreter, &mut slots)?;
        interpreter = word(memory, interpreter + layout.next_interpreter)?;
    }
    let slots = slots.ok_or(Unread::NotReady)?;
    let slot = slots.first().ok_or(Unread::NotProved("no thread's storage names its state"))?;
    let slot = i64::try_from(*slot).map_err(|_| Unread::NotProved("the slot"))?;
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

/// Checks the states of an interpreter's threads, and keeps of `slots` those that name every one of them.
fn threads(
    memory: &Memory,
    layout: &Layout,
    interpreter: u64,
    slots: &mut Option<Vec<usize>>,
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
            let found = naming(memory, thread, state)?;
            match slots {
                None => *slots = Some(found),
                Some(slots) => slots.retain(|slot| found.contains(slot)),
            }
        }
        state = word(memory, state + NEXT_THREAD)?;
    }
    Ok(())
}

/// The slots of a thread's control block that name the state.
fn naming(memory: &Memory, thread: u64, state: u64) -> Result<Vec<usize>, Unread> {
    // It begins with its own address: `tcbhead_t.tcb` of glibc, `struct pthread.self` of musl.
    if word(memory, thread)? != thread {
        return Err(Unread::NotProved("a thread state is of no thread"));
    }
    let block: [u8; CONTROL_BLOCK] =
        memory.bytes(thread).map_err(|_| Unread::NotProved("a thread's memory"))?;
    let words = block.as_chunks::<8>().0.iter().enumerate();
    let slots = words.filter(|(_, word)| u64::from_ne_bytes(**word) == state).map(|(index, _)| index * 8);
    Ok(slots.filter(|slot| *slot >= FIRST_SLOT).collect())
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
fn word(memory: &Memory, address: u64) -> Result<u64, Unread> {
    memory.word(address).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unread::Unreadable(error),
        _ => Unread::NotProved("a pointer leads nowhere"),
    })
}
