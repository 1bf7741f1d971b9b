//! The clocks that the pure stages do not read.

use crate::event::Nanos;

/// CLOCK_MONOTONIC now, in nanoseconds: the clock of the kernel's `bpf_ktime_get_ns`.
#[must_use]
pub fn monotonic() -> Nanos {
    read(libc::CLOCK_MONOTONIC)
}

/// What is added to CLOCK_MONOTONIC to get nanoseconds since the epoch. Read anew now and then, because the wall
/// clock is adjusted.
#[must_use]
pub fn wall_offset() -> i64 {
    // Of several readings the one with the shortest time between both clocks is the best.
    let reading = |_| {
        let before = monotonic();
        let wall = read(libc::CLOCK_REALTIME);
        let after = monotonic();
        (after - before, wall as i64 - (before + (after - before) / 2) as i64)
    };
    (0..5).map(reading).min().map_or(0, |(_, offset)| offset)
}

/// How long the machine has slept since boot: CLOCK_BOOTTIME − CLOCK_MONOTONIC.
#[must_use]
pub fn suspended() -> Nanos {
    read(libc::CLOCK_BOOTTIME).saturating_sub(monotonic())
}

fn read(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec; the clocks asked for exist on every supported kernel.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
