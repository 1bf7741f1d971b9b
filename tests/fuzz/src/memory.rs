//! How much memory a target's code holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what each thread holds, on top of the system's allocator.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    /// Bytes that this thread has allocated and not freed; negative when it freed what others had allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's, with the caller's own arguments; the count changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        subtract(layout.size());
        add(new);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new) }
    }
}

fn add(bytes: usize) {
    HELD.with(|held| held.set(held.get().wrapping_add_unsigned(bytes)));
}

fn subtract(bytes: usize) {
    HELD.with(|held| held.set(held.get().wrapping_sub_unsigned(bytes)));
}

/// Bytes that this thread holds more than when the meter was made. Always 0 where [`Counting`] is not the allocator.
#[derive(Debug)]
pub struct Meter(isize);

impl Default for Meter {
    fn default() -> Self {
        Self(HELD.get())
    }
}

impl Meter {
    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        usize::try_from(HELD.get() - self.0).unwrap_or(0)
    }

    /// Asserts that no more than `cap` bytes are held.
    ///
    /// # Panics
    /// If there are more.
    pub fn check(&self, cap: usize) {
        let held = self.held();
        assert!(held <= cap, "{held} bytes are held, of at most {cap}");
        if PEAK.fetch_max(held, Ordering::Relaxed) < held && held > 1 << 20 {
            let told = TOLD.load(Ordering::Relaxed);
            if held > told + told / 4 {
                TOLD.store(held, Ordering::Relaxed);
                eprintln!("fuzz: {held} bytes held at most so far");
            }
        }
    }
}

static PEAK: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// Most bytes that any [`Meter`] of this process has been checked with.
#[must_use]
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}
