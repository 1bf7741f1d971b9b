//! Parents that are known only later.
//!
//! Where a thread serves several requests at once (an event loop, greenlets), the call itself does not tell whose it
//! is. What tells is the interpreter's *context* that ran during the call (an asyncio task's, a greenlet's): the one
//! that writes an exchange's response works for that exchange. So a call asks, gets a [`Ticket`], and waits:
//!
//! ```text
//! request's head          call in context X      response written in context X
//!       │                        │                        │
//!       ├── the owner's window ──┼────────────────────────┤──▶ the call is the exchange's
//! ```
//!
//! A context is told by its address, and addresses are used again. A window therefore ends with the last byte that
//! was written *in the owner's context*, not with the response: what a buffer still holds is written when the task
//! may long be over. It begins with the end of the request's head, since before that nobody can work for it. What
//! writes the response may itself have begun within the window, where another one had its address (Starlette streams
//! in a task of its own): so it owns the exchange only if its task has a number, or if it read the request too. Where the
//! server's task for that one request waits for the writer, that one is the owner. A context that answers two exchanges whose windows meet has proved nothing, and owns neither; and a task that has
//! answered before, as one that serves a connection for as long as that lasts, can still have been at the exchange before
//! when the loop read the next one, so that it owns only the first. Contexts of different
//! threads have nothing to do with each other, except where they move between the threads of a process (goroutines).
//! After a loss nothing that waits is told.
//!
//! A call of an asyncio task that another task waits for is made for whatever that one works for: the call tells both
//! contexts, and the nearest that owns an exchange decides. So is a call of a worker thread for whose work a task waits:
//! the question is put to the thread of that task.
//!
//! The other thing that is known late: whether a thread inherits the request that it was made for ([`inheriting`]).

mod inheriting;
mod lingering;

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use lru::LruCache;
use rustc_hash::{FxHashMap, FxHashSet};
use tracer_ebpf::event::WAITERS;
use tracer_ebpf::runtime::context::NUMBER;

use self::inheriting::Inheriting;
pub use self::inheriting::{EXIT_GRACE, MAX_INHERITING};
use self::lingering::Lingering;
pub use self::lingering::{MAX_LINGER, MAX_LINGERING};
use super::active::{Evidence, Inactive};
use super::stats::LateStats;
use crate::event::{ActiveId, ConnectionId, Mark, Nanos, ThreadId};

/// Calls and lines whose parent is not known yet; a further one gets none.
pub const MAX_WAITING: usize = 32_768;

/// Answers that are kept until somebody asks for them.
pub const MAX_ANSWERS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// How long a call waits for its parent, in nanoseconds.
pub const MAX_WAIT: Nanos = 30_000_000_000;

/// Exchanges of threads with contexts that are open at once; a further one owns nothing.
pub const MAX_SERVED: usize = 65_536;

/// Contexts of a thread whose last response is remembered.
pub const MAX_WRITERS: usize = 4096;

/// Tasks of which it is remembered that they have answered a request.
pub const MAX_ANSWERED: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// What somebody who asked for a parent waits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A parent and how it is known, or why there is none.
pub type Answer = Result<(ActiveId, Evidence), Inactive>;

/// Whoever waits for a parent, and what would tell it.
#[derive(Debug)]
pub struct LateParents {
    threads: FxHashMap<ThreadId, Thread>,
    /// Those of each process.
    of_process: FxHashMap<u32, Vec<ThreadId>>,
    served: FxHashMap<ActiveId, Served>,
    /// Tasks that have answered, on their threads.
    answered: LruCache<(ThreadId, u64), ()>,
    inheriting: FxHashMap<ThreadId, Inheriting>,
    /// Threads made for exchanges that are over, and when they can inherit no more.
    outlived: VecDeque<(Nanos, ThreadId)>,
    /// In the order of asking: when each may wait no longer.
    due: VecDeque<(Nanos, ThreadId, Ticket)>,
    waiting: usize,
    last: u64,
    answers: Answers,
    /// Which greenlets have answered, and did nothing since.
    pub lingering: Lingering,
    /// Counters.
    pub stats: LateStats,
}

impl Default for LateParents {
    fn default() -> Self {
        Self {
            threads: FxHashMap::default(),
            of_process: FxHashMap::default(),
            served: FxHashMap::default(),
            answered: LruCache::new(MAX_ANSWERED),
            inheriting: FxHashMap::default(),
            outlived: VecDeque::new(),
            due: VecDeque::new(),
            waiting: 0,
            last: 0,
            answers: Answers::default(),
            lingering: Lingering::default(),
            stats: LateStats::default(),
        }
    }
}

