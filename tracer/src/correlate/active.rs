//! Which server exchange is active on which thread.
//!
//! ```text
//!            request's first byte           response's last byte
//!   free ───────────────────────▶ bound ───────────────────────▶ lingering ──▶ free
//!                                   │  ▲                          (until the next read or wait, or the
//!                                   │  │                          connection's close)
//!           back from epoll/select, │  │ another thread reads more of the request,
//!           or a second connection's│  │ or writes the response: that thread has it now
//!           request was begun       ▼
//!                               suspended ─── response's last byte ──▶ free
//! ```
//!
//! Only exact evidence counts. A thread that turns out to serve several exchanges at once has none active: what it
//! sends gets no parent, because "the last request read" is wrong too often on such threads.

use lru::LruCache;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Now;
use super::stats::BindingStats;
use crate::event::{ActiveId, ConnectionId, Mark, Nanos, ThreadId};

/// Threads whose bindings are kept; the least recently seen is forgotten. As many as the probe keeps.
pub const MAX_THREADS: usize = tracer_ebpf::limits::MAX_THREADS as usize;

/// Exchanges that are bound at once; a further one is never active.
pub const MAX_BINDINGS: usize = 65_536;

/// Pipelined requests that were read on one thread and wait for their turn; a further one is never active.
pub const MAX_PIPELINED: usize = 64;

/// How long after a response's last byte a line still belongs to it at most, in nanoseconds: an access log is
/// written at once, while a pool's worker may be given a task that nobody sees arrive.
pub const LINGER_LIMIT: Nanos = 1_000_000_000;

/// How sure it is that a line belongs to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// It was written while the exchange was active on the thread.
    Active,
    /// It was written after the response's last byte, before the thread read or waited again.
    AfterResponse,
    /// The runtime's context that made the call wrote the response too.
    Context,
    /// It was made by a thread that began and ended within the exchange.
    Thread,
    /// It passes on the trace context that the exchange received, and no other one of its process did.
    Forwarded,
    /// It asks for the same as the exchange, on behalf of that one's client as it says, and no other one of its process
    /// can be meant.
    ForwardedFor,
}

impl Evidence {
    /// The value of `tracer.correlation`; none for the plain rule.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::AfterResponse => Some("after_response"),
            Self::Context => Some("runtime_context"),
            Self::Thread => Some("request_thread"),
            Self::Forwarded => Some("forwarded_context"),
            Self::ForwardedFor => Some("forwarded_for"),
        }
    }
}

/// Why nothing is active on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive {
    /// It works for no request that was seen.
    NoBinding,
    /// It works for several.
    Suspended,
    /// Events were lost since the last sign of the request that it worked for.
    Doubtful,
    /// The context that made the call answered no request that was open then.
    OtherContext,
    /// That context answered several requests, and may have been at another one.
    Ambiguous,
    /// The thread was made for a request, and outlived it.
    Outlived,
    /// The request's end did not come in time.
    Expired,
    /// Too many waited for their parents.
    Limit,
}

/// The bindings between threads and server exchanges.
#[derive(Debug)]
pub struct ActiveThreads {
    threads: LruCache<ThreadId, Thread, FxBuildHasher>,
    bindings: FxHashMap<ActiveId, Binding>,
    /// Of how many bindings of each process it is not known yet that a thread is at it.
    ahead: FxHashMap<u32, usize>,
    limit: usize,
    /// The last call before events were lost. What was seen up to it may be over without a sign.
    doubted: u64,
    /// Counters.
    pub stats: BindingStats,
}

#[derive(Debug, Default)]
struct Thread {
    /// Exchanges that the thread has, in the order in which it got them: the first one is active.
    open: Vec<ActiveId>,
    /// All of them are suspended: an event loop has many, and each of its calls would look at all.
    suspended: bool,
    linger: Option<Linger>,
}

