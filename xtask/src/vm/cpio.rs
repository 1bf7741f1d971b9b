//! Archives in cpio's "newc" format, which is what the kernel unpacks as its first file system.
//!
//! Written here rather than by `cpio` so that entries can have any owner, mode and path without root and without a
//! staging directory. Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written. Parent directories are made as entries need them; a path is written only once.
pub(super) struct Archive<W: Write> {
    output: W,
    written: u64,
    inode: u32,
    paths: BTreeSet<PathBuf>,
}

/// What stands in an entry's header.
struct Entry<'a> {
    path: &'a Path,
    mode: u32,
    mtime: u32,
    size: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, written: 0, inode: 1, paths: BTreeSet::new() }
    }

    /// An empty directory.
    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        let path = relative(path);
        if path.as_os_str().is_empty() || !self.paths.insert(path.clone()) {
            return Ok(());
        }
        self.parents(&path)?;
        self.header(&Entry { path: &path, mode: DIRECTORY | 0o755, mtime: 0, size: 0 })
    }

    /// A symbolic link.
    pub(super) fn symlink(&mut self, path: &Path, target: &str) -> Result<()> {
        let size = u32::try_from(target.len())?;
        self.entry(path, SYMLINK | 0o777, 0, size, &mut target.as_bytes())
    }

    /// A file with this content.
    pub(super) fn bytes(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len())?;
        self.entry(path, REGULAR | mode, 0, size, &mut &*content)
    }

    /// A file of the host, links followed, with its permissions and its time (Python compares it with its caches').
    pub(super) fn file(&mut self, path: &Path, source: &Path) -> Result<()> {
        let open = || -> io::Result<_> {
            let file = File::open(source)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (file, metadata) = open().with_context(|| format!("cannot read {}", source.display()))?;
        let size = u32::try_from(metadata.len())?;
        let mtime = u32::try_from(metadata.mtime()).unwrap_or(0);
        let mode = REGULAR | (metadata.permissions().mode() & 0o755);
        self.entry(path, mode, mtime, size, &mut file.take(u64::from(size)))
    }

    /// A directory of the host with all that `keep` wants: it is asked with each path, directories included.
    pub(super) fn tree(&mut self, path: &Path, source: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
        self.directory(path)?;
        let read = || fs::read_dir(source)?.collect::<io::Result<Vec<_>>>();
        let mut children = read().with_context(|| format!("cannot list {}", source.display()))?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let (from, to) = (child.path(), path.join(child.file_name()));
            if !keep(&from) {
                continue;
            }
            if from.is_dir() {
                self.tree(&to, &from, keep)?;
            } else if from.is_file() {
                self.file(&to, &from)?;
            }
        }
        Ok(())
    }

    /// Ends the archive: its size in bytes.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.header(&Entry { path: Path::new("TRAILER!!!"), mode: 0, mtime: 0, size: 0 })?;
        self.output.flush()?;
        Ok(self.written)
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }

    fn entry(
        &mut self,
        path: &Path,
        mode: u32,
        mtime: u32,
        size: u32,
        content: &mut dyn io::Read,
    ) -> Result<()> {
        let path = relative(path);
        if !self.paths.insert(path.clone()) {
            return Ok(());
        }
        self.parents(&path)?;
        self.header(&Entry { path: &path, mode, mtime, size })?;
        let copied = io::copy(content, &mut self.output)?;
        ensure!(copied == u64::from(size), "{} changed while it was packed", path.display());
        self.written += copied;
        self.pad()
    }

    fn header(&mut self, entry: &Entry<'_>) -> Result<()> {
        let name = entry.path.as_os_str().as_encoded_bytes();
        let links = if entry.mode & DIRECTORY == 0 { 1 } else { 2 };
        let name_size = u32::try_from(name.len() + 1)?;
        // Inode, mode, uid, gid, links, mtime, size, four device numbers, name size, checksum (unused by newc).
        let fields = [self.inode, entry.mode, 0, 0, links, entry.mtime, entry.size, 0, 0, 0, 0, name_size, 0];
        self.inode += 1;
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(name)?;
        self.output.write_all(&[0])?;
        self.written += u64::try_from(header.len() + name.len() + 1)?;
        self.pad()
    }

    /// Names and contents end on a multiple of four bytes.
    fn pad(&mut self) -> Result<()> {
        while !self.written.is_multiple_of(4) {
            self.output.write_all(&[0])?;
            self.written += 1;
        }
        Ok(())
    }
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and content of every entry: an independent reading of the format.
    fn read(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let field = |n: usize| {
                let digits = std::str::from_utf8(&archive[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            assert_eq!(&archive[..6], b"070701");
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(archive[110..110 + name_size - 1].to_vec()).unwrap();
            let start = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(archive.len(), start);
                return entries;
            }
            entries.push((name, mode, archive[start..start + size].to_vec()));
            archive = &archive[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn entries_come_after_their_parents_and_only_once() {
        let mut output = Vec::new();
        let mut archive = Archive::new(&mut output);
        archive.bytes(Path::new("/a/b/c.txt"), 0o644, b"hello").unwrap();
        archive.bytes(Path::new("/a/b/c.txt"), 0o644, b"again").unwrap();
        archive.symlink(Path::new("/lib"), "usr/lib").unwrap();
        archive.directory(Path::new("/a")).unwrap();
        let written = archive.finish().unwrap();
        assert_eq!(written, output.len() as u64);
        let expected = [
            ("a", 0o040_755, &b""[..]),
            ("a/b", 0o040_755, b""),
            ("a/b/c.txt", 0o100_644, b"hello"),
            ("lib", 0o120_777, b"usr/lib"),
        ];
        let entries = read(&output);
        let entries: Vec<_> =
            entries.iter().map(|(name, mode, data)| (name.as_str(), *mode, &data[..])).collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_tree_holds_what_the_filter_keeps() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vm");
        let mut output = Vec::new();
        let mut archive = Archive::new(&mut output);
        archive.tree(Path::new("/vm"), &here, &|path| path.ends_with("cpio.rs")).unwrap();
        archive.finish().unwrap();
        let entries = read(&output);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].0, "vm/cpio.rs");
        assert_eq!(entries[1].2, fs::read(here.join("cpio.rs")).unwrap());
    }
}
