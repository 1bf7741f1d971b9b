//! The task that follows this node's pods: the API's changes and the file system's, one after the other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use kube::client::Client;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::cgroups::{self, scan};
use super::error::Access;
use super::follow::{CgroupMap, Follow, FollowCounts};
use super::watch::status::ApiStatus;
use super::watch::{Change, watch};
use crate::enrich::container::pod_uid;
use crate::enrich::process::Proc;

/// How often the whole cgroup file system is looked at, whatever was told of it: the kernel's queue of changes has an
/// end, and a kubelet may start late.
const RESCAN: Duration = Duration::from_secs(10);

/// Changes of the API that may wait.
const QUEUE: usize = 256;

/// Rounds of a scan that finds new places to watch, at most.
const ROUNDS: usize = 4;

/// What others may see of the task.
#[derive(Debug, Default)]
pub struct Shared {
    /// How it stands with the API server.
    pub api: ApiStatus,
    counts: Mutex<FollowCounts>,
}

impl Shared {
    /// Pods known, matching and traced.
    #[must_use]
    pub fn counts(&self) -> FollowCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task's parts.
pub struct Task<M> {
    /// How the API server is reached.
    pub access: Access,
    /// A client for it.
    pub client: Client,
    /// This node's name.
    pub node: String,
    /// Where cgroup v2 is mounted.
    pub mount: PathBuf,
    /// Where processes are looked up.
    pub proc: Proc,
    /// What keeps the probe's map.
    pub follow: Follow<M>,
    /// What others may see.
    pub shared: Arc<Shared>,
}

impl<M: CgroupMap> Task<M> {
    /// Runs for as long as the agent does.
    pub async fn run(self) {
        let Self { access, client, node, mount, proc, mut follow, shared } = self;
        let (sender, mut changes) = mpsc::channel(QUEUE);
        let mut directories = Directories::new(mount);
        follow.on_scan(directories.scan());
        directories.tell(&proc);
        let watching = watch(access, client, node, sender, &shared.api);
        tokio::pin!(watching);
        let mut rescan = interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut watching => return,
                Some(change) = changes.recv() => apply(&mut follow, change),
                event = directories.next() => on_event(&mut follow, &mut directories, event),
                _ = rescan.tick() => follow.on_scan(directories.scan()),
            }
            *shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = follow.counts();
        }
    }
}

fn apply<M: CgroupMap>(follow: &mut Follow<M>, change: Change) {
    match change {
        Change::List(pods) => {
            follow.on_list(pods);
            let FollowCounts { known, matching, .. } = follow.counts();
            info!("{known} pods are on this node, {matching} of them selected");
        }
        Change::Applied(pod) => follow.on_pod(*pod),
        Change::Deleted(pod) => follow.on_pod_gone(&pod.cgroup_uid),
    }
}

fn on_event<M: CgroupMap>(follow: &mut Follow<M>, directories: &mut Directories, event: EventOwned) {
    let name = event.name.as_ref().and_then(|name| name.to_str());
    let pod = name.and_then(|name| Some((pod_uid(name)?, directories.path(&event.wd)?.join(name))));
    match pod {
        Some((uid, path)) if event.mask.contains(EventMask::CREATE) => follow.on_directory(uid, path),
        Some((uid, _)) if event.mask.contains(EventMask::DELETE) => follow.on_directory_gone(&uid),
        // A class of pods appeared or went, or the queue of changes was full.
        _ if !event.mask.contains(EventMask::IGNORED) => follow.on_scan(directories.scan()),
        _ => directories.forget(&event.wd),
    }
}

/// The directories in which pods appear, watched by inotify where that is to be had.
struct Directories {
    mount: PathBuf,
    watches: Option<Watches>,
    events: Option<EventStream<[u8; 4096]>>,
    watched: HashMap<WatchDescriptor, PathBuf>,
}

impl Directories {
    fn new(mount: PathBuf) -> Self {
        let opened = Inotify::init().and_then(|inotify| {
            let watches = inotify.watches();
            Ok((watches, inotify.into_event_stream([0; 4096])?))
        });
        let (watches, events) = match opened {
            Ok((watches, events)) => (Some(watches), Some(events)),
            Err(error) => {
                warn!(
                    "new pods are noticed late, every {} s: inotify is not to be had: {error}",
                    RESCAN.as_secs()
                );
                (None, None)
            }
        };
        Self { mount, watches, events, watched: HashMap::new() }
    }

    /// All pods of now. Whatever appears later in the places where they were found is told by [`Self::next`]: a place
    /// is watched before it is looked at the last time.
    fn scan(&mut self) -> std::collections::BTreeMap<String, PathBuf> {
        let mut found = scan(&self.mount);
        for _ in 0..ROUNDS {
            let mount = self.mount.clone();
            let new = [&mount].into_iter().chain(&found.parents).filter(|path| self.watch(path)).count();
            if new == 0 {
                break;
            }
            found = scan(&self.mount);
        }
        found.pods
    }

    /// Whether the directory was not watched yet and is now.
    fn watch(&mut self, path: &Path) -> bool {
        if self.watched.values().any(|known| known == path) {
            return false;
        }
        let Some(watches) = &mut self.watches else { return false };
        let mask = WatchMask::CREATE | WatchMask::DELETE | WatchMask::ONLYDIR;
        match watches.add(path, mask) {
            Ok(descriptor) => self.watched.insert(descriptor, path.to_owned()).is_none(),
            Err(error) => {
                debug!(%error, path = %path.display(), "not watched");
                false
            }
        }
    }

    fn path(&self, descriptor: &WatchDescriptor) -> Option<&Path> {
        self.watched.get(descriptor).map(PathBuf::as_path)
    }

    fn forget(&mut self, descriptor: &WatchDescriptor) {
        self.watched.remove(descriptor);
    }

    /// The next change. For ever, where there is no inotify.
    async fn next(&mut self) -> EventOwned {
        loop {
            let Some(events) = &mut self.events else { return std::future::pending().await };
            match events.next().await {
                Some(Ok(event)) => return event,
                Some(Err(error)) => {
                    warn!("new pods are noticed late, every {} s: inotify failed: {error}", RESCAN.as_secs());
                    self.events = None;
                }
                None => self.events = None,
            }
        }
    }

    /// Says so when there is nothing where pods should be.
    fn tell(&self, proc: &Proc) {
        if self.watched.len() > 1 {
            return;
        }
        if cgroups::pods_are_in_v1(proc) {
            warn!(
                "this node's pods are in cgroup v1, in which they cannot be selected: it needs cgroup v2, which AKS has \
                 since Kubernetes 1.25 (kernel option systemd.unified_cgroup_hierarchy=1 elsewhere)"
            );
        } else {
            warn!(
                "no pod has a cgroup below {}: is the node's /sys/fs/cgroup mounted in the agent's container?",
                self.mount.display()
            );
        }
    }
}
