//! `tracer replay`: the pipeline behind a recording or a packet capture.

mod captured;
mod player;
mod recorded;
mod source;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tracing::{info, warn};

pub use self::captured::CaptureReplay;
pub use self::player::Replay;
use self::player::{Played, Player};
pub use self::recorded::RecordingReplay;
use self::source::Source;
use crate::agent::ending::{Panicked, Stop, Worker, stopped_or_ended};
use crate::cli::ReplayConfig;
use crate::export::{self, ExportError, Exporting, Settings, SettingsError, Variables};
use crate::recording::RecordingError;

/// Why a file is not replayed, or not to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is nothing to replay: neither a recording (tracer run --record) nor a packet capture (pcap or pcapng, \
         also compressed by gzip)",
        .0.display()
    )]
    Unknown(PathBuf),
    /// The recording is of another tracer.
    #[error("{} cannot be replayed: {source}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RecordingError,
    },
    /// An `OTEL_*` variable has no meaning.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A sink cannot be started.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The system refuses something ordinary.
    #[error("{0}")]
    System(&'static str, #[source] std::io::Error),
    /// The thread that reads the file ended by itself.
    #[error("the thread that reads the file has failed, which is a defect of the tracer")]
    Failed,
}

/// Replays a file; exports all that it makes, and tells the counters. SIGTERM or SIGINT ends it early.
///
/// # Errors
/// When the file, or anything else that is needed, is not there or not usable: see [`ReplayError`]. A file that ends in
/// the middle of something is no error, but a warning.
pub async fn replay(mut config: ReplayConfig, variables: Variables) -> Result<(), ReplayError> {
    let mut stop = Stop::listen().map_err(|error| ReplayError::System("cannot catch signals", error))?;
    let settings = Settings::from_variables(&variables)?;
    let source = Source::open(&config)?;
    config.pipeline.wanted = config.role.unwrap_or(source.role());
    info!("replaying {}: {}", config.file.display(), source.name());
    let (exporter, exporting) = export::start(&settings, &config.exports)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let player = Player::new(&config, exporter, Arc::clone(&stopped))?;
    let mut worker = Worker::start("replay", move || source.play(player))
        .map_err(|error| ReplayError::System("cannot start the thread that reads the file", error))?;
    let played = match stopped_or_ended(stop.wait(), &mut worker).await {
        Some(played) => played,
        None => {
            warn!("stopping: the rest of the file is left out");
            stopped.store(true, Ordering::Release);
            exporting.close();
            worker.ended().await
        }
    };
    finish(&settings, exporting, stop, &config.file, played).await
}

/// Exports what is left, and tells what was done.
async fn finish(
    settings: &Settings,
    exporting: Exporting,
    mut stop: Stop,
    path: &Path,
    played: Result<Played, Panicked>,
) -> Result<(), ReplayError> {
    let summary = exporting.shutdown(settings.flush_timeout(), stop.wait()).await;
    let played = played.map_err(|Panicked| ReplayError::Failed)?;
    for warning in &played.warnings {
        warn!("{warning}");
    }
    let told = format!("{}{}", played.told, played.stats);
    for line in told.lines().chain(summary.to_string().lines()) {
        info!("{line}");
    }
    // Whoever reads the console's trees finds them whole before the process ends.
    let _ = std::io::stdout().flush();
    match played.error {
        Some(source) => Err(ReplayError::Read { path: path.to_owned(), source }),
        None => Ok(()),
    }
}
