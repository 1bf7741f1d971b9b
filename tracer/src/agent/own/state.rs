//! What the agent's parts show of themselves to whoever asks from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::samples::{self, Sample};
use crate::agent::clock;
use crate::agent::node::SharedProbe;
use crate::agent::runtimes::Counts;
use crate::event::Nanos;
use crate::export::ExportStats;
use crate::kubernetes::run::Shared as Pods;
use crate::pipeline::Stats;

/// The thread that reads events is dead when it has not come around for so long. It comes around many times a second;
/// a node that is out of memory or processors may hold it up for some seconds.
const DEAD_AFTER: Nanos = 30_000_000_000;

/// How often the reader shows its counters.
const PUBLISH_PERIOD: Nanos = 200_000_000;

/// Shared by all parts of the agent.
pub struct State {
    probe: SharedProbe,
    exported: ExportStats,
    pods: Option<Arc<Pods>>,
    runtimes: Arc<Counts>,
    beat: AtomicU64,
    published: AtomicU64,
    publications: AtomicU64,
    stats: Mutex<Stats>,
}

impl State {
    /// The state of an agent that starts now.
    #[must_use]
    pub fn new(
        probe: SharedProbe,
        exported: ExportStats,
        pods: Option<Arc<Pods>>,
        runtimes: Arc<Counts>,
    ) -> Self {
        Self {
            probe,
            exported,
            pods,
            runtimes,
            beat: AtomicU64::new(clock::monotonic()),
            published: AtomicU64::new(0),
            publications: AtomicU64::new(0),
            stats: Mutex::default(),
        }
    }

    /// The reader came around; now and then it shows its counters.
    pub fn beat(&self, now: Nanos, stats: impl FnOnce() -> Stats) {
        self.beat.store(now, Ordering::Relaxed);
        if now.saturating_sub(self.published.load(Ordering::Relaxed)) >= PUBLISH_PERIOD {
            self.published.store(now, Ordering::Relaxed);
            self.show(stats());
        }
    }

    /// Shows these counters from now on.
    pub fn show(&self, stats: Stats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        self.publications.fetch_add(1, Ordering::Release);
    }

    /// Why the agent should be started again; `None` when it works.
    #[must_use]
    pub fn unhealthy(&self) -> Option<String> {
        let silent = clock::monotonic().saturating_sub(self.beat.load(Ordering::Relaxed));
        (silent > DEAD_AFTER).then(|| {
            format!("the thread that reads events has not come around for {} s", silent / 1_000_000_000)
        })
    }

    /// Why the agent does not trace what it should; `None` when it does. (It shows this only once it is attached.)
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.unhealthy().or_else(|| self.pods.as_ref()?.api.unready())
    }

    /// Every counter and size, as it is now.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let publications = self.publications.load(Ordering::Acquire);
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = samples::of_pipeline(&stats);
        samples.push(samples::of_publications(publications));
        {
            let probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
            let losses = probe.losses().into_iter().map(|(reason, count)| (reason.name(), count));
            samples.push(samples::of_selection(probe.selected_cgroups()));
            samples.extend(samples::of_losses(losses.chain([("recursion_miss", probe.recursion_misses())])));
        }
        samples.extend(samples::of_export(&self.exported));
        samples.extend(self.pods.iter().flat_map(|pods| samples::of_pods(pods)));
        samples.extend(samples::of_runtimes(&self.runtimes));
        samples.push(samples::of_memory());
        samples
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("beat", &self.beat).finish_non_exhaustive()
    }
}
