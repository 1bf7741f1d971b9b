//! Container and pod of a process, read off its cgroup's path.
//!
//! The kubelet and the container runtimes name cgroups after what runs in them. With the systemd driver a
//! container is a scope (`cri-containerd-ID.scope`), with the cgroupfs driver a plain directory (`ID`); a pod is
//! a slice (`kubepods-burstable-podUID.slice`, dashes of the uid written as underscores) or `podUID`.

use super::process::CgroupLine;

/// Length of a container id, in hexadecimal digits: all runtimes use a SHA-256's length.
const CONTAINER_ID: usize = 64;

/// What a cgroup's path says of its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupIdentity {
    /// The innermost container's id: 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// The pod's uid, with dashes; the 32 digits of a static pod's stay as they are.
    pub pod_uid: Option<String>,
}

impl CgroupIdentity {
    /// The identity that one cgroup path tells; empty outside containers.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let mut identity = Self::default();
        for segment in path.split('/').rev() {
            // containerd with the cgroupfs driver and a systemd-style parent: `….slice:cri-containerd:ID`.
            for part in segment.rsplit(':') {
                if is_monitor(part) {
                    return Self::default();
                }
                identity.container_id = identity.container_id.take().or_else(|| container_id(part));
                identity.pod_uid = identity.pod_uid.take().or_else(|| pod_uid(part));
            }
        }
        identity
    }

    /// The identity that `/proc/PID/cgroup` tells: the v2 line's, else the first v1 line's that has one.
    #[must_use]
    pub fn of_lines(lines: &[CgroupLine]) -> Self {
        let (unified, legacy): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.hierarchy == 0);
        unified
            .into_iter()
            .chain(legacy)
            .map(|line| Self::of_path(&line.path))
            .find(|identity| *identity != Self::default())
            .unwrap_or_default()
    }
}

/// conmon watches a container from outside, in a scope that carries the container's id. (The probe knows CRI-O's too, whose
/// scopes lie in the pod's slice.)
pub(crate) fn is_monitor(segment: &str) -> bool {
    segment.starts_with("crio-conmon-") || segment.starts_with("libpod-conmon-")
}

/// The container's id in the name of its cgroup: 64 hexadecimal digits.
pub(crate) fn container_id(segment: &str) -> Option<String> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    let id = name.rsplit('-').next()?;
    (id.len() == CONTAINER_ID && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| id.to_ascii_lowercase())
}

/// The pod's uid in the name of its cgroup.
pub(crate) fn pod_uid(segment: &str) -> Option<String> {
    let name = segment.strip_suffix(".slice").unwrap_or(segment);
    // The last "pod" is the right one ("kubepods-pod…"): a uid's digits cannot spell it.
    let (before, uid) = name.rsplit_once("pod")?;
    if !(before.is_empty() || before.ends_with('-')) {
        return None;
    }
    let uid = uid.replace('_', "-");
    let dashes = uid.bytes().filter(|byte| *byte == b'-').count();
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    (digits == 32 && (dashes == 4 || dashes == 0) && digits + dashes == uid.len()).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::process::parse_cgroup;

    const ID: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";
    const OTHER: &str = "c0ffee70b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f788737800";
    const UID: &str = "cd57f2a1-0b1c-4bd6-9f64-7e0a4a7f2f6b";
    const UID_: &str = "cd57f2a1_0b1c_4bd6_9f64_7e0a4a7f2f6b";
    const STATIC: &str = "d63b0f0ee0d84a2e2f2c2e7c0a4f9a11";

    fn expand(path: &str) -> String {
        path.replace("{id}", ID)
            .replace("{other}", OTHER)
            .replace("{uid_}", UID_)
            .replace("{uid}", UID)
            .replace("{static}", STATIC)
    }

    #[test]
    fn names_of_every_driver_and_runtime() {
        let both = (Some(ID), Some(UID));
        let table = [
            // systemd driver
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
                both,
            ),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/crio-{id}.scope",
                both,
            ),
            ("/kubepods.slice/kubepods-pod{uid_}.slice/cri-containerd-{id}.scope", both),
            ("/kubepods.slice/kubepods-pod{uid_}.slice/docker-{id}.scope", both),
            ("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{id}.scope/container", both),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{static}.slice/cri-containerd-{id}.scope",
                (Some(ID), Some(STATIC)),
            ),
            ("/kubepods.slice/kubepods-pod{uid_}.slice", (None, Some(UID))),
            // kind
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
                both,
            ),
            (
                "/docker/{other}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/cri-containerd-{id}.scope",
                both,
            ),
            ("/docker/{other}/kubelet/kubepods/burstable/pod{uid}/{id}", both),
            // cgroupfs driver
            ("/kubepods/burstable/pod{uid}/{id}", both),
            ("/kubepods/besteffort/pod{uid}/{id}", both),
            ("/kubepods/pod{uid}/{id}", both),
            ("/kubepods/pod{static}/{id}", (Some(ID), Some(STATIC))),
            ("/kubepods/burstable/pod{uid}", (None, Some(UID))),
            // seen from another cgroup namespace
            ("/../../pod{uid}/{id}", both),
            ("/../../kubepods-pod{uid_}.slice/cri-containerd-{id}.scope", both),
            ("/../cri-containerd-{id}.scope", (Some(ID), None)),
            // containerd: cgroupfs driver below a systemd-style parent
            ("/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}", both),
            // outside Kubernetes
            ("/docker/{id}", (Some(ID), None)),
            ("/system.slice/docker-{id}.scope", (Some(ID), None)),
            ("/machine.slice/libpod-{id}.scope/container", (Some(ID), None)),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope", (Some(ID), None)),
            // a cgroup that the container made in itself
            ("/kubepods/burstable/pod{uid}/{id}/init.scope", both),
            // not a container
            ("/kubepods.slice/kubepods-pod{uid_}.slice/crio-conmon-{id}.scope", (None, None)),
            ("/machine.slice/libpod-conmon-{id}.scope", (None, None)),
            ("/", (None, None)),
            ("", (None, None)),
            ("/system.slice/sshd.service", (None, None)),
            ("/user.slice/user-1000.slice/session-3.scope", (None, None)),
            ("/docker/40c03570b6f4", (None, None)),
            ("/tripod-cd57/podium", (None, None)),
            ("/kubepods/pod{uid}x", (None, None)),
            ("/kubepods/xpod{uid}", (None, None)),
        ];
        for (path, (container, pod)) in table {
            let identity = CgroupIdentity::of_path(&expand(path));
            assert_eq!(identity.container_id.as_deref(), container, "container of {path}");
            assert_eq!(identity.pod_uid.as_deref(), pod, "pod of {path}");
        }
    }

    #[test]
    fn v2_is_preferred_and_v1_is_enough() {
        let hybrid = expand("11:memory:/kubepods/burstable/pod{uid}/{id}\n1:name=systemd:/x\n0::/\n");
        assert_eq!(
            CgroupIdentity::of_lines(&parse_cgroup(hybrid.as_bytes())).container_id.as_deref(),
            Some(ID)
        );
        let both = expand("5:cpu:/docker/{other}\n0::/docker/{id}\n");
        assert_eq!(
            CgroupIdentity::of_lines(&parse_cgroup(both.as_bytes())).container_id.as_deref(),
            Some(ID)
        );
        assert_eq!(CgroupIdentity::of_lines(&[]), CgroupIdentity::default());
    }
}
