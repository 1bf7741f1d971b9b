//! Properties that hold whatever the packets are.

use proptest::prelude::*;

use super::transcript::{of, server};
use super::wire::Who::{Client, Server};
use super::wire::{Order, START, Seg, handshake, pcap, raw, seg, v6};
use crate::capture::link::linktype;
use crate::capture::{Interest, WantedEnds, events};
use crate::probe::decode::Event;

/// Cuts a text into segments of one peer.
fn cut(who: super::wire::Who, acknowledgment: u32, text: &str, lengths: &[usize]) -> Vec<Seg> {
    let mut segments = Vec::new();
    let mut at = 0;
    for length in lengths.iter().cycle() {
        let end = (at + length).min(text.len());
        let sequence = 1 + u32::try_from(at).unwrap();
        segments.push(seg(who, sequence, acknowledgment, "PA", &text[at..end]));
        at = end;
        if at == text.len() {
            return segments;
        }
    }
    segments
}

proptest! {
    /// Any segmentation, order and repetition of a stream gives its bytes, once and in order.
    #[test]
    fn segments_in_any_order_and_number_are_the_same_stream(
        lengths in proptest::collection::vec(1_usize..40, 1..8),
        again in proptest::collection::vec(1_usize..40, 1..8),
        keys in proptest::collection::vec(any::<u32>(), 600),
    ) {
        let text: String = ('a'..='z').cycle().take(300).collect();
        let segments = [cut(Client, 1, &text, &lengths), cut(Client, 1, &text, &again)].concat();
        let mut order: Vec<usize> = (0..segments.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        let mut all = handshake();
        all.extend(order.into_iter().map(|at| segments[at].clone()));
        let (told, stats) = server(&all);
        prop_assert_eq!(told, format!("accept 10.0.0.2:80 <{text}"));
        prop_assert_eq!(stats.flows.gaps, 0);
        prop_assert_eq!(stats.flows.bytes, 300);
    }

    /// What is missing is a gap of just that length, and nothing that comes before in time is told after what it
    /// caused.
    #[test]
    fn missing_segments_are_gaps_of_their_length(
        lengths in proptest::collection::vec(1_usize..40, 1..8),
        lost in proptest::collection::vec(any::<bool>(), 300),
    ) {
        let text: String = ('a'..='z').cycle().take(300).collect();
        let answer = "ANSWER";
        let segments = cut(Client, 1, &text, &lengths);
        let mut all = handshake();
        let kept = segments.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(seg, _)| seg.clone());
        all.extend(kept);
        all.push(seg(Server, 1, 301, "PA", answer));
        let mut expected = String::new();
        for (seg, lost) in segments.iter().zip(&lost) {
            match lost {
                true => expected.extend(std::iter::repeat_n('-', seg.data.len())),
                false => expected.push_str(std::str::from_utf8(&seg.data).unwrap()),
            }
        }
        let (told, _) = server(&all);
        let mut seen = String::new();
        for part in told.trim_start_matches("accept 10.0.0.2:80 ").split(' ') {
            match part.strip_prefix("<-").and_then(|count| count.parse().ok()) {
                Some(count) => seen.extend(std::iter::repeat_n('-', count)),
                None => seen.push_str(part.trim_start_matches('<')),
            }
        }
        prop_assert_eq!(seen, format!("{expected}>{answer}"));
    }

    #[test]
    fn no_extension_headers_panic(
        headers in proptest::collection::vec((proptest::sample::select(&[0_u8, 6, 43, 44, 51, 59, 60, 135]), 0_u8..4), 1..6),
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut extensions = Vec::new();
        for pair in headers.windows(2) {
            let ((_, size), (next, _)) = (pair[0], pair[1]);
            extensions.extend([next, size]);
            extensions.extend(rest.iter().copied().chain(std::iter::repeat(1)).take(6 + 8 * usize::from(size)));
        }
        extensions.extend(rest);
        let bytes = v6("2001:db8::1", "2001:db8::2", headers[0].0, &extensions);
        for end in 40..=bytes.len() {
            let packet = (START, bytes.len(), bytes[..end].to_vec());
            let file = pcap(Order::Little, true, linktype::RAW, &[packet.clone(), packet]);
            let (_, stats) = events(&file, WantedEnds::Both, &mut |_: &Event<'_>| Interest::Whole).unwrap();
            prop_assert_eq!(stats.packets, 2);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut nothing = |_: &Event<'_>| Interest::Whole;
        let _ = events(&bytes, WantedEnds::Both, &mut nothing);
    }

    /// Damage anywhere in a capture.
    #[test]
    fn no_damage_panics(
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..30),
        cut_at in any::<u16>(),
        pcapng in any::<bool>(),
    ) {
        let mut file = if pcapng { ng() } else { raw(&exchange()) };
        for (at, value) in changes {
            let at = usize::from(at) % file.len();
            file[at] = value;
        }
        file.truncate(usize::from(cut_at) % (2 * file.len()));
        let mut nothing = |_: &Event<'_>| Interest::Whole;
        let _ = events(&file, WantedEnds::Both, &mut nothing);
    }

    /// Segments of any numbers: told bytes and gaps never overlap, and nothing panics or is held for ever.
    #[test]
    fn no_numbers_confuse_a_stream(
        segments in proptest::collection::vec(
            (any::<bool>(), any::<u32>(), any::<u32>(), 0_usize..7, 0_usize..9), 0..60),
        near in any::<bool>(),
    ) {
        let flags = ["A", "PA", "FA", "S", "SA", "R", "RA"];
        let limit = if near { 40 } else { u32::MAX };
        let segments: Vec<Seg> = segments
            .into_iter()
            .map(|(client, sequence, number, flag, length)| {
                let who = if client { Client } else { Server };
                seg(who, sequence % limit, number % limit, flags[flag], &"x".repeat(length))
            })
            .collect();
        let _ = of(&raw(&segments), WantedEnds::Both);
    }
}

fn exchange() -> Vec<Seg> {
    let mut segments = handshake();
    segments.push(seg(Client, 1, 1, "PA", "GET / HTTP/1.1\r\n\r\n"));
    segments.push(seg(Server, 1, 19, "PA", "HTTP/1.1 204 No Content\r\n\r\n"));
    segments.push(seg(Client, 19, 28, "FA", ""));
    segments.push(seg(Server, 28, 20, "FA", ""));
    segments
}

fn ng() -> Vec<u8> {
    use super::wire::{Order, captured, enhanced, interface, section};
    let mut file = section(Order::Big);
    file.extend(interface(Order::Big, 101, 9, 0));
    for (time, length, bytes) in captured(&exchange()) {
        file.extend(enhanced(Order::Big, 0, time, length, &bytes));
    }
    file
}
