//! Pod objects, as the API server would hold them.

use serde_json::{Value, json};

/// What a test says of a pod.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// The object; `metadata`, `spec` and `status` may be changed at will.
    pub object: Value,
}

impl PodSpec {
    /// A pod of a Deployment on this node, with one container `app` that does not run yet.
    #[must_use]
    pub fn new(node: &str, name: &str, uid: &str) -> Self {
        let object = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {
                "name": format!("{name}-6d4cf56db6-x2x4z"), "namespace": "sales", "uid": uid,
                "labels": {"app": name, "pod-template-hash": "6d4cf56db6"},
                "annotations": {},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-6d4cf56db6"),
                    "uid": "00000000-0000-4000-8000-000000000000", "controller": true, "blockOwnerDeletion": true,
                }],
                // As heavy as real ones: the agent must not keep it.
                "managedFields": (0..8).map(|number| json!({
                    "manager": format!("manager-{number}"), "operation": "Update", "apiVersion": "v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}},
                })).collect::<Vec<_>>(),
            },
            "spec": {
                "nodeName": node,
                "containers": [{"name": "app", "image": "registry.example/shop:2.1", "resources": {}}],
                "serviceAccountName": "default", "tolerations": [{"operator": "Exists"}],
            },
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        });
        Self { object }
    }

    /// Sets a label; `None` takes it away.
    ///
    /// # Panics
    /// When the object was made into something else.
    #[must_use]
    pub fn label(mut self, key: &str, value: Option<&str>) -> Self {
        let labels = self.object["metadata"]["labels"].as_object_mut().expect("labels");
        match value {
            Some(value) => labels.insert(key.to_owned(), json!(value)),
            None => labels.remove(key),
        };
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.object["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Adds a container.
    ///
    /// # Panics
    /// When the object was made into something else.
    #[must_use]
    pub fn container(mut self, name: &str) -> Self {
        let containers = self.object["spec"]["containers"].as_array_mut().expect("containers");
        containers.push(json!({"name": name, "image": "registry.example/proxy:1"}));
        self
    }

    /// Adds a container to another list: `initContainers` or `ephemeralContainers`.
    #[must_use]
    pub fn container_of(mut self, list: &str, name: &str) -> Self {
        let added = json!({"name": name, "image": "registry.example/helper:1"});
        match self.object["spec"][list].as_array_mut() {
            Some(containers) => containers.push(added),
            None => self.object["spec"][list] = json!([added]),
        }
        self
    }

    /// The kubelet has reported a container: `list` is one of the status's (`initContainerStatuses`), `id` has its
    /// scheme (`cri-o://…`). What was said of that list before is forgotten.
    #[must_use]
    pub fn status_of(mut self, list: &str, name: &str, id: &str, restarts: u32) -> Self {
        self.object["status"][list] = json!([{
            "name": name, "containerID": id, "restartCount": restarts, "image": "registry.example/helper:1",
            "imageID": "registry.example/helper@sha256:bb",
        }]);
        self
    }

    /// The kubelet has reported these containers: their names and ids.
    #[must_use]
    pub fn running(mut self, containers: &[(&str, &str)]) -> Self {
        let statuses = containers.iter().map(|(name, id)| {
            json!({
                "name": name, "containerID": format!("containerd://{id}"), "restartCount": 0, "ready": true,
                "image": "registry.example/shop:2.1", "imageID": "registry.example/shop@sha256:aa", "started": true,
            })
        });
        self.object["status"]["containerStatuses"] = statuses.collect();
        self.object["status"]["phase"] = json!("Running");
        self
    }
}
