//! Which goroutine runs on the thread.

use super::kernel::read_user;

/// `g.m`, behind the bounds of the stack, two guards and two lists (Go's `runtime/runtime2.go`: so since 1.5).
const MACHINE: u64 = 48;

/// The `g` that runs on the thread with this thread pointer; 0 when nothing proves that it is one, or when it is the
/// scheduler's own. Go keeps its address in the thread's storage, at `slot`. What proves it: its machine has a first
/// goroutine that names the same machine.
#[inline(always)]
pub fn running(thread: u64, slot: i64) -> u64 {
    if slot == 0 {
        return 0;
    }
    let g = pointer(thread.wrapping_add(slot as u64));
    if g == 0 {
        return 0;
    }
    let machine = pointer(g + MACHINE);
    if machine == 0 {
        return 0;
    }
    // `m.g0` comes first.
    let first = pointer(machine);
    if first == 0 || first == g || pointer(first + MACHINE) != machine {
        return 0;
    }
    g
}

#[inline(always)]
fn pointer(address: u64) -> u64 {
    read_user(address).unwrap_or(0)
}
