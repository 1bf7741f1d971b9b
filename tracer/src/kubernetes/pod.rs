//! A pod as far as it matters here: small, since a node's pods are kept for as long as they are.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::object::{ContainerSpec, ContainerStatus, PodObject};

/// Annotations with this prefix become resource attributes of the rest of their name
/// (semantic conventions, "Kubernetes attributes").
pub const ATTRIBUTE_PREFIX: &str = "resource.opentelemetry.io/";

/// Annotation whose value `false` keeps a pod from being traced, whatever the rules say.
pub const OPT_OUT: &str = "tracer/trace";

/// Of a static pod: the uid that the kubelet uses for it, in its cgroup too; the API shows another one.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Set on the API's image of a static pod.
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// Label that the Deployment controller sets: what it appended to the name of the ReplicaSet.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Fewest digits of the time (minutes since the epoch) that the CronJob controller appends to a Job's name.
const CRON_DIGITS: usize = 8;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// The uid that its cgroup is named after: another one for static pods.
    pub cgroup_uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node it runs on.
    pub node: Option<String>,
    /// All of its labels: rules may ask for any.
    pub labels: BTreeMap<String, String>,
    /// Resource attributes that its annotations give, without the prefix.
    pub attributes: BTreeMap<String, String>,
    /// An annotation says that it is not to be traced.
    pub opted_out: bool,
    /// What made it, from the outermost: a Deployment and its ReplicaSet, for example.
    pub workload: Workload,
    /// Its containers: init, ordinary, ephemeral.
    pub containers: Vec<Container>,
    /// It ran to its end: its containers are gone for good.
    pub finished: bool,
}

/// The owners of a pod by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Deployment.
    pub deployment: Option<String>,
    /// ReplicaSet.
    pub replicaset: Option<String>,
    /// StatefulSet.
    pub statefulset: Option<String>,
    /// DaemonSet.
    pub daemonset: Option<String>,
    /// CronJob.
    pub cronjob: Option<String>,
    /// Job.
    pub job: Option<String>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Unique in the pod.
    pub name: String,
    /// As the user wrote it.
    pub image: String,
    /// `sha256:…`, if the runtime tells.
    pub digest: Option<String>,
    /// Its id without the runtime's name, once the kubelet has reported it.
    pub id: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
}

impl Pod {
    /// What the API tells of a pod; `None` for one without a uid, which the API never sends.
    #[must_use]
    pub fn from_object(object: PodObject) -> Option<Self> {
        let PodObject { metadata, spec, status } = object;
        let uid = metadata.uid.filter(|uid| !uid.is_empty())?;
        let annotations = metadata.annotations.unwrap_or_default();
        let labels = metadata.labels.unwrap_or_default();
        let of_file = annotations.get(CONFIG_HASH).filter(|_| annotations.contains_key(CONFIG_MIRROR));
        let containers = [
            (&spec.init_containers, &status.init_container_statuses),
            (&spec.containers, &status.container_statuses),
            (&spec.ephemeral_containers, &status.ephemeral_container_statuses),
        ];
        Some(Self {
            cgroup_uid: of_file.unwrap_or(&uid).to_ascii_lowercase(),
            workload: Workload::of(metadata.owner_references.unwrap_or_default(), &labels),
            opted_out: annotations.get(OPT_OUT).is_some_and(|value| value.eq_ignore_ascii_case("false")),
            attributes: annotations.into_iter().filter_map(attribute).collect(),
            containers: containers.into_iter().flat_map(|(specs, statuses)| join(specs, statuses)).collect(),
            finished: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            node: spec.node_name,
            uid,
            labels,
        })
    }

    /// The container with this id. Before the kubelet has reported it: the only container of a pod that has but one.
    #[must_use]
    pub fn container(&self, id: Option<&str>) -> Option<&Container> {
        let reported =
            id.and_then(|id| self.containers.iter().find(|container| container.id.as_deref() == Some(id)));
        match self.containers.as_slice() {
            [only] => Some(reported.unwrap_or(only)),
            _ => reported,
        }
    }
}

impl Workload {
    fn of(owners: Vec<OwnerReference>, labels: &BTreeMap<String, String>) -> Self {
        let mut workload = Self::default();
        let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) else {
            return workload;
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                workload.deployment = labels.get(TEMPLATE_HASH).and_then(|hash| {
                    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
                    (!name.is_empty()).then(|| name.to_owned())
                });
                workload.replicaset = Some(owner.name);
            }
            "StatefulSet" => workload.statefulset = Some(owner.name),
            "DaemonSet" => workload.daemonset = Some(owner.name),
            "Job" => {
                workload.cronjob = scheduled_by(&owner.name).map(str::to_owned);
                workload.job = Some(owner.name);
            }
            _ => {}
        }
        workload
    }

    /// Each name there is, with the attribute that it is the value of; outermost first.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { deployment, replicaset, statefulset, daemonset, cronjob, job } = self;
        [
            ("k8s.deployment.name", deployment),
            ("k8s.replicaset.name", replicaset),
            ("k8s.statefulset.name", statefulset),
            ("k8s.daemonset.name", daemonset),
            ("k8s.cronjob.name", cronjob),
            ("k8s.job.name", job),
        ]
        .into_iter()
        .filter_map(|(key, name)| Some((key, name.as_deref()?)))
    }
}

/// The CronJob that a Job's name tells: its own owners cannot be asked without more rights.
fn scheduled_by(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = time.len() >= CRON_DIGITS && time.bytes().all(|digit| digit.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

fn attribute((key, value): (String, String)) -> Option<(String, String)> {
    let name = key.strip_prefix(ATTRIBUTE_PREFIX).filter(|name| !name.is_empty())?;
    Some((name.to_owned(), value))
}

fn join(specs: &[ContainerSpec], statuses: &[ContainerStatus]) -> Vec<Container> {
    let of = |spec: &ContainerSpec| {
        let status = statuses.iter().find(|status| status.name == spec.name);
        let id = status.and_then(|status| status.container_id.as_deref());
        Container {
            name: spec.name.clone(),
            image: spec.image.clone(),
            digest: status.and_then(|status| digest(&status.image_id)),
            id: id.map(|id| id.rsplit("//").next().unwrap_or(id).to_ascii_lowercase()),
            restarts: status.map_or(0, |status| status.restart_count),
        }
    };
    specs.iter().map(of).collect()
}

/// The digest in `name@sha256:…`. Without a name before it, it is that of the image's configuration.
fn digest(image: &str) -> Option<String> {
    let (_, digest) = image.rsplit_once('@')?;
    digest.contains(':').then(|| digest.to_owned())
}

#[cfg(test)]
#[path = "pod_tests.rs"]
pub(crate) mod tests;
