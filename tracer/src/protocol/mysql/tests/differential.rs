//! What `mysql_common`, an independent implementation, reads in the captures: the same results.

use bytes::BytesMut;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    CommonOkPacket, ErrPacket, HandshakePacket, HandshakeResponse, OkPacketDeserializer, OldEofPacket,
    ResultSetTerminator,
};
use mysql_common::proto::codec::{Compression, PacketCodec};

use super::captures::FIXTURES;
use super::*;

/// What an answer says in all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    rows: Option<u64>,
    affected: u64,
    error: Option<(u16, Option<[u8; 5]>)>,
}

/// Reads a capture call by call. Both sides share a codec, which checks the sequence numbers too.
struct Peer {
    codec: PacketCodec,
    capabilities: CapabilityFlags,
}

impl Peer {
    fn packets(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut source = BytesMut::from(bytes);
        let mut packets = Vec::new();
        loop {
            if source.get(3) == Some(&0) {
                self.codec.reset_seq_id();
            }
            let mut packet = Vec::new();
            match self.codec.decode(&mut source, &mut packet) {
                Ok(true) => packets.push(packet),
                Ok(false) => return packets,
                Err(error) => panic!("{error} after {} packets", packets.len()),
            }
        }
    }

    fn has(&self, flag: CapabilityFlags) -> bool {
        self.capabilities.contains(flag)
    }

    /// The end of a result set, or of an answer without one: whether another result follows.
    fn end(&self, packet: &[u8], in_rows: bool, outcome: &mut Outcome) -> Option<bool> {
        let more = |flags: StatusFlags| flags.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS);
        if packet[0] == 0xff {
            let error: ErrPacket<'_> = ParseBuf(packet).parse(self.capabilities).unwrap();
            let error = error.server_error();
            outcome.error = Some((error.error_code(), error.sql_state_ref().map(|state| state.as_bytes())));
            return Some(false);
        }
        if in_rows {
            let flags = if self.has(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
                let ok = ParseBuf(packet)
                    .parse::<OkPacketDeserializer<'_, ResultSetTerminator>>(self.capabilities);
                ok.ok().map(|ok| ok.into_inner().status_flags())
            } else {
                let eof = ParseBuf(packet).parse::<OkPacketDeserializer<'_, OldEofPacket>>(self.capabilities);
                eof.ok().filter(|_| packet.len() == 5).map(|ok| ok.into_inner().status_flags())
            };
            if flags.is_some_and(|flags| flags.contains(StatusFlags::SERVER_STATUS_CURSOR_EXISTS)) {
                // The rows stay on the server.
                outcome.rows = None;
            }
            return flags.map(more);
        }
        let ok = ParseBuf(packet).parse::<OkPacketDeserializer<'_, CommonOkPacket>>(self.capabilities);
        let ok = ok.ok()?.into_inner();
        outcome.affected += ok.affected_rows();
        Some(more(ok.status_flags()))
    }

    /// The answer to COM_QUERY and COM_STMT_EXECUTE.
    fn results(&self, packets: &[Vec<u8>], outcome: &mut Outcome) {
        let mut packets = packets.iter().filter(|packet| packet.get(..3) != Some(b"\xff\xff\xff"));
        while let Some(first) = packets.next() {
            match self.end(first, false, outcome) {
                Some(true) => continue,
                Some(false) => return assert!(packets.next().is_none()),
                None if first[0] == 0xfb => continue,
                None => {}
            }
            outcome.rows.get_or_insert(0);
            let defined = first.get(1) != Some(&0);
            for _ in 0..if defined { first[0] } else { 0 } {
                // (It does not know MariaDB's extended definitions.)
                assert!(packets.next().unwrap().starts_with(b"\x03def"));
            }
            let eof = !self.has(CapabilityFlags::CLIENT_DEPRECATE_EOF);
            if eof && packets.next().unwrap()[3] & 0x40 != 0 {
                // A cursor: no rows yet.
                outcome.rows = None;
                return;
            }
            loop {
                let packet = packets.next().unwrap();
                match self.end(packet, true, outcome).filter(|_| packet[0] >= 0xfe) {
                    Some(true) => break,
                    Some(false) => return assert!(packets.next().is_none()),
                    None => outcome.rows = outcome.rows.map(|rows| rows + 1),
                }
            }
        }
    }
}

/// The outcomes of the statements of a capture.
fn outcomes(steps: &[Step]) -> Vec<Outcome> {
    let mut peer = Peer { codec: PacketCodec::default(), capabilities: CapabilityFlags::empty() };
    let greeting = peer.packets(&steps[0].1).remove(0);
    let offered = ParseBuf(&greeting).parse::<HandshakePacket<'_>>(()).unwrap().capabilities();
    let login = peer.packets(&steps[1].1).remove(0);
    peer.capabilities = ParseBuf(&login).parse::<HandshakeResponse<'_>>(()).unwrap().capabilities() & offered;
    let first = steps.iter().position(|(side, bytes)| *side == Side::Request && bytes[3] == 0);
    let steps = &steps[first.unwrap_or(steps.len())..];
    if peer.has(CapabilityFlags::CLIENT_COMPRESS) {
        peer.codec.compress(Compression::default());
    }
    let mut outcomes = Vec::new();
    let mut steps = steps.iter().peekable();
    while let Some((_, request)) = steps.next() {
        // Before the last command there can be closes, which are not answered.
        let command = peer.packets(request).pop().unwrap()[0];
        let mut answer = Vec::new();
        while let Some((_, bytes)) = steps.next_if(|(side, bytes)| *side == Side::Response || bytes[3] != 0) {
            // A file's content and its answer belong to the statement too.
            answer.extend(peer.packets(bytes));
        }
        if matches!(command, 0x03 | 0x17) && !answer.is_empty() {
            let mut outcome = Outcome::default();
            peer.results(&answer, &mut outcome);
            outcomes.push(outcome);
        }
    }
    outcomes
}

#[test]
fn an_independent_reader_finds_the_same_results() {
    // What that reader does not take: two commands at once, a file's content among the packets, zstd.
    const BEYOND: [&str; 2] = ["17ffffffff", "2044415441204c4f43414c20494e46494c45"];
    let mut compared = 0;
    for (text, _) in FIXTURES {
        let title = text.lines().next().unwrap();
        let steps = fixture(text);
        let beyond = title.contains("zstd") || BEYOND.iter().any(|bytes| text.contains(bytes));
        if beyond || steps.len() < 4 {
            continue;
        }
        let out = play(&steps, true);
        let ours: Vec<Outcome> = exchanges(&out)
            .filter(|(_, exchange)| matches!(exchange.command.name(), "QUERY" | "EXECUTE"))
            .map(|(_, exchange)| Outcome {
                rows: exchange.rows,
                affected: exchange.affected_rows.unwrap_or(0),
                error: exchange.error.map(|error| (error.code, error.sqlstate)),
            })
            .collect();
        assert_eq!(ours, outcomes(&steps), "{title}");
        compared += ours.len();
    }
    assert!(compared > 50, "only {compared} statements were compared");
}
