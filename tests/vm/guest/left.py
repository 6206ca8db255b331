"""What the kernel says is left of waits and timers is in the target's time, each way of asking; held against a
clock that nobody shifts."""

import time

import kernel
from programs import Stage, time_chaos
from shift import recover, status_of, wait_until_shifted
from tap import check

REAL = 300  # ms, after which it is asked, by a clock that nobody shifts
INTERVAL = 7  # s
SLACK = 0.004  # s of real time: the clocks are read one after the other, and one of them is not slewed
LATE = 2.5  # s: these processors are emulated, and what counts what is left does not count a stop
LEAD = 0.2  # s: see lengths.py
SLEEPS = {"monotonic", "realtime", "in_place", "ppoll", "pselect"}
TIMERS = {f"{old}{kind}_{clock}" for old in ("", "old_") for kind in ("timer", "timerfd")
          for clock in ("monotonic", "realtime", "instant")}
MONOTONIC = ("--clocks", "monotonic")


class Course:
    """`lengths` and `instants`: how much of the target's time passes in a second, for what is set to a length, and
    to an instant of the wall clock. `milliseconds`: of the target's time, to wait for."""

    def __init__(self, flags, lengths, milliseconds, instants=1, intervals=True, stops=False):
        self.flags = flags
        self.lengths = lengths
        self.milliseconds = milliseconds
        self.instants = instants
        self.intervals = intervals  # are in the target's time
        self.stops = stops          # the program is stopped meanwhile, and goes on

    def pace(self, way):
        return self.instants if way.endswith("instant") else self.lengths

    def problem(self, way, value):
        if value.startswith("!"):
            return value
        whole, pace = self.milliseconds / 1000, self.pace(way)
        if value.startswith("took,"):
            took = int(value[5:]) / 1e9
            return "" if whole / pace - SLACK <= took <= whole / pace + LATE else f"was over after {took} s"
        if way == "recvmmsg" and kernel.release() < (6, 16):
            whole, pace = whole / pace, 1  # nothing sees there what is left: it is real
        left, least, most, interval = (int(part) / 1e9 for part in value.split(","))
        shortest, longest = whole - pace * (most + SLACK), whole - pace * (least - SLACK)
        if not shortest <= left <= longest:
            return f"had {left} s left and not {shortest} to {longest}"
        expected = INTERVAL if way in TIMERS else 0
        if abs(interval - expected) > 1e-6:
            return f"comes again every {interval} s and not {expected}"
        return ""


def _ask(program, which, course):
    narrow = which.endswith("time64")
    ways = SLEEPS | TIMERS | (set() if narrow else {"nanosleep"})
    ways |= {"whole_ppoll", "whole_sleep"} if course.stops else set()
    line = program.ask(f"{'stopped ' if course.stops else ''}{course.milliseconds} {REAL}")
    found = dict(part.split("=") for part in line.split()[1:])
    problems = [f"{course.flags}: not one word of {sorted(ways - set(found))}"] if ways - set(found) else []
    for way, value in found.items():
        problem = course.problem(way, value)
        if problem:
            problems.append(f"{course.flags}: {way} {problem}")
    return problems


def _left(which, flags, courses, vdso=True):
    problems = []
    with Stage() as stage:
        program, other = stage.program(f"/targets/{which}"), stage.program(f"/targets/{which}")
        agent = None
        for course in courses:
            if agent is None:
                agent = stage.agent([program], *flags, *course.flags)
                wait_until_shifted(agent, [program], vdso=vdso)
                check("told in real time" not in agent.text(), agent.text())
            else:
                code, text = time_chaos("set", "--pid", str(program.pid), *course.flags)
                check(code == 0, *course.flags, "exits with", code, text)
            time.sleep(LEAD)
            problems += _ask(program, which, course)
        problems += _ask(other, which, Course(("another program",), 1, 1000))
        check(not problems, *[f"{problem}\n" for problem in problems], agent.text())
        waits = status_of([program])[program.pid]["bpf"]["waits"]
        check(waits["hooked"] and waits["shifted"] and not waits["refused"], waits)
        recover(agent)
        time.sleep(LEAD)
        problems = _ask(program, which, Course(("recovered",), 1, 1000))
        check(not problems, *problems)
    return [f"{len(courses)} courses, {waits['shifted']} waits shifted"]


FAST = Course(("--rate", "20"), 20, 20000)
FAST_STOPPED = Course(("--rate", "20"), 20, 20000, stops=True)
SLOW = Course(("--rate", "0.5"), 0.5, 400)


def native():
    return _left("left", MONOTONIC, (
        FAST, FAST_STOPPED, SLOW,
        Course(("--rate", "20", "--jitter", "10us"), 20, 20000, intervals=False),  # a schedule: intervals are real
        Course(("--freeze",), 1, 1000),
        Course(("--offset", "1h"), 1, 1000)))


def wall():
    return _left("left", (), (Course(("--rate", "20"), 1, 20000, instants=20),))


def narrow():
    return _left("left_32", (*MONOTONIC, "--engine-vdso", "off"), (FAST, FAST_STOPPED), vdso=False)


def time64():
    return _left("left_time64", (*MONOTONIC, "--engine-vdso", "off"), (FAST,), vdso=False)


def many():
    """Many threads at once: each value is mapped, and once. Before 6.16 some may be left as they are."""
    with Stage() as stage:
        program = stage.program("/targets/left")
        agent = stage.agent([program], *MONOTONIC, "--rate", "20")
        wait_until_shifted(agent, [program])
        time.sleep(LEAD)
        line = program.ask("many 100000 3000")
        _, asked, _, less, _, more = line.split()
        check(more == "0" and (less == "0" or kernel.release() < (6, 16)), line)
        recover(agent)
    return [f"{less} of {asked} were real"]


CASES = [
    ("what is left of timers, many threads", many, ("tsc", "full")),
    ("what is left of waits", native, ("tsc", "full")),
    ("what is left of waits until an instant of the wall clock", wall, ("tsc",)),
    ("what is left of waits, 32-bit", narrow, ("tsc",)),
    ("what is left of waits, 32-bit with 64-bit fields", time64, ("tsc",)),
]
