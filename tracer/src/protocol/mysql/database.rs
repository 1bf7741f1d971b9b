//! What a command does to the current database.

use std::sync::Arc;

use super::handshake;
use super::plausible::skip_to_word;

/// Most statements of one text that are looked at.
const MAX_STATEMENTS: usize = 64;

/// What becomes of the current database if a command succeeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Move {
    #[default]
    Nowhere,
    To(Arc<str>),
    /// Among several statements there is a `USE`: where that leads is not worth following.
    Unclear,
    /// This database is dropped.
    Drops(Arc<str>),
}

impl Move {
    /// What a command that names a database does.
    pub(super) fn to(name: &[u8]) -> Self {
        handshake::name(name).map_or(Self::Nowhere, |name| Self::To(name.into()))
    }

    pub(super) fn drops(name: &[u8]) -> Self {
        handshake::name(name).map_or(Self::Nowhere, |name| Self::Drops(name.into()))
    }

    /// What a statement's text does.
    pub(super) fn of_statement(text: &[u8]) -> Self {
        let Some((word, rest)) = word(text) else { return Self::Nowhere };
        if word.eq_ignore_ascii_case(b"use") {
            return match name(rest) {
                Some((name, rest)) if is_end(rest) => Self::To(name.into()),
                _ => Self::Unclear,
            };
        }
        if word.eq_ignore_ascii_case(b"drop")
            && let Some(name) = dropped(rest)
        {
            return Self::Drops(name.into());
        }
        let later = memchr::memchr_iter(b';', text).take(MAX_STATEMENTS);
        let mut words = later.filter_map(|at| self::word(text.get(at + 1..)?));
        if words.any(|(word, _)| word.eq_ignore_ascii_case(b"use")) { Self::Unclear } else { Self::Nowhere }
    }
}

/// The first word of a text and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = skip_to_word(text);
    let length = text.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
    text.split_at_checked(length).filter(|(word, _)| !word.is_empty())
}

/// The database of `DROP DATABASE` after its first word.
fn dropped(rest: &[u8]) -> Option<String> {
    let (kind, mut rest) = word(rest)?;
    if !kind.eq_ignore_ascii_case(b"database") && !kind.eq_ignore_ascii_case(b"schema") {
        return None;
    }
    if let Some((b"if" | b"IF", after)) = word(rest) {
        rest = word(after)?.1;
    }
    name(rest).map(|(name, _)| name)
}

/// A name, in quotes or not, and what follows it.
fn name(text: &[u8]) -> Option<(String, &[u8])> {
    let text = skip_to_word(text);
    let quote = text.first().copied().filter(|byte| matches!(byte, b'`' | b'"'));
    let Some(quote) = quote else {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80;
        let (name, rest) = text.split_at(text.iter().take_while(|byte| plain(byte)).count());
        return handshake::name(name).map(|name| (name, rest));
    };
    let mut name = Vec::new();
    let mut rest = text.get(1..)?;
    loop {
        let end = memchr::memchr(quote, rest)?;
        name.extend_from_slice(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        let Some(after) = rest.strip_prefix(&[quote]) else { break };
        name.push(quote);
        rest = after;
    }
    handshake::name(&name).map(|name| (name, rest))
}

/// Nothing of a statement follows: space, a semicolon, comments, the end of an executable comment.
fn is_end(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"*/").unwrap_or(rest).trim_ascii_start();
    skip_to_word(rest.strip_prefix(b";").unwrap_or(rest)).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_names_a_database() {
        let to = |name: &str| Move::To(name.into());
        assert_eq!(Move::of_statement(b"USE shop"), to("shop"));
        assert_eq!(Move::of_statement(b" use\t`my ``db` ; "), to("my `db"));
        assert_eq!(Move::of_statement(b"/* which */ USE \"shop\" -- now"), to("shop"));
        assert_eq!(Move::of_statement(b"/*!40101 USE shop */;"), to("shop"));
        assert_eq!(Move::of_statement(b"use`shop`"), to("shop"));
        assert_eq!(Move::of_statement(b"user shop"), Move::Nowhere);
        assert_eq!(Move::of_statement(b"SELECT 'a; b'"), Move::Nowhere);
    }

    #[test]
    fn what_cannot_be_followed_is_unclear() {
        for text in
            [&b"USE a; DROP TABLE b"[..], b"SELECT 1; USE a", b"USE", b"SET x = 1;/* now */use a;SELECT 2"]
        {
            assert_eq!(Move::of_statement(text), Move::Unclear, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn drops_are_seen() {
        let drops = |name: &str| Move::Drops(name.into());
        assert_eq!(Move::of_statement(b"DROP DATABASE shop"), drops("shop"));
        assert_eq!(Move::of_statement(b"drop schema IF EXISTS `shop`"), drops("shop"));
        assert_eq!(Move::of_statement(b"DROP TABLE shop"), Move::Nowhere);
    }
}
