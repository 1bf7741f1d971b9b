//! zstd on both sides, as the protocol's description has it: no server at hand compresses by it.
//!
//! A packet's lengths have three bytes. What is short or does not shrink is sent as it is, with an original length of 0. The
//! numbers of the server's packets go on from the client's; the messages in them need not end where packets do.

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::made_up::{CLIENT, COLUMN, EOF, OK, greeting, login};
use super::*;

const ZSTD: u32 = 1 << 26;

/// Clients and servers compress nothing that is shorter.
const SHORTEST: usize = 50;

fn frame(seq: u8, bytes: &[u8]) -> Vec<u8> {
    let small = if bytes.len() < SHORTEST {
        bytes.to_vec()
    } else {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    };
    let (payload, original) = if small.len() < bytes.len() { (&small[..], bytes.len()) } else { (bytes, 0) };
    let mut frame = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    frame.push(seq);
    frame.extend_from_slice(&(original as u32).to_le_bytes()[..3]);
    frame.extend_from_slice(payload);
    frame
}

/// Bytes that shrink to about a half.
fn letters(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 28) as u8
    };
    (0..count).map(|_| letter()).collect()
}

/// A row of one column.
fn row(text: &[u8]) -> Vec<u8> {
    [&[0xfd], &(text.len() as u32).to_le_bytes()[..3], text].concat()
}

/// A long statement and its answer, a result with long rows whose bytes are in packets that end at these places, a ping.
fn conversation(ends: impl Fn(usize) -> Vec<usize>) -> Vec<Step> {
    let insert = packet(0, &[b"\x03INSERT INTO t VALUES ('", &letters(200_000)[..], b"')"].concat());
    let (first, second) = insert.split_at(150_000);
    let rows = [row(b"short"), row(&letters(90_000)), row(&letters(LONG)), row(&letters(5))];
    let mut payloads: Vec<&[u8]> = vec![b"\x01", COLUMN, EOF];
    payloads.extend(rows.iter().map(Vec::as_slice));
    payloads.push(EOF);
    let (_, result) = answer(&payloads);
    let mut packets = Vec::new();
    let mut begin = 0;
    for (at, end) in ends(result.len()).into_iter().chain([result.len()]).enumerate() {
        packets.extend(frame((at as u8).wrapping_add(1), &result[begin..end]));
        begin = end;
    }
    vec![
        (Side::Request, [frame(0, first), frame(1, second)].concat()),
        (Side::Response, frame(2, &packet(1, OK))),
        (Side::Request, frame(0, &packet(0, SELECT))),
        (Side::Response, packets),
        (Side::Request, frame(0, &packet(0, b"\x0e"))),
        (Side::Response, frame(1, &packet(1, OK))),
    ]
}

const SELECT: &[u8] = b"\x03SELECT a FROM t WHERE a <> 'a rather long text' ORDER BY a";

/// A row's length that is more than is kept of a packet until it is complete, even when it has shrunk.
const LONG: usize = 700_000;

/// What a full buffer holds is a packet.
fn by_buffer(length: usize) -> Vec<usize> {
    (1..).map(|at| at * 16_384).take_while(|end| *end < length).collect()
}

/// What is longer than the buffer is one: here a long row, but for its beginning and its end.
fn by_row(length: usize) -> Vec<usize> {
    vec![length - LONG + 100, length - 200]
}

fn opening() -> Vec<Step> {
    vec![greeting(CLIENT | ZSTD), login(CLIENT | ZSTD), (Side::Response, packet(2, OK))]
}

#[test]
fn zstd_on_both_sides() {
    let long = frame(0, &letters(200_000));
    assert!(long[2] > 0 && long[6] > 0, "lengths of three bytes");
    let ends: [&dyn Fn(usize) -> Vec<usize>; 3] =
        [&by_buffer, &by_row, &|length| (1..length.div_ceil(3000)).map(|at| at * 3000).collect()];
    for ends in ends {
        let steps = [opening(), conversation(ends)].concat();
        for call in [usize::MAX, 1460, 7] {
            let mut player = Player::new(true);
            for (side, bytes) in &steps {
                bytes.chunks(call).for_each(|part| player.call(*side, part));
            }
            let told = lines(&player.close());
            let cut: Vec<&str> = told.iter().map(|line| line.get(..30).unwrap_or(line)).collect();
            assert_eq!(
                cut,
                ["QUERY [INSERT INTO t VALUES ('", "QUERY [SELECT a FROM t WHERE a", "PING in shop"]
            );
            assert!(told[1].ends_with("ORDER BY a] in shop rows=4"), "{}", told[1]);
        }
    }
}

/// From the middle: nobody has seen what was agreed on.
#[test]
fn zstd_of_an_older_connection() {
    let steps = conversation(by_buffer);
    let told = lines(&play(&steps[2..], false));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("ORDER BY a] rows=4") && told[1].starts_with("PING"), "{told:?}");
}

/// A packet that claims less than its content has is not read on, and what comes behind it is read.
#[test]
fn zstd_that_lies_about_its_length() {
    let mut steps = opening();
    let mut liar = frame(0, &packet(0, &[b"\x03SELECT '", &letters(1000)[..], b"'"].concat()));
    liar[4] = liar[4].wrapping_sub(1);
    steps.push((Side::Request, liar));
    steps.push((Side::Response, frame(1, &packet(1, OK))));
    steps.extend(conversation(by_buffer));
    let told = lines(&play(&steps, true));
    assert!(told.iter().any(|line| line.ends_with("rows=4")), "{told:?}");
}
