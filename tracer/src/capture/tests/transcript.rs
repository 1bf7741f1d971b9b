//! What the ends of connections see, as text.

use tracer_ebpf::event::flag;
use tracer_ebpf::{ConnectionNote, Direction};

use super::wire;
use crate::capture::{CaptureStats, CapturedEnd, FileEnd, Interest, WantedEnds, events};
use crate::event::{Nanos, Process};
use crate::probe::decode::Event;

/// One step of an end: `<abc` received, `>abc` sent, `<-5` and `>-5` gaps, `<end`, `<error 104`, `accept 10.0.0.2:80`,
/// `connect 10.0.0.1`, `seen …`, `shutdown`, `closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: Nanos,
    pub(super) sock: u64,
    pub(super) text: String,
}

pub(super) fn lines(file: &[u8], wanted: WantedEnds) -> (Vec<Line>, FileEnd, CaptureStats) {
    let mut lines = Vec::new();
    let mut take = |event: &Event<'_>| {
        if let Some((sock, text)) = line(event) {
            lines.push(Line { time: event.header().time_ns, sock, text });
        }
        Interest::Whole
    };
    let (end, stats) = events(file, wanted, &mut take).unwrap();
    (lines, end, stats)
}

/// What the server of a capture's connections sees. Bytes that follow on are put together.
pub(super) fn server(segments: &[wire::Seg]) -> (String, CaptureStats) {
    of(&wire::raw(segments), WantedEnds::Server)
}

/// The steps of all ends, joined.
pub(super) fn of(file: &[u8], wanted: WantedEnds) -> (String, CaptureStats) {
    let (lines, end, stats) = lines(file, wanted);
    assert_eq!(end, FileEnd::Whole);
    let mut told: Vec<(u64, String)> = Vec::new();
    for Line { text, sock, .. } in lines {
        let way = text.get(..1).unwrap_or_default().to_owned();
        match told.last_mut() {
            Some((of, last))
                if *of == sock && is_bytes(last) && is_bytes(&text) && last.starts_with(&way) =>
            {
                last.push_str(&text[1..]);
            }
            _ => told.push((sock, text)),
        }
    }
    let told: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
    (told.join(" "), stats)
}

fn is_bytes(text: &str) -> bool {
    let other = ["<-", ">-", "<end", "<error"];
    text.starts_with(['<', '>']) && !other.iter().any(|start| text.starts_with(start))
}

fn line(event: &Event<'_>) -> Option<(u64, String)> {
    let name = CapturedEnd::of(Process::from(event.header())).name();
    match event {
        Event::Data(data) => {
            let way = if data.direction == Direction::Ingress { '<' } else { '>' };
            let missing = data.length as usize - data.head.len();
            let text = match (data.header.flags & flag::END != 0, data.errno) {
                (true, 0) => format!("{way}end"),
                (true, errno) => format!("{way}error {errno}"),
                _ if data.head.is_empty() => format!("{way}-{missing}"),
                _ if missing > 0 => format!("{way}{}-{missing}", String::from_utf8_lossy(data.head)),
                _ => format!("{way}{}", String::from_utf8_lossy(data.head)),
            };
            Some((data.connection.sock, text))
        }
        Event::Connection(note, event) => {
            let text = match note {
                ConnectionNote::Connect => format!("connect {name}"),
                ConnectionNote::Accept => format!("accept {name}"),
                ConnectionNote::Seen => format!("seen {name}"),
                ConnectionNote::Closed => "closed".to_owned(),
                ConnectionNote::Shutdown => "shutdown".to_owned(),
                ConnectionNote::Established => "established".to_owned(),
            };
            Some((event.sock, text))
        }
        _ => None,
    }
}
