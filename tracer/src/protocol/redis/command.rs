//! Commands: what is kept of one, and which of its arguments are names that may be shown.

use std::borrow::Cow;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::table::COMMANDS;

/// Longest command name that is kept; none of Redis or its modules comes near.
pub(super) const MAX_NAME: usize = 64;
/// Bytes kept of an argument that may be shown.
pub const MAX_ARGUMENT: usize = 128;
/// Arguments of a command that are kept; the rest is counted.
pub const MAX_ARGUMENTS: usize = 32;
/// Name given to a command whose own name is not a word: it may be anything, even a secret.
pub const UNKNOWN_NAME: &str = "UNKNOWN";

/// Stands for the names of commands that are counted together.
pub(crate) const OTHER_NAMES: &str = "OTHERS";

/// A command and the reply that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// In upper case.
    pub name: Cow<'static, str>,
    /// The first [`MAX_ARGUMENTS`] arguments.
    pub args: Vec<Argument>,
    /// How many further arguments there were.
    pub args_omitted: u32,
    /// The reply's outcome.
    pub reply: Outcome,
    /// For an `EXEC`: the transaction's commands that were sent as exchanges of their own, with their results.
    pub executed: Vec<(Cow<'static, str>, Outcome)>,
}

/// Commands of one name that are only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// In upper case.
    pub name: Cow<'static, str>,
    /// How many there were.
    pub commands: u32,
    /// How many of them got a reply.
    pub answered: u32,
}

/// One argument, as far as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A value, or something that may be one: nothing of it is kept.
    Hidden,
    /// A key, a field, a subcommand or a count of keys.
    Shown(Box<[u8]>),
    /// The first bytes of a longer one.
    Cut(Box<[u8]>),
}

/// What became of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// No reply was due: `CLIENT REPLY OFF` or `SKIP`.
    #[default]
    NoReply,
    /// An ordinary reply.
    Ok,
    /// A null reply: not an error.
    Nil,
    /// `+QUEUED`: part of a transaction whose end was not in the same exchange.
    Queued,
    /// Part of a transaction that was discarded or aborted.
    NotExecuted,
    /// An error reply: its prefix, such as `WRONGTYPE`.
    Error(Cow<'static, str>),
    /// The connection ended first: a word for how.
    Unanswered(&'static str),
}

impl Outcome {
    /// The low-cardinality word for a failure.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Error(prefix) => Some(prefix),
            Self::Unanswered(word) => Some(word),
            Self::NoReply | Self::Ok | Self::Nil | Self::Queued | Self::NotExecuted => None,
        }
    }
}

/// What is known of a command before it is seen.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In upper case.
    pub(crate) name: &'static str,
    /// Number of words with the name; negative: at least so many.
    pub(crate) arity: i8,
    /// Which arguments are names.
    pub(crate) shown: Shown,
}

/// Which of a command's arguments are names rather than values. Positions count from 0, after the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// None.
    Nothing,
    /// None, and they are secrets.
    Secret,
    /// Keys (or channels, or a hash's fields) from `first` to `last` (negative: from the end).
    Keys { first: u8, last: i8, step: u8 },
    /// A key, then fields and values by turns.
    FieldValues,
    /// The number of keys, then the keys.
    Counted { at: u8 },
    /// A destination key, the number of keys, then the keys.
    CountedInto,
    /// The number of keys, then keys and values by turns.
    CountedPairs,
    /// After the word `STREAMS`: as many keys as ids.
    Streams,
    /// A subcommand.
    Subcommand,
    /// A subcommand, then a key.
    SubcommandKey,
}

/// What is shown of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A value: a placeholder.
    Value,
    /// A key, channel or field.
    Key,
    /// A subcommand or a count.
    Word,
}

/// The commands by their names.
static BY_NAME: LazyLock<FxHashMap<&[u8], &Spec>> =
    LazyLock::new(|| COMMANDS.iter().map(|spec| (spec.name.as_bytes(), spec)).collect());

/// The command of that name, in any case.
pub(crate) fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut upper = [0; MAX_NAME];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    BY_NAME.get(&*upper).copied()
}

/// Whether these bytes look like a command's name: a word of letters, digits and dots that begins with a letter.
pub(super) fn is_word(name: &[u8]) -> bool {
    name.len() <= MAX_NAME
        && name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

impl Spec {
    /// Whether a command of so many words, the name included, is well formed.
    pub(super) fn accepts(&self, words: u64) -> bool {
        let bound = u64::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= bound } else { words == bound }
    }
}

impl Shown {
    /// Whether an argument has to be kept so that the command can be shown later.
    pub(super) fn keeps(self, index: u32, total: u32) -> bool {
        match self {
            Self::Nothing | Self::Secret => false,
            Self::Keys { first, last, step } => in_range(index, total, first, last, step),
            Self::FieldValues => is_field(index, total),
            // Where these end depends on the arguments themselves.
            Self::Counted { .. } | Self::CountedInto | Self::CountedPairs | Self::Streams => true,
            Self::Subcommand => index == 0,
            Self::SubcommandKey => index <= 1,
        }
    }

    /// Whether the arguments themselves tell which of them are names.
    pub(super) fn depends_on_arguments(self) -> bool {
        match self {
            Self::Counted { .. } | Self::CountedInto | Self::CountedPairs | Self::Streams => true,
            Self::Nothing | Self::Secret | Self::Keys { .. } | Self::FieldValues => false,
            Self::Subcommand | Self::SubcommandKey => false,
        }
    }

