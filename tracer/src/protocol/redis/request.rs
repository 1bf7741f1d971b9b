//! Commands as they come off the wire: arrays of bulk strings, and inline commands.

use std::borrow::Cow;

use super::command::{Argument, Command, MAX_ARGUMENT, MAX_ARGUMENTS, MAX_NAME, Outcome, Part, Shown, Spec};
use super::command::{UNKNOWN_NAME, decimal, is_word, lookup};
use super::inline::{MAX_INLINE, split_words};
use super::resp::{Malformed, Token, Tokenizer};

/// Arguments that tell what a command does to the connection.
const NOTED: usize = 2;
/// Bytes kept of such an argument.
const MAX_NOTED: usize = 16;

/// A command of the request side.
#[derive(Debug)]
pub(super) struct Request {
    /// What is kept for the exchange.
    pub(super) command: Command,
    /// Number of arguments.
    pub(super) arguments: u32,
    /// First arguments of a command that changes the connection's state, in upper case.
    pub(super) noted: [Vec<u8>; NOTED],
}

/// What the bytes gave.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// A command.
    Command(Box<Request>),
    /// An empty line or array: Redis passes over it without a reply.
    Nothing,
}

/// Reads commands from bytes in any segmentation.
#[derive(Debug)]
pub(super) struct RequestReader {
    tokens: Tokenizer,
    state: State,
    /// The word that is being read.
    word: Vec<u8>,
    /// Its length so far.
    word_length: u64,
    /// Bytes of it were not captured: what follows them is not kept either.
    word_cut: bool,
    building: Option<Building>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Inline,
    /// So many words remain; `None` before the array's header.
    Array(Option<u64>),
}

#[derive(Debug)]
struct Building {
    spec: Option<&'static Spec>,
    request: Request,
    total: u32,
}

impl RequestReader {
    pub(super) fn new() -> Self {
        Self {
            tokens: Tokenizer::new(MAX_INLINE),
            state: State::Idle,
            word: Vec::new(),
            word_length: 0,
            word_cut: false,
            building: None,
        }
    }

    /// In the middle of a command whose name is known and fits its number of arguments.
    pub(super) fn is_credible(&self) -> bool {
        self.building.as_ref().is_some_and(Building::is_credible)
    }

    /// In the middle of a command, after its name.
    pub(super) fn has_name(&self) -> bool {
        self.building.is_some()
    }

    /// Forgets what it was in the middle of.
    pub(super) fn reset(&mut self) {
        self.tokens.reset();
        self.state = State::Idle;
        self.building = None;
    }

    /// Whether the next byte begins a command.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Bytes that may be passed over without losing the place.
    pub(super) fn skippable(&self) -> u64 {
        self.tokens.skippable()
    }

    /// Passes over bytes that were not captured. False: the place is lost.
    pub(super) fn skip(&mut self, lost: u64) -> bool {
        // Without its name a command means nothing.
        if self.building.is_none() || !self.tokens.skip(lost) {
            return false;
        }
        self.word_length = self.word_length.saturating_add(lost);
        self.word_cut = true;
        true
    }

    /// The command that was being read when the place was lost, if its name is known.
    pub(super) fn give_up(&mut self) -> Option<Box<Request>> {
        let building = self.building.take();
        self.reset();
        building.map(|building| {
            let total = building.total;
            let mut request = building.finish();
            request.command.args_omitted = total.saturating_sub(args(&request.command));
            Box::new(request)
        })
    }

