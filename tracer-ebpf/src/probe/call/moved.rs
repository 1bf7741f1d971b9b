//! Telling of the bytes that a call moved: as much of them as is wanted, from where they lie.

use core::mem::MaybeUninit;

use tracer_ebpf::event::flag;
use tracer_ebpf::limits::{HUGE_HEAD, MAX_MANY_HEAD, MAX_PARTS, MAX_SEGMENT_PARTS, MAX_SEGMENTS};
use tracer_ebpf::{DataEvent, Direction};

use super::arguments::{Moved, Place};
use super::capture::{Capture, prepare, wanted};
use crate::probe::emit;
use crate::probe::kernel::read_user;
use crate::probe::segments;
use crate::probe::verifier::{blur, ignore, nothing};

/// Tells of what a call moved, or of the end that it met. From here on the verifier does not know which call it was:
/// nothing that differs from one to another is kept.
#[inline(always)]
pub fn tell(call: &mut Moved, place: Place) {
    blur(call);
    match place {
        Place::Buffer => ignore(buffer(call)),
        Place::Vector => ignore(vector(call)),
        Place::Messages => ignore(messages(call)),
        Place::None => ignore(passed(call)),
        Place::Spliced => {
            ignore(passed(call));
            call.direction = Direction::Egress;
            call.fd = call.count as u32;
            ignore(passed(call));
        }
    }
}

// The functions below share no more than they do so that each entry of its own (fexit) is verified with one of them.
// They are functions because the verifier follows what is inlined once for each call that leads there.

/// Bytes were copied from or to one buffer, or an end was met.
#[inline(never)]
fn buffer(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = wanted(call, &mut capture, || read_user(call.address)) {
        blur(capture);
        let behind = |event: &DataEvent| call.address + event.tail_offset as u64;
        parts(capture, MAX_PARTS, |event| emit::part(event, behind(event)));
        emit::buffer(&capture.event, behind(&capture.event), capture.head, capture.tail);
    }
    nothing()
}

/// The same with several segments.
#[inline(never)]
fn vector(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    // The first segment's address comes first.
    let start = || read_user(read_user(call.address)?);
    if let Some(capture) = wanted(call, &mut capture, start) {
        blur(capture);
        if call.count <= MAX_SEGMENTS as u64 {
            parts(capture, MAX_SEGMENT_PARTS, |event| segments::part(event, call.address, call.count));
        }
        let most = segments::most(call.count);
        (capture.head, capture.tail) = segments::ends(most, capture.event.length, capture.head, capture.tail);
        blur(capture);
        segments::vector(&capture.event, call.address, call.count, capture.head, capture.tail);
    }
    nothing()
}

/// Has `tell` tell as much of a call of which all is wanted as fits into `most` events of [`HUGE_HEAD`] bytes, as long as
/// the ring has room. The rest is left in `capture`, with the number of bytes before it in `tail_offset`. That, and
/// `head`, are of no use to anybody until the record is finished, and the stack has no room for what is kept there.
#[inline(always)]
fn parts(capture: &mut Capture, most: u32, tell: impl Fn(&DataEvent)) {
    for _ in 0..most {
        let event = &mut capture.event;
        let is_longer = capture.head == HUGE_HEAD && event.length > HUGE_HEAD + capture.tail;
        if !is_longer || !emit::has_room() {
            return;
        }
        event.head = event.length - HUGE_HEAD;
        event.length = HUGE_HEAD;
        tell(event);
        event.length = event.head;
        event.position += HUGE_HEAD as u64;
        event.tail_offset += HUGE_HEAD;
        event.header.flags |= flag::CONTINUED;
        blur(capture);
    }
}

/// The same with several messages.
#[inline(never)]
fn messages(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = wanted(call, &mut capture, || None) {
        (capture.head, capture.tail) = segments::ends(MAX_MANY_HEAD, capture.event.length, capture.head, 0);
        blur(capture);
        segments::messages(&capture.event, call.address, call.count, capture.head);
    }
    nothing()
}

/// Bytes passed between two files inside the kernel, of which one may be a connection, or were thrown away.
#[inline(never)]
fn passed(call: &Moved) -> u64 {
    let mut capture = MaybeUninit::uninit();
    if let Some(capture) = prepare(call, &mut capture, || None) {
        blur(capture);
        capture.event.header.flags |= flag::UNCAPTURABLE;
        emit::bare(&capture.event);
    }
    nothing()
}
