use serde_json::{Value, json};

use super::*;

pub(crate) const UID: &str = "cd57f2a1-0b1c-4bd6-9f64-7e0a4a7f2f6b";

/// The pod in this JSON, as the API sends it.
pub(crate) fn pod(object: Value) -> Pod {
    Pod::from_object(serde_json::from_value(object).unwrap()).unwrap()
}

fn owned(kind: &str, name: &str, labels: Value) -> Workload {
    let owners = json!([
        {"apiVersion": "v1", "kind": "Node", "name": "other", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "2", "controller": true},
    ]);
    pod(json!({"metadata": {"uid": UID, "labels": labels, "ownerReferences": owners}})).workload
}

#[test]
fn everything_that_matters_is_kept() {
    let pod = pod(json!({
        "metadata": {
            "name": "shop-1", "namespace": "sales", "uid": UID, "labels": {"app": "shop"},
            "annotations": {
                "resource.opentelemetry.io/service.name": "till", "resource.opentelemetry.io/": "x",
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "tracer/trace": "False",
            },
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {
            "nodeName": "node-1",
            "initContainers": [{"name": "init", "image": "busybox"}],
            "containers": [{"name": "app", "image": "shop:2", "env": [{"name": "A"}]}, {"name": "new", "image": "n"}],
            "ephemeralContainers": [{"name": "debug", "image": "b"}],
        },
        "status": {
            "phase": "Running", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}, {"ip": "?"}],
            "containerStatuses": [{
                "name": "app", "containerID": "containerd://C0FFEE", "restartCount": 3,
                "imageID": "docker.io/library/shop@sha256:aa",
            }, {"name": "new", "imageID": "", "restartCount": 0}],
            "initContainerStatuses": [{"name": "init", "containerID": "cri-o://11", "imageID": "sha256:bb"}],
        },
    }));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), ("sales", "shop-1", UID));
    assert_eq!((pod.node.as_deref(), pod.cgroup_uid.as_str()), (Some("node-1"), UID));
    assert_eq!(pod.attributes, BTreeMap::from([("service.name".to_owned(), "till".to_owned())]));
    assert!(pod.opted_out && !pod.finished);
    let told: Vec<_> = pod
        .containers
        .iter()
        .map(|container| {
            (
                container.name.as_str(),
                container.id.as_deref(),
                container.digest.as_deref(),
                container.restarts,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("init", Some("11"), None, 0),
            ("app", Some("c0ffee"), Some("sha256:aa"), 3),
            ("new", None, None, 0),
            ("debug", None, None, 0),
        ]
    );
    assert_eq!(pod.container(Some("c0ffee")).unwrap().name, "app");
    assert_eq!(pod.container(Some("unknown")), None);
}

#[test]
fn an_only_container_is_known_before_its_id_is() {
    let pod = pod(json!({"metadata": {"uid": UID}, "spec": {"containers": [{"name": "app", "image": "x"}]}}));
    assert_eq!(pod.container(Some("c0ffee")).unwrap().name, "app");
}

#[test]
fn owners_become_workloads() {
    let hash = json!({"pod-template-hash": "6d4cf56db6"});
    let deployed = owned("ReplicaSet", "shop-api-6d4cf56db6", hash.clone());
    assert_eq!(deployed.deployment.as_deref(), Some("shop-api"));
    assert_eq!(deployed.replicaset.as_deref(), Some("shop-api-6d4cf56db6"));
    let bare = owned("ReplicaSet", "by-hand", hash);
    assert_eq!((bare.deployment, bare.replicaset.as_deref()), (None, Some("by-hand")));
    assert_eq!(owned("StatefulSet", "db", json!({})).statefulset.as_deref(), Some("db"));
    assert_eq!(owned("DaemonSet", "proxy", json!({})).daemonset.as_deref(), Some("proxy"));
    let scheduled = owned("Job", "backup-29012345", json!({}));
    assert_eq!(
        (scheduled.cronjob.as_deref(), scheduled.job.as_deref()),
        (Some("backup"), Some("backup-29012345"))
    );
    assert_eq!(owned("Job", "migrate-42", json!({})).cronjob, None);
    assert_eq!(owned("Rollout", "x", json!({})), Workload::default());
}

#[test]
fn static_pods_have_two_uids() {
    let hash = "d63b0f0ee0d84a2e2f2c2e7c0a4f9a11";
    let mirror = json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash});
    let of_file = pod(json!({"metadata": {"uid": UID, "annotations": mirror}}));
    assert_eq!((of_file.uid.as_str(), of_file.cgroup_uid.as_str()), (UID, hash));
    // Anybody may set an annotation: by itself it does not point at another pod's cgroup.
    let alone = pod(json!({"metadata": {"uid": UID, "annotations": {"kubernetes.io/config.hash": hash}}}));
    assert_eq!(alone.cgroup_uid, UID);
}
