//! Where CPython's structures have their fields.

use super::Unread;
use super::cpython::Version;

/// Where the fields are, in bytes. From `Include/internal/pycore_{runtime,interp,context}.h` and
/// `Include/cpython/pystate.h` of each release, as a compiler lays them out for x86-64 without `Py_GIL_DISABLED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    minors: (u8, u8),
    /// `_PyRuntimeState.interpreters.head`.
    pub(super) interpreters: u64,
    /// `PyInterpreterState.next`.
    pub(super) next_interpreter: u64,
    /// `PyInterpreterState.threads.head` (`tstate_head` before 3.11).
    pub(super) threads: u64,
    /// `PyThreadState.thread_id`: what pthread_self() gave.
    pub(super) thread_id: u32,
    /// `PyThreadState.context`.
    pub(super) context: u32,
    /// Where the stack of frames is, and where each piece of it names the one before: `PyThreadState.datastack_chunk` and
    /// `_PyStackChunk.previous`, before 3.11 `PyThreadState.frame` and `PyFrameObject.f_back`.
    pub(super) stack: (u32, u32),
    /// `PyContext.ctx_entered`.
    pub(super) entered: u32,
    /// `PyInterpreterState.imports.modules` (`modules` in 3.11), since 3.11.
    pub(super) modules: Option<u32>,
    /// Whether `_asyncio` keeps what it knows in its module: since 3.12.
    pub(super) module_state: bool,
    /// From the end of an asyncio future to the pointers that only a task has: since 3.13 a task's bits are before them.
    pub(super) task_bits: u32,
    /// Where an ASCII string's characters are.
    pub(super) text: u32,
    /// Where an object's attributes have their values: see [`tracer_ebpf::runtime::Runtime::values`]. From
    /// `_PyObject_ValuesPointer` (3.11), `_PyObject_DictOrValuesPointer` (3.12), `_PyObject_InlineValues` (3.13).
    pub(super) values: i64,
    /// How frames lie in a chunk of the data stack, since 3.11.
    pub(super) frames: Option<Frames>,
    /// What types, code and coroutines have, since 3.11.
    pub(super) members: Option<Members>,
    /// `PyTupleObject.ob_item`: behind the hash since 3.14.
    pub(super) items: u32,
    /// `_PyThreadStateImpl.asyncio_tasks_head`, before which is the running task, since 3.14.
    pub(super) task_list: Option<u32>,
}

/// `_PyInterpreterFrame`, and what its code says of it. (`PyCodeObject` is the same for all in what else is read.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    /// `f_code`, since 3.13 `f_executable`.
    pub(super) code: u64,
    /// `f_globals`.
    pub(super) globals: u64,
    /// `localsplus`.
    pub(super) locals: u64,
    /// `PyCodeObject.co_framesize` in words; before 3.12 it follows from others.
    pub(super) size: Option<u64>,
}

/// Of types, code and coroutines. (What else is read of them is where it is in all releases since 3.11.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Members {
    /// `PyHeapTypeObject.ht_cached_keys`.
    pub(super) shared_keys: u64,
    /// `PyCodeObject.co_nfreevars`.
    pub(super) free_variables: u64,
    /// `PyCoroObject.cr_code`, since 3.12 that of its frame (`cr_iframe`).
    pub(super) coroutine_code: u32,
}

/// What `_PyRuntime` begins with since 3.13 (`_Py_DebugOffsets`): this, the version, whether there is no GIL, offsets.
const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");
const FREE_THREADED: u64 = 16;

/// The first release that tells offsets.
const TELLS_OFFSETS: u8 = 13;

/// Where offsets are told: `runtime_state.interpreters_head`, `interpreter_state.next` and `.threads_head`.
const INTERPRETERS_HEAD: u64 = 40;
const INTERPRETER_NEXT: u64 = 64;
const THREADS_HEAD: u64 = 72;

/// `interpreter_state.imports_modules`, `thread_state.thread_id`: in 3.13, and since.
const IMPORTS_MODULES: [u64; 2] = [88, 96];
const THREAD_ID: [u64; 2] = [192, 216];

