//! Settings of the pipeline.

use clap::ValueEnum;
use serde::Deserialize;

use super::retention::Keep;
use crate::connection::WantedEnds;
use crate::connection::table::MAX_CONNECTIONS;
use crate::correlate::active::MAX_THREADS;
use crate::correlate::sampler::Sampler;
use crate::correlate::trace_context::Propagators;
use crate::span::SpanOptions;

/// How the pipeline works.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineConfig {
    /// What may leave the node, and how it is named.
    pub spans: SpanOptions,
    /// Which log lines are wanted.
    pub logs: LogMode,
    /// Formats of trace context that are read.
    pub propagators: Propagators,
    /// Which traces are sampled.
    pub sampler: Sampler,
    /// Which traces are kept though they are not sampled.
    pub keep: Keep,
    /// Which ends of connections become spans. The probe sees only the ends of its targets: all of them.
    pub wanted: WantedEnds,
    /// Sizes of tables.
    pub limits: Limits,
}

/// `--logs`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LogMode {
    /// Every line
    #[default]
    All,
    /// Lines that belong to a span
    Correlated,
    /// None
    Off,
}

/// Sizes of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are followed at once.
    pub connections: usize,
    /// Threads whose bindings are kept.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, threads: MAX_THREADS }
    }
}
