#!/usr/bin/env python3
"""--fake on real programs: a library of one's own is loaded, asked and unloaded, and the program does not
notice but by its clock; also when the agent is killed at any moment. And the README's example as it is
printed there.

    fake_test.py BUILD_DIRECTORY [TEST...]
"""

import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / "vm"), str(ROOT / "tests" / "outside")]

from cache import cache, locked, replace_directory, scratch  # noqa: E402
from debian import Missing, Suites  # noqa: E402
from outside import Printer, TimeChaos, run  # noqa: E402

HERE = ROOT / "tests" / "fake"
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PROGRAM = BUILD / "time-chaos"
time_chaos = TimeChaos(PROGRAM)
events = time_chaos.events
TARGETS = BUILD / "tests" / "live" / "targets"
AHEAD = 864000
REAL, FAKE = (0, 0, 0), (AHEAD, AHEAD, AHEAD)


def library(path, *flags, compiler="cc"):
    run([compiler, "-shared", "-fPIC", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror",
         f"-I{ROOT / 'include'}", *flags, HERE / "ahead.c", "-o", path])
    return path


def ahead(difference):
    """Seconds pass, and coarse clocks lag, between two readings."""
    days = round(difference / AHEAD) * AHEAD
    return days if abs(difference - days) <= 2 else difference


def old_glibc():
    """Debian 11's, 2.31, fetched once: the last but two in which dlopen was a library of its own."""
    place = cache() / "glibc-2.31"
    with locked():
        if not place.exists():
            with scratch() as directory:
                Suites(["bullseye"], directory / "apt").unpack_newest("libc6", directory / "libc")
                replace_directory(directory / "libc", place)
    return place / "lib" / "x86_64-linux-gnu"


class Target(Printer):
    """The program, and what it prints."""

    def __init__(self, program, *words):
        super().__init__([program, *map(str, words)])

    def lines(self, seconds):
        for words in super().lines(seconds):
            yield [int(word) for word in words]

    def shown(self, pid=None, seconds=0.2):
        """By how much its three functions are ahead of the system call: the set of what it printed."""
        for _ in self.lines(0.05):
            pass  # what was on its way
        seen = set()
        while not seen:
            for who, raw, *values in self.lines(seconds):
                if who == (pid or self.pid):
                    seen.add(tuple(ahead(value - raw) for value in values))
        return seen


class Facts:
    """What an attach could leave behind."""

    def __init__(self, pid):
        lines = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="ascii").splitlines()
        # The allocator's arenas, and stacks, come and go.
        self.files = [line for line in lines if line.split()[-1].startswith(("/", "[v"))]
        self.code = [line for line in lines if line.split()[1] == "r-xp" and len(line.split()) == 5]
        self.fds = sorted(os.listdir(f"/proc/{pid}/fd"))
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        self.mask = re.search(r"^SigBlk:\s*(\S+)", status, re.M).group(1)
        begin, end = next((int(word, 16) for word in line.split()[0].split("-")) for line in lines
                          if line.endswith("[vdso]"))
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(begin)
            self.vdso = memory.read(end - begin)


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.holder.name)
        common = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", HERE / "program.c"]
        run(["cc", *common, "-o", cls.dir / "program"])
        cls.ahead = library(cls.dir / "libahead.so")

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def start(self, *words, program=None):
        target = Target(program or self.dir / "program", *words)
        self.addCleanup(target.end)
        self.assertEqual(target.shown(), {REAL})
        return target

    def fake(self, pid, *more, lib=None):
        return events("agent", "--pid", pid, "--fake", lib or self.ahead, "--detach", *more)[-1]

    def recover(self, pid):
        return events("recover", "--pid", pid)[-1]

    def assert_same(self, before, pid):
        after = Facts(pid)
        for fact in ("files", "code", "fds", "mask", "vdso"):
            self.assertEqual(getattr(before, fact), getattr(after, fact), fact)

    def there_and_back(self, target):
        before = Facts(target.pid)
        shifted = self.fake(target.pid)
        self.assertEqual(shifted["fake"], "libahead.so")
        self.assertEqual([f["name"] for f in shifted["functions"]],
                         ["clock_gettime", "gettimeofday", "time"])
        self.assertEqual(shifted["checked"][0]["engine"], "libahead.so")
        self.assertEqual(target.shown(), {FAKE})
        self.assertEqual(before.fds, Facts(target.pid).fds)
        status = events("status", "--pid", target.pid)[0]["targets"][0]
        self.assertEqual((status["fake"], status["state"]), ("libahead.so", "shifted"))
        self.assertNotIn("CHECK", time_chaos("status", "--pid", target.pid))
        recovered = self.recover(target.pid)
        self.assertEqual(target.shown(), {REAL})
        self.assertEqual((recovered["bytes"], recovered["mappings"], recovered["library"]),
                         ("as before", "unmapped", "unloaded"))
        self.assert_same(before, target.pid)


