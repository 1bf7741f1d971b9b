//! Pods as targets: what follows them, and tells the probe.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};

use kube::client::Client;
use tokio::task::JoinHandle;
use tracing::warn;

use super::node::SharedProbe;
use super::run::RunError;
use super::runtimes::Runtimes;
use crate::cli::RunConfig;
use crate::enrich::process::Proc;
use crate::export::Variables;
use crate::kubernetes::error::Access;
use crate::kubernetes::follow::{CgroupMap, Follow};
use crate::kubernetes::run::{Shared, Task};
use crate::kubernetes::{KubernetesError, PodTable};
use crate::probe::targets::{CgroupMount, Selection, TargetError};

/// All that is needed to follow the node's pods.
pub(super) struct Pods {
    access: Access,
    client: Client,
    node: String,
    mount: CgroupMount,
    proc: Proc,
    table: Arc<PodTable>,
    shared: Arc<Shared>,
}

impl Pods {
    /// Finds the way to the cluster; `None` when no pods are to be selected. Nothing is asked of the API server yet.
    ///
    /// # Errors
    /// Without a node's name, a way to the cluster, or cgroup v2.
    pub(super) async fn prepare(
        config: &RunConfig,
        variables: &Variables,
        proc: &Proc,
    ) -> Result<Option<Self>, RunError> {
        if config.selection.pods.is_empty() {
            return Ok(None);
        }
        let node = variables.get("NODE_NAME").filter(|name| !name.trim().is_empty());
        let node = node.ok_or(KubernetesError::NoNodeName)?.trim().to_owned();
        let mount = CgroupMount::find(proc).map_err(TargetError::from)?;
        let access = Access::infer(config.api_timeout).await?;
        let client = access.client()?;
        let (table, shared) = (Arc::default(), Arc::default());
        Ok(Some(Self { access, client, node, mount, proc: proc.clone(), table, shared }))
    }

    /// Where pods are known.
    pub(super) fn table(&self) -> Arc<PodTable> {
        Arc::clone(&self.table)
    }

    /// What others may see.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

/// Follows pods from now on. Processes that are in a pod when it is selected go to `found`.
pub(super) fn start(
    pods: Option<Pods>,
    selection: &Selection,
    probe: &SharedProbe,
    runtimes: Runtimes,
    found: Sender<u32>,
) -> Option<JoinHandle<()>> {
    let Pods { access, client, node, mount, proc, table, shared } = pods?;
    let kept = selection.cgroups.iter().filter_map(|path| mount.resolve(path).ok());
    let kept: Vec<PathBuf> = kept.collect();
    let map = ProbeMap { probe: Arc::clone(probe), runtimes, found };
    let follow = Follow::new(selection.pods.clone(), map, kept, table);
    let mount = mount.point().to_owned();
    let task = Task { access, client, node, mount, proc, follow, shared };
    Some(tokio::spawn(task.run()))
}

/// The probe's map of cgroups.
struct ProbeMap {
    probe: SharedProbe,
    runtimes: Runtimes,
    found: Sender<u32>,
}

impl CgroupMap for ProbeMap {
    fn prepare(&mut self, pids: &[u32]) {
        self.runtimes.look_first(pids.iter().copied());
    }

    fn select(&mut self, id: u64) {
        let mut probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = probe.select_cgroup(id) {
            warn!("a pod's cgroup cannot be selected: {error}");
        }
    }

    fn deselect(&mut self, id: u64) {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner).deselect_cgroup(id);
    }

    fn found(&mut self, pid: u32) {
        // The reader is gone only when the agent ends.
        let _ = self.found.send(pid);
    }
}
