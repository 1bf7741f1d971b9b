//! On real interpreters: every one that is installed here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells its version, and where a task says what it waits for; goes on when it is told to.
const PROGRAM: &str = "\
import sys, threading, asyncio, contextvars
memory = open('/proc/self/mem', 'rb', 0)
def word(address):
    memory.seek(address)
    return int.from_bytes(memory.read(8), sys.byteorder)
async def wait(future):
    await future
async def waiter_offset():
    future = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(wait(future))
    await asyncio.sleep(0)
    offsets = range(0, asyncio.Task.__basicsize__, 8)
    found = [at for at in offsets if word(id(task) + at) == id(future)]
    future.set_result(None)
    await task
    return found[0]
started = threading.Barrier(4)
ended = threading.Event()
def work():
    started.wait()
    ended.wait()
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
started.wait()
contextvars.copy_context()
print('.'.join(map(str, sys.version_info[:2])), asyncio.run(waiter_offset()), flush=True)
sys.stdin.readline()
";

struct Python(Child);

impl Python {
    fn start(path: &PathBuf) -> Option<(Self, String)> {
        let mut command = Command::new(path);
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let mut version = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut version).ok()?;
        let python = Self(child);
        // One that is too old for the program says nothing.
        (!version.is_empty()).then(|| (python, version.trim().to_owned()))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}

/// Interpreters of the system and of pyenv, and the one that `TRACER_TEST_PYTHON` names.
fn interpreters() -> Vec<PathBuf> {
    let system =
        ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"].map(|version| format!("/usr/bin/python{version}"));
    let mut found: Vec<_> = system.into_iter().map(PathBuf::from).collect();
    let home = std::env::home_dir().unwrap_or_default();
    if let Ok(versions) = std::fs::read_dir(home.join(".pyenv/versions")) {
        found.extend(versions.flatten().map(|version| version.path().join("bin/python3")));
    }
    found.extend(std::env::var_os("TRACER_TEST_PYTHON").map(PathBuf::from));
    found.retain(|path| path.exists());
    found
}

#[test]
fn real_interpreters_are_proved_or_refused() {
    let mut proved = 0;
    for path in interpreters() {
        let Some((python, told)) = Python::start(&path) else { continue };
        let (version, waiter) = told.split_once(' ').unwrap();
        let located = Locator::default().locate(&Proc::default(), python.0.id());
        let minor: u8 = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap();
        match located {
            Ok(found) => {
                assert!((9..=14).contains(&minor), "{version} is not known, and yet {found:?}");
                assert!(matches!(found.language, Language::CPython(found) if found.to_string() == version));
                let runtime = found.runtime;
                assert_eq!(runtime.sources & !source::ARRAY, source::ENTERED);
                assert!(runtime.slot > 0);
                assert!(
                    (runtime.tasks != 0) != (minor >= 14) && runtime.task_type != 0,
                    "{version}: its tasks are not found"
                );
                assert_eq!(runtime.task_fields.to_string(), waiter, "{version}");
                proved += 1;
            }
            Err(error) => assert!(!(9..=14).contains(&minor), "{} ({version}): {error}", path.display()),
        }
    }
    eprintln!("{proved} interpreters proved");
}

#[test]
fn a_process_without_an_interpreter_has_none() {
    let own = Locator::default().locate(&Proc::default(), std::process::id());
    assert!(matches!(own, Err(Unread::NotPython)), "{own:?}");
}

#[test]
fn in_node_a_thread_alone_proves_nothing() {
    let sources = |unread: Unread| unread.runtime().map(|runtime| runtime.sources);
    assert_eq!(sources(Unread::Node), Some(source::MIGRATING));
    assert_eq!(sources(Unread::NotPython), None);
}
