//! The search for a connection's protocol, from its first bytes to a conversation.

use tracer_ebpf::Direction;

use super::detect::{self, Finding, Held};
use super::{Connection, ConnectionStats, Following, Piece, Stage, State, endpoints};
use crate::event::{Endpoints, Role};
use crate::protocol::{Opening, Start};

/// Attempts to find the protocol of a connection that is older than the tracer. Each begins where the bytes turn
/// round, because that is where messages begin.
pub const MAX_ATTEMPTS: u8 = 16;

impl Connection {
    /// Takes a piece of a connection whose protocol is not known.
    pub(super) fn detect(&mut self, piece: Piece<'_>, stage: &mut Stage<'_>) {
        let State::Detecting(detecting) = &mut self.state else { return };
        let at_start = detecting.held.is_some() || piece.call_start;
        if detecting.passing == Some(piece.direction) || !at_start {
            stage.stats.undetected_bytes += piece.bytes.len() as u64;
            return;
        }
        detecting.passing = None;
        let held = match &mut detecting.held {
            None => None,
            Some(held) => {
                if !keep(held, &piece, detecting.fresh) {
                    stage.stats.undecided += u64::from(detecting.fresh);
                    return self.pass(piece.direction, stage);
                }
                Some(&**held)
            }
        };
        let opening = opening(self.role, detecting.fresh, &self.endpoints, held, piece);
        let server = endpoints::server(&self.endpoints, self.role).or(self.endpoints.peer.as_ref());
        let hint = server.and_then(|server| stage.hints.get(&server.address));
        match detect::find(&opening, stage.protocols, hint) {
            Finding::Protocol(index, role) => self.follow(index, role, piece, stage),
            Finding::Unsure if held.is_some_and(Held::is_over) => self.pass(piece.direction, stage),
            Finding::Unsure => self.hold(piece, stage),
            Finding::Tls => self.ignore(stage, |stats| &mut stats.tls),
            Finding::Http2 => self.ignore(stage, |stats| &mut stats.http2),
            Finding::Unknown if detecting.fresh => self.ignore(stage, |stats| &mut stats.unknown),
            Finding::Unknown => self.pass(piece.direction, stage),
        }
    }

    fn follow(&mut self, index: usize, role: Role, piece: Piece<'_>, stage: &mut Stage<'_>) {
        let State::Detecting(detecting) = &mut self.state else { return };
        let Some(protocol) = stage.protocols.get(index) else { return };
        if !stage.wanted.includes(protocol, role) {
            stage.stats.other_end += 1;
            self.state = State::Ignored;
            return;
        }
        let fresh = detecting.fresh;
        let held = detecting.held.take();
        let mut conversation = (protocol.start)(Start { role, fresh });
        conversation.tell_health_checks_by(stage.health);
        if !self.sequence {
            conversation.expect_no_end();
        }
        let mut following = Following { role, conversation };
        match &held {
            None => following.take(piece, stage.out),
            Some(held) => {
                for (direction, bytes, call_start, mark, lost) in held.chunks() {
                    following.take(Piece { direction, bytes, call_start, mark }, stage.out);
                    following.lose(direction, lost, mark, stage.out);
                }
            }
        }
        *stage.stats.by_protocol.entry(protocol.name).or_default() += 1;
        self.role = Some(role);
        self.protocol = Some(protocol.name);
        if let Some(server) = endpoints::server(&self.endpoints, self.role) {
            stage.hints.set(&server.address, index);
        }
        self.state = State::Following(following);
    }

    /// Keeps what did not suffice; it is kept already when there was something before it.
    fn hold(&mut self, piece: Piece<'_>, stage: &mut Stage<'_>) {
        let State::Detecting(detecting) = &mut self.state else { return };
        if detecting.held.is_some() {
            return;
        }
        let mut held = Box::<Held>::default();
        if keep(&mut held, &piece, detecting.fresh) {
            detecting.held = Some(held);
        } else {
            stage.stats.undecided += u64::from(detecting.fresh);
            self.pass(piece.direction, stage);
        }
    }

    /// These bytes showed nothing. A connection seen from its start stays unknown; on an older one they may be the
    /// middle of a message, and the next turn of direction is another chance.
    fn pass(&mut self, direction: Direction, stage: &mut Stage<'_>) {
        let State::Detecting(detecting) = &mut self.state else { return };
        detecting.held = None;
        detecting.attempts += 1;
        detecting.passing = Some(direction);
        if detecting.fresh {
            self.state = State::Ignored;
        } else if detecting.attempts >= MAX_ATTEMPTS {
            self.ignore(stage, |stats| &mut stats.unknown);
        }
    }

    fn ignore(&mut self, stage: &mut Stage<'_>, counter: fn(&mut ConnectionStats) -> &mut u64) {
        let stats = &mut *stage.stats;
        let counted = stage.wanted.counts(self.role);
        *(if counted { counter(stats) } else { &mut stats.other_end }) += 1;
        self.state = State::Ignored;
    }
}

/// Holds a piece. Of an older connection the beginnings of long calls suffice: all that it moves may be long.
fn keep(held: &mut Held, piece: &Piece<'_>, fresh: bool) -> bool {
    let Piece { direction, bytes, call_start, mark } = *piece;
    if fresh {
        held.push(direction, bytes, call_start, mark)
    } else {
        held.take(direction, bytes, call_start, mark)
    }
}

fn opening<'a>(
    role: Option<Role>,
    fresh: bool,
    endpoints: &'a Endpoints,
    held: Option<&'a Held>,
    piece: Piece<'a>,
) -> Opening<'a> {
    let incoming = piece.direction == Direction::Ingress;
    let (ingress, egress, first) = match held {
        Some(held) => (held.ingress(), held.egress(), held.ingress_first()),
        None if incoming => (piece.bytes, &[][..], Some(true)),
        None => (&[][..], piece.bytes, Some(false)),
    };
    Opening { role, fresh, ingress, egress, ingress_first: first, endpoints }
}
