//! The level that a log line states, in the forms that are common.
//!
//! JSON fields are read by [`super::log_json`]; everything here is about plain text. Numbers follow the
//! OpenTelemetry log data model ("Severity Fields", and its appendix for syslog's levels). A line that states no
//! level has none: nothing is guessed from prose.

use super::log_json;
use crate::span::Severity;

/// How far into a line a level is looked for, in bytes.
const MAX_PREFIX: usize = 512;

/// How many words of a line are looked at.
const MAX_WORDS: usize = 16;

/// Syslog's priorities by number (RFC 5424, 6.2.1).
const SYSLOG: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Keys of logfmt that hold a level.
const LEVEL_KEYS: [&str; 6] = ["level=", "lvl=", "severity=", "levelname=", "log.level=", "loglevel="];

/// The level that a record states, if it does; of several lines the first counts.
#[must_use]
pub fn of(record: &str) -> Option<Severity> {
    let line = record.lines().next()?.trim_start();
    if line.starts_with('{') {
        return log_json::read(record).severity;
    }
    let line = line.get(..line.floor_char_boundary(MAX_PREFIX))?;
    let stated = syslog(line).or_else(|| klog(line)).or_else(|| redis(line)).or_else(|| logfmt(line));
    stated.or_else(|| head_word(line)).or_else(|| prefix(line))
}

/// A level by its word, in any case; `None` when it is not one.
#[must_use]
pub fn of_word(word: &str) -> Option<Severity> {
    let number = number_of(word).or_else(|| slog(word))?;
    Some(Severity { number, text: word.to_owned() })
}

fn number_of(word: &str) -> Option<u8> {
    Some(match word.to_ascii_lowercase().as_str() {
        "trace" | "verbose" | "finest" | "trc" => 1,
        "debug" | "dbg" | "fine" => 5,
        "info" | "information" | "informational" | "inf" => 9,
        // Python's loguru has SUCCESS between INFO and WARNING.
        "notice" | "note" | "success" => 10,
        "warn" | "warning" | "wrn" => 13,
        "error" | "err" | "severe" => 17,
        // syslog's and nginx's word; Python's CRITICAL is its highest level.
        "crit" => 18,
        "alert" => 19,
        "fatal" | "critical" | "panic" | "dpanic" | "emerg" | "emergency" | "ftl" => 21,
        _ => return None,
    })
}

/// `INFO+2`, `DEBUG-4`: Go's slog has levels between the named ones, four apart as OpenTelemetry's are.
fn slog(word: &str) -> Option<u8> {
    let at = word.find(['+', '-'])?;
    let (name, offset) = word.split_at_checked(at)?;
    let base = match name {
        "DEBUG" => 5,
        "INFO" => 9,
        "WARN" => 13,
        "ERROR" => 17,
        _ => return None,
    };
    let offset: i32 = offset.parse().ok().filter(|offset: &i32| offset.abs() < 100)?;
    u8::try_from((base + offset).clamp(1, 24)).ok()
}

/// `<14>` at the start: facility times 8 plus severity. The text is the severity's keyword.
fn syslog(line: &str) -> Option<Severity> {
    let (digits, _) = line.strip_prefix('<')?.split_once('>')?;
    let priority: usize = digits.parse().ok().filter(|priority| *priority <= 191)?;
    of_word(SYSLOG.get(priority % 8)?)
}

/// `I0102 15:04:05.…`: Go's glog and Kubernetes' klog.
fn klog(line: &str) -> Option<Severity> {
    let number = match line.bytes().next()? {
        b'I' => 9,
        b'W' => 13,
        b'E' => 17,
        b'F' => 21,
        _ => return None,
    };
    let mut rest = line.get(1..)?.bytes();
    let date = rest.by_ref().take(4).filter(u8::is_ascii_digit).count() == 4;
    let time = rest.next() == Some(b' ') && rest.nth(2) == Some(b':');
    (date && time).then(|| Severity { number, text: line.chars().take(1).collect() })
}

/// `1:M 02 Jan 2026 15:04:05.000 # text`: Redis, whose levels are signs.
fn redis(line: &str) -> Option<Severity> {
    let mut words = line.split_ascii_whitespace();
    let (process, role) = words.next()?.split_once(':')?;
    if process.is_empty()
        || !process.bytes().all(|byte| byte.is_ascii_digit())
        || !matches!(role, "M" | "S" | "C" | "X")
    {
        return None;
    }
    let sign = words.nth(4)?;
    let number = match sign {
        "." => 5,
        "-" => 9,
        "*" => 10,
        "#" => 13,
        _ => return None,
    };
    Some(Severity { number, text: sign.to_owned() })
}

