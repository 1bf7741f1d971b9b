//! Pods: which of this node's are selected, where their cgroups are, and what they are called.
//!
//! ```text
//!  API server ─watch▶ Pod ─┬─▶ rules ─▶ follow ─▶ the probe's map of cgroups
//!  cgroup file system ─cgroups▶ directories ─┘
//!                          └─▶ table ─▶ enrich: the resource of each container
//! ```
//!
//! Rules are evaluated here and not by the API server: several can be OR-ed, and a label that no longer matches is
//! an ordinary change rather than a deletion. A pod is selected at its own cgroup, which exists before the kubelet
//! reports any container; the probe hands the selection on to each cgroup that is made below it.

pub mod cgroups;
pub mod error;
pub mod follow;
pub mod object;
pub mod pod;
pub mod rules;
pub mod run;
pub mod selector;
pub mod table;
pub mod watch;

pub use error::KubernetesError;
pub use pod::Pod;
pub use rules::{PodRule, PodRules};
pub use table::PodTable;
