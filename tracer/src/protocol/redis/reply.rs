//! Replies: whole messages of the response side, reduced to what pairing and spans need.

use std::borrow::Cow;

use super::command::Outcome;
use super::error::error;
use super::resp::{Malformed, Token, Tokenizer};

/// Deepest nesting that is followed. Redis's own replies stay below ten levels, scripts below a hundred.
const MAX_DEPTH: usize = 128;
/// Bytes kept of a line: enough for an error's prefix and a status.
const MAX_LINE_KEPT: usize = 64;
/// Bytes kept of an aggregate's first element: it names a pub/sub message.
const MAX_FIRST: usize = 16;
/// Elements of an `EXEC` reply whose outcomes are kept.
pub(super) const MAX_OUTCOMES: usize = 1024;
/// Stands for an error prefix that was not captured.
const UNSEEN_PREFIX: &str = "_OTHER";

/// A message from the server.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reply {
    /// First byte of the message (after attributes).
    pub(super) kind: u8,
    /// What it says of the command.
    pub(super) outcome: Outcome,
    /// A status line's text, or the first element of an aggregate when it is a string: the start of it.
    pub(super) first: Vec<u8>,
    /// The aggregate's last integer.
    pub(super) last_integer: Option<i64>,
    /// The aggregate's number of elements.
    pub(super) count: u64,
    /// Outcomes of the aggregate's elements, when asked for.
    pub(super) outcomes: Vec<Outcome>,
}

impl Reply {
    /// Whether this looks like a message of a subscription in RESP2.
    pub(super) fn is_message(&self) -> bool {
        match &*self.first {
            b"message" | b"smessage" => self.count == 3,
            b"pmessage" => self.count == 4,
            _ => false,
        }
    }
}

/// Reads replies from bytes in any segmentation.
#[derive(Debug)]
pub(super) struct ReplyReader {
    tokens: Tokenizer,
    /// In the middle of a message.
    busy: bool,
    /// The bulk string that is being read.
    bulk: Bulk,
    building: Building,
}

/// A message in the making.
#[derive(Debug, Default)]
struct Building {
    levels: Vec<Level>,
    reply: Reply,
    /// Keep the outcomes of elements.
    collect: bool,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: u8,
    /// Values still to come; `None`: until an end mark.
    left: Option<u64>,
}

#[derive(Debug, Default)]
struct Bulk {
    kind: u8,
    text: Vec<u8>,
    /// Bytes of it were not captured: what follows them is not kept.
    cut: bool,
}

impl ReplyReader {
    pub(super) fn new() -> Self {
        Self {
            tokens: Tokenizer::new(MAX_LINE_KEPT),
            busy: false,
            bulk: Bulk::default(),
            building: Building::default(),
        }
    }

    /// Forgets what it was in the middle of.
    pub(super) fn reset(&mut self) {
        self.tokens.reset();
        self.building.levels.clear();
        self.busy = false;
    }

    /// Whether the next byte begins a message.
    pub(super) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// In the middle of an aggregate: that it is one, and not an error, was told by its first byte.
    pub(super) fn is_in_aggregate(&self) -> bool {
        let first = self.building.levels.first();
        self.busy && first.is_some_and(|level| matches!(level.kind, b'*' | b'~' | b'%'))
    }

    /// Bytes that may be passed over without losing the place.
    pub(super) fn skippable(&self) -> u64 {
        self.tokens.skippable()
    }

    /// Passes over bytes that were not captured. False: the place is lost.
    pub(super) fn skip(&mut self, lost: u64) -> bool {
        self.bulk.cut = true;
        self.tokens.skip(lost)
    }

    /// A message begins; `collect` the outcomes of its elements.
    pub(super) fn begin(&mut self, collect: bool) {
        self.building.reply = Reply::default();
        self.building.collect = collect;
        self.busy = true;
    }

