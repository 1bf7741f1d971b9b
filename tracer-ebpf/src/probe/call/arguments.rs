//! What the arguments of a call that moves bytes say: of which descriptor, in which direction, and where the bytes lie.

use tracer_ebpf::Direction;

use crate::probe::filter::Caller;
use crate::probe::verifier::Words;

/// Where the bytes of a call lie in the application's memory.
#[derive(Clone, Copy)]
pub enum Place {
    /// One buffer: its address.
    Buffer,
    /// An array of segments (`struct iovec[]`): its address and length.
    Vector,
    /// An array of messages (`struct mmsghdr[]`): its address and how many were moved.
    Messages,
    /// Nowhere: the bytes stayed in the kernel, or were thrown away.
    None,
}

/// A call that may have moved bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Moved {
    pub caller: Caller,
    pub task: u64,
    pub address: u64,
    pub count: u64,
    pub ret: i64,
    pub fd: u32,
    pub direction: Direction,
    pub padding: [u8; 3],
}

// SAFETY: 16 bytes of the caller, and five words.
unsafe impl Words for Moved {}
const _: () = assert!(size_of::<Moved>() == 56);