#[derive(Clone, Copy, Debug)]
struct Linger {
    active: ActiveId,
    connection: ConnectionId,
    wait_epoch: u32,
    since: Nanos,
    call: u64,
}

#[derive(Debug)]
struct Binding {
    connection: ConnectionId,
    thread: Option<ThreadId>,
    /// The thread's count of waits on several descriptors when it got the exchange.
    mux_epoch: u32,
    /// The call by which it got the exchange.
    since: u64,
    /// Another thread had it before.
    taken_over: bool,
    /// Its last call that moved bytes of the exchange.
    seen: u64,
    suspended: bool,
    /// A thread of this process had another request of the connection when it got this one, and nothing shows yet that it
    /// is at it.
    ahead: Option<u32>,
}

impl ActiveThreads {
    /// No bindings, for at most `limit` threads.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            threads: LruCache::unbounded_with_hasher(FxBuildHasher),
            bindings: FxHashMap::default(),
            ahead: FxHashMap::default(),
            limit: limit.max(1),
            doubted: 0,
            stats: BindingStats::default(),
        }
    }

    /// Threads and bindings that are kept.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.threads.len(), self.bindings.len())
    }

    /// Takes note of a thread's event, and tells what is active on the thread. `reads` tells that the call waited
    /// for a peer: it read, or accepted.
    pub fn observe(&mut self, now: &Now, reads: bool) -> Option<ActiveId> {
        let thread = self.threads.get_mut(&now.mark.thread)?;
        if let Some(linger) = thread.linger {
            let over = linger.since.saturating_add(LINGER_LIMIT) < now.mark.time;
            if reads || over || linger.wait_epoch != now.wait_epoch || linger.call <= self.doubted {
                thread.linger = None;
            }
        }
        let waiting = if thread.suspended { &[][..] } else { &thread.open };
        let mut suspended = true;
        for id in waiting {
            let Some(binding) = self.bindings.get_mut(id) else { continue };
            if now.mark.migrates {
                suspend(Some(binding), &mut self.stats.suspended_by_context);
            } else if binding.mux_epoch != now.mux_epoch {
                suspend(Some(binding), &mut self.stats.suspended_by_wait);
            }
            suspended &= binding.suspended;
        }
        thread.suspended = suspended;
        first(&self.bindings, thread, self.doubted)
    }

    /// Events were lost after the call `last`: until more of an exchange is seen, nobody knows whether its thread
    /// still works for it.
    pub fn doubt(&mut self, last: u64) {
        self.doubted = last;
    }

    /// What is active on a thread as of its last event.
    ///
    /// # Errors
    /// Why nothing is.
    pub fn active(&self, thread: ThreadId) -> Result<ActiveId, Inactive> {
        let Some(thread) = self.threads.peek(&thread).filter(|thread| !thread.open.is_empty()) else {
            return Err(Inactive::NoBinding);
        };
        first(&self.bindings, thread, self.doubted).ok_or_else(|| {
            let binding = thread.open.first().and_then(|id| self.bindings.get(id));
            let is_doubtful = binding.is_some_and(|binding| !binding.suspended && binding.ahead.is_none());
            if is_doubtful { Inactive::Doubtful } else { Inactive::Suspended }
        })
    }

    /// The exchange that a line written by the thread belongs to, as of the thread's last event.
    #[must_use]
    pub fn line(&self, id: ThreadId) -> Option<(ActiveId, Evidence)> {
        let thread = self.threads.peek(&id)?;
        match thread.linger {
            _ if !thread.open.is_empty() => {
                first(&self.bindings, thread, self.doubted).map(|active| (active, Evidence::Active))
            }
            // Nobody would see it turn to a request that was read already.
            Some(linger) if !self.has_ahead(id.tgid) => Some((linger.active, Evidence::AfterResponse)),
            _ => None,
        }
    }

    /// A server exchange began: the thread that read its first byte has it. `mux_epoch` is the thread's count at
    /// that call; where it is not known the exchange is never active.
    pub fn begin(&mut self, active: ActiveId, connection: ConnectionId, mark: Mark, mux_epoch: Option<u32>) {
        if self.bindings.len() >= MAX_BINDINGS {
            self.stats.unbound_by_limit += 1;
            return;
        }
        self.stats.bound += 1;
        let binding = Binding {
            connection,
            thread: None,
            mux_epoch: 0,
            since: 0,
            taken_over: false,
            seen: 0,
            suspended: false,
            ahead: None,
        };
        self.bindings.insert(active, binding);
        self.give(active, mark, mux_epoch);
    }

    /// More of an exchange moved: the thread that moved it has the exchange from now on.
    pub fn touch(&mut self, active: ActiveId, mark: Mark, mux_epoch: Option<u32>) {
        let Some(binding) = self.bindings.get_mut(&active) else { return };
        if let Some(thread) = binding.thread.filter(|thread| *thread == mark.thread) {
            binding.seen = mark.call;
            let is_first = |thread: &Thread| thread.open.first() == Some(&active);
            if self.threads.peek(&thread).is_some_and(is_first) {
                set_ahead(&mut self.ahead, binding, None);
            }
            return;
        }
        binding.taken_over = true;
        self.stats.taken_over += 1;
        self.take_away(active);
        self.give(active, mark, mux_epoch);
    }

    /// An exchange is over. When `now` is the call that wrote its response's last byte, lines that follow may still
    /// belong to it; not where another thread had it before: who only writes for others gets its next task from
    /// them, and no call shows when.
    pub fn end(&mut self, active: ActiveId, response_end: Option<&Now>) {
        self.take_away(active);
        let Some(mut binding) = self.bindings.remove(&active) else { return };
        set_ahead(&mut self.ahead, &mut binding, None);
        let Some((thread, now)) = binding.thread.zip(response_end) else { return };
        let alone = !binding.suspended && !binding.taken_over;
        let dedicated = alone && thread == now.mark.thread && binding.since < now.mark.call;
        if let Some(entry) = self.threads.peek_mut(&thread).filter(|entry| dedicated && entry.open.is_empty())
        {
            let (wait_epoch, since, call) = (now.wait_epoch, now.mark.time, now.mark.call);
            let connection = binding.connection;
            entry.linger = Some(Linger { active, connection, wait_epoch, since, call });
        }
    }

    /// A thread has closed a connection, or will send no more on it: it is done with what it answered there.
    pub fn leave(&mut self, thread: ThreadId, connection: ConnectionId) {
        if let Some(entry) = self.threads.peek_mut(&thread) {
            entry.linger = entry.linger.filter(|linger| linger.connection != connection);
        }
    }

    /// A thread has ended, or runs another program.
    pub fn forget(&mut self, thread: ThreadId) {
        if let Some(entry) = self.threads.pop(&thread) {
            self.unbind(&entry);
        }
    }

    /// Puts an exchange behind those that the thread already has.
    fn give(&mut self, active: ActiveId, mark: Mark, mux_epoch: Option<u32>) {
        let thread = self.threads.get_or_insert_mut(mark.thread, Thread::default);
        thread.linger = None;
        let Some(connection) = self.bindings.get(&active).map(|binding| binding.connection) else { return };
        drop_doubtful(thread, &mut self.bindings, connection, self.doubted, &mut self.stats);
        // Pipelined requests of one connection wait for their turn. Anything else means that the thread has
        // several requests in flight.
        let mut others = thread.open.iter().filter_map(|id| self.bindings.get(id));
        let busy = thread.suspended && !thread.open.is_empty();
        let pipelined = !busy && others.all(|other| other.connection == connection && !other.suspended);
        let overfull = thread.open.len() >= MAX_PIPELINED;
        if !pipelined && !busy {
            for id in &thread.open {
                suspend(self.bindings.get_mut(id), &mut self.stats.suspended_by_request);
            }
        }
        if !overfull {
            thread.open.push(active);
        }
        let ahead = pipelined && thread.open.len() > 1;
        if let Some(binding) = self.bindings.get_mut(&active) {
            set_ahead(&mut self.ahead, binding, ahead.then_some(mark.thread.tgid));
            binding.thread = (!overfull).then_some(mark.thread);
            binding.since = mark.call;
            binding.seen = mark.call;
            binding.mux_epoch = mux_epoch.unwrap_or_default();
            if !pipelined {
                suspend(Some(binding), &mut self.stats.suspended_by_request);
            } else if mark.context != 0 || mark.migrates {
                // Contexts take turns here: which of them made a call tells more than what was read last.
                suspend(Some(binding), &mut self.stats.suspended_by_context);
            } else if mux_epoch.is_none() || overfull {
                suspend(Some(binding), &mut self.stats.suspended_by_limit);
            }
            // The others are, unless they wait for their turn before it.
            thread.suspended = binding.suspended && (busy || !pipelined || thread.open.len() == 1);
        }
        self.evict();
    }

    fn has_ahead(&self, tgid: u32) -> bool {
        self.ahead.contains_key(&tgid)
    }

    fn take_away(&mut self, active: ActiveId) {
        let Some(thread) = self.bindings.get_mut(&active).and_then(|binding| binding.thread) else { return };
        if let Some(entry) = self.threads.peek_mut(&thread) {
            let before = entry.open.len();
            entry.open.retain(|id| *id != active);
            self.stats.rebound += u64::from(before > 1 && entry.open.len() < before);
        }
    }

    fn evict(&mut self) {
        if self.threads.len() <= self.limit {
            return;
        }
        if let Some((_, entry)) = self.threads.pop_lru() {
            self.stats.evicted_threads += 1;
            self.unbind(&entry);
        }
    }

    fn unbind(&mut self, entry: &Thread) {
        for id in &entry.open {
            if let Some(binding) = self.bindings.get_mut(id) {
                binding.thread = None;
            }
        }
    }
}

