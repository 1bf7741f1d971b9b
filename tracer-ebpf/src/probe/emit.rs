//! Reserving, filling and submitting records of the ring buffer.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_user, bpf_ringbuf_query, bpf_ringbuf_reserve,
    bpf_ringbuf_submit,
};

use tracer_ebpf::event::{WAITERS, flag};
use tracer_ebpf::limits::{HUGE_HEAD, LARGE_HEAD, MAX_TAIL, SIZE_CLASSES};
use tracer_ebpf::{DataEvent, EventKind, Header, LossReason};

use super::filter::Caller;
use super::kernel::read;
use super::maps::{EVENTS, count_loss};
use super::runtime;
use super::verifier::{clamp, forget};
use super::wait;

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

/// An event was lost since the last one that came through. Not per CPU: what is lost on one matters to what the same
/// thread does on the next.
#[unsafe(no_mangle)]
static mut RING_WAS_FULL: u32 = 0;

#[inline(always)]
fn ring() -> *mut core::ffi::c_void {
    (&raw const EVENTS).cast_mut().cast()
}

/// A record of the size of `T`. A full ring is counted as `reason`.
#[inline(always)]
pub fn reserve<T>(reason: LossReason) -> Option<*mut T> {
    reserve_bytes(size_of::<T>() as u64, reason).map(|record| record.cast())
}

/// A record of `size` bytes, which must be a constant where this is inlined.
#[inline(always)]
pub fn reserve_bytes(size: u64, reason: LossReason) -> Option<*mut u8> {
    // SAFETY: the map is a ring buffer.
    let record = unsafe { bpf_ringbuf_reserve(ring(), size, 0) };
    if record.is_null() {
        count_loss(reason);
        // SAFETY: one aligned word. Processors that meet here write the same.
        unsafe { (&raw mut RING_WAS_FULL).write_volatile(1) };
        None
    } else {
        Some(record.cast())
    }
}

/// Hands a record to user space. The reader looks at the ring on its own clock; it is woken only when much has
/// piled up, because a wake-up for each event would cost the application more than the probe does.
#[inline(always)]
pub fn submit<T>(record: *mut T) {
    tell_loss(record.cast());
    let wake = if waiting() > config!(wake_bytes) as u64 { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    // SAFETY: the record was reserved in this ring and not yet submitted.
    unsafe { bpf_ringbuf_submit(record.cast(), wake) };
}

/// Hands a record to user space and wakes the reader, where something waits for what it does then.
#[inline(always)]
pub fn submit_at_once<T>(record: *mut T) {
    tell_loss(record.cast());
    // SAFETY: the record was reserved in this ring and not yet submitted.
    unsafe { bpf_ringbuf_submit(record.cast(), BPF_RB_FORCE_WAKEUP) };
}

/// Whether so much of the ring is free that what could be done without may be told too.
#[inline(always)]
pub fn has_room() -> bool {
    waiting() < config!(wake_bytes) as u64
}

/// Whether so little of the ring is free that only what cannot be done without may be told: half of it is in use.
#[inline(always)]
pub fn is_short() -> bool {
    waiting() > 4 * config!(wake_bytes) as u64
}

/// Bytes in the ring that were not read yet.
#[inline(always)]
fn waiting() -> u64 {
    // SAFETY: the map is a ring buffer.
    unsafe { bpf_ringbuf_query(ring(), BPF_RB_AVAIL_DATA) }
}

/// The first event after a loss tells of it. Should two processors tell at once, user space hears it twice.
#[inline(always)]
fn tell_loss(record: *mut Header) {
    // SAFETY: one aligned word, and the begin of a reserved record.
    unsafe {
        if (&raw const RING_WAS_FULL).read_volatile() != 0 {
            (&raw mut RING_WAS_FULL).write_volatile(0);
            (*record).flags |= flag::LOST;
        }
    }
}

/// The common part of the current thread's events. `kind`, `flags` and `size` are left zero.
#[inline(always)]
pub fn header(caller: &Caller) -> Header {
    // SAFETY: no arguments; always allowed in tracing programs.
    let (time_ns, task) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_task()) };
    let leader: u64 = read(task, config!(task_group_leader));
    let waits = wait::of(caller.tid);
    Header {
        kind: 0,
        flags: 0,
        size: 0,
        time_ns,
        tgid: caller.tgid,
        tid: caller.tid,
        thread_start_ns: read(task, config!(task_start_time)),
        process_start_ns: read(leader, config!(task_start_time)),
        cgroup_id: caller.cgroup,
        wait_epoch: waits.any,
        mux_epoch: waits.multiplexed,
        context: 0,
        waiters: [0; WAITERS],
    }
}

/// A record with room for `payload` bytes after the event, and the event in it.
///
/// From here on only the record is written and read: the verifier then sees the same state whichever way the event
/// came about, and follows what comes next once instead of once per way.
#[inline(always)]
pub fn begin(event: &DataEvent, payload: u64) -> Option<*mut DataEvent> {
    let reason =
        if event.header.kind == EventKind::Log as u16 { LossReason::RingLog } else { LossReason::RingData };
    let record: *mut DataEvent = reserve_bytes(size_of::<DataEvent>() as u64 + payload, reason)?.cast();
    // SAFETY: the record is at least as long as the event and aligned to 8.
    unsafe {
        record.write(*event);
        runtime::tell(&raw mut (*record).header);
    }
    Some(record)
}

