//! Inline commands: a line of words.
//!
//! Source: `processInlineBuffer` in Redis's `networking.c`.

/// Redis's bound for an inline command: `PROTO_INLINE_MAX_SIZE`.
pub(super) const MAX_INLINE: usize = 64 * 1024;

/// An inline command's words: blanks separate, quotes hold together (`sdssplitargs`). Escapes are not resolved:
/// what is shown of them is quoted again anyway.
pub(super) fn split_words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut escaped = false;
    for &byte in line {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if byte == open => {
                quote = None;
                continue;
            }
            None if byte.is_ascii_whitespace() || byte == 0 => {
                words.extend(word.take());
                continue;
            }
            None if matches!(byte, b'"' | b'\'') => {
                quote = Some(byte);
                word.get_or_insert_default();
                continue;
            }
            _ => {}
        }
        word.get_or_insert_default().push(byte);
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_blanks_outside_quotes() {
        let words = |line: &str| {
            split_words(line.as_bytes())
                .into_iter()
                .map(|word| String::from_utf8(word).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(words("  hget  \"my key\" 'f'"), ["hget", "my key", "f"]);
        assert_eq!(words("set a \"\" 'x \\' y'"), ["set", "a", "", "x \\' y"]);
        assert_eq!(words(" \t"), [""; 0]);
    }
}
