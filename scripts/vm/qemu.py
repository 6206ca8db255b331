"""QEMU 10.0, out of bookworm-backports: bookworm's own 7.2 crashes guests now and then (DESIGN §5). It is
unpacked into the cache, with those of its libraries that the machine does not have, and not installed."""

import subprocess

from cache import cache, replace_directory
from debian import Missing, Suites

SUITE = "bookworm-backports"
DATA = ("usr/share/qemu", "usr/share/seabios")


def directory():
    return cache() / "qemu"


def libraries():
    return f"{directory()}/usr/lib/x86_64-linux-gnu:{directory()}/lib/x86_64-linux-gnu"


def command():
    """The program with what it needs to find its parts, in the cache or installed."""
    data = [part for name in DATA for part in ("-L", f"{directory()}/{name}", "-L", f"/{name}")]
    return ["env", f"LD_LIBRARY_PATH={libraries()}", f"{directory()}/usr/bin/qemu-system-x86_64", *data]


def version():
    """None where it is not there, or does not start because the machine has lost a library."""
    try:
        done = subprocess.run([*command(), "--version"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.splitlines()[0] if done.returncode == 0 else None


def fetch(scratch, refresh=False):
    have = version()
    if have and not refresh:
        return f"have {have}"
    suites = Suites(["bookworm", "bookworm-security", SUITE], scratch, status="/var/lib/dpkg/status")
    new = scratch / "qemu"
    new.mkdir()
    suites.unpack_with_dependencies("qemu-system-x86", SUITE, new)
    replace_directory(new, directory())
    have = version()
    if not have:
        raise Missing("the unpacked QEMU does not start")
    return f"fetched {have}"
