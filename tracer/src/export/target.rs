//! `--export`: the sinks that a user can name.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// Where telemetry goes.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Target {
    /// `otlp`: to the endpoints that the `OTEL_EXPORTER_OTLP_…` variables name.
    Otlp,
    /// `console`: trees on standard output.
    Console,
    /// `file:PATH`: OTLP JSON Lines.
    File(PathBuf),
}

/// A target that does not exist.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no place to export to: give otlp, console or file:PATH")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once(':') {
            None if text == "otlp" => Ok(Self::Otlp),
            None if text == "console" => Ok(Self::Console),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(TargetError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl Target {
    /// The sink's name in metrics and summaries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Otlp => "otlp",
            Self::Console => "console",
            Self::File(_) => "file",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_targets_and_nothing_else() {
        assert_eq!("otlp".parse(), Ok(Target::Otlp));
        assert_eq!("console".parse(), Ok(Target::Console));
        assert_eq!("file:/tmp/a:b".parse(), Ok(Target::File("/tmp/a:b".into())));
        for wrong in ["", "OTLP", "file:", "file", "otlp:x"] {
            let error = wrong.parse::<Target>().unwrap_err().to_string();
            assert_eq!(error, format!("{wrong:?} is no place to export to: give otlp, console or file:PATH"));
        }
    }
}
