//! Settings of the export stage, from the standard `OTEL_*` variables.
//!
//! OpenTelemetry specification, "OTLP Exporter Configuration" (`protocol/exporter.md`) and "Environment Variable
//! Specification" (`configuration/sdk-environment-variables.md`). An empty value counts as unset. A value that
//! means nothing is an error in a sentence, where the specification would have a warning: an agent that was told
//! something wrong should say so before it runs for weeks.

mod metrics;
mod otlp;

pub use metrics::MetricsSettings;
pub use otlp::{Compression, OtlpSettings, Protocol, TlsFiles};

use std::collections::BTreeMap;
use std::time::Duration;

use super::retry::RetryPolicy;
use super::stats::Signal;

/// Items of one signal that may wait before each sink when nothing else is said. The SDKs' 2,048 is meant for one
/// process; an agent serves a node, and has to get over a collector's restart.
pub const DEFAULT_QUEUE_SIZE: usize = 65_536;

/// Variables, by name.
pub type Variables = BTreeMap<String, String>;

/// What the `OTEL_*` variables say of exporting.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Spans.
    pub traces: SignalSettings,
    /// Log records.
    pub logs: SignalSettings,
    /// The agent's own metrics; `None` where they are not wanted.
    pub metrics: Option<MetricsSettings>,
    /// How long a request is tried, for both.
    pub retry: RetryPolicy,
}

/// Settings of one signal.
#[derive(Clone, Debug)]
pub struct SignalSettings {
    /// Where to and how.
    pub otlp: OtlpSettings,
    /// When.
    pub batch: BatchSettings,
}

/// When a batch is sent: `OTEL_BSP_*` for spans, `OTEL_BLRP_*` for log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// `…_SCHEDULE_DELAY`: how long an item may wait for its batch to fill.
    pub delay: Duration,
    /// `…_EXPORT_TIMEOUT`: how long the last flush may take.
    pub flush_timeout: Duration,
    /// `…_MAX_QUEUE_SIZE`: items that may wait.
    pub queue: usize,
    /// `…_MAX_EXPORT_BATCH_SIZE`: items of one request; never more than the queue holds.
    pub batch: usize,
}

/// A variable whose value means nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Not a number.
    #[error("{variable} is `{value}`, but must be a whole number{range}")]
    Number {
        /// The variable.
        variable: String,
        /// What it said.
        value: String,
        /// ` of milliseconds`, ` greater than 0`.
        range: &'static str,
    },
    /// Not one of the known words.
    #[error("{variable} is `{value}`, but must be one of: {words}")]
    Word {
        /// The variable.
        variable: String,
        /// What it said.
        value: String,
        /// The known words.
        words: &'static str,
    },
    /// Not a URL that can be sent to.
    #[error("{variable} is `{value}`, which is no endpoint: {reason}")]
    Endpoint {
        /// The variable.
        variable: String,
        /// What it said.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a list of headers. The value is not repeated: it may hold credentials.
    #[error("{variable} must be a list of NAME=VALUE separated by commas, but entry {entry} {reason}")]
    Headers {
        /// The variable.
        variable: String,
        /// Which entry, from 1.
        entry: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// One of the two files of the client's identity is missing.
    #[error("{given} is set, but {missing} is not: the client's certificate and its key are needed together")]
    HalfIdentity {
        /// The variable that is set.
        given: String,
        /// The one that is not.
        missing: String,
    },
}

impl Settings {
    /// Reads the settings of all signals.
    ///
    /// # Errors
    ///
    /// A variable's value that means nothing.
    pub fn from_variables(variables: &Variables) -> Result<Self, SettingsError> {
        let variables = Reader(variables);
        let signal = |signal: Signal, prefix, delay| {
            Ok(SignalSettings {
                otlp: OtlpSettings::read(variables, signal.wire())?,
                batch: BatchSettings::read(variables, prefix, delay)?,
            })
        };
        Ok(Self {
            traces: signal(Signal::Spans, "OTEL_BSP", Duration::from_secs(5))?,
            logs: signal(Signal::Logs, "OTEL_BLRP", Duration::from_secs(1))?,
            metrics: MetricsSettings::read(variables)?,
            retry: RetryPolicy::default(),
        })
    }

    /// Whether the variables name any OTLP endpoint, so that OTLP is what the user expects.
    #[must_use]
    pub fn endpoint_given(variables: &Variables) -> bool {
        let reader = Reader(variables);
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        ]
        .iter()
        .any(|name| reader.get(name).is_some())
    }

    /// The settings of a signal.
    #[must_use]
    pub fn signal(&self, signal: Signal) -> &SignalSettings {
        match signal {
            Signal::Spans => &self.traces,
            Signal::Logs => &self.logs,
        }
    }

    /// How long the last flush may take: the longer of the two signals' limits.
    #[must_use]
    pub fn flush_timeout(&self) -> Duration {
        self.traces.batch.flush_timeout.max(self.logs.batch.flush_timeout)
    }
}

