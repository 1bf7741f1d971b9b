//! From writes to a log to whole records.
//!
//! A program's write can hold part of a line (`PYTHONUNBUFFERED` sends text and newline apart), one line, or
//! many (buffered stdout). Lines are put together per thread and file, so that threads that share a stdout do not
//! mix. The rules:
//!
//! - A record is a line, with the continuation lines that follow it (see [`super::continuation`]). Logging libraries
//!   write such a record at once; an interpreter prints an uncaught exception's traceback line by line. So a complete
//!   record waits for [`HOLD`], and takes lines of later writes that are indented or part of a traceback, as long as
//!   the same was active.
//! - Only the last record that began in a write may take the writer's ids ([`LogLine::own`]): earlier ones can
//!   have waited in the program's buffer since another request. So when a write ends inside a line, that line is
//!   the one that may, once it is complete, and none before it.
//! - None may where a write of [`FULL_BUFFER`] bytes or more holds several records: it empties a buffer that was
//!   full. CPython's is emptied to make room for the next record, so that even the last one in it is an older one.
//! - None may where threads share a buffer, and the line can be another thread's ([`super::shared_buffers`]).
//! - Of a write that was captured in part, only a record that fills the whole captured part may take the ids:
//!   otherwise the last one is in the part that is missing.
//! - Blank lines are no records.
//!
//! Everything is bounded: a record by [`MAX_RECORD`], records in the making by [`MAX_OPEN`], their age by
//! [`MAX_WAIT`].

use std::num::NonZeroUsize;

use lru::LruCache;

use super::continuation::{Growth, split_records};
use super::shared_buffers::SharedBuffers;
use crate::event::{Nanos, ThreadId};

/// Longest record, in bytes; what is longer is cut there and flagged.
pub const MAX_RECORD: usize = 64 * 1024;

/// Bytes from which on a write of several records is taken for a full buffer's. The smallest usual buffer, that of
/// C's stdio on a pipe, has as many; CPython's has 8192, filled with whole pieces as far as they fit.
pub const FULL_BUFFER: u64 = 4096;

/// Records that wait at a time; beyond that the one that waited longest is passed on as it is.
pub const MAX_OPEN: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// How long a line waits for its end: a prompt never gets one.
pub const MAX_WAIT: Nanos = 1_000_000_000;

/// How long a complete record waits for lines that go on with it, after the last of them.
pub const HOLD: Nanos = 50_000_000;

/// Where a line is being written: one thread's writes to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogKey {
    /// Who writes.
    pub thread: ThreadId,
    /// Device of the file, in the kernel's encoding.
    pub dev: u32,
    /// Inode of the file.
    pub ino: u64,
}

/// One write.
#[derive(Clone, Copy, Debug)]
pub struct LogWrite<'a> {
    /// What was captured, from the write's first byte.
    pub bytes: &'a [u8],
    /// How many more bytes were written but not captured.
    pub missing: u64,
}

/// What belongs to a write: its time, its stream, what was active.
pub trait WriteMark: Clone {
    /// Whether a line that a later write brings may belong to a record of this one.
    fn goes_with(&self, later: &Self) -> bool;
}

/// A write that is told apart by nothing but a number: whatever follows may belong to it.
impl WriteMark for u64 {
    fn goes_with(&self, _: &Self) -> bool {
        true
    }
}

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<T> {
    /// Its text without the line end; continuation lines joined by newlines. Invalid UTF-8 is replaced.
    pub text: String,
    /// What came with the write in which it began.
    pub mark: T,
    /// Whether it was certainly written by that write, so that it may take the ids of what was active then.
    pub own: bool,
    /// Whether its end is missing.
    pub cut: bool,
}

/// A record that waits.
#[derive(Debug)]
struct Open<T> {
    text: Vec<u8>,
    mark: T,
    own: bool,
    since: Nanos,
    waits_for: Waiting,
}

/// What a record waits for.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// The end of its last line.
    LineEnd,
    /// More lines: it is complete as it is.
    Lines(Growth),
    /// The end of its last line, which is dropped: the cap was reached and the record passed on.
    NothingKept,
}

/// Puts writes together to records.
#[derive(Debug)]
pub struct LogLines<T> {
    open: LruCache<LogKey, Open<T>>,
    /// Whose lines they are.
    pub buffers: SharedBuffers,
}

impl<T: WriteMark> Default for LogLines<T> {
    fn default() -> Self {
        Self { open: LruCache::new(MAX_OPEN), buffers: SharedBuffers::default() }
    }
}

