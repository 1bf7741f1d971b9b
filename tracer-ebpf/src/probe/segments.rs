//! Capturing calls whose bytes lie in several segments (readv, writev, sendmsg, recvmsg, and their kin with several messages).

use tracer_ebpf::limits::{
    LARGE_HEAD, MAX_COUNTED_MESSAGES, MAX_MANY_HEAD, MAX_MANY_SEGMENTS, MAX_MESSAGES, MAX_SEGMENTS,
    MAX_SEGMENTS_HEAD, MAX_TAIL,
};
use tracer_ebpf::{DataEvent, LossReason};

use super::emit::{Captured, begin, copy, finish, has_room, payload};
use super::kernel::read_user;
use super::maps::count_loss;
use super::verifier::{clamp, opaque};

const LARGE: u64 = MAX_SEGMENTS_HEAD as u64;
const MANY: u64 = MAX_MANY_HEAD as u64;
const TAIL: u64 = MAX_TAIL as u64;

/// What of a call is wanted, and how far the copy is. It is kept in the record itself, behind the payload, and read
/// anew in each round of the loop: the verifier knows nothing of values that lie there, so that it sees one state a
/// round and not one for every path that led to it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Progress {
    /// Address and number of the segments.
    vector: u64,
    count: u64,
    /// Where the bytes end that the event tells of. (Where they begin is in the record: see [`skipped`].)
    length: u64,
    /// Where those wanted from their start end, and how many are wanted from their end.
    head: u64,
    tail: u64,
    /// Bytes that the segments before the next one hold.
    at: u64,
}

/// Most bytes that can be captured from the start of a call with `count` segments: what is longer takes twice its size
/// of the ring.
#[inline(always)]
pub fn most(count: u64) -> u32 {
    if count <= MAX_SEGMENTS as u64 && has_room() { MAX_SEGMENTS_HEAD } else { MAX_MANY_HEAD }
}

impl Progress {
    #[inline(always)]
    fn new(event: &DataEvent, vector: u64, count: u64, head: u32, tail: u32) -> Self {
        let skip = event.tail_offset as u64;
        let (length, head) = (skip + event.length as u64, skip + head as u64);
        Self { vector, count, length, head, tail: tail as u64, at: 0 }
    }
}

/// How many bytes of the call other events tell of, which are before the record's: it lies where the tail's place will
/// be, because the stack has no room for it.
///
/// # Safety
/// The record was reserved, and is not finished.
#[inline(always)]
unsafe fn skipped(record: *const DataEvent) -> u64 {
    // SAFETY: as the caller says.
    unsafe { (&raw const (*record).tail_offset).read_volatile() as u64 }
}

/// How many bytes from the start, at most `most`, and from the end of a call that moved `length` are captured, of those
/// wanted: never more than there are.
#[inline(always)]
pub fn ends(most: u32, length: u32, head: u32, tail: u32) -> (u32, u32) {
    let limit = if head > most { most } else { head };
    if length <= limit {
        return (length, 0);
    }
    // The two ends must not overlap.
    let rest = length - limit;
    (limit, if tail < rest { tail } else { rest })
}

/// Emits the event with what it moved from or to `count` segments described at `vector` (`struct iovec[]`), behind as
/// many bytes as its `tail_offset` says. `head` and `tail` are from [`ends`].
#[inline(always)]
pub fn vector(event: &DataEvent, vector: u64, count: u64, head: u32, tail: u32) {
    let start = Progress::new(event, vector, count, head, tail);
    if count > MAX_SEGMENTS as u64 {
        // Without a tail: the verifier follows each round by half as many paths.
        return gather::<MANY, 0, ManySegments>(event, start);
    }
    if tail != 0 {
        return if head <= LARGE_HEAD {
            gather::<{ LARGE_HEAD as u64 }, TAIL, Segment>(event, start)
        } else {
            gather::<LARGE, TAIL, Segment>(event, start)
        };
    }
    match head {
        h if h <= 512 => gather::<512, 0, Segment>(event, start),
        h if h <= 1024 => gather::<1024, 0, Segment>(event, start),
        h if h <= 2048 => gather::<2048, 0, Segment>(event, start),
        h if h <= 4096 => gather::<4096, 0, Segment>(event, start),
        h if h <= 8192 => gather::<8192, 0, Segment>(event, start),
        h if h <= MAX_MANY_HEAD => gather::<MANY, 0, Segment>(event, start),
        _ => gather::<LARGE, 0, Segment>(event, start),
    }
}

