//! From writes to a log to whole records.
//!
//! A program's write can hold part of a line (`PYTHONUNBUFFERED` sends text and newline apart), one line, or
//! many (buffered stdout). Lines are put together per thread and file, so that threads that share a stdout do not
//! mix. The rules:
//!
//! - A record is a line, with the continuation lines that follow it **in the same write** (see
//!   [`super::continuation`]).
//!   Logging libraries write such a record at once.
//! - Only the last record that began in a write may take the writer's ids ([`LogLine::own`]): earlier ones can
//!   have waited in the program's buffer since another request. So when a write ends inside a line, that line is
//!   the one that may, once it is complete, and none before it.
//! - None may where a write of [`FULL_BUFFER`] bytes or more holds several records: it empties a buffer that was
//!   full. CPython's is emptied to make room for the next record, so that even the last one in it is an older one.
//! - Of a write that was captured in part, only a record that fills the whole captured part may take the ids:
//!   otherwise the last one is in the part that is missing.
//! - Blank lines are no records.
//!
//! Everything is bounded: a record by [`MAX_RECORD`], records in the making by [`MAX_OPEN`], their age by
//! [`MAX_WAIT`].

use std::num::NonZeroUsize;

use lru::LruCache;

use super::continuation::split_records;
use crate::event::{Nanos, ThreadId};

/// Longest record, in bytes; what is longer is cut there and flagged.
pub const MAX_RECORD: usize = 64 * 1024;

/// Bytes from which on a write of several records is taken for a full buffer's. The smallest usual buffer, that of
/// C's stdio on a pipe, has as many; CPython's has 8192, filled with whole pieces as far as they fit.
pub const FULL_BUFFER: u64 = 4096;

/// Records in the making at a time; beyond that the one that waited longest is passed on as it is.
pub const MAX_OPEN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// How long a line waits for its end: a prompt never gets one.
pub const MAX_WAIT: Nanos = 1_000_000_000;

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

/// A record that waits for its end.
#[derive(Debug)]
struct Open<T> {
    text: Vec<u8>,
    mark: T,
    own: bool,
    since: Nanos,
    /// The cap was reached and the record passed on: the rest of its line is dropped.
    dropping: bool,
}

/// Puts writes together to records. `T` is whatever belongs to a write: its time, its stream, what was active.
#[derive(Debug)]
pub struct LogLines<T> {
    open: LruCache<LogKey, Open<T>>,
}

impl<T: Clone> Default for LogLines<T> {
    fn default() -> Self {
        Self { open: LruCache::new(MAX_OPEN) }
    }
}

impl<T: Clone> LogLines<T> {
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
        let fresh = held.is_none();
        if let Some(open) = held {
            match self.go_on(key, open, write, now, out) {
                Some(after) => rest = after,
                None => return,
            }
        }
        let (records, tail) = split_records(rest);
        let whole = write.missing == 0;
        let pieces = records.len() + usize::from(tail.is_some()) + usize::from(!fresh);
        let emptied = pieces > 1 && write.bytes.len() as u64 >= FULL_BUFFER;
        let may_own = whole && !emptied;
        let last = records.len().saturating_sub(1);
        for (index, record) in records.iter().enumerate() {
            push(out, record, mark.clone(), may_own && tail.is_none() && index == last, false);
        }
        match tail {
            None => {}
            Some(tail) if whole => {
                let open = Open {
                    text: tail.to_vec(),
                    mark: mark.clone(),
                    own: !emptied,
                    since: now,
                    dropping: false,
                };
                self.hold(key, open, now, out);
            }
            Some(tail) => push(out, tail, mark.clone(), fresh && records.is_empty(), true),
        }
    }

    /// Passes on the records that have waited for [`MAX_WAIT`] at `now`.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<LogLine<T>>) {
        // The order of use is the order of waiting, but a line that grows keeps its age: look at all. There are
        // only few, since most writes end with a newline.
        let old: Vec<LogKey> = self
            .open
            .iter()
            .filter(|(_, open)| now.saturating_sub(open.since) >= MAX_WAIT)
            .map(|(key, _)| *key)
            .collect();
        for key in old {
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

    /// Records in the making.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.open.len()
    }

    /// Goes on with an open record. Returns what follows it, or `None` when nothing that was captured does.
    fn go_on<'a>(
        &mut self,
        key: LogKey,
        mut open: Open<T>,
        write: LogWrite<'a>,
        now: Nanos,
        out: &mut Vec<LogLine<T>>,
    ) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', write.bytes);
        let (line, after) = write.bytes.split_at_checked(end.unwrap_or(write.bytes.len()))?;
        if !open.dropping {
            open.text.extend_from_slice(line);
        }
        if end.is_some() {
            release(open, false, out);
            return after.get(1..);
        }
        if write.missing > 0 {
            release(open, true, out);
        } else {
            self.hold(key, open, now, out);
        }
        None
    }

    fn hold(&mut self, key: LogKey, mut open: Open<T>, now: Nanos, out: &mut Vec<LogLine<T>>) {
        if open.text.len() > MAX_RECORD {
            push(out, &open.text, open.mark.clone(), open.own, true);
            open.text = Vec::new();
            open.dropping = true;
        }
        if open.dropping {
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

/// Passes on an open record as it is.
fn release<T>(open: Open<T>, cut: bool, out: &mut Vec<LogLine<T>>) {
    if !open.dropping {
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
