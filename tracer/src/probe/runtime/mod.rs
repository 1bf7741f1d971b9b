//! Where the probe finds what a process's language runtime is doing: which asyncio task, which greenlet makes a call.
//!
//! CPython 3.9 to 3.14 on glibc or musl, x86-64. The interpreter's `_PyRuntime` leads to its threads' states; a thread's own
//! storage (pthread_setspecific, which keeps the state while the GIL is released) leads to its state. Offsets are of
//! the version's own headers and are proved on the live process: every thread state names its interpreter, and the
//! thread that it says it belongs to, and that thread's storage names the state. What is not proved is not used.

mod asyncio;
mod cpython;
mod golang;
mod greenlets;
mod groups;
mod image;
mod layout;
mod memory;
mod migrating;
mod objects;
mod requests;
mod storage;
mod workers;

use std::{fmt, io};

use thiserror::Error;
use tracer_ebpf::runtime::{Runtime, source};

use self::asyncio::Tasks;
use self::cpython::Proof;
pub use self::cpython::Version;
use self::golang::{Executables, Slot};
use self::groups::Groups;
use self::image::Images;
use self::memory::{Mappings, Memory};
use self::objects::{Modules, Objects, Place};
use crate::enrich::process::Proc;

/// Why a process's runtime is not read.
#[derive(Debug, Error)]
pub enum Unread {
    /// It has none that is known.
    #[error("it runs no runtime that is known: its threads alone tell which request they work for")]
    NotPython,
    /// Node tells of asynchronous contexts only to code that runs in it.
    #[error("it runs Node.js, whose memory does not tell which request a callback works for")]
    Node,
    /// It cannot be looked at.
    #[error("its memory cannot be read ({0}): the tracer needs CAP_SYS_PTRACE")]
    Unreadable(#[source] io::Error),
    /// The interpreter has not come up yet.
    #[error("its interpreter has no thread yet")]
    NotReady,
    /// A version whose structures are not known.
    #[error("CPython {0} is not one of 3.9 to 3.14")]
    UnknownVersion(Version),
    /// A build without the GIL.
    #[error("its CPython is built without the GIL, whose structures are laid out otherwise")]
    FreeThreaded,
    /// The structures are not as they should be.
    #[error("its CPython is not laid out as releases are ({0})")]
    NotProved(&'static str),
    /// What a thread read last says nothing of what it does next.
    #[error("it runs {0} which moves its work between threads, and does not tell which of it a thread does")]
    Migrating(&'static str),
    /// What its event loop runs next says nothing of whom it is for.
    #[error("it runs {0}, which does not tell which request a callback works for")]
    EventLoop(&'static str),
    /// Only x86-64 so far.
    #[error("runtimes are not read on this architecture yet")]
    Architecture,
}

impl Unread {
    /// All short names.
    pub const REASONS: [&'static str; 10] = [
        "no_runtime",
        "node",
        "unreadable",
        "not_ready",
        "unknown_version",
        "free_threaded",
        "not_proved",
        "migrating",
        "event_loop",
        "architecture",
    ];

    /// Whether looking again in a moment could give something else.
    #[must_use]
    pub fn may_change(&self) -> bool {
        matches!(self, Self::NotPython | Self::Unreadable(_) | Self::NotReady | Self::NotProved(_))
    }

    /// A short name for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotPython => "no_runtime",
            Self::Node => "node",
            Self::Unreadable(_) => "unreadable",
            Self::NotReady => "not_ready",
            Self::UnknownVersion(_) => "unknown_version",
            Self::FreeThreaded => "free_threaded",
            Self::NotProved(_) => "not_proved",
            Self::Migrating(_) => "migrating",
            Self::EventLoop(_) => "event_loop",
            Self::Architecture => "architecture",
        }
    }

    /// What the probe is to know of the process nevertheless. (In Node and Twisted, between a request's first byte and the
    /// next wait, there run callbacks of others: timers, and what answers to earlier calls wake up.)
    #[must_use]
    pub fn runtime(&self) -> Option<Runtime> {
        matches!(self, Self::Migrating(_) | Self::Node | Self::EventLoop(_))
            .then(|| Runtime { sources: source::MIGRATING, ..Runtime::default() })
    }
}

/// A runtime that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How.
    pub runtime: Runtime,
    /// Whose it is.
    pub language: Language,
}

/// A runtime that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// CPython, of this version.
    CPython(Version),
    /// Go.
    Go,
}

/// What it is, and what is told apart.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CPython(version) => {
                write!(f, "CPython {version}, whose tasks and greenlets are told apart")
            }
            Self::Go => f.write_str("Go, whose goroutines are told apart"),
        }
    }
}

/// Finds runtimes. Remembers what it read of executables and libraries.
#[derive(Debug, Default)]
pub struct Locator {
    images: Images,
    executables: Executables,
}