    /// Takes bytes off the front of `input` until a command is complete or they are used up.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Step, Malformed> {
        if self.state == State::Idle {
            self.state = match input.first() {
                None => return Ok(Step::More),
                Some(b'*') => State::Array(None),
                Some(_) => State::Inline,
            };
        }
        match self.state {
            State::Inline => self.inline(input),
            State::Array(_) | State::Idle => self.array(input),
        }
    }

    fn array(&mut self, input: &mut &[u8]) -> Result<Step, Malformed> {
        while let Some(token) = self.tokens.next(input)? {
            match (self.state, token) {
                (State::Array(None), Token::Null | Token::Aggregate { kind: b'*', count: Some(0) }) => {
                    self.state = State::Idle;
                    return Ok(Step::Nothing);
                }
                (State::Array(None), Token::Aggregate { kind: b'*', count: Some(count) }) => {
                    self.state = State::Array(Some(count));
                }
                (State::Array(Some(_)), Token::Bulk { kind: b'$' }) => {
                    self.word.clear();
                    self.word_length = 0;
                    self.word_cut = false;
                }
                (State::Array(Some(_)), Token::Part(part)) => self.part(part),
                (State::Array(Some(left)), Token::BulkEnd) => {
                    self.state = State::Array(Some(left - 1));
                    self.array_word(left - 1)?;
                    if left == 1 {
                        return Ok(self.finish());
                    }
                }
                _ => return Err(Malformed),
            }
        }
        Ok(Step::More)
    }

    fn part(&mut self, part: &[u8]) {
        self.word_length = self.word_length.saturating_add(part.len() as u64);
        let room = if self.word_cut { 0 } else { MAX_ARGUMENT.saturating_sub(self.word.len()) };
        self.word.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn array_word(&mut self, left: u64) -> Result<(), Malformed> {
        match &mut self.building {
            Some(building) => building.argument(&self.word, self.word_length),
            None => {
                let total = u32::try_from(left).unwrap_or(u32::MAX);
                self.building = Some(Building::new(&self.word, self.word_length, total)?);
            }
        }
        Ok(())
    }

    fn inline(&mut self, input: &mut &[u8]) -> Result<Step, Malformed> {
        if !self.tokens.read_line(input, false)? {
            return if self.tokens.partial_line() > MAX_INLINE { Err(Malformed) } else { Ok(Step::More) };
        }
        let words = split_words(self.tokens.line());
        let Some((name, rest)) = words.split_first() else {
            self.state = State::Idle;
            return Ok(Step::Nothing);
        };
        let mut building =
            Building::new(name, name.len() as u64, u32::try_from(rest.len()).unwrap_or(u32::MAX))?;
        for word in rest {
            building.argument(word, word.len() as u64);
        }
        self.building = Some(building);
        self.tokens.release_line();
        Ok(self.finish())
    }

    fn finish(&mut self) -> Step {
        self.state = State::Idle;
        match self.building.take() {
            Some(building) => Step::Command(Box::new(building.finish())),
            None => Step::Nothing,
        }
    }
}

fn args(command: &Command) -> u32 {
    u32::try_from(command.args.len()).unwrap_or(u32::MAX)
}

impl Building {
    fn new(name: &[u8], length: u64, total: u32) -> Result<Self, Malformed> {
        if name.is_empty() {
            return Err(Malformed);
        }
        let spec = if length > MAX_NAME as u64 { None } else { lookup(name) };
        let name = match (spec, std::str::from_utf8(name)) {
            (Some(spec), _) => Cow::Borrowed(spec.name),
            (None, Ok(word)) if length <= MAX_NAME as u64 && is_word(name) => {
                Cow::Owned(word.to_ascii_uppercase())
            }
            _ => Cow::Borrowed(UNKNOWN_NAME),
        };
        let args = Vec::with_capacity((total as usize).min(MAX_ARGUMENTS));
        let reply = Outcome::default();
        let command = Command { name, args, args_omitted: 0, reply, executed: Vec::new() };
        Ok(Self { spec, request: Request { command, arguments: total, noted: Default::default() }, total })
    }

    /// What is a value is only known now for some commands.
    fn finish(mut self) -> Request {
        let command = &mut self.request.command;
        let shown = self.spec.map_or(Shown::Nothing, |spec| spec.shown);
        if !shown.depends_on_arguments() {
            // What is a value was known when it came.
            return self.request;
        }
        let is_value = |index| shown.part(index, &command.args, command.args_omitted) == Part::Value;
        let values: Vec<usize> = (0..command.args.len()).filter(|&index| is_value(index)).collect();
        for index in values {
            if let Some(argument) = command.args.get_mut(index) {
                *argument = Argument::Hidden;
            }
        }
        self.request
    }

    fn is_credible(&self) -> bool {
        self.spec.is_some_and(|spec| spec.accepts(u64::from(self.total) + 1))
    }

