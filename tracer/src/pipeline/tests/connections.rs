//! Connections: age, positions, ends, and the bounds of the table.

use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction, Family};

use super::script::{Conn, Script, connection_event};
use crate::connection::MAX_ATTEMPTS;
use crate::pipeline::{CLOSE_GRACE, Limits, PipelineConfig};
use crate::probe::decode::Event;
use crate::protocol::{PROTOCOLS, Window};

const WEB: Conn = (1, 11);
const DB: Conn = (3, 13);

#[test]
fn a_connection_older_than_the_tracer_is_found_at_its_next_message() {
    let mut s = Script::new();
    s.note(1, WEB, ConnectionNote::Seen);
    s.send(1, WEB, "the rest of a response\n");
    s.send(1, WEB, "and more of it\n");
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    assert_eq!(s.names(), ["get"]);
    // The other way round: first seen when it reads on, then asked.
    s.note(1, DB, ConnectionNote::Seen);
    s.recv(1, DB, "rows of an older answer\n");
    s.send(1, DB, "?select\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["get", "select"]);
}

#[test]
fn an_older_connection_that_never_shows_a_protocol_is_given_up() {
    let mut s = Script::new();
    s.note(1, WEB, ConnectionNote::Seen);
    for _ in 0..MAX_ATTEMPTS {
        s.recv(1, WEB, "nothing that we know\n");
        s.send(1, WEB, "nor this\n");
    }
    assert_eq!(s.pipeline.stats().connections.unknown, 1);
    assert_eq!(s.asks.len(), 1);
    assert_eq!((s.asks[0].window, s.asks[0].connection.sock), (Window::Nothing, 1));
}

#[test]
fn an_older_connection_that_moves_long_values_only_is_found() {
    let long = format!("$9000\r\n{}\r\n", "v".repeat(9000));
    let get = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_owned();
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n{long}");
    for (request, reply) in [(get, long), (set, "+OK\r\n".to_owned())] {
        let mut s = Script::speaking(PROTOCOLS, PipelineConfig::default());
        s.note(1, DB, ConnectionNote::Seen);
        for _ in 0..3 {
            // As the probe hands them over: the middle is missing.
            for (direction, bytes) in [(Direction::Egress, &request), (Direction::Ingress, &reply)] {
                s.moved(1, DB, direction, bytes, |data| {
                    if data.length > 8704 {
                        (data.tail, data.head) = (&data.head[data.head.len() - 512..], &data.head[..8192]);
                    }
                });
            }
            s.time += 30_000_000;
        }
        assert_eq!(s.pipeline.stats().connections.by_protocol.get("redis"), Some(&1));
        assert_eq!(s.names().len(), 3, "{:?}", s.names());
    }
}

#[test]
fn a_further_part_of_a_call_does_not_begin_one() {
    let mut s = Script::new();
    s.note(1, WEB, ConnectionNote::Seen);
    s.moved(1, WEB, Direction::Ingress, "?within\n", |data| data.header.flags |= flag::CONTINUED);
    s.send(1, WEB, "the rest of a response\n");
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    assert_eq!(s.names(), ["get"]);
}

#[test]
fn the_parts_of_a_call_are_one_call() {
    let mut s = Script::speaking(PROTOCOLS, PipelineConfig::default());
    s.connect(1, DB);
    let mut time = 0;
    let ping = "*1\r\n$4\r\nPING\r\n";
    s.moved(1, DB, Direction::Egress, ping, |data| time = data.header.time_ns);
    s.moved(1, DB, Direction::Egress, ping, |data| {
        data.header.flags |= flag::CONTINUED;
        data.header.time_ns = time;
    });
    s.recv(1, DB, "+PONG\r\n+PONG\r\n");
    assert_eq!(s.names(), ["PIPELINE PING"]);
}

#[test]
fn an_unannounced_connection_is_followed() {
    let mut s = Script::new();
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    assert_eq!(s.names(), ["get"]);
    assert_eq!(s.pipeline.stats().connections.unannounced, 1);
}

#[test]
fn a_fresh_connection_of_another_protocol_is_left_alone() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "SSH-2.0-OpenSSH\r\n");
    s.lose(WEB, Direction::Ingress, 100);
    s.recv(1, WEB, "?get\n");
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(s.pipeline.stats().connections.jumps, 0, "nothing was wanted");
    assert_eq!(s.pipeline.stats().connections.unknown, 1);
    assert_eq!(s.asks[0].server_port, Some(40_000), "the server's port is our own");
}

