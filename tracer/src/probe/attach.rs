//! Where calls are seen: the tracepoint at every call's exit, or (an option) fexit on each call's function.

use aya::programs::{BtfTracePoint, FExit, Program, ProgramError};
use aya::{Btf, Ebpf};
use clap::ValueEnum;
use serde::Deserialize;
use tracing::debug;

use super::error::ProbeError;

/// `--attach`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// What suits this kernel: the tracepoint
    #[default]
    Auto,
    /// The BTF tracepoint at the exit of every system call: works on every kernel and loses no call
    Tracepoint,
    /// The exits of the traced system calls alone: costs other calls nothing, but may miss some, which are counted,
    /// and those that were blocked before it was attached
    Fexit,
}

/// What was attached for the calls.
#[derive(Debug)]
pub enum Attached {
    /// `tp_btf/sys_exit`.
    Tracepoint,
    /// The names of the fexit programs.
    Fexit(Vec<String>),
}

/// The calls whose functions have an fexit program, `fexit_<call>`. Not every architecture has the last three.
const CALLS: &[&str] = &[
    "read",
    "write",
    "readv",
    "writev",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "recvmmsg",
    "sendmmsg",
    "sendfile64",
    "splice",
    "connect",
    "accept",
    "accept4",
    "shutdown",
    "ppoll",
    "pselect6",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "select",
    "epoll_wait",
];

/// What the kernel puts before the name of a call's function.
const FUNCTION_PREFIX: &str = if cfg!(target_arch = "aarch64") { "__arm64_sys_" } else { "__x64_sys_" };

impl Attached {
    /// Its name in messages.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::Fexit(_) => "fexit",
        }
    }
}

/// The program that sees changes of TCP's state that interrupt the first one.
pub const AGAIN: &str = "inet_sock_set_state_again";

/// Times that the kernel left out a program because the same one was running already on that processor, below an interrupt
/// (`__bpf_trace_run` since 6.2, `__bpf_prog_enter`), and no other one saw to it.
#[must_use]
pub fn recursion_misses(ebpf: &Ebpf) -> u64 {
    let alone = ebpf.programs().filter(|(name, _)| !["inet_sock_set_state", AGAIN].contains(name));
    alone.filter_map(|(_, program)| misses_of(program)).sum()
}

/// `recursion_misses` of one program, from its descriptor's fdinfo (`kernel/bpf/syscall.c`, bpf_prog_show_fdinfo).
fn misses_of(program: &Program) -> Option<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let fd = program.fd().ok()?.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
    line.trim().parse().ok()
}

/// Loads and attaches the programs that see calls.
///
/// # Errors
/// When the kernel refuses: with fexit, when it refuses any of its programs.
pub fn calls(ebpf: &mut Ebpf, btf: &Btf, mode: AttachMode) -> Result<Attached, ProbeError> {
    match mode {
        AttachMode::Auto | AttachMode::Tracepoint => {
            let error = |error| ProbeError::from_program("sys_exit", error);
            let program = ebpf.program_mut("sys_exit").ok_or(ProbeError::Missing("sys_exit"))?;
            let program: &mut BtfTracePoint = program.try_into().map_err(error)?;
            program.load("sys_exit", btf).map_err(error)?;
            program.attach().map_err(error)?;
            Ok(Attached::Tracepoint)
        }
        AttachMode::Fexit => fexit(ebpf, btf),
    }
}

fn fexit(ebpf: &mut Ebpf, btf: &Btf) -> Result<Attached, ProbeError> {
    let mut loaded = Vec::new();
    // All are loaded before any is attached: half of the calls would make streams with gaps.
    for call in CALLS {
        let name = format!("fexit_{call}");
        if ebpf.program(&name).is_none() {
            continue;
        }
        let error = |error: ProgramError| refused(&name, error);
        program(ebpf, &name)?.load(&format!("{FUNCTION_PREFIX}{call}"), btf).map_err(error)?;
        debug!(program = name, "loaded");
        loaded.push(name);
    }
    for name in &loaded {
        program(ebpf, name)?.attach().map_err(|error| refused(name, error))?;
    }
    Ok(Attached::Fexit(loaded))
}

/// By now maps and other programs are loaded, so a refusal is of fexit itself, not of the caller's rights.
fn refused(name: &str, error: ProgramError) -> ProbeError {
    let said = match ProbeError::from_program(name, error) {
        ProbeError::Program { reason, .. } => reason,
        ProbeError::NotPermitted { .. } => "not permitted".to_owned(),
        other => return other,
    };
    ProbeError::Program {
        program: name.to_owned(),
        reason: format!(
            "fexit does not work here; use `--attach tracepoint`, which works on every kernel. It said: {said}"
        ),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut FExit, ProbeError> {
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing("fexit program"))?;
    program.try_into().map_err(|error| ProbeError::from_program(name, error))
}
