//! Worker threads that run functions for tasks: where such a thread has the future that the task waits for. They are
//! anyio's (FastAPI's and Starlette's `def` endpoints), and those of executors (`asyncio.to_thread`, `run_in_executor`).
//!
//! The thread's outermost frames stay where they are for as long as it lives, at the begin of its first chunk of the data
//! stack. One of them is the worker's loop, with the future among its variables, or what has it. Where that is follows from the sizes of the
//! frames below, which are the same in every such thread of a process.

use super::cpython;
use super::layout::{Frames, Layout};
use super::memory::Memory;
use super::objects::Objects;

/// Frames of a thread that are looked at: `_bootstrap`, `_bootstrap_inner`, `run`, `_worker`, and one that a tool put
/// between.
const MAX_FRAMES: usize = 5;

/// Where the first frame lies in the first chunk: after `_PyStackChunk`'s head, and a word that stays free.
const FIRST_FRAME: u64 = 32;

/// Frames of this size would not fit into a chunk.
const MAX_WORDS: u64 = 2048;

/// `PyCodeObject`, since 3.11: `co_localsplusnames`, `co_filename`, `co_qualname`.
const NAMES: u64 = 96;
const FILE: u64 = 112;
const QUALIFIED_NAME: u64 = 128;

/// Before 3.12: `co_stacksize`, `co_nlocalsplus`.
const STACK_SIZE: u64 = 68;
const LOCALS: u64 = 76;

/// Most variables of a function.
const MAX_NAMES: u64 = 64;

/// `PyVarObject.ob_size`.
const SIZE: u64 = 16;

/// A worker's loop: its name, the end of its file's path, and which of its variables tells what it works on.
struct Loop(&'static [u8], &'static [u8], &'static [u8]);

const ANYIO: Loop = Loop(b"WorkerThread.run", b"anyio/_backends/_asyncio.py", b"future");
const EXECUTOR: Loop = Loop(b"_worker", b"concurrent/futures/thread.py", b"work_item");

/// Where a worker is known by, and has what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workers {
    /// The code of its loop.
    pub(super) code: u64,
    /// From its first chunk to that code, and to the variable.
    pub(super) code_at: u32,
    pub(super) variable_at: u32,
    /// The variables of the module.
    globals: u64,
}

/// Anyio's; `None` as long as there is no such thread.
pub(super) fn of_anyio(memory: &Memory, layout: &Layout, interpreter: u64) -> Option<Workers> {
    find(memory, layout, interpreter, &ANYIO)
}

/// Those of executors, and the type of their futures.
pub(super) fn of_executors(memory: &Memory, layout: &Layout, interpreter: u64) -> Option<(Workers, u64)> {
    let workers = find(memory, layout, interpreter, &EXECUTOR)?;
    let objects = Objects { memory, layout };
    let module = objects.entry(workers.globals, b"_base")?;
    let future = objects.variable(module, b"Future")?;
    Some((workers, future))
}

fn find(memory: &Memory, layout: &Layout, interpreter: u64, wanted: &Loop) -> Option<Workers> {
    let frames = layout.frames?;
    cpython::states(memory, layout, interpreter)
        .into_iter()
        .find_map(|state| within(memory, layout, frames, first_chunk(memory, layout, state)?, wanted))
}

fn first_chunk(memory: &Memory, layout: &Layout, state: u64) -> Option<u64> {
    let mut chunk = memory.word(state + u64::from(layout.stack.0)).ok()?;
    for _ in 0..MAX_FRAMES {
        match memory.word(chunk).ok()? {
            0 => return Some(chunk),
            previous => chunk = previous,
        }
    }
    None
}

fn within(memory: &Memory, layout: &Layout, frames: Frames, chunk: u64, wanted: &Loop) -> Option<Workers> {
    let mut frame = chunk + FIRST_FRAME;
    for _ in 0..MAX_FRAMES {
        let code = memory.word(frame + frames.code).ok()? & !3;
        if is_worker(memory, layout, code, wanted)? {
            let index = variable(memory, layout, code, wanted.2)?;
            let code_at = u32::try_from(frame + frames.code - chunk).ok()?;
            let variable_at = u32::try_from(frame + frames.locals + index * 8 - chunk).ok()?;
            let globals = memory.word(frame + frames.globals).ok()? & !3;
            return Some(Workers { code, code_at, variable_at, globals });
        }
        frame += 8 * size(memory, frames, code)?;
    }
    None
}

/// Whether the code is that of the worker.
fn is_worker(memory: &Memory, layout: &Layout, code: u64, wanted: &Loop) -> Option<bool> {
    let objects = Objects { memory, layout };
    let name = objects.text(code + QUALIFIED_NAME)?;
    let file = objects.text(code + FILE)?;
    Some(name == wanted.0 && file.ends_with(wanted.1))
}

/// Which of a function's variables has the name.
fn variable(memory: &Memory, layout: &Layout, code: u64, name: &[u8]) -> Option<u64> {
    let names = memory.word(code + NAMES).ok()?;
    let count = memory.word(names + SIZE).ok()?.min(MAX_NAMES);
    (0..count).find(|index| {
        let text = Objects { memory, layout }.text(names + u64::from(layout.items) + index * 8);
        text.is_some_and(|text| text == name)
    })
}

/// A frame's size in words.
fn size(memory: &Memory, frames: Frames, code: u64) -> Option<u64> {
    let half = |offset| memory.bytes(code + offset).ok().map(|bytes| u64::from(u32::from_ne_bytes(bytes)));
    let size = match frames.size {
        Some(offset) => half(offset)?,
        None => half(LOCALS)? + half(STACK_SIZE)? + frames.locals / 8,
    };
    (size <= MAX_WORDS).then_some(size)
}
