//! Which resource belongs to which process.

use std::hash::{Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use lru::LruCache;
use rustc_hash::{FxHashMap, FxHasher};

use super::Resource;
use super::container::CgroupIdentity;
use super::process::{Proc, ProcError};
use super::resource::{ProcessFacts, ResourceDefaults, describe};
use super::sdk::{SdkEvidence, evidence};
use crate::event::Nanos;
use crate::kubernetes::{Pod, PodTable};
use crate::span::Value;

/// Processes whose resource is kept; the least recently asked for is forgotten, and read again when needed.
pub const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Nanoseconds of a tick in `/proc/PID/stat`: user space always sees 100 ticks a second on x86-64 and arm64.
const TICK: Nanos = 10_000_000;

/// A process, told apart from a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// Process id, in the pid namespace of the proc file system.
    pub tgid: u32,
    /// Start of its first thread, CLOCK_MONOTONIC.
    pub start: Nanos,
}

/// What happened while resources were looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceCounts {
    /// Processes read from `/proc`.
    pub read: u64,
    /// Processes that had ended before they could be read and took the resource of their parent, or of the
    /// program that they ran before.
    pub inherited: u64,
    /// Processes of which nothing is known: `unknown_service`.
    pub unknown: u64,
    /// Processes whose environment may not be read.
    pub denied: u64,
    /// Processes with an `OTEL_RESOURCE_ATTRIBUTES` that had to be left out.
    pub bad_attributes: u64,
    /// Processes forgotten because of [`MAX_PROCESSES`].
    pub evicted: u64,
}

/// What is known of a process.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its resource.
    pub resource: Arc<Resource>,
    /// What speaks for an SDK inside it that exports by itself.
    pub sdk: Option<Arc<SdkEvidence>>,
}

#[derive(Clone, Debug)]
enum Entry {
    /// Not read yet; this is what to take if it cannot be.
    Pending(Described),
    Known(Described),
}

/// What is known of a process, with what it was made of: its pod may change, or become known only later.
#[derive(Clone, Debug)]
struct Described {
    identity: Identity,
    facts: Arc<ProcessFacts>,
    pod: Option<Arc<Pod>>,
    /// [`PodTable::generation`] when the pod was looked up.
    generation: u64,
}

/// The resources of all processes. Processes with equal resources share one allocation.
#[derive(Debug)]
pub struct Resources {
    proc: Proc,
    defaults: ResourceDefaults,
    suspended: Option<Nanos>,
    pods: Arc<PodTable>,
    entries: LruCache<ProcessKey, Entry>,
    interned: Interned,
    counts: ResourceCounts,
}

impl Resources {
    /// An empty table of at most `capacity` processes (usually [`MAX_PROCESSES`]).
    #[must_use]
    pub fn new(proc: Proc, defaults: ResourceDefaults, capacity: NonZeroUsize) -> Self {
        Self {
            proc,
            defaults,
            suspended: None,
            pods: Arc::default(),
            entries: LruCache::new(capacity),
            interned: Interned::default(),
            counts: ResourceCounts::default(),
        }
    }

    /// Tells how long the machine has slept since boot (CLOCK_BOOTTIME − CLOCK_MONOTONIC). From then on a
    /// process whose start in `/proc` does not fit its key counts as gone: its id was used again.
    pub fn set_suspended(&mut self, suspended: Nanos) {
        self.suspended = Some(suspended);
    }

