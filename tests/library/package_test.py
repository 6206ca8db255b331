#!/usr/bin/env python3
"""The library as others get it: installed to a prefix of its own, found by pkg-config and CMake, in C
and C++, shared and static; and the README's examples as they are printed there.

    package_test.py BUILD_DIRECTORY [TEST...]
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "library"
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-pthread"]


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.dir = pathlib.Path(cls.holder.name)
        cls.prefix = cls.dir / "prefix"
        run(["cmake", "--install", BUILD, "--component", "library", "--prefix", cls.prefix])
        library = next(cls.prefix.rglob("libtime_chaos.so")).parent
        cls.environment = dict(os.environ, LD_LIBRARY_PATH=str(library),
                               PKG_CONFIG_PATH=str(library / "pkgconfig"),
                               PYTHONPATH=str(ROOT / "scripts" / "python"),
                               PYTHONDONTWRITEBYTECODE="1")
        cls.library = library

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def pkg_config(self, *options):
        return run(["pkg-config", *options, "time-chaos"], env=self.environment).split()

    def test_c_with_pkg_config(self):
        program = self.dir / "cycles"
        run(["cc", "-std=gnu11", *FLAGS, HERE / "cycles.c", *self.pkg_config("--cflags", "--libs"),
             "-o", program])
        self.assertEqual(run([program], env=self.environment), "ok\n")

    def test_c_without_the_shared_library(self):
        program = self.dir / "cycles_archive"
        libs = [word if word != "-ltime_chaos" else "-l:libtime_chaos.a"
                for word in self.pkg_config("--cflags", "--libs", "--static")]
        run(["cc", "-std=gnu11", *FLAGS, HERE / "cycles.c", *libs, "-o", program])
        self.assertEqual(run([program]), "ok\n")

    def test_cmake_package(self):
        build = self.dir / "consumer"
        run(["cmake", "-S", HERE / "consumer", "-B", build, "-G", "Ninja",
             f"-DCMAKE_PREFIX_PATH={self.prefix}"])
        run(["cmake", "--build", build])
        self.assertEqual(run([build / "scopes"]), "ok\n")
        self.assertEqual(run([build / "cycles_static"]), "ok\n")

    def test_only_the_api_is_visible(self):
        header = (ROOT / "include/time_chaos/time_chaos.h").read_text(encoding="utf-8")
        api = sorted(re.findall(r"^TC_API .*?(tc_\w+)\(", header, re.MULTILINE))
        self.assertEqual(len(api), 7)
        names = run(["nm", "-D", "--defined-only", self.library / "libtime_chaos.so"])
        self.assertEqual(sorted(line.split()[-1] for line in names.splitlines()), api)
        needed = run(["nm", "-D", "--undefined-only", self.library / "libtime_chaos.so"])
        self.assertNotRegex(needed, r"\bptrace\b")

    def test_without_address_randomisation(self):
        """As under a debugger: the places that clock_gettime's first bytes name do not exist."""
        program = self.dir / "cycles_fixed"
        run(["cc", "-std=gnu11", *FLAGS, HERE / "cycles.c", *self.pkg_config("--cflags", "--libs"),
             "-o", program])
        self.assertEqual(run(["setarch", "-R", program], env=self.environment), "ok\n")

    def test_readme(self):
        """Each block of code is a file named in its first line; what a block of commands prints stands in
        the block behind it."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = re.search(r"^## In a program of your own\n(.*?)^## ", text, re.M | re.S).group(1)
        ran = 0
        commands = None
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", section, re.M | re.S):
            name = re.match(r"(?://|/\*|#) (\w+\.\w+)", body)
            if name:
                (self.dir / name.group(1)).write_text(body, encoding="utf-8")
            elif language == "sh" and ("cc " in body or "python3 " in body):
                commands = body
            elif language == "" and commands:
                printed = run(["sh", "-ec", commands], cwd=self.dir, env=self.environment)
                self.assertEqual(printed, body)
                commands = None
                ran += 1
        self.assertEqual(ran, 3)


if __name__ == "__main__":
    unittest.main()
