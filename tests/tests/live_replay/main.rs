//! What a replay tells is what the live run told: of its recording all, of a packet capture all that packets show.
//!
//! The backend, the tracer with a recording and tcpdump on the loopback interface run at once.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]
#![expect(clippy::expect_used, reason = "a test's own support fails by panicking, like the test")]

mod captured;
mod recorded;
mod replay;
mod tcpdump;
mod traffic;
