#!/usr/bin/env python3
"""PLT mode on real programs: one library lives in another time and the others do not, whatever its
slots are like, however late it is loaded; and every slot is as before at the end, also when the agent
was killed at any step. And the README's example as it is printed there.

    plt_test.py BUILD_DIRECTORY [TEST...]
"""

import ctypes
import json
import mmap
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "outside"))

from outside import Printer, TimeChaos, run  # noqa: E402

HERE = ROOT / "tests" / "plt"
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PROGRAM = BUILD / "time-chaos"
time_chaos = TimeChaos(PROGRAM)
events = time_chaos.events
KILLER = BUILD / "tests" / "live" / "targets" / "libkillat.so"
HOUR = 3600


class Target(Printer):
    """The program, and what it prints."""

    def __init__(self, directory, name="program", threads=0, through=()):
        super().__init__([*through, directory / name, str(threads)], cwd=directory)

    def load(self, name):
        self.tell(f"load {name}")
        maps = pathlib.Path(f"/proc/{self.pid}/maps")
        while f"lib{name}.so" not in maps.read_text(encoding="ascii"):
            time.sleep(0.01)
        for _ in self.lines(0.1):
            pass

    def shifts(self, seconds=0.3, pid=None):
        """By library, the set of whole hours that its readings are ahead."""
        for _ in self.lines(0.06):
            pass  # what was on its way
        seen = {}
        for who, name, *fields in self.lines(seconds):
            if int(who) != (pid or self.pid):
                continue
            values = fields
            if "bad" in fields:
                values, bad = fields[:fields.index("bad")], fields[fields.index("bad") + 1:]
                if bad != ["0", "0"]:
                    raise AssertionError(f"{name}: bad {bad}")
            now = time.time()
            for value in values:
                off = int(value) - now
                hours = round(off / HOUR)
                if abs(off - hours * HOUR) > 5:
                    raise AssertionError(f"{name} reads {value}, now it is {now}")
                seen.setdefault(name, set()).add(hours)
        return seen


class Facts:
    """What an attach could leave behind."""

    def __init__(self, pid):
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="ascii").splitlines()
        self.maps = [line for line in maps if "[heap]" not in line and "[stack]" not in line]
        self.fds = sorted(os.listdir(f"/proc/{pid}/fd"))
        self.slots = {}
        with open(f"/proc/{pid}/mem", "rb") as memory:
            # Where slots are: in what is private of files, relocated read-only or writable; and all code.
            for line in maps:
                fields = line.split()
                if len(fields) < 6 or not fields[5].startswith("/") or fields[1] == "---p":
                    continue
                begin, end = (int(word, 16) for word in fields[0].split("-"))
                if "libc" in fields[5] and fields[1] == "rw-p":
                    continue  # its own variables
                memory.seek(begin)
                self.slots[line] = memory.read(end - begin)


class PltTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.holder.name)
        cls.build(cls.dir, "cc")

    @classmethod
    def build(cls, directory, compiler, flags=(), link=(), keeping=("one", "two", "late")):
        directory.mkdir(exist_ok=True)
        common = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", *flags]
        for name in ("one", "two", "late", "plain"):
            keep = [f"-DKEEP=keep_{name}"] if name in keeping else []
            run([*common, "-shared", "-fPIC", *link, f"-DREAD={name}", *keep, f'-DNAME="{name}"',
                 HERE / "module.c", "-o", directory / f"lib{name}.so"])
        run([*common, "-pthread", "-rdynamic", HERE / "program.c", "-o", directory / "program", "-L", directory,
             "-lone", "-ltwo", "-ldl", *link, "-Wl,-rpath,$ORIGIN"])

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def start(self, directory=None, **more):
        target = Target(directory or self.dir, **more)
        self.addCleanup(target.end)
        self.assertEqual(target.shifts(0.2)["one"], {0})
        return target

    def detach(self, target, *more):
        return events("agent", "--pid", target.pid, "--offset", "1h", "--detach", "--engine-vdso",
                      "plt", *more)[-1]

    def recover(self, target):
        return events("recover", "--pid", target.pid)[-1]

    def stay(self, target, *more):
        """An agent that has shifted it and stays; its further events."""
        agent = subprocess.Popen([PROGRAM, "agent", "--pid", str(target.pid), "--offset", "1h",
                                  "--engine-vdso", "plt", "--log-json", *more], stdout=subprocess.PIPE,
                                 text=True)
        self.addCleanup(agent.stdout.close)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        self.assertEqual(json.loads(agent.stdout.readline())["event"], "shifted")
        return agent

    def assert_same(self, before, pid):
        after = Facts(pid)
        self.assertEqual(before.maps, after.maps)
        self.assertEqual(before.fds, after.fds)
        for line, content in before.slots.items():
            self.assertEqual(content, after.slots[line], f"other bytes in {line}")

    def there_and_back(self, directory, **more):
        target = self.start(directory, **more)
        before = Facts(target.pid)
        shifted = self.detach(target, "--module", "libone.so")
        self.assertEqual(shifted["engines"], {"vdso": "plt", "syscalls": "off"})
        self.assertEqual(shifted["modules"], ["libone.so"])
        self.assertGreaterEqual(shifted["slots"], 4)
        self.assertEqual(shifted["checked"][0]["engine"], "plt")
        self.assertEqual(target.shifts(), {"one": {1}, "two": {0}})
        events("set", "--pid", target.pid, "--offset", "-2h")
        self.assertEqual(target.shifts(), {"one": {-2}, "two": {0}})
        status = events("status", "--pid", target.pid)[0]["targets"][0]
        self.assertEqual(status["engines"]["vdso"], "plt")
        self.assertEqual(status["slots"], shifted["slots"])
        recovered = self.recover(target)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        self.assertEqual((recovered["bytes"], recovered["mappings"]), ("as before", "unmapped"))
        self.assert_same(before, target.pid)
        return target

    def test_one_library_of_two(self):
        self.there_and_back(self.dir, threads=3)

    def test_read_only_slots(self):
        directory = self.dir / "relro"
        self.build(directory, "cc", link=["-Wl,-z,relro,-z,now"])
        self.there_and_back(directory)

    def test_slots_that_are_loaded(self):
        directory = self.dir / "noplt"
        self.build(directory, "cc", flags=["-fno-plt"])
        self.there_and_back(directory, threads=1)

    def test_musl(self):
        directory = self.dir / "musl"
        self.build(directory, "musl-gcc")
        self.there_and_back(directory)

    def test_unbound_slots(self):
        """Of a library that has been loaded and not been used: its slots lead to the loader."""
        directory = self.dir / "lazy"
        self.build(directory, "cc", link=["-Wl,-z,lazy"])
        target = self.start(directory)
        target.load("late")
        self.detach(target, "--module", "liblate.so")
        target.tell("call")
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "late": {1}})
        self.recover(target)
        self.assertEqual(target.shifts()["late"], {0})

    def test_unbound_slots_that_are_never_used(self):
        directory = self.dir / "lazy"
        self.build(directory, "cc", link=["-Wl,-z,lazy"])
        target = self.start(directory)
        target.load("late")
        before = Facts(target.pid)
        self.assertGreaterEqual(self.detach(target, "--module", "liblate.so")["slots"], 4)
        self.recover(target)
        self.assert_same(before, target.pid)
        target.tell("call")
        self.assertEqual(target.shifts()["late"], {0})

    def test_all_modules_and_what_is_loaded_later(self):
        target = self.start(threads=1)
        agent = self.stay(target)
        self.assertEqual(target.shifts(), {"one": {1}, "two": {1}})
        before = None
        for _ in range(3):  # the same place, and the same slots, again and again
            target.load("late")
            target.tell("call")
            loaded = json.loads(agent.stdout.readline())
            self.assertEqual((loaded["event"], loaded["slots"]), ("loaded", 4))
            self.assertIn("Z", loaded["time"])
            self.assertEqual(target.shifts()["late"], {1})
            count = events("status", "--pid", target.pid)[0]["targets"][0]["slots"]
            self.assertEqual(count, before or count)
            before = count
            target.tell("unload")
            self.assertEqual(target.shifts(), {"one": {1}, "two": {1}})
        agent.send_signal(signal.SIGINT)
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})

    def test_a_library_that_takes_long_to_load(self):
        """It is in the loader's list, and looked at, long before its slots are filled."""
        directory = self.dir / "slow"
        self.build(directory, "cc")
        run(["cc", "-O2", "-shared", "-fPIC", HERE / "slow.c", "-o", directory / "libslow.so"])
        run(["cc", "-O2", "-shared", "-fPIC", "-DREAD=late", '-DNAME="late"', HERE / "module.c", "-o",
             directory / "liblate.so", "-L", directory, "-Wl,--no-as-needed", "-lslow",
             "-Wl,-z,lazy", "-Wl,-rpath,$ORIGIN"])
        target = self.start(directory)
        agent = self.stay(target)
        target.load("late")
        target.tell("call")
        end = time.monotonic() + 10
        while (seen := target.shifts()) != {"one": {1}, "two": {1}, "late": {1}}:
            self.assertLess(time.monotonic(), end, seen)
        agent.send_signal(signal.SIGINT)
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(target.shifts()["late"], {0})

    def test_a_slot_without_a_name(self):
        self.build(self.dir / "resolved", "cc")
        run(["cc", "-O2", "-shared", "-fPIC", HERE / "resolved.c", "-o",
             self.dir / "resolved" / "libresolved.so"])
        target = self.start(self.dir / "resolved")
        target.load("resolved")
        target.tell("call")
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "resolved": {0}})
        self.assertEqual(self.detach(target, "--module", "libresolved.so")["slots"], 1)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "resolved": {1}})
        self.recover(target)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "resolved": {0}})

    def test_slots_that_are_bound_anew(self):
        """By a thread that was at it when they were led to us: they are led once more, however late."""
        target = self.start()
        before = Facts(target.pid)
        agent = self.stay(target)
        reads = pathlib.Path(f"/proc/{agent.pid}/io")

        def count():
            seen = int(re.search(r"syscr: (\d+)", reads.read_text(encoding="ascii")).group(1))
            time.sleep(1)
            return int(re.search(r"syscr: (\d+)", reads.read_text(encoding="ascii")).group(1)) - seen

        busy = count()
        time.sleep(6)
        self.assertLess(count(), busy / 2)  # it does not look at libraries that it has looked at
        for line, content in before.slots.items():
            if "libone.so" in line and " rw-p " in line:
                with open(f"/proc/{target.pid}/mem", "r+b", buffering=0) as memory:
                    memory.seek(int(line.split("-")[0], 16))
                    memory.write(content)
        self.assertTrue(select.select([agent.stdout], [], [], 10)[0], "nothing was led")
        led = json.loads(agent.stdout.readline())
        self.assertEqual(led["event"], "loaded")
        self.assertGreaterEqual(led["slots"], 3)  # those that are not made read-only
        self.assertEqual(target.shifts(), {"one": {1}, "two": {1}})

    def test_a_library_that_goes_meanwhile(self):
        """At any step of an attach: what is mapped in its place is left alone."""
        target = self.start()
        counts = self.dir / "steps"
        step, made = 0, 1
        while made > step:
            step += 1
            counts.write_bytes(bytes(32))
            target.load("late")
            with subprocess.Popen(
                    [PROGRAM, "agent", "--pid", str(target.pid), "--offset", "1h", "--detach",
                     "--engine-vdso", "plt"], stdout=subprocess.DEVNULL,
                    env=dict(os.environ, LD_PRELOAD=str(KILLER), KILL_COUNT_FILE=str(counts),
                             KILL_AT=str(step), KILL_SIGNAL="stop")) as agent:
                os.waitid(os.P_PID, agent.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                target.tell("decoy")
                for _ in target.lines(0.05):
                    pass
                agent.send_signal(signal.SIGCONT)
            self.assertEqual(agent.returncode, 0)
            made = struct.unpack("4Q", counts.read_bytes())[0]
            self.assertEqual(target.shifts(0.1), {"one": {1}, "two": {1}})
            target.tell("no decoy")
            self.assertEqual(target.shifts(0.1), {"one": {1}, "two": {1}})
            self.recover(target)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        self.assertGreater(step, 10)

    def test_forked_children(self):
        target = self.start()
        self.detach(target, "--module", "libtwo.so")
        target.tell("fork")
        child = next(int(who) for who, *_ in target.lines(5) if int(who) != target.pid)
        self.assertEqual(target.shifts(pid=child), {"one": {0}, "two": {1}})
        events("set", "--pid", target.pid, "--offset", "3h")
        self.assertEqual(target.shifts(pid=child)["two"], {3})
        events("recover", "--pid", target.pid, "--pid", child)
        self.assertEqual(target.shifts(pid=child), {"one": {0}, "two": {0}})
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        os.kill(child, signal.SIGKILL)

    def test_a_list_that_is_never_consistent(self):
        """Slots are put back all the same, for good and when an attach has failed; none is led to us."""
        target = self.start()
        self.detach(target, "--module", "libone.so")
        target.tell("inconsistent")
        self.assertEqual(target.shifts(), {"one": {1}, "two": {0}})
        recovered = self.recover(target)
        self.assertEqual((recovered["bytes"], recovered["mappings"]), ("as before", "unmapped"))
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        before = Facts(target.pid)
        line = time_chaos("agent", "--pid", target.pid, "--offset", "1h", "--engine-vdso", "plt",
                          "--detach", code=1)
        self.assertIn("loader", line)
        self.assert_same(before, target.pid)

    def test_a_kept_copy(self):
        """Of an address that the program took from a slot: our pages stay as long as it may be used."""
        target = self.start(self.dir)
        before = Facts(target.pid)
        self.detach(target)
        target.tell("keep two")
        self.assertEqual(target.shifts()["kept"], {1})
        recovered = self.recover(target)
        self.assertEqual(recovered["mappings"], "kept")
        self.assertIn("copy", recovered["why_kept"])
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "kept": {0}})
        self.detach(target)  # the same pages again
        self.assertEqual(target.shifts(), {"one": {1}, "two": {1}, "kept": {1}})
        self.recover(target)
        target.tell("forget")
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        self.assertEqual(self.recover(target)["mappings"], "unmapped")
        self.assertEqual(Facts(target.pid).maps, before.maps)

    def test_copies_that_are_hard_to_find(self):
        self.build(self.dir / "hard", "cc", keeping=("two",))
        target = self.start(self.dir / "hard")

        def recovered_with(word, reason):
            with self.subTest(word):
                self.detach(target)
                target.tell(f"keep two {word}")
                self.assertEqual(target.shifts(), {"one": {1}, "two": {1}, "kept": {1}})
                recovered = self.recover(target)
                self.assertEqual(recovered["mappings"], "kept")
                self.assertIn(reason, recovered["why_kept"])
                self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "kept": {0}})
                target.tell("forget")
                self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
                self.assertEqual(self.recover(target)["mappings"], "unmapped")

        recovered_with("sealed", "a copy of one of its slots is at")
        try:
            mmap.mmap(-1, 3 * mmap.PAGESIZE, mmap.MAP_PRIVATE).madvise(102, 0, mmap.PAGESIZE)
            recovered_with("guarded", "a copy of one of its slots is at")
        except OSError:
            pass  # guard pages: since Linux 6.13
        secret = ctypes.CDLL(None).syscall(447, 0)
        if secret >= 0:
            os.close(secret)
            recovered_with("secretly", "cannot be searched")
        self.detach(target)
        target.tell("reserve")
        self.assertEqual(target.shifts(), {"one": {1}, "two": {1}})
        self.assertIn("more memory", self.recover(target)["why_kept"])
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})

    def test_a_thread_that_waits_in_vfork(self):
        """Its child has the same memory: slots are put back, our pages stay until it is recovered again."""
        target = self.start(threads=1)
        before = Facts(target.pid)
        self.detach(target)
        target.tell("vfork")
        stat = pathlib.Path(f"/proc/{target.pid}/stat")

        def waits():
            return stat.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "D"

        while not waits():
            time.sleep(0.01)
        both = [e for e in events("recover", "--pid", target.pid) if e["event"] == "recovered"]
        self.assertEqual(len(both), 2)
        for recovered in both:
            self.assertEqual((recovered["bytes"], recovered["mappings"]), ("as before", "kept"))
            self.assertIn("as after vfork", recovered["why_kept"])
        while waits():
            time.sleep(0.01)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        self.assertEqual(self.recover(target)["mappings"], "unmapped")
        self.assertEqual(Facts(target.pid).maps, before.maps)

    def test_a_copy_that_outlives_its_slot(self):
        """Its library goes, and another's slots get the place of its records."""
        directory = self.dir / "outlives"
        self.build(directory, "cc", keeping=("late",))  # nobody else takes an address
        target = self.start(directory)
        target.load("late")
        agent = self.stay(target)
        target.tell("keep late\nunload\nload plain")
        self.assertEqual(json.loads(agent.stdout.readline())["event"], "loaded")
        self.assertEqual(target.shifts(), {"one": {1}, "two": {1}, "kept": {1}})
        agent.send_signal(signal.SIGINT)
        recovered = json.loads(agent.stdout.readline())
        self.assertEqual(recovered["mappings"], "kept")
        self.assertIn("copy", recovered["why_kept"])
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}, "kept": {0}})
        target.tell("forget")
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        self.assertEqual(self.recover(target)["mappings"], "unmapped")

    def test_an_experiment_that_is_taken_over(self):
        """Its monotonic clocks were kept ahead: its slots are led already, and those of no others."""
        target = self.start()
        self.detach(target, "--module", "libone.so", "--clocks", "monotonic")
        self.recover(target)
        again = ("agent", "--pid", target.pid, "--offset", "3h", "--engine-vdso", "plt", "--detach")
        for others in (["libtwo.so"], ["libnot.so"], [], ["libone.so", "libtwo.so"]):
            words = [word for name in others for word in ("--module", name)]
            self.assertIn("use --module libone.so\n", time_chaos(*again, *words, code=5))
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
        shifted = events(*again, "--module", "libone.so", "--module", "libone.so")[-1]
        self.assertEqual(shifted["modules"], ["libone.so"])
        self.assertGreaterEqual(shifted["slots"], 4)
        self.assertEqual(target.shifts(), {"one": {3}, "two": {0}})
        self.recover(target)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})

    def test_libraries_that_came_before_it_is_taken_over(self):
        target = self.start()
        first = self.detach(target, "--clocks", "monotonic")
        self.recover(target)
        target.load("late")
        target.tell("call")
        again = ("agent", "--pid", target.pid, "--offset", "3h", "--engine-vdso", "plt", "--detach")
        planned = events(*again, "--dry-run")[-1]
        shifted = events(*again)[-1]
        for event in (planned, shifted):
            self.assertEqual(set(event["modules"]), {*first["modules"], "liblate.so"})
        self.assertEqual(planned["slots"], shifted["slots"])
        self.assertEqual(target.shifts(), {"one": {3}, "two": {3}, "late": {3}})
        self.recover(target)
        self.assertIn("leave out --module", time_chaos(*again, "--module", "libone.so", code=5))

    def test_pages_that_are_used_again(self):
        """The table says whose slots are led now."""
        target = self.start()
        self.detach(target, "--module", "libone.so")
        target.tell("keep one")
        self.assertEqual(target.shifts()["kept"], {1})
        self.assertEqual(self.recover(target)["mappings"], "kept")
        self.detach(target, "--module", "libtwo.so")
        self.assertIn(" of libtwo.so,", time_chaos("status", "--pid", target.pid))
        self.assertEqual(target.shifts(), {"one": {0}, "two": {1}, "kept": {1}})
        self.recover(target)

    def test_with_raw_system_calls(self):
        """What another engine shifts is shifted once."""
        target = self.start()
        agent = subprocess.Popen([PROGRAM, "agent", "--pid", str(target.pid), "--offset", "1h",
                                  "--engine-vdso", "plt", "--module", "libone.so", "--json",
                                  "--engine-syscalls", "ptrace"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(agent.stdout.close)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        while json.loads(agent.stdout.readline())["event"] != "following":
            pass
        shifts = target.shifts(1)
        self.assertEqual(shifts["one"], {1})
        self.assertEqual(shifts["two"], {0, 1})  # by its system calls
        agent.send_signal(signal.SIGINT)
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})

    def test_refusals(self):
        target = self.start()
        before = Facts(target.pid)
        shift = ("agent", "--pid", target.pid, "--offset", "1h", "--engine-vdso")
        self.assertIn("libnot.so", time_chaos(*shift, "plt", "--module", "libnot.so", code=4))
        self.assertIn("--module", time_chaos(*shift, "detour", "--module", "libone.so", code=2))
        self.assertIn("plt", time_chaos(*shift, "got", code=2))
        self.assertIn("libraries", time_chaos("run", "--offset", "1h", "--engine-vdso", "plt", "--",
                                              "true", code=2))
        self.assertIn("so many modules", time_chaos(*shift, "plt", "--module", "x" * 240, code=5))
        planned = events(*shift, "plt", "--module", "libone.so", "--dry-run")[-1]
        self.assertEqual((planned["event"], planned["slots"]), ("planned", 4))
        self.assert_same(before, target.pid)
        static = self.dir / "static"
        run(["cc", "-static", "-x", "c", "-", "-o", static], input="#include <unistd.h>\nint main(void) "
            "{ pause(); }\n")
        with subprocess.Popen([static]) as process:
            try:
                time.sleep(0.1)
                line = time_chaos("agent", "--pid", process.pid, "--offset", "1h", "--engine-vdso", "plt",
                                  code=5)
            finally:
                process.kill()
        self.assertRegex(line, r"^time-chaos: cannot shift .* linked statically.*\n$")

    def test_a_program_that_was_started_through_its_loader(self):
        interpreter = run(["readelf", "-lW", self.dir / "program"]).split("interpreter: ")[1].split("]")[0]
        target = self.start(through=[interpreter])
        self.assertIn("loader", time_chaos("agent", "--pid", target.pid, "--offset", "1h",
                                           "--engine-vdso", "plt", code=5))
        self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})

    def test_a_killed_agent(self):
        """At every step of an attach and of a recovery: the program goes on, and all is put back."""
        target = self.start(threads=1)
        pid = str(target.pid)
        before = Facts(target.pid)
        counts = self.dir / "counts"
        attach = ["agent", "--pid", pid, "--offset", "1h", "--detach", "--engine-vdso", "plt"]
        recover = ["recover", "--pid", pid]
        for words in (attach, recover):
            step = 0
            while True:
                step += 1
                when = "before" if step % 2 else "after"
                if words is recover:
                    time_chaos(*attach)
                counts.write_bytes(bytes(32))
                done = subprocess.run(
                    [PROGRAM, *words], capture_output=True, check=False, timeout=60,
                    env=dict(os.environ, LD_PRELOAD=str(KILLER), KILL_COUNT_FILE=str(counts),
                             KILL_AT=str(step), KILL_WHEN=when))
                for _, name, *fields in target.lines(0.03):
                    self.assertEqual(fields[-2:], ["0", "0"], name)
                time_chaos(*recover)
                if done.returncode == 0:
                    break
                self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
            made = struct.unpack("4Q", counts.read_bytes())[0]
            self.assertGreater(made, 10)
            self.assertEqual(target.shifts(), {"one": {0}, "two": {0}})
            # A thread that a killed agent has left in it may need a moment to leave.
            self.assert_same(before, target.pid)

    def test_readme(self):
        """The section's blocks, one behind the other: a program named in its first line is a file, commands
        print what stands behind them."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = re.search(r"^### Only one library\n(.*?)^##", text, re.M | re.S).group(1)
        bin_dir = self.dir / "bin"
        bin_dir.mkdir(exist_ok=True)
        (bin_dir / "time-chaos").symlink_to(PROGRAM)
        environment = dict(os.environ, PATH=f"{bin_dir}:{os.environ['PATH']}")
        commands, ran = None, 0
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", section, re.M | re.S):
            name = re.match(r"(?://|/\*|#) (\w+\.\w+)", body)
            if name:
                (self.dir / name.group(1)).write_text(body, encoding="utf-8")
            elif language == "sh":
                commands = body
            elif commands:
                printed = run(["sh", "-ec", commands], cwd=self.dir, env=environment)
                self.assertEqual(printed, body)
                commands, ran = None, ran + 1
        self.assertEqual(ran, 1)


if __name__ == "__main__":
    unittest.main()
