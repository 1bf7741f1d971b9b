//! MySQL's lexical structure.
//! <https://dev.mysql.com/doc/refman/8.4/en/language-structure.html>,
//! <https://mariadb.com/kb/en/comment-syntax/>

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space.
    Space,
    /// A comment that the server does not execute; optimizer hints too.
    Comment,
    /// `/*!50100`, `/*M!`: what follows is executed.
    ExecutableOpen,
    /// The end of an executable comment.
    ExecutableClose,
    /// A keyword or an unquoted name.
    Word,
    /// A name in backticks.
    Quoted,
    /// A string, a number, a bit or hex value.
    Value,
    /// `@user` or `@@system` variable.
    Variable,
    /// `?`
    Placeholder,
    /// Any other character.
    Symbol,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The text ended before the token did.
    unterminated: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }

    #[inline]
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.text.len() == word.len() && self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// A string or comment whose end is missing.
    pub(super) fn is_unterminated(&self) -> bool {
        self.unterminated
    }

    /// Nothing that the grammar sees.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose)
    }
}

/// How quoted text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A backslash in a string escapes the next character: the default.
    Escapes,
    /// It stands for itself: SQL mode NO_BACKSLASH_ESCAPES.
    Literal,
    /// Unknown: a string with one may end anywhere, so it hides all that follows.
    Unclear,
    /// The text is in a character set (GBK, Big5, Shift JIS) that has backslashes and backticks within characters:
    /// either hides all that follows.
    Multibyte,
}

/// Cuts a text into tokens; together they are the text.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
    reading: Reading,
    /// Inside an executable comment.
    executable: bool,
    /// The text may have characters that stand for what is not UTF-8.
    garbled: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str, reading: Reading) -> Self {
        let [first, ..] = REPLACEMENT;
        let garbled = memchr::memchr(first, text.as_bytes()).is_some();
        Self { rest: text, reading, executable: false, garbled }
    }

    /// Kind and length of the next token, and whether its end is missing.
    fn measure(&mut self) -> Option<(Kind, usize, bool)> {
        let bytes = self.rest.as_bytes();
        let first = *bytes.first()?;
        Some(match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => (
                Kind::Space,
                run(bytes, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)),
                false,
            ),
            b'\'' | b'"' => self.string(0),
            b'`' if self.reading == Reading::Multibyte => (Kind::Value, bytes.len(), true),
            b'`' => quoted(bytes, 0, Kind::Quoted, Reading::Literal),
            b'$' => self.dollar(bytes),
            b'#' => (Kind::Comment, line(bytes), false),
            b'-' if is_dash_comment(bytes) => (Kind::Comment, line(bytes), false),
            b'/' if bytes.get(1) == Some(&b'*') => self.comment(bytes),
            b'*' if self.executable && bytes.get(1) == Some(&b'/') => {
                self.executable = false;
                (Kind::ExecutableClose, 2, false)
            }
            b'?' => (Kind::Placeholder, 1, false),
            b'@' => variable(bytes),
            b'0'..=b'9' => (Kind::Value, number(bytes), false),
            b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => (Kind::Value, number(bytes), false),
            first if is_word(first) => self.word(bytes),
            _ => (Kind::Symbol, self.rest.chars().next().map_or(1, char::len_utf8), false),
        })
    }

    /// A string whose quote stands at `at`.
    fn string(&self, at: usize) -> (Kind, usize, bool) {
        quoted(self.rest.as_bytes(), at, Kind::Value, self.reading)
    }

    /// A name or keyword, or what introduces a string: `N'…'`, `x'…'`, `b'…'`, `_utf8mb4'…'`.
    fn word(&self, bytes: &[u8]) -> (Kind, usize, bool) {
        let length = run(bytes, is_word);
        let introduces = match bytes {
            [b'n' | b'N' | b'x' | b'X' | b'b' | b'B', ..] if length == 1 => true,
            [b'_', ..] => true,
            _ => false,
        };
        match bytes.get(length) {
            Some(b'\'' | b'"') if introduces => self.string(length),
            _ if self.garbled && is_garbled(bytes.get(..length).unwrap_or_default()) => {
                (Kind::Value, length, false)
            }
            _ => (Kind::Word, length, false),
        }
    }

    /// `$$…$$`, `$tag$…$tag$`: a string since MySQL 8.0.32, a name before and in MariaDB. Where it matters which of
    /// them it is, all that follows is hidden.
    fn dollar(&self, bytes: &[u8]) -> (Kind, usize, bool) {
        let tag = run(bytes.get(1..).unwrap_or_default(), |byte| is_word(byte) && byte != b'$') + 2;
        let Some(delimiter) = bytes.get(..tag).filter(|tag| tag.ends_with(b"$")) else {
            return self.word(bytes);
        };
        let body = bytes.get(tag..).unwrap_or_default();
        let Some(length) = memchr::memmem::find(body, delimiter) else {
            return (Kind::Value, bytes.len(), true);
        };
        let plain = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b',' | b'.' | b';' | b'=')
        };
        if body.get(..length).unwrap_or_default().iter().all(plain) {
            (Kind::Value, tag + length + tag, false)
        } else {
            (Kind::Value, bytes.len(), true)
        }
    }

    fn comment(&mut self, bytes: &[u8]) -> (Kind, usize, bool) {
        let opening = match bytes {
            [_, _, b'!', ..] => 3,
            [_, _, b'M', b'!', ..] => 4,
            _ => {
                let body = bytes.get(2..).unwrap_or_default();
                return match memchr::memmem::find(body, b"*/") {
                    Some(end) => (Kind::Comment, end + 4, false),
                    None => (Kind::Comment, bytes.len(), true),
                };
            }
        };
        let content = bytes.get(opening..).unwrap_or_default();
        if !self.executable && !self.ends_either_way(content) {
            return (Kind::Value, bytes.len(), true);
        }
        self.executable = true;
        // The version is five or six digits; more would be a number.
        let digits = run(content, |byte| byte.is_ascii_digit());
        (Kind::ExecutableOpen, opening + if (5..=6).contains(&digits) { digits } else { 0 }, false)
    }
}