/// The same for an event of [`tracer_ebpf::limits::HUGE_HEAD`] bytes, which are all wanted.
#[inline(always)]
pub fn part(event: &DataEvent, vector: u64, count: u64) {
    gather::<LARGE, 0, Segment>(event, Progress::new(event, vector, count, event.length, 0));
}

/// Emits the event with what it moved in `count` messages described at `vector` (`struct mmsghdr[]`).
#[inline(always)]
pub fn messages(event: &DataEvent, vector: u64, count: u64, head: u32) {
    gather::<MANY, 0, Message>(event, Progress::new(event, vector, count, head, 0));
}

/// Bytes that `count` messages moved in all; `count` itself where it is an error. `None` when there are too many to add
/// up: where they lie in their stream is then not known either.
#[inline(always)]
pub fn messages_length(vector: u64, count: i64) -> Option<i64> {
    if count <= 0 {
        return Some(count);
    }
    if count > MAX_COUNTED_MESSAGES as i64 {
        count_loss(LossReason::IovecCap);
        return None;
    }
    let mut sum = 0;
    for index in 0..MAX_COUNTED_MESSAGES as u64 {
        if index >= count as u64 {
            break;
        }
        sum += read_user::<u32>(vector + index * MESSAGE_SIZE + MESSAGE_LENGTH).unwrap_or(0) as i64;
    }
    Some(sum)
}

/// How a piece of a call's bytes is described.
trait Piece {
    /// Most pieces of a call that are looked at.
    const MOST: usize;

    /// Address and size of piece `index`.
    fn locate(vector: u64, index: u64) -> Option<[u64; 2]>;
}

/// `struct iovec`: address and size.
struct Segment;

impl Piece for Segment {
    const MOST: usize = MAX_SEGMENTS;

    #[inline(always)]
    fn locate(vector: u64, index: u64) -> Option<[u64; 2]> {
        read_user(vector + index * 16)
    }
}

/// The same, for calls with many.
struct ManySegments;

impl Piece for ManySegments {
    const MOST: usize = MAX_MANY_SEGMENTS;

    #[inline(always)]
    fn locate(vector: u64, index: u64) -> Option<[u64; 2]> {
        Segment::locate(vector, index)
    }
}

/// `struct mmsghdr`: a `user_msghdr` (its segments' address at 16), and the bytes moved at 56. Only a message of one
/// segment is captured.
struct Message;

const MESSAGE_SIZE: u64 = 64;
const MESSAGE_LENGTH: u64 = 56;

impl Piece for Message {
    const MOST: usize = MAX_MESSAGES;

    #[inline(always)]
    fn locate(vector: u64, index: u64) -> Option<[u64; 2]> {
        let header = vector + index * MESSAGE_SIZE;
        let [base, size] = read_user::<[u64; 2]>(read_user::<u64>(header + 16)?)?;
        let length = read_user::<u32>(header + MESSAGE_LENGTH)? as u64;
        if length <= size { Some([base, length]) } else { None }
    }
}

/// Copies the wanted parts of the segments. Offsets stay below `CAP` by a mask and lengths below it by a
/// comparison, so a record has room for twice as much, and the tail has a place of its own.
#[inline(always)]
fn gather<const CAP: u64, const TAIL: u64, P: Piece>(event: &DataEvent, start: Progress) {
    let Some(record) = begin(event, 2 * CAP + 2 * TAIL + size_of::<Progress>() as u64) else {
        return;
    };
    let payload = payload(record);
    // SAFETY: the payload has room for the progress behind this, aligned to 8.
    let kept: *mut Progress = unsafe { payload.add((2 * CAP + 2 * TAIL) as usize) }.cast();
    // SAFETY: as above.
    unsafe { keep(kept, &Progress { tail: if TAIL == 0 { 0 } else { start.tail }, ..start }) };
    for index in 0..P::MOST as u64 {
        // SAFETY: as above.
        let now = unsafe { kept_now(kept) };
        if index >= now.count || now.at >= now.length {
            break;
        }
        let Some(size) = piece::<CAP, TAIL, P>(record, &now, index) else {
            break;
        };
        // SAFETY: as above.
        unsafe { (&raw mut (*kept).at).write_volatile(now.at + size) };
    }
    // SAFETY: as above.
    let end = unsafe { kept_now(kept) };
    complete::<CAP>(record, &end, P::MOST as u64);
}

