//! A thread's own storage (`pthread_setspecific`): where it names the thread's state.
//!
//! glibc keeps a thread's values in its control block, musl in an array that the control block names.

use super::Unread;
use super::cpython::word;
use super::memory::Memory;

/// Bytes of a thread's control block in which the slot is looked for: glibc's `struct pthread` is no longer.
const CONTROL_BLOCK: usize = 2304;

/// Words at its begin that are no storage of anybody's: the thread control block proper.
const FIRST_SLOT: usize = 0x40;

/// `struct pthread` of musl: `prev`, `next`, the words before its own part, and not less than its size.
const PREVIOUS: u64 = 16;
const NEXT: u64 = 24;
const HEAD: usize = 0x30;
const MUSL_BLOCK: usize = 256;

/// Bytes of musl's array of a thread's values: `PTHREAD_KEYS_MAX` pointers.
const ARRAY: usize = 128 * WORD;

const WORD: usize = 8;

/// Where a thread's own storage has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// From the thread pointer: to the value, or to the address of the array that has it.
    pub(super) at: i64,
    /// Where it lies in the array.
    pub(super) key: Option<u32>,
}

/// The slots of a thread that name its state.
pub(super) fn naming(memory: &Memory, thread: u64, state: u64) -> Result<Vec<Slot>, Unread> {
    // It begins with its own address: `tcbhead_t.tcb` of glibc, `struct pthread.self` of musl.
    if word(memory, thread)? != thread {
        return Err(Unread::NotProved("a thread state is of no thread"));
    }
    if is_musl(memory, thread) {
        return in_array(memory, thread, state);
    }
    let block: [u8; CONTROL_BLOCK] = block(memory, thread)?;
    let at = positions(&block, state).filter(|at| *at >= FIRST_SLOT);
    Ok(at.filter_map(|at| Some(Slot { at: i64::try_from(at).ok()?, key: None })).collect())
}

/// Whether the control block is musl's: it is linked with those of the other threads, or with itself.
fn is_musl(memory: &Memory, thread: u64) -> bool {
    // In glibc numbers lie there: whether there are more threads, and a lock.
    let next = memory.word(thread + NEXT).unwrap_or_default();
    next != 0
        && memory.word(next).is_ok_and(|own| own == next)
        && memory.word(next + PREVIOUS).is_ok_and(|previous| previous == thread)
}

/// The array's address (`tsd`) lies before the list of the thread's robust mutexes, which is empty: its head names itself.
fn in_array(memory: &Memory, thread: u64, state: u64) -> Result<Vec<Slot>, Unread> {
    let block: [u8; MUSL_BLOCK] = block(memory, thread)?;
    let words = block.as_chunks::<WORD>().0.iter().map(|word| u64::from_ne_bytes(*word));
    let heads =
        words.zip(0_u64..).filter(|(word, index)| *word == thread + 8 * index).map(|(_, index)| index);
    let Some(at) = heads.map(|index| 8 * (index.max(1) - 1)).find(|at| *at >= HEAD as u64) else {
        return Err(Unread::NotProved("a thread of musl's has no list of mutexes"));
    };
    let array = word(memory, thread + at)?;
    let array: [u8; ARRAY] = memory.bytes(array).map_err(|_| Unread::NotProved("a thread's storage"))?;
    let slot = |key| Some(Slot { at: i64::try_from(at).ok()?, key: Some(u32::try_from(key).ok()?) });
    Ok(positions(&array, state).filter_map(slot).collect())
}

fn block<const N: usize>(memory: &Memory, thread: u64) -> Result<[u8; N], Unread> {
    memory.bytes(thread).map_err(|_| Unread::NotProved("a thread's memory"))
}

/// Where the words are that have a value.
fn positions(block: &[u8], value: u64) -> impl Iterator<Item = usize> {
    let words = block.as_chunks::<WORD>().0.iter().enumerate();
    words.filter(move |(_, word)| u64::from_ne_bytes(**word) == value).map(|(index, _)| index * WORD)
}
