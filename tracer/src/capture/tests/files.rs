//! File formats and what stands before a segment.

use super::transcript::{lines, of};
use super::wire::{
    Captured, Order, START, Seg, Who, captured, enhanced, handshake, interface, pcap, raw, section, seg,
    simple, v4,
};
use crate::capture::link::linktype;
use crate::capture::{CaptureError, CaptureStats, FileEnd, Interest, WantedEnds, events};
use crate::probe::decode::Event;

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

const EXPECTED: &str = "accept 10.0.0.2:80 <ask >answer";

fn exchange() -> Vec<Seg> {
    let mut segments = handshake();
    segments.push(seg(Who::Client, 1, 1, "PA", "ask"));
    segments.push(seg(Who::Server, 1, 4, "PA", "answer"));
    segments
}

/// The exchange, each packet behind these bytes.
fn behind(header: &[u8]) -> Vec<Captured> {
    let packet = |(time, _, ip): Captured| {
        let bytes = [header, &ip].concat();
        (time, bytes.len(), bytes)
    };
    captured(&exchange()).into_iter().map(packet).collect()
}

#[track_caller]
fn check(file: &[u8]) -> CaptureStats {
    let (told, stats) = of(file, WantedEnds::Server);
    assert_eq!(told, EXPECTED);
    assert_eq!((stats.connections, stats.midstream), (1, 0));
    stats
}

#[track_caller]
fn check_times(file: &[u8]) {
    let (lines, _, _) = lines(file, WantedEnds::Server);
    let answer = lines.iter().find(|line| line.text == ">answer").unwrap();
    assert_eq!(answer.time, START + 4000);
}

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for order in ORDERS {
        for nanos in [false, true] {
            let file = pcap(order, nanos, linktype::RAW, &captured(&exchange()));
            check(&file);
            check_times(&file);
        }
    }
}

