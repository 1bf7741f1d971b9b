//! Streams from segments in any order.

use super::transcript::{lines, of, server};
use super::wire::Who::{Client, Server};
use super::wire::{
    CLIENT_START, Captured, Order, SERVER_START, Seg, captured, handshake, pcap, raw, seg, spaced,
};
use crate::capture::link::linktype;
use crate::capture::{Capture, Interest, MAX_HELD_SEGMENTS, REORDERED, RETRANSMITTED, WantedEnds, events};
use crate::probe::decode::Event;

fn connection(segments: &[Seg]) -> Vec<Seg> {
    [&handshake(), segments].concat()
}

#[track_caller]
fn check(segments: &[Seg], expected: &str) -> crate::capture::FlowStats {
    let (told, stats) = server(&connection(segments));
    assert_eq!(told, format!("accept 10.0.0.2:80 {expected}"));
    stats.flows
}

#[test]
fn both_ends_see_an_exchange_and_its_end() {
    let segments = connection(&[
        seg(Client, 1, 1, "PA", "ask"),
        seg(Server, 1, 4, "PA", "answer"),
        seg(Server, 7, 4, "FA", ""),
        seg(Client, 4, 8, "A", ""),
        seg(Client, 4, 8, "FA", ""),
        seg(Server, 8, 5, "A", ""),
    ]);
    let (told, stats) = of(&raw(&segments), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <ask >answer shutdown <end closed");
    let (told, _) = of(&raw(&segments), WantedEnds::Client);
    assert_eq!(told, "connect 10.0.0.1 >ask <answer <end shutdown closed");
    assert_eq!((stats.segments, stats.connections, stats.flows.bytes), (9, 1, 9));
}

#[test]
fn segments_out_of_order_find_their_place() {
    let stats = check(
        &[
            seg(Client, 3, 1, "PA", "cd"),
            seg(Client, 5, 1, "PA", "ef"),
            seg(Client, 1, 1, "A", "ab"),
            seg(Client, 7, 1, "PA", "gh"),
        ],
        "<abcdefgh",
    );
    assert_eq!((stats.held, stats.gaps, stats.bytes), (2, 0, 8));
}

#[test]
fn streams_go_on_where_sequence_numbers_wrap() {
    let long = "x".repeat(90);
    let stats = check(
        &[
            seg(Client, 1, 1, "A", &long),
            seg(Client, 101, 1, "PA", "end"),
            seg(Client, 91, 1, "A", "0123456789"),
        ],
        &format!("<{long}0123456789end"),
    );
    assert_eq!(stats.held, 1);
}

#[test]
fn retransmissions_and_overlaps_are_told_once() {
    let stats = check(
        &[
            seg(Client, 1, 1, "PA", "abc"),
            seg(Client, 1, 1, "PA", "abc"),
            seg(Client, 2, 1, "PA", "bcde"),
            seg(Client, 1, 1, "PA", "abcdefg"),
            seg(Client, 4, 1, "PA", "de"),
            // Held twice.
            seg(Client, 9, 1, "PA", "ij"),
            seg(Client, 9, 1, "PA", "ij"),
            seg(Client, 8, 1, "PA", "h"),
        ],
        "<abcdefghij",
    );
    assert_eq!((stats.retransmitted, stats.overlaps, stats.held), (3, 2, 1));
    assert_eq!((stats.retransmitted_bytes, stats.bytes), (3 + 2 + 5 + 2 + 2, 10));
}

#[test]
fn keep_alives_move_nothing() {
    let stats = check(
        &[
            seg(Client, 1, 1, "PA", "abc"),
            seg(Client, 3, 1, "A", ""),
            seg(Client, 3, 1, "A", "\0"),
            seg(Server, 0, 4, "A", ""),
            seg(Client, 4, 1, "PA", "d"),
        ],
        "<abcd",
    );
    assert_eq!((stats.keep_alives, stats.retransmitted, stats.gaps), (1, 0, 0));
}

#[test]
fn a_response_that_was_captured_before_its_request_is_told_behind_it() {
    let stats = check(
        &[
            seg(Server, 1, 4, "PA", "answer"),
            seg(Client, 1, 1, "PA", "ask"),
            seg(Client, 4, 7, "PA", "again"),
        ],
        "<ask >answer <again",
    );
    assert_eq!((stats.held, stats.gaps), (1, 0));
}

#[test]
fn acknowledged_bytes_that_were_not_captured_are_a_gap_soon() {
    let segments = connection(&[
        seg(Client, 1, 1, "PA", "ask"),
        // Bytes 4 to 8 are missing: they were answered.
        seg(Server, 1, 9, "PA", "answer"),
        seg(Client, 9, 7, "PA", "next"),
        seg(Server, 7, 13, "PA", "answer"),
    ]);
    let (told, stats) = server(&segments);
    assert_eq!(told, "accept 10.0.0.2:80 <ask <-5 >answer <next >answer");
    assert_eq!((stats.flows.gaps, stats.flows.gap_bytes), (1, 5));
    // It is known as soon as the capture cannot be out of order any more, and has the time of what shows it.
    let mut packets = spaced(&segments, 1000);
    packets.iter_mut().skip(6).for_each(|packet| packet.0 += REORDERED);
    let file = pcap(Order::Little, true, linktype::RAW, &packets);
    let mut capture = Capture::open(&file[..], WantedEnds::Server).unwrap();
    let mut told = Vec::new();
    for packet in 0..packets.len() {
        let mut take = |event: &Event<'_>| {
            told.push((packet, event.header().time_ns));
            Interest::Whole
        };
        capture.step(&mut take).unwrap();
    }
    let accept = (3, packets[3].0);
    assert_eq!(told[..3], [accept, accept, (6, packets[4].0)]);
}