impl BatchSettings {
    fn read(variables: Reader<'_>, prefix: &str, delay: Duration) -> Result<Self, SettingsError> {
        let queue = variables.count(&format!("{prefix}_MAX_QUEUE_SIZE"))?.unwrap_or(DEFAULT_QUEUE_SIZE);
        let batch = variables.count(&format!("{prefix}_MAX_EXPORT_BATCH_SIZE"))?.unwrap_or(512);
        Ok(Self {
            delay: variables.milliseconds(&format!("{prefix}_SCHEDULE_DELAY"))?.unwrap_or(delay),
            flush_timeout: variables
                .timeout(&format!("{prefix}_EXPORT_TIMEOUT"))?
                .unwrap_or(Duration::from_secs(30)),
            queue,
            batch: batch.min(queue),
        })
    }
}

/// What the specification calls "no limit" (a time-out of 0). Far enough, and arithmetic with it cannot overflow.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Typed access to variables.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a Variables);

impl<'a> Reader<'a> {
    /// The value of a variable that is set and not empty.
    fn get(self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn milliseconds(self, name: &str) -> Result<Option<Duration>, SettingsError> {
        let parse = |value: &str| value.parse::<u32>().ok().map(|ms| Duration::from_millis(ms.into()));
        self.number(name, " of milliseconds", parse)
    }

    fn positive_milliseconds(self, name: &str) -> Result<Option<Duration>, SettingsError> {
        let parse = |value: &str| {
            value.parse().ok().filter(|ms| *ms > 0).map(|ms: u32| Duration::from_millis(ms.into()))
        };
        self.number(name, " of milliseconds, greater than 0", parse)
    }

    /// Milliseconds of which 0 means "no limit".
    fn timeout(self, name: &str) -> Result<Option<Duration>, SettingsError> {
        Ok(self.milliseconds(name)?.map(|limit| if limit.is_zero() { NO_LIMIT } else { limit }))
    }

    fn count(self, name: &str) -> Result<Option<usize>, SettingsError> {
        self.number(name, " greater than 0", |value| value.parse().ok().filter(|count| *count > 0))
    }

    fn number<T>(
        self,
        name: &str,
        range: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let error = || SettingsError::Number { variable: name.to_owned(), value: value.to_owned(), range };
        parse(value).map(Some).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> Variables {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_the_specifications_but_for_the_queue() {
        let settings = Settings::from_variables(&Variables::new()).unwrap();
        let expected = BatchSettings {
            delay: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(30),
            queue: DEFAULT_QUEUE_SIZE,
            batch: 512,
        };
        assert_eq!(settings.traces.batch, expected);
        assert_eq!(settings.logs.batch, BatchSettings { delay: Duration::from_secs(1), ..expected });
    }

    #[test]
    fn each_signal_has_its_own_batch_variables() {
        let settings = Settings::from_variables(&variables(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "250"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BLRP_EXPORT_TIMEOUT", "0"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "64"),
            ("OTEL_BLRP_SCHEDULE_DELAY", ""),
        ]))
        .unwrap();
        assert_eq!(settings.traces.batch.delay, Duration::from_millis(250));
        assert_eq!((settings.traces.batch.queue, settings.traces.batch.batch), (100, 100));
        assert_eq!((settings.logs.batch.delay, settings.logs.batch.batch), (Duration::from_secs(1), 64));
        assert_eq!(settings.flush_timeout(), NO_LIMIT);
    }

    #[test]
    fn errors_are_sentences() {
        let error =
            |name, value| Settings::from_variables(&variables(&[(name, value)])).unwrap_err().to_string();
        assert_eq!(
            error("OTEL_BSP_SCHEDULE_DELAY", "5s"),
            "OTEL_BSP_SCHEDULE_DELAY is `5s`, but must be a whole number of milliseconds"
        );
        assert_eq!(
            error("OTEL_BLRP_MAX_QUEUE_SIZE", "0"),
            "OTEL_BLRP_MAX_QUEUE_SIZE is `0`, but must be a whole number greater than 0"
        );
    }

    #[test]
    fn any_endpoint_variable_asks_for_otlp() {
        assert!(!Settings::endpoint_given(&variables(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")])));
        assert!(Settings::endpoint_given(&variables(&[(
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "http://c:1/x"
        )])));
    }
}
