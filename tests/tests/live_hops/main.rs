//! A browser-like client, nginx, gunicorn and MariaDB on one node: one trace, each span under the one that caused it.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod browser;
mod networks;
mod proxied;
mod steered;
mod tree;
