//! Lengths of time as people write them: `500ms`, `2s`, `1m 30s`.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A length of time.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct SpanOfTime(pub Duration);

/// Not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time: give a number with its unit, such as 500ms, 2s or 1m")]
pub struct SpanOfTimeError(String);

impl FromStr for SpanOfTime {
    type Err = SpanOfTimeError;

    fn from_str(text: &str) -> Result<Self, SpanOfTimeError> {
        let parsed = humantime::parse_duration(text.trim());
        parsed.map(Self).map_err(|_| SpanOfTimeError(text.to_owned()))
    }
}

impl TryFrom<String> for SpanOfTime {
    type Error = SpanOfTimeError;

    fn try_from(text: String) -> Result<Self, SpanOfTimeError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, millis) in [("500ms", 500), (" 2s ", 2_000), ("1m 30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse(), Ok(SpanOfTime(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "5", "-1s", "1 fortnight", "s"] {
            let error = text.parse::<SpanOfTime>().unwrap_err().to_string();
            assert!(error.contains("500ms"), "{error}");
        }
    }
}
