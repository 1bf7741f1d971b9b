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

use tokenizer::{Backslash, Kind, Tokens};

/// A statement's text and what is known of its reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The text.
    pub text: &'a str,
    /// Only its beginning.
    pub truncated: bool,
    /// In strings a backslash stands for itself (SQL mode NO_BACKSLASH_ESCAPES).
    pub no_backslash_escapes: bool,
}

impl<'a> Statement<'a> {
    /// A whole statement in the default SQL mode.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, truncated: false, no_backslash_escapes: false }
    }

    /// The text with `?` for every value.
    #[must_use]
    pub fn sanitise(&self) -> String {
        sanitise::sanitise(self)
    }

    /// `db.query.summary`: operations and their targets, in order, at most [`MAX_SUMMARY`] characters.
    #[must_use]
    pub fn summary(&self) -> String {
        summary::summary(self)
    }

    /// Whether the text has a `?` that stands for a value sent apart.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.tokens().any(|token| token.kind == Kind::Placeholder)
    }

    fn tokens(&self) -> Tokens<'a> {
        Tokens::new(self.text, self.backslash())
    }

    /// How strings are read. A session whose mode was never seen may use the other one: if a whole text ends
    /// inside a string, it was read wrongly, or is wrong itself. In text that is not UTF-8 a backslash can be the
    /// second byte of a character (GBK, Big5, Shift JIS), which escapes nothing.
    fn backslash(&self) -> Backslash {
        if self.text.contains(char::REPLACEMENT_CHARACTER) && has_backslash_after_non_ascii(self.text) {
            return Backslash::Unclear;
        }
        let told = if self.no_backslash_escapes { Backslash::Literal } else { Backslash::Escapes };
        let suspicious = !self.truncated && self.text.contains('\\');
        if suspicious && Tokens::new(self.text, told).any(|token| token.is_unterminated()) {
            return Backslash::Unclear;
        }
        told
    }
}

fn has_backslash_after_non_ascii(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| matches!(pair, [before, b'\\'] if !before.is_ascii()))
}

/// `SELECT * FROM t WHERE a = 1` → `SELECT * FROM t WHERE a = ?`.
#[must_use]
pub fn sanitise(text: &str) -> String {
    Statement::new(text).sanitise()
}

/// `SELECT * FROM t WHERE a = 1` → `SELECT t`.
#[must_use]
pub fn summary(text: &str) -> String {
    Statement::new(text).summary()
}

/// The conventions' limit on `db.query.summary`, in characters.
pub const MAX_SUMMARY: usize = 255;