#[test]
fn the_patched_pcap_of_old() {
    let mut file = pcap(Order::Little, false, linktype::RAW, &[]);
    file[..4].copy_from_slice(&[0x34, 0xcd, 0xb2, 0xa1]);
    for (time, length, bytes) in captured(&exchange()) {
        for number in [1, u32::try_from(time % 1_000_000_000).unwrap() / 1000] {
            file.extend(number.to_le_bytes());
        }
        for number in [bytes.len(), length, 2, 0] {
            file.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        file.extend(bytes);
    }
    check(&file);
    check_times(&file);
}

#[test]
fn pcapng_in_both_byte_orders_and_several_resolutions() {
    for order in ORDERS {
        // if_tsresol, units a second, if_tsoffset.
        for (resolution, units, offset) in
            [(6, 1_000_000, 0_i64), (9, 1_000_000_000, 1), (0x80 | 30, 1 << 30, 0)]
        {
            let mut file = section(order);
            file.extend(interface(order, linktype::ETHERNET, 6, 0));
            file.extend(interface(order, linktype::RAW, resolution, offset));
            for (time, length, bytes) in captured(&exchange()) {
                let since = u128::from(time) - offset as u128 * 1_000_000_000;
                let count = u64::try_from((since * units).div_ceil(1_000_000_000)).unwrap();
                file.extend(enhanced(order, 1, count, length, &bytes));
                // Statistics: of no interest.
                file.extend(super::wire::block(order, 5, &[0; 12]));
            }
            check(&file);
            check_times(&file);
        }
    }
}

#[test]
fn sections_of_different_byte_orders_and_simple_packets() {
    let packets = captured(&exchange());
    let mut file = section(Order::Little);
    file.extend(interface(Order::Little, linktype::RAW, 6, 0));
    packets[..3].iter().for_each(|packet| file.extend(simple(Order::Little, &packet.2)));
    file.extend(section(Order::Big));
    // What was described before is not any more.
    file.extend(enhanced(Order::Big, 0, 1, packets[3].1, &packets[3].2));
    file.extend(interface(Order::Big, linktype::RAW, 9, 0));
    packets[3..]
        .iter()
        .for_each(|packet| file.extend(enhanced(Order::Big, 0, packet.0, packet.1, &packet.2)));
    assert_eq!(check(&file).unusable, 1);
}

#[test]
fn every_link_layer() {
    let ethernet = [&[2; 12][..], &[8, 0]].concat();
    let vlan = [&[2; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
    let qinq = [&[2; 12][..], &[0x88, 0xa8, 0, 6, 0x81, 0, 0, 5, 8, 0]].concat();
    let cooked = [&[0; 14][..], &[8, 0]].concat();
    let cooked2 = [&[8, 0][..], &[0; 18]].concat();
    let links: [(i32, &[u8]); 11] = [
        (linktype::ETHERNET, &ethernet),
        (linktype::ETHERNET, &vlan),
        (linktype::ETHERNET, &qinq),
        (linktype::NULL, &[2, 0, 0, 0]),
        (linktype::LOOP, &[0, 0, 0, 2]),
        (linktype::LINUX_SLL, &cooked),
        (linktype::LINUX_SLL2, &cooked2),
        (linktype::RAW, &[]),
        (linktype::RAW_BSD, &[]),
        (linktype::RAW_OPENBSD, &[]),
        (linktype::IPV4, &[]),
    ];
    for (link, header) in links {
        check(&pcap(Order::Little, true, link, &behind(header)));
    }
    let (told, stats) = of(&pcap(Order::Little, true, 147, &behind(&[])), WantedEnds::Server);
    assert_eq!((told.as_str(), stats.unknown_link), ("", 5));
}

#[test]
fn ipv6_with_and_without_extension_headers() {
    let expected = "accept [2001:db8::2]:80 <ask >answer";
    let fragment_of_one = [6, 0, 0, 0, 0, 0, 0, 9];
    let options = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [6, 0, 1, 4, 0, 0, 0, 0];
    let chains: [(&[u8], u8); 4] =
        [(&[], 6), (&destination, 60), (&[options, destination].concat(), 0), (&fragment_of_one, 44)];
    for (extensions, next) in chains {
        let packets: Vec<Captured> = exchange()
            .iter()
            .map(|seg| seg.v6(extensions, next))
            .map(|bytes| (START, bytes.len(), bytes))
            .collect();
        let (told, _) = of(&pcap(Order::Big, true, linktype::IPV6, &packets), WantedEnds::Server);
        assert_eq!(told, expected);
    }
}

/// As on the network between two nodes whose pods have a network of their own.
#[test]
fn tunnels_between_nodes() {
    let macs = [0x22; 12];
    let ethernet = |ip: &[u8]| [&macs[..], &[8, 0], ip].concat();
    let datagram = |port: u16, payload: &[u8]| {
        let length = u16::try_from(8 + payload.len()).unwrap();
        [&50_000_u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
    };
    let vxlan = |ip: &[u8]| {
        let frame = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(ip)].concat();
        v4("192.168.0.4", "192.168.0.5", 17, 0, &datagram(4789, &frame))
    };
    let in_ip = |ip: &[u8]| v4("192.168.0.4", "192.168.0.5", 4, 0, ip);
    let twice = |ip: &[u8]| in_ip(&vxlan(ip));
    for tunnel in ["vxlan", "ip in ip", "vxlan in ip"] {
        let packet = |(time, _, ip): Captured| {
            let outer = match tunnel {
                "vxlan" => vxlan(&ip),
                "ip in ip" => in_ip(&ip),
                _ => twice(&ip),
            };
            let bytes = ethernet(&outer);
            (time, bytes.len(), bytes)
        };
        let packets: Vec<Captured> = captured(&exchange()).into_iter().map(packet).collect();
        check(&pcap(Order::Little, true, linktype::ETHERNET, &packets));
    }
    let deep = (0..9).fold(exchange()[0].v4(), |ip, _| in_ip(&ip));
    let file = pcap(Order::Little, true, linktype::RAW, &[(START, deep.len(), deep)]);
    let (_, stats) = of(&file, WantedEnds::Server);
    assert_eq!((stats.segments, stats.malformed), (0, 1));
}

#[test]
fn what_is_no_whole_segment_is_skipped_and_counted() {
    let ask = seg(Who::Client, 1, 1, "PA", "ask");
    let udp = v4("10.0.0.1", "10.0.0.2", 17, 0, &[0; 20]);
    let first = v4("10.0.0.1", "10.0.0.2", 6, 0x2000, &ask.tcp());
    let mut later = v4("10.0.0.1", "10.0.0.2", 6, 3, &[0; 20]);
    later[5] = 2;
    let first6 = ask.v6(&[6, 0, 0, 1, 0, 0, 0, 9], 44);
    let cut_ip = ask.v4()[..19].to_vec();
    let cut_tcp = ask.v4()[..33].to_vec();
    let mut small = ask.v4();
    small[20 + 12] = 4 << 4;
    let mut long = ask.v4();
    long[20 + 12] = 15 << 4;
    let mut short = ask.v4();
    short[3] = 10;
    let packets = [udp, first, later, first6, cut_ip, cut_tcp, small, long, short, vec![], vec![0x10]];
    let packets: Vec<Captured> = packets.into_iter().map(|bytes| (START, 60, bytes)).collect();
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Both);
    assert_eq!(told, "");
    assert_eq!((stats.packets, stats.segments, stats.not_tcp, stats.not_ip), (11, 0, 1, 1));
    assert_eq!((stats.fragments, stats.cut_headers, stats.malformed), (3, 3, 3));
    assert!(stats.to_string().contains("3 packets were skipped because they are fragments, of"), "{stats}");
}

/// The payload of an IP packet in two fragments; the second one comes first.
fn in_fragments(seg: &Seg, number: u8) -> [Vec<u8>; 2] {
    let (from, to) = match seg.who {
        Who::Client => ("10.0.0.1", "10.0.0.2"),
        Who::Server => ("10.0.0.2", "10.0.0.1"),
    };
    let tcp = seg.tcp();
    let (first, second) = tcp.split_at(16);
    let mut fragments = [v4(from, to, 6, 2, second), v4(from, to, 6, 0x2000, first)];
    fragments.iter_mut().for_each(|fragment| fragment[5] = number);
    fragments
}

#[test]
fn fragments_are_put_together() {
    let packets = |link: &[u8]| -> Vec<Captured> {
        let fragments = exchange().into_iter().zip(1..).flat_map(|(seg, number)| in_fragments(&seg, number));
        let packets = fragments.map(|fragment| [link, &fragment].concat());
        packets.map(|bytes| (START, bytes.len(), bytes)).collect()
    };
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets(&[])), WantedEnds::Server);
    assert_eq!((told.as_str(), stats.joined, stats.fragments, stats.segments), (EXPECTED, 10, 0, 5));
    // What a tunnel holds can come in fragments, and a tunnel's packets too.
    let tunnel = v4("192.0.2.1", "192.0.2.2", 4, 0, &[]);
    let mut inside = packets(&tunnel);
    for (_, _, bytes) in &mut inside {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
    }
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &inside), WantedEnds::Server);
    assert_eq!((told.as_str(), stats.joined, stats.fragments), (EXPECTED, 10, 0));
    // One that was cut is of no use, nor is the other one then.
    let mut cut = packets(&[]);
    cut[6].2.truncate(30);
    let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &cut), WantedEnds::Server);
    assert_eq!((told.as_str(), stats.joined, stats.fragments), ("accept 10.0.0.2:80 <-3 >answer", 8, 2));
}

