//! The resource of a process: what its spans and log records say of where they come from.

use std::path::Path;

use super::Resource;
use super::container::CgroupIdentity;
use super::pod::{self, PodOptions};
use super::process::{Environ, Proc, read_capped};
use super::variables::{AttributesError, resource_attributes};
use crate::kubernetes::Pod;
use crate::span::Attribute;

/// `telemetry.distro.name`.
const DISTRO: &str = "tracer";

/// What a process is called when nothing is known of it (resource semantic conventions, `service.name`).
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// Keys that the tracer alone sets: a target's own values would name another producer.
const OURS: [&str; 3] = ["service.name", "telemetry.distro.name", "telemetry.distro.version"];

/// Most bytes of `/etc/machine-id` and the kernel's host name.
const MAX_HOST_FILE: u64 = 4096;

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// `host.name`.
    pub name: Option<String>,
    /// `host.id`: the machine id.
    pub id: Option<String>,
}

impl Host {
    /// Reads the kernel's host name below `proc` and `machine-id` in `etc`. What cannot be read stays unknown.
    ///
    /// In a pod the kernel's host name is the pod's: give the node's name as `node` there.
    #[must_use]
    pub fn read(proc: &Proc, etc: &Path, node: Option<String>) -> Self {
        let line = |path: &Path| {
            let text = String::from_utf8(read_capped(path, MAX_HOST_FILE).ok()?).ok()?;
            let line = text.trim();
            // systemd writes "uninitialized" during the first boot.
            (!line.is_empty() && line != "uninitialized").then(|| line.to_owned())
        };
        Self {
            name: node.or_else(|| line(&proc.root().join("sys/kernel/hostname"))),
            id: line(&etc.join("machine-id")),
        }
    }
}

/// What resources say beyond what the process itself tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceDefaults {
    /// `--service-name`: for targets that name themselves in no way.
    pub service_name: Option<String>,
    /// The machine.
    pub host: Host,
    /// `--resource-attribute`, `k8s.cluster.name` among them: for every target.
    pub attributes: Vec<(String, String)>,
    /// What is taken from a target's pod.
    pub pods: PodOptions,
}

/// What a process tells of itself, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// `service.name` that it gives itself.
    pub service_name: Option<String>,
    /// Its `OTEL_RESOURCE_ATTRIBUTES`, without those that the tracer alone sets.
    pub attributes: Vec<(String, String)>,
    /// File name of its executable, or the name of its main thread.
    pub program: Option<String>,
    /// Its container and pod.
    pub cgroup: CgroupIdentity,
}

impl ProcessFacts {
    /// What the environment says, and what was wrong with its `OTEL_RESOURCE_ATTRIBUTES` if they had to be left out.
    #[must_use]
    pub fn new(
        environ: Option<&Environ>,
        program: Option<String>,
        cgroup: CgroupIdentity,
    ) -> (Self, Option<AttributesError>) {
        let variable = |name| environ.and_then(|environ| environ.filled(name));
        let read = variable("OTEL_RESOURCE_ATTRIBUTES").map(|value| resource_attributes(&value));
        let (mut attributes, error) = match read {
            None => (Vec::new(), None),
            Some(Ok(attributes)) => (attributes, None),
            Some(Err(error)) => (Vec::new(), Some(error)),
        };
        let named = attributes.iter().find(|(key, value)| key == "service.name" && !value.is_empty());
        let service_name = variable("OTEL_SERVICE_NAME")
            .map(|name| name.trim().to_owned())
            .or_else(|| named.map(|(_, name)| name.clone()));
        attributes.retain(|(key, _)| !OURS.contains(&key.as_str()));
        (Self { service_name, attributes, program, cgroup }, error)
    }
}

