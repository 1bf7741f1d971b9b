//! From pods and directories to the probe's map of cgroups: what is selected is there, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tracing::{debug, info};

use super::cgroups;
use super::pod::Pod;
use super::rules::{Containers, PodRules};
use super::table::PodTable;
use crate::enrich::container::is_monitor;

/// Most cgroups of one pod.
const MAX_CGROUPS: usize = 4096;

/// Most pods: the kubelet allows some hundreds on a node.
pub const MAX_PODS: usize = 8192;

/// Where selections go: the probe, or a test's set.
pub trait CgroupMap {
    /// Processes that are there already are about to be selected.
    fn prepare(&mut self, pids: &[u32]);
    /// Selects a cgroup, by id, with what is made below it from now on.
    fn select(&mut self, id: u64);
    /// No longer selects it.
    fn deselect(&mut self, id: u64);
    /// A selected pod's process was there before: its log files are to be learnt.
    fn found(&mut self, pid: u32);
}

/// What is selected of a pod.
#[derive(Debug)]
struct Applied {
    /// Namespace and name: when the pod is gone, nobody else knows them.
    name: String,
    directory: PathBuf,
    /// Ids of containers that the rules leave out, and that are out of the map.
    left_out: BTreeSet<String>,
}

/// Counts of now, and since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowCounts {
    /// Pods that the API has told of.
    pub known: u64,
    /// Pods that the rules select.
    pub matching: u64,
    /// Selected pods whose cgroup is in the probe's map.
    pub traced: u64,
    /// Pods left aside because there were more than [`MAX_PODS`].
    pub over_limit: u64,
}

/// Keeps the probe's map as the rules want it.
#[derive(Debug)]
pub struct Follow<M> {
    rules: PodRules,
    map: M,
    /// Directories that are selected by themselves: nothing below them is ever taken out.
    kept: Vec<PathBuf>,
    table: Arc<PodTable>,
    pods: FxHashMap<String, (Arc<Pod>, Option<Containers>)>,
    directories: BTreeMap<String, PathBuf>,
    applied: FxHashMap<String, Applied>,
    over_limit: u64,
}

impl<M: CgroupMap> Follow<M> {
    /// Nothing known yet. `kept` are the directories of `--cgroup`.
    #[must_use]
    pub fn new(rules: PodRules, map: M, kept: Vec<PathBuf>, table: Arc<PodTable>) -> Self {
        Self {
            rules,
            map,
            kept,
            table,
            pods: FxHashMap::default(),
            directories: BTreeMap::new(),
            applied: FxHashMap::default(),
            over_limit: 0,
        }
    }

    /// The API listed all pods of this node: others are gone.
    pub fn on_list(&mut self, pods: Vec<Pod>) {
        let listed: BTreeSet<&str> = pods.iter().map(|pod| pod.cgroup_uid.as_str()).collect();
        let gone = self.pods.keys().filter(|uid| !listed.contains(uid.as_str())).cloned();
        for uid in gone.collect::<Vec<_>>() {
            self.forget(&uid);
        }
        pods.into_iter().for_each(|pod| self.on_pod(pod));
    }

