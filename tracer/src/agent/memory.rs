//! The bound on the memory of all connections together.
//!
//! Each connection has a bound of its own ([`MAX_CONVERSATION`](crate::protocol::MAX_CONVERSATION)), and so has their
//! number, but their product is more than any node gives an agent: some thousand clients that each send the largest
//! half of a request and then wait would be enough. So the heap is measured, and when it is too large the connections
//! that rested longest are forgotten.

use tracing::warn;

use crate::event::Nanos;

/// Bytes in use on the heap, above which connections are forgotten. With the program, its maps and what the allocator
/// keeps in reserve this stays below the memory limit of the manifests in `deploy/`.
pub const MAX_HEAP: u64 = 192 << 20;

/// Bytes down to which connections are forgotten.
const ENOUGH: u64 = MAX_HEAP / 4 * 3;

/// How often the heap is measured: that takes some microseconds.
const PERIOD: Nanos = 250_000_000;

/// At least so long between two warnings.
const WARNING_PERIOD: Nanos = 60_000_000_000;

/// Measures the heap, and says when it is too large.
#[derive(Debug)]
pub struct HeapWatch {
    in_use: fn() -> u64,
    due: Nanos,
    warned: Option<Nanos>,
}

impl Default for HeapWatch {
    fn default() -> Self {
        Self { in_use, due: 0, warned: None }
    }
}

impl HeapWatch {
    /// Looks, if it is time to. While too much is in use, `forget` is called to forget a share of the connections; it
    /// tells how many those were, 0 when there are no more.
    pub fn look(&mut self, now: Nanos, mut forget: impl FnMut() -> usize) {
        if now < self.due {
            return;
        }
        self.due = now + PERIOD;
        if (self.in_use)() <= MAX_HEAP {
            return;
        }
        let mut forgotten = 0;
        loop {
            let now_forgotten = forget();
            forgotten += now_forgotten;
            if now_forgotten == 0 || (self.in_use)() <= ENOUGH {
                break;
            }
        }
        give_back();
        if forgotten > 0 && self.warned.is_none_or(|warned| now >= warned + WARNING_PERIOD) {
            self.warned = Some(now);
            warn!(
                "more than {} MiB of memory were in use: the {forgotten} connections that rested longest are \
                 forgotten, and what they carried until now becomes no span; clients that send many large beginnings \
                 of requests cause this",
                MAX_HEAP >> 20
            );
        }
    }
}

/// Bytes that were allocated and not freed, by mallinfo2(3); 0 where the C library cannot tell.
fn in_use() -> u64 {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no arguments; it takes the allocator's own locks.
        let info = unsafe { libc::mallinfo2() };
        (info.uordblks + info.hblkhd) as u64
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

/// Gives freed memory back to the system (malloc_trim(3)).
fn give_back() {
    // SAFETY: no pointers; it takes the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hint::black_box;

    use super::*;

    thread_local! {
        static IN_USE: Cell<u64> = const { Cell::new(0) };
    }

    fn watch() -> HeapWatch {
        HeapWatch { in_use: || IN_USE.get(), ..HeapWatch::default() }
    }

    #[test]
    fn connections_are_forgotten_until_enough_is_free() {
        IN_USE.set(MAX_HEAP);
        let mut watch = watch();
        watch.look(PERIOD, || panic!("it is not too much"));
        IN_USE.set(MAX_HEAP + 1);
        watch.look(PERIOD, || panic!("it is not time to look"));
        let mut calls = 0;
        watch.look(2 * PERIOD, || {
            calls += 1;
            IN_USE.set(IN_USE.get() - (10 << 20));
            7
        });
        assert_eq!(calls, 5, "48 MiB and a byte in steps of 10");
        assert_eq!(watch.warned, Some(2 * PERIOD));
    }

    #[test]
    fn it_ends_when_there_is_nothing_to_forget() {
        IN_USE.set(u64::MAX);
        let mut left = 3;
        watch().look(PERIOD, || {
            left -= 1;
            left
        });
        assert_eq!(left, 0);
    }

    #[test]
    fn what_is_allocated_is_in_use() {
        let before = in_use();
        let held = black_box(vec![1_u8; 64 << 20]);
        assert!(in_use() >= before + (32 << 20), "other tests free something meanwhile, but not so much");
        drop(held);
    }
}
