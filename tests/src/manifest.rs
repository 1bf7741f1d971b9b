//! What the DaemonSet of `deploy/kustomize/base` asks for.
#![expect(clippy::expect_used, reason = "a file of ours that cannot be read is a failed test")]

use std::fs;

use xtask::workspace;

/// The capabilities that the manifest adds, in its own words: `BPF`, `PERFMON`…
///
/// # Panics
/// When the manifest cannot be read.
#[must_use]
pub fn capabilities() -> Vec<String> {
    let manifest = workspace::root().join("deploy/kustomize/base/daemonset.yaml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    let added = manifest.lines().skip_while(|line| line.trim() != "add:").skip(1);
    let added = added.map_while(|line| line.trim().strip_prefix("- "));
    added.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
