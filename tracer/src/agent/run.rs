//! `tracer run`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use aya::maps::{MapData, RingBuf};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::clock;
use super::node::{Node, SharedProbe};
use super::reader::Reader;
use crate::enrich::process::Proc;
use crate::enrich::resource::{Host, ResourceDefaults};
use crate::enrich::table::{MAX_PROCESSES, Resources};
use crate::export::{self, ExportError, Exporter, Exporting, Settings, SettingsError, Target, Variables};
use crate::pipeline::{LogMode, Pipeline, PipelineConfig, Stats};
use crate::probe::targets::{self, Selection, TargetError};
use crate::probe::{Probe, ProbeError, ProbeOptions};
use crate::protocol::PROTOCOLS;

/// What to trace, how, and where it goes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The targets.
    pub selection: Selection,
    /// `--service-name`.
    pub service_name: Option<String>,
    /// The probe's settings.
    pub probe: ProbeOptions,
    /// The pipeline's settings.
    pub pipeline: PipelineConfig,
    /// Where telemetry goes.
    pub exports: Vec<Target>,
    /// The environment, for the standard `OTEL_*` variables.
    pub variables: Variables,
}

/// Why the agent does not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The targets cannot be found.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// An `OTEL_*` variable has no meaning.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A sink cannot be started.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The probe cannot be loaded.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The reader's thread ended by a panic, which has told where.
    #[error("the thread that reads the probe's events failed: this is a bug")]
    Reader,
    /// The system refuses something ordinary.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}

/// Traces until SIGTERM or SIGINT; then detaches, exports what is left, and returns.
///
/// # Errors
/// When anything that is needed at the start is not there: see [`RunError`]. A collector that cannot be reached is
/// no error; it is tried again.
pub async fn run(options: RunOptions) -> Result<(), RunError> {
    let mut stop = Stop::listen()?;
    let settings = Settings::from_variables(&options.variables)?;
    let proc = Proc::default();
    // What the user named wrongly is told before anything is loaded.
    targets::initial(&options.selection, &proc, std::process::id())?;
    let (exporter, exporting) = export::start(&settings, &options.exports)?;
    let (probe, ring) = load(&options)?;
    let probe: SharedProbe = Arc::new(Mutex::new(probe));
    let node = adopt(&options, &proc, &probe)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let mut reader = start_reader(&options, node, ring, &probe, exporter, &stopping)?;
    let early = tokio::select! {
        () = stop.wait() => None,
        ended = &mut reader => Some(ended),
    };
    info!("stopping: detaching the probe and exporting what is left");
    let losses = detach(&probe);
    stopping.store(true, Ordering::Release);
    let stats = match early {
        Some(ended) => ended,
        None => reader.await,
    };
    finish(&settings, exporting, stats.as_ref().ok(), &losses).await;
    // Only a panic ends the thread without its counters: who started us must learn that nothing is traced any more.
    stats.map(drop).map_err(|_| RunError::Reader)
}

/// SIGTERM and SIGINT, caught from the moment it is made.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self, RunError> {
        let catch = |kind| signal(kind).map_err(|error| RunError::System("cannot catch signals", error));
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn load(options: &RunOptions) -> Result<(Probe, RingBuf<MapData>), RunError> {
    let (mut probe, ring) = Probe::load(&options.probe)?;
    for (name, count) in probe.verified_instructions() {
        debug!("verifier: {name} {count} instructions");
    }
    for port in &options.selection.ports {
        probe.select_port(*port)?;
    }
    Ok((probe, ring))
}

/// Selects the targets, and looks once more for what they forked while they were being selected: from then on the
/// probe follows.
fn adopt(options: &RunOptions, proc: &Proc, probe: &SharedProbe) -> Result<Node, RunError> {
    let host = Host::read(proc, Path::new("/etc"), options.variables.get("NODE_NAME").cloned());
    let defaults = ResourceDefaults { service_name: options.service_name.clone(), host };
    let mut resources = Resources::new(proc.clone(), defaults, MAX_PROCESSES);
    resources.set_suspended(clock::suspended());
    let logs = options.pipeline.logs != LogMode::Off;
    let mut node = Node::new(proc.clone(), Arc::clone(probe), options.selection.clone(), resources, logs);
    for _ in 0..2 {
        node.adopt(&targets::initial(&options.selection, proc, std::process::id())?);
    }
    let hook = probe.lock().unwrap_or_else(PoisonError::into_inner).hook();
    let (processes, cgroups) = (node.process_count(), node.cgroup_count());
    info!("ready: tracing {processes} processes and {cgroups} cgroups by {hook}");
    if processes + cgroups == 0 {
        warn!("nothing matches the selection yet; what starts later and matches is traced from then on");
    }
    Ok(node)
}

fn start_reader(
    options: &RunOptions,
    node: Node,
    ring: RingBuf<MapData>,
    probe: &SharedProbe,
    exporter: Exporter,
    stop: &Arc<AtomicBool>,
) -> Result<oneshot::Receiver<Stats>, RunError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| RunError::System("cannot get random bytes for ids", std::io::Error::other(error)))?;
    let pipeline = Pipeline::new(options.pipeline.clone(), PROTOCOLS, Box::new(node), seed);
    let reader = Reader { ring, pipeline, probe: Arc::clone(probe), exporter, stop: Arc::clone(stop) };
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name("reader".into())
        .spawn(move || {
            // The receiver is gone only when the agent itself is ending.
            let _ = ended.send(reader.run());
        })
        .map_err(|error| RunError::System("cannot start the reader's thread", error))?;
    Ok(end)
}

/// Detaches every program. The maps stay readable. Gives what was lost, by reason.
fn detach(probe: &SharedProbe) -> Vec<(&'static str, u64)> {
    let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
    let missed = probe.recursion_misses();
    probe.detach();
    let counted = probe.losses().into_iter().map(|(reason, count)| (reason.name(), count));
    counted.chain([("recursion_miss", missed)]).collect()
}

async fn finish(
    settings: &Settings,
    exporting: Exporting,
    stats: Option<&Stats>,
    losses: &[(&'static str, u64)],
) {
    let summary = exporting.shutdown(settings.flush_timeout()).await;
    let lost: Vec<String> = losses
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let lost = if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") };
    info!("lost in the kernel: {lost}");
    let stats = stats.map(Stats::to_string).unwrap_or_default();
    for line in stats.lines().chain(summary.to_string().lines()) {
        info!("{line}");
    }
}
