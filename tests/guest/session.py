"""One boot's work: for each way to attach, the tracer starts, the client runs, the tracer ends.

Arguments: the application's process id; the ways to attach, separated by commas.
"""

import ctypes
import os
import subprocess
import sys
import time

import client

# Together, with two ways to attach, below the host's deadline: past that the guest's logs are lost.
START_LIMIT = 60.0
# The verifier is slow where every instruction is emulated, and slower still beside other work.
READY_LIMIT = 150.0
STOP_LIMIT = 40.0

# All that the tracer may do here, by the numbers of <linux/capability.h>: DAC_READ_SEARCH, SYS_PTRACE, PERFMON, BPF.
CAPABILITIES = {2, 19, 38, 39}
# Kernels before 5.11 count maps as locked memory, and the tracer must lift that limit.
SYS_RESOURCE = 24
PR_CAPBSET_DROP = 24


def uptime():
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])


def note(what):
    """A point in time, for the report."""
    with open("/results/times", "a", encoding="ascii") as file:
        file.write(f"{what} {uptime():.2f}\n")


def wait_until(limit, holds):
    """Polls: True once it holds, False at the limit."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def give_up_rights():
    """Leaves the capabilities above: root's programs get those that are in the bounding set."""
    version = tuple(int(number) for number in os.uname().release.split(".")[:2])
    kept = CAPABILITIES | ({SYS_RESOURCE} if version < (5, 11) else set())
    libc = ctypes.CDLL(None)
    for capability in set(range(64)) - kept:
        # Fails for numbers that the kernel does not know.
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def check():
    """What `tracer check` says, behind its exit status."""
    result = subprocess.run(["tracer", "check"], capture_output=True, text=True, preexec_fn=give_up_rights)
    with open("/results/check", "w", encoding="utf-8") as file:
        file.write(f"{result.returncode}\n{result.stdout}{result.stderr}")


def start_tracer(pid, attach, directory):
    command = ["tracer", "run", "--pid", pid, "--attach", attach, "--export", f"file:{directory}/otlp.jsonl"]
    with open(f"{directory}/tracer.log", "wb") as log:
        environment = {**os.environ, "TRACER_LOG": "debug", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        environment["OTEL_BLRP_SCHEDULE_DELAY"] = "100"
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, preexec_fn=give_up_rights)


def sees_traffic(tracer, directory):
    """Whether a health check has come out as a span: the tracer attaches at its own pace."""
    path = f"{directory}/otlp.jsonl"
    client.healthy()
    return tracer.poll() is not None or (os.path.exists(path) and os.path.getsize(path) > 0)


def stop(tracer):
    """Exit status, or the word for what it did instead."""
    if tracer.poll() is not None:
        return f"ended before it was asked to, with {tracer.returncode}"
    tracer.terminate()
    try:
        return str(tracer.wait(STOP_LIMIT))
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait()
        return f"did not end within {STOP_LIMIT:.0f} s of SIGTERM"


def run(pid, attach):
    directory = f"/results/{attach}"
    os.makedirs(directory)
    note(f"{attach}:start")
    tracer = start_tracer(pid, attach, directory)
    if wait_until(READY_LIMIT, lambda: sees_traffic(tracer, directory)):
        note(f"{attach}:ready")
        if tracer.poll() is None:
            client.drive(attach[0], f"{directory}/client.jsonl")
            note(f"{attach}:driven")
    status = stop(tracer)
    note(f"{attach}:end")
    with open(f"{directory}/exit", "w", encoding="ascii") as file:
        file.write(status)


def main():
    pid, ways = sys.argv[1:]
    if not wait_until(START_LIMIT, client.healthy):
        sys.exit(f"the application and its servers did not answer within {START_LIMIT:.0f} s: {client.ill()}")
    note("servers")
    check()
    for attach in ways.split(","):
        run(pid, attach)


if __name__ == "__main__":
    main()
