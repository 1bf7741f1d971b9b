//! What spares the kernel's verifier work, or shows it what it needs.
//!
//! It follows every path, and gives one up only where it has been with a state that allowed the same or more. Kernels
//! before 6.3 compare all they know of scalars in a program with functions, and never take two states for the same
//! that hold different records of the ring. So what the paths of a call have in common is brought together by
//! [`blur`] before a record is reserved: without it 5.10 gives up after a million instructions.

use core::arch::asm;

/// Always zero. It lies in a map that could be written, so the verifier does not know.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss")]
static ZERO: u64 = 0;

/// Hides a value's history from the compiler, so that it keeps the comparison that the verifier needs.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: a move to itself. (An empty sequence would give two source lines to one instruction, which the kernel
    // refuses in the line information.)
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// At most `CAP`, in a way that the verifier sees.
#[inline(always)]
pub fn clamp<const CAP: u64>(value: u64) -> u64 {
    let value = opaque(value);
    if value > CAP { CAP } else { value }
}

/// The same value, of which the verifier no longer knows anything. `scratch` is a word of a record.
#[inline(always)]
pub fn forget(scratch: *mut u8, value: u64) -> u64 {
    // SAFETY: the callers name a place inside the record that is aligned to 8.
    unsafe {
        scratch.cast::<u64>().write_volatile(value);
        scratch.cast::<u64>().read_volatile()
    }
}

/// What a function that is not inlined returns when it has nothing to say. Without a result the compiler leaves
/// anything in the register of results, and the verifier refuses a function that ends with a pointer to the stack there.
#[inline(always)]
pub fn nothing() -> u64 {
    opaque(0)
}

/// Takes such a result, so that the compiler does not do without it.
#[inline(always)]
pub fn ignore(result: u64) {
    opaque(result);
}

/// A structure of whole words, without padding: every byte of it has a value.
///
/// # Safety
/// That, and an alignment of 8.
pub unsafe trait Words: Copy {}

/// Makes the verifier forget all that it knows of a structure on the stack.
#[inline(always)]
pub fn blur<T: Words>(value: &mut T) {
    let words: *mut u64 = (&raw mut *value).cast();
    for index in 0..size_of::<T>() / 8 {
        // SAFETY: the word lies in the structure, has a value and keeps it; the static is valid.
        unsafe {
            let word = words.add(index);
            word.write_volatile(word.read_volatile() + (&raw const ZERO).read_volatile());
        }
    }
}
