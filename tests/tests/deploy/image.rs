//! The image that `cargo xtask image` packs: the layout's rules, and what is in it. A small file stands for the binary;
//! `live_image` runs the real one.

use std::fs;

use serde_json::json;
use tests::oci::OciArchive;
use xtask::architecture::Architecture;
use xtask::oci::{Image, Layout};

const TAG: &str = "registry.example/team/tracer:1.2";

/// Packs such images with a small file each, and reads them back: the digest that was told, and the archive.
fn packed(name: &str, architectures: &[Architecture]) -> (String, OciArchive) {
    let directory = std::env::temp_dir().join(format!("tracer-deploy-image-{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let (binary, archive) = (directory.join("binary"), directory.join("image.tar"));
    let mut images = Vec::new();
    for (index, &architecture) in architectures.iter().enumerate() {
        fs::write(&binary, vec![7; 100_000 + index]).expect("a file");
        images.push(Image::of_binary(&binary, architecture).expect("an image"));
    }
    let layout = Layout::new(images, TAG);
    layout.write(&archive).expect("an archive");
    let read = OciArchive::read(&archive);
    fs::remove_dir_all(&directory).expect("the directory goes");
    (layout.digest().to_owned(), read)
}

#[test]
fn one_binary_on_nothing() {
    let (digest, read) = packed("one", &[Architecture::Amd64]);
    let named = &read.index["manifests"][0];
    assert_eq!(named["digest"], digest);
    assert_eq!(named["annotations"]["org.opencontainers.image.ref.name"], "1.2");
    assert_eq!(named["annotations"]["io.containerd.image.name"], TAG);
    let [image] = &read.images[..] else { panic!("{} images", read.images.len()) };
    assert_eq!(
        (image.config["os"].as_str(), image.config["architecture"].as_str()),
        (Some("linux"), Some("amd64"))
    );
    let config = &image.config["config"];
    assert_eq!(config["User"], "0:0");
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/tracer"]));
    assert_eq!(config["Cmd"], json!(["run"]));
    // No shell, no libraries, no package manager: one layer with one file.
    assert_eq!(image.layers.len(), 1);
    assert_eq!(image.files(), [("usr/bin/tracer".to_owned(), 100_000)]);
}

#[test]
fn nodes_of_several_architectures_pull_one_name() {
    let (digest, read) = packed("several", &[Architecture::Amd64, Architecture::Arm64]);
    let named = &read.index["manifests"][0];
    assert_eq!(named["digest"], digest);
    assert_eq!(named["annotations"]["io.containerd.image.name"], TAG);
    assert!(read.list.is_some(), "the name stands for a list");
    let platforms: Vec<_> = read.images.iter().map(|image| image.descriptor["platform"].clone()).collect();
    assert_eq!(
        platforms,
        ["amd64", "arm64"].map(|architecture| json!({ "os": "linux", "architecture": architecture }))
    );
    let sizes: Vec<_> = read.images.iter().flat_map(|image| image.files()).map(|(_, size)| size).collect();
    assert_eq!(sizes, [100_000, 100_001], "each has its own binary");
}
