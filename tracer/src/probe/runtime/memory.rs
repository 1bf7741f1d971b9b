//! A process's memory, from outside.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::enrich::process::{Proc, read_capped};

/// Most bytes read of a process's list of mappings.
const MAX_MAPS: u64 = 4 * 1024 * 1024;

/// A process's memory.
#[derive(Debug)]
pub(super) struct Memory(File);

impl Memory {
    pub(super) fn open(proc: &Proc, pid: u32) -> io::Result<Self> {
        File::open(proc.path(pid, "mem")).map(Self)
    }

    /// `N` bytes at an address.
    pub(super) fn bytes<const N: usize>(&self, address: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// Some bytes at an address.
    pub(super) fn slice(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// A word at an address.
    pub(super) fn word(&self, address: u64) -> io::Result<u64> {
        self.bytes(address).map(u64::from_ne_bytes)
    }
}

/// A part of a file in a process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// As the process sees it.
    pub(super) path: String,
}

/// The files in a process's memory.
#[derive(Debug)]
pub(super) struct Mappings(pub(super) Vec<Mapping>);

impl Mappings {
    pub(super) fn read(proc: &Proc, pid: u32) -> io::Result<Self> {
        read_capped(&proc.path(pid, "maps"), MAX_MAPS)
            .map(|bytes| Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// proc_pid_maps(5): `start-end perms offset device inode path`.
    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(mapping).collect())
    }

    /// Whether a file with `part` in its path is mapped.
    pub(super) fn has(&self, part: &str) -> bool {
        self.0.iter().any(|mapping| mapping.path.contains(part))
    }
}

fn mapping(line: &str) -> Option<Mapping> {
    let path = line.find('/').and_then(|at| line.get(at..))?;
    let mut fields = line.split_ascii_whitespace();
    let start = fields.next()?.split('-').next()?;
    let offset = fields.nth(1)?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        offset: u64::from_str_radix(offset, 16).ok()?,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_files() {
        let text = "\
55d0a0000000-55d0a0001000 r--p 00002000 fe:00 123    /usr/bin/with space (deleted)
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0      [stack]
nonsense /x
";
        let mappings = Mappings::parse(text);
        let path = "/usr/bin/with space (deleted)".to_owned();
        assert_eq!(mappings.0, [Mapping { start: 0x55d0_a000_0000, offset: 0x2000, path }]);
        assert!(mappings.has("/usr/") && !mappings.has("stack"));
    }
}
