//! The world outside the pipeline: the node's processes, read from `/proc` when the pipeline asks.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use rustc_hash::FxHashMap;
use tracer_ebpf::{ProcessEvent, ProcessNote};
use tracing::{debug, warn};

use super::runtimes::{Counts, Runtimes};
use super::sdk::SdkPolicy;
use crate::correlate::telemetry_post::TelemetryPost;
use crate::enrich::Resource;
use crate::enrich::process::Proc;
use crate::enrich::sdk::SdkEvidence;
use crate::enrich::table::{ProcessKey, Resources};
use crate::event::Process;
use crate::pipeline::{Environment, Exports};
use crate::probe::Probe;
use crate::probe::targets::{self, CgroupMount, Selection, Streams, Targets, log_files};
use crate::span::LogStream;

/// Inodes whose nature is remembered; fewer than the probe's own map holds, so that it never is the one to refuse.
const MAX_LOG_FILES: usize = 8192;

/// Processes whose runtimes were looked for; one that was forgotten is looked at again.
const MAX_HEARD: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Most generations between a process and the first selected one.
const MAX_GENERATIONS: usize = 64;

/// After such a rest a process gets to work anew.
const REST: Duration = Duration::from_secs(5);

/// How often it is told that a process makes threads.
const STIR_INTERVAL: Duration = Duration::from_secs(2);

/// When a process was heard of.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Last at work.
    worked: Option<Instant>,
    /// Last told to have begun something.
    stirred: Option<Instant>,
}

/// The probe, told things from the pipeline's thread.
pub type SharedProbe = Arc<Mutex<Probe>>;

/// The threads that look for more of the node.
pub struct Threads {
    /// Finds the runtimes of targets.
    pub runtimes: Runtimes,
    /// Processes that were found in cgroups which were selected after they had begun.
    pub found: Receiver<u32>,
}

/// What is known of the node's targets.
pub struct Node {
    proc: Proc,
    mount: Option<CgroupMount>,
    probe: SharedProbe,
    selection: Selection,
    resources: Resources,
    sdk: SdkPolicy,
    runtimes: Runtimes,
    /// Processes that were heard of, so that their runtimes are looked for.
    heard: LruCache<ProcessKey, Heard>,
    /// Processes selected by themselves; the probe's map holds the same.
    processes: HashSet<u32>,
    /// Whether any cgroup may be selected; which ones, the probe's map knows.
    by_cgroup: bool,
    /// Processes in cgroups that were selected after they had begun.
    found: Receiver<u32>,
    logs: FxHashMap<(u32, u64), Streams>,
    logs_by_age: VecDeque<(u32, u64)>,
    capture_logs: bool,
}

impl Node {
    /// Knows nothing of targets yet: see [`Self::adopt`].
    #[must_use]
    pub fn new(
        proc: Proc,
        probe: SharedProbe,
        selection: Selection,
        resources: Resources,
        sdk: SdkPolicy,
        capture_logs: bool,
        threads: Threads,
    ) -> Self {
        Self {
            by_cgroup: !(selection.cgroups.is_empty() && selection.pods.is_empty()),
            found: threads.found,
            mount: CgroupMount::find(&proc).ok(),
            proc,
            probe,
            selection,
            resources,
            sdk,
            runtimes: threads.runtimes,
            heard: LruCache::new(MAX_HEARD),
            processes: HashSet::new(),
            logs: FxHashMap::default(),
            logs_by_age: VecDeque::new(),
            capture_logs,
        }
    }

    /// Selects what was found, and learns its logs.
    pub fn adopt(&mut self, targets: &Targets) {
        self.runtimes.look_first(targets.processes.iter().copied());
        for pid in &targets.pids {
            self.select(*pid);
        }
        for id in &targets.cgroups {
            let selected = self.with_probe(|probe| probe.select_cgroup(*id));
            tell(selected, "a cgroup cannot be selected");
        }
        for root in &targets.log_roots {
            self.learn_logs(*root);
        }
    }

    /// What was found of targets' runtimes.
    #[must_use]
    pub fn runtimes(&self) -> Arc<Counts> {
        self.runtimes.counts()
    }

