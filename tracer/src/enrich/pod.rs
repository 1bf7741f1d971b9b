//! What a pod gives to the resource of its containers' processes.
//!
//! Names and their order: OpenTelemetry semantic conventions, "Specify resource attributes using Kubernetes
//! annotations" and the `k8s` and `container` registries.

use crate::kubernetes::Pod;
use crate::kubernetes::pod::Container;
use crate::span::{Attribute, Value};

/// What may be taken from a pod beyond what every pod gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodOptions {
    /// `app.kubernetes.io/*` labels may name the service and its version.
    pub service_labels: bool,
    /// Labels that become `k8s.pod.label.<key>`.
    pub labels: Vec<String>,
}

/// `service.name` of a container in a pod.
#[must_use]
pub fn service_name(pod: &Pod, container: Option<&Container>, options: &PodOptions) -> Option<String> {
    let annotated = pod.attributes.get("service.name").map(String::as_str);
    let label = |key| options.service_labels.then(|| pod.labels.get(key)).flatten().map(String::as_str);
    let owner = || pod.workload.names().next().map(|(_, name)| name);
    [annotated, label("app.kubernetes.io/instance"), label("app.kubernetes.io/name")]
        .into_iter()
        .flatten()
        .chain(owner())
        .chain([pod.name.as_str()])
        .chain(container.map(|container| container.name.as_str()))
        .find(|name| !name.is_empty())
        .map(str::to_owned)
}

/// The attributes that a pod gives, without `service.name`; those that are said first count.
#[must_use]
pub fn attributes(pod: &Pod, container: Option<&Container>, options: &PodOptions) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = pod
        .attributes
        .iter()
        .filter(|(key, _)| *key != "service.name")
        .map(|(key, value)| Attribute { key: key.clone().into(), value: value.clone().into() })
        .collect();
    let mut text = |key: &'static str, value: Option<String>| {
        attributes.extend(value.filter(|value| !value.is_empty()).map(|value| Attribute::new(key, value)));
    };
    text("service.namespace", Some(pod.namespace.clone()));
    text("service.version", version(pod, container, options));
    text("service.instance.id", container.map(|of| format!("{}.{}.{}", pod.namespace, pod.name, of.name)));
    text("k8s.namespace.name", Some(pod.namespace.clone()));
    text("k8s.pod.name", Some(pod.name.clone()));
    text("k8s.pod.uid", Some(pod.uid.clone()));
    text("k8s.node.name", pod.node.clone());
    for (key, name) in pod.workload.names() {
        text(key, Some(name.to_owned()));
    }
    text("k8s.container.name", container.map(|container| container.name.clone()));
    if let Some(container) = container {
        let (name, tag) = split_image(&container.image);
        text("container.image.name", Some(name.to_owned()));
        attributes.extend(tag.map(|tag| Attribute::new("container.image.tags", vec![tag.to_owned()])));
        // Before the kubelet has reported the container it is not known.
        if container.id.is_some() {
            attributes.push(Attribute::new("k8s.container.restart_count", i64::from(container.restarts)));
        }
    }
    for key in &options.labels {
        if let Some(value) = pod.labels.get(key) {
            let key = format!("k8s.pod.label.{key}").into();
            attributes.push(Attribute { key, value: Value::from(value.clone()) });
        }
    }
    attributes
}

