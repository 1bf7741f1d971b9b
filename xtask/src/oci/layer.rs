//! The image's one layer: a compressed archive of files.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// A layer, as it lies in the image.
pub(super) struct Layer {
    /// The compressed archive.
    pub(super) bytes: Vec<u8>,
    /// Digest of the archive before compression, which the image's configuration names.
    pub(super) diff_id: String,
}

impl Layer {
    /// A layer that holds the binary as `/usr/bin/tracer`, and the directories that the agent's mounts need where the
    /// root is read-only. Owners are root, times are zero.
    pub(super) fn of_binary(binary: &Path) -> Result<Self> {
        let content = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
        let mut archive = tar::Builder::new(Vec::new());
        for directory in ["etc/", "etc/tracer/", "host/", "proc/", "sys/", "tmp/", "usr/", "usr/bin/"] {
            append(&mut archive, directory, tar::EntryType::Directory, &[])?;
        }
        append(&mut archive, "usr/bin/tracer", tar::EntryType::Regular, &content)?;
        let archive = archive.into_inner().context("cannot archive")?;
        let diff_id = digest(&archive);
        // No name and no time in the header: the bytes depend on the content alone.
        let mut compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        compressed.write_all(&archive).context("cannot compress")?;
        Ok(Self { bytes: compressed.finish().context("cannot compress")?, diff_id })
    }
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    content: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if path == "tmp/" { 0o1777 } else { 0o755 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).with_context(|| format!("cannot archive {path}"))
}

/// A digest as OCI writes it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_oci_writes_them() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn the_layer_holds_the_binary_and_nothing_of_this_machine() {
        let binary = std::env::temp_dir().join(format!("tracer-layer-{}", std::process::id()));
        std::fs::write(&binary, b"ELF").unwrap();
        let layers = [Layer::of_binary(&binary).unwrap(), Layer::of_binary(&binary).unwrap()];
        std::fs::remove_file(&binary).unwrap();
        assert_eq!(layers[0].bytes, layers[1].bytes, "the same input gives the same bytes");

        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&layers[0].bytes[..]));
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().mtime().unwrap()), (0, 0));
            names.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(names.last().map(String::as_str), Some("usr/bin/tracer"));
    }
}
