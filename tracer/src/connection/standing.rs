//! Where a connection stands at the moment of a call.

use tracer_ebpf::Direction;
use tracer_ebpf::event::flag;

use super::{Connection, Detecting, State};
use crate::probe::decode::Data;

/// Positions in both directions, and the socket at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Position of the next byte to be received, before the call.
    pub ingress: Option<u64>,
    /// Position of the next byte to be sent, before the call.
    pub egress: Option<u64>,
    /// Positions are TCP sequence numbers, of which the low 32 bits count.
    pub sequence: bool,
    /// AF_UNIX: the peer's `struct sock`; 0 where it is not known.
    pub peer_sock: u64,
}

impl Connection {
    /// Where it stood before any of its bytes moved, if it was seen to begin.
    #[must_use]
    pub fn begin(&self) -> Option<Standing> {
        let State::Detecting(Detecting { fresh: true, .. }) = self.state else { return None };
        (!self.moved).then_some(Standing {
            ingress: self.ingress.next(),
            egress: self.egress.next(),
            sequence: self.sequence,
            peer_sock: self.peer_sock,
        })
    }

    /// Where it stands before the call whose bytes it is about to take.
    #[must_use]
    pub fn standing(&self, data: &Data<'_>) -> Standing {
        // What the kernel says was read after the call: another thread can have gone on by then.
        let other = data.other_position.map(u64::from);
        let (ingress, egress) = match data.direction {
            Direction::Ingress => (Some(data.position), self.egress.next().or(other)),
            Direction::Egress => (self.ingress.next().or(other), Some(data.position)),
        };
        let sequence = data.header.flags & flag::SEQUENCE != 0;
        Standing { ingress, egress, sequence, peer_sock: self.peer_sock }
    }
}
