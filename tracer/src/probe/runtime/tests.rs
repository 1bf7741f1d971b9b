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

/// Has modules like those of anyio and uvicorn, with the scope's host in a slot or among its attributes. Tells the code of
/// what a group's task calls, which cell of its closure has the group, the group's type, and a request's code.
const FRAMEWORKS: &str = "\
import sys, types, threading, asyncio
def module(name, **variables):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(variables)
class Scope:
    def __init__(self):
        self._deadline = 0
        self._host_task = None
class SlotScope(Scope):
    __slots__ = ('_deadline', '_host_task')
class Group:
    def __init__(self, scope):
        self.cancel_scope = scope()
        self._entered = False
        self._on_completed_fut = None
    def _spawn(self):
        def other():
            return future
        def task_done(task):
            return future, self, task
        future = None
        return task_done
class Cycle:
    async def run_asgi(self):
        pass
scope = {'slot': SlotScope, 'attribute': Scope}[sys.argv[1]]
group = Group(scope)
module('anyio._backends._asyncio', TaskGroup=Group, CancelScope=scope)
module('uvicorn.protocols.http.h11_impl', RequestResponseCycle=Cycle)
done = group._spawn()
cells = [cell.cell_contents for cell in done.__closure__]
host = group.cancel_scope._host_task = object()
memory = open('/proc/self/mem', 'rb', 0)
memory.seek(id(group.cancel_scope))
words = [int.from_bytes(memory.read(8), sys.byteorder) for _ in range(scope.__basicsize__ // 8)]
slot = words.index(id(host)) * 8 if id(host) in words else 0
print('.'.join(map(str, sys.version_info[:2])), id(done.__code__), cells.index(group), id(Group),
      id(Cycle.run_asgi.__code__), slot, flush=True)
sys.stdin.readline()
";

/// Has these modules beside its own.
const MODULES: &str = "\
import sys, types
for name in sys.argv[1:]:
    sys.modules[name] = types.ModuleType(name)
print('.'.join(map(str, sys.version_info[:2])), flush=True)
sys.stdin.readline()
";

struct Python(Child);

impl Python {
    fn start(path: &PathBuf, arguments: &[&str]) -> Option<(Self, String)> {
        let mut command = Command::new(path);
        command.arg("-c").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
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
        let Some((python, told)) = Python::start(&path, &[PROGRAM]) else { continue };
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
fn groups_and_requests_are_found_by_their_names() {
    let all = interpreters();
    for (path, place) in all.iter().flat_map(|path| ["slot", "attribute"].map(|place| (path, place))) {
        let Some((python, told)) = Python::start(path, &[FRAMEWORKS, place]) else { continue };
        let mut told = told.split(' ');
        let version = told.next().unwrap().to_owned();
        let Ok(found) = Locator::default().locate(&Proc::default(), python.0.id()) else { continue };
        let runtime = found.runtime;
        if ["3.9", "3.10"].contains(&&*version) {
            assert_eq!((runtime.group_done, runtime.request), (0, 0));
            continue;
        }
        let [done, cell, group, request, slot] = [0; 5].map(|_: u64| told.next().unwrap().parse().unwrap());
        assert_eq!(
            (runtime.group_done, runtime.group_type, runtime.request),
            (done, group, request),
            "{version}"
        );
        assert_eq!(u64::from(runtime.group_cell), u64::from(runtime.items) + 8 * cell, "{version}");
        assert_eq!((runtime.group_scope, runtime.group_completed), (0, 16), "{version}");
        // A slot, or the second of its attributes.
        let host = if place == "slot" { (slot, 0) } else { (8, 1) };
        assert_eq!((u64::from(runtime.host), runtime.host_is_attribute), host, "{version}");
    }
}

#[test]
fn other_event_loops_prove_nothing_unless_they_have_tasks_or_greenlets() {
    let (reactor, on_asyncio) = ("twisted.internet.reactor", "twisted.internet.asyncioreactor");
    for path in interpreters() {
        let locate = |modules: &[&str]| {
            let (python, version) = Python::start(&path, &[&[MODULES], modules].concat())?;
            let minor: u8 = version.split('.').nth(1)?.parse().ok()?;
            (11..=14).contains(&minor).then(|| Locator::default().locate(&Proc::default(), python.0.id()))
        };
        let Some(plain) = locate(&[reactor]) else { continue };
        assert!(matches!(plain, Err(Unread::EventLoop("Twisted's reactor"))), "{plain:?}");
        let sources = |modules: &[&str]| locate(modules).unwrap().unwrap().runtime.sources;
        assert_eq!(sources(&[reactor, on_asyncio]) & source::STACK, 0);
        assert_eq!(sources(&["eventlet.hubs.hub"]) & source::STACK, source::STACK);
    }
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