/// The payload's place in a record.
#[inline(always)]
pub fn payload(record: *mut DataEvent) -> *mut u8 {
    // SAFETY: a record made by `begin` is longer than the event.
    unsafe { record.add(1).cast() }
}

/// Emits the event without payload.
#[inline(always)]
pub fn bare(event: &DataEvent) {
    if let Some(record) = begin(event, 0) {
        finish(record, Captured { head: 0, tail: 0, tail_offset: 0, cut: false });
    }
}

/// Emits the event with what it moved from or to one buffer: all of it if the windows allow, else its two ends.
#[inline(always)]
pub fn buffer(event: &DataEvent, address: u64, head: u32, tail: u32) {
    let length = event.length;
    if length <= head + tail {
        match length {
            l if l <= SIZE_CLASSES[0] => whole::<{ SIZE_CLASSES[0] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[1] => whole::<{ SIZE_CLASSES[1] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[2] => whole::<{ SIZE_CLASSES[2] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[3] => whole::<{ SIZE_CLASSES[3] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[4] => whole::<{ SIZE_CLASSES[4] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[5] => whole::<{ SIZE_CLASSES[5] as u64 }>(event, address),
            l if l <= SIZE_CLASSES[6] => whole::<{ SIZE_CLASSES[6] as u64 }>(event, address),
            _ => whole::<{ SIZE_CLASSES[7] as u64 }>(event, address),
        }
    } else if head <= LARGE_HEAD {
        ends::<{ LARGE_HEAD as u64 }>(event, address, head, tail);
    } else {
        ends::<{ HUGE_HEAD as u64 }>(event, address, head, tail);
    }
}

/// Emits the event with what it moved from or to one buffer, which is of the largest size class.
#[inline(always)]
pub fn part(event: &DataEvent, address: u64) {
    whole::<{ HUGE_HEAD as u64 }>(event, address);
}

/// Copies the application's memory to the payload; false when a page could not be read.
#[inline(always)]
pub fn copy(payload: *mut u8, offset: u64, length: u64, address: u64) -> bool {
    // SAFETY: the callers keep `offset + length` inside the record, which the verifier checks.
    unsafe {
        bpf_probe_read_user(payload.add(offset as usize).cast(), length as u32, address as *const _) == 0
    }
}

#[inline(always)]
fn whole<const CAP: u64>(event: &DataEvent, address: u64) {
    let Some(record) = begin(event, CAP) else {
        return;
    };
    let payload = payload(record);
    let address = forget(payload, address);
    let length = clamp::<CAP>(forget(payload, event.length as u64));
    let captured = if copy(payload, 0, length, address) {
        Captured { head: length as u32, tail: 0, tail_offset: 0, cut: false }
    } else {
        Captured::unreadable()
    };
    finish(record, captured);
}

#[inline(always)]
fn ends<const HEAD: u64>(event: &DataEvent, address: u64, head: u32, tail: u32) {
    let Some(record) = begin(event, HEAD + MAX_TAIL as u64) else {
        return;
    };
    let payload = payload(record);
    let address = forget(payload, address);
    let end = forget(payload, address + event.length as u64);
    let head = clamp::<HEAD>(forget(payload, head as u64));
    let tail = clamp::<{ MAX_TAIL as u64 }>(forget(payload, tail as u64));
    let captured = if copy(payload, 0, head, address) && copy(payload, head, tail, end - tail) {
        Captured { head: head as u32, tail: tail as u32, tail_offset: head as u32, cut: false }
    } else {
        Captured::unreadable()
    };
    finish(record, captured);
}

/// What of a call's bytes is in the payload.
#[derive(Clone, Copy)]
pub struct Captured {
    /// Bytes from the start.
    pub head: u32,
    /// Bytes from the end.
    pub tail: u32,
    /// Where these are in the payload.
    pub tail_offset: u32,
    /// It is less than the window allows.
    pub cut: bool,
}

impl Captured {
    /// Nothing, because a page could not be read: counts that.
    #[inline(always)]
    fn unreadable() -> Self {
        count_loss(LossReason::UnreadablePage);
        Self { head: 0, tail: 0, tail_offset: 0, cut: true }
    }
}

/// Completes the record's numbers and submits it.
#[inline(always)]
pub fn finish(record: *mut DataEvent, captured: Captured) {
    let payload = if captured.tail == 0 { captured.head } else { captured.tail_offset + captured.tail };
    // SAFETY: the record holds an event.
    unsafe {
        (*record).head = captured.head;
        (*record).tail = captured.tail;
        (*record).tail_offset = captured.tail_offset;
        (*record).header.size = size_of::<DataEvent>() as u32 + payload;
        if captured.cut {
            (*record).header.flags |= flag::CUT;
        }
    }
    submit(record);
}
