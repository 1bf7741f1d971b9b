//! The pipeline of a replay, and the way out of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::ReplayError;
use crate::cli::ReplayConfig;
use crate::export::Exporter;
use crate::pipeline::{Pipeline, PipelineConfig, Stats};

/// What is needed to play a source.
pub(super) struct Player {
    pub(super) config: PipelineConfig,
    pub(super) seed: [u8; 32],
    exporter: Exporter,
    runtime: Handle,
    stopped: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// What the source tells of itself, in lines.
    pub(super) told: String,
    /// What the user should know of the file.
    pub(super) warnings: Vec<String>,
    /// The pipeline's counters.
    pub(super) stats: Stats,
    /// Why the file could not be read to its end.
    pub(super) error: Option<io::Error>,
}

impl Player {
    /// To be called in the runtime in which the sinks run.
    pub(super) fn new(
        config: &ReplayConfig,
        exporter: Exporter,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self, ReplayError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| {
            ReplayError::System("cannot get random bytes for ids", io::Error::other(error))
        })?;
        let runtime = Handle::current();
        Ok(Self { config: config.pipeline.clone(), seed, exporter, runtime, stopped })
    }

    /// Whether the user wants it to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Exports what has become complete. Waits for slow sinks: a file, other than a node, can wait too.
    pub(super) fn hand_over(&self, pipeline: &mut Pipeline) {
        for telemetry in pipeline.drain() {
            if !self.exporter.has_room(&telemetry) {
                self.runtime.block_on(self.exporter.room(&telemetry));
            }
            self.exporter.offer(telemetry);
        }
    }
}