#[test]
fn a_message_in_pieces_is_recognised_and_nothing_of_it_lost() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?");
    let begun = s.time;
    s.send(1, DB, "select\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.span("select").start_unix_ns, begun + super::script::WALL);
}

#[test]
fn a_conversations_window_is_asked_for_once() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?select whole\n");
    s.recv(1, DB, "!rows\n");
    s.send(1, DB, "?select whole\n");
    assert_eq!(s.asks.len(), 1);
    assert_eq!((s.asks[0].window, s.asks[0].server_port), (Window::Whole, Some(80)));
}

#[test]
fn a_forgotten_connection_gets_its_ordinary_window_back() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut s = Script::with(PipelineConfig { limits, ..PipelineConfig::default() });
    s.accept(1, WEB);
    s.recv(1, WEB, "SSH-2.0-OpenSSH\r\n");
    s.accept(1, DB);
    let windows: Vec<_> = s.asks.iter().map(|ask| (ask.connection.sock, ask.window)).collect();
    assert_eq!(windows, [(WEB.0, Window::Nothing), (WEB.0, Window::Default)]);
}

#[test]
fn a_connection_that_ends_before_its_protocol_shows_is_counted() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?");
    s.close(WEB);
    assert_eq!(s.pipeline.stats().connections.undecided, 1);
}

#[test]
fn an_announcement_after_the_first_bytes_tells_the_addresses() {
    let mut s = Script::new();
    s.send(1, DB, "?");
    s.note(1, DB, ConnectionNote::Seen);
    s.send(1, DB, "select whole\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["select"]);
    assert_eq!(s.asks[0].server_port, Some(80));
}

#[test]
fn stale_and_repeated_bytes_are_discarded() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?one\n");
    s.send(1, WEB, "!ok\n");
    let before = s.position(WEB, Direction::Ingress);
    // A reader that was blocked when its descriptor was reused: its bytes lie behind.
    s.moved(2, WEB, Direction::Ingress, "?one\n", |data| data.position -= 5);
    assert_eq!(s.position(WEB, Direction::Ingress), before);
    // Half repeated, half new.
    s.moved(1, WEB, Direction::Ingress, "ne\n?two\n", |data| data.position -= 3);
    s.send(1, WEB, "!ok\n");
    assert_eq!(s.names(), ["one", "two"]);
    let stats = s.pipeline.stats().connections;
    assert_eq!((stats.step_back, stats.overlap, stats.jumps), (1, 1, 0));
}

#[test]
fn the_peers_fin_is_not_a_gap() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.moved(1, WEB, Direction::Ingress, "?get\n", |data| {
        data.header.flags |= flag::DIRECTION_DONE;
        data.position += 1;
    });
    s.moved(1, WEB, Direction::Ingress, "", |data| data.header.flags |= flag::DIRECTION_DONE | flag::END);
    s.send(1, WEB, "!ok\n");
    assert_eq!(s.names(), ["get"]);
    assert_eq!(s.pipeline.stats().connections.jumps, 0);
}

#[test]
fn bytes_that_no_event_told_are_a_gap() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?one\n");
    s.lose(WEB, Direction::Egress, 4);
    s.lose(WEB, Direction::Ingress, 5);
    s.recv(1, WEB, "?three\n");
    s.send(1, WEB, "!for three\n");
    s.recv(1, WEB, "?four\n");
    s.send(1, WEB, "!for four\n");
    assert_eq!(s.names(), ["four"], "never paired with another's response");
    let stats = s.pipeline.stats().connections;
    assert_eq!((stats.jumps, stats.jump_bytes), (2, 9));
}

#[test]
fn what_lies_between_head_and_tail_is_a_gap() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.moved(1, WEB, Direction::Egress, "", |data| {
        (data.length, data.head, data.tail) = (1000, b"!begin", b"end\n");
    });
    assert_eq!(s.pipeline.stats().spans.abandoned_gap, 1);
    s.recv(1, WEB, "?next\n");
    s.moved(1, WEB, Direction::Egress, "", |data| {
        data.length = 50;
        data.header.flags |= flag::UNCAPTURABLE;
    });
    let stats = s.pipeline.stats();
    assert_eq!(stats.spans.abandoned_gap, 2);
    assert_eq!((stats.connections.windowed, stats.connections.windowed_bytes), (1, 990));
    assert_eq!((stats.connections.uncapturable, stats.connections.uncapturable_bytes), (1, 50));
    assert_eq!(stats.connections.jumps, 0);
}

