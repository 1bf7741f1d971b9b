//! Whose traces are continued, and which traces are exported.

use super::health::HealthChecks;
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