    /// What argument `index` of these is.
    pub(crate) fn part(self, index: usize, args: &[Argument], omitted: u32) -> Part {
        let at = u32::try_from(index).unwrap_or(u32::MAX);
        let total = u32::try_from(args.len()).unwrap_or(u32::MAX).saturating_add(omitted);
        match self {
            Self::Nothing | Self::Secret => Part::Value,
            Self::Keys { first, last, step } if in_range(at, total, first, last, step) => Part::Key,
            Self::Keys { .. } => Part::Value,
            Self::FieldValues if is_field(at, total) => Part::Key,
            Self::FieldValues => Part::Value,
            Self::Counted { at } => counted(index, usize::from(at), args),
            Self::CountedInto if index == 0 => Part::Key,
            Self::CountedInto => counted(index, 1, args),
            Self::CountedPairs => counted_pair(index, args),
            Self::Streams => stream(index, args, total),
            Self::Subcommand | Self::SubcommandKey if index == 0 => Part::Word,
            Self::SubcommandKey if index == 1 => Part::Key,
            Self::Subcommand | Self::SubcommandKey => Part::Value,
        }
    }
}

fn in_range(index: u32, total: u32, first: u8, last: i8, step: u8) -> bool {
    let first = u32::from(first);
    let end = match u32::try_from(last) {
        Ok(last) => last.saturating_add(1),
        Err(_) => total.saturating_sub(u32::from(last.unsigned_abs()) - 1),
    };
    let step = u32::from(step.max(1));
    // With a key or a value too many, what stands at a key's place may be a value.
    let is_whole = end.saturating_sub(first).is_multiple_of(step);
    (first..end).contains(&index) && (index - first).is_multiple_of(step) && (is_whole || index == first)
}

/// The key, then every second argument from the first field on. If they are not pairs, any may be a value.
fn is_field(index: u32, total: u32) -> bool {
    index == 0 || (index % 2 == 1 && total % 2 == 1)
}

/// `MSETEX 2 key value key value [NX]`.
fn counted_pair(index: usize, args: &[Argument]) -> Part {
    let count = args.first().and_then(number);
    match (index, count) {
        (0, Some(_)) => Part::Word,
        (_, Some(count)) if index % 2 == 1 && (index as u64) < count.saturating_mul(2) => Part::Key,
        _ => Part::Value,
    }
}

fn counted(index: usize, at: usize, args: &[Argument]) -> Part {
    let count = args.get(at).and_then(number);
    match (index.checked_sub(at), count) {
        (Some(0), Some(_)) => Part::Word,
        (Some(after), Some(count)) if after >= 1 && after as u64 <= count => Part::Key,
        _ => Part::Value,
    }
}

/// `XREAD [COUNT n] … STREAMS key… id…`.
fn stream(index: usize, args: &[Argument], total: u32) -> Part {
    let Some(word) = args.iter().position(|arg| arg.is_word(b"STREAMS")) else { return Part::Value };
    let names = (total as usize).saturating_sub(word + 1) / 2;
    match index.checked_sub(word) {
        Some(0) => Part::Word,
        Some(after) if after >= 1 && after <= names => Part::Key,
        _ => Part::Value,
    }
}

impl Argument {
    fn is_word(&self, word: &[u8]) -> bool {
        matches!(self, Self::Shown(text) if text.eq_ignore_ascii_case(word))
    }
}

fn number(arg: &Argument) -> Option<u64> {
    match arg {
        Argument::Shown(text) => decimal(text),
        Argument::Hidden | Argument::Cut(_) => None,
    }
}

/// A plain decimal number: digits only, no sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter()
        .try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_so_that_every_command_is_found() {
        for spec in COMMANDS {
            assert_eq!(
                lookup(spec.name.to_ascii_lowercase().as_bytes()).map(|found| found.name),
                Some(spec.name)
            );
        }
        assert!(lookup(b"NOSUCH").is_none());
    }

    #[test]
    fn what_is_no_pair_may_be_a_value() {
        let shown = |shown: Shown, words: &[&str]| {
            let args: Vec<_> = words.iter().map(|word| Argument::Shown(word.as_bytes().into())).collect();
            (0..args.len()).map(|index| shown.part(index, &args, 0)).collect::<Vec<_>>()
        };
        use Part::{Key, Value, Word};
        assert_eq!(shown(Shown::FieldValues, &["h", "f", "v"]), [Key, Key, Value]);
        assert_eq!(shown(Shown::FieldValues, &["h", "f", "v", "v"]), [Key, Value, Value, Value]);
        let pairs = ["2", "a", "v", "b", "v", "EX", "9"];
        assert_eq!(shown(Shown::CountedPairs, &pairs), [Word, Key, Value, Key, Value, Value, Value]);
    }

    #[test]
    fn ranges_count_from_either_end() {
        let keys = |last, step, total| {
            (0..total).filter(|&index| in_range(index, total, 0, last, step)).collect::<Vec<_>>()
        };
        assert_eq!(keys(-1, 1, 3), [0, 1, 2]);
        assert_eq!(keys(-2, 1, 3), [0, 1]);
        assert_eq!(keys(-1, 2, 4), [0, 2]);
        assert_eq!(keys(-1, 2, 5), [0]);
        assert_eq!(keys(0, 1, 3), [0]);
        assert_eq!(keys(-2, 1, 0), [0; 0]);
    }
}