#[test]
fn an_overlap_is_cut_across_head_gap_and_tail() {
    let cut = |seen: u64| {
        let mut s = Script::new();
        s.connect(1, DB);
        s.send(1, DB, "?x\n?y\n");
        s.recv(1, DB, "!1\n");
        s.moved(1, DB, Direction::Ingress, "", |data| {
            (data.position, data.length) = (data.position.wrapping_sub(seen) & 0xffff_ffff, 14);
            (data.head, data.tail) = (b"!1\nab", b"cd!2\n");
        });
        (s.names().len(), s.pipeline.stats().connections.windowed_bytes)
    };
    assert_eq!(cut(7), (1, 2), "two of four bytes between are missing");
    assert_eq!(cut(9), (2, 0), "all before the tail was seen");
    assert_eq!(cut(11), (2, 0), "a part of the tail was seen");
    assert_eq!(cut(14), (1, 0), "all of it was seen");
}

#[test]
fn a_new_inode_on_a_socket_address_is_another_connection() {
    let mut s = Script::new();
    s.accept(1, (1, 11));
    s.recv(1, (1, 11), "?one\n");
    let late = s.header(2);
    s.accept(1, (1, 12));
    assert_eq!(s.pipeline.stats().spans.abandoned_forgotten, 1, "the old connection is over");
    s.recv(1, (1, 12), "?two\n");
    // A late event of the old one touches nothing.
    s.moved(2, (1, 11), Direction::Ingress, "?three\n", |data| data.header.time_ns = late.time_ns);
    s.send(1, (1, 12), "!ok\n");
    assert_eq!(s.names(), ["two"]);
    let stats = s.pipeline.stats().connections;
    assert_eq!((stats.displaced, stats.stale, stats.opened), (1, 1, 2));
}

#[test]
fn eviction_ends_what_is_open() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut s = Script::with(PipelineConfig { limits, ..PipelineConfig::default() });
    for number in 1..=3 {
        s.connect(1, (number, number));
        s.send(1, (number, number), &format!("?select-{number}\n"));
    }
    let stats = s.pipeline.stats();
    assert_eq!((s.names(), stats.spans.abandoned_forgotten), (vec![], 1), "it may be answered yet");
    assert_eq!((stats.connections.evicted, stats.tables.connections), (1, 2));
}

#[test]
fn the_connections_that_rested_longest_are_forgotten_first() {
    let mut s = Script::new();
    for number in 1..=4 {
        s.connect(1, (number, number));
        s.send(1, (number, number), &format!("?select-{number}\n"));
    }
    s.recv(1, (1, 1), "!ok\n");
    let now = s.time;
    assert_eq!(s.pipeline.forget_connections(3, now), 3);
    s.send(1, (1, 1), "?more\n");
    s.recv(1, (1, 1), "!ok\n");
    assert_eq!(s.names(), ["select-1", "more"]);
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.abandoned_forgotten, stats.connections.evicted_for_memory), (3, 3));
    assert_eq!(s.pipeline.forget_connections(9, now), 1, "there are no more");
}

#[test]
fn a_close_ends_what_is_open_after_a_grace() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?select\n");
    s.close((DB.0, 0));
    let closed = s.time;
    assert_eq!(s.names(), [""; 0], "what arrived before a reset can still be read");
    s.tick(closed + CLOSE_GRACE);
    assert_eq!(s.span("select").end_unix_ns, closed + super::script::WALL);
    assert_eq!(s.pipeline.stats().tables.connections, 0);
}

#[test]
fn a_response_is_read_after_the_reset() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?select\n");
    s.close(DB);
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["select"]);
    s.recv_end(1, DB, 104);
    assert_eq!(s.pipeline.stats().tables.connections, 0);
}

#[test]
fn a_close_with_nothing_open_forgets_at_once() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!ok\n");
    s.close(WEB);
    assert_eq!(s.pipeline.stats().tables.connections, 0);
    s.recv_end(1, WEB, 104);
    assert_eq!(s.pipeline.stats().tables.connections, 0, "its last error makes no new connection");
}

#[test]
fn a_response_that_the_close_delimits_ends_at_once() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!no line end");
    s.close(WEB);
    assert_eq!(s.names(), ["get"]);
}

