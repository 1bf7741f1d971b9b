//! One boot of one kernel: QEMU with its consoles to files, a deadline, and the results that come back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Series, output_of};
use crate::architecture::Architecture;

/// Lines of the console that tell why a guest failed.
const CONSOLE_TAIL: usize = 40;
/// What the guest writes to its serial ports.
const CONSOLE: &str = "console.log";
const RESULTS: &str = "results.tar.gz";
const POLL: Duration = Duration::from_millis(100);

/// What to boot.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) architecture: Architecture,
    /// Whose ways to attach are tried, the refused ones last.
    pub(super) series: &'a Series,
    /// Logs and results go here.
    pub(super) directory: &'a Path,
    pub(super) deadline: Duration,
}

impl Machine<'_> {
    /// Runs the guest until it powers off: the directory of what it wrote.
    pub(super) fn run(&self) -> Result<PathBuf> {
        if self.directory.exists() {
            fs::remove_dir_all(self.directory)?;
        }
        fs::create_dir_all(self.directory)?;
        let started = Instant::now();
        let mut command = self.command()?;
        let name = command.get_program().to_string_lossy().into_owned();
        let mut guest = Guest(command.spawn().with_context(|| format!("cannot run {name}"))?);
        while guest.0.try_wait()?.is_none() {
            if started.elapsed() > self.deadline {
                bail!("the guest did not end within {} s; {}", self.deadline.as_secs(), self.console());
            }
            thread::sleep(POLL);
        }
        let archive = self.directory.join(RESULTS);
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&archive).arg("-C").arg(self.directory);
        output_of(&mut tar).with_context(|| format!("the guest sent no results; {}", self.console()))?;
        Ok(self.directory.join("results"))
    }

    fn command(&self) -> Result<Command> {
        let attach = self.series.attach.iter().chain(self.series.refused);
        let attach = attach.map(|attach| attach.name()).collect::<Vec<_>>().join(",");
        let log = File::create(self.directory.join("qemu.log"))?;
        let (mut command, console, results) = match self.architecture {
            Architecture::Amd64 => self.x86_64(),
            Architecture::Arm64 => self.aarch64(),
        };
        command.args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"]);
        command.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"]);
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        let arguments = format!("console={console} quiet panic=-1 attach={attach} results=/dev/{results}");
        command.arg("-append").arg(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// QEMU with two serial ports, and the guest's names of these.
    fn x86_64(&self) -> (Command, &'static str, &'static str) {
        let mut command = Command::new("qemu-system-x86_64");
        // QEMU 7.2 leaves garbage in the flags after `cmpxchg16b` without a lock, the direction flag included: kernels that
        // allocate by it crash. Five-level page tables only cost time.
        command.args(["-cpu", "max,la57=off,cx16=off"]);
        for name in [CONSOLE, RESULTS] {
            command.arg("-serial").arg(format!("file:{}", self.directory.join(name).display()));
        }
        (command, "ttyS0", "ttyS1")
    }

    /// The same: this machine has one serial port, the other one is a card. The processor is that of Azure's first
    /// arm64 machines.
    fn aarch64(&self) -> (Command, &'static str, &'static str) {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new("qemu-system-aarch64");
        command.args(["-machine", "virt", "-cpu", "neoverse-n1"]);
        command.arg("-serial").arg(format!("file:{}", file(CONSOLE)));
        command.arg("-chardev").arg(format!("file,id=results,path={}", file(RESULTS)));
        command.args(["-device", "pci-serial,chardev=results"]);
        (command, "ttyAMA0", "ttyS0")
    }

    /// The end of what the kernel, `init` and QEMU said.
    fn console(&self) -> String {
        let mut text = String::from("its console ends with:");
        for name in [CONSOLE, "qemu.log"] {
            let bytes = fs::read(self.directory.join(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<_> = log.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(CONSOLE_TAIL)) {
                text.push_str("\n  | ");
                text.push_str(line.trim_end());
            }
        }
        text
    }
}

/// Ends with the command that started it, however that ends.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