impl Locator {
    /// How the runtime of a process is read.
    ///
    /// # Errors
    /// Why it is not.
    pub fn locate(&mut self, proc: &Proc, pid: u32) -> Result<Found, Unread> {
        let mappings = Mappings::read(proc, pid).map_err(Unread::Unreadable)?;
        match self.executables.slot(proc, pid) {
            Some(Slot(0)) => return Err(Unread::Migrating("Go, stripped and linked with C,")),
            Some(Slot(slot)) => return Ok(goroutines(slot)),
            None => {}
        }
        if let Some(name) = migrating::name(proc, pid, &mappings) {
            return Err(Unread::Migrating(name));
        }
        if is_node(proc, pid) {
            return Err(Unread::Node);
        }
        if !cfg!(target_arch = "x86_64") {
            return Err(Unread::Architecture);
        }
        let Some(place) = self.images.interpreter(proc, pid, &mappings) else {
            return Err(Unread::NotPython);
        };
        let memory = Memory::open(proc, pid).map_err(Unread::Unreadable)?;
        let proof = cpython::prove(&memory, place)?;
        let layout = proof.layout;
        let mut runtime = Runtime {
            slot: proof.slot.at,
            thread_id: layout.thread_id,
            context: layout.context,
            entered: layout.entered,
            sources: source::ENTERED,
            ..Runtime::default()
        };
        let objects = Objects { memory: &memory, layout: &layout };
        let modules = objects.modules(proof.interpreter).unwrap_or_default();
        if let Some(name) = event_loop(&modules) {
            return Err(Unread::EventLoop(name));
        }
        let variables = || image::variables(proc, pid, &mappings, "/_asyncio.");
        let tasks = asyncio::find(&memory, &layout, &modules, variables);
        (runtime.stack, runtime.previous) = layout.stack;
        if let Some(key) = proof.slot.key {
            runtime.sources |= source::ARRAY;
            runtime.key = key;
        }
        if mappings.has("/uvloop/") {
            runtime.sources |= source::NONE;
        }
        if let Some(tasks) = tasks {
            tell_tasks(&mut runtime, &proof, tasks);
            tell_frameworks(&mut runtime, objects, &modules);
            tell_workers(&mut runtime, &memory, &proof);
        }
        if mappings.has("/gevent/") || modules.get(b"eventlet.hubs.hub").is_some() {
            runtime.sources |= source::STACK;
            if let Some(found) = greenlets::running(objects, &modules, proof.interpreter) {
                runtime.greenlets = found;
                runtime.links = greenlets::links(objects, &modules).unwrap_or_default();
            }
        }
        Ok(Found { runtime, language: Language::CPython(proof.version) })
    }
}

/// An event loop that the interpreter runs, and that neither tasks nor greenlets take turns in. (Twisted's reactor on
/// asyncio's loop has tasks.)
fn event_loop(modules: &Modules) -> Option<&'static str> {
    let has = |name| modules.get(name).is_some();
    (has(b"twisted.internet.reactor") && !has(b"twisted.internet.asyncioreactor"))
        .then_some("Twisted's reactor")
}

fn goroutines(slot: i64) -> Found {
    Found {
        runtime: Runtime { slot, sources: source::MIGRATING, ..Runtime::default() },
        language: Language::Go,
    }
}

/// Whether the executable is Node's. (It has V8 in it, and thousands of symbols to look for it by.)
fn is_node(proc: &Proc, pid: u32) -> bool {
    proc.link(pid, "exe").is_ok_and(|exe| {
        exe.file_name().is_some_and(|name| matches!(name.as_encoded_bytes(), b"node" | b"nodejs"))
    })
}

fn tell_tasks(runtime: &mut Runtime, proof: &Proof, tasks: Tasks) {
    let layout = &proof.layout;
    let is_3_9 = proof.version.minor == 9;
    // `dk_size`, since 3.11 `dk_log2_size`; with one more word in the head before.
    (runtime.small, runtime.entries) = if proof.version.minor < 11 { (8, 48) } else { (3, 40) };
    // `TaskWakeupMethWrapper.ww_task`, since 3.10 `PyCFunctionObject.m_self`.
    runtime.wakeup = if is_3_9 { 16 } else { 24 };
    (runtime.closure, runtime.module) = if is_3_9 { (48, 88) } else { (72, 104) };
    runtime.text = layout.text;
    runtime.values = layout.values;
    runtime.items = layout.items;
    // The running task lies before the list.
    runtime.running = layout.task_list.map_or(0, |list| list - 8);
    runtime.tasks = tasks.current;
    runtime.task_type = tasks.task_type;
    runtime.task_fields = tasks.task_fields;
}

fn tell_workers(runtime: &mut Runtime, memory: &Memory, proof: &Proof) {
    let (layout, interpreter) = (&proof.layout, proof.interpreter);
    if let Some(workers) = workers::of_anyio(memory, layout, interpreter) {
        runtime.worker = workers.code;
        runtime.worker_code = workers.code_at;
        runtime.employment = workers.variable_at;
    }
    if let Some((workers, future_type)) = workers::of_executors(memory, layout, interpreter) {
        runtime.executor = workers.code;
        runtime.executor_code = workers.code_at;
        runtime.executor_item = workers.variable_at;
        runtime.future_type = future_type;
    }
}

fn tell_frameworks(runtime: &mut Runtime, objects: Objects<'_>, modules: &Modules) {
    if let Some(groups) = groups::find(objects, modules) {
        tell_groups(runtime, groups);
    }
    if let Some(found) = requests::find(objects, modules) {
        (runtime.coroutine_code, runtime.request) = found;
    }
}

fn tell_groups(runtime: &mut Runtime, groups: Groups) {
    runtime.group_done = groups.done;
    runtime.group_type = groups.group_type;
    runtime.group_cell = groups.cell;
    runtime.group_scope = groups.scope;
    runtime.group_completed = groups.completed;
    (runtime.host, runtime.host_is_attribute) = match groups.host {
        Place::Slot(at) => (at, 0),
        Place::Value(at) => (at, 1),
    };
}

#[cfg(test)]
mod tests;
