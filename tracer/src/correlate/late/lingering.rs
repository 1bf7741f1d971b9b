//! What a greenlet writes after its response: the line of an access log.
//!
//! It belongs to the request before as long as the greenlet does nothing else that is seen, and its connection is not
//! closed: then it may end, and its address be another's. (Where nothing tells of a close there is no such line.)

use std::num::NonZeroUsize;

use lru::LruCache;
use rustc_hash::FxHashMap;
use tracer_ebpf::runtime::context::STACK;

use crate::event::{ActiveId, ConnectionId, Mark, Nanos, ThreadId};

/// Greenlets that have answered and did nothing since; the one that answered first is forgotten.
pub const MAX_LINGERING: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// How long after the response its line is expected, in nanoseconds.
pub const MAX_LINGER: Nanos = 100_000_000;

/// Greenlets that have answered, and did nothing since.
#[derive(Debug)]
pub struct Lingering {
    greenlets: LruCache<Greenlet, Answered>,
    of: FxHashMap<ConnectionId, Greenlet>,
}

/// A greenlet, on its thread.
type Greenlet = (ThreadId, u64);

#[derive(Clone, Copy, Debug)]
struct Answered {
    exchange: ActiveId,
    connection: ConnectionId,
    at: Nanos,
}

impl Default for Lingering {
    fn default() -> Self {
        Self { greenlets: LruCache::new(MAX_LINGERING), of: FxHashMap::default() }
    }
}

impl Lingering {
    /// The last byte of an exchange's response was written by this call, in the greenlet that owns the exchange.
    pub fn answer(&mut self, exchange: ActiveId, connection: ConnectionId, mark: Mark) {
        if mark.context & STACK == 0 {
            return;
        }
        self.close(connection);
        let greenlet = (mark.thread, mark.context);
        let answered = Answered { exchange, connection, at: mark.time };
        if let Some((_, gone)) = self.greenlets.push(greenlet, answered) {
            self.of.remove(&gone.connection);
        }
        self.of.insert(connection, greenlet);
    }

    /// The exchange that a line belongs to.
    #[must_use]
    pub fn line(&self, mark: Mark) -> Option<ActiveId> {
        let answered = self.greenlets.peek(&(mark.thread, mark.context))?;
        (mark.time.saturating_sub(answered.at) <= MAX_LINGER).then_some(answered.exchange)
    }

    /// A greenlet does something else.
    pub fn on_call(&mut self, mark: Mark) {
        if mark.context & STACK == 0 || self.greenlets.is_empty() {
            return;
        }
        if let Some(gone) = self.greenlets.pop(&(mark.thread, mark.context)) {
            self.of.remove(&gone.connection);
        }
    }

    /// A connection is closed, or about to be.
    pub fn close(&mut self, connection: ConnectionId) {
        if let Some(greenlet) = self.of.remove(&connection) {
            self.greenlets.pop(&greenlet);
        }
    }

    /// Events were lost.
    pub fn clear(&mut self) {
        self.greenlets.clear();
        self.of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(context: u64, time: Nanos) -> Mark {
        Mark {
            thread: ThreadId { tgid: 1, tid: 1, start: 1 },
            context: context | STACK,
            time,
            ..Mark::default()
        }
    }

    fn connection(sock: u64) -> ConnectionId {
        ConnectionId { sock, ino: 1 }
    }

    #[test]
    fn a_line_after_the_response_is_the_requests() {
        let mut lingering = Lingering::default();
        lingering.answer(ActiveId(7), connection(1), mark(16, 5));
        assert_eq!(lingering.line(mark(16, 6)), Some(ActiveId(7)));
        assert_eq!(lingering.line(mark(32, 6)), None, "another greenlet");
        let other = Mark { thread: ThreadId { tgid: 1, tid: 2, start: 1 }, ..mark(16, 6) };
        assert_eq!(lingering.line(other), None, "another thread");
        assert_eq!(lingering.line(mark(16, 6 + MAX_LINGER)), None, "too late");
        lingering.answer(ActiveId(8), connection(2), Mark { context: 48, ..mark(48, 5) });
        assert_eq!(lingering.line(Mark { context: 48, ..mark(48, 6) }), None, "no greenlet");
    }

    #[test]
    fn not_once_it_does_something_else_or_its_connection_is_closed() {
        let mut lingering = Lingering::default();
        let ends: [fn(&mut Lingering); 3] =
            [Lingering::clear, |all| all.on_call(mark(16, 6)), |all| all.close(connection(1))];
        for (number, end) in ends.into_iter().enumerate() {
            lingering.answer(ActiveId(7), connection(1), mark(16, 5));
            lingering.on_call(mark(32, 6));
            lingering.close(connection(2));
            assert!(lingering.line(mark(16, 6)).is_some(), "{number}");
            end(&mut lingering);
            assert!(lingering.line(mark(16, 6)).is_none(), "{number}");
            assert!(lingering.greenlets.is_empty() && lingering.of.is_empty());
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut lingering = Lingering::default();
        for number in 0..2 * MAX_LINGERING.get() as u64 {
            lingering.answer(ActiveId(number), connection(number % 5000), mark(number << 4, 5));
        }
        assert_eq!(lingering.greenlets.len(), MAX_LINGERING.get());
        assert_eq!(lingering.of.len(), MAX_LINGERING.get());
    }
}
