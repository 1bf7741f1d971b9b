//! The resource of a process: what its spans and log records say of where they come from.

use std::path::Path;

use super::Resource;
use super::container::CgroupIdentity;
use super::process::{Environ, Proc, read_capped};
use super::variables::{AttributesError, resource_attributes};
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
}

/// What a process tells of itself, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its environment.
    pub environ: Option<Environ>,
    /// File name of its executable, or the name of its main thread.
    pub program: Option<String>,
    /// Its container and pod.
    pub cgroup: CgroupIdentity,
}

/// The resource of a process, and what was wrong with its `OTEL_RESOURCE_ATTRIBUTES` if they had to be left out.
///
/// `service.name` is the first of: the target's `OTEL_SERVICE_NAME`, `service.name` in its
/// `OTEL_RESOURCE_ATTRIBUTES`, the configured name, the program's. `process.*` is left out: workers of one service
/// would become different resources. `telemetry.sdk.*` is for SDKs.
#[must_use]
pub fn describe(facts: &ProcessFacts, defaults: &ResourceDefaults) -> (Resource, Option<AttributesError>) {
    let variable = |name| facts.environ.as_ref().and_then(|environ| environ.filled(name));
    let (own, error) = match variable("OTEL_RESOURCE_ATTRIBUTES").map(|value| resource_attributes(&value)) {
        None => (Vec::new(), None),
        Some(Ok(attributes)) => (attributes, None),
        Some(Err(error)) => (Vec::new(), Some(error)),
    };
    let named = own.iter().find(|(key, value)| key == "service.name" && !value.is_empty());
    let service = variable("OTEL_SERVICE_NAME")
        .map(|name| name.trim().to_owned())
        .or_else(|| named.map(|(_, name)| name.clone()))
        .or_else(|| defaults.service_name.clone())
        .or_else(|| facts.program.clone())
        .unwrap_or_else(|| UNKNOWN_SERVICE.to_owned());

    let mut attributes = vec![Attribute::new("service.name", service)];
    attributes.extend(
        own.into_iter()
            .filter(|(key, _)| !OURS.contains(&key.as_str()))
            .map(|(key, value)| Attribute { key: key.into(), value: value.into() }),
    );
    let found = [
        ("container.id", &facts.cgroup.container_id),
        ("k8s.pod.uid", &facts.cgroup.pod_uid),
        ("host.name", &defaults.host.name),
        ("host.id", &defaults.host.id),
    ];
    for (key, value) in found {
        // The target may know better: a node's public name, say.
        if let Some(value) = value.as_ref().filter(|_| attributes.iter().all(|known| known.key != key)) {
            attributes.push(Attribute::new(key, value.clone()));
        }
    }
    attributes.push(Attribute::new("telemetry.distro.name", DISTRO));
    attributes.push(Attribute::new("telemetry.distro.version", env!("CARGO_PKG_VERSION")));
    (Resource { attributes }, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;
    use crate::span::Value;

    fn facts(environ: &str) -> ProcessFacts {
        ProcessFacts {
            environ: Some(Environ::new(environ.replace(' ', "\0").into_bytes())),
            program: Some("python3.11".into()),
            cgroup: CgroupIdentity::default(),
        }
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
        let named = ResourceDefaults { service_name: Some("given".into()), host: Host::default() };
        let service = |environ: &str, defaults: &ResourceDefaults| {
            value(&describe(&facts(environ), defaults).0, "service.name").unwrap()
        };
        let all = "OTEL_SERVICE_NAME=own OTEL_RESOURCE_ATTRIBUTES=service.name=attr,a=b";
        assert_eq!(service(all, &named), "own");
        assert_eq!(service("OTEL_SERVICE_NAME= OTEL_RESOURCE_ATTRIBUTES=service.name=attr", &named), "attr");
        assert_eq!(service("OTEL_RESOURCE_ATTRIBUTES=service.name=", &named), "given");
        assert_eq!(service("HOME=/", &ResourceDefaults::default()), "python3.11");
        let (unknown, _) = describe(&ProcessFacts::default(), &ResourceDefaults::default());
        assert_eq!(value(&unknown, "service.name").as_deref(), Some(UNKNOWN_SERVICE));
    }

    #[test]
    fn carries_what_the_target_says_and_what_we_know() {
        let mut facts = facts(
            "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,host.name=public,telemetry.distro.name=x,process.pid=1",
        );
        facts.cgroup.container_id = Some("c0ffee".into());
        let defaults = ResourceDefaults {
            service_name: None,
            host: Host { name: Some("node-1".into()), id: Some("0123".into()) },
        };
        let (resource, error) = describe(&facts, &defaults);
        assert_eq!(error, None);
        assert_eq!(value(&resource, "service.namespace").as_deref(), Some("shop"));
        assert_eq!(value(&resource, "host.name").as_deref(), Some("public"));
        assert_eq!(value(&resource, "host.id").as_deref(), Some("0123"));
        assert_eq!(value(&resource, "container.id").as_deref(), Some("c0ffee"));
        assert_eq!(value(&resource, "telemetry.distro.name").as_deref(), Some(DISTRO));
        assert_eq!(value(&resource, "telemetry.distro.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(value(&resource, "telemetry.sdk.name"), None);
    }

    #[test]
    fn bad_attributes_are_left_out_and_told() {
        let (resource, error) =
            describe(&facts("OTEL_RESOURCE_ATTRIBUTES=a=1,b"), &ResourceDefaults::default());
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
