//! Errors: their first word.
//!
//! Source: `afterErrorReply` in Redis's `networking.c`, which counts errors by it (`INFO errorstats`).

use std::borrow::Cow;

use super::command::Outcome;

/// Longest error prefix.
const MAX_PREFIX: usize = 32;

/// The prefix of an error message; one that is no upper-case word may hold anything, and counts as `ERR`.
pub(super) fn error(text: &[u8]) -> Outcome {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_prefix = word.len() <= MAX_PREFIX
        && word.first().is_some_and(u8::is_ascii_uppercase)
        && word.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    Outcome::Error(match std::str::from_utf8(word) {
        Ok(word) if is_prefix => known_prefix(word),
        _ => Cow::Borrowed("ERR"),
    })
}

/// The usual ones need no memory of their own.
fn known_prefix(word: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 12] = [
        "ERR",
        "WRONGTYPE",
        "NOAUTH",
        "NOPERM",
        "MOVED",
        "ASK",
        "OOM",
        "NOSCRIPT",
        "LOADING",
        "BUSY",
        "READONLY",
        "EXECABORT",
    ];
    KNOWN
        .iter()
        .find(|known| **known == word)
        .map_or_else(|| Cow::Owned(word.to_owned()), |known| (*known).into())
}
