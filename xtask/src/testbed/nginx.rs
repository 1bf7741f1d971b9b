//! nginx with a given configuration.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::run_directory::RunDirectory;
use crate::http::Address;
use crate::process::Process;
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running nginx: a master and two workers.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts nginx with `servers` (the text inside `http { … }`) and waits until `listens` accepts connections.
    ///
    /// The access log goes to standard output, as in nginx's container image.
    ///
    /// # Errors
    /// When it is not installed or refuses the configuration; with its last words.
    pub fn start(directory: &RunDirectory, name: &str, servers: &str, listens: &Address) -> Result<Self> {
        let prefix = directory.data(name);
        fs::create_dir_all(&prefix).with_context(|| format!("cannot create {}", prefix.display()))?;
        let file = prefix.join("nginx.conf");
        fs::write(&file, configuration(servers))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(workspace::program("nginx")?);
        command.arg("-p").arg(&prefix).arg("-c").arg(&file).args(["-e", "stderr"]);
        let mut process = Process::start(name, command, directory.logs())?;
        process.wait_until(PATIENCE, || listens.connect().is_ok())?;
        Ok(Self { process })
    }

    /// The master's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Everything that nginx would write elsewhere is kept under its prefix.
fn configuration(servers: &str) -> String {
    // Workers of a root master would otherwise become a user who cannot reach the sockets.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {kind}_temp;\n"))
        .concat();
    format!(
        "{user}daemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log /dev/stdout;\n{temporary}{servers}\n}}\n"
    )
}
