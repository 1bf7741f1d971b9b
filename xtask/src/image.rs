//! `cargo xtask image`: the agent's container image, without a container engine.
//!
//! An OCI image layout (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) in one tar archive:
//! one layer with one static binary, on nothing. The same source and toolchain give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xtask::architecture::Architecture;
use xtask::oci::{Image, Layout};
use xtask::workspace;

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
    /// The nodes' architectures; with several, one name stands for all of them [default: this machine's]
    #[arg(long, value_name = "ARCH", value_delimiter = ',', conflicts_with = "binary")]
    arch: Vec<Architecture>,
    /// Use these static binaries, one for each architecture, instead of building them
    #[arg(long, value_name = "PATH")]
    binary: Vec<PathBuf>,
    /// Only build the static binary, and put it there
    #[arg(long, value_name = "PATH", conflicts_with_all = ["output", "binary"])]
    binary_only: Option<PathBuf>,
    /// cargo's profile for the binary
    #[arg(long, value_name = "PROFILE", default_value = "dist")]
    profile: String,
}

/// Builds what is asked for, and says what it is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let architectures = architectures(options)?;
    if let Some(path) = &options.binary_only {
        let [architecture] = architectures[..] else { bail!("--binary-only takes one --arch") };
        let binary = build(&options.profile, architecture)?;
        fs::copy(&binary, path).with_context(|| format!("cannot write {}", path.display()))?;
        println!("image: {} is a static binary of {}", path.display(), megabytes(&binary)?);
        return Ok(());
    }
    let mut images = Vec::new();
    for (index, &architecture) in architectures.iter().enumerate() {
        let binary = match options.binary.get(index) {
            Some(binary) => binary.clone(),
            None => build(&options.profile, architecture)?,
        };
        let size = megabytes(&binary)?;
        println!("image: linux/{}, one layer: /usr/bin/tracer, {size}", architecture.name());
        images.push(Image::of_binary(&binary, architecture)?);
    }
    let output = options.output.clone().unwrap_or_else(|| default_output(&architectures));
    let layout = Layout::new(images, &options.tag);
    layout.write(&output)?;
    println!("image: {} ({}), {}", output.display(), megabytes(&output)?, options.tag);
    println!("image: digest {}", layout.digest());
    Ok(())
}

/// Those that are named, by themselves or by binaries for them; each once.
fn architectures(options: &Options) -> Result<Vec<Architecture>> {
    let of_binaries: Result<Vec<_>> =
        options.binary.iter().map(|path| Architecture::of_executable(path)).collect();
    let mut named = options.arch.clone();
    named.extend(of_binaries?);
    if named.is_empty() {
        named.push(Architecture::host()?);
    }
    for (index, architecture) in named.iter().enumerate() {
        if named[..index].contains(architecture) {
            bail!("{} is named twice: an image has one binary for each architecture", architecture.name());
        }
    }
    Ok(named)
}

fn build(profile: &str, architecture: Architecture) -> Result<PathBuf> {
    setup::toolchain(architecture)?;
    cargo::build_static_tracer(profile, architecture)
}

fn default_output(architectures: &[Architecture]) -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    let name = match architectures {
        [architecture] => format!("tracer-{version}-{}.tar", architecture.name()),
        _ => format!("tracer-{version}.tar"),
    };
    workspace::root().join("target/image").join(name)
}

fn megabytes(path: &Path) -> Result<String> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(format!("{}.{} MB", size / 1_000_000, size % 1_000_000 / 100_000))
}
