//! The image that `cargo xtask image` packs: the layout's rules, and what is in it. A small file stands for the binary;
//! `live_image` runs the real one.

use std::fs;

use serde_json::json;
use tests::oci::OciImage;
use xtask::oci::Image;

#[test]
fn one_binary_on_nothing() {
    let directory = std::env::temp_dir().join(format!("tracer-deploy-image-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let (binary, archive) = (directory.join("binary"), directory.join("image.tar"));
    fs::write(&binary, vec![7; 100_000]).expect("a file");
    let image = Image::of_binary(&binary, "amd64", "registry.example/team/tracer:1.2").expect("an image");
    image.write(&archive).expect("an archive");
    let read = OciImage::read(&archive);
    fs::remove_dir_all(&directory).expect("the directory goes");

    let named = &read.index["manifests"][0];
    assert_eq!(named["digest"], image.digest());
    assert_eq!(named["annotations"]["org.opencontainers.image.ref.name"], "1.2");
    assert_eq!(named["annotations"]["io.containerd.image.name"], "registry.example/team/tracer:1.2");
    assert_eq!(
        (read.config["os"].as_str(), read.config["architecture"].as_str()),
        (Some("linux"), Some("amd64"))
    );
    let config = &read.config["config"];
    assert_eq!(config["User"], "0:0");
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/tracer"]));
    assert_eq!(config["Cmd"], json!(["run"]));
    // No shell, no libraries, no package manager: one layer with one file.
    assert_eq!(read.layers.len(), 1);
    assert_eq!(read.files(), [("usr/bin/tracer".to_owned(), 100_000)]);
}
