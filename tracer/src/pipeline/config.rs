//! Settings of the pipeline.

use std::num::NonZeroU32;

use clap::ValueEnum;
use serde::Deserialize;

use super::retention::Keep;
use crate::connection::WantedEnds;
use crate::connection::table::MAX_CONNECTIONS;
use crate::correlate::active::MAX_THREADS;
use crate::correlate::health::HealthChecks;
use crate::correlate::log_rate::DEFAULT_RATE;
use crate::correlate::sampler::Sampler;
use crate::correlate::trace_context::Propagators;
use crate::span::SpanOptions;

/// How the pipeline works.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// What may leave the node, and how it is named.
    pub spans: SpanOptions,
    /// Which log lines are wanted.
    pub logs: LogMode,
    /// Log lines a second that a process may write; `None` for no limit.
    pub log_rate: Option<NonZeroU32>,
    /// Formats of trace context that are read.
    pub propagators: Propagators,
    /// Which traces are sampled.
    pub sampler: Sampler,
    /// Which requests that only ask how the server is begin no trace.
    pub health_checks: HealthChecks,
    /// Which traces are kept though they are not sampled.
    pub keep: Keep,
    /// Which ends of connections become spans. The probe sees only the ends of its targets: all of them.
    pub wanted: WantedEnds,
    /// Sizes of tables.
    pub limits: Limits,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            spans: SpanOptions::default(),
            logs: LogMode::default(),
            log_rate: Some(DEFAULT_RATE),
            propagators: Propagators::default(),
            sampler: Sampler::default(),
            health_checks: HealthChecks::default(),
            keep: Keep::default(),
            wanted: WantedEnds::default(),
            limits: Limits::default(),
        }
    }
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
