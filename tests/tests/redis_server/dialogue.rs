//! A connection to the server whose bytes also go to the parser, in random pieces.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tracer::event::{Mark, Role, Side, ThreadId};
use tracer::protocol::redis::{PROTOCOL, RedisExchange};
use tracer::protocol::{Conversation, Detail, End, Input, Progress, Start};

use crate::commands::Random;

/// What the last reply ends with.
const LAST: &str = "the-last-reply-of-all";

/// How long to look for more replies in between. A short one only changes how the bytes are cut.
const GLANCE: Duration = Duration::from_millis(1);

pub(crate) struct Dialogue {
    stream: TcpStream,
    conversation: Box<dyn Conversation>,
    out: Vec<Progress>,
    random: Random,
    call: u64,
    seed: u64,
}

impl Dialogue {
    pub(crate) fn connect(address: SocketAddr, seed: u64) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let conversation = (PROTOCOL.start)(Start { role: Role::Client, fresh: true });
        Self { stream, conversation, out: Vec::new(), random: Random::new(seed ^ 0x5eed), call: 0, seed }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.feed(Side::Request, bytes);
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads up to so many times what has arrived.
    pub(crate) fn receive_some(&mut self, times: u64) {
        self.stream.set_read_timeout(Some(GLANCE)).unwrap();
        for _ in 0..times {
            self.receive();
        }
    }

    /// Leaves every mode, and reads to the end.
    pub(crate) fn finish(&mut self) {
        self.send(format!("RESET\r\nECHO {LAST}\r\n").as_bytes());
        self.stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let end = format!("{LAST}\r\n").into_bytes();
        let mut tail = Vec::new();
        while !tail.ends_with(&end) {
            let read = self.receive().unwrap();
            tail.extend_from_slice(&read);
            tail.drain(..tail.len().saturating_sub(end.len()));
        }
        self.conversation.on_end(Side::Response, End::Closed, self.mark(), &mut self.out);
    }

    /// `None`: nothing came in time.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let most = [7, 100, 3000, 65_536][self.random.below(4) as usize];
        let mut bytes = vec![0; most];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server has closed the connection"),
            Ok(length) => bytes.truncate(length),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
            Err(error) => panic!("{error}"),
        }
        self.feed(Side::Response, &bytes);
        Some(bytes)
    }

    fn mark(&self) -> Mark {
        let thread = ThreadId { tgid: 1, tid: 1, start: 1 };
        Mark { time: self.call * 1000, call: self.call, thread, ..Mark::default() }
    }

    /// One call's bytes, in up to four pieces.
    fn feed(&mut self, side: Side, bytes: &[u8]) {
        self.call += 1;
        let mut cuts: Vec<usize> = (0..3).map(|_| self.random.below(bytes.len() as u64) as usize).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mark = self.mark();
        for pair in cuts.windows(2) {
            let (bytes, call_start) = (&bytes[pair[0]..pair[1]], pair[0] == 0);
            self.conversation.on_bytes(Input { side, bytes, call_start, mark }, &mut self.out);
        }
    }

    /// Everything that was told; nothing may have been abandoned.
    pub(crate) fn exchanges(self) -> Vec<RedisExchange> {
        let mut exchanges = Vec::new();
        let seed = self.seed;
        for progress in self.out {
            match progress {
                Progress::Ended { exchange, .. } => match exchange.detail {
                    Detail::Redis(exchange) => exchanges.push(exchange),
                    other => panic!("{other:?}"),
                },
                Progress::Abandoned { id, reason } => panic!("seed {seed}: {id} abandoned: {reason:?}"),
                _ => {}
            }
        }
        exchanges
    }
}