    /// The message, when `input` (taken off its front) completes it.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, Malformed> {
        while let Some(token) = self.tokens.next(input)? {
            let building = &mut self.building;
            let complete = match token {
                Token::Line { kind } => building.value(Value::line(kind, self.tokens.text()))?,
                Token::Null => building.value(Value { kind: b'_', outcome: Outcome::Nil, text: &[] })?,
                Token::Bulk { kind } => self.bulk.begin(kind),
                Token::Part(part) => self.bulk.keep(part),
                Token::BulkEnd => building.value(self.bulk.value())?,
                Token::Aggregate { kind, count } => building.aggregate(kind, count)?,
                Token::End => building.stream_end()?,
            };
            if complete {
                self.busy = false;
                return Ok(Some(std::mem::take(&mut building.reply)));
            }
        }
        Ok(None)
    }
}

impl Bulk {
    fn begin(&mut self, kind: u8) -> bool {
        self.kind = kind;
        self.text.clear();
        self.cut = false;
        false
    }

    fn keep(&mut self, part: &[u8]) -> bool {
        let room = if self.cut { 0 } else { MAX_LINE_KEPT.saturating_sub(self.text.len()) };
        self.text.extend_from_slice(part.get(..room).unwrap_or(part));
        false
    }

    fn value(&self) -> Value<'_> {
        let is_whole = !self.cut || self.text.contains(&b' ');
        let outcome = match self.kind {
            b'!' if is_whole => error(&self.text),
            b'!' => Outcome::Error(Cow::Borrowed(UNSEEN_PREFIX)),
            _ => Outcome::Ok,
        };
        Value { kind: self.kind, outcome, text: if is_whole { &self.text } else { &[] } }
    }
}

impl Building {
    fn aggregate(&mut self, kind: u8, count: Option<u64>) -> Result<bool, Malformed> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(Malformed);
        }
        if self.levels.is_empty() && kind != b'|' {
            self.reply.kind = kind;
            self.reply.outcome = Outcome::Ok;
            self.reply.count = count.unwrap_or(0);
        }
        self.levels.push(Level { kind, left: count });
        if count == Some(0) { self.close() } else { Ok(false) }
    }

    fn stream_end(&mut self) -> Result<bool, Malformed> {
        match self.levels.last() {
            Some(Level { left: None, .. }) => self.close(),
            _ => Err(Malformed),
        }
    }

    /// The innermost aggregate is complete, and with it perhaps those around it.
    fn close(&mut self) -> Result<bool, Malformed> {
        let level = self.levels.pop().ok_or(Malformed)?;
        if level.kind == b'|' {
            // Attributes belong to the value that follows: they are none themselves.
            return Ok(false);
        }
        if self.levels.is_empty() { Ok(true) } else { self.element(Outcome::Ok) }
    }

    fn value(&mut self, value: Value<'_>) -> Result<bool, Malformed> {
        if self.levels.is_empty() {
            self.reply.kind = value.kind;
            self.reply.outcome = value.outcome;
            if value.kind == b'+' {
                self.reply.first = start(value.text);
            }
            return Ok(true);
        }
        if self.is_top() {
            if self.reply.first.is_empty() && matches!(value.kind, b'$' | b'+' | b'=') {
                self.reply.first = start(value.text);
            }
            if value.kind == b':' {
                self.reply.last_integer =
                    std::str::from_utf8(value.text).ok().and_then(|text| text.parse().ok());
            }
        }
        self.element(value.outcome)
    }

    /// One more value of the innermost aggregate is complete.
    fn element(&mut self, outcome: Outcome) -> Result<bool, Malformed> {
        if self.collect && self.is_top() && self.reply.outcomes.len() < MAX_OUTCOMES {
            self.reply.outcomes.push(outcome);
        }
        let level = self.levels.last_mut().ok_or(Malformed)?;
        match &mut level.left {
            None => Ok(false),
            Some(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 { self.close() } else { Ok(false) }
            }
        }
    }

    /// The innermost aggregate is the message itself.
    fn is_top(&self) -> bool {
        matches!(self.levels.as_slice(), [level] if level.kind != b'|')
    }
}

