//! Waits: calls after which a thread may serve another request than before.

use super::filter::Caller;
use super::maps::WAITS;

/// Counters of one thread.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Waits {
    /// Returns from any wait.
    pub any: u32,
    /// Returns from waits on possibly more than one descriptor.
    pub multiplexed: u32,
}

/// The thread came back from a wait; `single` when it was a poll or a select of at most one
/// descriptor.
#[inline(always)]
pub fn on_return(caller: &Caller, single: bool) {
    let more = if single { 0 } else { 1 };
    if let Some(waits) = WAITS.get_ptr_mut(&caller.tid) {
        // SAFETY: the pointer is to a map value; only this thread changes it.
        unsafe {
            (*waits).any += 1;
            (*waits).multiplexed += more;
        }
    } else {
        let _ = WAITS.insert(&caller.tid, &Waits { any: 1, multiplexed: more }, 0);
    }
}

/// The thread's counters; zero when it never waited.
#[inline(always)]
pub fn of(tid: u32) -> Waits {
    match WAITS.get_ptr(&tid) {
        // SAFETY: the pointer is to a map value.
        Some(waits) => unsafe { *waits },
        None => Waits { any: 0, multiplexed: 0 },
    }
}
