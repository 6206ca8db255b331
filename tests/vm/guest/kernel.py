"""What the kernel of this guest is like, and what of ours is in it."""

import json
import os
import subprocess


def release():
    """(6, 12)"""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor)


def cpu_seconds(pid):
    """What a process has used so far."""
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def clock_source():
    return open("/sys/devices/system/clocksource/clocksource0/current_clocksource").read().strip()


def command_line():
    return open("/proc/cmdline").read()


def preemption():
    """none, voluntary, full, lazy; None where the kernel cannot be asked."""
    try:
        text = open("/sys/kernel/debug/sched/preempt").read()
    except OSError:
        return None
    return text[text.index("(") + 1:text.index(")")]


def preemptible():
    return preemption() in ("full", "lazy")


def best_hooks():
    """Those that lose nothing on this kernel; agent/syscalls/bpf_hooks.cc says why."""
    if release() >= (6, 16):
        return "kretprobe.multi"
    return "fexit" if release() >= (6, 1) and not preemptible() else "sys_exit tracepoint"


def _listed(what):
    done = subprocess.run(["bpftool", "-j", what, "show"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"bpftool {what}: {done.stderr or done.stdout}")
    return json.loads(done.stdout or "[]")


def _describe(what, one):
    return f"{what} {one['id']} {one.get('type', '')} {one.get('name', '')}".strip()


def bpf_objects():
    """All BPF programs, links and maps of this kernel, and whatever is pinned."""
    found = {_describe(what, one) for what in ("prog", "link", "map") for one in _listed(what)}
    for directory, directories, files in os.walk("/sys/fs/bpf"):
        found |= {f"pinned {directory}/{name}" for name in files}
        # The kernel's own preload directory would be one; a directory of ours is not wanted either.
        found |= {f"directory {directory}/{name}" for name in directories}
    return found