class FakeTest(Base):
    def test_a_program(self):
        self.there_and_back(self.start())

    def test_threads_that_allocate_and_load(self):
        own = library(self.dir / "libother.so", "-Wl,-soname,libother.so")
        target = self.start(3, "", own)
        for _ in range(5):
            before = Facts(target.pid)
            self.fake(target.pid)
            self.assertEqual(target.shown(), {FAKE})
            recovered = self.recover(target.pid)
            self.assertEqual((recovered["bytes"], recovered["library"]), ("as before", "unloaded"))
            self.assertEqual(target.shown(), {REAL})
            self.assertEqual(before.vdso, Facts(target.pid).vdso)
            self.assertEqual(before.code, Facts(target.pid).code)

    def test_a_library_that_needs_others(self):
        lib = self.dir / "libconstructed.so"
        run(["cc", "-shared", "-fPIC", "-O2", f"-I{ROOT / 'include'}", "-DWITH_CONSTRUCTOR",
             HERE / "ahead.c", "-o", lib])
        target = self.start(2)
        self.fake(target.pid, lib=lib)
        self.assertEqual(target.shown(), {FAKE})
        self.assertEqual(self.recover(target.pid)["library"], "unloaded")

    def test_allocators_of_others(self):
        """One of another library, and one of the program's own: where that waits in poll it is taken, where it
        sleeps not, for some allocators sleep until a lock is free."""
        lib = self.dir / "liballocator.so"
        run(["cc", "-shared", "-fPIC", "-O2", HERE / "allocator.c", "-o", lib])
        common = ["cc", "-O2", "-pthread", "-Wl,-rpath,$ORIGIN", "-rdynamic", HERE / "program.c"]
        for name, more in (("shared", ["-L", self.dir, "-lallocator"]), ("own", [HERE / "allocator.c"])):
            with self.subTest(name):
                run([*common, *more, "-o", self.dir / name])
                self.there_and_back(self.start(program=self.dir / name))
        target = self.start(0, "sleep", program=self.dir / "own")
        self.assertIn("no thread of it", time_chaos("agent", "--pid", target.pid, "--fake", self.ahead, code=5))
        self.there_and_back(self.start(0, "sleep"))

    def test_some_functions(self):
        target = self.start()
        lib = library(self.dir / "libone.so", "-DNO_OTHERS")
        self.fake(target.pid, lib=lib)
        self.assertEqual(target.shown(), {(AHEAD, 0, 0)})
        self.assertIn("clock_gettime by libone.so; real are: gettimeofday and time",
                      time_chaos("status", "--pid", target.pid))
        self.recover(target.pid)
        lib = library(self.dir / "libtwo.so", "-DNO_CLOCK_GETTIME")
        self.fake(target.pid, lib=lib)
        self.assertEqual(target.shown(), {(0, AHEAD, AHEAD)})
        self.recover(target.pid)
        self.assertEqual(target.shown(), {REAL})

    @unittest.skipUnless(shutil.which("musl-gcc"), "no musl")
    def test_musl(self):
        """Its dlclose unloads nothing, and the agent says so."""
        program = self.dir / "musl"
        run(["musl-gcc", "-O2", "-pthread", HERE / "program.c", "-o", program])
        target = self.start(2, program=program)
        before = Facts(target.pid)
        self.fake(target.pid)
        self.assertEqual(target.shown(), {FAKE})
        recovered = self.recover(target.pid)
        self.assertEqual((recovered["bytes"], recovered["mappings"], recovered["library"]),
                         ("as before", "unmapped", "kept"))
        self.assertIn("musl", recovered["why_library_kept"])
        self.assertEqual(target.shown(), {REAL})
        after = Facts(target.pid)
        self.assertEqual((before.vdso, before.code, before.fds), (after.vdso, after.code, after.fds))
        self.fake(target.pid)
        self.assertEqual(target.shown(), {FAKE})
        self.recover(target.pid)

    def test_glibc_before_2_34(self):
        try:
            libraries = old_glibc()
        except Missing as why:
            self.skipTest(f"no old glibc: {why}")
        common = ["cc", "-O2", "-pthread", HERE / "program.c", "-nodefaultlibs", "-Wl,--no-as-needed",
                  f"-Wl,--dynamic-linker={libraries / 'ld-2.31.so'}", f"-Wl,-rpath,{libraries}"]
        base = [libraries / "libc.so.6", libraries / "ld-linux-x86-64.so.2", "-lgcc"]
        for name, more in (("alone", ["-DALONE"]),  # __libc_dlopen_mode
                           ("loading", [libraries / "libpthread.so.0", libraries / "libdl.so.2"])):
            with self.subTest(name):
                run([*common, *more, *base, "-o", self.dir / name])
                self.there_and_back(self.start(0, program=self.dir / name))
        target = self.start(3, "", self.ahead, program=self.dir / "loading")
        for _ in range(3):
            self.fake(target.pid)
            self.assertEqual(target.shown(), {FAKE})
            self.assertEqual(self.recover(target.pid)["library"], "unloaded")
            self.assertEqual(target.shown(), {REAL})

    def assert_progress(self, report):
        """A wait whose signal was taken from it lasts for ever."""
        def rounds():
            return struct.unpack("2Q", pathlib.Path(report).read_bytes()[:16])[1]
        before, end = rounds(), time.monotonic() + 10
        while rounds() < before + 2:
            self.assertLess(time.monotonic(), end, "it hangs")
            time.sleep(0.01)

    def test_registers_and_waits(self):
        """Of the thread that is made to load: all registers, its mask, and the result of its wait."""
        for kind in ("nanosleep", "poll", "epoll", "pipe", "sigsuspend", "alarmread", "threads"):
            with self.subTest(kind), tempfile.NamedTemporaryFile() as report:
                report.write(bytes(16384))
                report.flush()
                with subprocess.Popen([TARGETS / "registers", kind, report.name]) as process:
                    try:
                        time.sleep(0.3)
                        for _ in range(8):
                            self.fake(process.pid)
                            self.recover(process.pid)
                            self.assert_progress(report.name)
                        self.assertIsNone(process.poll())
                    finally:
                        process.kill()
                fields = struct.unpack("9Q", pathlib.Path(report.name).read_bytes()[:72])
                ready, rounds, bad, bits, interrupted, results, _, late, _ = fields
                self.assertEqual(ready, 1)
                self.assertGreater(rounds, 10)
                self.assertEqual((bad, bits, interrupted, results, late), (0, 0, 0, 0, 0))

    def test_lease_and_duration(self):
        target = self.start()
        begun = time.monotonic()
        self.fake(target.pid, "--lease", "3s")
        self.assertEqual(target.shown(), {FAKE})  # on a machine that is busy with others, too
        time.sleep(max(begun + 3.5 - time.monotonic(), 0))
        self.assertEqual(target.shown(), {REAL})
        self.assertEqual(self.recover(target.pid)["library"], "unloaded")
        last = events("agent", "--pid", target.pid, "--fake", self.ahead, "--duration", "300ms")[-1]
        self.assertEqual((last["event"], last["library"]), ("recovered", "unloaded"))
        self.assertEqual(target.shown(), {REAL})

    def test_forked_children(self):
        target = self.start()
        self.fake(target.pid)
        target.tell("fork")
        child = next(who for who, *_ in target.lines(5) if who != target.pid)
        self.assertEqual(target.shown(child), {FAKE})
        done = events("recover", "--pid", target.pid, "--pid", child)
        self.assertEqual({line["library"] for line in done}, {"unloaded"})
        self.assertEqual(target.shown(child), {REAL})
        self.assertEqual(target.shown(), {REAL})
        os.kill(child, signal.SIGKILL)

    def test_refused_requests(self):
        target = self.start()
        before = Facts(target.pid)
        agent = ("agent", "--pid", target.pid, "--fake")
        text = self.dir / "text.so"
        text.write_text("no library")
        none = library(self.dir / "libnone.so", "-DNO_OTHERS", "-DNO_CLOCK_GETTIME")
        tls = library(self.dir / "libtls.so", "-DWITH_TLS")
        wanted = library(self.dir / "libexec.so", "-Wl,-z,execstack")
        for lib, why in ((self.dir / "not.so", "not.so"), (text, "ELF"), (none, "none of"), (tls, "thread-local"),
                         (wanted, "executable"), (self.dir, "not a file"), (self.dir / "program", "program")):
            line = time_chaos(*agent, lib, code=2)
            self.assertRegex(line, rf"^time-chaos: --fake [^\n]*{why}[^\n]*\n$")
        for words in (("--offset", "1h"), ("--clocks", "all"), ("--engine-vdso", "plt"), ("--force",),
                      ("--engine-syscalls", "ptrace"), ("--no-children",), ("--dry-run", "--plot")):
            self.assertIn("--", time_chaos(*agent, self.ahead, *words, code=2))
        self.assertEqual(events(*agent, self.ahead, "--dry-run")[-1]["fake"], "libahead.so")
        self.assert_same(before, target.pid)
        self.fake(target.pid)
        self.assertIn("libahead.so says", time_chaos("set", "--pid", target.pid, "--offset", "1h", code=5))
        self.assertIn("already there", time_chaos(*agent, self.ahead, code=1))
        self.assertIn("already there", time_chaos("agent", "--pid", target.pid, "--offset", "1h", code=1))
        self.assertEqual(target.shown(), {FAKE})
        self.recover(target.pid)
        needs = self.dir / "libneeds.so"
        run(["cc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "/dev/null", "-o", self.dir / "libgone.so",
             "-Wl,-soname,libgone.so"])
        library(needs, "-Wl,--no-as-needed", f"-L{self.dir}", "-lgone")
        self.assertIn("libgone.so", time_chaos(*agent, needs, code=5))
        self.assertEqual(target.shown(), {REAL})
        self.assert_same(before, target.pid)

    def test_refused_targets(self):
        """Each before anything has changed: one line, with the reason."""
        static = self.dir / "static"
        run(["cc", "-O2", "-static", "-pthread", HERE / "program.c", "-w", "-o", static])
        other = self.start()  # named first, and left alone
        untouched = Facts(other.pid)
        for words, program, code, why in (((), static, 5, "linked statically"),
                                          ((0, "busy"), None, 5, "runs"),
                                          ((0, "handler"), None, 5, "signal handler")):
            with self.subTest(why):
                target = Target(program or self.dir / "program", *words)
                self.addCleanup(target.end)
                time.sleep(0.8)
                before = Facts(target.pid)
                line = time_chaos("agent", "--pid", other.pid, "--pid", target.pid, "--fake", self.ahead, code=code)
                self.assertRegex(line, rf"^time-chaos: cannot shift [^\n]*{why}[^\n]*\n$")
                self.assert_same(before, target.pid)
                self.assert_same(untouched, other.pid)
        with subprocess.Popen([TARGETS / "seccomp", "kill"], stdout=subprocess.DEVNULL) as process:
            try:
                time.sleep(0.3)
                for more in ((), ("--dry-run",)):
                    line = time_chaos("agent", "--pid", other.pid, "--pid", process.pid, "--fake", self.ahead, *more,
                                      code=3)
                    self.assertIn("seccomp", line)
                self.assertEqual(other.shown(), {REAL})
                self.assert_same(untouched, other.pid)
                self.assertIsNone(process.poll())
            finally:
                process.kill()

    def test_readme(self):
        """The section's commands print what stands behind them."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = re.search(r"^### A clock of your own\n(.*?)^##", text, re.M | re.S).group(1)
        bin_dir = self.dir / "bin"
        bin_dir.mkdir(exist_ok=True)
        (bin_dir / "time-chaos").symlink_to(PROGRAM)
        environment = dict(os.environ, PATH=f"{bin_dir}:{os.environ['PATH']}")
        where = self.dir / "readme"
        where.mkdir()
        for name in ("include", "scripts"):
            (where / name).symlink_to(ROOT / name)
        commands, ran = None, 0
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", section, re.M | re.S):
            if language == "sh":
                commands = body
            elif language == "" and commands:
                self.assertEqual(run(["sh", "-ec", commands], cwd=where, env=environment), body)
                commands, ran = None, ran + 1
        self.assertEqual(ran, 1)


class KilledTest(Base):
    def mend(self, target, before, when):
        """After a kill: whatever was left, it goes on, and is undone. True: something was left."""
        self.assertLessEqual(target.shown(seconds=0.05), {REAL, FAKE}, when)
        left = "nothing" not in time_chaos("status", "--pid", target.pid)
        recovered = events("recover", "--pid", target.pid)
        if left:
            self.assertEqual(recovered[-1]["bytes"], "as before", when)
            self.assertEqual(recovered[-1]["mappings"], "unmapped", f"{when}: {recovered[-1]}")
        self.assertEqual(target.shown(seconds=0.05), {REAL}, when)
        self.assert_same(before, target.pid)
        return left

    def test_an_agent_killed_at_random(self):
        self.kill_at_random(self.ahead, 60)

    def test_an_agent_killed_while_the_loader_works(self):
        lib = self.dir / "libslow.so"
        run(["cc", "-shared", "-fPIC", "-O2", f"-I{ROOT / 'include'}", "-DWITH_WAITS",
             HERE / "ahead.c", "-o", lib])
        self.kill_at_random(lib, 30)

    def kill_at_random(self, lib, times):
        target = self.start(2)
        before = Facts(target.pid)
        attach = ("agent", "--pid", target.pid, "--fake", lib, "--detach")
        recover = ("recover", "--pid", target.pid)
        spans = []
        for words in (attach, recover):
            begin = time.monotonic()
            time_chaos(*words)
            spans.append(time.monotonic() - begin)
        moments, left = random.Random(7), 0
        for i in range(times):
            words, span = (attach, spans[0]) if i % 2 == 0 else (recover, spans[1])
            if words is recover:
                time_chaos(*attach)
            with subprocess.Popen([PROGRAM, *map(str, words)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as agent:
                time.sleep(moments.uniform(0, span * 1.2))
                agent.kill()
            left += self.mend(target, before, f"kill {i}")
        self.assertGreater(left, 5)

    def test_an_agent_killed_at_every_step(self):
        target = self.start(1)
        before = Facts(target.pid)
        counts = self.dir / "counts"
        attach = ("agent", "--pid", target.pid, "--fake", self.ahead, "--detach")
        for words in (attach, ("recover", "--pid", target.pid)):
            step, left = 0, 0
            while True:
                step += 1
                if words is not attach:
                    time_chaos(*attach)
                counts.write_bytes(bytes(32))
                environment = dict(os.environ, LD_PRELOAD=str(TARGETS / "libkillat.so"),
                                   KILL_COUNT_FILE=str(counts), KILL_AT=str(step),
                                   KILL_WHEN="before" if step % 2 else "after")
                done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, check=False,
                                      timeout=60, env=environment)
                left += self.mend(target, before, f"{words[0]}, step {step}")
                if done.returncode == 0:
                    break
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            self.assertGreater(left, 10)


if __name__ == "__main__":
    unittest.main()