/// The response was lost, and only the end of the connection came through: it is no error of the server's.
#[test]
fn what_was_lost_before_the_end_is_a_gap() {
    for end in [Script::close, |s: &mut Script, conn| s.note(1, conn, ConnectionNote::Shutdown)] {
        let mut s = Script::new();
        s.accept(1, WEB);
        s.recv(1, WEB, "?get\n");
        s.lose(WEB, Direction::Egress, 5);
        end(&mut s, WEB);
        s.tick(s.time + CLOSE_GRACE);
        let stats = s.pipeline.stats();
        assert_eq!((s.names(), stats.spans.abandoned_gap, stats.connections.jump_bytes), (vec![], 1, 4));
    }
}

#[test]
fn a_close_of_another_user_of_the_address_tells_only_that_the_connection_is_over() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    let header = s.header(0);
    let event = ConnectionEvent { header, sock: WEB.0, ino: WEB.1, remote_port: 81, ..connection_event() };
    s.event(&Event::Connection(ConnectionNote::Closed, event));
    let stats = s.pipeline.stats();
    assert_eq!((stats.spans.abandoned_forgotten, stats.connections.jumps), (1, 0));
}

#[test]
fn a_shutdown_ends_what_is_sent() {
    let mut s = Script::new();
    s.accept(1, WEB);
    s.recv(1, WEB, "?get\n");
    s.send(1, WEB, "!no line end");
    s.note(1, WEB, ConnectionNote::Shutdown);
    assert_eq!(s.names(), ["get"]);
}

#[test]
fn an_error_ends_what_is_open() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.send(1, DB, "?select\n");
    s.recv_end(1, DB, 110);
    assert_eq!(s.names(), ["select"]);
}

#[test]
fn the_probe_forgets_a_unix_socket_and_counts_anew() {
    let mut s = Script::new();
    let seen = |s: &mut Script| {
        let header = s.header(1);
        let (sock, ino) = DB;
        let event = ConnectionEvent { header, sock, ino, family: Family::Unix as u16, ..connection_event() };
        s.event(&Event::Connection(ConnectionNote::Seen, event));
    };
    let counts = |s: &mut Script, direction, text: &str, position| {
        s.moved(1, DB, direction, text, |data| {
            data.header.flags = 0;
            data.position = position;
        });
    };
    seen(&mut s);
    counts(&mut s, Direction::Egress, "?one\n", 0);
    counts(&mut s, Direction::Ingress, "!ok\n", 0);
    seen(&mut s);
    counts(&mut s, Direction::Egress, "?two\n", 0);
    counts(&mut s, Direction::Ingress, "!ok\n", 0);
    assert_eq!(s.names(), ["one", "two"]);
}

#[test]
fn a_socket_that_is_connected_again_is_another_connection() {
    let mut s = Script::new();
    s.connect(1, DB);
    s.connect(1, DB);
    assert_eq!(
        s.pipeline.stats().connections.opened,
        1,
        "the second call only learned of the first's success"
    );
    s.send(1, DB, "?one\n");
    s.connect(1, DB);
    s.send(1, DB, "?two\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["two"]);
    assert_eq!(s.pipeline.stats().connections.opened, 2);
}

#[test]
fn a_connect_under_way_does_not_know_the_peers_position() {
    let mut s = Script::new();
    let header = s.header(1);
    let tx_position = s.position(DB, Direction::Egress);
    let (sock, ino) = DB;
    let mut event = ConnectionEvent { header, sock, ino, state: 2, tx_position, ..connection_event() };
    event.header.flags = flag::SEQUENCE;
    s.event(&Event::Connection(ConnectionNote::Connect, event));
    s.send(1, DB, "?select\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["select"]);
    assert_eq!(s.pipeline.stats().connections.jumps, 0);
}

#[test]
fn bytes_before_the_first_ever_received_are_stale() {
    let mut s = Script::new();
    s.lose(DB, Direction::Ingress, 100);
    s.note(1, DB, ConnectionNote::Seen);
    s.moved(1, DB, Direction::Ingress, "!from another life\n", |data| {
        data.position = data.position.wrapping_sub(90)
    });
    s.lose(DB, Direction::Ingress, 71);
    s.send(1, DB, "?select\n");
    s.recv(1, DB, "!rows\n");
    assert_eq!(s.names(), ["select"]);
    assert_eq!(s.pipeline.stats().connections.step_back, 1);
}

#[test]
fn random_records_never_panic() {
    let mut s = Script::new();
    s.pipeline.on_record(b"");
    s.pipeline.on_record(&[9; 300]);
    let stats = s.pipeline.stats().events;
    assert_eq!((stats.too_short, stats.unknown_kind), (1, 1));
}
