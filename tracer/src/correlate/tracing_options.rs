//! Whose traces are continued, and which traces are exported.

use clap::ValueEnum;
use serde::Deserialize;

use super::sampler::Sampler;
use super::trace_context::Propagators;

/// Whose traces are continued, and which traces are exported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracingOptions {
    /// Formats of trace context that are read.
    pub propagators: Propagators,
    /// Which traces are sampled.
    pub sampler: Sampler,
    /// Spans of traces that are not sampled are told too: it is decided later whether they are exported.
    pub tell_unsampled: bool,
    /// Which requests that only ask how the server is begin no trace.
    pub health_checks: HealthChecks,
}

/// `--health-checks`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum HealthChecks {
    /// Trace them like other requests
    Keep,
    /// Drop what the kubelet asks (User-Agent kube-probe/…), with what that causes
    #[default]
    DropProbes,
    /// Drop every GET of a usual health route (/healthz, /readyz, /health, …), too
    DropAll,
}
