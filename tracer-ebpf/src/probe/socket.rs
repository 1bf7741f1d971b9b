//! From a file to a stream socket that can be traced.

use super::kernel::read;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;
/// `AF_UNIX`.
pub const UNIX: u16 = 1;
const INET: u16 = 2;
/// `AF_INET6`.
pub const INET6: u16 = 10;

/// What was found behind a descriptor.
pub struct File {
    /// Address of `struct file`.
    pub address: u64,
    /// Address of its inode.
    pub inode: u64,
    /// Inode number.
    pub ino: u64,
    /// Whether it is a socket.
    pub is_socket: bool,
}

/// A stream socket of a family that is traced.
pub struct Socket {
    /// Address of `struct sock`.
    pub sock: u64,
    /// Inode number of its file.
    pub ino: u64,
    /// Address family.
    pub family: u16,
    /// Positions are TCP sequence numbers.
    pub sequence: bool,
}

/// The file behind a descriptor of the current process.
#[inline(always)]
pub fn file(task: u64, fd: u32) -> Option<File> {
    describe(super::kernel::file_of(task, fd))
}

/// The file that a call on a descriptor of the current process was made on.
#[inline(always)]
pub fn called(task: u64, fd: u32) -> Option<File> {
    let released = released(task);
    describe(if released != 0 { released } else { super::kernel::file_of(task, fd) })
}

/// The socket's file whose last user the current call was, or 0.
///
/// Where another thread closed the descriptor during the call, the call itself held the file, and its end puts the
/// file's release on the list of work before the return to the application (`fput`, fs/file_table.c): after this
/// probe. By now the descriptor can name another file. A call can also be the last user of files that it received
/// and threw away (`SCM_RIGHTS`, MSG_CTRUNC); those are not told apart.
#[inline(always)]
fn released(task: u64) -> u64 {
    let work: u64 = read(task, config!(task_works));
    if work == 0 {
        return 0;
    }
    // Other kinds of work do not lie in a file: only a socket's file is pointed at by its socket.
    let file = work - config!(file_work) as u64;
    let socket: u64 = read(file, config!(file_private));
    if socket != 0 && read::<u64>(socket, config!(socket_file)) == file { file } else { 0 }
}

#[inline(always)]
fn describe(address: u64) -> Option<File> {
    if address == 0 {
        return None;
    }
    let inode: u64 = read(address, config!(file_inode));
    let mode: u16 = read(inode, config!(inode_mode));
    let ino: u64 = read(inode, config!(inode_ino));
    Some(File { address, inode, ino, is_socket: mode & S_IFMT == S_IFSOCK })
}

/// The socket behind a file that is one.
#[inline(always)]
pub fn of(file: &File) -> Option<Socket> {
    let socket: u64 = read(file.address, config!(file_private));
    let kind: u16 = read(socket, config!(socket_type));
    let sock: u64 = read(socket, config!(socket_sk));
    if sock == 0 || kind != SOCK_STREAM {
        return None;
    }
    let family: u16 = read(sock, config!(skc_family));
    if family == UNIX {
        return Some(Socket { sock, ino: file.ino, family, sequence: false });
    }
    if family != INET && family != INET6 {
        return None;
    }
    let protocol: u16 = read(sock, config!(sk_protocol));
    if protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP {
        return None;
    }
    Some(Socket { sock, ino: file.ino, family, sequence: protocol == IPPROTO_TCP })
}