/// `info: Microsoft.Hosting[14]` of .NET's console, `error: …` of many a program, `INFO[0003] …` of logrus: the level
/// is the line's very first word.
fn head_word(line: &str) -> Option<Severity> {
    let plain = without_colours(line);
    let end = plain.find([':', '['])?;
    let (word, rest) = plain.split_at_checked(end)?;
    if let Some(rest) = rest.strip_prefix('[') {
        let seconds = rest.split_once(']')?.0;
        let counts = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
        // logrus cuts its words to four letters.
        let whole = if word == "ERRO" {
            "ERROR"
        } else if word == "DEBU" {
            "DEBUG"
        } else {
            word
        };
        return number_of(whole)
            .filter(|_| counts && word.bytes().all(|byte| byte.is_ascii_uppercase()))
            .map(|number| Severity { number, text: word.to_owned() });
    }
    let number = match word {
        "trce" => 1,
        "dbug" => 5,
        "info" => 9,
        "warn" | "warning" => 13,
        "fail" | "error" => 17,
        "crit" | "fatal" => 21,
        _ => return None,
    };
    rest.starts_with(": ").then(|| Severity { number, text: word.to_owned() })
}

/// `time=… level=info msg=…`: only in a line that begins with a key and its value.
fn logfmt(line: &str) -> Option<Severity> {
    let (key, _) = line.split_ascii_whitespace().next()?.split_once('=')?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte)) {
        return None;
    }
    line.split_ascii_whitespace().find_map(|pair| {
        let value = LEVEL_KEYS.into_iter().find_map(|key| pair.strip_prefix(key))?;
        of_word(value.trim_matches('"'))
    })
}

/// A level before the message: `INFO:root:…`, `[error] …`, `2026-01-02 15:04:05,006 - app - WARNING - …`.
///
/// Words are looked at as long as they can belong to a prefix: times, numbers, anything in brackets, names
/// between dashes or bars, zones. The first word of prose ends the search.
fn prefix(line: &str) -> Option<Severity> {
    let plain = without_colours(line);
    let mut words = plain.split_ascii_whitespace().take(MAX_WORDS).peekable();
    let mut brackets = false;
    let mut delimited = true;
    while let Some(word) = words.next() {
        let opens = word.starts_with('[') || word.starts_with('(');
        if let Some(severity) = level_in(word, opens || brackets) {
            return Some(severity);
        }
        brackets = if opens { !closes(word) } else { brackets && !closes(word) };
        let next_delimits = words.peek().is_some_and(|next| is_delimiter(next));
        let named = delimited && next_delimits;
        delimited = is_delimiter(word);
        if !(opens || brackets || closes(word) || delimited || named || is_prefix_word(word)) {
            return None;
        }
    }
    None
}

/// The level in a word of a prefix. Lower case counts only in brackets: `error` outside may begin a message.
fn level_in(word: &str, bracketed: bool) -> Option<Severity> {
    let core = word.trim_matches(|c: char| "[]()|,;-".contains(c));
    // `INFO:root:message`, and Apache's `[core:error]`.
    let (first, last) = (core.split(':').next()?, core.rsplit(':').next()?);
    let shouted = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_uppercase());
    let colon = core.len() > first.len();
    let candidate = if bracketed && of_word(last).is_some() { last } else { first };
    let titled = colon && candidate.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    of_word(candidate).filter(|_| bracketed || shouted(candidate) || titled)
}

fn closes(word: &str) -> bool {
    word.ends_with([']', ')']) || word.ends_with("]:")
}

fn is_delimiter(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_punctuation())
}

/// Times, numbers and ids hold digits; months, weekdays and zones are short and capitalised.
fn is_prefix_word(word: &str) -> bool {
    let core = word.trim_end_matches([',', ':', '.']);
    word.bytes().any(|byte| byte.is_ascii_digit())
        || matches!(core.len(), 1..=4) && core.bytes().all(|byte| byte.is_ascii_uppercase())
        || DATE_WORDS.contains(&core)
}

const DATE_WORDS: [&str; 19] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon", "Tue", "Wed",
    "Thu", "Fri", "Sat", "Sun",
];

