//! Which lines of one write belong to one record.
//!
//! A line goes on with the record before it when it is blank or indented; when it is part of a Python traceback
//! (to the exception's line, and through a chain of exceptions); when it begins with Java's `Caused by:`. After a
//! head line that states a level as text, which is how logging libraries write, any line goes on with it until one
//! looks like a head again: a statement or a message of several lines is one record.

use super::severity;

/// The first line of a Python traceback.
const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// Lines between the tracebacks of a chain of exceptions.
const CHAIN: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

/// Java's nested exceptions.
const CAUSED_BY: &[u8] = b"Caused by: ";

/// The records of a write, and the one at its end that lacks a newline. Blank ones are left out.
pub(super) fn split_records(bytes: &[u8]) -> (Vec<&[u8]>, Option<&[u8]>) {
    let mut records = Vec::new();
    let mut record: Option<Record<'_>> = None;
    let mut start = 0;
    let mut next = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let goes_on = record.as_mut().is_some_and(|record| record.takes(text));
        if !goes_on {
            push(&mut records, bytes.get(start..next));
            start = next;
            record = Some(Record::begin(text));
        }
        next += line.len();
    }
    let last = bytes.get(start..);
    if bytes.last() == Some(&b'\n') {
        push(&mut records, last);
        return (records, None);
    }
    (records, last.filter(|record| !record.is_empty()))
}

fn push<'a>(records: &mut Vec<&'a [u8]>, record: Option<&'a [u8]>) {
    records.extend(record.filter(|record| !record.trim_ascii().is_empty()));
}

/// Whether lines of later writes go on with a record: what an interpreter prints of an uncaught exception comes line
/// by line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth(State);

impl Growth {
    /// For a record that is complete as far as it was written.
    pub(super) fn of(record: &[u8]) -> Self {
        let mut lines = record.split_inclusive(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
        let mut growing = Record::begin(lines.next().unwrap_or_default());
        // The level of the head is no evidence here: what another write begins may be another record.
        for line in lines {
            growing.goes_on(line);
        }
        Self(growing.state)
    }

    /// Whether the line belongs to the record.
    pub(super) fn takes(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        let mut record = Record { head: b".", state: self.0, leveled: None };
        // A traceback that is printed by itself has nothing to do with what was printed before.
        let takes = (self.0 != State::Plain || line != TRACEBACK) && record.goes_on(line);
        self.0 = record.state;
        takes
    }
}

/// A record of which some lines were seen.
struct Record<'a> {
    head: &'a [u8],
    state: State,
    /// Whether the head states a level as text; found out when it is needed.
    leveled: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No traceback so far.
    Plain,
    /// In a traceback, before the exception's line.
    Frames,
    /// After the exception's line.
    Exception,
    /// After a line of [`CHAIN`].
    Chain,
}

impl<'a> Record<'a> {
    fn begin(head: &'a [u8]) -> Self {
        let state = if head == TRACEBACK { State::Frames } else { State::Plain };
        Self { head, state, leveled: None }
    }

    /// Whether the line belongs to the record.
    fn takes(&mut self, line: &[u8]) -> bool {
        if self.head.is_empty() {
            return line.is_empty();
        }
        if self.goes_on(line) {
            return true;
        }
        let head = self.head;
        *self.leveled.get_or_insert_with(|| states_level(head)) && !begins_record(line)
    }

    /// Whether the line belongs to the record by its own look.
    fn goes_on(&mut self, line: &[u8]) -> bool {
        if line.first().is_none_or(u8::is_ascii_whitespace) {
            return true;
        }
        let next = match self.state {
            State::Frames => Some(State::Exception),
            State::Plain | State::Chain if line == TRACEBACK => Some(State::Frames),
            State::Exception if CHAIN.contains(&line) => Some(State::Chain),
            state if line.starts_with(CAUSED_BY) => Some(state),
            _ => None,
        };
        if let Some(next) = next {
            self.state = next;
        }
        next.is_some()
    }
}

/// Whether a line states a level, other than in a JSON object, which ends with its line.
fn states_level(line: &[u8]) -> bool {
    line.first() != Some(&b'{') && severity::of(&String::from_utf8_lossy(line)).is_some()
}

/// Whether a line looks like the head of a record: a JSON object, a time or address, or a level.
fn begins_record(line: &[u8]) -> bool {
    let past_bracket = line.strip_prefix(b"[").or_else(|| line.strip_prefix(b"<")).unwrap_or(line);
    line.first() == Some(&b'{') || past_bracket.first().is_some_and(u8::is_ascii_digit) || states_level(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<&str> {
        let (records, tail) = split_records(text.as_bytes());
        assert_eq!(tail, None);
        records.into_iter().map(|record| std::str::from_utf8(record).unwrap().trim_end()).collect()
    }

    #[test]
    fn plain_lines_are_records_of_their_own() {
        assert_eq!(records("a\nb\n\n\nc\n"), ["a", "b", "c"]);
        assert_eq!(records("\n\na\n"), ["a"]);
        assert_eq!(records(""), [""; 0]);
        assert_eq!(records("{\"level\":\"info\"}\n{\"level\":\"info\"}\nplain\n").len(), 3);
    }

    #[test]
    fn a_traceback_belongs_to_its_head() {
        let chained = "\
something failed
Traceback (most recent call last):
  File \"a.py\", line 1, in f
    g()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"a.py\", line 3, in f
    h()
ValueError: y
";
        assert_eq!(records(&format!("{chained}next\n")), [chained.trim_end(), "next"]);
        let alone = "Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 1\n";
        assert_eq!(records(&format!("{alone}{alone}")), [alone.trim_end(), alone.trim_end()]);
    }

    #[test]
    fn java_and_indented_lines() {
        let java = "java.lang.X: y\n\tat a.b(C.java:1)\nCaused by: java.lang.Z: q\n\tat d.e(F.java:2)\n\t... 12 more\n";
        assert_eq!(records(&format!("{java}done\n")), [java.trim_end(), "done"]);
        assert_eq!(records("items:\n  a\n  b\nend\n"), ["items:\n  a\n  b", "end"]);
    }

    #[test]
    fn a_message_of_several_lines_after_a_level() {
        let sql = "2026-01-02 10:00:00,1 INFO engine SELECT *\nFROM t\nWHERE a = 1\n";
        assert_eq!(records(&format!("{sql}{sql}")), [sql.trim_end(), sql.trim_end()]);
        assert_eq!(records("INFO:root:a\n127.0.0.1 - - GET\nx\n"), ["INFO:root:a", "127.0.0.1 - - GET", "x"]);
        let error = "ERROR:app:failed\nTraceback (most recent call last):\n  f\nOperationalError: x\n[SQL: SELECT 1]\n";
        assert_eq!(records(error), [error.trim_end()]);
    }

    #[test]
    fn the_end_without_a_newline_is_told() {
        assert_eq!(split_records(b"a\nb"), (vec![&b"a\n"[..]], Some(&b"b"[..])));
        assert_eq!(split_records(b"a\n b"), (vec![], Some(&b"a\n b"[..])));
        assert_eq!(split_records(b"b"), (vec![], Some(&b"b"[..])));
    }
}
