//! The probe's maps. User space fills the selection, the probe fills the rest; each has a named cap.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, RingBuf};

use tracer_ebpf::config::{CaptureWindow, LogInode, ProbeConfig};
use tracer_ebpf::runtime::Runtime;
use tracer_ebpf::{LossReason, limits};

use super::connection::Connection;
use super::wait::Waits;

/// Set by the loader, constant afterwards.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
pub static CONFIG: ProbeConfig = ProbeConfig::ZERO;

/// The events. The loader sets the size.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 * 1024 * 1024, 0);

/// What was lost, by [`LossReason`].
#[map]
pub static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LossReason::COUNT, 0);

/// Selected cgroups, by id.
#[map]
pub static CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(limits::MAX_CGROUPS, 0);

/// Selected processes, by id.
#[map]
pub static PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(limits::MAX_PROCESSES, 0);

/// How the runtimes of processes are read, by process id.
#[map]
pub static RUNTIMES: HashMap<u32, Runtime> = HashMap::with_max_entries(limits::MAX_RUNTIMES, 0);

/// Ports whose listeners become targets.
#[map]
pub static PORTS: HashMap<u16, u32> = HashMap::with_max_entries(limits::MAX_PORTS, 0);

/// Inodes known as logs, or known not to be.
#[map]
pub static LOG_INODES: HashMap<LogInode, u32> = HashMap::with_max_entries(limits::MAX_LOG_INODES, 0);

/// Connections that were seen, by the address of their `struct sock`.
#[map]
pub static CONNECTIONS: LruHashMap<u64, Connection> =
    LruHashMap::with_max_entries(limits::MAX_CONNECTIONS, 0);

/// Windows that conversations asked for, by the address of the `struct sock`.
#[map]
pub static WINDOWS: LruHashMap<u64, CaptureWindow> = LruHashMap::with_max_entries(limits::MAX_WINDOWS, 0);

/// Windows that new connections of a server's port start with.
#[map]
pub static PORT_WINDOWS: LruHashMap<u16, CaptureWindow> = LruHashMap::with_max_entries(limits::MAX_PORTS, 0);

/// Wait counters, by thread id.
#[map]
pub static WAITS: LruHashMap<u32, Waits> = LruHashMap::with_max_entries(limits::MAX_THREADS, 0);

/// Counts a loss where it happens.
#[inline(always)]
pub fn count_loss(reason: LossReason) {
    if let Some(counter) = LOSSES.get_ptr_mut(reason as u32) {
        // SAFETY: the map's value is a valid u64 of this CPU.
        unsafe { *counter += 1 };
    }
}
