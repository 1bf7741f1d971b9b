//! The thread that finds targets' language runtimes, and tells the probe how they are read.
//!
//! Not the reader's work: it reads files and memory of processes. A runtime comes up some time after its program was
//! executed, and modules that matter (gevent, uvloop) may be imported later still, so processes are looked at again.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tracer_ebpf::runtime::{Runtime, source};
use tracing::{debug, info, warn};

use super::node::SharedProbe;
use crate::enrich::process::Proc;
use crate::probe::ProbeError;
use crate::probe::runtime::{Found, Locator, Unread};

/// Processes that are watched; a further one is not looked at.
const MAX_WATCHED: usize = 4096;

/// Notices that wait; a further one is dropped, and its process looked at when it is heard of again.
const MAX_NOTICES: usize = 4096;

/// How soon a process is looked at again that has no runtime, or none that can be read.
const RETRY_MILLIS: [u64; 6] = [50, 100, 200, 500, 2000, 5000];

/// How soon one is looked at again whose runtime is read.
const RECHECK_MILLIS: [u64; 6] = [500, 1000, 1000, 2000, 5000, 10_000];

/// How soon one is looked at again that gets to work, or makes threads: what it does for the first time is not there before.
const STIRRED_MILLIS: [u64; 8] = [20, 30, 50, 100, 200, 400, 800, 1600];

/// How often a process is looked at for getting to work: one that never does what is looked for is not worth more.
const MAX_STIRS: u32 = 16;

/// Looks in a row that may fail before what was found of a process is forgotten.
const MAX_FAILURES: usize = RETRY_MILLIS.len();

/// Processes of whose runtime the log tells without being asked for more.
const MAX_TOLD: usize = 64;

/// How many processes had their runtime read, or why not: each counts once for each answer.
#[derive(Debug, Default)]
pub struct Counts {
    read: AtomicU64,
    unread: [AtomicU64; Unread::REASONS.len()],
}