#[test]
fn fragments_of_ipv6_are_put_together() {
    // What comes before the fragment header, and what it is: options of eight and more bytes, and authentication.
    let options = [44, 2, 1, 4, 0, 0, 0, 0, 1, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [&[44, 3][..], &[6; 18]].concat();
    let headers: [(&[u8], u8); 4] =
        [(&[], 44), (&[44, 0, 1, 4, 0, 0, 0, 0], 0), (&options, 60), (&authentication, 51)];
    for (before, first) in headers {
        let packets = exchange().into_iter().zip(1..).flat_map(|(seg, number)| {
            let whole = seg.v6(&[], 6);
            let (head, tcp) = whole.split_at(40);
            let fragment = |offset: u8, more: u8, part: &[u8]| {
                let length = u16::try_from(before.len() + 8 + part.len()).unwrap().to_be_bytes();
                let mut head = head.to_vec();
                head[4..6].copy_from_slice(&length);
                head[6] = first;
                [&head[..], before, &[6, 0, 0, offset | more, 0, 0, 0, number], part].concat()
            };
            [fragment(0, 1, &tcp[..16]), fragment(16, 0, &tcp[16..])]
        });
        let packets: Vec<Captured> = packets.map(|bytes| (START, bytes.len(), bytes)).collect();
        let (told, stats) = of(&pcap(Order::Little, true, linktype::RAW, &packets), WantedEnds::Server);
        let expected = EXPECTED.replace("10.0.0.2:80", "[2001:db8::2]:80");
        assert_eq!((told, stats.joined, stats.fragments), (expected, 10, 0), "{first}");
    }
}

#[test]
fn padding_is_no_payload_and_offloaded_lengths_are_found() {
    let mut packets = captured(&exchange());
    for (_, length, bytes) in &mut packets {
        // Ethernet's minimum.
        bytes.extend([0xee; 30]);
        *length = bytes.len();
    }
    check(&pcap(Order::Little, true, linktype::RAW, &packets));
    let mut packets = captured(&exchange());
    packets.iter_mut().for_each(|(_, _, bytes)| bytes[2..4].copy_from_slice(&[0, 0]));
    check(&pcap(Order::Little, true, linktype::RAW, &packets));
}

#[test]
fn a_file_that_ends_within_a_record_is_read_up_to_it() {
    let file = raw(&exchange());
    let whole = file.len();
    for end in 24..whole {
        let (told, how, _) = lines(&file[..end], WantedEnds::Server);
        let starts: Vec<usize> = (0..6).map(|count| raw(&exchange()[..count.min(5)]).len()).collect();
        assert_eq!(how == FileEnd::Whole, starts.contains(&end), "{end}");
        assert_eq!(told.iter().any(|line| line.text == "<ask"), end >= starts[4], "{end}");
    }
}

#[test]
fn what_is_no_capture_is_refused_in_a_sentence() {
    let mut nothing = |_: &Event<'_>| Interest::Whole;
    for file in
        [&b""[..], b"\xd4\xc3\xb2", b"hello, this is text", &[0; 100], &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]]
    {
        let error = events(file, WantedEnds::Auto, &mut nothing).unwrap_err();
        assert!(matches!(error, CaptureError::NotACapture));
    }
    assert_eq!(CaptureError::NotACapture.to_string(), "it is neither pcap nor pcapng");
}

#[test]
fn damage_ends_a_file() {
    let mut file = raw(&exchange());
    let at = raw(&exchange()[..4]).len();
    file[at + 8..at + 12].copy_from_slice(&[0xff; 4]);
    let (told, end, _) = lines(&file, WantedEnds::Server);
    assert_eq!((told.last().unwrap().text.as_str(), end), ("<ask", FileEnd::Damaged));
    let mut file = section(Order::Little);
    file.extend([6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lines(&file, WantedEnds::Server).1, FileEnd::Damaged);
}
