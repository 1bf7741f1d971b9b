//! The entries of a recording.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::enrich::Resource;
use crate::event::{Nanos, Process};
use crate::pipeline::Exports;
use crate::span::{Attribute, LogStream, Value};

/// Bytes of an entry's kind and length.
pub(super) const FRAME: usize = 5;

/// Longest entry that is read: what claims to be longer is damaged. A ring record has at most 64 KiB, and what a
/// process can say of itself in its environment has bounds of its own below this.
pub const MAX_ENTRY: usize = 16 << 20;

/// One thing that the pipeline took, or was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A record of the ring buffer.
    Record(&'a [u8]),
    /// What is added to CLOCK_MONOTONIC to get nanoseconds since the epoch, from now on.
    WallOffset(i64),
    /// Time passed without an event: CLOCK_MONOTONIC.
    Tick(Nanos),
    /// A resource, with a number for those that name it.
    Resource {
        /// Its number.
        number: u32,
        /// It.
        resource: Resource,
    },
    /// What a process is, from now on.
    Process {
        /// Which.
        process: Process,
        /// Its resource's number.
        resource: u32,
        /// What is exported of it.
        exports: Exports,
    },
    /// What a file is that was written to, from now on.
    Log {
        /// Which.
        file: LogFile,
        /// Which of the process's streams.
        stream: Option<LogStream>,
    },
    /// The pipeline ended: CLOCK_MONOTONIC.
    Finish(Nanos),
    /// What the probe lost, by reason. The last entry of a recording that ended with the tracer.
    Losses(Vec<(String, u64)>),
    /// The recording ended because it had its largest size.
    Full,
    /// Memory was short, so that connections were forgotten.
    Forget {
        /// CLOCK_MONOTONIC.
        now: Nanos,
        /// How many of those that rested longest.
        count: u64,
    },
}

/// A file that a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogFile {
    /// The process.
    pub tgid: u32,
    /// Device, in the kernel's encoding.
    pub device: u32,
    /// Inode number.
    pub ino: u64,
    /// Descriptor.
    pub fd: u32,
}

impl Entry<'_> {
    /// Appends it, with its frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([self.kind(), 0, 0, 0, 0]);
        self.write_body(out);
        let length = u32::try_from(out.len() - start - FRAME).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start + 1..start + FRAME) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Record(_) => 1,
            Self::WallOffset(_) => 2,
            Self::Tick(_) => 3,
            Self::Resource { .. } => 4,
            Self::Process { .. } => 5,
            Self::Log { .. } => 6,
            Self::Finish(_) => 7,
            Self::Losses(_) => 8,
            Self::Full => 9,
            Self::Forget { .. } => 10,
        }
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Record(record) => out.extend_from_slice(record),
            Self::WallOffset(offset) => out.extend(offset.to_le_bytes()),
            Self::Tick(now) | Self::Finish(now) => out.extend(now.to_le_bytes()),
            Self::Resource { number, resource } => {
                out.extend(number.to_le_bytes());
                out.extend(to_json(resource).to_string().as_bytes());
            }
            Self::Process { process, resource, exports } => {
                out.extend(process.tgid.to_le_bytes());
                out.extend(process.start.to_le_bytes());
                out.extend(process.cgroup.to_le_bytes());
                out.extend(resource.to_le_bytes());
                out.extend([u8::from(exports.spans), u8::from(exports.logs)]);
            }
            Self::Log { file, stream } => {
                out.extend(file.tgid.to_le_bytes());
                out.extend(file.device.to_le_bytes());
                out.extend(file.ino.to_le_bytes());
                out.extend(file.fd.to_le_bytes());
                out.push(match stream {
                    None => 0,
                    Some(LogStream::Stdout) => 1,
                    Some(LogStream::Stderr) => 2,
                });
            }
            Self::Losses(losses) => {
                let losses = losses.iter().map(|(reason, count)| (reason.clone(), Json::from(*count)));
                out.extend(Json::Object(losses.collect()).to_string().as_bytes());
            }
            Self::Full => {}
            Self::Forget { now, count } => {
                out.extend(now.to_le_bytes());
                out.extend(count.to_le_bytes());
            }
        }
    }
}

impl<'a> Entry<'a> {
    /// Reads an entry's bytes; `None` when they are none of that kind.
    pub(super) fn read(kind: u8, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let entry = match kind {
            1 => return Some(Self::Record(bytes)),
            2 => Self::WallOffset(i64::from_le_bytes(fields.take()?)),
            3 => Self::Tick(fields.u64()?),
            4 => {
                let number = fields.u32()?;
                return Some(Self::Resource { number, resource: from_json(fields.0)? });
            }
            5 => Self::Process {
                process: Process { tgid: fields.u32()?, start: fields.u64()?, cgroup: fields.u64()? },
                resource: fields.u32()?,
                exports: Exports { spans: fields.bool()?, logs: fields.bool()? },
            },
            6 => Self::Log {
                file: LogFile {
                    tgid: fields.u32()?,
                    device: fields.u32()?,
                    ino: fields.u64()?,
                    fd: fields.u32()?,
                },
                stream: match fields.take()? {
                    [0] => None,
                    [1] => Some(LogStream::Stdout),
                    [2] => Some(LogStream::Stderr),
                    [_] => return None,
                },
            },
            7 => Self::Finish(fields.u64()?),
            8 => return losses(bytes).map(Self::Losses),
            9 => Self::Full,
            10 => Self::Forget { now: fields.u64()?, count: fields.u64()? },
            _ => return None,
        };
        fields.0.is_empty().then_some(entry)
    }
}

fn losses(bytes: &[u8]) -> Option<Vec<(String, u64)>> {
    let Json::Object(losses) = serde_json::from_slice(bytes).ok()? else { return None };
    losses.into_iter().map(|(reason, count)| Some((reason, count.as_u64()?))).collect()
}

fn to_json(resource: &Resource) -> Json {
    let pair = |attribute: &Attribute| {
        let value = match &attribute.value {
            Value::Str(text) => Json::from(text.as_str()),
            Value::Int(number) => Json::from(*number),
            // JSON has no infinite numbers, and no NaN: null.
            Value::Double(number) => Json::from(*number),
            Value::Bool(truth) => Json::from(*truth),
            Value::Strs(texts) => Json::from(texts.to_vec()),
        };
        Json::from(vec![Json::from(attribute.key.as_ref()), value])
    };
    resource.attributes.iter().map(pair).collect()
}

fn from_json(bytes: &[u8]) -> Option<Resource> {
    let pairs: Vec<(String, Json)> = serde_json::from_slice(bytes).ok()?;
    let attribute = |(key, value): (String, Json)| {
        let value = match value {
            Json::String(text) => Value::from(text),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Double(number.as_f64()?),
            },
            Json::Null => Value::Double(f64::NAN),
            Json::Bool(truth) => Value::Bool(truth),
            texts @ Json::Array(_) => Value::Strs(serde_json::from_value(texts).ok()?),
            Json::Object(_) => return None,
        };
        Some(Attribute { key: Cow::Owned(key), value })
    };
    Some(Resource { attributes: pairs.into_iter().map(attribute).collect::<Option<_>>()? })
}

/// A cursor over little-endian fields.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }
}
