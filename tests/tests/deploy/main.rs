//! The manifests and the chart: they render, Kubernetes takes them, and wrong values are refused in words.
//!
//! helm, kubectl and the validator come by `cargo xtask setup`.

mod chart;
mod kustomize;
mod tools;
