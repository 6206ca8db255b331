#!/usr/bin/env python3
"""Runs the tests on other kernels: boots each of them in QEMU, several times with different arguments, and
runs in each boot the cases that are meant for it (guest/).

    run.py [--kernel SERIES]... [--boot NAME]... [--case PATTERN] [--build DIR] [--junit FILE] [-v]
    run.py --measure [--kernel SERIES]... [--boot NAME]...

Prints every test that failed or was skipped, -v all of them with what they say. Exits with 0 when none
failed and at least one kernel ran. The programs are those of DIR (default: build/): time-chaos, vm_targets,
unit_syscalls, unit_vdso and unit_library must be built.
"""

import argparse
import concurrent.futures
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts" / "vm"))

import fetch
import guest
import initramfs
import kernels
import results
from debian import Missing
from guest_python import add_python

# What a kernel is booted with. Two processors, so that programs are preempted and also run side by side.
BOOTS = {
    "tsc": "",
    "full": "preempt=full",
    "hpet": "clocksource=hpet",
    "lockdown": "lockdown=integrity",
    "novdso": "vdso=0",
}
# Boots that are not for every kernel.
ONLY = {"novdso": ("6.12",)}
NOT_BOOTED = {("5.10", "full"): "its preemption cannot be chosen at boot"}
GUEST_MODULES = ("collections", "contextlib", "fnmatch", "json", "select", "signal", "statistics", "subprocess",
                 "traceback", "encodings.ascii", "encodings.latin_1")
TOOLS = ("bpftool", "unshare", "setpriv", "date", "env")
TIMEOUT = 900  # seconds; a boot with its cases takes some minutes


def pack(build, program, path):
    """One initramfs for all boots."""
    archive = initramfs.base()
    archive.program(program, "time-chaos")
    for tool in TOOLS:
        archive.program(fetch.find_program(tool))
    add_python(archive, GUEST_MODULES)
    for target in sorted((build / "tests/vm/targets").iterdir()):
        archive.program(target, path=f"targets/{target.name}")
    for units in ("unit_syscalls", "unit_vdso", "unit_library"):
        archive.program(build / "tests" / units, path=f"targets/{units}")
    for script in ("watch.py", "script"):
        archive.file(f"targets/{script}", HERE / "targets" / script)
    for module in sorted((HERE / "guest").glob("*.py")):
        archive.file(f"tests/{module.name}", module)
    archive.write(path)


def job(boot, pattern):
    return f"exec python3 -B -E -S /tests/main.py {boot} '{pattern}'\n"


def run_boot(series, boot, packed, pattern):
    outcome = guest.run_job(series, packed, job(boot, pattern), BOOTS.get(boot, ""), TIMEOUT)
    return results.parse(f"{series} {boot}", outcome)


def pairs_of(series, boots):
    return [(one, boot) for boot in boots for one in reversed(series) if one in ONLY.get(boot, series)]


def run_cases(pairs, packed, pattern, jobs, verbose):
    done = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run_boot, *pair, packed, pattern) for pair in pairs]
        for future in concurrent.futures.as_completed(running):
            done.append(future.result())
            results.show(done[-1], verbose)
    return done


def run_measurements(pairs, packed):
    """One guest at a time: side by side they would measure each other."""
    return results.show_measurements(
        (f"{series} {BOOTS[boot]}".strip(), guest.run_job(series, packed, job("measure", ""), BOOTS[boot], TIMEOUT))
        for series, boot in pairs)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", action="append", metavar="SERIES", help=f"of {' '.join(kernels.SERIES)}")
    parser.add_argument("--boot", action="append", choices=list(BOOTS))
    parser.add_argument("--case", default="*", metavar="PATTERN")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parents[1] / "build")
    parser.add_argument("--program", type=pathlib.Path, help="another time-chaos than DIR's")
    parser.add_argument("--junit", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2, help="guests at a time")
    parser.add_argument("--measure", action="store_true", help="no tests: what calls cost")
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args()
    arguments.series = [kernels.series_of(text) for text in arguments.kernel or kernels.SERIES]
    if None in arguments.series:
        parser.error(f"there are the kernels {' '.join(kernels.SERIES)}")
    return arguments


def main():
    arguments = parse_arguments()
    began = time.monotonic()
    try:
        missing = fetch.fetch_all(arguments.series)
    except Missing as why:
        sys.exit(f"run.py: no QEMU: {why}")
    there = [one for one in arguments.series if one not in missing]
    if not there:
        sys.exit("run.py: not one kernel could be had")

    # The longest come first, so that no processor waits for the last one alone: those of new kernels, in the order of
    # BOOTS.
    wanted = pairs_of(there, arguments.boot or (("tsc", "full") if arguments.measure else BOOTS))
    pairs = [pair for pair in wanted if pair not in NOT_BOOTED]
    with tempfile.NamedTemporaryFile(prefix="initramfs-") as packed:
        pack(arguments.build, arguments.program or arguments.build / "time-chaos", packed.name)
        if arguments.measure:
            return run_measurements(pairs, packed.name)
        done = run_cases(pairs, packed.name, arguments.case, arguments.jobs, arguments.verbose)
    done += [results.skipped(one, why) for one, why in missing.items()]
    done += [results.skipped(" ".join(pair), NOT_BOOTED[pair]) for pair in wanted if pair in NOT_BOOTED]
    if arguments.junit:
        results.write_junit(done, arguments.junit)
    print(f"took {time.monotonic() - began:.0f} s")
    return results.summary(done)


if __name__ == "__main__":
    sys.exit(main())
