//! `OTEL_METRICS_EXPORTER`, `OTEL_METRIC_EXPORT_INTERVAL` and `OTEL_EXPORTER_OTLP_METRICS_…`: the agent's own metrics.

use std::time::Duration;

use super::{OtlpSettings, Reader, SettingsError};
use crate::export::wire::METRICS;

/// How often metrics are sent when nothing else is said: the specification's interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// Where the agent's own metrics go, and how often.
#[derive(Clone, Debug)]
pub struct MetricsSettings {
    /// Where to and how.
    pub otlp: OtlpSettings,
    /// From one collection to the next.
    pub interval: Duration,
    /// `OTEL_METRICS_EXPORTER` asks for them. Else they go where spans and log records go, and only with these.
    pub asked_for: bool,
}

impl MetricsSettings {
    /// `None` where they are switched off, or where no endpoint is named that could be theirs: one for spans alone (a
    /// trace store's) is none.
    pub(super) fn read(variables: Reader<'_>) -> Result<Option<Self>, SettingsError> {
        let asked_for = match variables.get("OTEL_METRICS_EXPORTER") {
            Some(words) if has_otlp(words)? => true,
            Some(_) => return Ok(None),
            None => false,
        };
        let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];
        if !asked_for && endpoints.iter().all(|name| variables.get(name).is_none()) {
            return Ok(None);
        }
        let interval = variables.positive_milliseconds("OTEL_METRIC_EXPORT_INTERVAL")?;
        Ok(Some(Self {
            otlp: OtlpSettings::read(variables, METRICS)?,
            interval: interval.unwrap_or(DEFAULT_INTERVAL),
            asked_for,
        }))
    }
}

/// Whether `otlp` is in the list. `prometheus` is served whatever is said here, at `--listen`.
fn has_otlp(list: &str) -> Result<bool, SettingsError> {
    let mut found = false;
    for word in list.split(',').map(str::trim) {
        match word {
            "otlp" => found = true,
            "none" | "prometheus" => {}
            _ => {
                return Err(SettingsError::Word {
                    variable: "OTEL_METRICS_EXPORTER".to_owned(),
                    value: list.to_owned(),
                    words: "otlp, prometheus, none",
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Variables};
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Option<MetricsSettings>, SettingsError> {
        let variables: Variables =
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_variables(&variables).map(|settings| settings.metrics)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");

    #[test]
    fn they_go_where_the_rest_goes_unless_something_else_is_said() {
        assert!(read(&[]).unwrap().is_none());
        let given = read(&[ENDPOINT]).unwrap().unwrap();
        assert_eq!(given.otlp.endpoint, "http://c:4318/v1/metrics");
        assert_eq!((given.interval, given.asked_for), (Duration::from_secs(60), false));
        assert!(read(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "none")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "prometheus")]).unwrap().is_none());
        assert!(read(&[("OTEL_METRICS_EXPORTER", "prometheus, otlp")]).unwrap().unwrap().asked_for);
    }

    #[test]
    fn an_endpoint_for_spans_alone_is_not_theirs() {
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4318/v1/traces");
        assert!(read(&[traces]).unwrap().is_none());
        let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:1/x");
        assert_eq!(read(&[traces, own]).unwrap().unwrap().otlp.endpoint, "http://m:1/x");
    }

    #[test]
    fn what_means_nothing_is_an_error() {
        let error = |name, value| read(&[ENDPOINT, (name, value)]).unwrap_err().to_string();
        assert_eq!(
            error("OTEL_METRICS_EXPORTER", "console"),
            "OTEL_METRICS_EXPORTER is `console`, but must be one of: otlp, prometheus, none"
        );
        assert_eq!(
            error("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            "OTEL_METRIC_EXPORT_INTERVAL is `0`, but must be a whole number of milliseconds, greater than 0"
        );
    }
}
