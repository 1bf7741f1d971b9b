//! Which task an anyio task group's task works for.
//!
//! What such a task calls when it is done holds its group, whose cancel scope names the task that entered it (the host).
//! That one does not leave the group before all its tasks are over. But a group can also be left open behind the request
//! that entered it, for all others to use: so the host counts only while it waits for the group's tasks to be over, or if
//! the task is one of the framework's own, which opens its groups within a request and for that alone.

use super::asyncio::{CELL, SIZE, TASK_NAME, TYPE, attributes, pointer, runtime};

/// `PyFunctionObject.func_code`, since 3.11.
const FUNCTION_CODE: u64 = 48;

/// How the names begin and end that anyio gives to the frameworks' tasks, after their modules and functions: what
/// Starlette's middlewares and responses run, FastAPI's events, sse-starlette's. All are functions within functions.
const FRAMEWORKS: [[u64; 2]; 4] = [
    [word(b"starlett"), word(b"ls>.coro")],
    [word(b"starlett"), word(b"ls>.wrap")],
    [word(b"fastapi."), word(b"producer")],
    [word(b"sse_star"), word(b"n_finish")],
];

const fn word(text: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*text)
}

/// The host of a task that calls this function when it is done; 0 of none, and of one that may not be waiting for it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn anyio_host(tgid: u32, task: u64, function: u64) -> u64 {
    let Some(runtime) = runtime(tgid).filter(|runtime| runtime.group_done != 0) else {
        return 0;
    };
    if pointer(function + FUNCTION_CODE) != runtime.group_done {
        return 0;
    }
    let closure = pointer(function + runtime.closure as u64);
    let group = pointer(pointer(closure + runtime.group_cell as u64) + CELL);
    if pointer(group + TYPE) != runtime.group_type {
        return 0;
    }
    let values = attributes(runtime, group);
    let scope = pointer(values + runtime.group_scope as u64);
    let place = if runtime.host_is_attribute != 0 { attributes(runtime, scope) } else { scope };
    let host = pointer(place + runtime.host as u64);
    if pointer(host + TYPE) != runtime.task_type {
        return 0;
    }
    let awaited = pointer(host + runtime.task_fields as u64);
    if awaited != 0 && awaited == pointer(values + runtime.group_completed as u64) {
        return host;
    }
    let name = pointer(task + runtime.task_fields as u64 + TASK_NAME);
    let text = name + runtime.text as u64;
    let ends = [pointer(text), pointer(text.wrapping_add(pointer(name + SIZE)).wrapping_sub(8))];
    if FRAMEWORKS.contains(&ends) { host } else { 0 }
}