impl<T: WriteMark> LogLines<T> {
    /// Takes a write that ended at `now` and passes on the records that are complete with it.
    pub fn write(
        &mut self,
        key: LogKey,
        write: LogWrite<'_>,
        mark: &T,
        now: Nanos,
        out: &mut Vec<LogLine<T>>,
    ) {
        let mut rest = write.bytes;
        let held = self.open.pop(&key);
        // A record that got its line's end by this write counts among those that the write holds.
        let mut fresh = true;
        if let Some(mut open) = held {
            fresh = matches!(open.waits_for, Waiting::Lines(_));
            match open.take(write, mark, now) {
                After::Held => {
                    open.own &= self.buffers.on_write(key, false, now);
                    return self.hold(key, open, now, out);
                }
                After::Cut => return release(open, true, out),
                After::Left(after) => rest = after,
            }
            release(open, false, out);
        }
        let (mut records, tail) = split_records(rest);
        let whole = write.missing == 0;
        let pieces = records.len() + usize::from(tail.is_some()) + usize::from(!fresh);
        let emptied = pieces > 1 && write.bytes.len() as u64 >= FULL_BUFFER;
        let may_own = self.buffers.on_write(key, pieces > 1, now) && whole && !emptied;
        let last = if whole && tail.is_none() { records.pop() } else { None };
        for record in &records {
            push(out, record, mark.clone(), false, false);
        }
        let open = |text: &[u8], own, waits_for| Open {
            text: text.to_vec(),
            mark: mark.clone(),
            own,
            since: now,
            waits_for,
        };
        match (last, tail) {
            (Some(last), _) => {
                self.hold(key, open(last, may_own, Waiting::Lines(Growth::of(last))), now, out)
            }
            (None, Some(tail)) if whole => self.hold(key, open(tail, may_own, Waiting::LineEnd), now, out),
            (None, Some(tail)) => push(out, tail, mark.clone(), fresh && records.is_empty(), true),
            (None, None) => {}
        }
    }

    /// Passes on the records that have waited for long enough at `now`.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<LogLine<T>>) {
        // The order of use is not the order of what is due, since some wait longer than others: look at all. There
        // are only few.
        let is_due = |open: &Open<T>| now.saturating_sub(open.since) >= open.patience();
        let due: Vec<LogKey> =
            self.open.iter().filter(|(_, open)| is_due(open)).map(|(key, _)| *key).rev().collect();
        for key in due {
            if let Some(open) = self.open.pop(&key) {
                release(open, false, out);
            }
        }
    }

    /// Passes on everything: at the end.
    pub fn flush(&mut self, out: &mut Vec<LogLine<T>>) {
        while let Some((_, open)) = self.open.pop_lru() {
            release(open, false, out);
        }
    }

    /// Records that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.open.len()
    }

    fn hold(&mut self, key: LogKey, mut open: Open<T>, now: Nanos, out: &mut Vec<LogLine<T>>) {
        if open.text.len() > MAX_RECORD && matches!(open.waits_for, Waiting::LineEnd) {
            push(out, &open.text, open.mark.clone(), open.own, true);
            open.text = Vec::new();
            open.waits_for = Waiting::NothingKept;
        }
        if matches!(open.waits_for, Waiting::NothingKept) {
            // As long as more of it comes there is something to drop.
            open.since = now;
        }
        if let Some((other, evicted)) = self.open.push(key, open)
            && other != key
        {
            release(evicted, false, out);
        }
    }
}

/// What a write left of a record that was held before it.
enum After<'a> {
    /// The record goes on waiting.
    Held,
    /// The rest of it was not captured.
    Cut,
    /// The record is complete, and this comes behind it.
    Left(&'a [u8]),
}

impl<T: WriteMark> Open<T> {
    /// Takes what belongs to the record from the front of a write.
    fn take<'a>(&mut self, write: LogWrite<'a>, mark: &T, now: Nanos) -> After<'a> {
        let mut rest = write.bytes;
        if !matches!(self.waits_for, Waiting::Lines(_)) {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) =
                rest.split_at_checked(end.map_or(rest.len(), |at| at + 1)).unwrap_or((rest, &[]));
            let keeps = matches!(self.waits_for, Waiting::LineEnd);
            if keeps {
                self.text.extend_from_slice(line);
            }
            match end {
                Some(_) if keeps => self.waits_for = Waiting::Lines(Growth::of(&self.text)),
                Some(_) => return After::Left(after),
                None if write.missing > 0 => return After::Cut,
                None => return After::Held,
            }
            self.since = now;
            rest = after;
        }
        if !self.mark.goes_with(mark) || write.missing > 0 {
            return After::Left(rest);
        }
        while let Waiting::Lines(growth) = &mut self.waits_for
            && !rest.is_empty()
        {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) =
                rest.split_at_checked(end.map_or(rest.len(), |at| at + 1)).unwrap_or((rest, &[]));
            if self.text.len() + line.len() > MAX_RECORD || !growth.takes(line) {
                return After::Left(rest);
            }
            self.text.extend_from_slice(line);
            self.since = now;
            rest = after;
            if end.is_none() {
                self.waits_for = Waiting::LineEnd;
            }
        }
        After::Held
    }

    fn patience(&self) -> Nanos {
        match self.waits_for {
            Waiting::Lines(_) => HOLD,
            Waiting::LineEnd | Waiting::NothingKept => MAX_WAIT,
        }
    }
}

/// Passes on an open record as it is.
fn release<T>(open: Open<T>, cut: bool, out: &mut Vec<LogLine<T>>) {
    if !matches!(open.waits_for, Waiting::NothingKept) {
        push(out, &open.text, open.mark, open.own, cut);
    }
}

fn push<T>(out: &mut Vec<LogLine<T>>, record: &[u8], mark: T, own: bool, cut: bool) {
    if record.trim_ascii().is_empty() {
        return;
    }
    let kept = record.get(..MAX_RECORD).unwrap_or(record);
    let end = kept.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(kept.get(..end).unwrap_or_default()).into_owned();
    out.push(LogLine { text, mark, own, cut: cut || record.len() > MAX_RECORD });
}

#[cfg(test)]
#[path = "log_line_tests.rs"]
mod tests;
