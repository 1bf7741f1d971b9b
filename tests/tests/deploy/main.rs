//! The manifests and the chart: they render, Kubernetes takes them, and wrong values are refused in words.
//!
//! helm, kubectl and the validator come by `cargo xtask setup`.

#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

mod chart;
mod dashboard;
mod image;
mod kustomize;
mod tools;
