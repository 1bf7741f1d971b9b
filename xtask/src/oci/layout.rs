//! An OCI image: configuration, manifest and index around the layer, as an archive.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::layer::{Layer, digest};

/// An image that is ready to be written.
#[derive(Debug)]
pub struct Image {
    layer: Blob,
    config: Blob,
    manifest: Blob,
    tag: String,
}

#[derive(Debug)]
struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self { bytes, digest }
    }

    fn of(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

impl Image {
    /// The image of one static binary. `architecture` is in OCI's words (`amd64`), `tag` is the image's name.
    ///
    /// # Errors
    /// When the binary cannot be read.
    pub fn of_binary(binary: &Path, architecture: &str, tag: &str) -> Result<Self> {
        let Layer { bytes, diff_id } = Layer::of_binary(binary)?;
        let layer = Blob::new(bytes);
        let config = Blob::of(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": "0:0",
                "Entrypoint": ["/usr/bin/tracer"],
                "Cmd": ["run"],
                "Env": ["PATH=/usr/bin"],
                "StopSignal": "SIGTERM",
                "Labels": {
                    "org.opencontainers.image.title": "tracer",
                    "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                    "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created_by": "cargo xtask image" }],
        }));
        let manifest = Blob::of(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        }));
        Ok(Self { layer, config, manifest, tag: tag.to_owned() })
    }

    /// Digest of the manifest, by which a registry knows the image.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Writes the layout as a tar archive, as `docker load`, `ctr images import` and `skopeo copy oci-archive:` take it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut archive = tar::Builder::new(file);
        append(&mut archive, "oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes())?;
        append(&mut archive, "index.json", self.index().to_string().as_bytes())?;
        for blob in [&self.config, &self.manifest, &self.layer] {
            append(&mut archive, &format!("blobs/{}", blob.digest.replace(':', "/")), &blob.bytes)?;
        }
        archive.finish().with_context(|| format!("cannot write {}", path.display()))
    }

    fn index(&self) -> Value {
        let mut manifest = self.manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
        let tag = self.tag.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        manifest["annotations"] = json!({
            // skopeo and podman look at the first, containerd and Docker at the second.
            "org.opencontainers.image.ref.name": tag,
            "io.containerd.image.name": self.tag,
        });
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        })
    }
}

fn append(archive: &mut tar::Builder<File>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).with_context(|| format!("cannot archive {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_name_each_other() {
        let binary = std::env::temp_dir().join(format!("tracer-layout-{}", std::process::id()));
        fs::write(&binary, b"ELF").unwrap();
        let image = Image::of_binary(&binary, "amd64", "registry/tracer:1").unwrap();
        fs::remove_file(&binary).unwrap();
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["config"]["digest"], image.config.digest.as_str());
        assert_eq!(manifest["layers"][0]["digest"], image.layer.digest.as_str());
        assert_eq!(manifest["layers"][0]["size"], image.layer.bytes.len());
        let index = image.index();
        assert_eq!(index["manifests"][0]["digest"], image.digest());
        assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
    }
}