/// The line without terminal colours (`ESC [ … m`).
fn without_colours(line: &str) -> std::borrow::Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return line.into();
    }
    let mut plain = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_common() {
        let table = [
            // Python
            ("INFO:root:started", 9, "INFO"),
            ("CRITICAL:app.db:gone", 21, "CRITICAL"),
            ("[WARNING] disk", 13, "WARNING"),
            ("2026-01-02 15:04:05,006 - app.db - WARNING - slow", 13, "WARNING"),
            ("2026-01-02 15:04:05,006 ERROR [app] failed", 17, "ERROR"),
            ("[2026-01-02 15:04:05 +0000] [123] [INFO] Booting worker", 9, "INFO"),
            ("[2026-01-02 15:04:05,006] ERROR in app: Exception on /x [GET]", 17, "ERROR"),
            ("INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 200 OK", 9, "INFO"),
            ("2026-01-02 15:04:05.123 | INFO     | mod:fn:1 - msg", 9, "INFO"),
            ("2026-01-02 15:04:05 [info     ] msg  key=1", 9, "info"),
            // nginx, Apache, MariaDB
            ("2026/01/02 15:04:05 [error] 31#31: *1 open() failed", 17, "error"),
            ("2026/01/02 15:04:05 [crit] 31#31: x", 18, "crit"),
            ("2026/01/02 15:04:05 [notice] 1#1: start", 10, "notice"),
            ("[Fri Jan 02 15:04:05.123 2026] [core:error] [pid 1] x", 17, "error"),
            ("2026-01-02 15:04:05 0 [Note] mariadbd: ready", 10, "Note"),
            // syslog
            ("<11>app: x", 17, "err"),
            ("<14>1 2026-01-02T15:04:05Z host app - - - x", 9, "info"),
            ("Jan  2 15:04:05 WARN x", 13, "WARN"),
            // Go, Rust, Java, .NET, Ruby
            ("I0102 15:04:05.000000       1 main.go:1] x", 9, "I"),
            ("E0102 15:04:05.000000       1 main.go:1] x", 17, "E"),
            ("time=\"2026-01-02T15:04:05Z\" level=warning msg=\"x\"", 13, "warning"),
            ("ts=1 lvl=\"debug\" msg=x", 5, "debug"),
            ("level=info msg=x", 9, "info"),
            ("2026-01-02T15:04:05.000Z\tINFO\tcaller\tx", 9, "INFO"),
            ("2026-01-02T15:04:05Z  INFO tracer::probe: x", 9, "INFO"),
            ("[2026-01-02T15:04:05Z WARN  tracer] x", 13, "WARN"),
            ("15:04:05.123 [main] INFO  c.e.App - x", 9, "INFO"),
            ("2026-01-02T15:04:05.000+01:00  INFO 1 --- [main] c.e.App : x", 9, "INFO"),
            ("SEVERE: x", 17, "SEVERE"),
            ("I, [2026-01-02T15:04:05.123456 #1]  INFO -- : x", 9, "INFO"),
            ("2026-01-02 15:04:05 UTC [1] FATAL:  x", 21, "FATAL"),
            ("Error: listen EADDRINUSE", 17, "Error"),
            ("\u{1b}[32mINFO\u{1b}[0m x", 9, "INFO"),
            ("  DEBUG x", 5, "DEBUG"),
            ("2009/11/10 23:00:00 INFO hello count=3", 9, "INFO"),
            ("time=2026-01-02T15:04:05Z level=INFO+2 msg=x", 11, "INFO+2"),
            ("time=2026-01-02T15:04:05Z level=DEBUG-4 msg=x", 1, "DEBUG-4"),
            ("time=2026-01-02T15:04:05Z level=ERROR+90 msg=x", 24, "ERROR+90"),
            ("{\"time\":\"x\",\"level\":\"ERROR+4\",\"msg\":\"y\"}", 21, "ERROR+4"),
            ("INFO[0003] started", 9, "INFO"),
            ("\u{1b}[31mERRO\u{1b}[0m[0003] failed", 17, "ERRO"),
            ("WARN[2026] x", 13, "WARN"),
            ("2026-01-02T15:04:05.000Z\tDPANIC\tcaller\tx", 21, "DPANIC"),
            ("2026-01-02 15:04:05.123 | SUCCESS  | app:main:1 - x", 10, "SUCCESS"),
            ("info: Microsoft.Hosting.Lifetime[14]", 9, "info"),
            ("fail: App[0]", 17, "fail"),
            ("error: could not bind", 17, "error"),
            ("1:M 02 Jan 2026 15:04:05.000 * Ready to accept connections", 10, "*"),
            ("1234:C 02 Jan 2026 15:04:05.000 # Warning: no config file", 13, "#"),
            ("{\"level\":\"error\"}", 17, "error"),
            ("ERROR:root:x\nTraceback", 17, "ERROR"),
        ];
        for (line, number, text) in table {
            assert_eq!(of(line), Some(Severity { number, text: text.to_owned() }), "{line}");
        }
    }

    #[test]
    fn prose_states_no_level() {
        for line in [
            "an ERROR occurred",
            "error while loading",
            "information for you",
            "Got INFO from peer",
            "",
            "   ",
            "127.0.0.1 - - [02/Jan/2026:15:04:05 +0000] \"GET /error HTTP/1.1\" 200 2",
            "set level=debug to see more",
            "<html> ERROR",
            "<999>x",
            "I am",
            "E0102",
            "Is12 34:x",
            "note that x",
            "info:x",
            "fail safe: x",
            "INFO[x] y",
            "12:M 02 Jan",
            "INFO+x y",
            "a=b c",
            "{not json",
            "Traceback",
            "[abc] did not give INFO",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line in "\\PC*") {
            let _ = of(&line);
        }

        #[test]
        fn never_panics_near_the_forms(line in "[\\[\\](){}<>:|= \u{1b}mäINFOEWlevel0-9\"-]{0,40}") {
            let _ = of(&line);
        }
    }
}
