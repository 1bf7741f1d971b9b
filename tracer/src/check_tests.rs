use super::*;
use crate::enrich::fixture::Directory;

const BPF_PERFMON: u64 = 1 << capability::BPF | 1 << capability::PERFMON;
const READERS: u64 = 1 << capability::SYS_PTRACE | 1 << capability::DAC_READ_SEARCH;

/// A node on which everything is right.
fn good() -> (Directory, Node) {
    let root = Directory::new();
    root.write("proc/sys/kernel/osrelease", "6.8.0-1015-azure\n");
    root.write("proc/sys/kernel/perf_event_paranoid", "4\n");
    root.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
    root.write("proc/self/mountinfo", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    root.link("proc/self/ns/pid", INITIAL_PID).link("proc/self/ns/user", INITIAL_USER);
    root.write("sys/kernel/btf/vmlinux", [0x9f, 0xeb, 1, 0]);
    root.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    hold(&root, BPF_PERFMON | READERS);
    let node = Node { proc: Proc::at(root.join("proc")), sys: root.join("sys") };
    (root, node)
}

fn hold(root: &Directory, capabilities: u64) {
    root.write("proc/self/status", format!("Name:\ttracer\nTgid:\t1\nCapEff:\t{capabilities:016x}\n"));
}

fn item(node: &Node, name: &str) -> Item {
    report(node).items.into_iter().find(|item| item.name == name).unwrap()
}

#[test]
fn a_good_node() {
    let (_root, node) = good();
    let report = report(&node);
    assert_eq!(report.state, State::Ok, "{report}");
    assert_eq!((report.exit_code(), report.kernel.as_str()), (0, "6.8.0-1015-azure"));
    assert_eq!(require(&node), Ok(()));
    assert!(report.to_string().ends_with("This node can be traced."));
}

#[test]
fn missing_rights() {
    let (root, node) = good();
    hold(&root, 0);
    let lacking = require(&node).unwrap_err();
    assert_eq!(
        lacking.to_string(),
        "The tracer lacks CAP_BPF and CAP_PERFMON, without which the kernel loads no probe: run it as root, or give \
         it CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    );
    assert_eq!(report(&node).exit_code(), 1);
    hold(&root, READERS | 1 << capability::BPF);
    assert!(item(&node, "capabilities").finding.starts_with("The tracer lacks CAP_PERFMON,"));
    hold(&root, READERS | 1 << capability::SYS_ADMIN);
    assert_eq!(item(&node, "capabilities").state, State::Ok);
    hold(&root, BPF_PERFMON);
    let report = report(&node);
    assert_eq!((report.state, report.exit_code()), (State::Degraded, 0));
    hold(&root, BPF_PERFMON | 1 << capability::SYS_PTRACE | 1 << capability::DAC_OVERRIDE);
    assert_eq!(item(&node, "processes").state, State::Ok);
}

#[test]
fn missing_btf() {
    let (root, node) = good();
    root.write("sys/kernel/btf/vmlinux", "xx");
    assert_eq!(item(&node, "btf").state, State::Missing);
    std::fs::remove_file(root.join("sys/kernel/btf/vmlinux")).unwrap();
    let text = require(&node).unwrap_err().to_string();
    assert!(text.contains("kernel/btf/vmlinux") && text.contains("CONFIG_DEBUG_INFO_BTF"), "{text}");
}

#[test]
fn kernels() {
    let (root, node) = good();
    for (release, state) in [
        ("5.10.0-30-cloud-amd64", State::Degraded),
        ("5.15.0", State::Ok),
        ("6.18", State::Ok),
        ("10.0.1", State::Ok),
        ("5.4.0-150-generic", State::Missing),
        ("4.19", State::Missing),
        ("odd", State::Degraded),
    ] {
        root.write("proc/sys/kernel/osrelease", release);
        assert_eq!(report(&node).state, state, "{release}");
    }
}

#[test]
fn namespaces_lockdown_and_cgroups() {
    let (root, node) = good();
    root.write("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    assert_eq!(item(&node, "lockdown").state, State::Missing);
    std::fs::remove_file(root.join("sys/kernel/security/lockdown")).unwrap();
    assert_eq!(item(&node, "lockdown").state, State::Ok);
    root.write("proc/self/mountinfo", "");
    assert_eq!(item(&node, "cgroup").state, State::Degraded);
    for (link, name) in [("pid", "pid-namespace"), ("user", "capabilities")] {
        let path = format!("proc/self/ns/{link}");
        std::fs::remove_file(root.join(&path)).unwrap();
        root.link(&path, &format!("{link}:[4026532000]"));
        assert_eq!(item(&node, name).state, State::Missing, "{link}");
    }
}

#[test]
fn json_says_the_same() {
    let (root, node) = good();
    hold(&root, 0);
    let report = report(&node);
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["state"], "missing");
    assert_eq!(json["items"].as_array().unwrap().len(), report.items.len());
    assert_eq!(json["items"][2]["name"], "capabilities");
    assert_eq!(json["items"][2]["state"], "missing");
    assert_eq!(json["items"][2]["finding"], report.items[2].finding);
}

#[test]
fn nothing_to_look_at_is_no_panic() {
    let root = Directory::new();
    let node = Node { proc: Proc::at(root.join("proc")), sys: root.join("sys") };
    assert_eq!(report(&node).state, State::Missing);
}

#[test]
fn the_real_node_has_a_kernel() {
    let report = report(&Node::default());
    assert!(version(&report.kernel).is_some(), "{report}");
}