    /// Processes that are selected by themselves.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    fn with_probe<T>(&self, tell: impl FnOnce(&mut Probe) -> T) -> T {
        // A panic elsewhere does not make the maps wrong.
        tell(&mut self.probe.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn select(&mut self, pid: u32) {
        // Told even when it is known: should the end of an earlier process with this id have been lost, the probe has
        // forgotten it and this table has not.
        self.processes.insert(pid);
        let selected = self.with_probe(|probe| probe.select_process(pid));
        tell(selected, "a process cannot be selected");
    }

    fn learn_logs(&mut self, pid: u32) {
        if !self.capture_logs {
            return;
        }
        match log_files(&self.proc, pid) {
            Ok(files) => files.into_iter().for_each(|file| self.remember(file.dev, file.ino, file.streams)),
            Err(error) => debug!(pid, %error, "logs unknown"),
        }
    }

    /// Notes what an inode is, here and in the probe. The oldest is forgotten when there are too many: it is then
    /// asked about again.
    fn remember(&mut self, dev: u32, ino: u64, streams: Streams) {
        if self.logs.insert((dev, ino), streams).is_none() {
            self.logs_by_age.push_back((dev, ino));
        }
        if self.logs_by_age.len() > MAX_LOG_FILES
            && let Some(oldest) = self.logs_by_age.pop_front()
        {
            self.logs.remove(&oldest);
            self.with_probe(|probe| probe.forget_log_inode(u64::from(oldest.0), oldest.1));
        }
        let is_log = streams != Streams::None;
        let told = self.with_probe(|probe| probe.set_log_inode(u64::from(dev), ino, is_log));
        tell(told, "a log cannot be noted");
    }

    /// The first selected process above `pid`: the one whose stdout and stderr are the logs of all below it.
    fn root_of(&self, pid: u32) -> u32 {
        let mut root = pid;
        for _ in 0..MAX_GENERATIONS {
            match self.proc.stat(root) {
                Ok(stat) if stat.parent != 0 && self.is_selected(stat.parent) => root = stat.parent,
                _ => break,
            }
        }
        root
    }

    /// The process whose stdout and stderr are the logs of `pid`: in a container the one that it began with, so that
    /// what somebody runs in it from outside (`kubectl exec`, a probe) is no log of it.
    fn log_root(&self, pid: u32) -> u32 {
        let root = self.root_of(pid);
        if !self.by_cgroup || self.processes.contains(&root) {
            return root;
        }
        let mount = self.mount.as_ref();
        mount.and_then(|mount| mount.first_of_container(&self.proc, root)).unwrap_or(root)
    }

    fn is_selected(&self, pid: u32) -> bool {
        self.processes.contains(&pid) || (self.by_cgroup && self.is_in_selected_cgroup(pid))
    }

    fn is_in_selected_cgroup(&self, pid: u32) -> bool {
        let id = self.mount.as_ref().and_then(|mount| mount.id_of(&self.proc, pid));
        id.is_some_and(|id| self.with_probe(|probe| probe.selects_cgroup(id)))
    }

    /// Learns the logs of processes that were there before their pod was selected.
    fn take_found(&mut self) {
        while let Ok(pid) = self.found.try_recv() {
            if self.log_root(pid) == pid {
                self.learn_logs(pid);
            }
        }
    }

    /// A process works.
    fn on_work(&mut self, process: ProcessKey) {
        let now = Instant::now();
        let is_new = self.heard.peek(&process).is_none();
        if is_new {
            self.runtimes.look(process.tgid);
        }
        let heard = self.heard.get_or_insert_mut(process, Heard::default);
        let has_rested = heard.worked.is_none_or(|worked| now.saturating_duration_since(worked) >= REST);
        heard.worked = Some(now);
        if has_rested {
            heard.stirred = Some(now);
            self.runtimes.stir(process.tgid);
        }
    }

    /// A process makes a thread.
    fn on_thread(&mut self, process: ProcessKey) {
        let now = Instant::now();
        let Some(heard) = self.heard.get_mut(&process) else { return };
        if heard.stirred.is_none_or(|stirred| now.saturating_duration_since(stirred) >= STIR_INTERVAL) {
            heard.stirred = Some(now);
            self.runtimes.stir(process.tgid);
        }
    }

    fn on_exec(&mut self, event: &ProcessEvent) {
        let pid = event.header.tgid;
        self.resources.executed(key(event));
        self.heard.pop(&key(event));
        self.runtimes.gone(pid);
        self.sdk.forget(key(event));
        if !self.selection.exes.is_empty()
            && !self.processes.contains(&pid)
            && self.proc.exe(pid).is_ok_and(|exe| self.selection.selects_exe(&exe))
        {
            self.runtimes.look(pid);
            self.select(pid);
            // From now on the probe follows its forks.
            let family = targets::family(pid, &self.proc).unwrap_or_default();
            for descendant in family {
                self.runtimes.look(descendant);
                self.select(descendant);
            }
        } else if self.is_selected(pid) {
            self.runtimes.look(pid);
        }
        // A container's first program: its logs are learnt before it can be gone.
        if self.is_selected(pid) && self.log_root(pid) == pid {
            self.learn_logs(pid);
        }
    }
}

impl Environment for Node {
    fn resource(&mut self, process: Process) -> Arc<Resource> {
        self.on_work(key_of(process));
        self.take_found();
        let identity = self.resources.identity(key_of(process));
        if let Some(evidence) = &identity.sdk {
            self.sdk.tell(identity.resource.service_name(), process.tgid, evidence);
        }
        identity.resource
    }

