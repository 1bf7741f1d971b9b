//! The architectures that the agent is built for.

use std::env;

use anyhow::{Result, bail};

/// An architecture, in the words of OCI (those of Go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Architecture {
    /// x86-64
    Amd64,
    /// 64-bit Arm
    Arm64,
}

impl Architecture {
    /// This machine's.
    pub(crate) fn host() -> Result<Self> {
        match env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("the tracer is not made for this machine's architecture, {other}"),
        }
    }

    /// Whether it is this machine's.
    pub(crate) fn is_host(self) -> bool {
        Self::host().is_ok_and(|host| host == self)
    }

    /// OCI's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The compiler's target.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Debian's C compiler for it on another architecture: what links, and compiles the C parts of crates.
    pub(crate) fn cross_compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// The Debian packages of that compiler and of the C library to link with.
    pub(crate) fn cross_packages(self) -> [&'static str; 2] {
        match self {
            Self::Amd64 => ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Arm64 => ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }
}
