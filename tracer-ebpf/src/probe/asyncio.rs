//! Which asyncio task waits for the running one, as CPython's own structures say.
//!
//! A future has what is called when it is done: what wakes a task up, where a task awaits it. That task says too which
//! future it waits for; only where both agree one waits for the other. Between them can be a future that a function of
//! asyncio itself made (`gather`, `wait`, `wait_for`, `shield`) and is called with, or a `TaskGroup`. What a worker
//! thread does is for a task that waits for the worker's future: anyio's is one of asyncio's, an executor's leads to one.

use tracer_ebpf::event::WAITERS;
use tracer_ebpf::runtime::Runtime;
use tracer_ebpf::runtime::context::{self, NAMED};

use super::anyio::anyio_host;
use super::kernel::read_user;
use super::maps::RUNTIMES;
use super::runtime::{first_piece, thread_state};

/// Event loops that run tasks at the same time: entries of the smallest dictionary.
const MAX_LOOPS: u64 = 5;

/// What a function's closure holds that is looked at.
const MAX_CELLS: u64 = 6;

/// What is to be called when a future is done, that is looked at beside the first. With more nobody is known to wait.
const MAX_CALLBACKS: u64 = 2;

/// Tasks that wait for each other in turn that are followed. (A worker's, a `gather`'s, and some middlewares'.)
const MAX_DEPTH: usize = 8;

/// Attributes of a group that are looked at: as many as it has. (The order is the one in which they were set, or since 3.14
/// that of their names.)
const MAX_ATTRIBUTES: u64 = 10;

/// Attributes of an executor's future: as many as it has.
const MAX_FUTURE_ATTRIBUTES: u64 = 6;

/// `PyObject.ob_type`, `PyVarObject.ob_size`.
pub const TYPE: u64 = 8;
pub const SIZE: u64 = 16;

/// `PyTypeObject.tp_base`: `_asyncio.Future` is `_asyncio.Task`'s.
pub const BASE: u64 = 256;

/// `PyDictObject.ma_keys`; a key's size in `DictKeysKind` general, its value; bytes before them that tell the room.
const DICT_KEYS: u64 = 32;
const ENTRY: u64 = 24;
const ENTRY_VALUE: u64 = 16;
const KEYS_SIZE: u64 = 8;

/// `FutureObj`: `fut_callback0`, `fut_callbacks`. `TaskObj`, behind it: `task_fut_waiter`, `task_coro`, `task_name`, `task_context`.
const CALLBACK: u64 = 24;
const CALLBACKS: u64 = 40;
const TASK_COROUTINE: u64 = 8;
pub const TASK_NAME: u64 = 16;
const TASK_CONTEXT: u64 = 24;

/// `PyTypeObject.tp_name`, and how that of `int` begins; an integer's first digit, since 3.12.
const TYPE_NAME: u64 = 24;
const INT: u32 = u32::from_ne_bytes(*b"int\0");
const INT_DIGIT: u64 = 24;

/// How a task's name begins that asyncio gave it, and of how many digits its number is at most.
const PREFIX: u64 = u64::from_ne_bytes(*b"Task-\0\0\0");
const PREFIX_MASK: u64 = 0xff_ffff_ffff;
const PREFIX_LENGTH: u64 = 5;
const MAX_DIGITS: u64 = 20;

/// The upper halves of eight characters, and what they are in digits.
const HIGH_HALVES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
const DIGITS: u64 = 0x3030_3030_3030_3030;

/// `PyListObject.ob_item`; `PyCellObject.ob_ref`.
pub const LIST_ITEMS: u64 = 24;
pub const CELL: u64 = 16;

/// `partialobject`: `fn`, `args`. `PyMethodObject`: `im_func`, `im_self`.
const PARTIAL_FUNCTION: u64 = 16;
const PARTIAL_ARGUMENTS: u64 = 24;

/// How the names of asyncio's modules begin.
const ASYNCIO: u64 = u64::from_ne_bytes(*b"asyncio.");

/// A pointer in the application's memory; 0 where none can be read.
#[inline(always)]
pub fn pointer(address: u64) -> u64 {
    read_user(address).unwrap_or(0)
}

/// The contexts of the task that awaits the running one, or if there is none what the current worker does, and so on.
/// Those of tasks with names of their own are left out: they own nothing.
#[inline(always)]
pub fn waiters(tgid: u32, running: u64, found: &mut [u64; WAITERS]) {
    let mut future = running;
    if future == 0 {
        future = asyncio_chained(tgid, asyncio_employment(tgid));
    }
    let mut places = found.iter_mut();
    let mut place = places.next();
    for _ in 0..MAX_DEPTH {
        let Some(free) = &mut place else { return };
        if future == 0 {
            return;
        }
        future = asyncio_waiter(tgid, future);
        let context = asyncio_context(tgid, future);
        if context & NAMED == 0 && context != 0 {
            **free = context;
            place = places.next();
        }
    }
}

