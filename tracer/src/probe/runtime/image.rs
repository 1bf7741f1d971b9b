//! Executables and libraries: where the interpreter's symbols are.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use lru::LruCache;
use object::read::ReadCache;
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};

use super::asyncio::Variables;
use super::memory::{Mapping, Mappings};
use crate::enrich::process::Proc;

/// Files whose symbols are remembered.
const MAX_IMAGES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Libraries of a process that are looked into: more than one interpreter is not expected.
const MAX_LIBRARIES: usize = 4;

/// Where an interpreter is in a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// `_PyRuntime`.
    pub(super) runtime: u64,
    /// `Py_Version`, since 3.11.
    pub(super) version: Option<u64>,
    /// Whether it has `PyThreadState_GetInterpreter`, since 3.9.
    pub(super) since_3_9: bool,
    /// Whether it has `PyModule_AddObjectRef`, since 3.10.
    pub(super) since_3_10: bool,
}

/// A file's identity: device, inode, time of its last change in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(u64, u64, i64, i64);

impl FileId {
    /// Of an open file.
    pub(super) fn of(file: &File) -> Option<Self> {
        let meta = file.metadata().ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
    }
}

/// What a file says: addresses before it was moved to where it is mapped.
#[derive(Clone, Debug)]
struct Image {
    symbols: Interpreter,
    /// File offset, length and address of each segment.
    segments: Vec<(u64, u64, u64)>,
}

/// Files that were looked into. `None` for those without an interpreter.
#[derive(Debug)]
pub(super) struct Images(LruCache<FileId, Option<Image>>);

impl Default for Images {
    fn default() -> Self {
        Self(LruCache::new(MAX_IMAGES))
    }
}

impl Images {
    /// The interpreter in a process: in its executable, or in a library of that name.
    pub(super) fn interpreter(&mut self, proc: &Proc, pid: u32, mappings: &Mappings) -> Option<Interpreter> {
        let exe = proc.link(pid, "exe").ok()?;
        let executable = mappings.0.iter().find(|mapping| exe.as_os_str() == mapping.path.as_str());
        if let Some(found) = executable.and_then(|mapping| self.within(proc.path(pid, "exe"), mapping)) {
            return Some(found);
        }
        let is_library = |mapping: &&Mapping| mapping.path.contains("/libpython3") && mapping.offset == 0;
        mappings.0.iter().filter(is_library).take(MAX_LIBRARIES).find_map(|mapping| {
            let path = proc.path(pid, "root").join(mapping.path.trim_start_matches('/'));
            self.within(path, mapping)
        })
    }

    fn within(&mut self, path: PathBuf, mapping: &Mapping) -> Option<Interpreter> {
        let file = File::open(path).ok()?;
        let id = FileId::of(&file)?;
        let image = self.0.get_or_insert(id, || read(file)).as_ref()?;
        // The segment that holds the mapping's first byte. Mappings begin with whole pages, segments need not.
        let segment = image
            .segments
            .iter()
            .find(|(offset, length, _)| (offset & !0xfff..offset + length).contains(&mapping.offset))?;
        let address = segment.2.wrapping_add(mapping.offset).wrapping_sub(segment.0);
        let moved = mapping.start.wrapping_sub(address);
        let Interpreter { runtime, version, since_3_9, since_3_10 } = image.symbols;
        Some(Interpreter {
            runtime: runtime.wrapping_add(moved),
            version: version.map(|address| address.wrapping_add(moved)),
            since_3_9,
            since_3_10,
        })
    }
}

/// The variables of the library with `part` in its path.
pub(super) fn variables(proc: &Proc, pid: u32, mappings: &Mappings, part: &str) -> Option<Variables> {
    let mapping = mappings.0.iter().find(|mapping| mapping.offset == 0 && mapping.path.contains(part))?;
    let path = proc.path(pid, "root").join(mapping.path.trim_start_matches('/'));
    let cache = ReadCache::new(File::open(path).ok()?);
    let object = object::File::parse(&cache).ok()?;
    let moved = mapping.start.wrapping_sub(object.segments().next()?.address());
    // The segment that is longer in memory than in the file ends with what is zero at first.
    let segment = object.segments().find(|segment| segment.size() > segment.file_range().1)?;
    let start = moved.wrapping_add(segment.address());
    let middle = start.wrapping_add(segment.file_range().1);
    Some(Variables { initialised: start..middle, zeroed: middle..start.wrapping_add(segment.size()) })
}

/// Reads the symbols of a file. Dynamic ones are there even in a stripped file, because extension modules need them.
fn read(file: File) -> Option<Image> {
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).ok()?;
    let mut symbols = Interpreter { runtime: 0, version: None, since_3_9: false, since_3_10: false };
    for symbol in object.dynamic_symbols().chain(object.symbols()) {
        match symbol.name_bytes() {
            Ok(b"_PyRuntime") if symbol.is_definition() => symbols.runtime = symbol.address(),
            Ok(b"Py_Version") if symbol.is_definition() => symbols.version = Some(symbol.address()),
            Ok(b"PyThreadState_GetInterpreter") if symbol.is_definition() => symbols.since_3_9 = true,
            Ok(b"PyModule_AddObjectRef") if symbol.is_definition() => symbols.since_3_10 = true,
            _ => continue,
        }
        if symbols.runtime != 0 && symbols.version.is_some() && symbols.since_3_9 && symbols.since_3_10 {
            break;
        }
    }
    let segments = object.segments();
    let segments = segments.map(|segment| {
        let (offset, length) = segment.file_range();
        (offset, length, segment.address())
    });
    (symbols.runtime != 0).then(|| Image { symbols, segments: segments.collect() })
}
