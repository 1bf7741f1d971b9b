//! Where the probe finds what a process's language runtime is doing on a thread.

/// How a process's runtime is read: the value of the probe's map of runtimes, by process id. Offsets are in bytes, and
/// were proved on that very process.
///
/// CPython: the thread state lies behind a slot of the thread's own storage. It is taken for the thread's only if it
/// says so itself. The running task of asyncio is the one of `_asyncio`'s dictionary that has the thread's context, or the
/// one that the thread state names; a task waits for another only if both say so. The running greenlet is the one that the
/// module of greenlets names in its thread-local variables.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Where the pointer to the thread state lies, from the thread pointer (x86-64: the base of `fs`). With
    /// [`source::ARRAY`]: the pointer to an array in which it lies.
    pub slot: i64,
    /// `PyThreadState.thread_id`: equal to the thread pointer.
    pub thread_id: u32,
    /// `PyThreadState.context`.
    pub context: u32,
    /// `PyContext.ctx_entered`: 1 while the context runs. (A thread's own, into which nobody entered, has 0.)
    pub entered: u32,
    /// Where a thread state names the last piece of the stack of Python's frames, of which each greenlet has its own:
    /// `PyThreadState.datastack_chunk`, before 3.11 `PyThreadState.frame`.
    pub stack: u32,
    /// Where such a piece names the one before.
    pub previous: u32,
    /// Bits: see [`source`].
    pub sources: u32,
    /// `task_fut_waiter` of `_asyncio.Task`, behind which are its other own pointers: 0 when tasks are not read.
    pub task_fields: u32,
    /// Where a tuple's items are.
    pub items: u32,
    /// `current_tasks` of `_asyncio`: a dictionary, by event loop.
    pub tasks: u64,
    /// `_asyncio.Task`.
    pub task_type: u64,
    /// What the byte at 8 of a dictionary's keys is when there is room for five: the size, or its logarithm.
    pub small: u32,
    /// Where such keys have their entries.
    pub entries: u32,
    /// Where that which wakes a task up names it.
    pub wakeup: u32,
    /// `PyFunctionObject.func_closure`.
    pub closure: u32,
    /// `PyFunctionObject.func_module`.
    pub module: u32,
    /// Where an ASCII string's characters are.
    pub text: u32,
    /// From the first piece of a worker's stack to the future of what it does: 0 when that is not known.
    pub employment: u32,
    /// `_PyThreadStateImpl.asyncio_running_task`, since 3.14; else 0, and `tasks` tells which one runs.
    pub running: u32,
    /// The code of what a worker's thread does all the time.
    pub worker: u64,
    /// From the first piece of a worker's stack to that code.
    pub worker_code: u32,
    /// Where the pointer to the thread state lies in that array.
    pub key: u32,
    /// Where an object has the values of its attributes: from the object, or if it is negative from what the word there
    /// points to. 0 when that is not known.
    pub values: i64,
    /// The code of what a worker of an executor's does all the time: 0 when that is not known.
    pub executor: u64,
    /// `concurrent.futures.Future`.
    pub future_type: u64,
    /// From the first piece of such a worker's stack to that code.
    pub executor_code: u32,
    /// The same to what it works on.
    pub executor_item: u32,
    /// The code of what a task of an anyio task group calls when it is done: 0 when that is not known.
    pub group_done: u64,
    /// The type of such groups.
    pub group_type: u64,
    /// Where that function's closure has the cell with the group.
    pub group_cell: u32,
    /// Among the values of a group's attributes: its cancel scope.
    pub group_scope: u32,
    /// The same: the future with which the host waits for the group's tasks.
    pub group_completed: u32,
    /// Where a cancel scope has its host: from the scope, or among the values of its attributes.
    pub host: u32,
    /// Which of both: not 0 for the latter.
    pub host_is_attribute: u32,
    /// From a coroutine to its code.
    pub coroutine_code: u32,
    /// The code of a coroutine that a server makes a task of for each request: 0 when that is not known.
    pub request: u64,
    /// Where the running greenlet is.
    pub greenlets: Greenlets,
    /// How greenlets are waited for.
    pub links: Links,
}

/// Where a process's greenlets are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Greenlets {
    /// The number among glibc's modules with thread-local variables of the one that has them: 0 when that is not known.
    pub module: u32,
    /// Where its variables have the address of what it knows of the thread: the main greenlet, and the one that runs.
    pub state: u32,
    /// `greenlet.greenlet`.
    pub kind: u64,
}

