//! Log lines, from what threads write to a log.
//!
//! The plainest assembly: a record is a line, and partial writes are joined per thread and file.

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::event::{Nanos, ThreadId};

/// Unfinished lines that are held; the one that was held longest is told as it is.
pub const MAX_OPEN: usize = 256;

/// Bytes of an unfinished line that are held; a longer one is told in parts.
pub const MAX_RECORD: usize = 64 * 1024;

/// How long an unfinished line is held, in nanoseconds.
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
    /// Its text without the line end. Invalid UTF-8 is replaced.
    pub text: String,
    /// What came with the write in which it began.
    pub mark: T,
    /// Whether it was certainly written by that write, so that it may take the ids of what was active then.
    pub own: bool,
    /// Whether its end is missing.
    pub cut: bool,
}

/// Puts writes together to lines. `T` is whatever belongs to a write: its time, its stream, what was active.
#[derive(Debug)]
pub struct LogLines<T> {
    open: LruCache<LogKey, Open<T>, FxBuildHasher>,
}

#[derive(Debug)]
struct Open<T> {
    text: Vec<u8>,
    mark: T,
    since: Nanos,
}

impl<T: Clone> Default for LogLines<T> {
    fn default() -> Self {
        Self { open: LruCache::unbounded_with_hasher(FxBuildHasher) }
    }
}

impl<T: Clone> LogLines<T> {
    /// Takes a write that ended at `now` and passes on the lines that are complete with it.
    pub fn write(
        &mut self,
        key: LogKey,
        write: LogWrite<'_>,
        mark: &T,
        now: Nanos,
        out: &mut Vec<LogLine<T>>,
    ) {
        let mut held = self.open.pop(&key);
        let begin = out.len();
        let mut rest = write.bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            out.push(line(join(held.take(), rest.get(..end).unwrap_or_default(), mark, now), false));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        // Only the last record that began in a write is known to be this moment's: the others can have waited in
        // the program's buffer.
        let tail = !rest.is_empty() || held.is_some() || write.missing > 0;
        let earlier = out.len().saturating_sub(begin + usize::from(!tail));
        out.iter_mut().skip(begin).take(earlier).for_each(|line| line.own = false);
        if !tail {
            return;
        }
        let open = join(held, rest, mark, now);
        if write.missing > 0 || open.text.len() > MAX_RECORD {
            out.push(line(open, true));
            return;
        }
        self.open.put(key, open);
        if self.open.len() > MAX_OPEN {
            out.extend(self.open.pop_lru().map(|(_, open)| line(open, false)));
        }
    }

    /// Passes on the lines that have waited for [`MAX_WAIT`] at `now`.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<LogLine<T>>) {
        while self.open.peek_lru().is_some_and(|(_, open)| open.since.saturating_add(MAX_WAIT) <= now) {
            out.extend(self.open.pop_lru().map(|(_, open)| line(open, false)));
        }
    }

    /// Passes on everything: at the end.
    pub fn flush(&mut self, out: &mut Vec<LogLine<T>>) {
        self.expire(Nanos::MAX, out);
    }
}

fn join<T: Clone>(held: Option<Open<T>>, bytes: &[u8], mark: &T, now: Nanos) -> Open<T> {
    let mut open = held.unwrap_or_else(|| Open { text: Vec::new(), mark: mark.clone(), since: now });
    open.text.extend_from_slice(bytes);
    open
}

fn line<T>(open: Open<T>, cut: bool) -> LogLine<T> {
    LogLine { text: String::from_utf8_lossy(&open.text).into_owned(), mark: open.mark, own: true, cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LogKey = LogKey { thread: ThreadId { tgid: 1, tid: 1, start: 1 }, dev: 1, ino: 1 };

    /// Text, number of the write in which it began, whether it may take that write's ids.
    fn told(writes: &[&str]) -> Vec<(String, usize, bool)> {
        let (mut lines, mut out) = (LogLines::default(), Vec::new());
        for (number, text) in writes.iter().enumerate() {
            lines.write(KEY, LogWrite { bytes: text.as_bytes(), missing: 0 }, &number, 0, &mut out);
        }
        out.into_iter().map(|line| (line.text, line.mark, line.own)).collect()
    }

    #[test]
    fn partial_writes_are_joined() {
        assert_eq!(told(&["on", "e", "\n"]), [("one".to_owned(), 0, true)]);
    }

    #[test]
    fn only_the_last_record_of_a_write_is_its_own() {
        let lines = told(&["a\nb\nc", "\n", "d\n"]);
        let expected = [("a", 0, false), ("b", 0, false), ("c", 0, true), ("d", 2, true)];
        assert_eq!(lines, expected.map(|(text, mark, own)| (text.to_owned(), mark, own)));
    }

    #[test]
    fn held_lines_are_told_in_the_end() {
        let (mut lines, mut out) = (LogLines::default(), Vec::new());
        lines.write(KEY, LogWrite { bytes: b"prompt> ", missing: 0 }, &(), 5, &mut out);
        lines.expire(4 + MAX_WAIT, &mut out);
        assert_eq!(out, []);
        lines.expire(5 + MAX_WAIT, &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_cut_write_ends_its_line() {
        let (mut lines, mut out) = (LogLines::default(), Vec::new());
        lines.write(KEY, LogWrite { bytes: b"a\nlong", missing: 9 }, &(), 5, &mut out);
        assert_eq!(out.iter().map(|line| line.cut).collect::<Vec<_>>(), [false, true]);
    }
}
