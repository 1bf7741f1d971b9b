//! The agent on a node of a cluster: pods selected by label, followed live, named rightly.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's own support fails by panicking, like the test"
)]

mod api;
mod churn;
mod containers;
mod endpoints;
mod labels;
mod scene;
mod selection;
