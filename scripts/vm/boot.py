#!/usr/bin/env python3
"""Boots one kernel and runs a script in it, with the given programs in /bin.

    boot.py KERNEL JOB.sh [--program FILE[=NAME]]... [--append "KERNEL ARGUMENTS"] [--console]

KERNEL is a series (5.10 6.1 6.12 6.18 7), fetched when it is not there. Prints what the job prints and
exits with its code; 124 when it was not done in time, 125 when the guest ended without it.
"""

import argparse
import pathlib
import sys
import tempfile

import fetch
import guest
import initramfs
import kernels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel")
    parser.add_argument("job", type=pathlib.Path)
    parser.add_argument("--program", action="append", default=[], metavar="FILE[=NAME]")
    parser.add_argument("--file", action="append", default=[], metavar="FILE=PATH_IN_GUEST")
    parser.add_argument("--append", default="", help="more arguments for the kernel")
    parser.add_argument("--timeout", type=int, default=180, help="seconds")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--console", action="store_true", help="show the kernel's messages too")
    arguments = parser.parse_args()
    series = kernels.series_of(arguments.kernel)
    if not series:
        parser.error(f"there are the series {' '.join(kernels.SERIES)}")
    if not kernels.is_there(series) or not guest.qemu.version():
        if fetch.fetch_all([series]):
            return 125

    archive = initramfs.base()
    for program in arguments.program:
        path, _, name = program.partition("=")
        archive.program(path, name or None)
    for file in arguments.file:
        path, _, name = file.partition("=")
        archive.file(name, path)
    with tempfile.NamedTemporaryFile(prefix="initramfs-") as packed:
        archive.write(packed.name)
        outcome = guest.run_job(series, packed.name, arguments.job.read_text(), arguments.append,
                                arguments.timeout, arguments.cpus, arguments.memory)
    print(outcome.output, end="" if outcome.output.endswith("\n") else "\n")
    if arguments.console or outcome.problem:
        print(outcome.console, file=sys.stderr)
    print(f"boot.py: {kernels.origin(series)}, {outcome.seconds:.1f} s"
          f"{', second boot' if outcome.boots > 1 else ''}"
          f"{': ' + outcome.problem if outcome.problem else ''}", file=sys.stderr)
    if outcome.code is None:
        return 124 if "not done" in outcome.problem else 125
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
