"""Cases about single readings: every clock id, what other calls report as the time, calls that fail."""

import time

import kernel
from programs import Stage, time_chaos
from shift import recover, wait_until_shifted
from tap import check

SHIFT = 5 * 3600
WALL = {0, 5, 8, 11}  # REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI (time.h)
BOOT = {7, 9}         # BOOTTIME, BOOTTIME_ALARM
CPU = {2, 3}          # of the process, of the thread
SLACK = 1_100_000_000  # coarse clocks, and whole seconds


def _numbers(line):
    return {name: value if value.startswith("!") else int(value)
            for name, value in (part.split("=") for part in line.split())}


def _bracketed(program, question):
    """The program's answers, and this machine's clocks before and after."""
    def clocks():
        found = {}
        for number in range(12):
            try:
                found[number] = time.clock_gettime_ns(number)
            except OSError as why:
                found[number] = f"!{why.errno}"
        return found
    before = clocks()
    answers = _numbers(program.ask(question))
    return answers, before, clocks()


def _check_clocks(program, shifted, detoured=True, question="clocks"):
    """`detoured`: what the C library says is shifted too."""
    answers, before, after = _bracketed(program, question)
    check(len(answers) >= 22, "too few answers:", answers)
    for name, value in answers.items():
        way, number = name.split("_")
        number = int(number)
        if way == "libc" and not detoured:
            continue
        if isinstance(before[number], str):
            check(value == before[number], name, "answers", value, "and not", before[number])
        elif number in CPU:
            check(0 <= value < 60 * 10**9, name, "is", value)
        else:
            shift = shifted.get(number, 0) * 10**9
            low, high = before[number] + shift - SLACK, after[number] + shift + SLACK
            check(low <= value <= high, name, "is", (value - before[number]) / 1e9, "s ahead, not", shift / 1e9)


def _check_tables(program, wall, boot):
    answers, before, after = _bracketed(program, "tables")
    for name, value in answers.items():
        number, shift = (7, boot) if name == "sysinfo" else (0, wall)
        check(not isinstance(value, str), name, "fails with", value)
        low, high = before[number] + shift * 10**9 - SLACK, after[number] + shift * 10**9 + SLACK
        check(low <= value <= high, name, "is", (value - before[number]) / 1e9, "s ahead, not", shift)


def _readings(which, flags, clocks, wall, boot, vdso=True):
    with Stage() as stage:
        program = stage.program(f"/targets/{which}")
        _check_clocks(program, {})
        _check_tables(program, 0, 0)
        agent = stage.agent([program], f"--offset={SHIFT}s", *flags)
        wait_until_shifted(agent, [program], vdso=vdso)
        for _ in range(3):
            _check_clocks(program, clocks, vdso)
            _check_tables(program, wall, boot)
        recover(agent)
        _check_tables(program, 0, 0)
        # Clocks that never go back stay ahead when they were shifted.
        if not boot:
            _check_clocks(program, {})


def every_clock():
    """The wall's clocks are shifted, also those that the vDSO hands on to the kernel; no other is."""
    _readings("ask", [], dict.fromkeys(WALL, SHIFT), SHIFT, 0)


def every_clock_32():
    _readings("ask_32", ["--engine-vdso", "off"], dict.fromkeys(WALL, SHIFT), SHIFT, 0, vdso=False)


def boottime():
    """sysinfo's uptime goes with CLOCK_BOOTTIME."""
    with Stage() as stage:
        program = stage.program("/targets/ask")
        agent = stage.agent([program], f"--offset={SHIFT}s", "--clocks", "boottime,boottime_alarm")
        wait_until_shifted(agent, [program])
        _check_clocks(program, dict.fromkeys(BOOT, SHIFT))
        _check_tables(program, 0, SHIFT)


def forked():
    """A forked child shares the shift, and so does a child that the shifted child forks."""
    with Stage() as stage:
        program = stage.program("/targets/ask")
        agent = stage.agent([program], f"--offset={SHIFT}s")
        wait_until_shifted(agent, [program])
        for _ in range(3):
            _check_clocks(program, dict.fromkeys(WALL, SHIFT), question="child")
        recover(agent)
        _check_clocks(program, {}, question="child")


def executed():
    """A program that the target executes has no detour: every reading of it is a system call."""
    with Stage() as stage:
        program = stage.program("/targets/ask")
        agent = stage.agent([program], f"--offset={SHIFT}s")
        wait_until_shifted(agent, [program])
        _check_clocks(program, dict.fromkeys(WALL, SHIFT))
        _check_clocks(program, dict.fromkeys(WALL, SHIFT), question="exec")
        _check_clocks(program, dict.fromkeys(WALL, SHIFT))
        recover(agent)
        _check_clocks(program, {})


def run_command():
    """time-chaos run: both engines from the first reading on."""
    with Stage() as stage:
        program = stage.program("time-chaos", "run", f"--offset={SHIFT}s", "--", "/targets/ask")
        _check_clocks(program, dict.fromkeys(WALL, SHIFT))
        program.process.stdin.close()
        check(program.read_to_end() == 0, f"it exits with {program.process.returncode}:\n{program.text()}")


