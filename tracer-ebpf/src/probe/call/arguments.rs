//! What the arguments of a call that moves bytes say: of which descriptor, in which direction, and where the bytes lie.

use tracer_ebpf::{Direction, LossReason};

use crate::probe::arch;
use crate::probe::filter::Caller;
use crate::probe::kernel::read_user;
use crate::probe::maps::count_loss;
use crate::probe::segments;
use crate::probe::verifier::Words;

const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;

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
    /// Nowhere: they went from one file to another, whose descriptor stands where others have a count.
    Spliced,
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
    padding: [u8; 3],
}

// SAFETY: 16 bytes of the caller, and five words.
unsafe impl Words for Moved {}
const _: () = assert!(size_of::<Moved>() == 56);

impl Moved {
    /// What the arguments of most calls are.
    #[inline(always)]
    pub fn new(regs: *const u64, ret: i64, caller: Caller, task: u64) -> Self {
        let (fd, address, count) =
            (arch::argument::<0>(regs), arch::argument::<1>(regs), arch::argument::<2>(regs));
        let direction = Direction::Ingress;
        Self { caller, task, address, count, ret, fd: fd as u32, direction, padding: [0; 3] }
    }

    /// Sets what differs with call `number`, and says where the bytes lie. `None` when nothing was moved for good, or
    /// nothing can be told of it. (Changed in its place: the stack has no room for a second one.)
    #[inline(always)]
    pub fn sort_out(&mut self, number: u64, regs: *const u64) -> Option<Place> {
        let (direction, place, flags) = match number {
            arch::READ => (Direction::Ingress, Place::Buffer, 0),
            arch::WRITE | arch::SENDTO => (Direction::Egress, Place::Buffer, 0),
            arch::RECVFROM => (Direction::Ingress, Place::Buffer, arch::argument::<3>(regs)),
            arch::READV => (Direction::Ingress, Place::Vector, 0),
            arch::WRITEV => (Direction::Egress, Place::Vector, 0),
            arch::RECVMSG => (Direction::Ingress, Place::Vector, arch::argument::<2>(regs)),
            arch::SENDMSG => (Direction::Egress, Place::Vector, 0),
            arch::RECVMMSG => (Direction::Ingress, Place::Messages, arch::argument::<3>(regs)),
            arch::SENDMMSG => (Direction::Egress, Place::Messages, 0),
            arch::SENDFILE => (Direction::Egress, Place::None, 0),
            arch::SPLICE => (Direction::Ingress, Place::Spliced, 0),
            _ => return None,
        };
        self.direction = direction;
        match number {
            arch::RECVMSG | arch::SENDMSG => [self.address, self.count] = message(self.address)?,
            arch::RECVMMSG | arch::SENDMMSG => {
                self.count = if self.ret > 0 { self.ret as u64 } else { 0 };
                self.ret = segments::messages_length(self.address, self.ret)?;
            }
            _ => {}
        }
        if flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) != 0 {
            None
        } else if flags & MSG_TRUNC != 0 {
            // On TCP the bytes are thrown away instead of copied (tcp(7)).
            Some(Place::None)
        } else {
            Some(place)
        }
    }
}

/// `struct user_msghdr`: the segments' address and number lie at 16 and 24.
#[inline(always)]
fn message(header: u64) -> Option<[u64; 2]> {
    let segments = read_user(header + 16);
    if segments.is_none() {
        count_loss(LossReason::UnreadablePage);
    }
    segments
}