impl Counts {
    /// By answer: `read`, or why not.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let unread = Unread::REASONS.into_iter().zip(&self.unread);
        [("read", &self.read)].into_iter().chain(unread).map(|(answer, count)| (answer, count.load(Relaxed)))
    }

    fn note_unread(&self, reason: &str) {
        let place = Unread::REASONS.iter().position(|known| *known == reason);
        if let Some(count) = place.and_then(|place| self.unread.get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// How long selecting a process that already serves waits until its runtime was looked at.
const JUDGEMENT: Duration = Duration::from_millis(250);

/// What is told of processes.
#[derive(Debug)]
enum Notice {
    /// It is a target.
    Look(u32),
    /// It gets to work, or makes threads.
    Stir(u32),
    /// It has ended, or runs another program.
    Gone(u32),
    /// Somebody waits until those told before were looked at.
    Waits(SyncSender<()>),
}

/// Tells the thread of processes. The thread ends with it.
#[derive(Clone, Debug)]
pub struct Runtimes {
    notices: SyncSender<Notice>,
    counts: Arc<Counts>,
}

impl Runtimes {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(proc: Proc, probe: SharedProbe) -> std::io::Result<Self> {
        let (sender, notices) = sync_channel(MAX_NOTICES);
        let counts = Arc::new(Counts::default());
        let watch = Watch {
            counts: Arc::clone(&counts),
            proc,
            probe,
            locator: Locator::default(),
            watched: FxHashMap::default(),
            told: HashSet::new(),
            told_of: HashSet::new(),
        };
        thread::Builder::new().name("runtimes".to_owned()).spawn(move || watch.run(&notices))?;
        Ok(Self { notices: sender, counts })
    }

    /// What was found.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// A process is a target.
    pub fn look(&self, pid: u32) {
        // Full: it is heard of again with its next exec or fork, and until then has no evidence.
        let _ = self.notices.try_send(Notice::Look(pid));
    }

    /// A target gets to work after a rest, or makes threads.
    pub fn stir(&self, pid: u32) {
        let _ = self.notices.try_send(Notice::Stir(pid));
    }

    /// Processes that run already are about to be selected. Returns when they were looked at, or after a while: until
    /// it is known how its runtime uses threads, a thread of it could be taken for one that serves one request at a time.
    pub fn look_first(&self, pids: impl IntoIterator<Item = u32>) {
        let (done, wait) = sync_channel(1);
        let mut told = false;
        for pid in pids {
            self.look(pid);
            told = true;
        }
        if told && self.notices.try_send(Notice::Waits(done)).is_ok() {
            // Late or never: they are looked at while they are traced.
            let _ = wait.recv_timeout(JUDGEMENT);
        }
    }

    /// A process has ended, or runs another program.
    pub fn gone(&self, pid: u32) {
        let _ = self.notices.try_send(Notice::Gone(pid));
    }
}

struct Watch {
    proc: Proc,
    probe: SharedProbe,
    locator: Locator,
    watched: FxHashMap<u32, Watched>,
    /// Reasons that were told.
    told: HashSet<&'static str>,
    /// Processes that were told of.
    told_of: HashSet<(u32, &'static str)>,
    counts: Arc<Counts>,
}

struct Watched {
    due: Instant,
    /// Looks since the last change.
    looks: usize,
    /// Looks since it last got to work, if that was not long ago.
    stirred: Option<usize>,
    /// How often it was looked at for that.
    stirs: u32,
    /// Looks in a row that failed although its runtime was read before.
    failures: usize,
    runtime: Option<Runtime>,
    /// Why it is not read, once that is final or long the same.
    unread: Option<&'static str>,
}

impl Watched {
    fn new(now: Instant) -> Self {
        Self { due: now, looks: 0, stirred: None, stirs: 0, failures: 0, runtime: None, unread: None }
    }

    /// It gets to work: what it lacked may be there soon.
    fn stir(&mut self, now: Instant) {
        let Some(runtime) = self.runtime.filter(lacks_something) else { return };
        if runtime.sources & source::MIGRATING == 0 && self.stirs < MAX_STIRS {
            self.stirs += 1;
            self.stirred = Some(0);
            self.due = self.due.min(now + Duration::from_millis(STIRRED_MILLIS[0]));
        }
    }

    /// How long until the next look, after one that was of use or not.
    fn delay(&mut self, delays: &[u64]) -> Duration {
        let regular = delays.get(self.looks).or(delays.last()).copied().unwrap_or_default();
        self.looks += 1;
        self.stirred = self
            .stirred
            .map(|looks| looks + 1)
            .filter(|_| self.runtime.as_ref().is_some_and(lacks_something));
        let stirred = self.stirred.and_then(|looks| STIRRED_MILLIS.get(looks).copied());
        Duration::from_millis(stirred.map_or(regular, |stirred| stirred.min(regular)))
    }
}

/// Whether what only work brings about is not known of a CPython.
fn lacks_something(runtime: &Runtime) -> bool {
    if runtime.sources & source::STACK != 0 {
        return runtime.links.at == 0;
    }
    runtime.worker == 0 || runtime.executor == 0 || runtime.group_done == 0
}

impl Watch {
    fn run(mut self, notices: &Receiver<Notice>) {
        loop {
            let next = self.watched.values().map(|watched| watched.due).min();
            let wait =
                next.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(Instant::now()));
            match notices.recv_timeout(wait) {
                Ok(notice) => self.note(notice),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_at_due(Instant::now());
        }
    }

    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Look(pid) if self.watched.len() < MAX_WATCHED || self.watched.contains_key(&pid) => {
                let now = Instant::now();
                self.watched.entry(pid).or_insert_with(|| Watched::new(now)).due = now;
            }
            Notice::Stir(pid) => {
                if let Some(watched) = self.watched.get_mut(&pid) {
                    watched.stir(Instant::now());
                }
            }
            Notice::Look(pid) => debug!(pid, "too many processes: its runtime is not read"),
            Notice::Gone(pid) => {
                self.watched.remove(&pid);
            }
            // Who waited too long is gone.
            Notice::Waits(done) => drop(done.try_send(())),
        }
    }

    fn look_at_due(&mut self, now: Instant) {
        let due: Vec<u32> =
            self.watched.iter().filter(|(_, watched)| watched.due <= now).map(|(pid, _)| *pid).collect();
        for pid in due {
            let found = self.locator.locate(&self.proc, pid);
            self.take(pid, found, now);
        }
    }

    fn take(&mut self, pid: u32, mut found: Result<Found, Unread>, now: Instant) {
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        let known = watched.runtime;
        match &mut found {
            Ok(found) => {
                watched.failures = 0;
                found.runtime = found.runtime.keeping(known.as_ref());
            }
            // Threads come and go while it is looked at. What was proved before is still so: another program is told.
            Err(error) if known.is_some() && error.may_change() && watched.failures < MAX_FAILURES => {
                let delay = RETRY_MILLIS.get(watched.failures).copied().unwrap_or_default();
                watched.failures += 1;
                watched.due = now + Duration::from_millis(delay);
                debug!(pid, "its CPython could not be looked at again: {error}");
                return;
            }
            Err(_) => {}
        }
        let delays: &[u64] = if found.is_ok() { &RECHECK_MILLIS } else { &RETRY_MILLIS };
        let runtime = found.as_ref().ok().map(|found| found.runtime);
        if runtime != known {
            watched.looks = 0;
        }
        watched.runtime = runtime;
        watched.due = now + watched.delay(delays);
        let last = watched.looks >= RETRY_MILLIS.len();
        match found {
            Ok(found) if known != Some(found.runtime) => {
                self.counts.read.fetch_add(u64::from(known.is_none()), Relaxed);
                self.tell_found(pid, &found);
            }
            Ok(_) => {}
            Err(error) => self.tell_unread(pid, &error, last),
        }
    }

    fn tell_found(&mut self, pid: u32, found: &Found) {
        if let Err(error) = self.set_runtime(pid, Some(found.runtime)) {
            warn!("a process's runtime cannot be noted: {error}");
        } else if self.is_news(pid, "read") {
            info!("process {pid} runs {}", found.language);
        }
        if found.runtime.worker != 0 && self.is_news(pid, "workers") {
            info!("process {pid} has functions run on worker threads, which are known to work for tasks");
        }
        if found.runtime.executor != 0 && self.is_news(pid, "executors") {
            info!("process {pid} has functions run by executors, whose threads are known to work for tasks");
        }
        if found.runtime.group_done != 0 && self.is_news(pid, "groups") {
            info!(
                "process {pid} has tasks in groups of anyio's, which are known to work for the task that waits for them"
            );
        }
        debug!(pid, runtime = ?found.runtime, "its runtime is read");
    }

    fn tell_unread(&mut self, pid: u32, error: &Unread, last: bool) {
        if let Err(error) = self.set_runtime(pid, error.runtime()) {
            warn!("a process's runtime cannot be noted: {error}");
        }
        let reason = error.reason();
        if !self.proc.exists(pid) {
            debug!(pid, "runtime: the process is gone");
            if last {
                self.watched.remove(&pid);
            }
            return;
        }
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        if (last || !error.may_change()) && watched.unread != Some(reason) {
            watched.unread = Some(reason);
            self.counts.note_unread(reason);
            self.tell_why(pid, error);
        }
        if last && matches!(error, Unread::NotPython | Unread::Node) {
            self.watched.remove(&pid);
        }
    }

    fn tell_why(&mut self, pid: u32, error: &Unread) {
        if matches!(error, Unread::NotPython) {
            return debug!(pid, "runtime: {error}");
        }
        let is_news = self.is_news(pid, error.reason());
        if self.told.insert(error.reason()) {
            warn!("process {pid} serves without runtime evidence: {error}");
        } else if is_news {
            info!("process {pid} serves without runtime evidence: {error}");
        }
    }

    /// Tells the probe how to read it, or what else is known.
    fn set_runtime(&self, pid: u32, runtime: Option<Runtime>) -> Result<(), ProbeError> {
        // A panic elsewhere does not make the maps wrong.
        let mut probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        match runtime {
            Some(runtime) => probe.set_runtime(pid, &runtime),
            None => {
                probe.forget_runtime(pid);
                Ok(())
            }
        }
    }

    /// Whether the log should tell this of a process: once, and of the first processes only.
    fn is_news(&mut self, pid: u32, what: &'static str) -> bool {
        self.told_of.len() < MAX_TOLD && self.told_of.insert((pid, what))
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::runtime::Links;

    use super::*;

    fn lacking() -> Runtime {
        Runtime { sources: source::ENTERED, ..Runtime::default() }
    }

    /// Delays of the next looks, in milliseconds.
    fn delays(watched: &mut Watched, count: usize) -> Vec<u128> {
        (0..count).map(|_| watched.delay(&RECHECK_MILLIS).as_millis()).collect()
    }

    #[test]
    fn what_gets_to_work_is_looked_at_soon_and_then_as_before() {
        let now = Instant::now();
        let mut watched = Watched { runtime: Some(lacking()), looks: 5, ..Watched::new(now) };
        assert_eq!(delays(&mut watched, 2), [10_000, 10_000]);
        watched.due = now + Duration::from_secs(10);
        watched.stir(now);
        assert_eq!(watched.due, now + Duration::from_millis(20));
        assert_eq!(delays(&mut watched, 8), [30, 50, 100, 200, 400, 800, 1600, 10_000]);
    }

    #[test]
    fn only_what_lacks_something_is_looked_at_for_that_and_not_for_ever() {
        let now = Instant::now();
        let stirred = |runtime| {
            let mut watched = Watched { runtime, due: now + Duration::from_secs(10), ..Watched::new(now) };
            watched.stir(now);
            watched.stirred.is_some()
        };
        let whole = Runtime { worker: 1, executor: 1, group_done: 1, ..lacking() };
        let greenlets = Runtime {
            sources: source::ENTERED | source::STACK,
            links: Links { at: 8, ..Links::default() },
            ..lacking()
        };
        let go = Runtime { sources: source::MIGRATING, ..lacking() };
        for (runtime, expected) in [(lacking(), true), (whole, false), (greenlets, false), (go, false)] {
            assert_eq!(stirred(Some(runtime)), expected, "{runtime:?}");
        }
        assert!(!stirred(None));
        let mut watched = Watched { runtime: Some(lacking()), ..Watched::new(now) };
        for _ in 0..2 * MAX_STIRS {
            watched.stir(now);
        }
        assert_eq!(watched.stirs, MAX_STIRS);
    }
}
