//! The pods of this node, for whoever names their processes: written by the watch, read by the pipeline's thread.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::pod::Pod;

/// All pods by the uid of their cgroup.
#[derive(Debug, Default)]
pub struct PodTable {
    pods: RwLock<Pods>,
    /// Bumped by each change, so that readers may keep what they found.
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct Pods {
    by_uid: FxHashMap<String, Arc<Pod>>,
    by_address: FxHashMap<IpAddr, Arc<Pod>>,
}

impl PodTable {
    /// Notes a pod.
    pub fn insert(&self, pod: &Arc<Pod>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let old = pods.by_uid.insert(pod.cgroup_uid.clone(), Arc::clone(pod));
        if let Some(old) = old {
            pods.forget_addresses(&old);
        }
        // A pod that has ended has given its addresses back.
        for address in pod.addresses.iter().filter(|_| !pod.finished) {
            pods.by_address.insert(*address, Arc::clone(pod));
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Forgets a pod.
    pub fn remove(&self, cgroup_uid: &str) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = pods.by_uid.remove(cgroup_uid) {
            pods.forget_addresses(&old);
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
        self.pods.read().unwrap_or_else(PoisonError::into_inner).by_uid.get(cgroup_uid).cloned()
    }

    /// The pod that has this address now.
    #[must_use]
    pub fn by_address(&self, address: IpAddr) -> Option<Arc<Pod>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).by_address.get(&address).cloned()
    }

    /// Number of pods.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).by_uid.len()
    }

    /// Whether no pod is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pods {
    /// An address may have passed to another pod already.
    fn forget_addresses(&mut self, pod: &Arc<Pod>) {
        for address in &pod.addresses {
            if self.by_address.get(address).is_some_and(|holder| holder.uid == pod.uid) {
                self.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, address: &str) -> Arc<Pod> {
        let addresses = vec![address.parse().unwrap()];
        Arc::new(Pod { uid: uid.to_owned(), cgroup_uid: uid.to_owned(), addresses, ..Pod::default() })
    }

    #[test]
    fn an_address_passes_from_pod_to_pod() {
        let table = PodTable::default();
        let address = "10.0.0.1".parse().unwrap();
        table.insert(&pod("a", "10.0.0.1"));
        table.insert(&pod("b", "10.0.0.1"));
        table.remove("a");
        assert_eq!(table.by_address(address).unwrap().uid, "b");
        table.insert(&pod("b", "10.0.0.2"));
        assert!(table.by_address(address).is_none());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn each_change_is_told() {
        let table = PodTable::default();
        let mut last = table.generation();
        let changes: [&dyn Fn(); 2] = [&|| table.insert(&pod("a", "10.0.0.1")), &|| table.remove("a")];
        for change in changes {
            change();
            assert_ne!(table.generation(), last);
            last = table.generation();
        }
        table.remove("a");
        assert_eq!(table.generation(), last);
    }
}