#[derive(Debug)]
struct Answers {
    known: LruCache<Ticket, Answer>,
    /// Not looked at yet.
    fresh: Vec<Ticket>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { known: LruCache::new(MAX_ANSWERS), fresh: Vec::new() }
    }
}

impl Answers {
    fn give(&mut self, ticket: Ticket, answer: Answer) {
        self.known.push(ticket, answer);
        self.fresh.push(ticket);
    }
}

/// A thread, or a whole process ([`scope`]), on which contexts take turns.
#[derive(Debug, Default)]
struct Thread {
    open: Vec<ActiveId>,
    waiting: Vec<Question>,
    /// The last response that a context wrote, and by which call.
    writers: FxHashMap<u64, (ActiveId, u64)>,
    /// Writers were forgotten: a window that begins before this call may have met another one.
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    ticket: Ticket,
    /// The context of the call, and those that wait for it, nearest first; 0 where there is none.
    contexts: [u64; 1 + WAITERS],
    call: u64,
}

/// A server exchange of such a thread.
#[derive(Debug)]
struct Served {
    thread: ThreadId,
    /// The call that moved the request's first byte.
    begun: u64,
    /// The call that completed the request's head: nothing before it can be for the exchange.
    since: u64,
    /// The context that read the head, or as much of it as was read.
    reader: u64,
    owner: Option<u64>,
    /// The owner answered another exchange meanwhile.
    ambiguous: bool,
}

impl LateParents {
    /// Asks for the parent of a call that no plain rule knows.
    ///
    /// # Errors
    /// When nothing that could still happen would tell.
    pub fn ask(&mut self, mark: Mark) -> Result<Ticket, Inactive> {
        let question = Question { ticket: Ticket(self.last + 1), contexts: mark.contexts(), call: mark.call };
        let mut asked = scope(mark);
        let waiting = if let Some(inheriting) = self.inheriting.get_mut(&mark.thread) {
            if inheriting.ended.is_some() {
                return Err(Inactive::Outlived);
            }
            asked = mark.thread;
            &mut inheriting.waiting
        } else {
            let serves = self.threads.get(&asked).is_some_and(|thread| !thread.open.is_empty());
            if !serves && question.contexts[1] != 0 {
                asked = self.employer(&question, mark.thread.tgid)?;
            }
            let thread = self.threads.get_mut(&asked).filter(|thread| !thread.open.is_empty());
            let thread = thread.ok_or(Inactive::NoBinding)?;
            if mark.entered() == 0 && question.contexts[1] == 0 {
                return Err(Inactive::Suspended);
            }
            if !may_own(&self.served, thread, &question) {
                return Err(Inactive::OtherContext);
            }
            &mut thread.waiting
        };
        if self.waiting >= MAX_WAITING {
            return Err(Inactive::Limit);
        }
        waiting.push(question);
        self.last += 1;
        self.waiting += 1;
        self.stats.asked += 1;
        self.due.push_back((mark.time.saturating_add(MAX_WAIT), asked, question.ticket));
        Ok(question.ticket)
    }

    /// The answer to a question, once it is there. It is kept for a while.
    #[must_use]
    pub fn answer(&self, ticket: Ticket) -> Option<Answer> {
        self.answers.known.peek(&ticket).copied()
    }

    /// Puts the questions answered since the last call in place of what is in `answered`.
    pub fn take_answered(&mut self, answered: &mut Vec<Ticket>) {
        answered.clear();
        std::mem::swap(answered, &mut self.answers.fresh);
    }

    /// Number of questions that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The first byte of a server exchange was read in a context.
    pub fn begin(&mut self, exchange: ActiveId, mark: Mark) {
        if mark.context == 0 && !mark.migrates {
            return;
        }
        if self.served.len() >= MAX_SERVED {
            self.stats.unserved_by_limit += 1;
            return;
        }
        let (begun, since, thread, reader) = (mark.call, mark.call, scope(mark), mark.context);
        self.served.insert(exchange, Served { thread, begun, since, reader, owner: None, ambiguous: false });
        let place = self.threads.entry(thread).or_insert_with(|| {
            self.of_process.entry(thread.tgid).or_default().push(thread);
            Thread::default()
        });
        place.open.push(exchange);
    }

