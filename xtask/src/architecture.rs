//! The architectures that the agent is built for.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

/// An architecture, in the words of OCI (those of Go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// x86-64
    Amd64,
    /// 64-bit Arm
    Arm64,
}

impl Architecture {
    /// This machine's.
    ///
    /// # Errors
    /// When it is another one.
    pub fn host() -> Result<Self> {
        match env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("the tracer is not made for this machine's architecture, {other}"),
        }
    }

    /// That of an executable.
    ///
    /// # Errors
    /// When it is none, or one for another architecture.
    pub fn of_executable(path: &Path) -> Result<Self> {
        let mut header = [0; 20];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
        read.with_context(|| format!("cannot read {}", path.display()))?;
        Self::of_elf(&header)
            .with_context(|| format!("{} is no executable for 64-bit x86 or Arm under Linux", path.display()))
    }

    /// By the head of the file: elf(5), and `e_machine` of the System V ABI's supplements.
    fn of_elf(header: &[u8; 20]) -> Option<Self> {
        // Class 2: 64-bit. Data 1: little-endian.
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        match u16::from_le_bytes([header[18], header[19]]) {
            62 => Some(Self::Amd64),
            183 => Some(Self::Arm64),
            _ => None,
        }
    }

    /// Whether it is this machine's.
    #[must_use]
    pub fn is_host(self) -> bool {
        Self::host().is_ok_and(|host| host == self)
    }

    /// OCI's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The compiler's target.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The GNU triplet, by which Debian names the cross tools that clang looks for.
    #[must_use]
    pub fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// Debian's packages that bring what links for it on another architecture, and what C parts of crates are compiled with:
    /// clang, which knows all targets. Debian's GCC for another architecture excludes `gcc-multilib`, which the tests need.
    #[must_use]
    pub fn cross_packages(self) -> [&'static str; 4] {
        match self {
            Self::Amd64 => {
                ["clang", "binutils-x86-64-linux-gnu", "libgcc-12-dev-amd64-cross", "libc6-dev-amd64-cross"]
            }
            Self::Arm64 => {
                ["clang", "binutils-aarch64-linux-gnu", "libgcc-12-dev-arm64-cross", "libc6-dev-arm64-cross"]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_say_what_they_are_for() {
        let own = Architecture::of_executable(&env::current_exe().unwrap()).unwrap();
        assert_eq!(own, Architecture::host().unwrap());
        let mut header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";
        assert_eq!(Architecture::of_elf(&header), Some(Architecture::Arm64));
        header[18] = 243;
        assert_eq!(Architecture::of_elf(&header), None, "RISC-V");
        assert!(Architecture::of_executable(Path::new("/etc/passwd")).is_err());
    }
}
