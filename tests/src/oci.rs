//! Reading an image back: the layout's rules are checked on the way.
#![expect(clippy::expect_used, reason = "a file of ours that cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use xtask::oci::digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An archive of an image layout under one name.
#[derive(Debug)]
pub struct OciArchive {
    /// `index.json`.
    pub index: Value,
    /// The list of images, where the name stands for several.
    pub list: Option<Value>,
    /// The images, in the order in which they are listed.
    pub images: Vec<OciImage>,
}

/// An image for one platform.
#[derive(Debug)]
pub struct OciImage {
    /// How it is named: kind, size, digest and platform.
    pub descriptor: Value,
    /// The manifest.
    pub manifest: Value,
    /// The configuration.
    pub config: Value,
    /// The layers, uncompressed: tar archives.
    pub layers: Vec<Vec<u8>>,
}

impl OciArchive {
    /// Reads an archive. Each part must be what the one above it says: its kind, size, digest and platform; and nothing
    /// else may lie in the archive.
    ///
    /// # Panics
    /// When it is not such an archive.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut files = files(path);
        let layout = json(&files.remove("oci-layout").expect("the layout's mark"));
        assert_eq!(layout["imageLayoutVersion"], "1.0.0");
        let index = json(&files.remove("index.json").expect("an index"));
        let named = manifests(&index);
        assert_eq!(named.len(), 1, "one thing has the name");
        let list = (named[0]["mediaType"] == INDEX).then(|| json(&blob(&mut files, &named[0], INDEX)));
        let listed = list.as_ref().map_or(named, manifests);
        let images = listed.iter().map(|descriptor| OciImage::read(&mut files, descriptor)).collect();
        assert_eq!(files.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "nothing else is in the archive");
        Self { list, images, index }
    }
}

impl OciImage {
    /// The only one in an archive.
    ///
    /// # Panics
    /// When it is no such archive: see [`OciArchive::read`].
    #[must_use]
    pub fn only(path: &Path) -> Self {
        let mut images = OciArchive::read(path).images;
        assert_eq!(images.len(), 1);
        images.remove(0)
    }

    fn read(files: &mut BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Self {
        let manifest = json(&blob(files, descriptor, MANIFEST));
        assert_eq!(manifest["schemaVersion"], 2);
        let config = json(&blob(files, &manifest["config"], CONFIG));
        for field in ["os", "architecture"] {
            assert_eq!(config[field], descriptor["platform"][field]);
        }
        let layers = manifest["layers"].as_array().expect("layers");
        let layers: Vec<Vec<u8>> = layers.iter().map(|layer| unpacked(&blob(files, layer, LAYER))).collect();
        let named: Vec<_> =
            config["rootfs"]["diff_ids"].as_array().expect("the layers' digests").iter().collect();
        let found: Vec<_> = layers.iter().map(|layer| Value::from(digest(layer))).collect();
        assert_eq!(named, found.iter().collect::<Vec<_>>(), "the layers are those of the configuration");
        Self { descriptor: descriptor.clone(), manifest, config, layers }
    }

    /// The regular files of all layers: path and size.
    ///
    /// # Panics
    /// When a layer is no archive.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        for layer in &self.layers {
            for entry in tar::Archive::new(&layer[..]).entries().expect("entries") {
                let entry = entry.expect("an entry");
                if entry.header().entry_type().is_file() {
                    files.push((entry.path().expect("a name").display().to_string(), entry.size()));
                }
            }
        }
        files
    }

    /// Lays the image's root file system there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn unpack(&self, root: &Path) {
        fs::create_dir_all(root).expect("a directory");
        for layer in &self.layers {
            tar::Archive::new(&layer[..]).unpack(root).expect("the layer unpacks");
        }
    }
}

/// What lies in a tar archive.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(path).expect("an archive"));
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("a content");
        files.insert(name, content);
    }
    files
}

/// What an index lists.
fn manifests(index: &Value) -> &[Value] {
    assert_eq!((index["schemaVersion"].as_u64(), index["mediaType"].as_str()), (Some(2), Some(INDEX)));
    index["manifests"].as_array().expect("manifests")
}

fn blob(files: &mut BTreeMap<String, Vec<u8>>, descriptor: &Value, media_type: &str) -> Vec<u8> {
    let named = descriptor["digest"].as_str().expect("a digest");
    let content =
        files.remove(&format!("blobs/{}", named.replace(':', "/"))).expect("the blob that is named");
    assert_eq!(descriptor["mediaType"], media_type);
    assert_eq!(descriptor["size"], content.len());
    assert_eq!(digest(&content), named);
    content
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).expect("gzip");
    content
}
