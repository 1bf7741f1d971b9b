//! The runtime's default seccomp profile for a container with given capabilities.

use std::fs;

use serde_json::{Value, json};

/// ENOSYS and EPERM (errno(3)).
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// The flags of clone(2) that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NAMESPACES: u64 = 0x7e02_0000;

/// AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK.
const FAMILIES: [u64; 4] = [1, 2, 10, 16];

/// `linux.seccomp` of a runtime's configuration.
pub fn profile(capabilities: &[String]) -> Value {
    let mut calls = vec![allow(
        &["clone"],
        json!([{
            "index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ",
        }]),
    )];
    calls.extend(
        FAMILIES
            .map(|family| allow(&["socket"], json!([{ "index": 0, "value": family, "op": "SCMP_CMP_EQ" }]))),
    );
    // glibc then falls back to clone, whose flags a filter can see.
    calls.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }));
    let list =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/seccomp/runtime-default.txt"));
    for line in list.unwrap().lines().filter(|line| !line.starts_with('#')) {
        let Some((subject, names)) = line.split_once(": ") else { continue };
        let granted =
            subject.strip_prefix("CAP_").is_none_or(|name| capabilities.iter().any(|has| has == name));
        if granted {
            calls.push(allow(&names.split(' ').collect::<Vec<_>>(), json!([])));
        }
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": calls,
    })
}

fn allow(names: &[&str], arguments: Value) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": arguments })
}