struct Value<'a> {
    kind: u8,
    outcome: Outcome,
    text: &'a [u8],
}

impl<'a> Value<'a> {
    fn line(kind: u8, text: &'a [u8]) -> Self {
        Self { kind, outcome: if kind == b'-' { error(text) } else { Outcome::Ok }, text }
    }
}

fn start(text: &[u8]) -> Vec<u8> {
    text.get(..MAX_FIRST).unwrap_or(text).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Reply> {
        let mut reader = ReplyReader::new();
        let mut input = bytes;
        let mut replies = Vec::new();
        while !input.is_empty() {
            reader.begin(true);
            replies.push(reader.read(&mut input).unwrap().unwrap());
        }
        replies
    }

    fn outcomes(bytes: &[u8]) -> Vec<Outcome> {
        read(bytes).into_iter().map(|reply| reply.outcome).collect()
    }

    #[test]
    fn every_type_is_one_message() {
        let ok: &[&[u8]] = &[
            b"+OK\r\n",
            b":-12\r\n",
            b"$5\r\nhello\r\n",
            b"$0\r\n\r\n",
            b"*0\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"#t\r\n",
            b",1.23e-5\r\n",
            b",inf\r\n",
            b"(3492890328409238509324850943850943825024385\r\n",
            b"=15\r\ntxt:Some string\r\n",
            b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n",
            b"~3\r\n+a\r\n#f\r\n_\r\n",
            b"|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n",
            b"*2\r\n|1\r\n+ttl\r\n:3600\r\n:1\r\n:2\r\n",
            b">3\r\n+message\r\n+c\r\n+x\r\n",
            b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
            b"*?\r\n:1\r\n*?\r\n.\r\n.\r\n",
            b"%?\r\n+a\r\n:1\r\n.\r\n",
            b"~?\r\n.\r\n",
        ];
        for bytes in ok {
            assert_eq!(outcomes(bytes), [Outcome::Ok], "{}", bytes.escape_ascii());
        }
        assert_eq!(outcomes(b"_\r\n$-1\r\n*-1\r\n"), [Outcome::Nil, Outcome::Nil, Outcome::Nil]);
    }

    #[test]
    fn errors_give_their_prefix_and_nothing_else() {
        let prefix = |bytes: &[u8]| outcomes(bytes)[0].failure().map(str::to_owned);
        assert_eq!(prefix(b"-WRONGTYPE Operation against a key\r\n").as_deref(), Some("WRONGTYPE"));
        assert_eq!(prefix(b"!21\r\nSYNTAX invalid syntax\r\n").as_deref(), Some("SYNTAX"));
        assert_eq!(prefix(b"-MOVED 3999 127.0.0.1:6381\r\n").as_deref(), Some("MOVED"));
        assert_eq!(prefix(b"-hunter2 is wrong\r\n").as_deref(), Some("ERR"));
    }

    #[test]
    fn elements_of_a_transaction_keep_their_outcomes() {
        let replies = read(b"*4\r\n+OK\r\n-WRONGTYPE x\r\n$-1\r\n*1\r\n-ERR nested\r\n");
        let expected = [Outcome::Ok, Outcome::Error("WRONGTYPE".into()), Outcome::Nil, Outcome::Ok];
        assert_eq!(replies[0].outcomes, expected);
        assert_eq!(replies[0].count, 4);
    }

    #[test]
    fn nonsense_is_refused_early() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"$-5\r\n",
            b"*x\r\n",
            b"$3\r\nabcd\r\n",
            b"+OK\n",
            b".\r\n",
            b":\r\n",
            b"$111111111111111111111111111111111111111111111111",
        ] {
            let mut reader = ReplyReader::new();
            reader.begin(false);
            assert_eq!(reader.read(&mut &bytes[..]), Err(Malformed), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut reader = ReplyReader::new();
        reader.begin(false);
        assert_eq!(reader.read(&mut b"*1\r\n".repeat(MAX_DEPTH + 1).as_slice()), Err(Malformed));
    }
}
