//! A cluster of one node for tests: an API server that speaks the real protocol, and pods that are real processes in
//! cgroups and namespaces of their own.
#![expect(clippy::expect_used, reason = "a cluster that cannot run is a failed test")]

mod api_server;
mod kubelet;
mod objects;
mod store;

pub use api_server::{ApiServer, Stall};
pub use kubelet::{Kubelet, PodSandbox, Running, cgroup_mount};
pub use objects::PodSpec;