    /// Tells where pods are known. A process in a pod takes its resource from there, also when the pod becomes known,
    /// or changes, after the process was read.
    pub fn set_pods(&mut self, pods: Arc<PodTable>) {
        self.pods = pods;
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> ResourceCounts {
        self.counts
    }

    /// The resource of a process. The first call for a process reads `/proc`.
    pub fn get(&mut self, key: ProcessKey) -> Arc<Resource> {
        self.identity(key).resource
    }

    /// All that is known of a process. The first call for a process reads `/proc`.
    pub fn identity(&mut self, key: ProcessKey) -> Identity {
        self.described(key).identity
    }

    fn described(&mut self, key: ProcessKey) -> Described {
        let generation = self.pods.generation();
        let described = match self.entries.get(&key) {
            Some(Entry::Known(known)) if known.generation == generation => return known.clone(),
            Some(Entry::Known(known)) => {
                let known = known.clone();
                self.renew(known, generation)
            }
            _ => self.first(key, generation),
        };
        self.insert(key, Entry::Known(described.clone()));
        described
    }

    fn first(&mut self, key: ProcessKey, generation: u64) -> Described {
        match (self.read(key), self.entries.pop(&key)) {
            (Some((facts, sdk)), _) => self.describe(facts, sdk, generation),
            (None, Some(Entry::Pending(fallback) | Entry::Known(fallback))) => {
                self.counts.inherited += 1;
                fallback
            }
            (None, None) => {
                self.counts.unknown += 1;
                self.describe(ProcessFacts::default(), None, generation)
            }
        }
    }

    /// Some pod changed since: was it this process's?
    fn renew(&mut self, known: Described, generation: u64) -> Described {
        let pod = self.pod(&known.facts);
        // A pod that is gone was the right one for as long as its last spans come.
        if pod.is_none() || pod.as_ref().map(Arc::as_ptr) == known.pod.as_ref().map(Arc::as_ptr) {
            return Described { generation, ..known };
        }
        let resource = describe(&known.facts, pod.as_deref(), &self.defaults);
        let identity = Identity { resource: self.interned.share(resource), sdk: known.identity.sdk };
        Described { identity, facts: known.facts, pod, generation }
    }

    fn pod(&self, facts: &ProcessFacts) -> Option<Arc<Pod>> {
        self.pods.get(facts.cgroup.pod_uid.as_deref()?)
    }

    /// A process forked: should the child end before it can be read, it has the parent's resource.
    pub fn forked(&mut self, parent: ProcessKey, child: ProcessKey) {
        let described = self.described(parent);
        self.insert(child, Entry::Pending(described));
    }

    /// A process executed another program: it is read again, with what it was so far as the fallback.
    pub fn executed(&mut self, key: ProcessKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            let (Entry::Pending(described) | Entry::Known(described)) = entry;
            *entry = Entry::Pending(described.clone());
        }
    }

    fn insert(&mut self, key: ProcessKey, entry: Entry) {
        let evicted = self.entries.push(key, entry);
        self.counts.evicted += u64::from(evicted.is_some_and(|(other, _)| other != key));
    }

    /// What the process tells of itself; `None` when it is gone.
    fn read(&mut self, key: ProcessKey) -> Option<(ProcessFacts, Option<SdkEvidence>)> {
        let pid = key.tgid;
        let environ = self.environ(pid)?;
        let arguments = self.proc.cmdline(pid).unwrap_or_default();
        let program = self.program(pid, arguments.first())?;
        let cgroup = CgroupIdentity::of_lines(&self.proc.cgroup(pid).ok()?);
        let sdk = environ.as_ref().and_then(|environ| evidence(environ, &arguments));
        let (facts, error) = ProcessFacts::new(environ.as_ref(), program, cgroup);
        // Asked last: had the id passed to another process meanwhile, what was read would be that one's.
        if !self.is_same(key) {
            return None;
        }
        self.counts.read += 1;
        self.counts.bad_attributes += u64::from(error.is_some());
        Some((facts, sdk))
    }

    /// The outer `None` means that the process is gone.
    fn environ(&mut self, pid: u32) -> Option<Option<super::process::Environ>> {
        match self.proc.environ(pid) {
            Ok(environ) => Some(Some(environ)),
            Err(ProcError::Gone { .. }) => None,
            Err(_) => {
                self.counts.denied += 1;
                Some(None)
            }
        }
    }

