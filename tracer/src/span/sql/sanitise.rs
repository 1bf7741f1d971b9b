//! Values → `?`.

use std::iter::Copied;
use std::slice::Iter;

use super::Read;
use super::tokenizer::{Kind, Token};

/// The tokens that are still to come.
type Rest<'t, 'a> = Copied<Iter<'t, Token<'a>>>;

/// Words after which `-` and `+` are a number's sign, not an operator.
const BEFORE_SIGN: &[&str] = &[
    "ALL", "AND", "AS", "BETWEEN", "BY", "CALL", "CASE", "DEFAULT", "DISTINCT", "DIV", "DO", "ELSE", "FROM",
    "HAVING", "IN", "INTERVAL", "IS", "LIKE", "LIMIT", "MOD", "NOT", "OFFSET", "ON", "OR", "REGEXP",
    "RETURN", "RLIKE", "SELECT", "SET", "THEN", "TO", "VALUES", "WHEN", "WHERE", "WITH", "XOR",
];

/// The text without values and comments. A list of values after `IN` becomes one, and of several rows after
/// `VALUES` the first is shown: the text then is the same however many there were.
pub(super) fn sanitise(statement: &Read<'_>) -> String {
    let mut writer =
        Writer { out: String::with_capacity(statement.length.min(4096)), context: Context::Start };
    let mut tokens = statement.tokens.iter().copied();
    while let Some(token) = tokens.next() {
        let opens_list = token.is_word("IN");
        let opens_rows = token.is_word("VALUES") || token.is_word("VALUE");
        writer.push(&token, &tokens);
        if opens_list {
            writer.list(&mut tokens);
        } else if opens_rows {
            writer.rows(&mut tokens);
        }
    }
    writer.out
}

/// Longest number in a text with placeholders that is shown: it is a limit, a flag, a state.
const MAX_NUMBER: usize = 6;

/// A text with placeholders, whose values are sent apart: as it was written, but for strings, long numbers and comments.
pub(super) fn mask(statement: &Read<'_>) -> String {
    let mut writer = Writer { out: String::with_capacity(statement.length), context: Context::Start };
    let mut tokens = statement.tokens.iter().copied();
    while let Some(token) = tokens.next() {
        let is_number = token.text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        if token.kind == Kind::Value && is_number && token.text.len() <= MAX_NUMBER {
            writer.out.push_str(token.text);
        } else if token.kind == Kind::Symbol {
            // A number keeps its sign.
            writer.out.push_str(token.text);
        } else {
            writer.push(&token, &tokens);
        }
    }
    writer.out
}

/// What stood before, as far as it decides what a sign means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context<'a> {
    /// An operand cannot be complete here.
    Start,
    /// A word was written: it tells.
    Word(&'a str),
    /// An operand is complete.
    Operand,
    /// A value was written, and nothing since.
    Value,
}

struct Writer<'a> {
    out: String,
    context: Context<'a>,
}

impl<'a> Writer<'a> {
    /// Writes one token; `after` are the ones behind it.
    fn push(&mut self, token: &Token<'a>, after: &Rest<'_, 'a>) {
        match token.kind {
            Kind::Comment => self.separate(after),
            Kind::Space | Kind::ExecutableOpen | Kind::ExecutableClose => {
                self.out.push_str(token.text);
                if self.context == Context::Value {
                    self.context = Context::Operand;
                }
            }
            Kind::Value => {
                self.out.push('?');
                self.context = Context::Value;
            }
            Kind::Symbol if self.is_sign(token, after) => {}
            Kind::Symbol => {
                self.out.push_str(token.text);
                self.context = if token.is(')') { Context::Operand } else { Context::Start };
            }
            Kind::Word => {
                self.out.push_str(token.text);
                self.context = Context::Word(token.text);
            }
            Kind::Quoted | Kind::Variable | Kind::Placeholder => {
                self.out.push_str(token.text);
                self.context = Context::Operand;
            }
        }
    }

    /// Words on both sides of a comment stay apart without it.
    fn separate(&mut self, after: &Rest<'_, '_>) {
        let joins = |last: char| last.is_alphanumeric() || matches!(last, '_' | '$' | '?');
        let next = after.clone().next();
        let glued =
            next.is_some_and(|next| matches!(next.kind, Kind::Word | Kind::Value | Kind::Placeholder));
        if glued && self.out.chars().next_back().is_some_and(joins) {
            self.out.push(' ');
        }
    }

    /// A sign belongs to the number right behind it where no operand stands before it, and, as the conventions' published
    /// cases have it (`99+100` becomes `??`), where a value stands right before it.
    fn is_sign(&self, token: &Token<'_>, after: &Rest<'_, '_>) -> bool {
        let signed = token.is('-') || token.is('+');
        let next = || after.clone().next();
        let no_operand = || match self.context {
            Context::Operand => false,
            Context::Word(before) => BEFORE_SIGN.iter().any(|word| before.eq_ignore_ascii_case(word)),
            Context::Start | Context::Value => true,
        };
        signed && no_operand() && next().is_some_and(|next| next.kind == Kind::Value)
    }

    /// After `IN`: a parenthesis of nothing but values becomes `(?)`.
    fn list(&mut self, tokens: &mut Rest<'_, 'a>) {
        let mut ahead = tokens.clone();
        let Some(open) = ahead.find(|token| token.kind != Kind::Space).filter(|token| token.is('(')) else {
            return;
        };
        let mut values = 0_usize;
        for token in ahead.by_ref() {
            match token.kind {
                Kind::Value | Kind::Placeholder => values += 1,
                Kind::Space | Kind::Comment => {}
                Kind::Symbol if token.is(',') || token.is('-') || token.is('+') => {}
                Kind::Symbol if token.is(')') && values > 0 => {
                    let lead = tokens.next().filter(|token| token.kind == Kind::Space);
                    self.out.push_str(lead.map_or("", |space| space.text));
                    self.out.push_str(open.text);
                    self.out.push_str("?)");
                    self.context = Context::Operand;
                    *tokens = ahead;
                    return;
                }
                _ => return,
            }
        }
    }

    /// After `VALUES`: the first row is written, the others become `...`.
    fn rows(&mut self, tokens: &mut Rest<'_, 'a>) {
        if !next_is(tokens, '(') {
            return;
        }
        let mut depth = 0_usize;
        while let Some(token) = tokens.next() {
            self.push(&token, tokens);
            depth = deeper(depth, &token);
            if depth == 0 && token.is(')') {
                break;
            }
        }
        let mut more = false;
        while skip_row(tokens) {
            more = true;
        }
        if more {
            self.out.push_str(", ...");
        }
    }
}

fn deeper(depth: usize, token: &Token<'_>) -> usize {
    match token {
        token if token.is('(') => depth + 1,
        token if token.is(')') => depth.saturating_sub(1),
        _ => depth,
    }
}

/// Whether the next token that is not blank is this symbol.
fn next_is(tokens: &Rest<'_, '_>, symbol: char) -> bool {
    tokens.clone().find(|token| !token.is_blank()).is_some_and(|token| token.is(symbol))
}

/// Steps over `, (…)`, or over its beginning where the text ends.
fn skip_row(tokens: &mut Rest<'_, '_>) -> bool {
    let mut ahead = tokens.clone();
    let comma = ahead.find(|token| !token.is_blank());
    if !comma.is_some_and(|token| token.is(',')) || !next_is(&ahead, '(') {
        return false;
    }
    let mut depth = 0_usize;
    for token in ahead.by_ref() {
        depth = deeper(depth, &token);
        if depth == 0 && token.is(')') {
            break;
        }
    }
    *tokens = ahead;
    true
}
