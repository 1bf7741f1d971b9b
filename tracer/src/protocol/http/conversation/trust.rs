//! Whether a response can be told to belong to a request, after something was lost.
//!
//! HTTP/1 messages carry no numbers: a response belongs to the earliest request that has none. That holds while
//! every message is known. After a loss it holds again once everything lost has been answered, which shows in a
//! request that begins while nothing is open: a client that does not pipeline has then got all its answers.
//!
//! ```text
//!   Sure ── responses lost, at most one request open ───────────────────────────────────▶ Ready
//!   Sure ── a request's end lost ──▶ AwaitAnswer ── the last open request is answered ──▶ Ready
//!   Sure ── requests lost, or too many open ──▶ AwaitOrphan ── a response of nobody ────▶ Ready
//!   Ready ── a request begins, nothing open ──▶ Sure
//! ```
//!
//! Whether a client pipelines is learnt from what it does: a client that did must be patient for a while before
//! it is believed again. One that pipelines for the first time within a loss cannot be told from one that waits.

/// Times in a row that a client waited for its response, after which it is believed not to pipeline.
const PATIENCE: u8 = 8;

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
    /// The response of nobody that is under way began in state `AwaitOrphan`.
    awaited: bool,
    /// Responses of nobody in state `Sure`: requests that are yet to be reported, or were lost.
    owed: u32,
    /// Requests that began since a response did, or was lost.
    unanswered: u32,
    /// Call in which the last request began.
    last_call: Option<u64>,
    /// Requests in a row that began while nothing was open, up to `PATIENCE`.
    waited: u8,
    /// The client was seen to pipeline, and has not been patient since.
    pipelines: bool,
}

impl Trust {
    pub(super) fn new(fresh: bool) -> Self {
        let state = if fresh { State::Sure } else { State::Ready };
        Self {
            state,
            orphan: false,
            awaited: false,
            owed: 0,
            unanswered: 0,
            last_call: None,
            waited: 0,
            pipelines: false,
        }
    }

    pub(super) fn is_sure(&self) -> bool {
        self.state == State::Sure
    }

    /// A request begins in `call`; `idle` if none is open and no response is under way. Whether its response can
    /// be told.
    pub(super) fn request_begins(&mut self, call: u64, idle: bool) -> bool {
        let idle = idle && self.unanswered == 0;
        self.orphan = false;
        self.unanswered = self.unanswered.saturating_add(1);
        if self.last_call.replace(call) == Some(call) {
            self.pipelined();
        }
        if idle {
            self.waited = self.waited.saturating_add(1).min(PATIENCE);
            self.pipelines &= !self.is_patient();
        }
        if self.owed > 0 {
            self.owed -= 1;
            return false;
        }
        match self.state {
            State::Sure => {}
            State::Ready if idle && !self.pipelines => self.state = State::Sure,
            State::Ready => self.state = State::AwaitOrphan,
            State::AwaitAnswer | State::AwaitOrphan => {}
        }
        self.is_sure()
    }

    /// A response begins.
    pub(super) fn response_begins(&mut self) {
        if std::mem::take(&mut self.unanswered) > 1 {
            self.pipelined();
        }
    }

    /// The client was seen not to wait for a response before its next request.
    fn pipelined(&mut self) {
        self.pipelines = true;
        self.waited = 0;
    }

    fn is_patient(&self) -> bool {
        self.waited == PATIENCE
    }

    /// Whole requests may be missing from here on. A patient client has got all its answers if one that belongs
    /// to nobody has passed; of another, the next request is sacrificed to see one pass.
    /// More of a request whose end is unknown already changes nothing.
    pub(super) fn requests_lost(&mut self) {
        if self.state == State::AwaitAnswer {
            return;
        }
        self.owed = 0;
        self.unanswered = 0;
        self.awaited = false;
        self.state = if self.orphan && self.is_patient() { State::Ready } else { State::AwaitOrphan };
    }

    /// The end of the request that is being read will not be recognised. `open`: it still awaits its response.
    pub(super) fn request_end_lost(&mut self, open: bool) {
        if self.is_sure() {
            self.state = if open { State::AwaitAnswer } else { State::Ready };
        }
    }

    /// A part of the responses is missing while `open` requests were open.
    pub(super) fn responses_lost(&mut self, open: usize, of_nobody: bool) {
        self.unanswered = 0;
        self.state = match self.state {
            State::AwaitOrphan if !(of_nobody && self.awaited) => State::AwaitOrphan,
            _ if open <= 1 => State::Ready,
            _ => State::AwaitOrphan,
        };
    }

    /// Requests and responses can no longer be told to match, whatever is known of either.
    pub(super) fn lost(&mut self) {
        self.awaited = false;
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
        self.awaited = self.state == State::AwaitOrphan;
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

    /// A response of nobody turns out to have ended earlier than it said; others may have been taken for its body.
    pub(super) fn orphan_ended_before(&mut self) {
        self.unanswered = 0;
        self.orphan_ends();
    }

    /// A response of nobody ends.
    pub(super) fn orphan_ends(&mut self) {
        if self.state == State::AwaitOrphan && self.awaited {
            self.state = State::Ready;
        }
    }
}