    /// The API told of a pod, for the first time or again.
    pub fn on_pod(&mut self, pod: Pod) {
        let uid = pod.cgroup_uid.clone();
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&uid) {
            self.over_limit += 1;
            return;
        }
        if self.pods.get(&uid).is_some_and(|(known, _)| **known == pod) {
            return;
        }
        let wanted = self.rules.select(&pod).filter(|_| !pod.finished);
        let pod = Arc::new(pod);
        self.table.insert(&pod);
        self.pods.insert(uid.clone(), (pod, wanted));
        self.settle(&uid);
    }

    /// The API told that a pod is gone.
    pub fn on_pod_gone(&mut self, cgroup_uid: &str) {
        self.forget(cgroup_uid);
    }

    /// A scan found these directories, and no others.
    pub fn on_scan(&mut self, found: BTreeMap<String, PathBuf>) {
        let gone = self.directories.keys().filter(|uid| !found.contains_key(*uid)).cloned();
        for uid in gone.collect::<Vec<_>>() {
            self.on_directory_gone(&uid);
        }
        for (uid, path) in found {
            self.on_directory(uid, path);
        }
    }

    /// A pod's directory was made.
    pub fn on_directory(&mut self, cgroup_uid: String, path: PathBuf) {
        if self.directories.get(&cgroup_uid) != Some(&path) {
            self.directories.insert(cgroup_uid.clone(), path);
            self.settle(&cgroup_uid);
        }
    }

    /// A pod's directory was removed; the probe has taken it and all below out of the map by itself.
    pub fn on_directory_gone(&mut self, cgroup_uid: &str) {
        self.directories.remove(cgroup_uid);
        self.settle(cgroup_uid);
    }

    /// What there is now.
    #[must_use]
    pub fn counts(&self) -> FollowCounts {
        FollowCounts {
            known: self.pods.len() as u64,
            matching: self.pods.values().filter(|(_, wanted)| wanted.is_some()).count() as u64,
            traced: self.applied.len() as u64,
            over_limit: self.over_limit,
        }
    }

    fn forget(&mut self, uid: &str) {
        self.pods.remove(uid);
        self.settle(uid);
        self.table.remove(uid);
    }

    /// Makes the map right for one pod.
    fn settle(&mut self, uid: &str) {
        let known = self.pods.get(uid).cloned();
        let wanted = known.as_ref().and_then(|(pod, wanted)| Some((pod, wanted.as_ref()?)));
        let directory = self.directories.get(uid).cloned();
        let stale = |applied: &Applied| wanted.is_none() || directory.as_ref() != Some(&applied.directory);
        if self.applied.get(uid).is_some_and(stale)
            && let Some(applied) = self.applied.remove(uid)
        {
            self.take_out(&applied.directory);
            info!("pod {} is traced no longer", applied.name);
        }
        let (Some((pod, wanted)), Some(directory)) = (wanted, directory) else { return };
        if !self.applied.contains_key(uid) {
            self.put_in(&directory);
            let name = format!("{}/{}", pod.namespace, pod.name);
            info!("pod {name} is traced");
            let applied = Applied { name, directory: directory.clone(), left_out: BTreeSet::new() };
            self.applied.insert(uid.to_owned(), applied);
        }
        self.narrow(uid, pod, wanted, &directory);
    }

    /// Takes the containers out that the rules leave out, as soon as the API has told which they are.
    fn narrow(&mut self, uid: &str, pod: &Pod, wanted: &Containers, directory: &Path) {
        if *wanted == Containers::All {
            return;
        }
        for container in pod.containers.iter().filter(|container| !wanted.contains(&container.name)) {
            let Some(id) = &container.id else { continue };
            let known = self.applied.get(uid).is_some_and(|applied| applied.left_out.contains(id));
            let Some(path) = (!known).then(|| cgroups::container(directory, id)).flatten() else { continue };
            debug!("container {} of pod {}/{} is left out", container.name, pod.namespace, pod.name);
            self.take_out(&path);
            if let Some(applied) = self.applied.get_mut(uid) {
                applied.left_out.insert(id.clone());
            }
        }
    }

    fn put_in(&mut self, directory: &Path) {
        let map = &mut self.map;
        // CRI-O's conmon is no part of the pod: it only lies there.
        let is_pods = |name: &str| !is_monitor(name);
        walk(directory, &is_pods, &mut |path, id| {
            map.prepare(&members(path));
            // First the cgroup itself: what is made below it from now on, the kernel selects.
            map.select(id);
            // One that was removed before it was in the map, the kernel could not take out.
            if path.metadata().map(|metadata| metadata.ino()).ok() != Some(id) {
                map.deselect(id);
            }
            members(path).into_iter().for_each(|pid| map.found(pid));
        });
    }

    fn take_out(&mut self, directory: &Path) {
        if self.kept.iter().any(|kept| directory.starts_with(kept)) {
            return;
        }
        // Twice: a cgroup that was being made during the first round may have inherited its parent's selection.
        for _ in 0..2 {
            walk(directory, &|_| true, &mut |_, id| self.map.deselect(id));
        }
    }
}

/// A directory and those below it whose names are wanted, each before what is in it.
fn walk(directory: &Path, wanted: &impl Fn(&str) -> bool, visit: &mut impl FnMut(&Path, u64)) {
    let mut open = vec![directory.to_owned()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.metadata() else { continue };
        visit(&path, metadata.ino());
        seen += 1;
        if seen == MAX_CGROUPS {
            return;
        }
        open.extend(cgroups::directories(&path).filter(|(name, _)| wanted(name)).map(|(_, path)| path));
    }
}

/// The processes in a cgroup now.
fn members(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect()
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
