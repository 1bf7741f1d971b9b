//! Decompression: what goes through, what is bounded, and what becomes of losses.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::unpacker::MAX_UNPACKED;
use super::*;

/// What an unpacker gave.
#[derive(Debug, PartialEq, Eq)]
enum Given {
    Bytes(Vec<u8>),
    Missing(u64),
    Lost,
}

/// Collects what is given; bytes that follow bytes are joined.
fn give_to(given: &mut Vec<Given>) -> impl FnMut(Piece<'_>) {
    |piece| match (piece, given.last_mut()) {
        (Piece::Bytes { bytes, .. }, Some(Given::Bytes(before))) => before.extend_from_slice(bytes),
        (Piece::Bytes { bytes, .. }, _) => given.push(Given::Bytes(bytes.to_vec())),
        (Piece::Missing(lost), _) => given.push(Given::Missing(lost)),
        (Piece::Lost, _) => given.push(Given::Lost),
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A packet around a payload that claims to have had `unpacked` bytes.
fn packet(seq: u8, payload: &[u8], unpacked: usize) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(seq);
    bytes.extend_from_slice(&(unpacked as u32).to_le_bytes()[..3]);
    bytes.extend_from_slice(payload);
    bytes
}

fn packed(seq: u8, bytes: &[u8]) -> Vec<u8> {
    packet(seq, &deflated(bytes), bytes.len())
}

/// A packet that holds these bytes, compressed only where that pays: what clients and servers send.
pub(in super::super) fn smallest(seq: u8, bytes: &[u8]) -> Vec<u8> {
    let small = deflated(bytes);
    if small.len() < bytes.len() { packet(seq, &small, bytes.len()) } else { packet(seq, bytes, 0) }
}

fn feed(unpacker: &mut Unpacker, bytes: &[u8]) -> Vec<Given> {
    let mut given = Vec::new();
    unpacker.feed(bytes, true, &mut give_to(&mut given));
    given
}

#[test]
fn packets_are_joined_wherever_they_are_cut() {
    let text = b"SELECT ".repeat(20);
    let bytes = [packed(0, &text), packet(1, b"stored", 0), packed(2, b"end")].concat();
    let expected = [Given::Bytes([&text[..], b"stored", b"end"].concat())];
    for at in 0..=bytes.len() {
        let (mut unpacker, mut given) = (Unpacker::new(true), Vec::new());
        let (head, tail) = bytes.split_at(at);
        unpacker.feed(head, true, &mut give_to(&mut given));
        unpacker.feed(tail, true, &mut give_to(&mut given));
        assert_eq!(given, expected, "cut at {at}");
    }
}

#[test]
fn a_bomb_is_not_opened() {
    let zeros = deflated(&vec![0; MAX_UNPACKED as usize + 1]);
    let given = feed(&mut Unpacker::new(true), &packet(0, &zeros, MAX_UNPACKED as usize + 1));
    assert_eq!(given, [Given::Missing(u64::from(MAX_UNPACKED) + 1)]);
    // One that lies about its size ends where it said it would.
    let mut unpacker = Unpacker::new(true);
    let given = feed(&mut unpacker, &packet(0, &zeros, 20_000));
    let bytes: usize =
        given.iter().map(|given| if let Given::Bytes(bytes) = given { bytes.len() } else { 0 }).sum();
    assert!(bytes <= 20_000 && given.last() == Some(&Given::Lost), "{bytes}");
    assert!(!unpacker.is_framed());
    // zstd: four bytes of content repeated for ever, in a frame that asks for a window of 1 GiB.
    let zstd = [&b"\x28\xb5\x2f\xfd\x00\xa0"[..], b"\xff\xff\xffA"].concat();
    assert_eq!(feed(&mut Unpacker::new(true), &packet(0, &zstd, 1_000_000)), [Given::Lost]);
}

#[test]
fn a_side_cannot_become_ever_so_much_more() {
    let bomb = packed(0, &vec![0; MAX_UNPACKED as usize]);
    let (mut unpacker, mut opened, mut sent) = (Unpacker::new(true), 0_u64, 0_u64);
    for _ in 0..40 {
        sent += bomb.len() as u64;
        unpacker.feed(&bomb, true, &mut |piece| match piece {
            Piece::Bytes { bytes, .. } => opened += bytes.len() as u64,
            Piece::Missing(lost) => assert_eq!(lost, u64::from(MAX_UNPACKED)),
            Piece::Lost => panic!("framing was never lost"),
        });
    }
    assert!(opened < 16 * 1024 * 1024 + 129 * sent, "{opened} bytes of {sent}");
    assert!(unpacker.is_framed());
}

#[test]
fn a_hole_in_a_packet_is_as_long_as_what_was_in_it() {
    let text = b"SELECT ".repeat(20);
    let bytes = [packed(0, &text), packed(1, b"next")].concat();
    let (mut unpacker, mut given) = (Unpacker::new(true), Vec::new());
    let mut give = give_to(&mut given);
    unpacker.feed(&bytes[..10], true, &mut give);
    unpacker.skip(3, &mut give);
    unpacker.feed(&bytes[13..], true, &mut give);
    drop(give);
    assert_eq!(given, [Given::Missing(text.len() as u64), Given::Bytes(b"next".to_vec())]);
    // In a packet that is not compressed only what is missing is missing.
    let (mut unpacker, mut given) = (Unpacker::new(true), Vec::new());
    let bytes = packet(0, b"stored bytes", 0);
    let mut give = give_to(&mut given);
    unpacker.feed(&bytes[..10], true, &mut give);
    unpacker.skip(3, &mut give);
    unpacker.feed(&bytes[13..], true, &mut give);
    drop(give);
    let expected = [Given::Bytes(b"sto".to_vec()), Given::Missing(3), Given::Bytes(b" bytes".to_vec())];
    assert_eq!(given, expected);
}

#[test]
fn a_hole_over_a_boundary_loses_the_boundaries_until_a_packet_is_found() {
    let request = |text: &str| {
        let mut inner = (text.len() as u32 + 1).to_le_bytes().to_vec();
        inner.push(3);
        inner.extend_from_slice(text.as_bytes());
        inner
    };
    let first = packed(0, &request("SELECT 1"));
    let second = request(
        "DELETE FROM t WHERE a IN (SELECT a FROM u WHERE a IN (SELECT a FROM u WHERE a IN (SELECT a FROM u)))",
    );
    let bytes = packed(0, &second);
    for at in 0..bytes.len() {
        let (mut unpacker, mut given) = (Unpacker::new(true), Vec::new());
        let mut give = give_to(&mut given);
        unpacker.feed(&first[..9], true, &mut give);
        unpacker.skip(first.len() as u64, &mut give);
        assert!(!unpacker.is_framed());
        assert!(!unpacker.seek(b"tail of something", false, Sought::Request, &mut give));
        assert!(!unpacker.seek(
            b"\x10\0\0\0\x30\0\0something else at a call's start",
            true,
            Sought::Request,
            &mut give
        ));
        let (head, tail) = bytes.split_at(at);
        let found = unpacker.seek(head, true, Sought::Request, &mut give);
        assert!(!found && unpacker.seek(tail, at == 0, Sought::Request, &mut give), "cut at {at}");
        drop(give);
        assert_eq!(given, [Given::Lost, Given::Bytes(second.clone())]);
    }
}

#[test]
fn corrupt_data_is_noticed() {
    let sound = packed(0, &b"SELECT ".repeat(20));
    for at in 7..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        let given = feed(&mut Unpacker::new(true), &bytes);
        assert_eq!(given.last(), Some(&Given::Lost), "changed at {at}");
    }
}

proptest::proptest! {
    /// Neither algorithm's reader panics, runs on or gives more than was agreed.
    #[test]
    fn damaged_packets_are_survived(
        zstd in proptest::bool::ANY,
        changes in proptest::collection::vec((0..10_000_usize, 0..=255_u8), 0..8),
        claimed in 0..5_000_usize,
    ) {
        let content = b"INSERT INTO t VALUES (1, 'some text that repeats itself'), ".repeat(30);
        let mut payload = if zstd {
            ruzstd::encoding::compress_to_vec(&content[..], ruzstd::encoding::CompressionLevel::Fastest)
        } else {
            deflated(&content)
        };
        for (at, byte) in changes {
            let at = at % payload.len();
            // The magic stays, so that the rest is read.
            if at >= 4 {
                payload[at] = byte;
            }
        }
        let given = feed(&mut Unpacker::new(true), &packet(0, &payload, claimed.max(1)));
        for given in given {
            if let Given::Bytes(bytes) = given {
                proptest::prop_assert!(bytes.len() <= claimed.max(1));
            }
        }
    }
}