/// The exchange whose turn it is on a thread, unless it is suspended or doubtful.
fn first(bindings: &FxHashMap<ActiveId, Binding>, thread: &Thread, doubted: u64) -> Option<ActiveId> {
    let id = thread.open.first()?;
    let is_active =
        |binding: &&Binding| !binding.suspended && binding.ahead.is_none() && binding.seen > doubted;
    bindings.get(id).filter(is_active).map(|_| *id)
}

/// A thread begins a request of `connection`. What it had of other connections before events were lost is over: it
/// would go on to be "several requests" for as long as nobody tells its end. (On the same connection the new request
/// may be a pipelined one, and the next response will tell.)
fn drop_doubtful(
    thread: &mut Thread,
    bindings: &mut FxHashMap<ActiveId, Binding>,
    connection: ConnectionId,
    doubted: u64,
    stats: &mut BindingStats,
) {
    if doubted == 0 {
        return;
    }
    thread.open.retain(|id| {
        let Some(binding) = bindings.get_mut(id) else { return false };
        let keeps = binding.seen > doubted || binding.connection == connection;
        if !keeps {
            binding.thread = None;
            stats.dropped_after_loss += 1;
        }
        keeps
    });
}

/// Sets by which process a request is read ahead, and counts.
fn set_ahead(counts: &mut FxHashMap<u32, usize>, binding: &mut Binding, ahead: Option<u32>) {
    if let Some(tgid) = binding.ahead
        && let Some(count) = counts.get_mut(&tgid)
    {
        *count -= 1;
        if *count == 0 {
            counts.remove(&tgid);
        }
    }
    binding.ahead = ahead;
    if let Some(tgid) = ahead {
        *counts.entry(tgid).or_default() += 1;
    }
}

fn suspend(binding: Option<&mut Binding>, counter: &mut u64) {
    if let Some(binding) = binding.filter(|binding| !binding.suspended) {
        binding.suspended = true;
        *counter += 1;
    }
}
