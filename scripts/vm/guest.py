"""Boots a kernel in QEMU with an initramfs and a job, and says how the job ended.

No KVM: emulated, with two processors (DESIGN §5). The console carries the kernel's messages and the
job's exit code, a second serial line the job's output.
"""

import dataclasses
import pathlib
import re
import subprocess
import tempfile
import time

import kernels
import qemu
from initramfs import Archive

# What the emulated timestamp counter is worth without a check by the kernel; another clock source
# in the extra arguments replaces it.
TSC = "tsc=reliable clocksource=tsc"
UP = "GUEST UP"  # what the first process says (init)
BOOT_TIMEOUT = 60  # seconds until user space; 2 to 5 are normal


@dataclasses.dataclass
class Outcome:
    code: int | None  # the job's; None: it did not come to an end
    problem: str      # then: why
    output: str       # of the job
    console: str      # the kernel's messages
    seconds: float
    boots: int        # 2: the first never reached user space


def ran_a_breakpoint_that_was_gone(console):
    """Did the kernel die because the emulator ran what memory no longer held? Linux changes its code by way of
    int3, and takes that away when every processor has seen it. QEMU's TCG, with a thread for each processor, can
    go on running what it has translated before. Then the kernel meets a breakpoint that nobody knows, and the byte
    before the one that it stopped at (in <>) is none: no processor does that. Seen on 7.3, some times in 100 boots."""
    died = re.search(r"Oops: int3: .*?\bCode: [0-9a-f ]*\b([0-9a-f]{2}) <", console, re.DOTALL)
    return bool(died) and died.group(1) != "cc"


def run_job(series, initramfs, job, append="", timeout=180, cpus=2, memory="1G", retries=1):
    """Runs the shell script `job`. A boot that never reached user space is tried again, and one in which the
    emulator ran what was not there, then with one thread for all processors; other jobs never."""
    began, thread = time.monotonic(), "multi"
    for boots in range(1, retries + 2):
        console, output, timed_out = _boot(series, initramfs, job, append, timeout, cpus, memory, thread)
        if UP in console and not ran_a_breakpoint_that_was_gone(console):
            break
        if UP in console:
            print(f"{series}: in boot {boots} the emulator ran a breakpoint that its memory no longer held, and the"
                  " kernel died of it", flush=True)
            thread = "single"
            continue
        print(f"{series}: boot {boots} did not reach user space; the console ends with", *console.splitlines()[-8:],
              sep="\n    ", flush=True)
    problem = ""
    code = re.search(r"GUEST CODE (\d+)", console)
    ended = re.search(r"\n?GUEST END\n", output)
    if ended:
        output = output[:ended.start()]
    if UP not in console:
        problem = f"it did not reach user space in {boots} boots"
    elif timed_out:
        problem = f"the job was not done after {timeout} s"
    elif "Kernel panic" in console:
        problem = "the kernel panicked"
    elif not code or not ended:
        problem = "the guest ended before its job"
    return Outcome(None if problem else int(code.group(1)), problem, output, console,
                   time.monotonic() - began, boots)


def _boot(series, initramfs, job, append, timeout, cpus, memory, thread):
    with tempfile.TemporaryDirectory(prefix="guest-") as directory:
        directory = pathlib.Path(directory)
        with open(directory / "initrd", "wb") as whole:
            whole.write(pathlib.Path(initramfs).read_bytes())
            archive = Archive()
            archive.text("job.sh", job)
            archive.write(directory / "job.cpio")
            whole.write((directory / "job.cpio").read_bytes())
        source = "" if "clocksource=" in append else TSC
        # A guest does not outlive whoever started it.
        command = ["setpriv", "--pdeathsig", "KILL", *qemu.command(),
                   "-accel", f"tcg,thread={thread}", "-cpu", "max", "-smp", str(cpus), "-m", memory,
                   "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                   "-serial", f"file:{directory}/console", "-serial", f"file:{directory}/output",
                   "-kernel", str(kernels.directory(series) / "vmlinuz"), "-initrd", str(directory / "initrd"),
                   "-append", f"console=ttyS0 quiet panic=-1 {source} {append}"]
        message = _run(command, directory / "console", timeout)
        timed_out = message is None
        return (message or "") + _text(directory / "console"), _text(directory / "output"), timed_out


def _run(command, console, timeout):
    """What QEMU itself has to say; None when it was stopped, because it took too long to do the job, or
    to reach user space."""
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        while True:
            try:
                return process.communicate(timeout=5)[0]
            except subprocess.TimeoutExpired:
                took = time.monotonic() - began
                if took > timeout or (took > BOOT_TIMEOUT and UP not in _text(console)):
                    process.kill()
                    process.communicate()
                    return None


def _text(path):
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1bc|\r", "", text)
