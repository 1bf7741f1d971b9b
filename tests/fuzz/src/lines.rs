//! Writes to logs: lines put together, and what lines say of themselves.

use tracer::correlate::log_line::{LogKey, LogLine, LogLines, LogWrite, MAX_OPEN, MAX_RECORD};
use tracer::correlate::{log_json, severity};
use tracer::event::ThreadId;

use crate::memory::Meter;
use crate::steps::{self, Step};

/// What the lines that are held may take in memory: each at most [`MAX_RECORD`] bytes, in a vector that grew by
/// doubling.
const MAX_HELD: usize = MAX_OPEN.get() * 2 * MAX_RECORD + (1 << 20);

/// A step is a write: bits 0 to 2 of its operation name the thread, bit 3 the file, bits 4 and 5 what else is the
/// matter.
pub(crate) fn run(input: &[u8]) {
    let meter = Meter::default();
    let mut lines = LogLines::<u64>::default();
    let (mut out, mut now, mut written) = (Vec::new(), 1, 0_u64);
    for step in steps::read(input) {
        now += 1000;
        let thread = ThreadId { tgid: 1, tid: u32::from(step.operation & 7), start: 1 };
        let key = LogKey { thread, dev: 1, ino: u64::from(step.operation >> 3 & 1) };
        let (mut missing, mut bytes) = (0, step.text.clone());
        match step.operation >> 4 & 3 {
            1 => missing = bytes.len() as u64,
            2 => bytes = bytes.repeat(1 + 20_000 / bytes.len().max(1)),
            3 => {
                now += 2_000_000_000;
                lines.expire(now, &mut out);
            }
            _ => {}
        }
        written += bytes.len() as u64;
        lines.write(key, LogWrite { bytes: &bytes, missing }, &now, now, &mut out);
        check(&mut out, now);
        drop((bytes, step));
        assert!(lines.pending() <= MAX_OPEN.get());
    }
    meter.check(MAX_HELD + 4 * input.len());
    lines.flush(&mut out);
    let told: u64 = out.iter().map(|line| line.text.len() as u64).sum();
    // What is not UTF-8 is replaced by three bytes a byte.
    assert!(told <= 3 * written);
    check(&mut out, now);
    assert_eq!(lines.pending(), 0);
}

fn check(out: &mut Vec<LogLine<u64>>, now: u64) {
    for line in out.drain(..) {
        assert!(line.text.len() <= 3 * MAX_RECORD, "{} bytes", line.text.len());
        assert!(line.mark <= now);
        let _ = (log_json::read(&line.text), severity::of(&line.text));
    }
}

const WRITES: &[&str] = &[
    "{\"timestamp\": \"2026-01-31T12:00:00Z\", \"level\": \"WARNING\", \"message\": \"a\\u00e9\\n\", \"trace_id\": \"0af7651916cd43dd8448eb211c80319c\", \"span_id\": \"b7ad6b7169203331\", \"n\": [1, {\"x\": null}]}\n",
    "2026-01-31 12:00:00,123 ERROR app.py:12 something happened\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nValueError: x\n",
    "127.0.0.1 - - [31/Jan/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/7.88\"\n",
    "[info] no line end",
    "level=debug ts=1 msg=\"a b\" trace_id=0af7651916cd43dd8448eb211c80319c\r\n\n\nI0131 12:00:00.000000 1 main.go:1] x\n",
    "<6>syslog\nFATAL\n",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let steps: Vec<Step> = WRITES
        .iter()
        .enumerate()
        .map(|(number, text)| Step::new((number as u8) << 4 | number as u8 & 1, text.as_bytes()))
        .collect();
    let each = steps.iter().map(|step| steps::write(std::slice::from_ref(step)));
    each.chain([steps::write(&steps)]).collect()
}
