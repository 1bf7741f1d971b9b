//! Identities and marks that every later stage speaks of.

pub use tracer_ebpf::Direction;
use tracer_ebpf::Header;
use tracer_ebpf::event::WAITERS;
use tracer_ebpf::runtime::context::{NAMED, NONE, NUMBER, REQUEST};

pub use crate::endpoint::{Address, Endpoint, Endpoints};

/// Nanoseconds of CLOCK_MONOTONIC, as the kernel stamped them.
pub type Nanos = u64;

/// A thread, told apart from a later one with the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ThreadId {
    /// Process id, initial pid namespace.
    pub tgid: u32,
    /// Thread id, initial pid namespace.
    pub tid: u32,
    /// When the thread started.
    pub start: Nanos,
}

impl From<&Header> for ThreadId {
    fn from(header: &Header) -> Self {
        Self { tgid: header.tgid, tid: header.tid, start: header.thread_start_ns }
    }
}

/// A process, told apart from a later one with the same id, and where it ran when it was last heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id, initial pid namespace.
    pub tgid: u32,
    /// When its first thread started; 0 when that is not known.
    pub start: Nanos,
    /// Its cgroup v2 id.
    pub cgroup: u64,
}

impl From<&Header> for Process {
    fn from(header: &Header) -> Self {
        Self { tgid: header.tgid, start: header.process_start_ns, cgroup: header.cgroup_id }
    }
}

/// A connection: a socket, whichever processes and descriptors lead to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Address of the kernel's `struct sock`.
    pub sock: u64,
    /// Inode number of the socket's file.
    pub ino: u64,
}

/// A server exchange that can be active on a thread: allotted by `correlate`, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActiveId(pub u64);

/// Where and when some bytes moved: one call of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Exit of the call.
    pub time: Nanos,
    /// Number of the event: equal for all bytes of one call, growing from call to call.
    pub call: u64,
    /// Who made the call.
    pub thread: ThreadId,
    /// What was active on that thread when the call's event arrived.
    pub active: Option<ActiveId>,
    /// The thread has requests open, and works for several at once: which one this call was made for is unknown.
    pub multiplexed: bool,
    /// Which of the contexts that take turns on the thread made the call, as its runtime tells: an asyncio task's, a
    /// greenlet's, a goroutine. An address, used again after it is freed, and with it the number of a task that has
    /// one; 0 when nothing tells.
    pub context: u64,
    /// Contexts move between the threads of the process: what a thread read says nothing of what it does next.
    pub migrates: bool,
    /// Contexts that wait for that one, nearest first; 0 where none does.
    pub waiters: [u64; WAITERS],
}

impl Mark {
    /// The context that made the call and those that wait for it, nearest first; 0 where there is none.
    #[must_use]
    pub fn contexts(&self) -> [u64; 1 + WAITERS] {
        let [first, second, third] = self.waiters;
        [self.context, first, second, third]
    }

    /// The context that made the call; 0 when nothing tells, or none was entered.
    #[must_use]
    pub fn entered(&self) -> u64 {
        if self.context & NONE == 0 { self.context } else { 0 }
    }

    /// The context for which the call was made: that of a task that was made for one request, if it is this one or waits
    /// for it. Else the one that made it, if it has been the same one since the context `earlier` ran: by its number, or
    /// because it is that one itself. Else 0: its address may have been another's meanwhile.
    #[must_use]
    pub fn owner_since(&self, earlier: u64) -> u64 {
        let is_request = |context: &u64| context & (REQUEST | NAMED) == REQUEST;
        if let Some(request) = self.contexts().into_iter().find(is_request) {
            return request;
        }
        let is_same = self.context & NUMBER != 0 || self.context == earlier;
        if is_same && self.context & (NONE | NAMED) == 0 { self.context } else { 0 }
    }
}

/// When a call ended, and which one it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Exit of the call.
    pub time: Nanos,
    /// Number of the event, as in [`Mark`].
    pub call: u64,
}

impl From<Mark> for Moment {
    fn from(mark: Mark) -> Self {
        Self { time: mark.time, call: mark.call }
    }
}

/// What a process is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends requests.
    Client,
    /// It answers them.
    Server,
}

/// Which half of an exchange bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Client to server.
    Request,
    /// Server to client.
    Response,
}

impl Side {
    /// The half that `direction` carries for a process of this `role`.
    #[must_use]
    pub fn of(role: Role, direction: Direction) -> Self {
        match (role, direction) {
            (Role::Client, Direction::Egress) | (Role::Server, Direction::Ingress) => Self::Request,
            (Role::Client, Direction::Ingress) | (Role::Server, Direction::Egress) => Self::Response,
        }
    }
}