/// The future of what the current thread does for a task, if it is a worker: one of asyncio's, or of an executor's.
/// (The kernel allows all functions that call each other 512 bytes of stack: what can be is done one after the other.)
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn asyncio_employment(tgid: u32) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|runtime| runtime.worker | runtime.executor != 0) else {
        return 0;
    };
    let piece = first_piece(runtime, thread_state(runtime)) & !1;
    if piece == 0 {
        return 0;
    }
    // The words' lowest bits can tell how they are owned.
    if runtime.worker != 0 && pointer(piece + runtime.worker_code as u64) & !3 == runtime.worker {
        return pointer(piece + runtime.employment as u64) & !3;
    }
    if runtime.executor != 0 && pointer(piece + runtime.executor_code as u64) & !3 == runtime.executor {
        let item = pointer(piece + runtime.executor_item as u64) & !3;
        return attribute(runtime, item, runtime.future_type);
    }
    0
}

/// The future of asyncio's that is done when a future of an executor's is (`wrap_future`). The latter calls a function of
/// asyncio's then, which holds the former; it is in a list among its attributes. Another future is left as it is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn asyncio_chained(tgid: u32, future: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|_| future != 0) else {
        return 0;
    };
    if runtime.executor == 0 || pointer(future + TYPE) != runtime.future_type {
        return future;
    }
    let values = attributes(runtime, future);
    for index in 0..MAX_FUTURE_ATTRIBUTES {
        let list = pointer(values + index * 8);
        if list != 0 && pointer(list + SIZE) == 1 {
            let held = held(runtime, pointer(pointer(list + LIST_ITEMS)));
            if held != 0 {
                return held;
            }
        }
    }
    0
}

/// The future that a function of asyncio's holds.
#[inline(never)]
fn held(runtime: &Runtime, function: u64) -> u64 {
    if function == 0 || !is_asyncio(runtime, function) {
        return 0;
    }
    let future_type = pointer(runtime.task_type + BASE);
    let closure = pointer(function + runtime.closure as u64);
    for index in 0..MAX_CELLS {
        let held = pointer(pointer(closure + runtime.items as u64 + index * 8) + CELL);
        if held != 0 && pointer(held + TYPE) == future_type {
            return held;
        }
    }
    0
}

/// The context of a task, with the task's number; 0 of none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn asyncio_context(tgid: u32, task: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|_| task != 0) else {
        return 0;
    };
    let context = pointer(task + runtime.task_fields as u64 + TASK_CONTEXT);
    if context == 0 {
        return 0;
    }
    let name = pointer(task + runtime.task_fields as u64 + TASK_NAME);
    context | number(runtime, name) | request(runtime, task)
}

/// Whether a task was made for one request, by what it runs.
#[inline(always)]
fn request(runtime: &Runtime, task: u64) -> u64 {
    if runtime.request == 0 {
        return 0;
    }
    let coroutine = pointer(task + runtime.task_fields as u64 + TASK_COROUTINE);
    // The word's lowest bits can tell how it is owned.
    let code = pointer(coroutine + runtime.coroutine_code as u64) & !3;
    if code == runtime.request { context::REQUEST } else { 0 }
}

/// The number of a task that was given no name: asyncio numbers those. Since 3.13 a text is made of it when it is asked
/// for.
#[inline(always)]
fn number(runtime: &Runtime, name: u64) -> u64 {
    let kind = pointer(pointer(name + TYPE) + TYPE_NAME);
    if read_user::<u32>(kind) == Some(INT) {
        return context::number(read_user::<u32>(name + INT_DIGIT).unwrap_or(0) as u64);
    }
    let text = name + runtime.text as u64;
    let digits = pointer(name + SIZE).wrapping_sub(PREFIX_LENGTH);
    if pointer(text) & PREFIX_MASK != PREFIX || digits.wrapping_sub(1) >= MAX_DIGITS {
        return NAMED;
    }
    // Its last eight characters; of shorter ones what stands before them is left out.
    let kept = !0 << (64 - 8 * if digits < 8 { digits } else { 8 });
    let mut word = pointer(text + PREFIX_LENGTH + digits - 8) & kept;
    if word & HIGH_HALVES != DIGITS & kept {
        return NAMED;
    }
    let mut number = 0;
    for _ in 0..8 {
        number = number * 10 + (word & 0xf);
        word >>= 8;
    }
    context::number(number)
}

/// The running task with this context.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn asyncio_running(tgid: u32, context: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|runtime| runtime.task_type != 0) else {
        return 0;
    };
    if runtime.running != 0 {
        let task = pointer(thread_state(runtime) + runtime.running as u64);
        return if runs(runtime, task, context) { task } else { 0 };
    }
    let keys = pointer(runtime.tasks + DICT_KEYS);
    if read_user::<u8>(keys + KEYS_SIZE) != Some(runtime.small as u8) {
        return 0;
    }
    let mut found = 0;
    for index in 0..MAX_LOOPS {
        let task = pointer(keys + runtime.entries as u64 + index * ENTRY + ENTRY_VALUE);
        if runs(runtime, task, context) {
            found = task;
        }
    }
    found
}

