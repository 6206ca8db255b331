"""Waits until an instant end when the target's clock shows it: each way of waiting, on the wall clock and on
CLOCK_MONOTONIC. Ended by a clock that nobody shifts, and with the deadline in memory as it was."""

import time

import kernel
from programs import Stage, time_chaos
from shift import recover, status_of, wait_until_shifted
from tap import Skip, check

WAIT = 200  # ms of the target's time
REALTIME, MONOTONIC = 0, 1
EARLY, LATE = 0.002, 1.5  # s: clocks are read one after the other; and these processors are emulated
WAYS = {"clock_nanosleep", "futex", "requeue_pi", "timerfd", "timer", "shared0", "shared1", "shared2", "shared3",
        "shared4", "shared5"}
ONLY_REALTIME = {"lock_pi", "mq_receive", "mq_send"}


def _ways(narrow, clock):
    ways = set(WAYS)
    if clock == REALTIME:
        ways |= ONLY_REALTIME
    if kernel.release() >= (5, 14):
        ways.add("lock_pi2")
    if kernel.release() >= (5, 16) and not narrow:
        ways.add("futex_waitv")
    if kernel.release() >= (6, 7) and not narrow:
        ways.add("futex_wait")
    return ways


def _wait(program, narrow, course, clocks, shortest, longest):
    """Problems, and how late the latest was."""
    problems, latest = [], 0
    for clock in clocks:
        line = program.ask(f"{clock} {WAIT}")
        took = dict(part.split("=") for part in line.split()[1:])
        missing = _ways(narrow, clock) - set(took)
        if missing:
            problems.append(f"{course}: clock {clock}: not one word of {sorted(missing)}")
        for way, value in took.items():
            seconds = -1 if value.startswith("!") else int(value) / 1e9
            latest = max(latest, seconds - longest)
            if not shortest - EARLY <= seconds <= longest + LATE:
                problems.append(f"{course}: {way} on clock {clock} took {value} and not"
                                f" {shortest * 1e9:.0f} to {longest * 1e9:.0f}")
    return problems, latest


def _absolute(which, flags, courses, vdso=True):
    """`courses`: (flags, clocks, shortest and longest wait). The first is the agent's, the others are `set`."""
    narrow, problems, latest = which.endswith("_32"), [], 0
    with Stage() as stage:
        program = stage.program(f"/targets/{which}")
        agent = None
        for course, clocks, shortest, longest in courses:
            if agent is None:
                agent = stage.agent([program], *flags, *course)
                wait_until_shifted(agent, [program], vdso=vdso)
            else:
                code, text = time_chaos("set", "--pid", str(program.pid), *course)
                check(code == 0, *course, "exits with", code, text)
            found, late = _wait(program, narrow, course, clocks, shortest, longest)
            problems += found
            latest = max(latest, late)
        check(not problems, *[f"{problem}\n" for problem in problems], agent.text())
        waits = status_of([program])[program.pid]["bpf"]["waits"]
        check(waits["hooked"] and waits["shifted"] and not waits["refused"], waits)
        recover(agent)
        found, _ = _wait(program, narrow, "recovered", [REALTIME], WAIT / 1000, WAIT / 1000)
        check(not found, *found)
    return [f"{waits['shifted']} shifted, the latest {latest * 1000:.0f} ms late"]


BOTH = ("--clocks", "realtime,monotonic")
PLAIN = WAIT / 1000
WALL_COURSES = (
    (("--offset=-1h",), [REALTIME, MONOTONIC], PLAIN, PLAIN),
    (("--strobe", "1h,30ms"), [REALTIME], 0, PLAIN + 0.06),
)
BOTH_COURSES = (
    (("--offset", "1h"), [REALTIME, MONOTONIC], PLAIN, PLAIN),
    (("--rate", "2"), [REALTIME, MONOTONIC], PLAIN / 2, PLAIN / 2),
    (("--rate", "0.5"), [REALTIME, MONOTONIC], PLAIN * 2, PLAIN * 2),
)


def wall():
    return _absolute("waits", (), WALL_COURSES)


def both():
    return _absolute("waits", BOTH, BOTH_COURSES)


def both_32():
    return _absolute("waits_32", (*BOTH, "--engine-vdso", "off"), BOTH_COURSES[:2], vdso=False)


def both_time64():
    return _absolute("waits_time64", (*BOTH, "--engine-vdso", "off"), BOTH_COURSES[:1], vdso=False)


HOUR = 3600 * 1000  # ms


def _fly(program, clock, milliseconds):
    check(program.ask(f"flight {clock} {milliseconds}") == "flying")
    return len(program.lines)


def _land(program, clock, said, why, least=0):
    """The waits are over, all of them, and a line says so. `least`: seconds that they took."""
    line = program.wait_for(lambda _: len(program.lines) > said) and program.lines[said]
    took = dict(part.split("=") for part in line.split()[1:])
    missing = _ways(False, clock) - {"timer"} - set(took)
    failed = {way: value for way, value in took.items() if value.startswith("!")}
    check(not missing and not failed, why, f"clock {clock}:", missing, failed)
    early = {way: value for way, value in took.items() if int(value) / 1e9 < least - EARLY}
    check(not early, why, f"clock {clock}: sooner than {least} s:", early)


