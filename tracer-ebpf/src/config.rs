//! What user space tells the probe when it loads it.

/// The probe's read-only configuration: set before the load, constant afterwards.
///
/// Offsets are in bytes and come from the running kernel's BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The tracer's own process id, which is never a target.
    pub own_tgid: u32,
    /// Bytes captured from the start of a call by default.
    pub head: u32,
    /// Bytes captured from the end of a longer call by default.
    pub tail: u32,
    /// Bits: see [`option`].
    pub options: u32,
    /// Wake the reader when the ring holds more than this many bytes.
    pub wake_bytes: u32,
    /// `task_struct.files`.
    pub task_files: u32,
    /// `task_struct.start_time`.
    pub task_start_time: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// Where the thread pointer is: x86-64 `task_struct.thread.fsbase`, arm64 `task_struct.thread.uw.tp_value`.
    pub task_thread_pointer: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `task_struct.thread_info.status` (x86: holds TS_COMPAT).
    pub task_status: u32,
    /// `task_struct.task_works`.
    pub task_works: u32,
    /// `signal_struct.live`.
    pub signal_live: u32,
    /// `files_struct.fdt`.
    pub files_fdt: u32,
    /// `fdtable.max_fds`.
    pub fdt_max_fds: u32,
    /// `fdtable.fd`.
    pub fdt_fd: u32,
    /// `file.f_inode`.
    pub file_inode: u32,
    /// `file.private_data`.
    pub file_private: u32,
    /// The `callback_head` in `struct file` by which its release is put off to the end of a call.
    pub file_work: u32,
    /// `inode.i_mode`.
    pub inode_mode: u32,
    /// `inode.i_ino`.
    pub inode_ino: u32,
    /// `inode.i_sb`.
    pub inode_sb: u32,
    /// `super_block.s_dev`.
    pub sb_dev: u32,
    /// `socket.type`.
    pub socket_type: u32,
    /// `socket.sk`.
    pub socket_sk: u32,
    /// `socket.file`.
    pub socket_file: u32,
    /// `sock_common.skc_family`.
    pub skc_family: u32,
    /// `sock_common.skc_state`.
    pub skc_state: u32,
    /// `sock_common.skc_num`.
    pub skc_num: u32,
    /// `sock_common.skc_dport`.
    pub skc_dport: u32,
    /// `sock_common.skc_daddr`.
    pub skc_daddr: u32,
    /// `sock_common.skc_rcv_saddr`.
    pub skc_rcv_saddr: u32,
    /// `sock_common.skc_v6_daddr`.
    pub skc_v6_daddr: u32,
    /// `sock_common.skc_v6_rcv_saddr`.
    pub skc_v6_rcv_saddr: u32,
    /// `sock.sk_shutdown`.
    pub sk_shutdown: u32,
    /// `sock.sk_protocol`.
    pub sk_protocol: u32,
    /// `tcp_sock.copied_seq`.
    pub tcp_copied_seq: u32,
    /// `tcp_sock.write_seq`.
    pub tcp_write_seq: u32,
    /// `tcp_sock.rcv_nxt`.
    pub tcp_rcv_nxt: u32,
    /// `tcp_sock.bytes_received`.
    pub tcp_bytes_received: u32,
    /// `tcp_sock.snd_una`.
    pub tcp_snd_una: u32,
    /// `tcp_sock.bytes_acked`.
    pub tcp_bytes_acked: u32,
    /// `unix_sock.peer`.
    pub unix_peer: u32,
    /// `unix_sock.addr`.
    pub unix_addr: u32,
    /// `unix_address.len`.
    pub unix_address_len: u32,
    /// `unix_address.name[0].sun_path`.
    pub unix_address_path: u32,
    /// `cgroup.self` (a `cgroup_subsys_state`).
    pub cgroup_self: u32,
    /// `cgroup_subsys_state.parent`.
    pub css_parent: u32,
    /// `cgroup_subsys_state.cgroup`.
    pub css_cgroup: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `kernfs_node.id`.
    pub kn_id: u32,
    /// `kernfs_node.name`.
    pub kn_name: u32,
    /// `cgroup.root`.
    pub cgroup_root: u32,
    /// `cgroup_root.hierarchy_id`.
    pub root_hierarchy_id: u32,
}

impl ProbeConfig {
    /// Nothing set.
    // SAFETY: every field is an integer.
    pub const ZERO: Self = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

    /// The configuration as the loader writes it.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        // SAFETY: `repr(C)` with nothing but u32 fields: no padding, the same alignment.
        unsafe {
            core::slice::from_raw_parts((&raw const *self).cast(), size_of::<Self>() / size_of::<u32>())
        }
    }
}

/// Bits of [`ProbeConfig::options`].
pub mod option {
    /// Writes to log inodes become events.
    pub const LOGS: u32 = 1 << 0;
    /// Every process's exec is told, because processes are selected by their executable.
    pub const ALL_EXECS: u32 = 1 << 1;
    /// The probe is attached by fexit: the handler can be preempted and may miss calls.
    pub const FEXIT: u32 = 1 << 2;
}

/// Key of the probe's map of log inodes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogInode {
    /// Inode number.
    pub ino: u64,
    /// `super_block.s_dev` in the kernel's encoding (major << 20 | minor).
    pub dev: u64,
}

/// What a log inode is: the value beside [`LogInode`].
pub mod log_inode {
    /// Known not to be a log.
    pub const IGNORED: u32 = 0;
    /// A log.
    pub const LOG: u32 = 1;
}

/// How much of each call on a connection is captured: the value of the probe's maps of windows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureWindow {
    /// The connection's inode, since socket addresses are reused; 0 in the map by port.
    pub ino: u64,
    /// Bytes from the start.
    pub head: u32,
    /// Bytes from the end of a longer call.
    pub tail: u32,
}
