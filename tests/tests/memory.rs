//! What a peer sends without end does not make the pipeline grow without end.
//!
//! A target of its own with one test: it looks at the memory of its process.

#![expect(clippy::unwrap_used, reason = "a test's own support fails by panicking, like the test")]

use std::sync::Arc;

use tracer::enrich::Resource;
use tracer::event::{ConnectionId, Process};
use tracer::pipeline::{Environment, Pipeline, PipelineConfig};
use tracer::probe::decode::{Data, Event, Log};
use tracer::protocol::PROTOCOLS;
use tracer::span::LogStream;
use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionEvent, ConnectionNote, Direction, Family, Header, ProcessEvent, ProcessNote};

/// Connections that are flooded at once.
const CONNECTIONS: u64 = 2;

/// Calls on each before it is looked at, and again before it is compared.
const CALLS: u32 = 1500;

/// Messages a call: so that every bound on the number of open exchanges is passed.
const MESSAGES: usize = 50;

/// Most bytes for one connection, whatever comes.
const PER_CONNECTION: u64 = 16 << 20;

/// Most bytes that all may grow by once their bounds are reached: the allocator's own coming and going.
const SLACK: u64 = 2 << 20;

struct World(Arc<Resource>);

impl Environment for World {
    fn resource(&mut self, _: Process) -> Arc<Resource> {
        Arc::clone(&self.0)
    }

    fn log_stream(&mut self, _: u32, _: u32, _: u64, _: u32) -> Option<LogStream> {
        Some(LogStream::Stdout)
    }

    fn on_process(&mut self, _: ProcessNote, _: &ProcessEvent) {}
}

struct Flood {
    pipeline: Pipeline,
    time: u64,
    /// Of the next byte, by direction.
    positions: [u32; 2],
}

impl Flood {
    fn new() -> Self {
        let world = World(Arc::new(Resource::default()));
        let pipeline = Pipeline::new(PipelineConfig::default(), PROTOCOLS, Box::new(world), [7; 32]);
        Self { pipeline, time: 1, positions: [1; 2] }
    }

    fn header(&mut self, tid: u64) -> Header {
        self.time += 1000;
        Header {
            time_ns: self.time,
            tgid: 100,
            tid: u32::try_from(tid).unwrap(),
            thread_start_ns: tid,
            process_start_ns: 1,
            flags: flag::SEQUENCE,
            ..Header::default()
        }
    }

    fn open(&mut self, note: ConnectionNote) {
        for sock in 1..=CONNECTIONS {
            let header = self.header(sock);
            let event = ConnectionEvent {
                header,
                sock,
                ino: 1,
                peer_sock: 0,
                bytes_received: 0,
                rx_position: 1,
                tx_position: 1,
                rcv_nxt: 1,
                family: Family::Inet as u16,
                note: 0,
                state: 1,
                local_port: 8000,
                remote_port: 40_000,
                how: 0,
                path_length: 0,
                path_is_peer: 0,
                padding: 0,
                local_address: [10; 16],
                remote_address: [10; 16],
                path: [0; 108],
                padding_end: [0; 4],
            };
            self.pipeline.on_event(&Event::Connection(note, event));
        }
    }

    /// The same bytes on every connection.
    fn call(&mut self, direction: Direction, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap();
        let position = self.positions[direction as usize];
        for sock in 1..=CONNECTIONS {
            let data = Data {
                header: self.header(sock),
                connection: ConnectionId { sock, ino: 1 },
                position: position.into(),
                other_position: None,
                length,
                direction,
                errno: 0,
                head: bytes,
                tail: &[],
            };
            self.pipeline.on_event(&Event::Data(data));
        }
        self.positions[direction as usize] = position.wrapping_add(length);
        self.pipeline.drain();
        self.pipeline.drain_asks();
    }

    /// Writes to logs that never end their lines, by many threads.
    fn lines(&mut self) {
        for number in 0..CALLS {
            let header = self.header((number % 700).into());
            let (ino, bytes) = (u64::from(number % 3), [b'x'; 2000]);
            self.pipeline.on_event(&Event::Log(Log {
                header,
                ino,
                dev: 1,
                fd: 1,
                length: 2000,
                bytes: &bytes,
            }));
        }
        self.pipeline.drain();
    }
}

/// What begins a flood, and what it goes on with, for ever.
struct Case {
    name: &'static str,
    /// The connection is older than the tracer: what its beginning told is not known.
    older: bool,
    first: &'static str,
    /// It goes on in the other direction.
    replies: bool,
    more: fn(usize) -> String,
}