def in_flight():
    """The clock moves in the middle of waits for an hour: they are over when it is past their end."""
    with Stage() as stage:
        program = stage.program("/targets/waits")
        said = _fly(program, REALTIME, HOUR)
        agent = stage.agent([program], "--offset=1h1m")
        wait_until_shifted(agent, [program])
        _land(program, REALTIME, said, "at the attach")
        said = _fly(program, REALTIME, HOUR)
        code, text = time_chaos("set", "--pid", str(program.pid), "--offset=2h2m")
        check(code == 0, text)
        _land(program, REALTIME, said, "at set")
        code, text = time_chaos("set", "--pid", str(program.pid), "--offset=-2h")
        check(code == 0, text)
        said = _fly(program, REALTIME, HOUR)
        recover(agent)
        _land(program, REALTIME, said, "at the recovery")


LEFT = 2  # s


def standing_still():
    """A clock that stands still shows no end, and nobody gets one, until it goes on: at `set` and at the recovery, then
    when the clock shows it."""
    with Stage() as stage:
        program = stage.program("/targets/waits")
        agent = stage.agent([program], "--freeze")
        wait_until_shifted(agent, [program])
        said = _fly(program, REALTIME, LEFT * 1000)
        time.sleep(1)
        check(len(program.lines) == said, "over on a clock that stands still:", *program.lines[said:])
        code, text = time_chaos("set", "--pid", str(program.pid), "--rate", "1")
        check(code == 0, text)
        _land(program, REALTIME, said, "at set", 1 + LEFT)
        code, text = time_chaos("set", "--pid", str(program.pid), "--freeze")
        check(code == 0, text)
        said = _fly(program, REALTIME, 5 * LEFT * 1000)
        recover(agent)
        # It is behind by as long as it has stood still.
        _land(program, REALTIME, said, "at the recovery", LEFT)


def detached():
    """The same without an agent: what was asked for of timerfds is known to whoever comes."""
    if kernel.release() < (5, 15):
        raise Skip("without an agent waits are real here")
    with Stage() as stage:
        program = stage.program("/targets/waits")
        pid = str(program.pid)
        code, text = time_chaos("agent", "--pid", pid, "--freeze", "--detach")
        check(code == 0, text)
        said = _fly(program, REALTIME, LEFT * 1000)
        time.sleep(1)
        code, text = time_chaos("set", "--pid", pid, "--rate", "1")
        check(code == 0, text)
        _land(program, REALTIME, said, "at set", 1 + LEFT)
        code, text = time_chaos("set", "--pid", pid, "--offset=-2h")
        check(code == 0, text)
        said = _fly(program, REALTIME, HOUR)
        code, text = time_chaos("recover", "--pid", pid)
        check(code == 0, text)
        _land(program, REALTIME, said, "at the recovery")


ROUNDS = 400


def shared():
    """Threads that share a deadline: mapped once, there for all of them, and back in the end. Twice mapped it
    lies in the past; put back too early, an hour ahead."""
    with Stage() as stage:
        program = stage.program("/targets/waits")
        agent = stage.agent([program], "--offset=1h", *BOTH)
        wait_until_shifted(agent, [program])
        for clock in (REALTIME, MONOTONIC):
            line = program.ask(f"share {clock} {ROUNDS}")
            check(line == f"shared {ROUNDS} early 0 changed 0", "clock", clock, line)
        waits = status_of([program])[program.pid]["bpf"]["waits"]
        check(waits["shifted"] and not waits["refused"], waits)
        recover(agent)
    return [f"{waits['shifted']} waits of threads that share deadlines"]


def killed():
    """An agent that is killed in the middle of waits leaves nothing of its own in the program's memory, and
    nobody waits for longer than the clock was moved."""
    with Stage() as stage:
        program = stage.program("/targets/waits")
        for pause in (0.1, 0.3, 0.5):
            agent = stage.agent([program], "--offset=20ms", *BOTH)
            wait_until_shifted(agent, [program])
            said = len(program.lines)
            program.tell(f"share {REALTIME} {ROUNDS * 3}")
            time.sleep(pause)
            agent.kill()
            line = program.wait_for(lambda _: len(program.lines) > said) and program.lines[said]
            check(line.startswith(f"shared {ROUNDS * 3} early ") and line.endswith(" changed 0"), line)
            code, text = time_chaos("recover", "--pid", str(program.pid))
            check(code == 0, text)


CASES = [
    ("waits of a target whose agent is killed", killed, ("tsc",)),
    ("waits in flight", in_flight, ("tsc",)),
    ("waits in flight on a clock that stands still", standing_still, ("tsc",)),
    ("waits in flight without an agent", detached, ("tsc",)),
    ("waits until an instant that threads share", shared, ("tsc", "full")),
    ("waits until an instant of the wall clock", wall, ("tsc", "hpet")),
    ("waits until an instant of the wall clock and the monotonic one", both, ("tsc", "full")),
    ("waits until an instant, 32-bit", both_32, ("tsc",)),
    ("waits until an instant, 32-bit with 64-bit fields", both_time64, ("tsc",)),
]
