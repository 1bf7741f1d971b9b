//! Named caps of the probe. Each bounds either the verifier's work or the kernel's memory.

/// Segments of one readv/writev/sendmsg/recvmsg that are looked at; the rest is a gap.
pub const MAX_SEGMENTS: usize = 32;

/// Messages of one sendmmsg/recvmmsg that are looked at.
pub const MAX_MESSAGES: usize = 8;

/// Payload capacities of the ring's size classes.
pub const SIZE_CLASSES: [usize; 5] = [256, 1024, 4096, 16 * 1024, 64 * 1024];

/// Most bytes captured of one call: the largest size class.
pub const MAX_CAPTURE: u32 = 64 * 1024;

/// Most bytes captured of one call with several segments. Such an event reserves twice that, because the
/// verifier follows the offset and the length separately.
pub const MAX_CAPTURE_SEGMENTS: u32 = 16 * 1024;

/// Bytes captured from the start of a call when nobody asked for more.
pub const DEFAULT_HEAD: u32 = 8 * 1024;

/// Bytes captured from the end of a call that is longer than the head's window.
pub const DEFAULT_TAIL: u32 = 512;

/// Connections that the probe remembers (least recently used are forgotten, and announced anew when they move).
pub const MAX_CONNECTIONS: u32 = 65_536;

/// Threads whose wait counters are kept.
pub const MAX_THREADS: u32 = 65_536;

/// Selected cgroups, containers and nested ones included.
pub const MAX_CGROUPS: u32 = 16_384;

/// Selected processes.
pub const MAX_PROCESSES: u32 = 16_384;

/// Inodes known as logs, or known not to be.
pub const MAX_LOG_INODES: u32 = 16_384;