/// Whether this is a task with this context.
#[inline(always)]
fn runs(runtime: &Runtime, task: u64, context: u64) -> bool {
    task != 0
        && pointer(task + TYPE) == runtime.task_type
        && pointer(task + runtime.task_fields as u64 + TASK_CONTEXT) == context
}

#[inline(always)]
pub fn runtime(tgid: u32) -> Option<&'static Runtime> {
    // SAFETY: the pointer is to a map value.
    RUNTIMES.get_ptr(&tgid).map(|runtime| unsafe { &*runtime })
}

/// The one task that waits for a future; 0 when there is none, or may be another.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn asyncio_waiter(tgid: u32, future: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|_| future != 0) else {
        return 0;
    };
    let mut found = one(tgid, runtime, future, pointer(future + CALLBACK));
    let callbacks = pointer(future + CALLBACKS);
    if callbacks == 0 {
        return found;
    }
    let count = pointer(callbacks + SIZE);
    if count > MAX_CALLBACKS {
        return 0;
    }
    let items = pointer(callbacks + LIST_ITEMS);
    for index in 0..MAX_CALLBACKS {
        if index < count {
            // A tuple of what is called and a context.
            let callback = pointer(pointer(items + index * 8) + runtime.items as u64);
            let other = one(tgid, runtime, future, callback);
            if other != 0 {
                if found != 0 {
                    return 0;
                }
                found = other;
            }
        }
    }
    found
}

/// The task that waits for a future by what is called when it is done, with anyio's.
#[inline(always)]
fn one(tgid: u32, runtime: &Runtime, future: u64, callback: u64) -> u64 {
    let task = by(runtime, future, callback);
    if task == 0 { anyio_host(tgid, future, callback) } else { task }
}

/// The same by asyncio's own.
#[inline(never)]
fn by(runtime: &Runtime, future: u64, callback: u64) -> u64 {
    if callback == 0 {
        return 0;
    }
    let task = woken(runtime, future, callback);
    if task != 0 {
        return task;
    }
    if is_asyncio(runtime, callback) {
        let closure = pointer(callback + runtime.closure as u64);
        for index in 0..MAX_CELLS {
            let between = pointer(pointer(closure + runtime.items as u64 + index * 8) + CELL);
            let task = woken(runtime, between, pointer(between + CALLBACK));
            if task != 0 {
                return task;
            }
        }
        return 0;
    }
    if is_asyncio(runtime, pointer(callback + PARTIAL_FUNCTION)) {
        let owner = pointer(callback + PARTIAL_ARGUMENTS);
        let between = pointer(owner + runtime.items as u64);
        let task = woken(runtime, between, pointer(between + CALLBACK));
        return if task == 0 { grouping(runtime, owner) } else { task };
    }
    0
}

/// The task that began a `TaskGroup`, which does not go on before all tasks of the group are over. It is the only task
/// among the group's attributes.
#[inline(always)]
fn grouping(runtime: &Runtime, group: u64) -> u64 {
    attribute(runtime, group, runtime.task_type)
}

/// An object's first attribute of a type; 0 when it has none.
#[inline(always)]
fn attribute(runtime: &Runtime, object: u64, of: u64) -> u64 {
    let values = attributes(runtime, object);
    if values == 0 {
        return 0;
    }
    for index in 0..MAX_ATTRIBUTES {
        let value = pointer(values + index * 8);
        if value != 0 && pointer(value + TYPE) == of {
            return value;
        }
    }
    0
}

/// Where an object has the values of its attributes; 0 when that is not known.
#[inline(always)]
pub fn attributes(runtime: &Runtime, object: u64) -> u64 {
    match runtime.values {
        0 => 0,
        // The word there is the address, or one below.
        offset if offset < 0 => (pointer(object.wrapping_add(offset as u64)) + 1) & !1,
        offset => object.wrapping_add(offset as u64),
    }
}

/// The task that a future's callback wakes up, if it waits for that future.
#[inline(always)]
fn woken(runtime: &Runtime, future: u64, callback: u64) -> u64 {
    let task = pointer(callback + runtime.wakeup as u64);
    let waits = future != 0
        && pointer(task + TYPE) == runtime.task_type
        && pointer(task + runtime.task_fields as u64) == future;
    if waits { task } else { 0 }
}

/// Whether a function is of one of asyncio's modules.
#[inline(always)]
fn is_asyncio(runtime: &Runtime, function: u64) -> bool {
    pointer(pointer(function + runtime.module as u64) + runtime.text as u64) == ASYNCIO
}
