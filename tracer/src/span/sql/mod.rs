//! SQL text as spans may show it: without values, and in a few words.
//!
//! The dialect is MySQL's and MariaDB's. Text may be truncated anywhere and may hold replacement characters
//! where it was not UTF-8: what cannot be understood is taken for a value rather than shown.

mod sanitise;
mod summary;
#[cfg(test)]
mod tests;
mod tokenizer;
mod words;

use smallvec::SmallVec;
use tokenizer::{Kind, Reading, Token, Tokens};

/// A statement's text and what is known of its reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The text.
    pub text: &'a str,
    /// Only its beginning.
    pub truncated: bool,
    /// What a backslash in a string does.
    pub backslashes: Backslashes,
}

/// What a backslash in a string does: it depends on SQL mode NO_BACKSLASH_ESCAPES.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backslashes {
    /// It escapes the next character.
    #[default]
    Escape,
    /// It stands for itself.
    Literal,
    /// The session's mode is not known.
    Unknown,
}

impl<'a> Statement<'a> {
    /// A whole statement in the default SQL mode.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, truncated: false, backslashes: Backslashes::Escape }
    }

    /// The statement, read.
    #[must_use]
    pub fn read(&self) -> Read<'a> {
        let mut read = Read { length: self.text.len(), truncated: self.truncated, tokens: SmallVec::new() };
        read.tokens.extend(Tokens::new(self.text, self.reading()));
        read
    }

    /// How strings are read. If a whole text ends inside a string, it was read wrongly, or is wrong itself.
    fn reading(&self) -> Reading {
        let [replacement, ..] = tokenizer::REPLACEMENT;
        if memchr::memchr2(b'\\', replacement, self.text.as_bytes()).is_none() {
            return Reading::Escapes;
        }
        if self.text.contains(char::REPLACEMENT_CHARACTER) && may_be_multibyte(self.text) {
            return Reading::Multibyte;
        }
        if !self.text.contains('\\') {
            return Reading::Escapes;
        }
        let told = match self.backslashes {
            Backslashes::Escape => Reading::Escapes,
            Backslashes::Literal => Reading::Literal,
            Backslashes::Unknown if self.reads_alike() => Reading::Escapes,
            Backslashes::Unknown => Reading::Unclear,
        };
        if !self.truncated && Tokens::new(self.text, told).any(|token| token.is_unterminated()) {
            return Reading::Unclear;
        }
        told
    }

    /// Whether strings end at the same places whatever a backslash does.
    fn reads_alike(&self) -> bool {
        Tokens::new(self.text, Reading::Escapes).eq(Tokens::new(self.text, Reading::Literal))
    }
}

/// A statement that was read: for all that is told of it, it is taken apart once.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    /// Length of the text.
    length: usize,
    /// Only its beginning.
    truncated: bool,
    /// Together they are the text.
    tokens: SmallVec<[Token<'a>; USUAL_TOKENS]>,
}

/// Tokens of most statements: they need no memory of their own.
const USUAL_TOKENS: usize = 32;

impl Read<'_> {
    /// The text with `?` for every value.
    #[must_use]
    pub fn sanitise(&self) -> String {
        sanitise::sanitise(self)
    }

    /// A text with placeholders, prepared on the server, as it was written; but strings, numbers of more than six
    /// characters and comments are hidden in it too.
    #[must_use]
    pub fn mask(&self) -> String {
        sanitise::mask(self)
    }

    /// `db.query.summary`: operations and their targets, in order, at most [`MAX_SUMMARY`] characters.
    #[must_use]
    pub fn summary(&self) -> String {
        summary::summary(self)
    }

    /// Whether the text has a `?` that stands for a value sent apart.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.tokens.iter().any(|token| token.kind == Kind::Placeholder)
    }
}

/// In text that is not UTF-8 a backslash or a backtick can be the second byte of a character (GBK, Big5, Shift JIS).
fn may_be_multibyte(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| matches!(pair, [before, b'\\' | b'`'] if !before.is_ascii()))
}

/// `SELECT * FROM t WHERE a = 1` → `SELECT * FROM t WHERE a = ?`.
#[must_use]
pub fn sanitise(text: &str) -> String {
    Statement::new(text).read().sanitise()
}

/// `SELECT * FROM t WHERE a = 1` → `SELECT t`.
#[must_use]
pub fn summary(text: &str) -> String {
    Statement::new(text).read().summary()
}

/// The conventions' limit on `db.query.summary`, in characters.
pub const MAX_SUMMARY: usize = 255;
