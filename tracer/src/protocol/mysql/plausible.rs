//! Whether bytes can be the start of a command, an answer or a greeting: for detection, and for finding the
//! thread again after a gap.

use super::command::Command;
use super::framer::{FULL_PACKET, HEADER, header};
use super::handshake::PROTOCOL_VERSION;
use super::request::{after_attributes, looks_attributed};

/// How well bytes fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// They cannot be it.
    No,
    /// So few that anything can still come.
    Open,
    /// They fit, as other things might.
    Weak,
    /// Nothing else looks like this.
    Strong,
}

/// The longest database, user or table name, in bytes: 64 characters of up to four.
const MAX_NAME: usize = 256;
/// Longest version text that a greeting is believed to have.
const MAX_VERSION: usize = 128;
/// Error numbers begin here, and the highest in use are below that.
const ERROR_CODES: std::ops::Range<u16> = 1000..16000;

/// Words that a statement begins with. Text that begins with one, in a packet of the right form, is certain.
const FIRST_WORDS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "INSERT",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "SIGNAL",
    "START",
    "STOP",
    "TABLE",
    "TRUNCATE",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
    "XA",
];

/// Judges the start of a request: `bytes` begin where a call began and hold all that was moved since.
pub(super) fn request(bytes: &[u8]) -> Fit {
    let mut best = Fit::Open;
    let mut rest = bytes;
    // Several commands in one call: each must fit.
    while !rest.is_empty() {
        let fit = one_request(rest);
        if fit == Fit::No || fit == Fit::Strong {
            return fit;
        }
        best = best.max(fit);
        let size = header(rest).map_or(rest.len(), |(length, _)| HEADER + length as usize);
        rest = rest.get(size..).unwrap_or_default();
    }
    best
}

/// Judges the start of one request, whatever follows it.
pub(super) fn one_request(bytes: &[u8]) -> Fit {
    if bytes.get(3).is_some_and(|seq| *seq != 0) {
        return Fit::No;
    }
    let Some((length, _)) = header(bytes) else { return Fit::Open };
    if length == 0 {
        return Fit::No;
    }
    let payload = bytes.get(HEADER..).unwrap_or_default();
    let Some((first, arguments)) = payload.split_first() else { return Fit::Open };
    let Some(command) = Command::from_byte(*first) else { return Fit::No };
    let size = length as usize;
    let whole = payload.len() >= size;
    let arguments = arguments.get(..size - 1).unwrap_or(arguments);
    match command {
        Command::Query | Command::Prepare => text(arguments, whole && size <= payload.len()),
        _ => arguments_fit(command, arguments, size - 1, whole),
    }
}

/// A statement's text, all of it if `whole`.
fn text(arguments: &[u8], whole: bool) -> Fit {
    let attributed = looks_attributed(arguments);
    let text = if attributed { after_attributes(arguments).unwrap_or_default() } else { arguments };
    let start = skip_to_word(text);
    let letters = start.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, after) = start.split_at(letters);
    if after.is_empty() && !whole && is_text(text) {
        return Fit::Open;
    }
    let ends = after.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    if ends && FIRST_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())) {
        return Fit::Strong;
    }
    if whole && !text.is_empty() && is_text(text) { Fit::Weak } else { Fit::No }
}

