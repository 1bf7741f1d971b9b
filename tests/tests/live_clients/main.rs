//! Clients that differ: what each of them says that it did is what the tracer must tell, no more and no less.
//!
//! Each client (`tests/clients`, and the servers' own command-line tools) is held until the tracer is attached, then
//! released, and writes an account of what it did. Its spans are known by its `service.name`.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]
#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

mod client;
mod counts;
mod database;
mod run;

mod http;
mod mariadb;
mod redis;
mod redis_errors;
mod sdk;
mod secrets;
mod volume;
