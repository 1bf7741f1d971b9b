//! Spans in OTLP's binary form, as an exporter sends them.

use std::hint::black_box;
use std::time::Duration;

use tracer::export::{Telemetry, to_protobuf};

use crate::{measured_work, processor_time, simple};

/// What an exporter takes at once.
const BATCH: usize = 512;

/// Spans of one round.
const SPANS: u64 = 20_000;

/// Rounds, of which the best counts.
const ROUNDS: usize = 20;

/// What the names of these cases begin with; the spans are those of a simple case.
pub(crate) const PREFIX: &str = "export-";

fn spans(name: &str, exchanges: u64) -> Option<Vec<Telemetry>> {
    let name = name.strip_prefix(PREFIX)?;
    let case = simple::CASES.iter().find(|case| case.name == name)?;
    Some(simple::records(case, exchanges).told())
}

/// Encodes them in batches; says how many bytes that makes.
fn encode(batches: Vec<Vec<Telemetry>>) -> u64 {
    let mut bytes = 0;
    for batch in batches {
        for request in to_protobuf(batch) {
            bytes += black_box(request).len() as u64;
        }
    }
    bytes
}

fn batches(spans: &[Telemetry]) -> Vec<Vec<Telemetry>> {
    spans.chunks(BATCH).map(<[Telemetry]>::to_vec).collect()
}

/// Prints spans and bytes a second. `false` if there is no such case.
pub(crate) fn time(name: &str) -> bool {
    let Some(spans) = spans(name, SPANS) else { return false };
    let (mut best, mut bytes) = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let batches = batches(&spans);
        let start = processor_time();
        bytes = encode(batches);
        best = best.min(processor_time() - start);
    }
    let second = |count: u64| (count as f64 / best.as_secs_f64()) as u64;
    let each = bytes / spans.len().max(1) as u64;
    println!(
        "{name}: {} spans and {} MB a second (best of {ROUNDS} rounds), {each} bytes a span",
        second(spans.len() as u64),
        second(bytes) / 1_000_000,
    );
    true
}

/// Encodes the spans of `exchanges` exchanges once.
pub(crate) fn count(name: &str, exchanges: u64) -> bool {
    let Some(spans) = spans(name, exchanges) else { return false };
    let mut batches = Some(batches(&spans));
    measured_work(&mut || {
        black_box(batches.take().map(encode));
    });
    true
}
