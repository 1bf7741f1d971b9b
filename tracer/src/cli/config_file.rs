//! `--config`: options in a YAML file.

use std::path::Path;

use super::CliError;
use super::options::Options;
use crate::enrich::process::read_capped;

/// Most bytes of a configuration file.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file.
///
/// # Errors
/// [`CliError::ConfigRead`]; [`CliError::ConfigContent`] with the line for what is no YAML, no option, or of the
/// wrong kind.
pub(super) fn read(path: &Path) -> Result<Options, CliError> {
    let bytes = read_capped(path, MAX_FILE)
        .map_err(|source| CliError::ConfigRead { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|problem| CliError::ConfigContent { path: path.to_owned(), problem })
}

fn parse(bytes: &[u8]) -> Result<Options, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    // An empty document, or one of comments only, is null rather than a mapping.
    let options: Option<Options> =
        serde_saphyr::from_str(text).map_err(|error| sentence(error.without_snippet()))?;
    Ok(options.unwrap_or_default())
}

/// The error in one line (without the snippet of the file that could follow), with its place.
fn sentence(error: &serde_saphyr::Error) -> String {
    let text = match error {
        // It would say "invalid u16".
        serde_saphyr::Error::InvalidScalar { .. } => "this is not a number of the right size".to_owned(),
        other => other.to_string(),
    };
    match error.location() {
        Some(place) if !text.contains("line ") => {
            format!("{text} at line {}, column {}", place.line(), place.column())
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{LogLevel, RedisBatch};
    use crate::cli::size::ByteSize;
    use crate::export::Target;
    use crate::pipeline::LogMode;
    use crate::probe::AttachMode;
    use crate::span::http::RouteMode;

    #[test]
    fn every_kind_of_value() {
        let options = parse(
            b"# who\npid: [1, 2]\nexe: ['python3*']\nport:\n  - 8080\nservice-name: shop\n\
              export: [otlp, 'file:/tmp/x.jsonl']\nattach: tracepoint\nlogs: 'off'\nredis-batch: commands\n\
              routes: patterns\nroute: ['/users/{id}']\nhead: 16K\ntail: 1024\nlog-level: debug\n",
        )
        .unwrap();
        assert_eq!(options.pid, [1, 2]);
        assert_eq!(options.port, [8080]);
        assert_eq!(options.service_name.as_deref(), Some("shop"));
        assert_eq!(options.export, [Target::Otlp, Target::File("/tmp/x.jsonl".into())]);
        assert_eq!(options.attach, Some(AttachMode::Tracepoint));
        assert_eq!(options.logs, Some(LogMode::Off));
        assert_eq!(options.redis_batch, Some(RedisBatch::Commands));
        assert_eq!((options.routes, options.route.len()), (Some(RouteMode::Patterns), 1));
        assert_eq!((options.head, options.tail), (Some(ByteSize(16_384)), Some(ByteSize(1024))));
        assert_eq!(options.log_level, Some(LogLevel::Debug));
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "# only a comment\n", "---\n", "{}"] {
            assert_eq!(parse(text.as_bytes()), Ok(Options::default()), "{text:?}");
        }
        // YAML 1.2 knows no `off` but the word.
        assert_eq!(parse(b"logs: off\n").unwrap().logs, Some(LogMode::Off));
    }

    #[test]
    fn errors_name_the_line() {
        for (text, word) in [
            ("logs: all\nlgos: off\n", "lgos"),
            ("logs: all\nport: [http]\n", "number"),
            ("logs: all\nport: [70000]\n", ""),
            ("logs: all\nhead: 5 apples\n", "5 apples"),
            ("logs: all\nexport: [nowhere]\n", "nowhere"),
            ("logs: all\nattach: kprobe\n", "kprobe"),
            ("logs: all\nroute: [users]\n", "must begin with a slash"),
            ("logs: all\npid: [1\n", ""),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert!(
                problem.contains(word) && problem.contains("line 2") | problem.contains("line 3"),
                "{text}: {problem}"
            );
            assert!(!problem.contains('\n'), "{problem}");
        }
        assert!(parse(b"\xff").is_err());
        assert!(parse(b"just text").is_err());
    }
}
