//! Plays a recording.

use std::io::{self, Read};

use super::player::{Played, Player, Replay};
use crate::agent::lost;
use crate::event::Nanos;
use crate::pipeline::{Pipeline, PipelineConfig};
use crate::protocol::PROTOCOLS;
use crate::recording::{Entries, Entry, RecordingEnd, Replayed};

/// A recording and the pipeline behind it, without any export.
pub struct RecordingReplay<R> {
    entries: Entries<R>,
    answers: Replayed,
    pipeline: Pipeline,
    state: State,
}

impl<R: Read> RecordingReplay<R> {
    /// A replay of a recording. `seed` makes ids.
    #[must_use]
    pub fn new(entries: Entries<R>, config: PipelineConfig, seed: [u8; 32]) -> Self {
        let answers = Replayed::default();
        let pipeline = Pipeline::new(config, PROTOCOLS, Box::new(answers.clone()), seed);
        Self { entries, answers, pipeline, state: State::default() }
    }
}

impl<R: Read> Replay for RecordingReplay<R> {
    type End = RecordingEnd;

    fn step(&mut self) -> io::Result<Option<Self::End>> {
        match self.entries.next_entry()? {
            Ok(entry) => {
                if !self.answers.learn(&entry) {
                    self.state.take(&entry, &mut self.pipeline);
                }
                Ok(None)
            }
            Err(end) => Ok(Some(end)),
        }
    }

    fn finish(&mut self) {
        if !self.state.finished {
            self.pipeline.finish(self.state.last);
        }
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }
}

pub(super) fn play<R: Read>(entries: Entries<R>, player: &Player) -> Played {
    let mut replay = RecordingReplay::new(entries, player.config.clone(), player.seed);
    let (end, mut played) = player.play(&mut replay);
    played.warnings.extend(end.and_then(|end| replay.state.warning(end)));
    played.told = replay.state.told;
    played
}

#[derive(Default)]
struct State {
    /// What the recording told of itself, in lines.
    told: String,
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
                // Nothing comes behind the end, unless somebody joined two files: then there is another one.
                self.finished = false;
                pipeline.on_record(record);
            }
            Entry::WallOffset(offset) => pipeline.set_wall_offset(*offset),
            Entry::Tick(now) => {
                self.last = (*now).max(self.last);
                pipeline.tick(*now);
            }
            Entry::Forget { now, count } => {
                self.last = (*now).max(self.last);
                pipeline.forget_connections(*count, *now);
            }
            Entry::Finish(now) => {
                self.finished = true;
                pipeline.finish(*now);
            }
            Entry::Losses(losses) => {
                self.told_losses = true;
                let losses = losses.iter().map(|(reason, count)| (reason.as_str(), *count));
                self.told = format!("when it was recorded, {}\n", lost(losses));
            }
            Entry::Full => self.full = true,
            Entry::Resource { .. } | Entry::Process { .. } | Entry::Log { .. } => {}
        }
    }

    fn warning(&self, end: RecordingEnd) -> Option<String> {
        let warning = match end {
            _ if self.full => "the recording ends where it had its largest size (--record-max)",
            RecordingEnd::Damaged => {
                "the recording is damaged: what follows its last readable entry is left out"
            }
            RecordingEnd::Cut => "the recording was cut: it is replayed up to its last whole entry",
            RecordingEnd::Whole if !self.told_losses => {
                "the recording has no end: the tracer that made it was killed, and its last moments are missing"
            }
            RecordingEnd::Whole => return None,
        };
        Some(warning.to_owned())
    }
}

/// The time of the event in a record: behind the header's kind, flags and size.
fn time(record: &[u8]) -> Option<Nanos> {
    record.get(8..)?.first_chunk().map(|bytes| Nanos::from_ne_bytes(*bytes))
}
