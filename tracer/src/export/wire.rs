//! OTLP's three signals in the words of its specification: the variables, the paths, the methods.

use super::stats::Signal;

/// A signal of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    /// The part of its variables' names: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub(super) variable: &'static str,
    /// What is appended to a base URL.
    pub(super) http_path: &'static str,
    /// The method of the collector's service.
    pub(super) grpc_path: &'static str,
}

/// Spans.
pub(super) const TRACES: Wire = Wire {
    variable: "TRACES_",
    http_path: "v1/traces",
    grpc_path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

/// Log records.
pub(super) const LOGS: Wire = Wire {
    variable: "LOGS_",
    http_path: "v1/logs",
    grpc_path: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
};

/// Metrics: the agent's own.
pub(super) const METRICS: Wire = Wire {
    variable: "METRICS_",
    http_path: "v1/metrics",
    grpc_path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};

impl Signal {
    /// In the words of OTLP.
    pub(super) const fn wire(self) -> Wire {
        match self {
            Self::Spans => TRACES,
            Self::Logs => LOGS,
        }
    }
}
