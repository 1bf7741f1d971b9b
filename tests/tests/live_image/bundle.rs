//! A bundle for an OCI runtime: the image's root file system, and the configuration that a kubelet with containerd makes
//! of the DaemonSet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tests::oci::OciImage;
use xtask::architecture::Architecture;
use xtask::oci::{Image, Layout};
use xtask::testbed::RunDirectory;
use xtask::workspace;

use super::seccomp;

/// The part of the file system that the agent may write to here, for `--export file:`. (In a cluster: none.)
#[derive(Debug)]
pub struct Writable<'a>(pub &'a Path);

/// The image's root file system, unpacked once for all tests.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// Whether the binary in it needs libraries of this machine.
    dynamic: bool,
    // Whose data goes with a later run.
    _directory: RunDirectory,
}

static ROOT: LazyLock<Root> = LazyLock::new(|| {
    let tracer = PathBuf::from(std::env::var_os("TRACER_BIN").expect("$TRACER_BIN names the tracer"));
    let directory = RunDirectory::create("image-root").expect("a directory");
    let (archive, path) = (directory.data("image.tar"), directory.data("rootfs"));
    // As what is shipped: without debug lines.
    let stripped = directory.data("tracer");
    let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(&tracer).status();
    assert!(strip.expect("strip(1) comes with the compiler").success());
    let image = Image::of_binary(&stripped, Architecture::of_executable(&stripped).unwrap()).unwrap();
    Layout::new(vec![image], "tracer:test").write(&archive).unwrap();
    OciImage::only(&archive).unpack(&path);
    Root { path, dynamic: !is_static(&tracer), _directory: directory }
});

/// A bundle in a directory of its own.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    /// The runtime's own state.
    pub state: PathBuf,
}

impl Bundle {
    /// A bundle of the image.
    pub fn new(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).unwrap();
        let state = directory.join("state");
        Self { directory, state }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Says what is run, and with which rights: `tracer` with these arguments. `seccomp_of` are the capabilities that the
    /// seccomp profile takes into account, which an old runtime does not.
    pub fn configure(
        &self,
        arguments: &[String],
        capabilities: &[String],
        seccomp_of: &[String],
        writable: &Writable,
    ) {
        let granted: Vec<String> = capabilities.iter().map(|name| format!("CAP_{name}")).collect();
        let mut mounts = mounts();
        mounts.push(bind(writable.0, writable.0, "rw"));
        if ROOT.dynamic {
            let libraries = ["/lib", "/lib64", "/usr/lib"].map(Path::new);
            mounts.extend(libraries.iter().filter(|path| path.exists()).map(|path| bind(path, path, "ro")));
        }
        let arguments = [&["/usr/bin/tracer".to_owned()], arguments].concat();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": arguments,
                "env": ["PATH=/usr/bin"],
                "cwd": "/",
                "capabilities": { "bounding": granted, "effective": granted, "permitted": granted },
                "noNewPrivileges": true,
            },
            "root": { "path": ROOT.path, "readonly": true },
            "mounts": mounts,
            "linux": {
                // The host's pid namespace, and no host's network: as in the manifest.
                "namespaces": (["mount", "ipc", "uts", "network", "cgroup"].map(|kind| json!({ "type": kind }))),
                "seccomp": seccomp::profile(seccomp_of),
                "maskedPaths": [
                    "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                ],
                "readonlyPaths": ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            },
        });
        fs::write(self.directory.join("config.json"), config.to_string()).unwrap();
    }
}

/// What every container has, and the host's cgroups where the manifest mounts them.
fn mounts() -> Vec<Value> {
    let mount = |kind: &str, target: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        bind(&tests::kubernetes::cgroup_mount(), Path::new("/host/sys/fs/cgroup"), "ro"),
    ]
}

fn bind(source: &Path, target: &Path, mode: &str) -> Value {
    json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind", "nosuid", "nodev", mode] })
}

/// Whether an executable needs no other file: it names no interpreter (`file` says so, too).
fn is_static(program: &Path) -> bool {
    let file = workspace::program("file").expect("file(1), which the set-up installs");
    let told = Command::new(file).arg("-bL").arg(program).output().unwrap();
    !String::from_utf8_lossy(&told.stdout).contains("interpreter")
}
