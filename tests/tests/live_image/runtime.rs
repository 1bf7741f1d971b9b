//! runc, and the agent's container in it.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use tests::live::{Tracer, TracerOptions};
use xtask::testbed::RunDirectory;
use xtask::workspace;

use super::bundle::{Bundle, Writable};

/// The runtime with the agent's bundle.
pub struct Runtime<'a> {
    directory: &'a RunDirectory,
    bundle: Bundle,
    runc: PathBuf,
    started: Cell<u32>,
}

impl<'a> Runtime<'a> {
    /// A bundle of the image in this directory.
    pub fn new(directory: &'a RunDirectory) -> Self {
        let bundle = Bundle::new(directory.data("bundle"));
        let runc = workspace::program("runc").expect("runc, which the set-up installs");
        Self { directory, bundle, runc, started: Cell::new(0) }
    }

    /// Runs the agent with these arguments and rights until it ends; its exit status, and what it said.
    pub fn run(
        &self,
        arguments: &[&str],
        capabilities: &[String],
        seccomp_of: &[String],
    ) -> (Option<i32>, String) {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.bundle.configure(&arguments, capabilities, seccomp_of, &Writable(self.directory.logs()));
        let words = self.words();
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Starts `tracer run` with these targets, exporting to the file that [`Tracer`] reads.
    pub fn trace(&self, targets: &[&str], capabilities: &[String]) -> Tracer {
        let exported = self.directory.logs().join("tracer.jsonl");
        let export = format!("file:{}", exported.display());
        let arguments = [&["run"], targets, &["--export", &export]].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        self.bundle.configure(&arguments, capabilities, capabilities, &Writable(self.directory.logs()));
        // What the container runs stands in the bundle; what follows here is left aside.
        let ignoring = ["sh", "-c", r#"exec "$0" --root "$1" run --bundle "$2" "$3""#].map(OsString::from);
        let wrapper = ignoring.into_iter().chain(self.parts()).collect();
        Tracer::start_with(self.directory, TracerOptions { wrapper, ..TracerOptions::default() })
    }

    /// Program, state, bundle and the container's name.
    fn parts(&self) -> [OsString; 4] {
        self.started.set(self.started.get() + 1);
        let name = format!("tracer-test-{}-{}", id(), self.started.get());
        let path = |path: &Path| path.as_os_str().to_owned();
        [path(&self.runc), path(&self.bundle.state), path(self.bundle.path()), name.into()]
    }

    fn words(&self) -> Vec<OsString> {
        let [runc, state, bundle, name] = self.parts();
        vec![runc, "--root".into(), state, "run".into(), "--bundle".into(), bundle, name]
    }
}
