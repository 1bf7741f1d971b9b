//! What the entries share, in the order in which a call passes it.

/// Reads a field of the configuration. The loader sets it in a read-only, frozen map, so that the verifier sees
/// a constant; the volatile read keeps the compiler from seeing the zero that stands there now.
macro_rules! config {
    ($field:ident) => {
        // SAFETY: the static is a valid, aligned `ProbeConfig`.
        unsafe { core::ptr::read_volatile(&raw const $crate::probe::maps::CONFIG.$field) }
    };
}

mod anyio;
pub mod arch;
mod asyncio;
pub mod call;
pub mod cgroup;
pub mod connection;
pub mod emit;
pub mod filter;
mod goroutine;
mod greenlet;
pub mod kernel;
pub mod maps;
pub mod process;
pub mod runtime;
pub mod segments;
pub mod socket;
pub mod socket_state;
pub mod verifier;
pub mod wait;
