"""What the application of the tests (targets/app.c) printed, held against this machine's clock."""

import dataclasses
import time

HOUR = 3600
CLOSE = 0.05  # seconds: two clocks are read one after the other, and NTP may step meanwhile


@dataclasses.dataclass
class Reading:
    monotonic: float  # seconds; never shifted here
    vdso: float       # seconds ahead of the machine's CLOCK_REALTIME
    raw: float        # the same through a system call


def readings(log):
    real = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    made = []
    for line in log.splitlines():
        words = line.split()
        if len(words) != 3:
            continue  # not written to its end
        monotonic, vdso, raw = map(int, words)
        made.append(Reading(monotonic / 1e9, (vdso - monotonic - real) / 1e9, (raw - monotonic - real) / 1e9))
    return made


def near(ahead, wanted):
    return abs(ahead - wanted) < CLOSE


def eventually(question, what, timeout=20):
    """The first answer that is true."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.05)


def shows(log, ahead, raw=True):
    """Whether the newest reading is so many seconds ahead: through the vDSO, and by a system call."""
    made = readings(log)
    return bool(made) and near(made[-1].vdso, ahead) and (not raw or near(made[-1].raw, ahead))


def wait_until(log, ahead, what, raw=True):
    """`log`: a function. Returns the readings up to then."""
    eventually(lambda: shows(log(), ahead, raw), lambda: f"{what() if callable(what) else what}; the last readings are {readings(log())[-2:]}")
    return readings(log())


def seconds_until(made, ahead):
    """From the first reading of a program to the first that is shifted, in its own time."""
    shifted = next(one for one in made if near(one.vdso, ahead))
    return shifted.monotonic - made[0].monotonic


def never_shifted(made):
    return bool(made) and all(near(one.vdso, 0) and near(one.raw, 0) for one in made)
