"""The course of most cases: programs watch the clock, an agent shifts them, maybe changes the shift, and
recovers them; every reading of every thread is checked, from the first after the agent said that they
are shifted to the last before it was told to recover."""

import json
import signal
import time

import kernel
from programs import Stage, eventually, now, read_once_more, time_chaos
from spans import check_spans
from tap import Failed, check

HOUR = 3600
HOLD = 0.4  # seconds, at least, for which programs are shifted


class Shift:
    # A plain class: the module dataclasses takes half a second to import on an emulated processor.
    def __init__(self, name, targets, flags=(), shift=-HOUR, then_set=None, engines="bpf", vdso=True,
                 boots=("tsc",), says=(), threads=2, plt=False):
        self.name = name
        self.targets = targets      # kinds of watch programs
        self.flags = flags          # of the agent, besides the offset
        self.shift = shift          # seconds
        self.then_set = then_set    # changed to that while it runs
        self.engines = engines      # of system calls: bpf, ptrace, off
        self.vdso = vdso            # the vDSO engine is on
        self.boots = boots          # in which boots of a kernel the case runs
        self.says = says            # what the agent must say
        self.threads = threads
        self.plt = plt              # GOT slots instead of the vDSO, those of syscall(2) too


def is_system_call(way):
    return way.startswith("sys_")


def bpf_cannot_shift(way):
    """time(2) returns its value in a register, which could not be changed before 7.1 (DESIGN §5). Where
    that cannot be, what it stores is left alone as well, so that the two agree."""
    return way in ("time", "sys_time", "sys_time_stored") and kernel.release() < (7, 1)


def ends_in_kernel(way):
    """Whether this way of reading makes a system call here, if nobody has detoured it."""
    if is_system_call(way) or "vdso=0" in kernel.command_line():
        return True
    return kernel.clock_source() == "hpet" and way in ("clock_gettime", "gettimeofday")


def shifted_ways(shift, way):
    if shift.plt:
        return True
    if shift.vdso and not is_system_call(way):
        return True
    if shift.engines == "off" or not ends_in_kernel(way):
        return False
    if "32" in shift.targets and way.startswith("sys_time"):
        return shift.engines == "ptrace"  # no kernel lets a program stand in for the 32-bit time(2)
    return shift.engines == "ptrace" or not bpf_cannot_shift(way)


def wait_until_shifted(agent, targets, engines="bpf", vdso=True, plt=False):
    """Returns when the agent has said of every target that it is shifted, by these engines."""
    words = {"bpf": "vdso detour + bpf" if vdso else "bpf", "ptrace": "ptrace", "off": "vdso detour"}[engines]
    if plt:
        words = " + bpf" if engines == "bpf" else ": wall -1h, plt, "
    for target in targets:
        agent.wait_for(lambda line: line.startswith(f"{target.pid} "))
    agent.wait_for(lambda _: sum(line.startswith("checked:") for line in agent.lines) >= len(targets))
    if engines == "ptrace":
        for target in targets:
            agent.wait_for(lambda line: line.startswith(f"{target.pid}: raw clock"))
    for target in targets:
        line = next(line for line in agent.lines if line.startswith(f"{target.pid} "))
        check(words in line, f"the agent does not name its engines ({words}):\n{agent.text()}")


def status_of(targets):
    """pid -> its object in status --json"""
    code, text = time_chaos("status", "--json")
    check(code == 0, "status exits with", code, text)
    found = {one["pid"]: one for one in json.loads(text)["targets"]}
    for target in targets:
        check(target.pid in found, f"status does not show {target}:", text)
    return found


def check_counters(targets, engines):
    """What the BPF engine counted, as comments. Nothing is missed, nothing refused: these targets pass
    good pointers."""
    if engines != "bpf":
        return []
    comments = []
    for pid, status in status_of(targets).items():
        bpf = status.get("bpf")
        check(bpf, f"status shows no counters of the BPF engine: {status}")
        refused = {clock: count["refused"] for clock, count in bpf["clocks"].items() if count["refused"]}
        missed = {program: misses for program, misses in bpf["recursion_misses"].items() if misses}
        # Several programs stand in for time(2) and take over from each other: what each of them missed at
        # one time or another is no loss yet. Its readings are looked at one by one.
        missed = {program: misses for program, misses in missed.items()
                  if not program.startswith("tchaos_time")}
        check(not refused and not missed, f"lost readings: refused {refused}, missed {missed}")
        shifted = {clock: count["shifted"] for clock, count in bpf["clocks"].items()}
        comments.append(f"{status['command']}: {bpf['hooks']}, shifted {shifted}")
    return comments


def check_nothing_left(before):
    """No BPF program, link, map or pinned file that was not there before."""
    check(eventually(lambda: kernel.bpf_objects() <= before),
          "left behind:", *sorted(kernel.bpf_objects() - before))


def recover(agent):
    """Ctrl-C. Returns when it was pressed and when the agent was done."""
    asked = now()
    code = agent.end(signal.SIGINT)
    check(code == 0, f"the agent exits with {code}:\n{agent.text()}")
    return asked, now()


def run(shift):
    before = kernel.bpf_objects()
    comments = []
    with Stage() as stage:
        targets = [stage.watch(kind, shift.threads) for kind in shift.targets]
        bystander = stage.watch("mixed", 1)
        started = now()
        agent = stage.agent(targets, f"--offset={shift.shift}s", *shift.flags)
        wait_until_shifted(agent, targets, shift.engines, shift.vdso, shift.plt)
        moments = [(started, now())]
        for words in shift.says:
            check(words in agent.text(), f'the agent does not say "{words}":\n{agent.text()}')
        shifts = [0, shift.shift]
        read_once_more(targets)
        time.sleep(HOLD)
        if shift.then_set is not None:
            asked = now()
            code, text = time_chaos("set", *[f"--pid={target.pid}" for target in targets],
                                    f"--offset={shift.then_set}s")
            check(code == 0, f"set exits with {code}: {text}")
            moments.append((asked, now()))
            shifts.append(shift.then_set)
            read_once_more(targets)
            time.sleep(HOLD)
        problems, readings = [], 0
        try:
            comments += check_counters(targets, shift.engines)
        except Failed as why:
            problems.append(str(why))
        moments.append(recover(agent))
        shifts.append(0)
        read_once_more(targets)
        for program in [*targets, bystander]:
            check(program.running(), f"{program} died:\n{program.text()}")
            program.end()
            try:
                if program is bystander:
                    readings += check_spans(program, [0], [])
                else:
                    both = shift.vdso and shift.engines != "off"
                    readings += check_spans(program, shifts, moments,
                                            lambda way: shifted_ways(shift, way), order=both)
                    readings += check_spans(program, [0], [], lambda way: not shifted_ways(shift, way),
                                            order=False)
            except Failed as why:
                problems.append(str(why))
        if problems:
            raise Failed("\n".join([*problems, "the agent said:", agent.text()]))
    check_nothing_left(before)
    return [f"{readings} readings, all as they should be", *comments]