/// Notes the progress, word by word and volatile: a copy of the whole would need a place on the stack, of which there is
/// little, and values in registers are known to the verifier.
///
/// # Safety
/// The place is inside a record.
#[inline(always)]
unsafe fn keep(place: *mut Progress, progress: &Progress) {
    // SAFETY: as the caller says.
    unsafe {
        (&raw mut (*place).vector).write_volatile(progress.vector);
        (&raw mut (*place).count).write_volatile(progress.count);
        (&raw mut (*place).length).write_volatile(progress.length);
        (&raw mut (*place).head).write_volatile(progress.head);
        (&raw mut (*place).tail).write_volatile(progress.tail);
        (&raw mut (*place).at).write_volatile(progress.at);
    }
}

/// What [`keep`] noted.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn kept_now(place: *const Progress) -> Progress {
    // SAFETY: as the caller says.
    unsafe {
        Progress {
            vector: (&raw const (*place).vector).read_volatile(),
            count: (&raw const (*place).count).read_volatile(),
            length: (&raw const (*place).length).read_volatile(),
            head: (&raw const (*place).head).read_volatile(),
            tail: (&raw const (*place).tail).read_volatile(),
            at: (&raw const (*place).at).read_volatile(),
        }
    }
}

/// Copies one piece and tells its size. `None` when memory could not be read.
#[inline(always)]
fn piece<const CAP: u64, const TAIL: u64, P: Piece>(
    record: *mut DataEvent,
    now: &Progress,
    index: u64,
) -> Option<u64> {
    let [base, size] = P::locate(now.vector, index)?;
    let left = now.length - now.at;
    let size = if size < left { size } else { left };
    if copy_head::<CAP>(record, now, base, size) && copy_tail::<CAP, TAIL>(payload(record), now, base, size) {
        Some(size)
    } else {
        None
    }
}

/// The part of a segment that lies in the first bytes of those that the event tells of.
#[inline(always)]
fn copy_head<const CAP: u64>(record: *mut DataEvent, now: &Progress, base: u64, size: u64) -> bool {
    // SAFETY: it is being filled.
    let skip = unsafe { skipped(record) };
    let from = if now.at > skip { now.at } else { skip };
    let end = now.at + size;
    if from >= now.head || end <= from {
        return true;
    }
    let until = if end < now.head { end } else { now.head };
    let length = clamp::<CAP>(until - from);
    copy(payload(record), opaque(from - skip) & (CAP - 1), length, base + (from - now.at))
}

/// The part of a segment that lies in the last `tail` bytes of the call.
#[inline(always)]
fn copy_tail<const CAP: u64, const TAIL: u64>(
    payload: *mut u8,
    now: &Progress,
    base: u64,
    size: u64,
) -> bool {
    let start = now.length - now.tail;
    let end = now.at + size;
    if TAIL == 0 || now.tail == 0 || end <= start {
        return true;
    }
    let from = if now.at > start { now.at } else { start };
    let length = clamp::<TAIL>(end - from);
    copy(payload, 2 * CAP + (opaque(from - start) & TAIL.wrapping_sub(1)), length, base + (from - now.at))
}

#[inline(always)]
fn complete<const CAP: u64>(record: *mut DataEvent, end: &Progress, most: u64) {
    // SAFETY: it is being filled.
    let skip = unsafe { skipped(record) };
    if end.at >= end.length {
        let (head, tail) = ((end.head - skip) as u32, end.tail as u32);
        return finish(record, Captured { head, tail, tail_offset: 2 * CAP as u32, cut: false });
    }
    // The end was not reached: what was copied from the start is good all the same.
    let until = if end.at < end.head { end.at } else { end.head };
    let head = if until > skip { until - skip } else { 0 };
    count_loss(if end.count > most { LossReason::IovecCap } else { LossReason::UnreadablePage });
    finish(record, Captured { head: head as u32, tail: 0, tail_offset: 0, cut: true });
}
