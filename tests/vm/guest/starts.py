"""run, where its command is not detoured: shifted from the first instruction on all the same. The last cases of
a boot: what is switched off here stays off."""

import os
import signal
import subprocess
import time

import kernel
from programs import Stage, now, read_once_more, time_chaos
from shift import HOUR, bpf_cannot_shift, check_nothing_left
from spans import check_spans
from tap import Skip, check

TOLERANCE = 2 * 10**9
YAMA = "/proc/sys/kernel/yama/ptrace_scope"


def _run(*command, flags=()):
    """(exit code, what it printed, what time-chaos said, how many readings it printed), which are checked."""
    before = time.time_ns()
    done = subprocess.run(["time-chaos", "run", "-v", f"--offset={-HOUR}s", *flags, "--", *command],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    after = time.time_ns()
    hidden = "vDSO hidden" in done.stderr
    count = 0
    for line in done.stdout.splitlines():
        if not line.startswith("now "):
            continue
        _, way, reading = line.split()
        if (hidden or way.startswith("sys_")) and bpf_cannot_shift(way):
            continue
        if way in ("time", "sys_time", "sys_time_stored") and "32" in command[0]:
            continue  # no kernel lets a program stand in for it
        ahead = int(reading) + HOUR * 10**9
        check(before - TOLERANCE <= ahead <= after + TOLERANCE, f"{command[0]} {way} is {ahead - before} ns off")
        count += 1
    return done.returncode, done.stdout, done.stderr, count


def narrow():
    """ptrace may be used, but the detour is not for 32-bit programs: the vDSO is hidden instead."""
    if not os.path.exists("/targets/now_32"):
        raise Skip("now_32 was not built")
    code, out, said, count = _run("/targets/now_32")
    check(code == 0 and count > 0, f"exits with {code}, {count} readings: {out}{said}")
    check("vDSO hidden" in said and "32-bit" in said, "it does not say how, and why:", said)
    return [f"{count} readings"]


def without_ptrace():
    """kernel.yama.ptrace_scope=3: nobody may trace, nor open another's memory, until the next boot."""
    if not os.path.exists(YAMA):
        raise Skip("this kernel has no Yama")
    with open(YAMA, "w") as file:
        file.write("3")
    before = kernel.bpf_objects()
    code, _, said, _ = _run("/bin/true", flags=("--engine-syscalls=ptrace",))
    check(code == 3 and "ptrace_scope" in said, f"without any engine it exits with {code}: {said}")
    # Not twice.
    again = f"time-chaos run --offset={HOUR}s -- /targets/first"
    code, out, said, count = _run("/bin/sh", "-c", f"/targets/now_glibc; {again}; /targets/first; kill -9 $$")
    check(code == -signal.SIGKILL and count >= 6, f"ends with {code}, {count} readings: {out}{said}")
    check("bpf (vDSO hidden)" in said, "it does not say how:", said)
    check("is already there" in said, "what is shifted was shifted once more:", said)
    with Stage() as stage:
        run = stage.program("time-chaos", "run", f"--offset={-HOUR}s", "--", "/targets/watch_mixed", "1")
        run.watchers = 1
        code, text = time_chaos("status")
        line = next((line for line in text.splitlines() if "watch_mixed" in line), None)
        check(line and "vDSO hidden" in line, "status does not show it:", text)
        child = int(line.split()[0])
        read_once_more([run])  # passed on to the command
        asked = now()
        code, text = time_chaos("set", f"--pid={child}", f"--offset={HOUR}s")
        check(code == 0, f"set exits with {code}: {text}")
        moments = [(asked, now())]
        read_once_more([run])
        check(run.end() == 0, f"its command exits with 0: {run.text()}")
        readings = check_spans(run, [0, 2 * HOUR], moments, lambda way: not bpf_cannot_shift(way), order=False)
    check_nothing_left(before)
    return [f"{count} readings of its children, {readings} through set, all as they should be"]


CASES = [
    ("run of a 32-bit program", narrow, ("tsc",)),
    ("run, where ptrace is refused", without_ptrace, ("tsc",)),
]