    /// The outer `None` means that the process is going: it has given its memory back, so that it has no executable
    /// any more and its environment reads as empty, but is no zombie yet.
    fn program(&self, pid: u32, argument: Option<&String>) -> Option<Option<String>> {
        let exe = match self.proc.exe(pid) {
            Ok(path) => Some(path),
            Err(ProcError::Absent { .. } | ProcError::Gone { .. }) => return None,
            Err(_) => None,
        };
        let file =
            exe.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
        // Everybody may read `comm`, also where `exe` is denied.
        let comm = self.proc.comm(pid).ok().filter(|name| !name.is_empty());
        let linked = match (&file, &comm, argument) {
            (Some(file), Some(comm), Some(argument)) => is_link_to(comm, argument, file),
            _ => false,
        };
        Some(if linked { comm } else { file.or(comm) })
    }

    /// Whether the process that has the id now started when the key says. A zombie has lost its environment
    /// already, and with it the name that it would have given itself.
    fn is_same(&self, key: ProcessKey) -> bool {
        let Ok(stat) = self.proc.stat(key.tgid) else { return false };
        if matches!(stat.state, 'Z' | 'X') {
            return false;
        }
        let Some(suspended) = self.suspended else { return true };
        let start = stat.start_ticks.saturating_mul(TICK);
        let earliest = key.start.saturating_sub(TICK);
        let latest = key.start.saturating_add(suspended).saturating_add(TICK);
        (earliest..=latest).contains(&start)
    }

    fn describe(&mut self, facts: ProcessFacts, sdk: Option<SdkEvidence>, generation: u64) -> Described {
        let pod = self.pod(&facts);
        let resource = self.interned.share(describe(&facts, pod.as_deref(), &self.defaults));
        let identity = Identity { resource, sdk: sdk.map(Arc::new) };
        Described { identity, facts: Arc::new(facts), pod, generation }
    }
}

/// Resources that somebody still holds, by content.
#[derive(Debug, Default)]
struct Interned {
    by_hash: FxHashMap<u64, Vec<Weak<Resource>>>,
    /// Hashes to have before the dead ones are swept out: twice the living ones of the last time.
    sweep_at: usize,
}

impl Interned {
    fn share(&mut self, resource: Resource) -> Arc<Resource> {
        if self.by_hash.len() > self.sweep_at {
            self.sweep();
        }
        let bucket = self.by_hash.entry(hash(&resource)).or_default();
        bucket.retain(|known| known.strong_count() > 0);
        if let Some(known) = bucket.iter().filter_map(Weak::upgrade).find(|known| **known == resource) {
            return known;
        }
        let shared = Arc::new(resource);
        bucket.push(Arc::downgrade(&shared));
        shared
    }

    fn sweep(&mut self) {
        self.by_hash.retain(|_, bucket| bucket.iter().any(|known| known.strong_count() > 0));
        self.sweep_at = 2 * self.by_hash.len().max(64);
    }
}

fn hash(resource: &Resource) -> u64 {
    let mut hasher = FxHasher::default();
    for attribute in &resource.attributes {
        attribute.key.hash(&mut hasher);
        match &attribute.value {
            Value::Str(text) => text.hash(&mut hasher),
            Value::Int(number) => number.hash(&mut hasher),
            Value::Double(number) => number.to_bits().hash(&mut hasher),
            Value::Bool(truth) => truth.hash(&mut hasher),
            Value::Strs(texts) => texts.hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// Whether a program is known as `comm`, a link to its `file` (Debian's `redis-server` is one to `redis-check-rdb`): both
/// the kernel and its first argument say so. Not what a script calls itself, which may do so late: its interpreter has a
/// name of its own.
fn is_link_to(comm: &str, argument: &str, file: &str) -> bool {
    const INTERPRETERS: [&str; 12] =
        ["bash", "dash", "java", "lua", "node", "perl", "php", "pypy", "python", "ruby", "sh", "zsh"];
    let word = argument.split([' ', ':']).next().unwrap_or_default();
    let name = word.rsplit('/').next().unwrap_or_default();
    name == comm
        && !file.starts_with(comm)
        && !INTERPRETERS.iter().any(|interpreter| file.starts_with(interpreter))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