fn version(pod: &Pod, container: Option<&Container>, options: &PodOptions) -> Option<String> {
    let label = pod.labels.get("app.kubernetes.io/version").filter(|_| options.service_labels);
    label.cloned().or_else(|| {
        let container = container?;
        match (split_image(&container.image).1, image_digest(container)) {
            (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            (tag, digest) => digest.or(tag).map(str::to_owned),
        }
    })
}

/// The digest that runs, else the one that was asked for.
fn image_digest(container: &Container) -> Option<&str> {
    container.digest.as_deref().or_else(|| Some(container.image.split_once('@')?.1))
}

/// Name and tag of `registry:5000/name:tag@digest`.
fn split_image(image: &str) -> (&str, Option<&str>) {
    let image = image.split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        // The colon of a port stands before a slash.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::pod::tests::{UID, pod};

    fn shop() -> Pod {
        pod(json!({
            "metadata": {
                "name": "shop-6d4cf56db6-x2x", "namespace": "sales", "uid": UID,
                "labels": {
                    "pod-template-hash": "6d4cf56db6", "app.kubernetes.io/name": "till", "tier": "web",
                    "app.kubernetes.io/version": "9",
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-6d4cf56db6", "uid": "2",
                    "controller": true,
                }],
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "r.example:5000/shop:2.1"}]},
            "status": {"containerStatuses": [{
                "name": "app", "containerID": "containerd://c0ffee", "imageID": "r.example:5000/shop@sha256:aa",
                "restartCount": 2,
            }]},
        }))
    }

    fn told(pod: &Pod, options: &PodOptions) -> Vec<(String, String)> {
        let value = |value: &Value| match value {
            Value::Str(text) => text.to_string(),
            Value::Strs(texts) => texts.join("+"),
            Value::Int(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Double(number) => number.to_string(),
        };
        attributes(pod, pod.container(Some("c0ffee")), options)
            .iter()
            .map(|attribute| (attribute.key.to_string(), value(&attribute.value)))
            .collect()
    }

    #[test]
    fn everything_that_a_pod_gives() {
        let expected = [
            ("service.namespace", "sales"),
            ("service.version", "2.1@sha256:aa"),
            ("service.instance.id", "sales.shop-6d4cf56db6-x2x.app"),
            ("k8s.namespace.name", "sales"),
            ("k8s.pod.name", "shop-6d4cf56db6-x2x"),
            ("k8s.pod.uid", UID),
            ("k8s.node.name", "node-1"),
            ("k8s.deployment.name", "shop"),
            ("k8s.replicaset.name", "shop-6d4cf56db6"),
            ("k8s.container.name", "app"),
            ("container.image.name", "r.example:5000/shop"),
            ("container.image.tags", "2.1"),
            ("k8s.container.restart_count", "2"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(told(&shop(), &PodOptions::default()), expected);
    }

    #[test]
    fn labels_only_when_asked_for() {
        let options = PodOptions { service_labels: true, labels: vec!["tier".to_owned(), "none".to_owned()] };
        let told = told(&shop(), &options);
        assert!(told.contains(&("k8s.pod.label.tier".to_owned(), "web".to_owned())));
        assert!(told.contains(&("service.version".to_owned(), "9".to_owned())));
        assert_eq!(service_name(&shop(), None, &options).as_deref(), Some("till"));
    }

    #[test]
    fn the_name_comes_from_the_outermost_owner() {
        let none = PodOptions::default();
        let mut pod = shop();
        assert_eq!(service_name(&pod, None, &none).as_deref(), Some("shop"));
        pod.workload.deployment = None;
        assert_eq!(service_name(&pod, None, &none).as_deref(), Some("shop-6d4cf56db6"));
        pod.workload.replicaset = None;
        assert_eq!(service_name(&pod, None, &none).as_deref(), Some("shop-6d4cf56db6-x2x"));
        pod.attributes.insert("service.name".to_owned(), "said".to_owned());
        assert_eq!(service_name(&pod, None, &none).as_deref(), Some("said"));
    }

    #[test]
    fn images() {
        for (image, name, tag) in [
            ("nginx", "nginx", None),
            ("nginx:1.27", "nginx", Some("1.27")),
            ("r:5000/a/nginx", "r:5000/a/nginx", None),
            ("r:5000/nginx:1@sha256:aa", "r:5000/nginx", Some("1")),
            ("nginx@sha256:aa", "nginx", None),
        ] {
            assert_eq!(split_image(image), (name, tag), "{image}");
        }
        let pinned = Container { image: "nginx@sha256:aa".to_owned(), ..Container::default() };
        assert_eq!(
            version(&Pod::default(), Some(&pinned), &PodOptions::default()).as_deref(),
            Some("sha256:aa")
        );
    }
}
