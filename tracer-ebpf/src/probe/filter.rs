//! Selection: is the current process a target? Everything else waits for this answer.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid};

use super::maps::{CGROUPS, PROCESSES};

/// The caller, when it is a target.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Caller {
    /// Process id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// cgroup v2 id.
    pub cgroup: u64,
}

/// The current thread, target or not.
#[inline(always)]
pub fn current() -> Caller {
    // SAFETY: no arguments; always allowed in tracing programs.
    let (ids, cgroup) = unsafe { (bpf_get_current_pid_tgid(), bpf_get_current_cgroup_id()) };
    Caller { tgid: (ids >> 32) as u32, tid: ids as u32, cgroup }
}

/// The current thread if its cgroup or its process is selected. Never the tracer itself.
#[inline(always)]
pub fn target() -> Option<Caller> {
    let caller = current();
    if caller.tgid != config!(own_tgid)
        && (CGROUPS.get_ptr(&caller.cgroup).is_some() || PROCESSES.get_ptr(&caller.tgid).is_some())
    {
        Some(caller)
    } else {
        None
    }
}
