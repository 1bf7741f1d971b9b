//! Capturing calls whose bytes lie in several segments (readv, writev, sendmsg, recvmsg).

use tracer_ebpf::event::flag;
use tracer_ebpf::limits::{MAX_SEGMENTS, MAX_SEGMENTS_HEAD, MAX_TAIL};
use tracer_ebpf::{DataEvent, LossReason};

use super::emit::{clamp, copy, finish, opaque, reserve_bytes, ring_loss};
use super::kernel::read_user;
use super::maps::count_loss;

const SMALL: u64 = 1024;
const MEDIUM: u64 = 4096;
const LARGE: u64 = MAX_SEGMENTS_HEAD as u64;

/// What of a call is wanted: bytes of it in all, from its start, and from its end.
struct Wanted {
    length: u64,
    head: u64,
    tail: u64,
}

/// Emits the event with what it moved from or to `count` segments described at `vector` (`struct iovec[]`).
#[inline(always)]
pub fn vector(event: &mut DataEvent, vector: u64, count: u64, head: u32, tail: u32) {
    let length = event.length as u64;
    let head = if head as u64 > LARGE { LARGE } else { head as u64 };
    let wanted = if length <= head {
        Wanted { length, head: length, tail: 0 }
    } else {
        Wanted { length, head, tail: clamp::<{ MAX_TAIL as u64 }>(tail as u64) }
    };
    if wanted.head <= SMALL {
        gather::<SMALL>(event, vector, count, &wanted);
    } else if wanted.head <= MEDIUM {
        gather::<MEDIUM>(event, vector, count, &wanted);
    } else {
        gather::<LARGE>(event, vector, count, &wanted);
    }
}

/// Copies the wanted parts of the segments. Offsets stay below `CAP` by a mask and lengths below it by a
/// comparison, so a record has room for twice as much, and the tail has a place of its own.
#[inline(always)]
fn gather<const CAP: u64>(event: &mut DataEvent, vector: u64, count: u64, wanted: &Wanted) {
    let size = size_of::<DataEvent>() as u64 + 2 * CAP + 2 * MAX_TAIL as u64;
    let Some(record) = reserve_bytes(size, ring_loss(event)) else {
        return;
    };
    // SAFETY: the record is longer than the event.
    let payload = unsafe { record.add(size_of::<DataEvent>()) };
    let mut at = 0;
    let mut readable = true;
    for index in 0..MAX_SEGMENTS as u64 {
        if index >= count || at >= wanted.length {
            break;
        }
        let Some([base, size]) = read_user::<[u64; 2]>(vector + index * 16) else {
            readable = false;
            break;
        };
        let left = wanted.length - at;
        let size = if size < left { size } else { left };
        if !(copy_head::<CAP>(payload, at, base, size, wanted) && copy_tail::<CAP>(payload, at, base, size, wanted)) {
            readable = false;
            break;
        }
        at = forget(record, at + size);
    }
    complete::<CAP>(event, record, at, readable, wanted);
}

/// The part of a segment that lies in the first `head` bytes of the call.
#[inline(always)]
fn copy_head<const CAP: u64>(payload: *mut u8, at: u64, base: u64, size: u64, wanted: &Wanted) -> bool {
    if at >= wanted.head || size == 0 {
        return true;
    }
    let room = wanted.head - at;
    let length = clamp::<CAP>(if size < room { size } else { room });
    copy(payload, opaque(at) & (CAP - 1), length, base)
}

/// The part of a segment that lies in the last `tail` bytes of the call.
#[inline(always)]
fn copy_tail<const CAP: u64>(payload: *mut u8, at: u64, base: u64, size: u64, wanted: &Wanted) -> bool {
    let start = wanted.length - wanted.tail;
    let end = at + size;
    if wanted.tail == 0 || end <= start {
        return true;
    }
    let from = if at > start { at } else { start };
    let length = clamp::<{ MAX_TAIL as u64 }>(end - from);
    let offset = opaque(from - start) & (MAX_TAIL as u64 - 1);
    copy(payload, 2 * CAP + offset, length, base + (from - at))
}

/// The same value, of which the verifier no longer knows anything: so that it sees one state per round of the
/// loop and not one per path through it. The record's first word is overwritten in the end.
#[inline(always)]
fn forget(record: *mut u8, value: u64) -> u64 {
    // SAFETY: the record is longer than a word and aligned to 8.
    unsafe {
        record.cast::<u64>().write_volatile(value);
        record.cast::<u64>().read_volatile()
    }
}

#[inline(always)]
fn complete<const CAP: u64>(event: &mut DataEvent, record: *mut u8, at: u64, readable: bool, wanted: &Wanted) {
    if at >= wanted.length {
        finish(event, record, true, wanted.head as u32, wanted.tail as u32, 2 * CAP as u32);
        return;
    }
    // The end was not reached: what was copied from the start is good all the same.
    let head = if at < wanted.head { at } else { wanted.head };
    event.header.flags |= flag::CUT;
    count_loss(if readable { LossReason::IovecCap } else { LossReason::UnreadablePage });
    finish(event, record, true, head as u32, 0, 0);
}
