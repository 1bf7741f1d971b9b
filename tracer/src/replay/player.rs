//! The pipeline of a replay, and the way out of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::ReplayError;
use crate::cli::ReplayConfig;
use crate::export::Exporter;
use crate::pipeline::{Pipeline, PipelineConfig, Stats};

/// Packets or entries between two hand-overs of what has become complete.
const HAND_OVER: u64 = 64;

/// A file and the pipeline behind it, without any export.
pub trait Replay {
    /// How the file ended.
    type End;

    /// Takes the next packet or entry; tells how the file ended, once it has.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn step(&mut self) -> io::Result<Option<Self::End>>;

    /// Ends what is open.
    fn finish(&mut self);

    /// The pipeline, which has what is complete.
    fn pipeline(&mut self) -> &mut Pipeline;
}

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

    /// Plays a file to its end, which is told, or until it cannot be read or the user has enough.
    pub(super) fn play<R: Replay>(&self, replay: &mut R) -> (Option<R::End>, Played) {
        let mut played = Played::default();
        let mut end = None;
        for count in 1_u64.. {
            if self.is_stopped() {
                break;
            }
            match replay.step() {
                Ok(None) => {}
                Ok(told) => {
                    end = told;
                    break;
                }
                Err(error) => {
                    played.error = Some(error);
                    break;
                }
            }
            if count.is_multiple_of(HAND_OVER) {
                self.hand_over(replay.pipeline());
            }
        }
        replay.finish();
        self.hand_over(replay.pipeline());
        played.stats = replay.pipeline().stats();
        (end, played)
    }

    /// Whether the user wants it to end.
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Exports what has become complete. Waits for slow sinks: a file, other than a node, can wait too.
    fn hand_over(&self, pipeline: &mut Pipeline) {
        for telemetry in pipeline.drain() {
            if !self.exporter.has_room(&telemetry) {
                self.runtime.block_on(self.exporter.room(&telemetry));
            }
            self.exporter.offer(telemetry);
        }
    }
}
