//! What differs by architecture: where a call's number and arguments are, and what the calls are numbered.

/// Reads a word of `pt_regs`. It is a trusted BTF pointer: the verifier checks the offset.
#[inline(always)]
fn register(regs: *const u64, index: usize) -> u64 {
    // SAFETY: `regs` is the tracepoint's argument, and the index lies inside `struct pt_regs`.
    unsafe { core::ptr::read_volatile(regs.add(index)) }
}

#[cfg(not(bpf_target_arch = "aarch64"))]
pub use x86_64::*;

#[cfg(bpf_target_arch = "aarch64")]
pub use aarch64::*;

/// `arch/x86/include/asm/ptrace.h`, `arch/x86/entry/syscalls/syscall_64.tbl`.
#[cfg(not(bpf_target_arch = "aarch64"))]
mod x86_64 {
    use super::register;

    /// The call's number: `orig_ax`.
    #[inline(always)]
    pub fn number(regs: *const u64) -> u64 {
        register(regs, 15)
    }

    /// Argument `INDEX` of the call, from 0: di, si, dx, r10.
    #[inline(always)]
    pub fn argument<const INDEX: usize>(regs: *const u64) -> u64 {
        register(regs, [14, 13, 12, 7][INDEX])
    }

    /// Whether the running call is a 32-bit one: `thread_info.status & TS_COMPAT`.
    #[inline(always)]
    pub fn is_compat(task: u64) -> bool {
        super::super::kernel::read::<u32>(task, config!(task_status)) & 2 != 0
    }

    /// Numbers of 32-bit calls that would move data (read, write, readv, writev, socketcall, recvmmsg, sendmmsg,
    /// sendto, sendmsg, recvfrom, recvmsg): `syscall_32.tbl`.
    #[inline(always)]
    pub fn is_compat_data(number: u64) -> bool {
        matches!(number, 3 | 4 | 102 | 145 | 146 | 337 | 345 | 369..=372)
    }

    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const POLL: u64 = 7;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SELECT: u64 = 23;
    pub const SENDFILE: u64 = 40;
    pub const CONNECT: u64 = 42;
    pub const ACCEPT: u64 = 43;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SHUTDOWN: u64 = 48;
    pub const EPOLL_WAIT: u64 = 232;
    pub const PSELECT6: u64 = 270;
    pub const PPOLL: u64 = 271;
    pub const SPLICE: u64 = 275;
    pub const EPOLL_PWAIT: u64 = 281;
    pub const ACCEPT4: u64 = 288;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    pub const EPOLL_PWAIT2: u64 = 441;
}

/// `arch/arm64/include/asm/ptrace.h`, `include/uapi/asm-generic/unistd.h`.
#[cfg(bpf_target_arch = "aarch64")]
mod aarch64 {
    use super::register;

    /// The call's number: `syscallno`, a signed 32-bit field after `orig_x0`. The verifier refuses to read beyond its end.
    #[inline(always)]
    pub fn number(regs: *const u64) -> u64 {
        // SAFETY: as in `register`.
        let number = unsafe { core::ptr::read_volatile(regs.add(35).cast::<u32>()) };
        u64::from(number)
    }

    /// Argument `INDEX` of the call, from 0: orig_x0 (x0 holds the result by now), x1, x2, x3.
    #[inline(always)]
    pub fn argument<const INDEX: usize>(regs: *const u64) -> u64 {
        register(regs, [34, 1, 2, 3][INDEX])
    }

    /// 32-bit programs: `thread_info.flags & TIF_32BIT` (bit 22).
    #[inline(always)]
    pub fn is_compat(task: u64) -> bool {
        super::super::kernel::read::<u64>(task, config!(task_status)) & (1 << 22) != 0
    }

    /// Numbers of 32-bit calls that would move data: `arch/arm/tools/syscall.tbl`.
    #[inline(always)]
    pub fn is_compat_data(number: u64) -> bool {
        matches!(number, 3 | 4 | 145 | 146 | 290 | 292 | 296 | 297 | 365 | 374)
    }

    /// No such call here; the number is never used.
    const NONE: u64 = u64::MAX;
    pub const READ: u64 = 63;
    pub const WRITE: u64 = 64;
    pub const POLL: u64 = NONE;
    pub const READV: u64 = 65;
    pub const WRITEV: u64 = 66;
    pub const SELECT: u64 = NONE - 1;
    pub const SENDFILE: u64 = 71;
    pub const CONNECT: u64 = 203;
    pub const ACCEPT: u64 = 202;
    pub const SENDTO: u64 = 206;
    pub const RECVFROM: u64 = 207;
    pub const SENDMSG: u64 = 211;
    pub const RECVMSG: u64 = 212;
    pub const SHUTDOWN: u64 = 210;
    pub const EPOLL_WAIT: u64 = NONE - 2;
    pub const PSELECT6: u64 = 72;
    pub const PPOLL: u64 = 73;
    pub const SPLICE: u64 = 76;
    pub const EPOLL_PWAIT: u64 = 22;
    pub const ACCEPT4: u64 = 242;
    pub const RECVMMSG: u64 = 243;
    pub const SENDMMSG: u64 = 269;
    pub const EPOLL_PWAIT2: u64 = 441;
}
