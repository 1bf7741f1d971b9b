//! Named caps of the probe. Each bounds either the verifier's work or the kernel's memory.

/// Segments up to which a call reserves no more than its bytes need.
pub const MAX_SEGMENTS: usize = 32;

/// Segments of one readv/writev/sendmsg/recvmsg that are looked at; the rest is a gap. A call with more than
/// [`MAX_SEGMENTS`] reserves the largest record: it is rare, and the verifier follows this many rounds once only.
/// (node-redis makes a segment of each command, and libuv writes up to 1,024 in one call.)
pub const MAX_MANY_SEGMENTS: usize = 256;

/// Messages of one sendmmsg/recvmmsg that are looked at; of each, only the first segment is captured. (Stream
/// sockets hardly ever see these calls.)
pub const MAX_MESSAGES: usize = 8;

/// Messages of one sendmmsg/recvmmsg whose lengths are added up. A call with more is not told at all.
pub const MAX_COUNTED_MESSAGES: usize = 64;

/// Payload capacities of the ring's size classes.
pub const SIZE_CLASSES: [u32; 8] =
    [256, 512, 1024, 2048, 4096, LARGE_HEAD + MAX_TAIL, 2 * (LARGE_HEAD + MAX_TAIL), HUGE_HEAD + MAX_TAIL];

/// Longest head of a call that is captured by its two ends, unless more is asked for.
pub const LARGE_HEAD: u32 = 8 * 1024;

/// Longest head of all: what a conversation can ask for.
pub const HUGE_HEAD: u32 = 63 * 1024;

/// Events of [`HUGE_HEAD`] bytes each that a call on one buffer is told in at most, before the one that tells its end,
/// where all of it is wanted.
pub const MAX_PARTS: u32 = 4;

/// The same for a call with several segments, up to [`MAX_SEGMENTS`]. (Redis writes 64 KiB a call, and a reply more.)
pub const MAX_SEGMENT_PARTS: u32 = 1;

/// Longest tail.
pub const MAX_TAIL: u32 = 1024;

/// Bound on the bytes captured from the start of a call with several segments: a power of two, above any head that is
/// asked for. Such an event reserves about twice its size class, because the verifier follows an offset and a length
/// separately.
pub const MAX_SEGMENTS_HEAD: u32 = 64 * 1024;

/// The same where there are more than [`MAX_SEGMENTS`], or several messages: each such call reserves twice this.
pub const MAX_MANY_HEAD: u32 = 16 * 1024;

/// Bytes captured from the start of a call when nobody asked for more.
pub const DEFAULT_HEAD: u32 = LARGE_HEAD;

/// Bytes captured from the end of a call that is longer than the head's window.
pub const DEFAULT_TAIL: u32 = 512;

/// Bytes captured of one write to a log; the line assembler cuts there too.
pub const MAX_LOG_HEAD: u32 = 16 * 1024;

/// Connections that the probe remembers (least recently used are forgotten, and announced anew when they move).
pub const MAX_CONNECTIONS: u32 = 65_536;

/// Threads whose wait counters are kept.
pub const MAX_THREADS: u32 = 65_536;

/// Selected cgroups, containers and nested ones included.
pub const MAX_CGROUPS: u32 = 16_384;

/// Selected processes.
pub const MAX_PROCESSES: u32 = 16_384;

/// Processes whose runtime is read.
pub const MAX_RUNTIMES: u32 = 16_384;

/// Inodes known as logs, or known not to be.
pub const MAX_LOG_INODES: u32 = 16_384;

/// Windows that conversations asked for, by connection.
pub const MAX_WINDOWS: u32 = 16_384;

/// Ports: selected ones, and those of servers whose connections start with a wider window.
pub const MAX_PORTS: u32 = 1024;
