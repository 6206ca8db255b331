"""Waits for a length of time end when the target's clock has shown that much more, each way of waiting;
measured by a clock that nobody shifts, and with the length in memory as it was."""

import time

import kernel
from programs import Stage, time_chaos
from shift import recover, status_of, wait_until_shifted
from tap import check

WAIT = 200  # ms of the target's time
EARLY, LATE = 0.002, 1.5  # s: these processors are emulated
LEAD = 0.2  # s: so that no monotonic clock steps back, a rate begins 50 ms after it was set (map_plan.h)
WAYS = {"nanosleep", "monotonic", "realtime", "futex", "ppoll", "pselect", "signal", "semaphore", "events",
        "timerfd_twice", "timer"}
MONOTONIC = ("--clocks", "monotonic")
COURSES = (  # the first is the agent's, the others are `set`; what a second of the target's time takes; how long
    (("--rate", "20"), 0.05, 2000),  # unscaled it is later than LATE
    (("--rate", "0.5"), 2, WAIT),
    (("--freeze",), 1, WAIT),  # nobody would end them
    (("--offset", "1h"), 1, WAIT),
)


def _left_real():
    """Before 6.16 nothing tells where rt_sigtimedwait goes on, where a return may be lost."""
    return {"signal"} if kernel.preemptible() and kernel.release() < (6, 16) else set()


def _wait(program, course, pace, length=WAIT):
    """Problems, and how late the latest was."""
    problems, latest = [], 0
    ways = WAYS | ({"epoll"} if kernel.release() >= (5, 11) else set())
    took = dict(part.split("=") for part in program.ask(str(length)).split()[1:])
    if ways - set(took):
        problems.append(f"{course}: not one word of {sorted(ways - set(took))}")
    for way, value in took.items():
        seconds = -1 if value.startswith("!") else int(value) / 1e9
        expected = length / 1000 * (1 if way in _left_real() else pace) * (2 if way.endswith("twice") else 1)
        latest = max(latest, seconds - expected)
        if not expected - EARLY <= seconds <= expected + LATE:
            problems.append(f"{course}: {way} took {value} and not {expected * 1e9:.0f}")
    return problems, latest


def _lengths(which, flags, vdso=True):
    problems, latest = [], 0
    with Stage() as stage:
        program = stage.program(f"/targets/{which}")
        agent = None
        for course, pace, length in COURSES:
            if agent is None:
                agent = stage.agent([program], *flags, *course)
                wait_until_shifted(agent, [program], vdso=vdso)
            else:
                code, text = time_chaos("set", "--pid", str(program.pid), *course)
                check(code == 0, *course, "exits with", code, text)
                time.sleep(LEAD)
            found, late = _wait(program, course, pace, length)
            problems += found
            latest = max(latest, late)
        check(not problems, *[f"{problem}\n" for problem in problems], agent.text())
        waits = status_of([program])[program.pid]["bpf"]["waits"]
        check(waits["hooked"] and waits["shifted"] and not waits["refused"], waits)
        recover(agent)
        found, _ = _wait(program, "recovered", 1)
        check(not found, *found)
    return [f"{waits['shifted']} shifted, the latest {latest * 1000:.0f} ms late"]


def native():
    return _lengths("lengths", MONOTONIC)


def narrow():
    return _lengths("lengths_32", (*MONOTONIC, "--engine-vdso", "off"), vdso=False)


def _took(program, what, length):
    return int(program.ask(f"{what} {length}").split()[1]) / 1e9


def read_only():
    """What cannot be written, or not whole, is left as it was, in real time, and counted. So is what a call has
    read that fails then."""
    with Stage() as stage:
        program = stage.program("/targets/lengths")
        agent = stage.agent([program], "--rate", "20", *MONOTONIC)
        wait_until_shifted(agent, [program])
        took = _took(program, "constant", WAIT)
        whole = _took(program, "crossing", 1200)
        refused = _took(program, "refused", 1200)
        waits = status_of([program])[program.pid]["bpf"]["waits"]
        check(WAIT / 1000 - EARLY <= took <= WAIT / 1000 + LATE, "it took", took)
        check(1.2 - EARLY <= whole <= 1.2 + LATE, "across two pages it took", whole)
        check(refused == 0, "the call that failed", refused)
        check(waits["refused"] == 2, waits)
        check("2 waits that could not be shifted" in time_chaos("status", "--pid", str(program.pid))[1])
        recover(agent)


CASES = [
    ("waits for a length of time", native, ("tsc", "full")),
    ("waits for a length of time, 32-bit", narrow, ("tsc",)),
    ("waits for a length of time in read-only memory", read_only, ("tsc", "full")),
]
