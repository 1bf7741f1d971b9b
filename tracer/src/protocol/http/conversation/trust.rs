//! Whether a response can be told to belong to a request, after something was lost.
//!
//! HTTP/1 messages carry no numbers: a response belongs to the earliest request that has none. That holds while
//! every message is known. After a loss it holds again once everything lost has been answered, which shows in a
//! request that begins while nothing is open: a client that does not pipeline has then got all its answers.
//!
//! ```text
//!          response side lost, one open                       request begins, nothing open
//!  Sure ──────────────────────────────────────────▶ Ready ─────────────────────────────────▶ Sure
//!   │ ├── request's own framing lost ──▶ AwaitAnswer ──last open answered──▶ ▲
//!   │ └── whole requests may be lost ──▶ AwaitOrphan ──response of nobody──▶ ┘
//! ```

/// Idle turns without pipelining after which a client is believed not to pipeline.
const PIPELINING_TURNS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All open requests are known, and responses pair with them in order.
    Sure,
    /// All requests up to the one whose end is unknown are known.
    AwaitAnswer,
    /// Requests are unknown. Their responses belong to nobody; one of them must pass.
    AwaitOrphan,
    /// The next request that begins with nothing open is the first certain one.
    Ready,
}

/// What pairing rests on.
#[derive(Debug)]
pub(super) struct Trust {
    state: State,
    /// A response of nobody began since the last request did.
    orphan: bool,
    /// Responses of nobody in state `Sure`: requests that are yet to be reported, or were lost.
    owed: u32,
    /// Turns for which the client is still believed to pipeline.
    pipelining: u8,
}

impl Trust {
    pub(super) fn new(fresh: bool) -> Self {
        let state = if fresh { State::Sure } else { State::Ready };
        Self { state, orphan: false, owed: 0, pipelining: 0 }
    }

    pub(super) fn is_sure(&self) -> bool {
        self.state == State::Sure
    }

    /// A request begins; `idle` if none is open and no response is under way. Whether its response can be told.
    pub(super) fn request_begins(&mut self, idle: bool) -> bool {
        self.orphan = false;
        if idle {
            self.pipelining = self.pipelining.saturating_sub(1);
        }
        if self.owed > 0 {
            self.owed -= 1;
            return false;
        }
        match self.state {
            State::Sure => {}
            State::Ready if idle && self.pipelining == 0 => self.state = State::Sure,
            State::Ready => self.state = State::AwaitOrphan,
            State::AwaitAnswer | State::AwaitOrphan => {}
        }
        self.is_sure()
    }

    /// The client was seen not to wait for a response before its next request.
    pub(super) fn pipelined(&mut self) {
        self.pipelining = PIPELINING_TURNS;
    }

    /// Whole requests may be missing from here on.
    pub(super) fn requests_lost(&mut self) {
        self.owed = 0;
        self.state = if self.orphan { State::Ready } else { State::AwaitOrphan };
    }

    /// The end of the request that is being read will not be recognised. `open`: it still awaits its response.
    pub(super) fn request_end_lost(&mut self, open: bool) {
        if self.is_sure() {
            self.state = if open { State::AwaitAnswer } else { State::Ready };
        }
    }

    /// A part of the responses is missing while `open` requests were open.
    pub(super) fn responses_lost(&mut self, open: usize, of_nobody: bool) {
        self.state = match self.state {
            State::AwaitOrphan if !of_nobody => State::AwaitOrphan,
            _ if open <= 1 => State::Ready,
            _ => State::AwaitOrphan,
        };
    }

    /// Requests and responses can no longer be told to match, whatever is known of either.
    pub(super) fn lost(&mut self) {
        self.state = State::AwaitOrphan;
    }

    /// The last response ended that an open request was waiting for.
    pub(super) fn all_answered(&mut self) {
        if self.state == State::AwaitAnswer {
            self.state = State::Ready;
        }
    }

    /// A response of nobody begins.
    pub(super) fn orphan_begins(&mut self) {
        self.orphan = true;
        if self.is_sure() {
            self.owed = self.owed.saturating_add(1);
        }
    }

    /// It was interim (1xx): the final one will begin again.
    pub(super) fn orphan_was_interim(&mut self) {
        if self.is_sure() {
            self.owed = self.owed.saturating_sub(1);
        }
    }

    /// A response of nobody ends.
    pub(super) fn orphan_ends(&mut self) {
        if self.state == State::AwaitOrphan {
            self.state = State::Ready;
        }
    }
}