impl Tokens<'_> {
    /// Whether an executable comment ends at the same place for a server that executes it and for one that does not
    /// because of its version: no quote and no comment in it reaches over its end.
    fn ends_either_way(&self, content: &[u8]) -> bool {
        let Some(end) = memchr::memmem::find(content, b"*/") else { return true };
        let start = self.rest.len() - content.len();
        let Some(inside) = self.rest.get(start..start + end) else { return false };
        let last = Tokens { rest: inside, executable: true, ..self.clone() }.last();
        !last.is_some_and(|token| {
            token.unterminated || token.kind == Kind::Comment && !token.text.ends_with("*/")
        })
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let (kind, length, unterminated) = self.measure()?;
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(Token { kind, text, unterminated })
    }
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(**byte)).count()
}

/// Part of an unquoted name. Every byte beyond ASCII is: MySQL allows U+0080 and above.
fn is_word(byte: u8) -> bool {
    const IS_WORD: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let of_name =
                matches!(byte as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'$' | 0x80..);
            table[byte] = of_name;
            byte += 1;
        }
        table
    };
    IS_WORD.get(usize::from(byte)).copied().unwrap_or_default()
}

/// U+FFFD, which stands for what is not UTF-8.
pub(super) const REPLACEMENT: [u8; 3] = [0xef, 0xbf, 0xbd];

/// Characters that are not UTF-8 are in it: it may as well be a number behind a space of another character set.
fn is_garbled(word: &[u8]) -> bool {
    memchr::memmem::find(word, &REPLACEMENT).is_some()
}

/// To the end of the line, without its end.
fn line(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())
}

/// `--` begins a comment only before white space, a control character or the end.
fn is_dash_comment(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&b'-') && bytes.get(2).is_none_or(|byte| *byte <= b' ')
}

/// Text in quotes, whose opening quote stands at `at`. A doubled quote is part of it.
fn quoted(bytes: &[u8], at: usize, kind: Kind, reading: Reading) -> (Kind, usize, bool) {
    let quote = bytes.get(at).copied().unwrap_or_default();
    let mut index = at + 1;
    while let Some(byte) = bytes.get(index) {
        if *byte == b'\\' && matches!(reading, Reading::Unclear | Reading::Multibyte) {
            break;
        } else if *byte == b'\\' && reading == Reading::Escapes {
            // The escaped character: if it has several bytes, the others cannot be a quote.
            index += 2;
        } else if *byte != quote {
            index += 1;
        } else if bytes.get(index + 1) == Some(&quote) {
            index += 2;
        } else {
            return (kind, index + 1, false);
        }
    }
    (kind, bytes.len(), true)
}

/// `@name`, `@@global.name`. A quoted name is left to the next token, which hides it: `'user'@'host'`.
fn variable(bytes: &[u8]) -> (Kind, usize, bool) {
    let signs = run(bytes, |byte| byte == b'@').min(2);
    let name = run(bytes.get(signs..).unwrap_or_default(), |byte| is_word(byte) || byte == b'.');
    if name == 0 { (Kind::Symbol, 1, false) } else { (Kind::Variable, signs + name, false) }
}

/// A number with whatever name characters follow it: `12`, `1.5e-3`, `0xFF`, and also a name that begins
/// with a digit, which is rare and cannot be told from a value in a text that is cut.
fn number(bytes: &[u8]) -> usize {
    let mut length = run(bytes, |byte| is_word(byte) || byte == b'.');
    let hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let exponent = matches!(bytes.get(length.wrapping_sub(1)), Some(b'e' | b'E'));
    if exponent && !hexadecimal && matches!(bytes.get(length), Some(b'+' | b'-')) {
        let digits = run(bytes.get(length + 1..).unwrap_or_default(), is_word);
        length += if digits > 0 { digits + 1 } else { 0 };
    }
    length
}
