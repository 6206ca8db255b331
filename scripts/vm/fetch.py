#!/usr/bin/env python3
"""Fetches what the tests on other kernels need: QEMU and a Debian kernel of each series.

    fetch.py [--refresh] [SERIES...]        (default: all series: 5.10 6.1 6.12 6.18 7)

They go into .cache/ of this source tree or into $TIME_CHAOS_CACHE, and are not fetched again without
--refresh. A kernel that cannot be had is SKIPPED, aloud. Exits with 0 when QEMU and at least one kernel
are there.
"""

import argparse
import shutil
import sys

import kernels
import qemu
from cache import locked, scratch
from debian import Missing


def find_program(name):
    """As root's path has it: sbin is not in everybody's."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"{name} is not installed (scripts/packages.sh vm)")
    return found


def fetch_all(series, refresh=False):
    """Series -> why it is missing. QEMU's absence is Missing itself."""
    missing, suites = {}, {}
    with locked(), scratch() as work:
        print(f"qemu: {qemu.fetch(work, refresh)}", flush=True)
        for one in series:
            try:
                print(f"{one}: {kernels.fetch(one, work, suites, refresh)}", flush=True)
            except Missing as why:
                if kernels.is_there(one):
                    print(f"{one}: have {kernels.origin(one)}; not refreshed: {why}", flush=True)
                else:
                    missing[one] = str(why)
                    print(f"{one}: SKIPPED, {why}", file=sys.stderr, flush=True)
    return missing


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refresh", action="store_true", help="fetch again what is already there")
    parser.add_argument("series", nargs="*", metavar="SERIES", help=" ".join(kernels.SERIES))
    arguments = parser.parse_args()
    series = [kernels.series_of(text) for text in arguments.series] or list(kernels.SERIES)
    if None in series:
        parser.error(f"there are the series {' '.join(kernels.SERIES)}")
    try:
        missing = fetch_all(series, arguments.refresh)
    except Missing as why:
        sys.exit(f"fetch.py: no QEMU: {why}")
    if len(missing) == len(series):
        sys.exit("fetch.py: not one kernel could be fetched")


if __name__ == "__main__":
    main()
