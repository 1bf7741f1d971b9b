//! From attach to detach: what the tracer leaves behind, where it delivers, and that nobody else notices.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's own support fails by panicking, like the test"
)]

mod collectors;
mod outage;
mod own_metrics;
mod removal;
mod rotel;
mod traffic;