def traps():
    """What fails without us fails in the same way with us."""
    with Stage() as stage:
        program = stage.program("/targets/traps")
        def ask():
            # Where the vDSO falls back, the kernel finds the bad pointer of a C library's call; with a
            # detour the program does, as it does without us where the vDSO need not fall back.
            line = program.ask("")
            return line.partition("library")[0] if kernel.clock_source() == "hpet" else line

        native = ask()
        check(native == ask(), "the program does not repeat itself")
        agent = stage.agent([program], f"--offset={SHIFT}s")
        wait_until_shifted(agent, [program])
        shifted = ask()
        recover(agent)
        after = ask()
        for name, line in (("shifted", shifted), ("recovered", after)):
            differs = [f"{one} became {other}" for one, other in zip(native.split(" "), line.split(" "))
                       if one != other]
            check(native == line, name, *differs)


NEW_YEAR_2030 = 1_893_456_000 * 10**9
# What can be asked of clocks besides an offset. Every one is checked by the agent itself, through the
# vDSO and through system calls, against the maps: to the nanosecond but for the time between readings.
COURSES = (["--rate", "0.5"], ["--drift", "200ppm"], ["--at", "@1893456000", "--rate", "-2"],
           ["--strobe", "1h,30ms"], ["--jitter", "20ms"], ["--jitter", "20ms,1ms"], ["--bump", "1h"],
           ["--at", "2016-12-31T23:59:59Z", "--leap-second", "insert"], ["--leap-second", "smear"],
           ["--schedule", "/tmp/schedule.json"])


def courses():
    """Rates, strobes, jitter, schedules: both engines show the same, which is what was asked for."""
    with open("/tmp/schedule.json", "w") as file:
        file.write('[{"at": "0s", "offset": "-1h"}, {"at": "20ms", "rate": 3}, {"at": "50ms", "step": "-7m"},'
                   ' {"at": "70ms", "repeat": "0s"}]')
    with Stage() as stage:
        program = stage.program("/targets/ask")
        agent = stage.agent([program], "--at", "@1893456000", "--freeze")
        wait_until_shifted(agent, [program])
        for _ in range(3):
            answers = _numbers(program.ask("clocks"))
            for name in ("sys_0", "libc_0", "sys_5", "libc_5"):
                check(answers[name] == NEW_YEAR_2030, name, "is", answers[name], "and not frozen in 2030")
        for course in COURSES:
            code, text = time_chaos("set", "--pid", str(program.pid), *course)
            check(code == 0 and "through vdso and syscall" in text, *course, "exits with", code, text)
        recover(agent)
        _check_tables(program, 0, 0)
        _check_clocks(program, {})


def monotonic_rate():
    """A fast monotonic clock never steps back, not when it slows down nor when it is recovered."""
    with Stage() as stage:
        program = stage.program("/targets/ask")
        agent = stage.agent([program], "--rate", "5", "--clocks", "monotonic-family")
        wait_until_shifted(agent, [program])
        last = {}
        names = [f"{way}_{number}" for way in ("sys", "libc") for number in (1, 4, 6, 7)]

        def look(when):
            for _ in range(20):
                answers = _numbers(program.ask("clocks"))
                for name in names:
                    check(answers[name] >= last.get(name, 0), name, "steps back", when)
                    last[name] = answers[name]

        look("at rate 5")
        for course in (["--rate", "0.1"], ["--rate", "4", "--jitter", "5ms"], ["--freeze"], ["--rate", "1.5"]):
            code, text = time_chaos("set", "--pid", str(program.pid), *course)
            check(code == 0, *course, "exits with", code, text)
            look(f"after {course}")
        recover(agent)
        look("after recover")


def own_library():
    """--fake: what goes through the vDSO is the library's, which is ten days ahead; system calls are real."""
    def ahead(program):
        answers = _numbers(program.ask("clocks"))
        return round((answers["libc_0"] - answers["sys_0"]) / 1e9)
    with Stage() as stage:
        program = stage.program("/targets/ask")
        for _ in range(3):
            check(abs(ahead(program)) <= 1, "it does not begin with real time")
            code, text = time_chaos("agent", "--pid", str(program.pid), "--fake", "/targets/libahead.so", "--detach")
            check(code == 0 and "by libahead.so" in text, "the agent exits with", code, text)
            check(abs(ahead(program) - 10 * 86400) <= 1, "it is", ahead(program), "s ahead")
            code, text = time_chaos("recover", "--pid", str(program.pid))
            check(code == 0 and "bytes as before" in text and "unloaded" in text, "recover exits with", code, text)
            check(abs(ahead(program)) <= 1, "it does not end with real time")


CASES = [
    ("rates, strobes, jitter and schedules", courses, ("tsc", "hpet")),
    ("monotonic clocks with a rate", monotonic_rate, ("tsc", "full")),
    ("every clock id", every_clock, ("tsc", "hpet")),
    ("every clock id, 32-bit", every_clock_32, ("tsc",)),
    ("boottime and the uptime of sysinfo", boottime, ("tsc",)),
    ("forked children", forked, ("tsc", "hpet")),
    ("a program that the target executes", executed, ("tsc",)),
    ("time-chaos run", run_command, ("tsc",)),
    ("bad clocks and bad pointers", traps, ("tsc", "hpet")),
    ("a library of one's own", own_library, ("tsc", "hpet")),
]
