//! `cargo xtask image`: the agent's container image, without a container engine.
//!
//! An OCI image layout (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) in one tar archive:
//! one layer with one static binary, on nothing. The same source and toolchain give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xtask::oci::Image;
use xtask::workspace;

use crate::architecture::Architecture;
use crate::{cargo, setup};

/// What to make of the binary.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the archive goes [default: target/image/tracer-VERSION-ARCH.tar]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The image's name, as `docker load` and registries show it
    #[arg(long, value_name = "NAME", default_value_t = concat!("tracer:", env!("CARGO_PKG_VERSION")).to_owned())]
    tag: String,
    /// The nodes' architecture [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,
    /// Use this static binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Only build the static binary, and put it there
    #[arg(long, value_name = "PATH", conflicts_with_all = ["output", "binary"])]
    binary_only: Option<PathBuf>,
    /// cargo's profile for the binary
    #[arg(long, value_name = "PROFILE", default_value = "dist")]
    profile: String,
}

/// Builds what is asked for, and says what it is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let architecture = options.arch.map_or_else(Architecture::host, Ok)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            setup::toolchain(architecture)?;
            cargo::build_static_tracer(&options.profile, architecture)?
        }
    };
    if let Some(path) = &options.binary_only {
        fs::copy(&binary, path).with_context(|| format!("cannot write {}", path.display()))?;
        println!("image: {} is a static binary of {}", path.display(), megabytes(&binary)?);
        return Ok(());
    }
    let output = options.output.clone().unwrap_or_else(|| default_output(architecture));
    let image = Image::of_binary(&binary, architecture.name(), &options.tag)?;
    image.write(&output)?;
    println!("image: {} ({}), {}", output.display(), megabytes(&output)?, options.tag);
    println!("image: linux/{}, one layer: /usr/bin/tracer, {}", architecture.name(), megabytes(&binary)?);
    println!("image: manifest {}", image.digest());
    Ok(())
}

fn default_output(architecture: Architecture) -> PathBuf {
    let name = format!("tracer-{}-{}.tar", env!("CARGO_PKG_VERSION"), architecture.name());
    workspace::root().join("target/image").join(name)
}

fn megabytes(path: &Path) -> Result<String> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(format!("{}.{} MB", size / 1_000_000, size % 1_000_000 / 100_000))
}
