//! Does a process already export OTLP by itself? Then its requests would appear twice.

use clap::ValueEnum;
use serde::Deserialize;

use super::process::Environ;

/// `--sdk-targets`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SdkTargets {
    /// Export nothing of them
    #[default]
    Skip,
    /// Export their log lines
    Logs,
    /// Trace them like others
    Trace,
}

/// What speaks for an OpenTelemetry SDK inside a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkEvidence {
    /// An agent or loader that instruments the program is named in its environment or arguments.
    Agent {
        /// Where it was found: a variable's name, or `arguments`.
        place: String,
        /// What was found there.
        what: &'static str,
    },
    /// It was seen to post spans by itself.
    Posts,
    /// Only the exporter's endpoint is set. The program may export, or the variable may be set for all alike.
    Endpoint {
        /// The variable's name.
        variable: &'static str,
    },
}

impl SdkEvidence {
    /// Whether the evidence is enough to treat the process as exporting by itself.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Agent { .. } | Self::Posts)
    }
}

/// Variables that tell an SDK where to send spans.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Variables by which agents are loaded, and what in them names OpenTelemetry's. The Kubernetes operator
/// injects by these; `opentelemetry-instrument` sets PYTHONPATH before it executes the program.
const LOADERS: [(&str, &str); 9] = [
    ("PYTHONPATH", "opentelemetry/instrumentation/auto_instrumentation"),
    ("PYTHONPATH", "/otel-auto-instrumentation-python"),
    ("JAVA_TOOL_OPTIONS", "opentelemetry-javaagent"),
    ("JAVA_TOOL_OPTIONS", "/otel-auto-instrumentation-java"),
    ("JDK_JAVA_OPTIONS", "opentelemetry-javaagent"),
    ("NODE_OPTIONS", "@opentelemetry/auto-instrumentations-node"),
    ("NODE_OPTIONS", "/otel-auto-instrumentation-nodejs"),
    ("RUBYOPT", "opentelemetry"),
    // Class id of OpenTelemetry's .NET profiler.
    ("CORECLR_PROFILER", "{918728DD-259F-4A6A-AC2B-B85E1B658318}"),
];

/// Arguments that load an agent.
const ARGUMENTS: [&str; 3] =
    ["opentelemetry-instrument", "opentelemetry-javaagent", "@opentelemetry/auto-instrumentations-node"];

/// What in a process's environment and arguments speaks for an SDK that exports spans; `None` when nothing does,
/// or when the SDK is told not to (`OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`).
///
/// An SDK that the program's own code sets up leaves no trace here: it is known by what it posts.
#[must_use]
pub fn evidence(environ: &Environ, arguments: &[String]) -> Option<SdkEvidence> {
    let is =
        |name, wanted: &str| environ.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let loader = LOADERS
        .into_iter()
        .find(|(name, what)| environ.get(name).is_some_and(|value| value.contains(what)))
        .map(|(name, what)| SdkEvidence::Agent { place: name.to_owned(), what });
    let argument = || {
        ARGUMENTS
            .into_iter()
            .find(|what| arguments.iter().any(|argument| loads(argument, what)))
            .map(|what| SdkEvidence::Agent { place: "arguments".to_owned(), what })
    };
    let endpoint = || {
        let variable = ENDPOINTS.into_iter().find(|name| environ.filled(name).is_some())?;
        Some(SdkEvidence::Endpoint { variable })
    };
    loader.or_else(argument).or_else(endpoint)
}

/// Whether an argument names the agent as a program, an option's value or a module: `…/opentelemetry-instrument`,
/// `-javaagent:/x/opentelemetry-javaagent-2.1.jar`, `@opentelemetry/auto-instrumentations-node/register`.
fn loads(argument: &str, agent: &str) -> bool {
    if argument.starts_with("-javaagent:") {
        return argument.contains(agent);
    }
    argument.starts_with(agent) && agent.starts_with('@')
        || argument.rsplit('/').next() == Some(agent)
        || argument.split_once('=').is_some_and(|(_, value)| value.starts_with(agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(environ: &str, arguments: &[&str]) -> Option<SdkEvidence> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        evidence(&Environ::new(environ.replace('|', "\0").into_bytes()), &arguments)
    }

    #[test]
    fn agents_are_certain() {
        let cases: [(&str, &[&str]); 8] = [
            (
                "PYTHONPATH=/v/lib/python3.11/site-packages/opentelemetry/instrumentation/auto_instrumentation:/v",
                &[],
            ),
            ("", &["/usr/bin/python3", "/v/bin/opentelemetry-instrument", "gunicorn", "app:app"]),
            ("JAVA_TOOL_OPTIONS= -javaagent:/otel-auto-instrumentation-java/javaagent.jar", &[]),
            ("", &["java", "-javaagent:/opt/opentelemetry-javaagent-2.1.0.jar", "-jar", "x.jar"]),
            ("NODE_OPTIONS= --require /otel-auto-instrumentation-nodejs/autoinstrumentation.js", &[]),
            ("", &["node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"]),
            ("", &["node", "--require=@opentelemetry/auto-instrumentations-node/register", "app.js"]),
            ("CORECLR_PROFILER={918728DD-259F-4A6A-AC2B-B85E1B658318}", &["dotnet", "app.dll"]),
        ];
        for (environ, arguments) in cases {
            let found = judge(environ, arguments);
            assert!(
                found.as_ref().is_some_and(SdkEvidence::is_certain),
                "{environ} {arguments:?}: {found:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_alone_is_not_certain() {
        let found = judge("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", &["python", "app.py"]);
        assert_eq!(found, Some(SdkEvidence::Endpoint { variable: "OTEL_EXPORTER_OTLP_ENDPOINT" }));
        assert!(!found.unwrap().is_certain());
        assert_eq!(judge("OTEL_EXPORTER_OTLP_ENDPOINT=", &["python"]), None);
        // Metrics alone do not double any span.
        assert_eq!(judge("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318", &["python"]), None);
    }

    #[test]
    fn an_sdk_that_is_off_does_not_count() {
        let agent = "JAVA_TOOL_OPTIONS=-javaagent:/x/opentelemetry-javaagent.jar";
        assert!(judge(agent, &[]).is_some());
        assert_eq!(judge(&format!("{agent}|OTEL_SDK_DISABLED=True"), &[]), None);
        assert_eq!(judge(&format!("{agent}|OTEL_TRACES_EXPORTER=none"), &[]), None);
    }

    #[test]
    fn other_programs_are_left_alone() {
        assert_eq!(
            judge("OTEL_SERVICE_NAME=x|PATH=/bin", &["grep", "about opentelemetry-instrument here"]),
            None
        );
        assert_eq!(judge("", &[]), None);
    }
}