impl Layout {
    /// That of a version. What the runtime itself tells of it is taken from there: `runtime` reads its words.
    pub(super) fn of(version: Version, runtime: impl Fn(u64) -> Result<u64, Unread>) -> Result<Self, Unread> {
        let known =
            LAYOUTS.iter().find(|layout| (layout.minors.0..=layout.minors.1).contains(&version.minor));
        let known = known.filter(|_| version.major == 3).ok_or(Unread::UnknownVersion(version))?;
        if version.minor < TELLS_OFFSETS {
            return Ok(*known);
        }
        if runtime(0)? != COOKIE {
            return Err(Unread::NotProved("it tells no offsets"));
        }
        if runtime(FREE_THREADED)? != 0 {
            return Err(Unread::FreeThreaded);
        }
        let later = usize::from(version.minor > TELLS_OFFSETS);
        let short = |offset| u32::try_from(offset).map_err(|_| Unread::NotProved("an offset"));
        Ok(Self {
            interpreters: runtime(INTERPRETERS_HEAD)?,
            next_interpreter: runtime(INTERPRETER_NEXT)?,
            threads: runtime(THREADS_HEAD)?,
            modules: Some(short(runtime(IMPORTS_MODULES[later])?)?),
            thread_id: short(runtime(THREAD_ID[later])?)?,
            ..*known
        })
    }
}

const LAYOUTS: [Layout; 5] = [
    Layout {
        minors: (9, 10),
        interpreters: 32,
        next_interpreter: 0,
        threads: 8,
        thread_id: 176,
        context: 240,
        stack: (24, 24),
        entered: 40,
        modules: None,
        module_state: false,
        task_bits: 0,
        text: 48,
        values: 0,
        frames: None,
        members: None,
        items: 24,
        task_list: None,
    },
    Layout {
        minors: (11, 11),
        interpreters: 40,
        next_interpreter: 0,
        threads: 16,
        thread_id: 152,
        context: 224,
        stack: (296, 0),
        entered: 40,
        modules: Some(888),
        module_state: false,
        task_bits: 0,
        text: 48,
        values: -32,
        frames: Some(Frames { code: 32, globals: 8, locals: 72, size: None }),
        members: Some(Members { shared_keys: 872, free_variables: 92, coroutine_code: 16 }),
        items: 24,
        task_list: None,
    },
    Layout {
        minors: (12, 12),
        interpreters: 40,
        next_interpreter: 0,
        threads: 72,
        thread_id: 136,
        context: 208,
        stack: (232, 0),
        entered: 40,
        modules: Some(944),
        module_state: true,
        task_bits: 0,
        text: 40,
        values: -24,
        frames: Some(Frames { code: 0, globals: 24, locals: 72, size: Some(76) }),
        members: Some(Members { shared_keys: 880, free_variables: 88, coroutine_code: 72 }),
        items: 24,
        task_list: None,
    },
    Layout {
        minors: (13, 13),
        interpreters: 632,
        next_interpreter: 7264,
        threads: 7344,
        thread_id: 152,
        context: 208,
        stack: (232, 0),
        entered: 40,
        modules: Some(7656),
        module_state: true,
        task_bits: 8,
        text: 40,
        values: 24,
        frames: Some(Frames { code: 0, globals: 24, locals: 72, size: Some(76) }),
        members: Some(Members { shared_keys: 880, free_variables: 88, coroutine_code: 72 }),
        items: 24,
        task_list: None,
    },
    Layout {
        minors: (14, 14),
        interpreters: 808,
        next_interpreter: 7272,
        threads: 7344,
        thread_id: 152,
        context: 208,
        stack: (232, 0),
        entered: 40,
        modules: Some(7688),
        module_state: true,
        task_bits: 8,
        text: 40,
        values: 24,
        frames: Some(Frames { code: 0, globals: 24, locals: 80, size: Some(76) }),
        members: Some(Members { shared_keys: 880, free_variables: 88, coroutine_code: 72 }),
        items: 32,
        task_list: Some(880),
    },
];
