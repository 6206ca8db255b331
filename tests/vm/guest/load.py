"""No reading may be lost under load: 48 threads in a hot loop of system calls, next to a program that
makes the same calls and is not a target, so that the engine's programs are preempted everywhere; and
somebody who asks for the status again and again, because reading a BPF map keeps programs from running."""

import signal
import time

import kernel
from programs import Stage, time_chaos
from shift import HOUR, bpf_cannot_shift, check_counters, recover, status_of, wait_until_shifted
from tap import Skip, check

THREADS = 48
READINGS = 1_050_000


def _numbers(line):
    words = line.split()
    return int(words[1]), int(words[3])


def loss():
    return _loss([])


def loss_of_time():
    """time(2) as well, where it can be shifted at all. Where not, nobody claims it."""
    if not bpf_cannot_shift("sys_time"):
        return _loss(["time"])
    with Stage() as stage:
        target = stage.watch("raw", 1)
        agent = stage.agent([target], f"--offset={HOUR}s")
        wait_until_shifted(agent, [target])
        _, status = time_chaos("status", f"--pid={target.pid}")
        for who, text in (("the agent", agent.text()), ("status", status)):
            check("raw time() calls are not shifted" in text, f"{who} does not say what is left:\n{text}")
        recover(agent)


def _loss(also):
    if "preempt=full" in kernel.command_line() and kernel.preemption() != "full":
        raise Skip(f"this kernel's preemption cannot be chosen at boot (it is {kernel.preemption()})")
    with Stage() as stage:
        target = stage.program("/targets/loss", str(THREADS), str(READINGS), str(HOUR), *also)
        other = stage.program("/targets/loss", "4", "1000000000", "0")
        agent = stage.agent([target], f"--offset={HOUR}s")
        wait_until_shifted(agent, [target])
        other.tell("go")
        began = time.monotonic()
        readings, wrong = _numbers(target.ask("go", 240, lambda: status_of([target])))
        took = time.monotonic() - began
        other.end(signal.SIGKILL)
        check(readings >= 10**6, "only", readings, "readings")
        check(wrong == 0, wrong, "of", readings, "readings were not shifted:", target.text())
        comments = check_counters([target], "bpf")
        recover(agent)
    return [f"{readings} readings in {took:.1f} s, preemption {kernel.preemption()}: none lost", *comments]


def bystander():
    """The program next to it reads true time all the while."""
    with Stage() as stage:
        target = stage.program("/targets/loss", "8", "1000000000", str(HOUR))
        other = stage.program("/targets/loss", "8", "100000", "0")
        agent = stage.agent([target], f"--offset={HOUR}s")
        wait_until_shifted(agent, [target])
        target.tell("go")
        readings, wrong = _numbers(other.ask("go", patience=240))
        check(wrong == 0, wrong, "of", readings, "readings of another program were wrong:", other.text())
        target.end(signal.SIGKILL)
    return [f"{readings} readings of a program that is no target: all true"]


CASES = [
    ("no reading is lost, 48 threads", loss, ("tsc", "full")),
    ("no reading of time(2) is lost, or none is claimed", loss_of_time, ("tsc", "full")),
    ("a busy program that is no target", bystander, ("tsc",)),
]