    fn argument(&mut self, word: &[u8], length: u64) {
        let command = &mut self.request.command;
        let index = args(command).saturating_add(command.args_omitted);
        if is_stateful(&command.name)
            && let Some(noted) = self.request.noted.get_mut(index as usize)
            && length <= MAX_NOTED as u64
        {
            *noted = word.to_ascii_uppercase();
        }
        let shown = self.spec.map_or(Shown::Nothing, |spec| spec.shown);
        if command.args.len() >= MAX_ARGUMENTS {
            command.args_omitted = command.args_omitted.saturating_add(1);
        } else if !shown.keeps(index, self.total) {
            command.args.push(Argument::Hidden);
        } else if length > word.len().min(MAX_ARGUMENT) as u64 {
            command.args.push(Argument::Cut(word.get(..MAX_ARGUMENT).unwrap_or(word).into()));
        } else {
            command.args.push(Argument::Shown(word.into()));
        }
    }
}

/// Commands whose first arguments decide what the connection does next.
fn is_stateful(name: &str) -> bool {
    matches!(name, "SELECT" | "HELLO" | "CLIENT" | "REPLCONF")
}

impl Request {
    /// The database that a `SELECT` names.
    pub(super) fn database(&self) -> Option<u32> {
        self.noted.first().and_then(|text| decimal(text)).and_then(|index| u32::try_from(index).ok())
    }

    /// What a replica sends: it asks for a copy, or acknowledges what it has, which nobody answers.
    pub(super) fn is_replication(&self) -> bool {
        match &*self.command.name {
            "SYNC" | "PSYNC" => true,
            "REPLCONF" => self.begins_with(&[b"ACK"]) || self.begins_with(&[b"GETACK"]),
            _ => false,
        }
    }

    /// A known command with a fitting number of arguments.
    pub(super) fn is_credible(&self) -> bool {
        lookup(self.command.name.as_bytes()).is_some_and(|spec| spec.accepts(u64::from(self.arguments) + 1))
    }

    /// The first noted arguments are these.
    pub(super) fn begins_with(&self, words: &[&[u8]]) -> bool {
        words.iter().zip(&self.noted).all(|(word, noted)| word == noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Request {
        let mut reader = RequestReader::new();
        let mut input = bytes;
        match reader.read(&mut input) {
            Ok(Step::Command(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn shown(text: &[u8]) -> Argument {
        Argument::Shown(text.into())
    }

    #[test]
    fn values_are_not_kept() {
        let request = read(b"*3\r\n$5\r\nlpush\r\n$1\r\nk\r\n$6\r\nsecret\r\n");
        assert_eq!(request.command.name, "LPUSH");
        assert_eq!(request.command.args, [shown(b"k"), Argument::Hidden]);
        assert_eq!(read(b"AUTH user hunter2\r\n").command.args, [Argument::Hidden, Argument::Hidden]);
    }

    #[test]
    fn unknown_commands_keep_their_name_only_if_it_is_a_word() {
        let request = read(b"*2\r\n$7\r\nmy.verb\r\n$1\r\nk\r\n");
        assert_eq!((&*request.command.name, &*request.command.args), ("MY.VERB", &[Argument::Hidden][..]));
        assert_eq!(read(b"*1\r\n$4\r\n\x00\x01\x02\xff\r\n").command.name, UNKNOWN_NAME);
    }

    #[test]
    fn a_long_inline_command_has_all_its_words() {
        let request = read(format!("SUBSCRIBE{}\r\n", " channel".repeat(8000)).as_bytes());
        assert_eq!((request.arguments, request.command.args.len()), (8000, MAX_ARGUMENTS));
    }

    #[test]
    fn many_and_long_arguments_are_counted() {
        let mut bytes = b"*1001\r\n$3\r\nDEL\r\n".to_vec();
        for _ in 0..1000 {
            bytes.extend_from_slice(b"$200\r\n");
            bytes.extend_from_slice(&[b'k'; 200]);
            bytes.extend_from_slice(b"\r\n");
        }
        let command = read(&bytes).command;
        assert_eq!((command.args.len(), command.args_omitted), (MAX_ARGUMENTS, 1000 - MAX_ARGUMENTS as u32));
        assert_eq!(command.args[0], Argument::Cut([b'k'; MAX_ARGUMENT].into()));
    }

    #[test]
    fn a_gap_in_a_value_is_passed_over() {
        let mut reader = RequestReader::new();
        let mut input = &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nabc"[..];
        assert!(matches!(reader.read(&mut input), Ok(Step::More)));
        assert!(reader.skip(997));
        assert!(matches!(reader.read(&mut &b"\r\n"[..]), Ok(Step::Command(_))));
        assert!(!reader.skip(1));
    }
}
