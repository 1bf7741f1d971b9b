//! OCI images: configuration and manifest around each one's layer, and the index above them, as an archive.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::layer::{Layer, digest};
use crate::architecture::Architecture;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The image for one architecture.
#[derive(Debug)]
pub struct Image {
    architecture: Architecture,
    layer: Blob,
    config: Blob,
    manifest: Blob,
}

/// Images of one name that are ready to be written, one for each architecture.
#[derive(Debug)]
pub struct Layout {
    images: Vec<Image>,
    /// The list of the images, where there are several.
    list: Option<Blob>,
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
    /// The image of one static binary.
    ///
    /// # Errors
    /// When the binary cannot be read.
    pub fn of_binary(binary: &Path, architecture: Architecture) -> Result<Self> {
        let Layer { bytes, diff_id } = Layer::of_binary(binary)?;
        let layer = Blob::new(bytes);
        let config = Blob::of(&json!({
            "architecture": architecture.name(),
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
            "mediaType": MANIFEST,
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        }));
        Ok(Self { architecture, layer, config, manifest })
    }

    /// How an index names it: what a node chooses by is the platform.
    fn descriptor(&self) -> Value {
        let mut descriptor = self.manifest.descriptor(MANIFEST);
        descriptor["platform"] = json!({ "os": "linux", "architecture": self.architecture.name() });
        descriptor
    }
}

impl Layout {
    /// These images under the name `tag`. Several are listed in an index of their own: tools that look for the name find
    /// one thing, as a registry has it.
    #[must_use]
    pub fn new(images: Vec<Image>, tag: &str) -> Self {
        let list = (images.len() > 1).then(|| {
            let manifests: Vec<Value> = images.iter().map(Image::descriptor).collect();
            Blob::of(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }))
        });
        Self { images, list, tag: tag.to_owned() }
    }

    /// Digest by which a registry knows what is under the name: of the manifest, or of the list of manifests.
    #[must_use]
    pub fn digest(&self) -> &str {
        match (&self.list, &self.images[..]) {
            (Some(list), _) => &list.digest,
            (None, [image, ..]) => &image.manifest.digest,
            (None, []) => "",
        }
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
        let images = self.images.iter().flat_map(|image| [&image.config, &image.manifest, &image.layer]);
        for blob in self.list.iter().chain(images) {
            append(&mut archive, &format!("blobs/{}", blob.digest.replace(':', "/")), &blob.bytes)?;
        }
        archive.finish().with_context(|| format!("cannot write {}", path.display()))
    }

    /// What has the name.
    fn named(&self) -> Value {
        match &self.list {
            Some(list) => list.descriptor(INDEX),
            None => self.images.first().map_or(Value::Null, Image::descriptor),
        }
    }

    fn index(&self) -> Value {
        let mut named = self.named();
        let tag = self.tag.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        named["annotations"] = json!({
            // skopeo and podman look at the first, containerd and Docker at the second.
            "org.opencontainers.image.ref.name": tag,
            "io.containerd.image.name": self.tag,
        });
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [named] })
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn image(architecture: Architecture) -> Image {
        // Tests run at once in one process.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tracer-layout-{}-{number}", std::process::id());
        let binary = std::env::temp_dir().join(name);
        fs::write(&binary, b"ELF").unwrap();
        let image = Image::of_binary(&binary, architecture).unwrap();
        fs::remove_file(&binary).unwrap();
        image
    }

    #[test]
    fn the_parts_name_each_other() {
        let image = image(Architecture::Amd64);
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["config"]["digest"], image.config.digest.as_str());
        assert_eq!(manifest["layers"][0]["digest"], image.layer.digest.as_str());
        assert_eq!(manifest["layers"][0]["size"], image.layer.bytes.len());
        let layout = Layout::new(vec![image], "registry/tracer:1");
        let named = &layout.index()["manifests"][0];
        assert_eq!(named["digest"], layout.images[0].manifest.digest.as_str());
        assert_eq!(named["annotations"]["org.opencontainers.image.ref.name"], "1");
        assert_eq!(named["platform"], json!({ "os": "linux", "architecture": "amd64" }));
        assert!(layout.list.is_none());
    }

    #[test]
    fn several_architectures_are_one_name() {
        let images = vec![image(Architecture::Amd64), image(Architecture::Arm64)];
        let layout = Layout::new(images, "registry/tracer:1");
        let index = layout.index();
        assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
        assert_eq!(index["manifests"][0]["mediaType"], INDEX);
        assert!(index["manifests"][0]["platform"].is_null());
        let list: Value = serde_json::from_slice(&layout.list.as_ref().unwrap().bytes).unwrap();
        let platforms: Vec<_> = list["manifests"].as_array().unwrap().iter().collect();
        let named: Vec<_> = platforms.iter().map(|of| of["platform"]["architecture"].as_str()).collect();
        assert_eq!(named, [Some("amd64"), Some("arm64")]);
        assert_eq!(platforms[1]["digest"], layout.images[1].manifest.digest.as_str());
    }
}