const CASES: [Case; 15] = [
    Case {
        name: "http requests",
        older: false,
        first: "",
        replies: false,
        more: |n| format!("GET /a{n} HTTP/1.1\r\nHost: x\r\n\r\n"),
    },
    Case {
        name: "http header",
        older: false,
        first: "GET / HTTP/1.1\r\n",
        replies: false,
        more: |n| format!("X-{n}: some value\r\n"),
    },
    Case {
        name: "http chunks",
        older: false,
        first: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        replies: false,
        more: |_| "5;a=b\r\nhello\r\n".to_owned(),
    },
    Case {
        name: "http trailers",
        older: false,
        first: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        replies: false,
        more: |n| format!("X-{n}: some value\r\n"),
    },
    Case {
        name: "redis commands",
        older: false,
        first: "",
        replies: false,
        more: |n| format!("*3\r\n$3\r\nSET\r\n$8\r\n{n:08}\r\n$5\r\nvalue\r\n"),
    },
    Case {
        name: "redis arguments",
        older: false,
        first: "*1000000000\r\n$3\r\nDEL\r\n",
        replies: false,
        more: |n| format!("$8\r\n{n:08}\r\n"),
    },
    Case {
        name: "redis transaction",
        older: false,
        first: "*1\r\n$5\r\nMULTI\r\n",
        replies: false,
        more: |n| format!("*2\r\n$3\r\nGET\r\n$8\r\n{n:08}\r\n"),
    },
    Case { name: "redis inline", older: false, first: "", replies: false, more: |_| "PING ".to_owned() },
    Case {
        name: "redis values",
        older: false,
        first: "",
        replies: false,
        more: |_| format!("*31\r\n$5\r\nRPUSH\r\n{}", "$1\r\nl\r\n".repeat(30)),
    },
    Case {
        name: "redis names",
        older: false,
        first: "",
        replies: false,
        more: |n| format!("*1\r\n$9\r\nX{n:08}\r\n"),
    },
    Case {
        name: "redis early replies",
        older: false,
        first: "*1\r\n$4\r\nPING\r\n",
        replies: true,
        more: |n| format!("+{n}\r\n"),
    },
    Case {
        name: "redis nested replies",
        older: false,
        first: "*2\r\n$4\r\nLLEN\r\n$1\r\nl\r\n",
        replies: true,
        more: |_| "*2\r\n".to_owned(),
    },
    Case {
        name: "redis long reply",
        older: false,
        first: "*2\r\n$4\r\nLLEN\r\n$1\r\nl\r\n",
        replies: true,
        more: |n| format!("{}-ERR no {n}\r\n", if n == 0 { "*2000000000\r\n" } else { "" }),
    },
    Case {
        name: "redis messages",
        older: false,
        first: "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n",
        replies: true,
        more: |n| {
            let word = if n == 0 {
                "$9\r\nsubscribe\r\n$1\r\nc\r\n:1"
            } else {
                "$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx"
            };
            format!("*3\r\n{word}\r\n")
        },
    },
    // A COM_QUERY of 36 bytes a packet.
    Case {
        name: "mysql queries",
        older: true,
        first: "\u{9}\0\0\0\u{3}SELECT 1",
        replies: false,
        more: |n| format!("\u{24}\0\0\0\u{3}SELECT a FROM t WHERE b = {n:09}"),
    },
];

impl Case {
    fn goes_on(&self, direction: Direction) -> Direction {
        match (self.replies, direction) {
            (false, same) => same,
            (true, Direction::Ingress) => Direction::Egress,
            (true, Direction::Egress) => Direction::Ingress,
        }
    }
}

#[test]
fn floods_are_bounded() {
    for (note, direction) in
        [(ConnectionNote::Accept, Direction::Ingress), (ConnectionNote::Connect, Direction::Egress)]
    {
        for case in &CASES {
            let mut flood = Flood::new();
            let before = resident();
            flood.open(if case.older { ConnectionNote::Seen } else { note });
            flood.call(direction, case.first.as_bytes());
            let mut go_on = |from: u32| {
                for number in from..from + CALLS {
                    let first = number as usize * MESSAGES;
                    let bytes: String = (first..first + MESSAGES).map(case.more).collect();
                    flood.call(case.goes_on(direction), bytes.as_bytes());
                }
                resident().saturating_sub(before)
            };
            judge(case.name, go_on(0), go_on(CALLS));
            let spans = flood.pipeline.stats().spans;
            flood.pipeline.finish(u64::MAX);
            assert_eq!(flood.pipeline.stats().spans.abandoned_unfinished, 0, "{}", case.name);
            println!("{} {note:?}: {} began", case.name, spans.server_begun + spans.client_begun);
        }
    }
    let mut flood = Flood::new();
    let before = resident();
    let mut go_on = || {
        flood.lines();
        resident().saturating_sub(before)
    };
    judge("lines", go_on(), go_on());
}

fn judge(name: &str, once: u64, twice: u64) {
    println!("{name}: {} KiB, then {} KiB", once >> 10, twice >> 10);
    assert!(twice <= CONNECTIONS * PER_CONNECTION, "{name}: {twice} bytes");
    assert!(twice <= once + SLACK, "{name}: {once} bytes, and twice as many calls later {twice}");
}

/// The process's memory in bytes: `proc(5)`, statm, in pages.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
