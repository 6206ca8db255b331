"""A kubectl whose kustomize is of this decade. Debian 12's is 1.20, whose kustomize (2.0.3) takes no folders
as resources; where the machine has no newer one, Debian 13's is fetched, once, into the cache.
"""

import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts/vm"))

import debian
from cache import cache, locked, replace_directory, scratch

SUITE, PACKAGE = "trixie", "kubectl"
OLDEST = (1, 21)


def version_of(program):
    said = subprocess.run([program, "version", "--client"], capture_output=True, text=True).stdout
    found = re.search(r"v(\d+)\.(\d+)\.", said)
    return tuple(map(int, found.groups())) if found else (0, 0)


def fetch():
    place = cache() / "kubectl"
    with locked(), scratch() as work:
        if not (place / "kubectl").exists():
            debian.Suites([SUITE], work).unpack_newest(PACKAGE, work / "files")
            (work / "new").mkdir()
            shutil.move(work / "files/usr/bin/kubectl", work / "new/kubectl")
            replace_directory(work / "new", place)
    return str(place / "kubectl")


def find():
    """Its path; debian.Missing says why there is none."""
    installed = shutil.which("kubectl")
    if installed and version_of(installed) >= OLDEST:
        return installed
    fetched = fetch()
    if version_of(fetched) < OLDEST:
        raise debian.Missing("Debian 13's kubectl does not run here")
    return fetched
