//! Every way in which bytes reach or leave a process, one small program and one tracer for each.
//!
//! The program under test (`tests/apps/hands.py`) makes exactly the system calls that a case names; its peer is the
//! test itself, which is never a target. So each case knows, call by call, what the tracer must tell.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]
#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

mod hands;
mod http;
mod peer;
mod scene;
mod seen;

mod blocked;
mod cgroups;
mod compat;
mod descriptors;
mod forks;
mod half_open;
mod ipv6;
mod logs;
mod messages;
mod older;
mod partial;
mod resets;
mod reused;
mod rights;
mod segments;
mod selection;
mod sendfile;
mod unix;
