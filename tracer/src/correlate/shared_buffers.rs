//! Whose lines a write holds where threads share a buffer, as they do CPython's `sys.stdout`.
//!
//! A thread appends its line to the buffer, and then flushes it. Another thread's flush can come between:
//!
//! ```text
//! A   append a ───────────────────────────── flush: writes c
//! B        append b ── flush: writes a, b
//! C                                 append c ──── flush: nothing is left
//! ```
//!
//! So when a write held several lines, any thread can be about to flush without a line of its own: it is *unsure*. One that
//! made another call since is not, because its line and its flush came after that. What an unsure thread writes can be the
//! line of one that is about to flush in turn: then all others are unsure again. Between a line and its flush a thread
//! waits for little more than its turn to run, so that all this is over after [`SETTLED`]. (Of fifty threads that did
//! nothing but print, the last wrong line came 7 ms after the write of several; of as many in Flask one did after 20 ms:
//! CPython lets a thread run for 5 ms.) A process that is not allowed to run (a quota) does not get on, so what counts is
//! time in which calls were made.

use std::num::NonZeroUsize;

use lru::LruCache;
use rustc_hash::FxHashSet;

use super::log_line::LogKey;
use crate::event::{Nanos, ThreadId};

/// Processes whose buffers are known; that of one that wrote least recently is forgotten.
pub const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Buffers of a process; a further one counts as one thread's own.
pub const MAX_BUFFERS: usize = 16;

/// Threads that are sure while others are not; a further one counts as unsure.
pub const MAX_SURE: usize = 4096;

/// How long threads are unsure after a write of several lines, in nanoseconds in which their process made calls.
pub const SETTLED: Nanos = 300_000_000;

/// What the time between two calls of a process counts for at most.
const MAX_STEP: Nanos = 2_000_000;

/// After so many writes to a buffer the older ones count half.
const WRITES: u32 = 64;

/// Of fewer writes nothing is concluded.
const MIN_WRITES: u32 = 8;

/// The buffers of processes.
#[derive(Debug)]
pub struct SharedBuffers {
    processes: LruCache<u32, Process>,
    /// A thread was unsure once.
    any_unsure: bool,
}

impl Default for SharedBuffers {
    fn default() -> Self {
        Self { processes: LruCache::new(MAX_PROCESSES), any_unsure: false }
    }
}

#[derive(Debug, Default)]
struct Process {
    buffers: Vec<Buffer>,
    /// Its last call.
    latest: Nanos,
    /// The time in which it made calls.
    active: Nanos,
}

/// What threads of a process write to one file by.
#[derive(Debug)]
struct Buffer {
    dev: u32,
    ino: u64,
    first: ThreadId,
    /// Other threads wrote too.
    is_shared: bool,
    unsure: Option<Unsure>,
    /// Writes, and how many of them held several lines.
    writes: u32,
    merged: u32,
}

/// Threads are unsure.
#[derive(Debug)]
struct Unsure {
    /// Until then, by the process's time.
    until: Nanos,
    /// But for these.
    but: FxHashSet<ThreadId>,
}

impl SharedBuffers {
    /// A thread made a call of another kind, which ended at `now`.
    pub fn on_call(&mut self, thread: ThreadId, now: Nanos) {
        if !self.any_unsure {
            return;
        }
        let Some(process) = self.processes.peek_mut(&thread.tgid) else { return };
        process.pass(now);
        for unsure in process.buffers.iter_mut().filter_map(|buffer| buffer.unsure.as_mut()) {
            if unsure.but.len() < MAX_SURE {
                unsure.but.insert(thread);
            }
        }
    }

    /// A thread's write ended at `now`. Whether the last line that it holds is surely the thread's own; `several`: it
    /// holds more lines.
    pub fn on_write(&mut self, key: LogKey, several: bool, now: Nanos) -> bool {
        let process = self.processes.get_or_insert_mut(key.thread.tgid, Process::default);
        process.pass(now);
        let active = process.active;
        let Some(buffer) = process.buffer(key) else { return true };
        buffer.is_shared |= buffer.first != key.thread;
        buffer.count(several);
        if !buffer.is_shared {
            return true;
        }
        let is_sure = buffer.is_sure(key.thread);
        if several {
            buffer.doubt(active + SETTLED);
            self.any_unsure = true;
        } else if let Some(unsure) = buffer.unsure.as_mut().filter(|_| !is_sure) {
            unsure.but.clear();
        }
        if let Some(unsure) = &mut buffer.unsure {
            unsure.but.insert(key.thread);
        }
        is_sure && !several && !buffer.is_mostly_merged()
    }

    /// Events were lost, which may have been writes of several lines.
    pub fn doubt(&mut self) {
        for (_, process) in &mut self.processes {
            let until = process.active + SETTLED;
            for buffer in process.buffers.iter_mut().filter(|buffer| buffer.is_shared) {
                buffer.doubt(until);
                self.any_unsure = true;
            }
        }
    }
}

impl Process {
    /// It made a call.
    fn pass(&mut self, now: Nanos) {
        self.active += now.saturating_sub(self.latest).min(MAX_STEP);
        self.latest = self.latest.max(now);
        for buffer in &mut self.buffers {
            buffer.unsure.take_if(|unsure| unsure.until <= self.active);
        }
    }

    fn buffer(&mut self, key: LogKey) -> Option<&mut Buffer> {
        let is_it = |buffer: &Buffer| (buffer.dev, buffer.ino) == (key.dev, key.ino);
        let index = match self.buffers.iter().position(is_it) {
            Some(index) => index,
            None if self.buffers.len() >= MAX_BUFFERS => return None,
            None => {
                self.buffers.push(Buffer::new(key));
                self.buffers.len() - 1
            }
        };
        self.buffers.get_mut(index)
    }
}

