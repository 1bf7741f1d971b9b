//! The files that a replay reads, packet captures and recordings, through the pipeline behind them.
//!
//! Checked: what [`records`](crate::records) checks of the pipeline; every packet is counted once; the same bytes mean
//! the same, in whatever pieces they are read; what is held stays below [`MAX_HELD`].

use std::io::{self, Read};
use std::{env, fs, process};

use tracer::capture::{Capture, CaptureStats, FileEnd, WantedEnds};
use tracer::enrich::Resource;
use tracer::event::Process;
use tracer::pipeline::{Exports, PipelineConfig};
use tracer::protocol::MAX_CONVERSATION;
use tracer::recording::{Entries, Entry, LogFile, Recorder, RecordingEnd};
use tracer::replay::{CaptureReplay, RecordingReplay, Replay};
use tracer::span::{Attribute, LogStream};

use crate::memory::Meter;
use crate::records::{self, LIMITS};
use crate::steps;

/// Most bytes that a replay of an input may hold: its connections, as many as the pipeline's table has, each seen from
/// both ends, their segments out of order, and the buffers.
const MAX_HELD: usize = 2 * LIMITS.connections * MAX_CONVERSATION + (32 << 20);

/// Gives a few bytes a read.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(into.len()).min(23);
        let (now, later) = self.0.split_at(count);
        into.iter_mut().zip(now).for_each(|(slot, byte)| *slot = *byte);
        self.0 = later;
        Ok(count)
    }
}

fn config() -> PipelineConfig {
    PipelineConfig { limits: LIMITS, wanted: WantedEnds::Both, ..PipelineConfig::default() }
}

/// Plays a file to its end.
fn play<R: Replay>(replay: &mut R, meter: &Meter) -> Option<R::End> {
    let end = loop {
        // Bytes in memory can always be read.
        match replay.step().ok()? {
            Some(end) => break end,
            None => records::drain(replay.pipeline()),
        }
        meter.check(MAX_HELD);
    };
    replay.finish();
    records::check_finished(replay.pipeline());
    Some(end)
}

/// Any file that is opened as a capture.
pub(crate) fn capture(input: &[u8]) {
    let at_once = captured(input);
    assert_eq!(captured(Dribble(input)), at_once);
}

fn captured(file: impl Read) -> Option<(FileEnd, CaptureStats)> {
    let meter = Meter::default();
    let capture = Capture::open(file, WantedEnds::Both).ok()?;
    let mut replay = CaptureReplay::new(capture, config(), None, [7; 32]);
    let end = play(&mut replay, &meter)?;
    let stats = replay.stats().clone();
    let skipped = [
        stats.unusable,
        stats.unknown_link,
        stats.not_ip,
        stats.not_tcp,
        stats.fragments,
        stats.cut_headers,
        stats.malformed,
    ];
    assert_eq!(stats.packets, stats.segments + skipped.iter().sum::<u64>(), "{stats:?}");
    Some((end, stats))
}

/// Any file that is opened as a recording.
pub(crate) fn recording(input: &[u8]) {
    let at_once = recorded(input);
    assert_eq!(recorded(Dribble(input)), at_once);
}

/// How it ended, and how many spans were begun.
fn recorded(file: impl Read) -> Option<(RecordingEnd, u64)> {
    let meter = Meter::default();
    let entries = Entries::open(file).ok()?.ok()?;
    let mut replay = RecordingReplay::new(entries, config(), [7; 32]);
    let end = play(&mut replay, &meter)?;
    let spans = replay.pipeline().stats().spans;
    Some((end, spans.server_begun + spans.client_begun))
}

/// The captures in the tree.
pub(crate) fn capture_seeds() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../fixtures/captures/any.pcap").to_vec(),
        include_bytes!("../../fixtures/captures/cut.pcap").to_vec(),
        include_bytes!("../../fixtures/captures/loopback.pcap").to_vec(),
        include_bytes!("../../fixtures/captures/web.pcapng").to_vec(),
    ]
}

/// A recording with an entry of each kind, and its beginnings.
pub(crate) fn recording_seeds() -> Vec<Vec<u8>> {
    let path = env::temp_dir().join(format!("fuzz-seed-{}", process::id()));
    let whole = record(&path).and_then(|()| fs::read(&path)).unwrap_or_default();
    let _ = fs::remove_file(&path);
    let beginnings = (1..8).map(|part| whole.get(..whole.len() * part / 8).unwrap_or_default().to_vec());
    beginnings.chain([whole.clone()]).collect()
}

fn record(path: &std::path::Path) -> io::Result<()> {
    let recorder = Recorder::create(path, None).map_err(io::Error::other)?;
    let process = Process { tgid: 9, start: 0, cgroup: 0 };
    let resource = Resource { attributes: vec![Attribute::new("service.name", "shop")] };
    recorder.write(&Entry::WallOffset(1_700_000_000_000_000_000));
    recorder.write(&Entry::Resource { number: 1, resource });
    recorder.write(&Entry::Process { process, resource: 1, exports: Exports::ALL });
    let file = LogFile { tgid: 9, device: 0, ino: 4, fd: 3 };
    recorder.write(&Entry::Log { file, stream: Some(LogStream::Stdout) });
    for seed in records::raw_seeds() {
        for step in steps::read(&seed) {
            recorder.write(&Entry::Record(&step.text));
        }
        recorder.write(&Entry::Tick(1000));
    }
    recorder.write(&Entry::Finish(2000));
    recorder.write(&Entry::Forget { now: 2000, count: 1 });
    recorder.write(&Entry::Full);
    recorder.finish(&[("ring_full", 3)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_hold_exchanges() {
        let recordings = recording_seeds();
        let (end, begun) = recorded(&recordings[recordings.len() - 1][..]).unwrap();
        assert_eq!(end, RecordingEnd::Whole);
        assert!(begun > 0);
        for seed in capture_seeds() {
            let (end, stats) = captured(&seed[..]).unwrap();
            assert_eq!(end, FileEnd::Whole);
            assert!(stats.connections > 0, "{stats:?}");
        }
    }
}
