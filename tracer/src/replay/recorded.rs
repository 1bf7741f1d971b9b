//! Plays a recording.

use std::io::Read;

use super::player::{Played, Player};
use crate::agent::lost;
use crate::event::Nanos;
use crate::pipeline::Pipeline;
use crate::recording::{Entries, Entry, RecordingEnd, Replayed};

/// Entries between two hand-overs of what has become complete.
const HAND_OVER: u64 = 256;

pub(super) fn play<R: Read>(mut entries: Entries<R>, player: &Player) -> Played {
    let answers = Replayed::default();
    let mut pipeline = player.pipeline(Box::new(answers.clone()));
    let mut state = State::default();
    for count in 1_u64.. {
        if player.is_stopped() {
            break;
        }
        match entries.next_entry() {
            Ok(Ok(entry)) => {
                if !answers.learn(&entry) {
                    state.take(&entry, &mut pipeline);
                }
            }
            Ok(Err(end)) => {
                state.end(end);
                break;
            }
            Err(error) => {
                state.played.error = Some(error);
                break;
            }
        }
        if count.is_multiple_of(HAND_OVER) {
            player.hand_over(&mut pipeline);
        }
    }
    if !state.finished {
        pipeline.finish(state.last);
    }
    player.hand_over(&mut pipeline);
    state.played.stats = pipeline.stats();
    state.played
}

#[derive(Default)]
struct State {
    played: Played,
    /// CLOCK_MONOTONIC of the last thing that happened.
    last: Nanos,
    finished: bool,
    full: bool,
    told_losses: bool,
}

impl State {
    fn take(&mut self, entry: &Entry<'_>, pipeline: &mut Pipeline) {
        match entry {
            Entry::Record(record) => {
                self.last = time(record).unwrap_or_default().max(self.last);
                pipeline.on_record(record);
            }
            Entry::WallOffset(offset) => pipeline.set_wall_offset(*offset),
            Entry::Tick(now) => {
                self.last = (*now).max(self.last);
                pipeline.tick(*now);
            }
            Entry::Finish(now) => {
                self.finished = true;
                pipeline.finish(*now);
            }
            Entry::Losses(losses) => {
                self.told_losses = true;
                let losses = losses.iter().map(|(reason, count)| (reason.as_str(), *count));
                self.played.told = format!("when it was recorded, {}\n", lost(losses));
            }
            Entry::Full => self.full = true,
            Entry::Resource { .. } | Entry::Process { .. } | Entry::Log { .. } => {}
        }
    }

    fn end(&mut self, end: RecordingEnd) {
        let warning = match end {
            _ if self.full => "the recording ends where it had its largest size (--record-max)",
            RecordingEnd::Damaged => {
                "the recording is damaged: what follows its last readable entry is left out"
            }
            RecordingEnd::Cut => "the recording was cut: it is replayed up to its last whole entry",
            RecordingEnd::Whole if !self.told_losses => {
                "the recording has no end: the tracer that made it was killed, and its last moments are missing"
            }
            RecordingEnd::Whole => return,
        };
        self.played.warnings.push(warning.to_owned());
    }
}

/// The time of the event in a record: behind the header's kind, flags and size.
fn time(record: &[u8]) -> Option<Nanos> {
    record.get(8..)?.first_chunk().map(|bytes| Nanos::from_ne_bytes(*bytes))
}
