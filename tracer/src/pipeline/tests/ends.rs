//! Ends that are told before what was moved before them.

use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction};

use super::script::{Conn, Script, connection_event};
use crate::pipeline::CLOSE_GRACE;
use crate::probe::decode::Event;

const WEB: Conn = (1, 11);
const DB: Conn = (3, 13);
const RESET: u16 = 104;
const CLOSED: u8 = 7;

/// Bytes of `conn` that are sent now, whose event comes later.
fn in_flight(s: &mut Script, conn: Conn, text: &str) -> u32 {
    let from = s.position(conn, Direction::Egress);
    s.lose(conn, Direction::Egress, u32::try_from(text.len()).unwrap());
    from
}

/// What is told of `conn`, where its streams stand.
fn told(s: &mut Script, conn: Conn, note: ConnectionNote, change: impl FnOnce(&mut ConnectionEvent)) {
    let mut header = s.header(9);
    header.flags |= flag::SEQUENCE;
    let (rx_position, tx_position) =
        (s.position(conn, Direction::Ingress), s.position(conn, Direction::Egress));
    let mut event = ConnectionEvent {
        header,
        sock: conn.0,
        ino: conn.1,
        rx_position,
        rcv_nxt: rx_position,
        tx_position,
        how: 1,
        ..connection_event()
    };
    change(&mut event);
    s.event(&Event::Connection(note, event));
}

/// The peer's reset is taken within the very call that sends, and the probe, which has forgotten the socket by then,
/// announces it once more.
#[test]
fn a_reset_within_the_call_that_sends_costs_nothing() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!a part, ");
    let from = in_flight(&mut s, WEB, "the rest\n");
    s.close(WEB);
    assert_eq!(s.names(), [""; 0], "not all was told");
    told(&mut s, WEB, ConnectionNote::Seen, |event| event.state = CLOSED);
    s.late(1, WEB, Direction::Egress, from, b"the rest\n");
    let sent = s.time;
    assert_eq!(s.span("get").end_unix_ns, sent + super::script::WALL);
    let stats = s.pipeline.stats();
    assert_eq!((stats.connections.jumps, stats.connections.opened, stats.tables.connections), (0, 1, 0));
}

#[test]
fn a_shutdown_waits_for_what_another_thread_sends() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    let from = in_flight(&mut s, WEB, "!without line end");
    for _ in 0..3 {
        s.note(2, WEB, ConnectionNote::Shutdown);
    }
    assert_eq!(s.names(), [""; 0]);
    s.late(1, WEB, Direction::Egress, from, b"!without line end");
    assert_eq!((s.names(), s.pipeline.stats().connections.jumps), (vec!["get"], 0));
}

/// The kernel's position behind the bytes counts the FIN that another thread has added.
#[test]
fn a_fin_that_is_added_while_another_thread_sends_is_no_gap() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    let from = in_flight(&mut s, WEB, "!ok\n");
    s.note(2, WEB, ConnectionNote::Shutdown);
    s.moved(1, WEB, Direction::Egress, "!ok\n", |data| {
        data.position = u64::from(from) + 1;
        data.header.flags |= flag::DIRECTION_DONE;
    });
    assert_eq!((s.names(), s.pipeline.stats().connections.jumps), (vec!["get"], 0));
}

#[test]
fn what_is_lost_before_a_shutdown_is_a_gap_before_the_peer_answers() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?one\n");
    s.recv(1, DB, "!ok\n");
    s.lose(DB, Direction::Egress, 20);
    s.note(1, DB, ConnectionNote::Shutdown);
    s.recv(1, DB, "!two\n");
    let stats = s.pipeline.stats().connections;
    assert_eq!((s.names(), stats.jumps, stats.jump_bytes), (vec!["one"], 1, 19));
}

#[test]
fn what_is_lost_before_a_close_is_a_gap_after_the_grace() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    s.lose(WEB, Direction::Ingress, 20);
    s.close(WEB);
    let closed = s.time;
    assert_eq!(s.pipeline.stats().connections.jumps, 0);
    s.tick(closed + CLOSE_GRACE);
    let stats = s.pipeline.stats();
    assert_eq!((stats.connections.jump_bytes, stats.tables.connections), (19, 0));
}

/// The end of sending does not shorten the time that the close gives.
#[test]
fn each_end_has_its_own_grace() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?one\n");
    s.lose(DB, Direction::Egress, 20);
    s.note(1, DB, ConnectionNote::Shutdown);
    s.time += CLOSE_GRACE - 1000;
    s.close(DB);
    s.tick(s.time + 1000);
    assert_eq!(s.pipeline.stats().tables.connections, 1);
    s.tick(s.time + CLOSE_GRACE);
    assert_eq!(s.pipeline.stats().tables.connections, 0);
}

/// A connection that was closed before it was accepted has no close: its address is used again meanwhile.
#[test]
fn an_end_of_another_user_of_the_address_is_no_loss() {
    for note in [ConnectionNote::Shutdown, ConnectionNote::Closed] {
        let mut s = Script::new();
        s.accept(1, WEB);
        s.recv(1, WEB, "?get\n");
        told(&mut s, WEB, note, |event| {
            event.remote_port = 81;
            event.tx_position = event.tx_position.wrapping_add(0x7000_0000);
        });
        let stats = s.pipeline.stats();
        assert_eq!((stats.connections.jumps, stats.tables.connections), (0, 0));
        assert_eq!(stats.spans.abandoned_forgotten, 1);
    }
}

/// The client sends, and resets the connection before the server reads.
#[test]
fn what_arrived_before_a_reset_can_still_be_read() {
    let unread = |s: &mut Script| {
        s.accept(1, WEB);
        told(s, WEB, ConnectionNote::Closed, |event| event.rcv_nxt = event.rx_position.wrapping_add(5));
    };
    let mut s = Script::new();
    unread(&mut s);
    told(&mut s, WEB, ConnectionNote::Seen, |event| event.state = CLOSED);
    s.recv(1, WEB, "?get\n");
    s.moved(1, WEB, Direction::Egress, "", |data| {
        data.header.flags |= flag::END;
        data.errno = RESET;
    });
    let stats = s.pipeline.stats();
    assert_eq!((s.names(), stats.connections.opened, stats.tables.connections), (vec!["get"], 1, 0));
    let mut s = Script::new();
    unread(&mut s);
    s.tick(s.time + CLOSE_GRACE);
    let stats = s.pipeline.stats();
    assert_eq!((stats.connections.jumps, stats.tables.connections), (0, 0), "nobody read it");
}

#[test]
fn a_connection_that_is_accepted_dead_is_told_and_forgotten() {
    let mut s = Script::new();
    told(&mut s, WEB, ConnectionNote::Accept, |event| event.state = CLOSED);
    s.recv(1, WEB, "?ge");
    s.recv(1, WEB, "t\n");
    s.send(1, WEB, "!ok\n");
    s.recv_end(1, WEB, RESET);
    let stats = s.pipeline.stats();
    assert_eq!((s.names(), stats.connections.jumps, stats.tables.connections), (vec!["get"], 0, 0));
    told(&mut s, DB, ConnectionNote::Accept, |event| event.state = CLOSED);
    s.tick(s.time + CLOSE_GRACE);
    assert_eq!(s.pipeline.stats().tables.connections, 0, "nobody reads it");
}
