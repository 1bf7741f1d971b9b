//! Whole conversations: captured from real servers and clients, and made up.

mod captures;
mod differential;
mod golden;
mod loss;
mod made_up;
mod zstd;

use std::collections::BTreeMap;

use super::conversation::MysqlConversation;
use super::{Completeness, MysqlExchange};
use crate::event::{Mark, Moment, Role, Side};
use crate::protocol::{Conversation, Detail, End, ExchangeId, Input, Progress, Start, Times};

/// One call: a side, and the bytes that it moved.
pub(super) type Step = (Side, Vec<u8>);

/// Reads a fixture: a line a call, `C` (client) or `S` (server) and the bytes in hex.
pub(super) fn fixture(text: &str) -> Vec<Step> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (side, hex) = line.split_once(' ').unwrap();
            let side = if side == "C" { Side::Request } else { Side::Response };
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            (side, digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect())
        })
        .collect()
}

/// A packet.
pub(super) fn packet(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(seq);
    bytes.extend_from_slice(payload);
    bytes
}

/// A request of one packet.
pub(super) fn command(byte: u8, arguments: &[u8]) -> Step {
    (Side::Request, packet(0, &[&[byte], arguments].concat()))
}

/// An answer of several packets.
pub(super) fn answer(payloads: &[&[u8]]) -> Step {
    let packets =
        payloads.iter().enumerate().map(|(index, payload)| packet((index as u8).wrapping_add(1), payload));
    (Side::Response, packets.collect::<Vec<_>>().concat())
}

/// Feeds a conversation and counts calls; time is the number of the call.
pub(super) struct Player {
    conversation: MysqlConversation,
    pub(super) out: Vec<Progress>,
    call: u64,
}

impl Player {
    pub(super) fn new(fresh: bool) -> Self {
        let start = Start { role: Role::Client, fresh };
        Self { conversation: MysqlConversation::new(start), out: Vec::new(), call: 0 }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { time: self.call, call: self.call, ..Mark::default() }
    }

    /// One call.
    pub(super) fn call(&mut self, side: Side, bytes: &[u8]) {
        self.call += 1;
        self.part(side, bytes, true);
    }

    /// More of the same call.
    pub(super) fn part(&mut self, side: Side, bytes: &[u8], call_start: bool) {
        let mark = self.mark();
        self.conversation.on_bytes(Input { side, bytes, call_start, mark }, &mut self.out);
    }

    pub(super) fn gap(&mut self, side: Side, lost: u64) {
        let mark = self.mark();
        self.conversation.on_gap(side, lost, mark, &mut self.out);
    }

    pub(super) fn window(&self) -> crate::protocol::Window {
        self.conversation.window()
    }

    /// Closes the connection and checks the rules that every conversation keeps.
    pub(super) fn close(mut self) -> Vec<Progress> {
        self.call += 1;
        let mark = self.mark();
        self.conversation.on_end(Side::Response, End::Closed, mark, &mut self.out);
        check_rules(&self.out);
        self.out
    }
}

/// Every exchange begins once and ends once; its moments are in order.
fn check_rules(out: &[Progress]) {
    let mut open: BTreeMap<ExchangeId, Mark> = BTreeMap::new();
    for progress in out {
        match progress {
            Progress::Begun { id, mark } => assert!(open.insert(*id, *mark).is_none(), "{id} begins twice"),
            Progress::Touched { id, .. } | Progress::Answered { id } => {
                assert!(open.contains_key(id), "{id} touched, but not open")
            }
            Progress::Context { .. } => panic!("MySQL carries no trace context"),
            Progress::Abandoned { id, .. } => {
                assert!(open.remove(id).is_some(), "{id} abandoned, but not open");
            }
            Progress::Ended { id, exchange } => {
                let begun = open.remove(id);
                let Times { request_first, request_last, response_first, end } = exchange.times;
                assert_eq!(begun.map(Moment::from), Some(request_first));
                assert!(request_first.time <= end.time);
                assert!(request_first.time <= request_last.time);
                assert!(response_first.is_none_or(|first| first.time <= end.time));
            }
        }
    }
    assert!(open.is_empty(), "never ended: {open:?}");
}

/// The exchanges, as lines.
pub(super) fn lines(out: &[Progress]) -> Vec<String> {
    exchanges(out).map(|(_, detail)| line(detail)).collect()
}

/// The exchanges that became spans.
pub(super) fn exchanges(out: &[Progress]) -> impl Iterator<Item = (Times, &MysqlExchange)> {
    out.iter().filter_map(|progress| match progress {
        Progress::Ended { exchange, .. } => match &exchange.detail {
            Detail::Mysql(detail) => Some((exchange.times, detail)),
            other => panic!("{other:?}"),
        },
        _ => None,
    })
}

fn line(exchange: &MysqlExchange) -> String {
    use std::fmt::Write;
    let mut line = exchange.command.name().to_owned();
    if let Some(text) = &exchange.text {
        let prepared = if exchange.prepared { "*" } else { "" };
        let cut = if text.truncated { "…" } else { "" };
        write!(line, " {prepared}[{}{cut}]", text.text).unwrap();
    }
    if let Some(database) = &exchange.database {
        write!(line, " in {database}").unwrap();
    }
    if let Some(rows) = exchange.rows {
        write!(line, " rows={rows}").unwrap();
    }
    if let Some(affected) = exchange.affected_rows.filter(|affected| *affected > 0) {
        write!(line, " affected={affected}").unwrap();
    }
    if let Some(warnings) = exchange.warnings.filter(|warnings| *warnings > 0) {
        write!(line, " warnings={warnings}").unwrap();
    }
    if let Some(error) = exchange.error {
        let state = error.sqlstate.map(|state| String::from_utf8(state.to_vec()).unwrap());
        write!(line, " error={}/{}", error.code, state.unwrap_or_default()).unwrap();
    }
    if exchange.completeness != Completeness::Whole {
        write!(line, " {:?}", exchange.completeness).unwrap();
    }
    line
}

/// Plays every step as one call.
pub(super) fn play(steps: &[Step], fresh: bool) -> Vec<Progress> {
    let mut player = Player::new(fresh);
    steps.iter().for_each(|(side, bytes)| player.call(*side, bytes));
    player.close()
}
