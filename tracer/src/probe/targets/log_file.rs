//! What a process's stdout and stderr lead to, in the kernel's own numbers.

use std::os::linux::fs::MetadataExt as _;
use std::os::unix::fs::FileTypeExt as _;

use crate::enrich::process::{Proc, ProcError, read_capped};
use crate::span::LogStream;

/// Most bytes read of one descriptor's information.
const MAX_FDINFO: u64 = 4096;

/// Most bytes read of a process's mounts.
const MAX_MOUNTINFO: u64 = 4 * 1024 * 1024;

/// Major and minor number of `/dev/null`.
const NULL: (u64, u64) = (1, 3);

/// Which of a process's log streams a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Streams {
    /// None: no log, or `/dev/null`.
    None,
    /// This one.
    One(LogStream),
    /// Both, as a terminal is: the descriptor that a write names tells which.
    Both,
}

impl Streams {
    /// The stream of a write to the file as descriptor `fd`.
    #[must_use]
    pub fn of(self, fd: u32) -> Option<LogStream> {
        match self {
            Self::None => None,
            Self::One(stream) => Some(stream),
            Self::Both => Some(if fd == 2 { LogStream::Stderr } else { LogStream::Stdout }),
        }
    }
}

/// A file that a process's stdout or stderr leads to: what a log's [`tracer_ebpf::DataEvent`] calls `sock` and `ino`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogFile {
    /// `super_block.s_dev`: major << 20 | minor.
    pub dev: u32,
    /// `inode.i_ino`.
    pub ino: u64,
    /// Which of the process's streams it is.
    pub streams: Streams,
}

/// What descriptors 1 and 2 of a process lead to. A closed one is left out.
///
/// # Errors
/// [`ProcError`] when the process is gone or its descriptors may not be read.
pub fn log_files(proc: &Proc, pid: u32) -> Result<Vec<LogFile>, ProcError> {
    let mut files: Vec<LogFile> = Vec::new();
    let streams = [("fd/1", "fdinfo/1", LogStream::Stdout), ("fd/2", "fdinfo/2", LogStream::Stderr)];
    for (descriptor, information, stream) in streams {
        // The link itself tells a closed descriptor from a process that is gone or of another user.
        match proc.link(pid, descriptor) {
            Ok(_) => {}
            Err(ProcError::Absent { .. }) => continue,
            Err(error) => return Err(error),
        }
        let Some((dev, ino, is_null)) = identify(proc, pid, descriptor, information) else { continue };
        let streams = if is_null { Streams::None } else { Streams::One(stream) };
        match files.iter_mut().find(|file| (file.dev, file.ino) == (dev, ino)) {
            None => files.push(LogFile { dev, ino, streams }),
            Some(file) if !is_null => file.streams = Streams::Both,
            Some(_) => {}
        }
    }
    Ok(files)
}

/// Device and inode as the kernel knows them, and whether it is `/dev/null`. `stat` shows other ones on some file systems (overlayfs, btrfs):
/// the inode in `fdinfo` (since Linux 5.14) and the device in `mountinfo` are the kernel's.
fn identify(proc: &Proc, pid: u32, descriptor: &str, information: &str) -> Option<(u32, u64, bool)> {
    let stat = std::fs::metadata(proc.path(pid, descriptor)).ok()?;
    let is_null = stat.file_type().is_char_device() && split(stat.st_rdev()) == NULL;
    let bytes = read_capped(&proc.path(pid, information), MAX_FDINFO).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse::<u64>().ok();
    let ino = field("ino:").unwrap_or_else(|| stat.st_ino());
    // Pipes and sockets lie on mounts that are in no list; for them `stat` tells the truth.
    let dev = field("mnt_id:").and_then(|mount| mounted_device(proc, pid, mount));
    Some((encode(dev.unwrap_or_else(|| split(stat.st_dev())))?, ino, is_null))
}

/// The device of mount number `mount`: the third field of `mountinfo`, written as major:minor.
fn mounted_device(proc: &Proc, pid: u32, mount: u64) -> Option<(u64, u64)> {
    let bytes = proc.read(pid, "mountinfo", MAX_MOUNTINFO).ok()?;
    String::from_utf8_lossy(&bytes).lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse() != Ok(mount) {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

/// Major and minor of a device number as the C library encodes it (`makedev(3)`).
fn split(dev: u64) -> (u64, u64) {
    ((dev >> 8 & 0xfff) | (dev >> 32 & !0xfff), (dev & 0xff) | (dev >> 12 & 0xffff_ff00))
}

/// The kernel's own encoding: `MKDEV` of `<linux/kdev_t.h>`.
fn encode((major, minor): (u64, u64)) -> Option<u32> {
    u32::try_from(major << 20 | minor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::fixture::Directory;
    use std::fs::File;
    use std::process::{Command, Stdio};

    fn files_of(stdout: Stdio, stderr: Stdio) -> Vec<LogFile> {
        let mut child = Command::new("sleep").arg("60").stdout(stdout).stderr(stderr).spawn().unwrap();
        let files = log_files(&Proc::default(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        files.unwrap()
    }

    #[test]
    fn a_file_and_dev_null() {
        let root = Directory::new();
        let file = File::create(root.join("log")).unwrap();
        let stat = file.metadata().unwrap();
        let files = files_of(file.into(), Stdio::null());
        assert_eq!(files.len(), 2);
        assert_eq!((files[0].ino, files[0].streams), (stat.st_ino(), Streams::One(LogStream::Stdout)));
        assert_eq!(files[1].streams, Streams::None);
        assert_eq!(Some(files[0].dev), encode(split(stat.st_dev())));
    }

    #[test]
    fn pipes_are_told_apart_and_a_shared_one_is_both() {
        let files = files_of(Stdio::piped(), Stdio::piped());
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].dev, files[1].dev);
        assert_ne!(files[0].ino, files[1].ino);
        assert_eq!(files[1].streams, Streams::One(LogStream::Stderr));
        let (_reader, writer) = std::io::pipe().unwrap();
        let files = files_of(writer.try_clone().unwrap().into(), writer.into());
        assert_eq!(files.len(), 1);
        let told = [1, 2, 7].map(|fd| files[0].streams.of(fd).unwrap());
        assert_eq!(told, [LogStream::Stdout, LogStream::Stderr, LogStream::Stdout]);
    }

    #[test]
    fn the_kernels_numbers_win_over_stat() {
        let root = Directory::new();
        root.write("7/fd/1", "").write("7/fdinfo/1", "pos:\t0\nflags:\t01\nmnt_id:\t30\nino:\t99\n");
        root.write("7/mountinfo", "3 1 8:1 / / rw - ext4 x rw\n30 3 259:70000 / /d rw - btrfs x rw\n");
        std::fs::remove_file(root.join("7/fd/1")).unwrap();
        root.write("target", "").link("7/fd/1", root.join("target").to_str().unwrap());
        let files = log_files(&Proc::at(&*root), 7).unwrap();
        assert_eq!(
            files,
            [LogFile { dev: 259 << 20 | 70000, ino: 99, streams: Streams::One(LogStream::Stdout) }]
        );
    }

    #[test]
    fn device_numbers_are_split_as_the_library_does() {
        for (major, minor) in [(0, 0), (8, 1), (259, 70_000), (4095, 1_048_575)] {
            assert_eq!(split(libc::makedev(major, minor)), (u64::from(major), u64::from(minor)));
        }
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let root = Directory::new();
        assert!(matches!(log_files(&Proc::at(&*root), 7), Err(ProcError::Gone { pid: 7 })));
    }
}
