//! The pods of this node, for whoever names their processes: written by the watch, read by the pipeline's thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::pod::Pod;

/// All pods by the uid of their cgroup.
#[derive(Debug, Default)]
pub struct PodTable {
    pods: RwLock<FxHashMap<String, Arc<Pod>>>,
    /// Bumped by each change, so that readers may keep what they found.
    generation: AtomicU64,
}

impl PodTable {
    /// Notes a pod.
    pub fn insert(&self, pod: &Arc<Pod>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        pods.insert(pod.cgroup_uid.clone(), Arc::clone(pod));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Forgets a pod.
    pub fn remove(&self, cgroup_uid: &str) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        if pods.remove(cgroup_uid).is_some() {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes whenever a pod does.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The pod whose cgroup has this uid.
    #[must_use]
    pub fn get(&self, cgroup_uid: &str) -> Option<Arc<Pod>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(cgroup_uid).cloned()
    }

    /// Number of pods.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no pod is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> Arc<Pod> {
        Arc::new(Pod { uid: uid.to_owned(), cgroup_uid: uid.to_owned(), ..Pod::default() })
    }

    #[test]
    fn each_change_is_told() {
        let table = PodTable::default();
        let mut last = table.generation();
        let changes: [&dyn Fn(); 2] = [&|| table.insert(&pod("a")), &|| table.remove("a")];
        for change in changes {
            change();
            assert_ne!(table.generation(), last);
            last = table.generation();
        }
        table.remove("a");
        assert_eq!((table.generation(), table.len()), (last, 0));
    }
}