    /// The one thread of a process with an exchange that a worker's question may be answered by.
    fn employer(&self, question: &Question, tgid: u32) -> Result<ThreadId, Inactive> {
        let threads = self.of_process.get(&tgid).ok_or(Inactive::NoBinding)?;
        let mut may_own = threads.iter().filter(|thread| {
            self.threads.get(thread).is_some_and(|thread| may_own(&self.served, thread, question))
        });
        match (may_own.next(), may_own.next()) {
            (Some(thread), None) => Ok(*thread),
            (Some(_), Some(_)) => Err(Inactive::Ambiguous),
            _ => Err(Inactive::OtherContext),
        }
    }

    fn remove(&mut self, id: ThreadId) -> Option<Thread> {
        let removed = self.threads.remove(&id)?;
        if let Some(threads) = self.of_process.get_mut(&id.tgid) {
            threads.retain(|thread| *thread != id);
            if threads.is_empty() {
                self.of_process.remove(&id.tgid);
            }
        }
        Some(removed)
    }

    /// The head of its request is complete with the call.
    pub fn head_complete(&mut self, exchange: ActiveId, mark: Mark) {
        if let Some(served) = self.served.get_mut(&exchange).filter(|served| served.owner.is_none()) {
            served.since = served.since.max(mark.call);
            served.reader = mark.context;
        }
    }

    /// Bytes of its response were written.
    pub fn on_response(&mut self, exchange: ActiveId, mark: Mark) {
        let Some(served) = self.served.get_mut(&exchange) else { return };
        let owner = *served.owner.get_or_insert(mark.owner_since(served.reader));
        let elsewhere = scope(mark) != served.thread;
        // What writes for the owner is as good as itself: it waits.
        let is_owners = owner != 0 && mark.contexts().contains(&owner);
        if !is_owners || elsewhere {
            // Another's bytes: what a buffer still held. If they were the first ones, nobody knows the owner.
            if served.owner == Some(0) || elsewhere {
                self.end(exchange);
            }
            return;
        }
        let Some(thread) = self.threads.get_mut(&served.thread) else { return };
        let other = thread.writers.insert(owner, (exchange, mark.call));
        let met = other.is_some_and(|(other, call)| other != exchange && call > served.since)
            || served.reader != owner && self.answered.contains(&(served.thread, owner));
        served.ambiguous |= met || served.since < thread.forgotten;
        self.stats.ambiguous += u64::from(met);
        let (since, ambiguous) = (served.since, served.ambiguous);
        if thread.waiting.is_empty() {
            return;
        }
        let open = thread.open.iter().filter_map(|id| self.served.get(id));
        let owners: FxHashSet<u64> = open.filter_map(|served| served.owner).collect();
        thread.waiting.retain(|question| {
            let nearest = question.contexts.iter().find(|context| owners.contains(context));
            let within = nearest == Some(&owner) && (since..=mark.call).contains(&question.call);
            if within {
                let answer =
                    if ambiguous { Err(Inactive::Ambiguous) } else { Ok((exchange, Evidence::Context)) };
                self.answers.give(question.ticket, answer);
                self.waiting -= 1;
            }
            !within
        });
        self.settle(scope(mark));
    }

    /// The call wrote the last byte of a server exchange's response.
    pub fn answer_whole(&mut self, exchange: ActiveId, connection: ConnectionId, mark: Mark) {
        if self.served.get(&exchange).is_some_and(|served| served.owner == Some(mark.context)) {
            self.lingering.answer(exchange, connection, mark);
        }
    }

    /// A server exchange is over, or given up.
    pub fn end(&mut self, exchange: ActiveId) {
        let Some(served) = self.served.remove(&exchange) else { return };
        let Some(thread) = self.threads.get_mut(&served.thread) else { return };
        if let Some(owner) = served.owner.filter(|owner| owner & NUMBER != 0) {
            self.answered.push((served.thread, owner), ());
        }
        thread.open.retain(|open| *open != exchange);
        let oldest = thread.open.iter().filter_map(|id| self.served.get(id)).map(|open| open.begun).min();
        thread.writers.retain(|_, (_, call)| oldest.is_some_and(|oldest| *call > oldest));
        if thread.writers.len() > MAX_WRITERS {
            thread.forgotten = thread.writers.values().map(|(_, call)| *call).max().unwrap_or_default();
            thread.writers.clear();
        }
        self.settle(served.thread);
    }

