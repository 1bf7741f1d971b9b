//! Which health checks begin a trace.

use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;

use super::sampler::Sampler;
use crate::protocol::{HealthCheck, HealthPatterns};
use crate::span::TraceId;

/// `--health-checks`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum HealthMode {
    /// Trace them like other requests
    Keep,
    /// Drop what probers ask (User-Agent kube-probe/…, and those of --health-agent), with what that causes
    #[default]
    DropProbes,
    /// Drop every GET of a health route (--health-path, or the usual ones: /healthz, /readyz, /health, …), too
    DropAll,
}

/// What is done with requests that only ask how the server is.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthChecks {
    /// Which are dropped.
    pub mode: HealthMode,
    /// How they are told.
    pub patterns: Arc<HealthPatterns>,
    /// Of those that are dropped: which traces are not; `None` for none.
    pub sampler: Option<Sampler>,
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self { mode: HealthMode::default(), patterns: HealthPatterns::usual(), sampler: None }
    }
}

/// What becomes of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What becomes of other requests.
    Ordinary,
    /// It begins no trace.
    Dropped,
    /// It would be dropped, but it is of the share that is not.
    Sampled,
}

impl HealthChecks {
    /// `--health-checks` with the usual patterns, and none sampled.
    #[must_use]
    pub fn of_mode(mode: HealthMode) -> Self {
        Self { mode, ..Self::default() }
    }

    pub(super) fn judge(&self, health: HealthCheck, trace: TraceId) -> Verdict {
        let dropped = match self.mode {
            HealthMode::Keep => false,
            HealthMode::DropProbes => health == HealthCheck::Prober,
            HealthMode::DropAll => true,
        };
        let sampled = self.sampler.is_some_and(|sampler| sampler.samples(trace, None));
        match (dropped, sampled) {
            (false, _) => Verdict::Ordinary,
            (true, false) => Verdict::Dropped,
            (true, true) => Verdict::Sampled,
        }
    }
}