#[test]
fn unacknowledged_bytes_are_waited_for_as_long_as_they_may_come_again() {
    let segments = connection(&[
        seg(Client, 4, 1, "PA", "def"),
        seg(Client, 7, 1, "PA", "ghi"),
        seg(Client, 1, 1, "PA", "abc"),
    ]);
    let late = |by| {
        let mut packets: Vec<Captured> = captured(&segments);
        packets[4].0 += by / 2;
        packets[5].0 += by;
        pcap(Order::Little, true, linktype::RAW, &packets)
    };
    let (told, _) = of(&late(RETRANSMITTED - 1_000_000), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <abcdefghi");
    let (told, stats) = of(&late(RETRANSMITTED + 1_000_000), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <abcdefghi", "the retransmission itself is not too late");
    assert_eq!(stats.flows.gaps, 0);
    let without: Vec<Captured> = captured(&segments[..5]);
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &without), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <-3 <defghi");
    assert_eq!((stats.flows.gaps, stats.flows.gap_bytes), (1, 3));
}

#[test]
fn no_more_is_held_than_the_bound() {
    let early = |at: u32| seg(Client, 2 + 2 * at, 1, "PA", "x");
    let bound = u32::try_from(MAX_HELD_SEGMENTS).unwrap();
    let segments: Vec<Seg> = (0..=bound).map(early).collect();
    let mut packets = captured(&connection(&segments));
    // All at once: no time passes.
    packets.iter_mut().for_each(|packet| packet.0 = packets_start());
    let (told, _, stats) = lines(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    assert_eq!(told[1].text, "<-1");
    assert_eq!(stats.flows.held, u64::from(bound) + 1);
    assert_eq!((stats.flows.gaps, stats.flows.bytes), (u64::from(bound) + 1, u64::from(bound) + 1));
}

fn packets_start() -> u64 {
    super::wire::START
}

#[test]
fn cut_packets_are_gaps_of_the_length_that_they_had() {
    let mut packets = captured(&connection(&[
        seg(Client, 1, 1, "PA", "abcdef"),
        seg(Client, 7, 1, "PA", "ghi"),
        seg(Server, 1, 10, "PA", "x"),
    ]));
    packets[3].2.truncate(20 + 24 + 2);
    // Within the options.
    packets[4].2.truncate(20 + 22);
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <ab-4 <-3 >x");
    assert_eq!((stats.flows.cut, stats.flows.cut_bytes, stats.flows.gaps), (2, 7, 0));
}

#[test]
fn resets_end_a_connection_at_once() {
    check(
        &[seg(Client, 1, 1, "PA", "ask"), seg(Client, 4, 1, "RA", ""), seg(Client, 4, 1, "PA", "no")],
        "<ask <error 104 closed",
    );
    // The server's own reset is an end without an error of any call of its own.
    let stats = check(&[seg(Client, 1, 1, "PA", "ask"), seg(Server, 1, 0, "R", "")], "<ask closed");
    assert_eq!(stats.stray_resets, 0);
    // What was held comes first.
    check(&[seg(Client, 2, 1, "PA", "sk"), seg(Client, 4, 1, "RA", "")], "<-1 <sk <error 104 closed");
    let stats = check(
        &[seg(Client, 1, 1, "PA", "ask"), seg(Client, 1 << 30, 1, "RA", ""), seg(Server, 1, 4, "PA", "yes")],
        "<ask >yes",
    );
    assert_eq!(stats.stray_resets, 1);
}

#[test]
fn a_reset_waits_for_what_was_sent_before_it() {
    let ask = seg(Client, 1, 1, "PA", "ask");
    let answer = [seg(Server, 1, 4, "PA", "answer"), seg(Server, 7, 4, "PA", "more")];
    let reset = seg(Server, 11, 4, "RA", "");
    let [first, second] = answer.clone();
    check(&[ask.clone(), first, reset.clone(), second], "<ask >answermore closed");
    let [first, second] = answer;
    check(&[ask.clone(), second, reset.clone(), first], "<ask >answermore closed");
    // It does not wait for ever: without the rest it comes with what comes next, or at the end.
    let segments = connection(&[ask, reset, seg(Client, 4, 1, "PA", "anew")]);
    let mut packets = captured(&segments);
    let (told, _) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <askanew closed");
    packets[5].0 += 1 + REORDERED;
    let (told, _) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    assert_eq!(told, "accept 10.0.0.2:80 <askanew closed");
    packets.push(packets[5].clone());
    let (_, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    assert_eq!(stats.flows.after_end, 1);
}

#[test]
fn a_syn_that_comes_late_is_of_the_connection_that_it_began() {
    let [syn, answer, _] = <[Seg; 3]>::try_from(handshake()).unwrap();
    let (ask, more) = (seg(Client, 1, 1, "PA", "ask"), seg(Client, 4, 1, "PA", "more"));
    for order in [[&answer, &ask, &more, &syn], [&ask, &answer, &more, &syn], [&ask, &more, &syn, &answer]] {
        let (told, stats) = of(&raw(&order.map(Clone::clone)), WantedEnds::Server);
        assert_eq!((stats.connections, stats.flows.gaps), (1, 0), "{told}");
        assert!(told.contains("<ask") && told.contains("more"), "{told}");
    }
}

#[test]
fn what_waited_is_told_with_its_own_time() {
    let segments = connection(&[
        seg(Client, 4, 1, "PA", "def"),
        seg(Client, 1, 1, "PA", "abc"),
        // Bytes 7 to 9 were acknowledged, and are not in the capture.
        seg(Server, 1, 10, "PA", "answer"),
        seg(Client, 10, 7, "PA", "next"),
        seg(Client, 14, 7, "A", ""),
    ]);
    let mut packets = spaced(&segments, 1000);
    packets[7].0 += 1 + REORDERED;
    let (lines, _, _) = lines(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
    let told: Vec<(&str, usize)> = lines
        .iter()
        .map(|line| (line.text.as_str(), packets.iter().position(|packet| packet.0 == line.time).unwrap()))
        .collect();
    let accept = ("accept 10.0.0.2:80", 4);
    assert_eq!(told, [accept, ("<abc", 4), ("<def", 4), ("<-3", 5), (">answer", 5), ("<next", 6)]);
}

#[test]
fn a_fin_that_is_not_in_the_capture_is_no_byte() {
    let exchange = [seg(Client, 1, 1, "PA", "ask"), seg(Server, 1, 4, "PA", "answer")];
    let segments = [&exchange[..], &[seg(Client, 4, 8, "FA", ""), seg(Server, 8, 5, "A", "")]].concat();
    let stats = check(&segments, "<ask >answer shutdown <end closed");
    assert_eq!(stats.gaps, 0);
    // A byte that something else than the end acknowledges is one.
    let segments = [&exchange[..], &[seg(Client, 4, 8, "PA", "more"), seg(Server, 8, 8, "A", "")]].concat();
    assert_eq!(check(&segments, "<ask >answer >-1 <more").gaps, 1);
}

#[test]
fn a_refused_connection_is_nothing() {
    let (told, stats) = server(&[seg(Client, 0, 0, "S", ""), seg(Server, 0, 1, "RA", "")]);
    assert_eq!((told.as_str(), stats.connections), ("", 1));
}

#[test]
fn a_fin_waits_for_what_comes_before_it() {
    check(
        &[
            seg(Client, 4, 1, "FPA", "def"),
            seg(Client, 1, 1, "A", "abc"),
            seg(Client, 4, 1, "FPA", "def"),
            seg(Server, 1, 8, "FPA", "bye"),
        ],
        "<abcdef <end >bye shutdown closed",
    );
}

#[test]
fn a_connection_that_began_before_the_capture_is_seen_from_both_ends_without_roles() {
    let segments = [
        seg(Client, 500, 900, "PA", "ask"),
        seg(Server, 900, 503, "PA", "answer"),
        seg(Client, 503, 906, "PA", "more"),
    ];
    let (told, stats) = of(&raw(&segments), WantedEnds::Both);
    assert_eq!(told, "seen 10.0.0.1 seen 10.0.0.2:80 >ask <ask <answer >answer >more <more");
    assert_eq!((stats.midstream, stats.flows.gaps), (1, 0));
    // An acknowledgment alone tells where the other stream stands: bytes before it are not missed.
    let segments =
        [seg(Server, 900, 500, "A", ""), seg(Client, 502, 900, "PA", "k"), seg(Client, 500, 900, "PA", "as")];
    let (told, stats) = of(&raw(&segments), WantedEnds::Both);
    assert_eq!(told, "seen 10.0.0.1 seen 10.0.0.2:80 >as <as >k <k");
    assert_eq!(stats.flows.gaps, 0);
}

#[test]
fn half_a_handshake_tells_the_roles() {
    for segments in [&handshake()[1..], &handshake()[..1]] {
        let ask = [seg(Client, 1, 1, "PA", "ask"), seg(Server, 1, 4, "PA", "answer")];
        let (told, stats) = server(&[segments, &ask].concat());
        assert_eq!(told, "accept 10.0.0.2:80 <ask >answer");
        assert_eq!(stats.midstream, 0);
    }
}

#[test]
fn data_in_the_syn_is_data() {
    let segments =
        [seg(Client, 0, 0, "S", "ask"), seg(Server, 0, 4, "SA", ""), seg(Server, 1, 4, "PA", "answer")];
    assert_eq!(server(&segments).0, "accept 10.0.0.2:80 <ask >answer");
    let mut announced = Vec::new();
    let mut note = |event: &Event<'_>| {
        if let Event::Connection(_, event) = event {
            announced.push((event.rx_position, event.tx_position));
        }
        Interest::Whole
    };
    events(&raw(&segments)[..], WantedEnds::Server, &mut note).unwrap();
    let first = |number: u32| number.wrapping_add(1);
    assert_eq!(
        announced,
        [(first(CLIENT_START), first(SERVER_START))],
        "nothing is missing before the answer"
    );
    assert_eq!(server(&segments[..1]).0, "accept 10.0.0.2:80 <ask", "it was not answered");
}

#[test]
fn the_same_ports_again_are_another_connection() {
    let mut segments = connection(&[seg(Client, 1, 1, "PA", "ask")]);
    // The same SYN again is not.
    segments.extend(handshake());
    let again = |mut seg: Seg| {
        seg.sequence = seg.sequence.wrapping_add(1000);
        seg.acknowledgment = seg.acknowledgment.wrapping_add(1000);
        seg
    };
    segments.extend(connection(&[seg(Client, 1, 1, "PA", "anew")]).into_iter().map(again));
    let (lines, _, stats) = lines(&raw(&segments), WantedEnds::Server);
    let told: Vec<(u64, &str)> = lines.iter().map(|line| (line.sock, line.text.as_str())).collect();
    let (first, second) = (told[0].0, told[2].0);
    assert_ne!(first, second);
    let accept = "accept 10.0.0.2:80";
    assert_eq!(told, [(first, accept), (first, "<ask"), (second, accept), (second, "<anew")]);
    assert_eq!(stats.connections, 2);
}

#[test]
fn a_connection_that_is_played_again_is_told_again() {
    let segments = connection(&[
        seg(Client, 1, 1, "PA", "ask"),
        seg(Client, 4, 1, "FA", ""),
        seg(Server, 1, 5, "FA", ""),
    ]);
    let once = captured(&segments);
    for (later, connections) in [(500_000_000, 1), (5_000_000_000, 2)] {
        let again = once.iter().map(|(time, length, bytes)| (time + later, *length, bytes.clone()));
        let packets: Vec<Captured> = once.iter().cloned().chain(again).collect();
        let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
        assert_eq!((told.matches("<ask").count(), stats.connections), (connections, connections as u64));
    }
}

#[test]
fn one_direction_alone_is_told_with_gaps_for_the_other() {
    let segments =
        [seg(Client, 1, 1, "PA", "ask"), seg(Client, 4, 7, "PA", "more"), seg(Client, 8, 9, "PA", "last")];
    let (told, _) = of(&raw(&segments), WantedEnds::Both);
    let expected = "seen 10.0.0.1 seen 10.0.0.2:80 >ask <ask <-6 >-6 >more <more <-2 >-2 >last <last";
    assert_eq!(told, expected);
}

#[test]
fn each_packet_twice_as_any_interface_shows_them_is_told_once() {
    let segments = connection(&[
        seg(Client, 1, 1, "PA", "ask"),
        seg(Server, 1, 4, "PA", "answer"),
        seg(Client, 4, 7, "FA", ""),
        seg(Server, 7, 5, "FA", ""),
    ]);
    let twice: Vec<Seg> = segments.iter().flat_map(|seg| [seg.clone(), seg.clone()]).collect();
    let (told, stats) = server(&twice);
    assert_eq!(told, "accept 10.0.0.2:80 <ask >answer <end shutdown closed");
    assert_eq!((stats.connections, stats.flows.gaps), (1, 0));
}

#[test]
fn who_wants_only_the_end_gets_nothing_else() {
    let segments = connection(&[
        seg(Client, 1, 1, "PA", "ask"),
        seg(Server, 1, 4, "PA", "answer"),
        seg(Client, 4, 7, "FA", ""),
        seg(Server, 7, 5, "FA", ""),
    ]);
    let mut kinds = Vec::new();
    let mut take = |event: &Event<'_>| {
        kinds.push(event.header().kind);
        if kinds.len() == 2 { Interest::EndOnly } else { Interest::Whole }
    };
    events(&raw(&segments), WantedEnds::Server, &mut take).unwrap();
    // Accept, the question; closed, and the thread's end.
    assert_eq!(kinds, [3, 1, 3, 4]);
}
