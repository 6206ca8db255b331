#!/usr/bin/env python3
"""The Python door: what people who know freezegun expect, and what that cannot do.

    python_test.py BUILD_DIRECTORY
"""

import asyncio
import ctypes
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from datetime import date, datetime, timedelta, timezone

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ROOT / "scripts" / "python"
os.environ["TIME_CHAOS_LIBRARY"] = str(pathlib.Path(sys.argv.pop(1)).resolve() / "libtime_chaos.so.0")
sys.path.insert(0, str(PYTHON))
sys.dont_write_bytecode = True

import time_chaos  # noqa: E402

NEW_YEAR = datetime(2030, 1, 1, tzinfo=timezone.utc)
SECONDS = 1893456000
SLACK = 20
LIBC = ctypes.CDLL(None)


def real():
    """By a system call: 228 is clock_gettime on x86-64."""
    now = (ctypes.c_int64 * 2)()
    LIBC.syscall(228, 0, ctypes.byref(now))
    return now[0]


def shift():
    return time.time() - real()


class PythonTest(unittest.TestCase):
    def tearDown(self):
        self.assertLess(abs(shift()), SLACK)

    def assert_shift(self, seconds):
        self.assertLess(abs(shift() - seconds), SLACK)

    def test_freeze(self):
        with time_chaos.freeze(NEW_YEAR) as clock:
            self.assertEqual(time.time(), SECONDS)
            self.assertEqual(datetime.now(timezone.utc), NEW_YEAR)
            self.assertEqual(date.today().year, 2030)
            self.assertEqual(time.gmtime().tm_year, 2030)
            clock.tick()
            self.assertEqual(time.time(), SECONDS + 1)
            clock.tick(timedelta(minutes=-1, microseconds=5))
            self.assertEqual(time.time_ns(), (SECONDS - 59) * 10**9 + 5000)
            clock.tick(0.5)
            self.assertEqual(time.time_ns(), (SECONDS - 59) * 10**9 + 500005000)
            clock.move_to(NEW_YEAR + timedelta(days=1))
            self.assertEqual(time.time(), SECONDS + 86400)

    def test_what_a_date_may_be(self):
        for at in (NEW_YEAR, datetime(2030, 1, 1), date(2030, 1, 1), "2030-01-01", SECONDS,
                   "2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00Z", float(SECONDS)):
            with time_chaos.freeze(at):
                self.assertEqual(time.time(), SECONDS, at)
        for at in ("soon", [], True):
            self.assertRaises((TypeError, ValueError), time_chaos.freeze, at)

    def test_freeze_where_it_is(self):
        with time_chaos.freeze() as clock:
            before = time.time_ns()
            time.sleep(0.002)
            self.assertEqual(time.time_ns(), before)
            clock.tick()
            self.assertEqual(time.time_ns(), before + 10**9)

    def test_shift_and_rate(self):
        with time_chaos.shift(timedelta(hours=-1)) as shifted:
            self.assert_shift(-3600)
            shifted.move_to(7200)
            self.assert_shift(7200)
            with time_chaos.rate(1000, at=NEW_YEAR) as running:
                time.sleep(0.05)
                self.assertGreaterEqual(time.time(), SECONDS + 50)
                running.change_to(0)
                self.assertEqual(time.time(), time.time())
            self.assert_shift(7200)

    def test_nesting(self):
        with time_chaos.freeze(NEW_YEAR) as outer:
            with time_chaos.freeze("2031-01-01"):
                self.assertEqual(datetime.now().year, 2031)
                outer.tick()  # not to be seen here
                self.assertEqual(datetime.now().year, 2031)
            self.assertEqual(time.time(), SECONDS + 1)

    def test_decorators(self):
        frozen = time_chaos.freeze(NEW_YEAR)

        @frozen
        def function(argument, *, depth=2):
            self.assertEqual(time.time(), SECONDS)
            return argument if depth == 0 else function(argument, depth=depth - 1)

        @frozen
        async def coroutine():
            await asyncio.sleep(0)
            return time.time()

        @frozen
        class Tests:
            def test_it(self):
                return time.time()

            def helper(self):
                return time.time()

        self.assertEqual(function(7), 7)
        self.assertEqual(function.__name__, "function")
        self.assertEqual(asyncio.run(coroutine()), SECONDS)
        self.assertEqual(Tests().test_it(), SECONDS)
        self.assertNotEqual(Tests().helper(), SECONDS)

    def test_an_exception_ends_it(self):
        with self.assertRaises(KeyError):
            with time_chaos.freeze(NEW_YEAR):
                raise KeyError
        self.assert_shift(0)

    def test_threads(self):
        seen = []
        with time_chaos.freeze(NEW_YEAR):
            threads = [threading.Thread(target=lambda: seen.append(time.time())) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(seen, [SECONDS] * 8)

    def test_c_code(self):
        """Which freezegun cannot reach."""
        with time_chaos.freeze(NEW_YEAR):
            self.assertEqual(LIBC.time(None), SECONDS)

    @unittest.skipIf(sys.version_info < (3, 11), "Python waits until a date before 3.11")
    def test_waits_with_a_timeout_end(self):
        """sem_timedwait() with a date that is made of a frozen clock hangs, or ends at once."""
        with time_chaos.freeze(NEW_YEAR):
            lock = threading.Lock()
            self.assertTrue(lock.acquire())
            self.assertFalse(lock.acquire(timeout=0.01))
            self.assertFalse(threading.Event().wait(0.01))
            self.assertRaises(queue.Empty, queue.Queue().get, timeout=0.01)
            semaphore = threading.Semaphore(0)
            self.assertFalse(semaphore.acquire(timeout=0.01))

    def test_forked_children(self):
        with time_chaos.freeze(NEW_YEAR) as clock:
            child = os.fork()
            if child == 0:
                clock.tick()
                os._exit(0 if time.time() == SECONDS + 1 else 1)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(time.time(), SECONDS)

    def test_errors(self):
        self.assertRaises(TypeError, time_chaos.shift, "1h")
        with self.assertRaisesRegex(time_chaos.TimeChaosError, "1970"):
            time_chaos.shift(timedelta(days=-36500)).start()
        frozen = time_chaos.freeze(NEW_YEAR)
        self.assertRaises(time_chaos.TimeChaosError, frozen.stop)
        self.assertRaises(time_chaos.TimeChaosError, frozen.tick)
        with frozen:
            self.assertRaises(time_chaos.TimeChaosError, frozen.move_to, -1)
            self.assertEqual(time.time(), SECONDS)

    def test_pytest_fixture(self):
        with tempfile.TemporaryDirectory() as folder:
            test = pathlib.Path(folder) / "test_it.py"
            test.write_text("import time, pytest\n"
                            "@pytest.mark.frozen_clock('2030-01-01')\n"
                            "def test_it(frozen_clock):\n"
                            f"    assert time.time() == {SECONDS}\n"
                            "    frozen_clock.tick(5)\n"
                            f"    assert time.time() == {SECONDS + 5}\n", encoding="utf-8")
            done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p",
                                   "time_chaos.pytest_plugin", "-p", "no:cacheprovider", test],
                                  env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(PYTHON), *filter(None, [os.environ.get("PYTHONPATH")])])),
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_pip_installs_it(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "source"
            subprocess.run(["cp", "-r", PYTHON, copy], check=True)
            into = pathlib.Path(folder) / "site"
            done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index",
                                   "--no-build-isolation", "--no-deps", "--target", into, copy],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue((into / "time_chaos" / "pytest_plugin.py").exists())


if __name__ == "__main__":
    unittest.main()
