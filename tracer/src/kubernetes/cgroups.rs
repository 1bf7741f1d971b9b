//! Where the kubelet has put pods in the cgroup file system, found by their names.
//!
//! Both drivers (`kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice`, `kubepods/burstable/podUID`),
//! under whatever prefix: kind has `kubelet.slice/kubelet-kubepods…`, `--cgroup-root` any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::enrich::container::{container_id, is_monitor, pod_uid};
use crate::enrich::process::{Proc, read_capped};

/// Most directories looked at in one scan: a node has some hundreds, pods' own insides left out.
const MAX_DIRECTORIES: usize = 16_384;

/// Levels between the mount and a pod: kind in a container has seven.
const MAX_DEPTH: usize = 10;

/// Most bytes read of `mountinfo`.
const MAX_MOUNTINFO: u64 = 16 * 1024 * 1024;

/// What one scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Each pod's directory, by the uid in its name.
    pub pods: BTreeMap<String, PathBuf>,
    /// The directories in which pods appear: the kubelet's, one a class of service.
    pub parents: BTreeSet<PathBuf>,
}

/// Looks for pods below `mount`. What vanishes meanwhile is left out.
#[must_use]
pub fn scan(mount: &Path) -> Scan {
    let mut found = Scan::default();
    let mut open = vec![(mount.to_owned(), 0, false)];
    let mut seen = 0;
    while let Some((directory, depth, of_kubelet)) = open.pop() {
        for (name, path) in directories(&directory) {
            seen += 1;
            if seen > MAX_DIRECTORIES {
                return found;
            }
            if let Some(uid) = pod_uid(&name) {
                found.parents.insert(directory.clone());
                found.pods.insert(uid, path);
                continue;
            }
            // With the cgroupfs driver the classes have no name of their own (`kubepods/burstable`), and may be empty.
            let of_kubelet = of_kubelet || name.contains("kubepods");
            if of_kubelet {
                found.parents.insert(path.clone());
            }
            if depth < MAX_DEPTH {
                open.push((path, depth + 1, of_kubelet));
            }
        }
    }
    found
}

/// The directory of a pod's container.
#[must_use]
pub fn container(pod: &Path, id: &str) -> Option<PathBuf> {
    let is_meant = |name: &str| !is_monitor(name) && container_id(name).as_deref() == Some(id);
    directories(pod).find_map(|(name, path)| is_meant(&name).then_some(path))
}

/// The directories in a directory.
pub(super) fn directories(path: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

/// Whether a v1 hierarchy holds the kubelet's directories: then this node's pods cannot be told apart by the kernel.
#[must_use]
pub fn pods_are_in_v1(proc: &Proc) -> bool {
    let mounts = read_capped(&proc.root().join("self/mountinfo"), MAX_MOUNTINFO).unwrap_or_default();
    String::from_utf8_lossy(&mounts)
        .lines()
        .filter(|line| line.contains(" - cgroup "))
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| directories(Path::new(point)).any(|(name, _)| name.contains("kubepods")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;

    const UID: &str = "cd57f2a1-0b1c-4bd6-9f64-7e0a4a7f2f6b";
    const UID_: &str = "cd57f2a1_0b1c_4bd6_9f64_7e0a4a7f2f6b";
    const STATIC: &str = "d63b0f0ee0d84a2e2f2c2e7c0a4f9a11";
    const ID: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";

    fn make(root: &Directory, path: &str) -> PathBuf {
        let path = root.join(path.replace("{uid}", UID).replace("{uid_}", UID_).replace("{static}", STATIC));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn every_driver_and_prefix() {
        for path in [
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice",
            "kubepods.slice/kubepods-pod{uid_}.slice",
            "kubepods/besteffort/pod{uid}",
            "kubepods/pod{uid}",
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{uid_}.slice",
            "docker/0123/kubelet/kubepods/burstable/pod{uid}",
            "own.slice/kubepods.slice/kubepods-pod{uid_}.slice",
        ] {
            let root = Directory::new();
            let pod = make(&root, path);
            make(&root, &format!("{path}/cri-containerd-{ID}.scope/pod{{static}}"));
            let scan = scan(&root);
            assert_eq!(scan.pods, BTreeMap::from([(UID.to_owned(), pod.clone())]), "{path}");
            assert!(scan.parents.contains(pod.parent().unwrap()), "{path}");
        }
    }

    #[test]
    fn classes_without_a_pod_are_parents_too() {
        for class in ["kubepods.slice/kubepods-besteffort.slice", "kubepods/burstable"] {
            let root = Directory::new();
            let class = make(&root, class);
            make(&root, "system.slice/cron.service");
            let scan = scan(&root);
            assert!(scan.pods.is_empty());
            assert_eq!(scan.parents, BTreeSet::from([class.parent().unwrap().to_owned(), class]));
        }
    }

    #[test]
    fn containers_by_their_id() {
        for name in [ID.to_owned(), format!("cri-containerd-{ID}.scope"), format!("crio-{ID}.scope")] {
            let root = Directory::new();
            let wanted = make(&root, &format!("kubepods/pod{{static}}/{name}"));
            make(&root, "kubepods/pod{static}/other");
            make(&root, &format!("kubepods/pod{{static}}/crio-conmon-{ID}.scope"));
            let pod = scan(&root).pods[STATIC].clone();
            assert_eq!(container(&pod, ID), Some(wanted));
            assert_eq!(container(&pod, &ID.replace('4', "5")), None);
        }
    }

    #[test]
    fn v1_is_told_by_the_kubelets_directories() {
        let root = Directory::new();
        let proc = Proc::at(&*root);
        let mount = |kind: &str| {
            root.write("self/mountinfo", format!("1 2 0:3 / {}/h rw - {kind} cgroup rw\n", root.display()));
        };
        mount("cgroup");
        make(&root, "h");
        assert!(!pods_are_in_v1(&proc));
        make(&root, "h/kubepods");
        assert!(pods_are_in_v1(&proc));
        mount("cgroup2");
        assert!(!pods_are_in_v1(&proc));
    }
}
