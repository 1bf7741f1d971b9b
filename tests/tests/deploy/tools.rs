//! Running helm, kubectl and the validator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::workspace;

/// The versions of Kubernetes that the manifests are for.
pub const VERSIONS: [&str; 8] = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];

pub fn deploy(path: &str) -> PathBuf {
    workspace::root().join("deploy").join(path)
}

/// Runs helm on the chart with `--set` values, in the namespace `tracer` unless the command names another: its output.
pub fn helm(command: &[&str], values: &[&str]) -> Output {
    let mut helm = Command::new(workspace::helm());
    helm.args(command).arg(deploy("helm/tracer"));
    if !command.contains(&"--namespace") {
        helm.args(["--namespace", "tracer"]);
    }
    for value in values {
        helm.args(["--set", value]);
    }
    helm.output().expect("helm runs: `cargo xtask setup` installs it")
}

/// What the chart becomes with these values.
pub fn rendered(values: &[&str]) -> String {
    let output = helm(&["template", "tracer"], values);
    assert!(output.status.success(), "{values:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What a kustomization becomes.
pub fn kustomized(path: &Path) -> String {
    let kubectl = workspace::deploy_tools().join("bin/kubectl");
    let output = Command::new(kubectl).arg("kustomize").arg(path).output().expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Has all manifests validated, strictly, for every version. (All at once: the validator takes long to start.)
pub fn validate(name: &str, manifests: &[String]) {
    let file = std::env::temp_dir().join(format!("tracer-deploy-{}-{name}.yaml", std::process::id()));
    fs::write(&file, manifests.join("\n---\n")).expect("a file");
    for version in VERSIONS {
        let refusal = invalid(&file, version);
        assert_eq!(refusal, None, "{name} is not valid for Kubernetes {version}");
    }
    fs::remove_file(&file).expect("the file goes");
}

/// Why the validator refuses a file, if it does.
pub fn invalid(file: &Path, version: &str) -> Option<String> {
    let validator = workspace::deploy_tools().join("bin/kubernetes-validate");
    let output = Command::new(validator)
        .args(["--strict", "--kubernetes-version", version])
        .arg(file)
        .output()
        .expect("the validator runs");
    let text = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&text).into_owned())
}
