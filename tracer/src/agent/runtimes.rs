//! The thread that finds targets' language runtimes, and tells the probe how they are read.
//!
//! Not the reader's work: it reads files and memory of processes. A runtime comes up some time after its program was
//! executed, and modules that matter (gevent, uvloop) may be imported later still, so processes are looked at again.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tracer_ebpf::runtime::Runtime;
use tracing::{debug, info, warn};

use super::node::SharedProbe;
use crate::enrich::process::Proc;
use crate::probe::runtime::{Found, Locator, Unread};

/// Processes that are watched; a further one is not looked at.
const MAX_WATCHED: usize = 4096;

/// Notices that wait; a further one is dropped, and its process looked at when it is heard of again.
const MAX_NOTICES: usize = 4096;

/// How soon a process is looked at again that has no runtime, or none that can be read.
const RETRY_MILLIS: [u64; 6] = [50, 100, 200, 500, 2000, 5000];

/// How soon one is looked at again whose runtime is read.
const RECHECK_MILLIS: [u64; 4] = [500, 1000, 2000, 10_000];

/// Processes of whose runtime the log tells without being asked for more.
const MAX_TOLD: usize = 64;

/// What is told of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// It is a target, or runs another program.
    Look(u32),
    /// It has ended.
    Gone(u32),
}

/// Tells the thread of processes. The thread ends with it.
#[derive(Clone, Debug)]
pub struct Runtimes(SyncSender<Notice>);

impl Runtimes {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(proc: Proc, probe: SharedProbe) -> std::io::Result<Self> {
        let (sender, notices) = sync_channel(MAX_NOTICES);
        let watch = Watch {
            proc,
            probe,
            locator: Locator::default(),
            watched: FxHashMap::default(),
            told: HashSet::new(),
            told_of: HashSet::new(),
        };
        thread::Builder::new().name("runtimes".to_owned()).spawn(move || watch.run(&notices))?;
        Ok(Self(sender))
    }

    /// A process is a target, or runs another program.
    pub fn look(&self, pid: u32) {
        // Full: it is heard of again with its next exec or fork, and until then has no evidence.
        let _ = self.0.try_send(Notice::Look(pid));
    }

    /// A process has ended.
    pub fn gone(&self, pid: u32) {
        let _ = self.0.try_send(Notice::Gone(pid));
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
    told_of: HashSet<u32>,
}

struct Watched {
    due: Instant,
    /// Looks since the last change.
    looks: usize,
    runtime: Option<Runtime>,
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
            Notice::Look(pid) if self.watched.contains_key(&pid) || self.watched.len() < MAX_WATCHED => {
                self.watched.insert(pid, Watched { due: Instant::now(), looks: 0, runtime: None });
            }
            Notice::Look(pid) => debug!(pid, "too many processes: its runtime is not read"),
            Notice::Gone(pid) => {
                self.watched.remove(&pid);
            }
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

    fn take(&mut self, pid: u32, found: Result<Found, Unread>, now: Instant) {
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        let known = watched.runtime;
        let delays: &[u64] = if found.is_ok() { &RECHECK_MILLIS } else { &RETRY_MILLIS };
        let runtime = found.as_ref().ok().map(|found| found.runtime);
        if runtime != known {
            watched.looks = 0;
        }
        watched.runtime = runtime;
        let delay = delays.get(watched.looks).or(delays.last()).copied().unwrap_or_default();
        watched.due = now + Duration::from_millis(delay);
        watched.looks += 1;
        let looks = watched.looks;
        // A panic elsewhere does not make the maps wrong.
        let mut probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(Found { runtime, version }) if known != Some(runtime) => {
                match probe.set_runtime(pid, &runtime) {
                    Ok(()) if self.told_of.len() < MAX_TOLD && self.told_of.insert(pid) => {
                        info!(
                            "process {pid} runs CPython {version}, whose tasks and greenlets are told apart"
                        );
                        debug!(pid, ?runtime, "its CPython is read");
                    }
                    Ok(()) => debug!(pid, ?runtime, "its CPython is read"),
                    Err(error) => warn!("a process's runtime cannot be noted: {error}"),
                }
            }
            Ok(_) => {}
            Err(error) => {
                probe.forget_runtime(pid);
                drop(probe);
                let last = looks >= RETRY_MILLIS.len();
                if last && matches!(error, Unread::NotPython) {
                    self.watched.remove(&pid);
                } else if !self.proc.exists(pid) {
                    debug!(pid, "runtime: the process is gone");
                } else if (last || matches!(error, Unread::Uvloop)) && self.told.insert(error.reason()) {
                    warn!("process {pid} serves without runtime evidence: {error}");
                } else {
                    debug!(pid, "runtime: {error}");
                }
                if last && !self.proc.exists(pid) {
                    self.watched.remove(&pid);
                }
            }
        }
    }
}
