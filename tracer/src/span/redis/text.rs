//! Commands in the syntax of `redis-cli`, with placeholders for values.

use std::fmt::Write;

use crate::protocol::redis::{Argument, Command, Part, Shown, lookup};

/// Longest text, in bytes; a batch's further commands are left out.
const MAX_TEXT: usize = 4096;
/// Bytes that the text of most commands needs not more of.
const USUAL_TEXT: usize = 48;
/// Longest subcommand: a longer word is none.
const MAX_SUBCOMMAND: usize = 32;

/// The commands, separated by `; `; `omitted` more were not kept.
pub(super) fn text(commands: &[Command], omitted: u64, mask_keys: bool) -> String {
    let mut text = String::with_capacity(USUAL_TEXT);
    let mut left_out = omitted;
    for (index, command) in commands.iter().enumerate() {
        if text.len() >= MAX_TEXT {
            left_out += (commands.len() - index) as u64;
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        add_command(&mut text, command, mask_keys);
    }
    if left_out > 0 {
        // Writing to a String cannot fail.
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}... ({left_out} more commands)");
    }
    text
}

fn add_command(text: &mut String, command: &Command, mask_keys: bool) {
    text.push_str(&command.name);
    let shown = lookup(command.name.as_bytes()).map_or(Shown::Nothing, |spec| spec.shown);
    let mut left_out = command.args_omitted;
    for (index, argument) in command.args.iter().enumerate() {
        if text.len() >= MAX_TEXT {
            left_out = left_out.saturating_add(u32::try_from(command.args.len() - index).unwrap_or(u32::MAX));
            break;
        }
        text.push(' ');
        match shown.part(index, &command.args, command.args_omitted) {
            Part::Key if !mask_keys => add_key(text, argument),
            Part::Word => add_word(text, argument),
            Part::Key | Part::Value => text.push('?'),
        }
    }
    if left_out > 0 {
        let _ = write!(text, " ... ({left_out} more arguments)");
    }
}

fn add_key(text: &mut String, argument: &Argument) {
    match argument {
        Argument::Hidden => text.push('?'),
        Argument::Shown(key) => quote(text, key, ""),
        Argument::Cut(key) => quote(text, key, "..."),
    }
}

fn add_word(text: &mut String, argument: &Argument) {
    let is_word = |word: &[u8]| {
        word.len() <= MAX_SUBCOMMAND
            && (word.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
                || word.iter().all(u8::is_ascii_digit))
    };
    match argument {
        Argument::Shown(word) if is_word(word) => text.extend(word.iter().map(|byte| char::from(*byte))),
        Argument::Shown(_) | Argument::Cut(_) | Argument::Hidden => text.push('?'),
    }
}

/// A key as one would type it: in quotes with escapes where it is not a plain word.
fn quote(text: &mut String, key: &[u8], end: &str) {
    let plain = |c: char| match c {
        '"' | '\'' | '\\' => false,
        '!'..='~' => true,
        other => !other.is_whitespace() && !other.is_control(),
    };
    match std::str::from_utf8(key) {
        Ok(word) if !word.is_empty() && word != "?" && word.chars().all(plain) => text.push_str(word),
        _ => {
            text.push('"');
            for chunk in key.utf8_chunks() {
                for c in chunk.valid().chars() {
                    escape(text, c);
                }
                for byte in chunk.invalid() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            }
            text.push('"');
        }
    }
    text.push_str(end);
}

fn escape(text: &mut String, c: char) {
    match c {
        '"' | '\\' => text.extend(['\\', c]),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if c.is_control() => text.extend(c.escape_unicode()),
        c => text.push(c),
    }
}
