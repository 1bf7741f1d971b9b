//! What a file is, and how it is played.

use std::fs::File;
use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::ReplayError;
use super::captured;
use super::player::{Played, Player};
use super::recorded;
use crate::capture::{self, Capture, CaptureError, WantedEnds};
use crate::cli::ReplayConfig;
use crate::recording::{Entries, is_recording};

/// RFC 1952 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes by which a file is recognised.
const START: u64 = 8;

/// `-` for standard input.
const STANDARD_INPUT: &str = "-";

type Bytes = Box<dyn Read + Send>;

/// A file whose format is known.
pub(super) enum Source {
    Capture { capture: Box<Capture<Bytes>>, service_name: Option<String> },
    Recording(Entries<Bytes>),
}

impl Source {
    /// Opens a file and reads its beginning.
    pub(super) fn open(config: &ReplayConfig) -> Result<Self, ReplayError> {
        let read = |source| ReplayError::Read { path: config.file.clone(), source };
        let (start, bytes) = open(config).and_then(peek).map_err(read)?;
        let (start, bytes) = if start.starts_with(&GZIP) {
            peek(Box::new(MultiGzDecoder::new(bytes))).map_err(read)?
        } else {
            (start, bytes)
        };
        if is_recording(&start) {
            let opened = Entries::open(bytes).map_err(read)?;
            let refused = |source| ReplayError::Recording { path: config.file.clone(), source };
            return opened.map(Self::Recording).map_err(refused);
        }
        if !capture::is_capture(&start) {
            return Err(ReplayError::Unknown(config.file.clone()));
        }
        match Capture::open(bytes, config.role.unwrap_or(WantedEnds::Auto)) {
            Ok(capture) => {
                let service_name = config.service_name.clone();
                Ok(Self::Capture { capture: Box::new(capture), service_name })
            }
            Err(CaptureError::Read(error)) => Err(read(error)),
            Err(CaptureError::NotACapture) => Err(ReplayError::Unknown(config.file.clone())),
        }
    }

    /// Whose spans are made if the user does not say it: of a recording those of the run.
    pub(super) fn role(&self) -> WantedEnds {
        match self {
            Self::Capture { .. } => WantedEnds::Auto,
            Self::Recording(_) => WantedEnds::Both,
        }
    }

    /// In words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Capture { .. } => "a packet capture",
            Self::Recording(_) => "a recording",
        }
    }

    pub(super) fn play(self, player: Player) -> Played {
        match self {
            Self::Capture { capture, service_name } => captured::play(*capture, service_name, &player),
            Self::Recording(entries) => recorded::play(entries, &player),
        }
    }
}

fn open(config: &ReplayConfig) -> io::Result<Bytes> {
    if config.file.as_os_str() == STANDARD_INPUT {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(&config.file)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

/// The first bytes of a source, and all of it.
fn peek(mut bytes: Bytes) -> io::Result<(Vec<u8>, Bytes)> {
    let mut start = Vec::new();
    bytes.by_ref().take(START).read_to_end(&mut start)?;
    let all = Cursor::new(start.clone()).chain(bytes);
    Ok((start, Box::new(all)))
}