/// How gevent's greenlets tell who waits for them: by what they call when they are done.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// `gevent.Greenlet`.
    pub spawned_type: u64,
    /// `list`.
    pub list_type: u64,
    /// What a bound `greenlet.switch` calls.
    pub switch: u64,
    /// The same of `MultipleWaiter`, by which `joinall` waits.
    pub waiter_switch: u64,
    /// Where a gevent greenlet has the list of what it calls: 0 when that is not known.
    pub at: u32,
    /// Where a waiter has the greenlet that waits.
    pub waiter_greenlet: u32,
}

impl Runtime {
    /// With what was known of workers, groups and requests before, if now there was none to be seen: all that there will
    /// be are alike.
    #[must_use]
    pub fn keeping(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|_| self.worker == 0) {
            self.worker = before.worker;
            self.worker_code = before.worker_code;
            self.employment = before.employment;
        }
        if let Some(before) = before.filter(|_| self.executor == 0) {
            self.executor = before.executor;
            self.future_type = before.future_type;
            self.executor_code = before.executor_code;
            self.executor_item = before.executor_item;
        }
        if let Some(before) = before.filter(|_| self.group_done == 0) {
            self.group_done = before.group_done;
            self.group_type = before.group_type;
            self.group_cell = before.group_cell;
            self.group_scope = before.group_scope;
            self.group_completed = before.group_completed;
            self.host = before.host;
            self.host_is_attribute = before.host_is_attribute;
        }
        if let Some(before) = before.filter(|_| self.request == 0) {
            self.request = before.request;
            self.coroutine_code = before.coroutine_code;
        }
        if let Some(before) = before.filter(|_| self.greenlets.module == 0) {
            self.greenlets = before.greenlets;
        }
        if let Some(before) = before.filter(|_| self.links.at == 0) {
            self.links = before.links;
        }
        self
    }

    /// As the words of the map's value.
    #[must_use]
    pub fn words(&self) -> [u64; WORDS] {
        // SAFETY: `repr(C)` without padding, of the same size and alignment (asserted below), and any bits are words.
        unsafe { core::mem::transmute_copy(self) }
    }
}

/// Words of a [`Runtime`].
pub const WORDS: usize = 30;

/// Bits of [`Runtime::sources`]: what tells contexts apart, and where it is kept.
pub mod source {
    /// The context that was entered: what a task of asyncio runs in.
    pub const ENTERED: u32 = 1 << 0;
    /// The greenlet that runs, or where that is not known the first piece of the stack of frames, of which each has its own.
    pub const STACK: u32 = 1 << 1;
    /// Contexts move between threads. With a slot they are goroutines, and it holds the one that runs; without one
    /// nothing tells them apart.
    pub const MIGRATING: u32 = 1 << 2;
    /// Where no context was entered, that too is told: uvloop reads so.
    pub const NONE: u32 = 1 << 3;
    /// A thread's own values lie in an array of their own, as in musl, and not behind the thread pointer, as in glibc.
    pub const ARRAY: u32 = 1 << 4;
}

/// Bits of [`Header::context`](crate::Header::context), which the address leaves free: four below, and those above it.
pub mod context {
    /// It is a greenlet, or the first piece of its stack.
    pub const STACK: u64 = 1 << 0;
    /// It moves between threads, so that what a thread read says nothing of what it does next. Alone: which context
    /// it was is not known.
    pub const MIGRATES: u64 = 1 << 1;
    /// It is a thread state: no context was entered.
    pub const NONE: u64 = 1 << 2;
    /// It is a task's that somebody gave a name: tasks that get the same address are not told apart.
    pub const NAMED: u64 = 1 << 3;
    /// It is a task's: that one's number, as far as there is room for it. Whose address is the same, and the number not,
    /// is another task. Not 0.
    pub const NUMBER: u64 = 0xffff << 48;
    /// It is a task's that was made for one request.
    pub const REQUEST: u64 = 1 << 47;
    /// All of them.
    pub const TAGS: u64 = STACK | MIGRATES | NONE | NAMED | REQUEST | NUMBER;

    /// The bits of [`NUMBER`] for a task's number.
    #[must_use]
    #[inline(always)]
    pub const fn number(number: u64) -> u64 {
        (number << 48) | (1 << 63)
    }
}

const _: () = assert!(size_of::<Runtime>() == 8 * WORDS);
