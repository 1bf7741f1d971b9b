//! Log lines: all of them, once, under their requests; and the application's output is its own.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

mod bytes;
mod complete;
mod requests;
mod writer;
