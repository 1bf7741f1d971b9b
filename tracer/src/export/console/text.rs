//! Text for a terminal: escaped, shortened, coloured.

use std::fmt::Write;
use std::io::IsTerminal;

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With ANSI colours.
    Colour,
}

/// What a colour means here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
}

impl Style {
    /// Colours when standard output is a terminal and `NO_COLOR` (<https://no-color.org>) is unset or empty.
    #[must_use]
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if std::io::stdout().is_terminal() && !unwanted { Self::Colour } else { Self::Plain }
    }

    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Strong => "1",
            Paint::Faint => "2",
            Paint::Good => "32",
            Paint::Warning => "33",
            Paint::Bad => "31",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// The text in one line that cannot steer the terminal: control characters, and those that turn the direction of
/// writing, are shown by their escapes. At most `most` characters, with `…` for the rest.
pub(super) fn shown(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    for (count, character) in text.chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        if is_harmless(character) {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
    }
    line
}

fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// A length of time in a reader's unit: `345 µs`, `12.3 ms`, `1.23 s`.
pub(super) fn duration(ns: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", ns / unit, ns % unit * 10 / unit);
    match ns {
        0..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", tenths(1_000_000)),
        _ => format!("{} s", tenths(1_000_000_000)),
    }
}

/// The time of day in UTC: `22:13:20.123`.
pub(super) fn time_of_day(unix_ns: u64) -> String {
    let ms = unix_ns / 1_000_000;
    let (hours, minutes, seconds) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60);
    let mut time = String::with_capacity(12);
    // Writing to a string does not fail.
    let _ok = write!(time, "{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000);
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(shown("a\nb\t\x1b[31m\u{9b}x\r", 100), r"a\nb\t\u{1b}[31m\u{9b}x\r");
        assert_eq!(shown("a\u{202e}b", 100), r"a\u{202e}b");
        assert_eq!(shown("naïve Ünïcödé 메시지", 100), "naïve Ünïcödé 메시지");
    }

    #[test]
    fn long_text_is_shortened_by_characters() {
        assert_eq!(shown("ééééé", 3), "ééé…");
        assert_eq!(shown("ééé", 3), "ééé");
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(
            [999, 345_678, 12_345_678, 1_234_567_890].map(duration),
            ["0 µs", "345 µs", "12.3 ms", "1.2 s"]
        );
        assert_eq!(time_of_day(1_700_000_000_123_000_000), "22:13:20.123");
    }

    #[test]
    fn plain_text_has_no_colours() {
        assert_eq!(Style::Plain.paint(Paint::Bad, "x"), "x");
        assert_eq!(Style::Colour.paint(Paint::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
