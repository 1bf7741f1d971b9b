//! The export stage against a receiver: both protocols, what is retried and what is not, and the books.
#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod delivery;
mod metrics;
mod retry;
mod stage;
mod tls;