/// The resource of a process. `pod` is the one that its cgroup names, if that is known.
///
/// `service.name` is the first of: the target's `OTEL_SERVICE_NAME`, `service.name` in its
/// `OTEL_RESOURCE_ATTRIBUTES`, what its pod gives ([`pod::service_name`]), the configured name, the program's.
/// Of every other attribute, too, what the target says counts most, then what the pod's annotations say, then what is
/// known of it, then what is configured. `process.*` is left out: workers of one service would become different
/// resources. `telemetry.sdk.*` is for SDKs.
#[must_use]
pub fn describe(facts: &ProcessFacts, pod: Option<&Pod>, defaults: &ResourceDefaults) -> Resource {
    let container = pod.and_then(|pod| pod.container(facts.cgroup.container_id.as_deref()));
    let service = facts
        .service_name
        .clone()
        .or_else(|| pod::service_name(pod?, container, &defaults.pods))
        .or_else(|| defaults.service_name.clone())
        .or_else(|| facts.program.clone())
        .unwrap_or_else(|| UNKNOWN_SERVICE.to_owned());
    let text =
        |(key, value): (&String, &String)| Attribute { key: key.clone().into(), value: value.clone().into() };
    let found = [
        ("container.id", &facts.cgroup.container_id),
        ("k8s.pod.uid", &facts.cgroup.pod_uid),
        ("host.name", &defaults.host.name),
        ("host.id", &defaults.host.id),
    ];
    let candidates = [Attribute::new("service.name", service)]
        .into_iter()
        .chain(facts.attributes.iter().map(|(key, value)| text((key, value))))
        .chain(pod.into_iter().flat_map(|pod| pod::attributes(pod, container, &defaults.pods)))
        .chain(found.into_iter().filter_map(|(key, value)| Some(Attribute::new(key, value.clone()?))))
        .chain(defaults.attributes.iter().map(|(key, value)| text((key, value))));
    let mut attributes: Vec<Attribute> = Vec::new();
    for candidate in candidates {
        let ours = !attributes.is_empty() && OURS.contains(&candidate.key.as_ref());
        // The target may know better: a node's public name, say.
        if !ours && attributes.iter().all(|known| known.key != candidate.key) {
            attributes.push(candidate);
        }
    }
    attributes.push(Attribute::new("telemetry.distro.name", DISTRO));
    attributes.push(Attribute::new("telemetry.distro.version", env!("CARGO_PKG_VERSION")));
    Resource { attributes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;
    use crate::span::Value;

    fn read(environ: &str) -> (ProcessFacts, Option<AttributesError>) {
        let environ = Environ::new(environ.replace(' ', "\0").into_bytes());
        ProcessFacts::new(Some(&environ), Some("python3.11".into()), CgroupIdentity::default())
    }

    fn facts(environ: &str) -> ProcessFacts {
        read(environ).0
    }

    fn value(resource: &Resource, key: &str) -> Option<String> {
        let mut values = resource.attributes.iter().filter(|attribute| attribute.key == key);
        let value = values.next().map(|attribute| match &attribute.value {
            Value::Str(text) => text.to_string(),
            other => panic!("{other:?}"),
        });
        assert!(values.next().is_none(), "{key} twice");
        value
    }

    #[test]
    fn service_name_in_order() {
        let named = ResourceDefaults { service_name: Some("given".into()), ..ResourceDefaults::default() };
        let service = |environ: &str, defaults: &ResourceDefaults| {
            value(&describe(&facts(environ), None, defaults), "service.name").unwrap()
        };
        let all = "OTEL_SERVICE_NAME=own OTEL_RESOURCE_ATTRIBUTES=service.name=attr,a=b";
        assert_eq!(service(all, &named), "own");
        assert_eq!(service("OTEL_SERVICE_NAME= OTEL_RESOURCE_ATTRIBUTES=service.name=attr", &named), "attr");
        assert_eq!(service("OTEL_RESOURCE_ATTRIBUTES=service.name=", &named), "given");
        assert_eq!(service("HOME=/", &ResourceDefaults::default()), "python3.11");
        let unknown = describe(&ProcessFacts::default(), None, &ResourceDefaults::default());
        assert_eq!(value(&unknown, "service.name").as_deref(), Some(UNKNOWN_SERVICE));
    }

    #[test]
    fn carries_what_the_target_says_and_what_we_know() {
        let mut facts = facts(
            "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,host.name=public,telemetry.distro.name=x,process.pid=1",
        );
        facts.cgroup.container_id = Some("c0ffee".into());
        let defaults = ResourceDefaults {
            host: Host { name: Some("node-1".into()), id: Some("0123".into()) },
            ..ResourceDefaults::default()
        };
        let resource = describe(&facts, None, &defaults);
        assert_eq!(value(&resource, "service.namespace").as_deref(), Some("shop"));
        assert_eq!(value(&resource, "host.name").as_deref(), Some("public"));
        assert_eq!(value(&resource, "host.id").as_deref(), Some("0123"));
        assert_eq!(value(&resource, "container.id").as_deref(), Some("c0ffee"));
        assert_eq!(value(&resource, "telemetry.distro.name").as_deref(), Some(DISTRO));
        assert_eq!(value(&resource, "telemetry.distro.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(value(&resource, "telemetry.sdk.name"), None);
    }

    #[test]
    fn a_pod_stands_between_the_target_and_the_configuration() {
        let pod = Pod {
            name: "shop-1".into(),
            namespace: "sales".into(),
            uid: "u".into(),
            attributes: [
                ("team".to_owned(), "annotated".to_owned()),
                ("telemetry.distro.name".into(), "x".into()),
            ]
            .into(),
            ..Pod::default()
        };
        let defaults = ResourceDefaults {
            service_name: Some("given".into()),
            attributes: ["team", "cloud.provider", "k8s.cluster.name"]
                .map(|key| (key.into(), "set".into()))
                .into(),
            ..ResourceDefaults::default()
        };
        let mut own = facts("OTEL_RESOURCE_ATTRIBUTES=k8s.cluster.name=own");
        own.cgroup.pod_uid = Some("hash".into());
        let resource = describe(&own, Some(&pod), &defaults);
        let told = |key| value(&resource, key);
        assert_eq!(told("service.name").as_deref(), Some("shop-1"));
        assert_eq!(
            (told("team").as_deref(), told("cloud.provider").as_deref()),
            (Some("annotated"), Some("set"))
        );
        assert_eq!(told("k8s.cluster.name").as_deref(), Some("own"));
        assert_eq!(
            (told("k8s.pod.uid").as_deref(), told("service.namespace").as_deref()),
            (Some("u"), Some("sales"))
        );
        assert_eq!(told("telemetry.distro.name").as_deref(), Some(DISTRO));
    }

    #[test]
    fn bad_attributes_are_left_out_and_told() {
        let (facts, error) = read("OTEL_RESOURCE_ATTRIBUTES=a=1,b");
        let resource = describe(&facts, None, &ResourceDefaults::default());
        assert_eq!(error, Some(AttributesError::NotAPair(2)));
        assert_eq!(value(&resource, "a"), None);
        assert_eq!(value(&resource, "service.name").as_deref(), Some("python3.11"));
    }

    #[test]
    fn host_is_read_as_far_as_it_can_be() {
        let root = Directory::new();
        root.write("proc/sys/kernel/hostname", "vm\n").write("etc/machine-id", "uninitialized\n");
        let proc = Proc::at(root.join("proc"));
        assert_eq!(Host::read(&proc, &root.join("etc"), None), Host { name: Some("vm".into()), id: None });
        root.write("etc/machine-id", "3d12\n");
        let host = Host::read(&proc, &root.join("etc"), Some("node".into()));
        assert_eq!(host, Host { name: Some("node".into()), id: Some("3d12".into()) });
        assert_eq!(Host::read(&Proc::at(root.join("none")), &root.join("none"), None), Host::default());
    }
}
