//! Log lines, from what threads write to a log.

use lru::LruCache;
use rustc_hash::FxBuildHasher;

use super::active::Evidence;
use crate::event::{ActiveId, Nanos, Process, ThreadId};
use crate::span::{LogStream, Severity};

/// Unfinished lines that are held; the one that was held longest is told as it is.
pub const MAX_HELD_LINES: usize = 4096;

/// Bytes of an unfinished line that are held; a longer one is told in parts.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// How long an unfinished line is held, in nanoseconds.
pub const MAX_HELD: Nanos = 1_000_000_000;

/// What one call wrote to a log.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Who wrote.
    pub thread: ThreadId,
    /// Its process.
    pub process: Process,
    /// Device and inode number of the log.
    pub file: (u32, u64),
    /// Which stream the log is.
    pub stream: LogStream,
    /// When.
    pub time: Nanos,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes behind them that were not captured.
    pub missing: u32,
    /// The exchange that the thread worked for.
    pub active: Option<(ActiveId, Evidence)>,
}

/// A line of a log, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The process that wrote it.
    pub process: Process,
    /// Which stream.
    pub stream: LogStream,
    /// When its first byte was written.
    pub time: Nanos,
    /// The text, invalid UTF-8 replaced.
    pub text: String,
    /// The exchange that it belongs to.
    pub active: Option<(ActiveId, Evidence)>,
    /// Its end is missing.
    pub truncated: bool,
}

/// Cuts writes into lines: whole ones, joined from partial writes.
pub trait LineAssembler: Send + std::fmt::Debug {
    /// Takes one write; appends the lines that it completes.
    fn on_write(&mut self, write: &Write<'_>, lines: &mut Vec<Line>);

    /// Tells lines that were held too long.
    fn tick(&mut self, now: Nanos, lines: &mut Vec<Line>);
}

/// Lines end at a line feed, and partial ones are joined per thread and file.
#[derive(Debug)]
pub struct PlainLines {
    held: LruCache<(ThreadId, (u32, u64)), Line, FxBuildHasher>,
}

impl Default for PlainLines {
    fn default() -> Self {
        Self { held: LruCache::unbounded_with_hasher(FxBuildHasher) }
    }
}

impl LineAssembler for PlainLines {
    fn on_write(&mut self, write: &Write<'_>, lines: &mut Vec<Line>) {
        let mut first = self.held.pop(&(write.thread, write.file));
        let begin = lines.len();
        let mut rest = write.bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            lines.push(join(first.take(), write, rest.get(..end).unwrap_or_default()));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        // A write of several records is a buffer being flushed: only the last one is known to be this moment's.
        let complete = lines.len().saturating_sub(begin + 1);
        lines.iter_mut().skip(begin).take(complete).for_each(|line| line.active = None);
        if rest.is_empty() && first.is_none() && write.missing == 0 {
            return;
        }
        let mut line = join(first, write, rest);
        if write.missing > 0 || line.text.len() > MAX_LINE_BYTES {
            line.truncated = true;
            lines.push(line);
        } else {
            self.hold((write.thread, write.file), line, lines);
        }
    }

    fn tick(&mut self, now: Nanos, lines: &mut Vec<Line>) {
        while self.held.peek_lru().is_some_and(|(_, line)| line.time.saturating_add(MAX_HELD) < now) {
            lines.extend(self.held.pop_lru().map(|(_, line)| line));
        }
    }
}

impl PlainLines {
    fn hold(&mut self, key: (ThreadId, (u32, u64)), line: Line, lines: &mut Vec<Line>) {
        self.held.put(key, line);
        if self.held.len() > MAX_HELD_LINES {
            lines.extend(self.held.pop_lru().map(|(_, line)| line));
        }
    }
}

/// A line that began in an earlier write belongs to an exchange only if both writes do.
fn join(earlier: Option<Line>, write: &Write<'_>, bytes: &[u8]) -> Line {
    let text = String::from_utf8_lossy(bytes);
    match earlier {
        Some(mut line) => {
            line.text.push_str(&text);
            line.active = line.active.filter(|active| Some(*active) == write.active);
            line
        }
        None => Line {
            process: write.process,
            stream: write.stream,
            time: write.time,
            text: text.into_owned(),
            active: write.active,
            truncated: false,
        },
    }
}

/// The severity that a line states.
#[must_use]
pub fn severity(_line: &str) -> Option<Severity> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bytes: &[u8], time: Nanos, active: Option<u64>) -> Write<'_> {
        Write {
            thread: ThreadId { tgid: 1, tid: 1, start: 1 },
            process: Process::default(),
            file: (1, 1),
            stream: LogStream::Stdout,
            time,
            bytes,
            missing: 0,
            active: active.map(|id| (ActiveId(id), Evidence::Active)),
        }
    }

    fn told(writes: &[Write<'_>]) -> Vec<(String, Option<u64>)> {
        let mut assembler = PlainLines::default();
        let mut lines = Vec::new();
        writes.iter().for_each(|write| assembler.on_write(write, &mut lines));
        lines.into_iter().map(|line| (line.text, line.active.map(|(active, _)| active.0))).collect()
    }

    #[test]
    fn partial_writes_are_joined() {
        let lines = told(&[write(b"on", 1, Some(7)), write(b"e", 2, Some(7)), write(b"\ntwo\n", 3, None)]);
        assert_eq!(lines, [("one".to_owned(), None), ("two".to_owned(), None)]);
        assert_eq!(
            told(&[write(b"on", 1, Some(7)), write(b"e\n", 2, Some(7))]),
            [("one".to_owned(), Some(7))]
        );
    }

    #[test]
    fn only_the_last_of_several_records_is_the_writers() {
        let lines = told(&[write(b"a\nb\nc", 1, Some(7)), write(b"\n", 1, Some(7))]);
        assert_eq!(lines, [("a".to_owned(), None), ("b".to_owned(), Some(7)), ("c".to_owned(), Some(7))]);
    }

    #[test]
    fn held_lines_are_told_in_the_end() {
        let mut assembler = PlainLines::default();
        let mut lines = Vec::new();
        assembler.on_write(&write(b"prompt> ", 5, None), &mut lines);
        assembler.tick(5 + MAX_HELD, &mut lines);
        assert_eq!(lines, []);
        assembler.tick(6 + MAX_HELD, &mut lines);
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn a_cut_write_ends_its_line() {
        let mut assembler = PlainLines::default();
        let mut lines = Vec::new();
        assembler.on_write(&Write { missing: 9, ..write(b"a\nlong", 5, None) }, &mut lines);
        assert_eq!(lines.iter().map(|line| line.truncated).collect::<Vec<_>>(), [false, true]);
    }
}
