//! Where the streams of a connection stand when it is announced.

use tracer_ebpf::ConnectionEvent;

use super::stream::Stream;

/// `TCP_ESTABLISHED` of `<net/tcp_states.h>`.
const ESTABLISHED: u8 = 1;
/// `TCP_SYN_SENT`.
const SYN_SENT: u8 = 2;

/// Whether the peer's first sequence number is known. The state is set after that number (`tcp_finish_connect` in
/// net/ipv4/tcp_input.c, on whatever processor received the answer), which is 0 until then (`tcp_connect_init`).
fn is_answered(event: &ConnectionEvent) -> bool {
    event.state != SYN_SENT || event.rx_position != 0
}

/// Where the two streams of an announced connection stand: ingress, egress.
pub(super) fn origins(event: &ConnectionEvent, fresh: bool, sequence: bool) -> (Stream, Stream) {
    if !sequence {
        // Counts begin with the first byte that the probe sees.
        return (Stream::at(0), Stream::at(0));
    }
    let just_answered = event.state == SYN_SENT && is_answered(event);
    let received = if fresh && (event.state == ESTABLISHED || just_answered) {
        Stream::at(event.rx_position.into())
    } else {
        received(event, fresh)
    };
    let sent = if fresh { Stream::at(event.tx_position.into()) } else { Stream::default() };
    (received, sent)
}

fn received(event: &ConnectionEvent, fresh: bool) -> Stream {
    // While the handshake is under way the peer's first sequence number is not known. Past 2 GiB the difference
    // to the first byte no longer tells before from after.
    match u32::try_from(event.bytes_received) {
        Ok(count) if !fresh && count < 1 << 31 => {
            Stream::not_before(event.rcv_nxt.wrapping_sub(count).into())
        }
        _ => Stream::default(),
    }
}