/// Steps over what may stand before a statement's first word: space, `(`, comments and their openings.
pub(super) fn skip_to_word(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if let Some(rest) = text.strip_prefix(b"(") {
            text = rest;
        } else if let Some(rest) = text.strip_prefix(b"/*!").or_else(|| text.strip_prefix(b"/*M!")) {
            text = rest.trim_ascii_start();
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            text = text.get(digits..).unwrap_or_default();
        } else if let Some(rest) = text.strip_prefix(b"/*") {
            let end = memchr::memmem::find(rest, b"*/").map_or(rest.len(), |at| at + 2);
            text = rest.get(end..).unwrap_or_default();
        } else if text.starts_with(b"#") || text.starts_with(b"-- ") {
            let end = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
            text = text.get(end..).unwrap_or_default();
        } else {
            return text;
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

/// Whether arguments of `size` bytes (all of them if `whole`) suit a command that is not text.
fn arguments_fit(command: Command, arguments: &[u8], size: usize, whole: bool) -> Fit {
    let named = || (1..=MAX_NAME).contains(&size) && is_text(arguments);
    let iterations = || arguments.get(5..9).is_none_or(|count| count == [1, 0, 0, 0]);
    let suits = match command {
        Command::Ping
        | Command::Statistics
        | Command::ResetConnection
        | Command::Quit
        | Command::ProcessInfo
        | Command::Debug => size == 0,
        Command::InitDb | Command::CreateDb | Command::DropDb => named(),
        Command::FieldList => (2..=2 * MAX_NAME).contains(&size),
        Command::ProcessKill | Command::CloseStatement | Command::ResetStatement => size == 4,
        Command::Fetch => size == 8,
        Command::SetOption => size == 2 && arguments.get(1).is_none_or(|high| *high == 0),
        Command::Execute => size >= 9 && iterations(),
        Command::SendLongData | Command::BulkExecute => size >= 6,
        Command::ChangeUser => size >= 3,
        _ => false,
    };
    match (suits, whole) {
        (true, true) => Fit::Weak,
        (true, false) => Fit::Open,
        (false, _) => Fit::No,
    }
}

/// Judges the start of an answer to a command; its first packet has number `seq` if that is known.
pub(super) fn response(bytes: &[u8], seq: Option<u8>) -> Fit {
    if seq.is_some_and(|expected| bytes.get(3).is_some_and(|seq| *seq != expected)) {
        return Fit::No;
    }
    let Some((length, _)) = header(bytes) else { return Fit::Open };
    let payload = bytes.get(HEADER..).unwrap_or_default();
    let fits = match (length, payload) {
        (0, _) => false,
        (_, []) => return Fit::Open,
        // An error, or a progress report.
        (3.., [0xff, low, high, ..]) => (*low, *high) == (0xff, 0xff) || is_error(*low, *high),
        (3.., [0xff, ..]) => return Fit::Open,
        (7..FULL_PACKET, [0x00 | 0xfe, ..]) | (5, [0xfe, ..]) | (1.., [0xfb, ..]) => true,
        // A number of columns, perhaps followed by the byte that says whether definitions follow.
        (1..=2, [1..=0xfa, ..]) | (3..=4, [0xfc, ..]) => true,
        _ => false,
    };
    if fits { Fit::Weak } else { Fit::No }
}

/// Judges the start of a connection's response side: the server speaks first.
pub(super) fn greeting(bytes: &[u8]) -> Fit {
    if bytes.get(3).is_some_and(|seq| *seq != 0) {
        return Fit::No;
    }
    let Some((length, _)) = header(bytes) else { return Fit::Open };
    let payload = bytes.get(HEADER..).unwrap_or_default();
    match payload {
        [] if length > 0 => Fit::Open,
        [PROTOCOL_VERSION, rest @ ..] => version(rest, length),
        // Too many connections, host not allowed: an error takes the greeting's place.
        [0xff, low, high, text @ ..] => {
            let known = is_error(*low, *high);
            let whole = payload.len() == length as usize;
            if known && whole && is_text(text) { Fit::Strong } else { open_or_no(known && is_text(text)) }
        }
        [0xff] | [0xff, _] => Fit::Open,
        _ => Fit::No,
    }
}

/// The version text, up to its NUL, and the zero byte between the halves of the challenge.
fn version(rest: &[u8], length: u32) -> Fit {
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    let version = rest.get(..end).unwrap_or_default();
    let printable = version.iter().all(|byte| (b' '..=b'~').contains(byte));
    if end > MAX_VERSION || !printable || (length as usize) < end + 16 {
        return Fit::No;
    }
    match rest.get(end + 1 + 4 + 8) {
        Some(0) if end > 0 => Fit::Strong,
        Some(_) => Fit::No,
        None => Fit::Open,
    }
}

fn is_error(low: u8, high: u8) -> bool {
    ERROR_CODES.contains(&u16::from_le_bytes([low, high]))
}

fn open_or_no(open: bool) -> Fit {
    if open { Fit::Open } else { Fit::No }
}
