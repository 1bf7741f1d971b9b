//! What is read of a pod object of the API; the rest is not even decoded into memory.
//!
//! Fields: the Kubernetes API reference, `Pod` v1 core. Names are those of the API.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A pod object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodObject {
    /// Standard metadata.
    pub metadata: ObjectMeta,
    /// What is to run.
    pub spec: Spec,
    /// What runs.
    pub status: Status,
}

/// `PodSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The node that it was given to.
    pub node_name: Option<String>,
    /// Ordinary containers.
    pub containers: Vec<ContainerSpec>,
    /// Init containers, sidecars among them.
    pub init_containers: Vec<ContainerSpec>,
    /// Containers that somebody added to look inside.
    pub ephemeral_containers: Vec<ContainerSpec>,
}

/// `Container`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Unique in the pod.
    pub name: String,
    /// As the user wrote it.
    pub image: String,
}

/// `PodStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
    /// Of ordinary containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// Of init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Of ephemeral containers.
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// `ContainerStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// `containerd://<64 hexadecimal digits>`; absent until it was made.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
    /// `…@sha256:<digest>`, or whatever the runtime says.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// How often it was started again.
    pub restart_count: u32,
}

impl kube::Resource for PodObject {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