    /// What takes turns there does so no more.
    fn forget(&mut self, scope: ThreadId) {
        let Some(gone) = self.remove(scope) else { return };
        for question in gone.waiting {
            self.refuse(question.ticket, Inactive::OtherContext);
        }
        for exchange in gone.open {
            self.served.remove(&exchange);
        }
    }

    /// A process has ended, or runs another program: the end of its threads tells nothing about requests.
    pub fn exit_process(&mut self, tgid: u32) {
        self.forget(whole_process(tgid));
        let gone: Vec<_> = self.inheriting.keys().filter(|thread| thread.tgid == tgid).copied().collect();
        for thread in gone {
            self.disinherit(thread);
        }
    }

    /// Events were lost: what waits stays without a parent, and what was begun owns nothing.
    pub fn doubt(&mut self) {
        for (_, thread) in self.threads.drain() {
            for question in thread.waiting {
                self.answers.give(question.ticket, Err(Inactive::Doubtful));
            }
        }
        for (_, inheriting) in self.inheriting.drain() {
            for question in inheriting.waiting {
                self.answers.give(question.ticket, Err(Inactive::Doubtful));
            }
        }
        self.of_process.clear();
        self.served.clear();
        self.lingering.clear();
        self.outlived.clear();
        self.due.clear();
        self.waiting = 0;
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Nanos) {
        while let Some((_, thread)) = self.outlived.pop_front_if(|(due, _)| *due <= now) {
            match self.inheriting.get(&thread) {
                Some(inheriting) if inheriting.ended_in_time() => self.inherit(thread),
                _ => self.disinherit(thread),
            }
        }
        while let Some((_, thread, ticket)) = self.due.pop_front_if(|(due, ..)| *due <= now) {
            if self.answers.known.contains(&ticket) {
                continue;
            }
            let waiting = match (self.inheriting.get_mut(&thread), self.threads.get_mut(&thread)) {
                (Some(inheriting), _) => &mut inheriting.waiting,
                (None, Some(thread)) => &mut thread.waiting,
                (None, None) => continue,
            };
            let before = waiting.len();
            waiting.retain(|question| question.ticket != ticket);
            if waiting.len() < before {
                self.refuse(ticket, Inactive::Expired);
            }
        }
    }

    /// Nothing more will happen.
    pub fn finish(&mut self) {
        let threads: Vec<_> = self.threads.keys().copied().collect();
        for thread in threads {
            self.exit(thread);
        }
        self.expire(Nanos::MAX);
        let left: Vec<_> = self.inheriting.keys().copied().collect();
        for thread in left {
            self.disinherit(thread);
        }
    }

    /// Answers the questions of a thread that none of its open exchanges can answer any more.
    fn settle(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(&id) else { return };
        if thread.waiting.is_empty() {
            if thread.open.is_empty() {
                self.remove(id);
            }
            return;
        }
        let open = thread.open.iter().filter_map(|id| self.served.get(id));
        let undecided = open.clone().filter(|served| served.owner.is_none()).map(|served| served.begun).min();
        let owners: FxHashSet<u64> = open.filter_map(|served| served.owner).collect();
        thread.waiting.retain(|question| {
            let waits = undecided.is_some_and(|begun| begun < question.call)
                || owners.iter().any(|owner| question.contexts.contains(owner));
            if !waits {
                self.answers.give(question.ticket, Err(Inactive::OtherContext));
                self.waiting -= 1;
            }
            waits
        });
        if thread.open.is_empty() && thread.waiting.is_empty() {
            self.remove(id);
        }
    }

    fn refuse(&mut self, ticket: Ticket, reason: Inactive) {
        self.answers.give(ticket, Err(reason));
        self.waiting -= 1;
    }
}

/// Where contexts take turns: on one thread, or, where they move, on all threads of the process.
fn scope(mark: Mark) -> ThreadId {
    if mark.migrates { whole_process(mark.thread.tgid) } else { mark.thread }
}

/// A thread's number is not 0, so that this stands for none of them.
fn whole_process(tgid: u32) -> ThreadId {
    ThreadId { tgid, tid: 0, start: 0 }
}

/// Whether one of the thread's exchanges may turn out to be the question's answer.
fn may_own(served: &FxHashMap<ActiveId, Served>, thread: &Thread, question: &Question) -> bool {
    thread.open.iter().filter_map(|id| served.get(id)).any(|served| match served.owner {
        None => served.begun < question.call,
        Some(owner) => question.contexts.contains(&owner),
    })
}
