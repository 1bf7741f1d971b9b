//! Why the probe could not be loaded or told something, in sentences.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

use super::btf::BtfError;

/// Why the probe does not run.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// No type information of the kernel.
    #[error(
        "cannot read the kernel's type information at {path}: {source}; the kernel must be built with \
         CONFIG_DEBUG_INFO_BTF=y and /sys must be mounted"
    )]
    NoBtf {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The type information lacks something.
    #[error("{0}; this kernel cannot be traced without guessing, so nothing was attached")]
    Btf(#[from] BtfError),
    /// The kernel refuses.
    #[error(
        "the kernel does not let this process use BPF ({what}): run as root, or give it the capabilities CAP_BPF and \
         CAP_PERFMON (CAP_SYS_ADMIN where the kernel does not know these); if it has them, a seccomp profile or a security \
         module refuses bpf(2)"
    )]
    NotPermitted {
        /// The step that was refused.
        what: String,
    },
    /// The object could not be loaded.
    #[error("cannot load the probe: {0}")]
    Object(#[source] Box<EbpfError>),
    /// A program was refused.
    #[error("the kernel refused the program `{program}`: {reason}")]
    Program {
        /// Its name.
        program: String,
        /// What the kernel said, with the verifier's log.
        reason: String,
    },
    /// A map is missing or refuses.
    #[error("the probe's map {name} cannot be used: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// The object does not hold what this version of the agent expects.
    #[error("the probe has no `{0}`: it was built from another version")]
    Missing(&'static str),
}

impl ProbeError {
    /// Sorts an error of the object's load.
    #[must_use]
    pub fn from_object(error: EbpfError) -> Self {
        if is_not_permitted(&error) {
            return Self::NotPermitted { what: "creating a map".into() };
        }
        Self::Object(Box::new(error))
    }

    /// Sorts an error of a program's load or attachment.
    #[must_use]
    pub fn from_program(program: &str, error: ProgramError) -> Self {
        if is_not_permitted(&error) {
            return Self::NotPermitted { what: format!("loading {program}") };
        }
        let reason = match &error {
            ProgramError::LoadError { io_error, verifier_log } => format!("{io_error}\n{verifier_log}"),
            other => causes(other),
        };
        Self::Program { program: program.to_owned(), reason }
    }
}

/// An error with all its causes, in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn is_not_permitted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(ProgramError::LoadError { verifier_log, .. }) = cause.downcast_ref::<ProgramError>() {
            // The verifier also answers EPERM; then its log says why.
            if !verifier_log.to_string().trim().is_empty() {
                return false;
            }
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::PermissionDenied;
        }
        next = cause.source();
    }
    false
}