    fn exports(&mut self, process: Process) -> Exports {
        let process = key_of(process);
        self.sdk.exports(process, self.resources.identity(process).sdk.as_deref())
    }

    fn on_telemetry_post(&mut self, process: Process, post: TelemetryPost) {
        if self.sdk.on_post(key_of(process), post) {
            let resource = self.resources.get(key_of(process));
            self.sdk.tell(resource.service_name(), process.tgid, &SdkEvidence::Posts);
        }
    }

    fn log_stream(&mut self, tgid: u32, device: u32, ino: u64, fd: u32) -> Option<LogStream> {
        self.take_found();
        if let Some(known) = self.logs.get(&(device, ino)) {
            return known.of(fd);
        }
        let root = self.log_root(tgid);
        // A process that is gone already cannot be asked; another write may find one that can.
        let files = log_files(&self.proc, root).ok()?;
        let written = files.iter().find(|file| (file.dev, file.ino) == (device, ino));
        let streams = written.map_or(Streams::None, |file| file.streams);
        debug!(tgid, root, device, ino, ?streams, "log decided");
        self.remember(device, ino, streams);
        streams.of(fd)
    }

    fn on_process(&mut self, note: ProcessNote, event: &ProcessEvent) {
        let tgid = event.header.tgid;
        match note {
            ProcessNote::Fork => {
                let child = ProcessKey { tgid: event.child_tgid, start: event.child_start_ns };
                self.resources.forked(key(event), child);
                self.heard.put(child, Heard::default());
                self.runtimes.look(child.tgid);
                if self.processes.contains(&tgid) {
                    self.processes.insert(event.child_tgid);
                }
            }
            ProcessNote::Exec => self.on_exec(event),
            ProcessNote::Exit => {
                self.sdk.forget(key(event));
                self.processes.remove(&tgid);
                self.runtimes.gone(tgid);
            }
            ProcessNote::Listen => {
                // The probe has selected it already.
                self.processes.insert(tgid);
                self.learn_logs(self.root_of(tgid));
            }
            ProcessNote::ThreadStart => self.on_thread(key(event)),
            ProcessNote::ThreadExit => {}
        }
    }
}

fn key_of(process: Process) -> ProcessKey {
    ProcessKey { tgid: process.tgid, start: process.start }
}

fn key(event: &ProcessEvent) -> ProcessKey {
    ProcessKey { tgid: event.header.tgid, start: event.header.process_start_ns }
}

fn tell(result: Result<(), crate::probe::ProbeError>, what: &str) {
    if let Err(error) = result {
        warn!("{what}: {error}");
    }
}