impl Buffer {
    fn new(key: LogKey) -> Self {
        let LogKey { thread, dev, ino } = key;
        Self { dev, ino, first: thread, is_shared: false, unsure: None, writes: 0, merged: 0 }
    }

    fn count(&mut self, several: bool) {
        if self.writes >= WRITES {
            self.writes /= 2;
            self.merged /= 2;
        }
        self.writes += 1;
        self.merged += u32::from(several);
    }

    fn is_sure(&self, thread: ThreadId) -> bool {
        self.unsure.as_ref().is_none_or(|unsure| unsure.but.contains(&thread))
    }

    fn doubt(&mut self, until: Nanos) {
        self.unsure = Some(Unsure { until, but: FxHashSet::default() });
    }

    /// Lines are not flushed one by one: nothing is known of when they were appended.
    fn is_mostly_merged(&self) -> bool {
        self.writes >= MIN_WRITES && self.merged * 4 >= self.writes * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32) -> ThreadId {
        ThreadId { tgid: 1, tid, start: 0 }
    }

    fn key(tid: u32) -> LogKey {
        LogKey { thread: thread(tid), dev: 1, ino: 2 }
    }

    fn write(buffers: &mut SharedBuffers, tid: u32, several: bool) -> bool {
        buffers.on_write(key(tid), several, 1)
    }

    #[test]
    fn a_threads_own_buffer_is_its_own() {
        let mut buffers = SharedBuffers::default();
        for several in [false, true, true, false] {
            assert!(write(&mut buffers, 1, several));
        }
    }

    /// The case of the picture, with thread D that made another call since.
    #[test]
    fn who_may_flush_without_a_line_of_its_own_is_unsure() {
        let mut buffers = SharedBuffers::default();
        let [a, b, c, d] = [1, 2, 3, 4];
        for tid in [a, b, c, d] {
            assert!(write(&mut buffers, tid, false));
        }
        assert!(!write(&mut buffers, b, true));
        buffers.on_call(thread(d), 2);
        assert!(write(&mut buffers, d, false), "it appended and flushed since");
        assert!(!write(&mut buffers, a, false), "it holds c");
        assert!(!write(&mut buffers, d, false), "c's owner may be anybody");
        for tid in [a, b, c, d] {
            buffers.on_call(thread(tid), 3);
        }
        for tid in [a, b, c, d] {
            assert!(write(&mut buffers, tid, false));
        }
    }

    #[test]
    fn nobody_is_unsure_for_long_while_calls_are_made() {
        let mut buffers = SharedBuffers::default();
        let merge = |buffers: &mut SharedBuffers| {
            for tid in [1, 2] {
                buffers.on_write(key(tid), tid == 2, 0);
            }
        };
        merge(&mut buffers);
        assert!(!buffers.on_write(key(1), false, 100 * SETTLED), "the process did not run meanwhile");
        merge(&mut buffers);
        for step in 1..=SETTLED / MAX_STEP {
            buffers.on_call(thread(3), 100 * SETTLED + step * MAX_STEP);
        }
        assert!(buffers.on_write(key(1), false, 101 * SETTLED));
    }

    #[test]
    fn files_and_processes_have_buffers_of_their_own() {
        let mut buffers = SharedBuffers::default();
        for tid in [1, 2] {
            write(&mut buffers, tid, false);
        }
        assert!(!write(&mut buffers, 1, true));
        let other = LogKey { ino: 3, ..key(2) };
        assert!(buffers.on_write(other, false, 1));
        let other = LogKey { thread: ThreadId { tgid: 2, ..thread(2) }, ..key(2) };
        assert!(buffers.on_write(other, false, 1));
        assert!(!write(&mut buffers, 2, false));
    }

    #[test]
    fn lines_that_are_flushed_together_are_nobodys() {
        let mut buffers = SharedBuffers::default();
        for tid in [1, 2] {
            write(&mut buffers, tid, false);
        }
        for round in 0..40 {
            for tid in [1, 2] {
                buffers.on_call(thread(tid), 3);
                let several = round % 8 != 7;
                assert!(!write(&mut buffers, tid, several), "{round}");
            }
        }
        for _ in 0..WRITES {
            buffers.on_call(thread(1), 3);
            write(&mut buffers, 1, false);
        }
        assert!(write(&mut buffers, 1, false));
    }

    #[test]
    fn what_was_lost_may_have_held_several() {
        let mut buffers = SharedBuffers::default();
        for tid in [1, 2] {
            assert!(write(&mut buffers, tid, false));
        }
        buffers.doubt();
        assert!(!write(&mut buffers, 1, false));
        buffers.on_call(thread(2), 3);
        assert!(write(&mut buffers, 2, false));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut buffers = SharedBuffers::default();
        for tgid in 0..2 * MAX_PROCESSES.get() as u32 {
            for ino in 0..2 * MAX_BUFFERS as u64 {
                let thread = ThreadId { tgid, ..thread(1) };
                buffers.on_write(LogKey { thread, dev: 1, ino }, false, 1);
            }
        }
        assert_eq!(buffers.processes.len(), MAX_PROCESSES.get());
        assert!(buffers.processes.iter().all(|(_, process)| process.buffers.len() == MAX_BUFFERS));
        let mut buffers = SharedBuffers::default();
        for tid in [1, 2] {
            write(&mut buffers, tid, true);
        }
        for tid in 0..2 * MAX_SURE as u32 {
            buffers.on_call(thread(tid), 3);
        }
        assert!(!write(&mut buffers, MAX_SURE as u32 + 9, false));
    }
}
