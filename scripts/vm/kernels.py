"""Debian's kernels: the newest build of each series we care about, for the virtual machines and for the
vDSO images of the golden tests. In the cache:

    kernels/SERIES/vmlinuz
    kernels/SERIES/config
    kernels/SERIES/from      one line: package, version, suite
"""

import functools
import re
import subprocess

from cache import cache, replace_directory
from debian import Missing, Suites

# Series -> the suites that may have it. The newest version found in any of them is taken.
SERIES = {
    "5.10": ["bullseye-security", "bullseye"],
    "6.1": ["bookworm-security", "bookworm"],
    "6.12": ["trixie-security", "trixie"],
    "6.18": ["trixie-backports"],
    "7": ["experimental", "sid", "trixie-backports"],
}
# Packages smaller than this only depend on others: from 7.2 on the kernel itself is in linux-binary-*.
SMALLEST_KERNEL = 2 << 20


def series_of(text):
    """The series that a user means: 6.12, 7, or also 7.3."""
    if text in SERIES:
        return text
    major = text.split(".")[0]
    return major if major in SERIES else None


def kernel_packages(suite, series):
    """(version, name) of every kernel package of the series that holds a kernel."""
    pattern = re.compile(rf"linux-(image|binary)-{re.escape(series)}[.+-].*amd64(-unsigned)?")
    names = [name for name in suite.apt("apt-cache", "pkgnames", "linux-").split()
             if pattern.fullmatch(name) and not re.search(r"-(rt|dbg)\b", name)]
    found = []
    for record in (suite.apt("apt-cache", "show", *names) if names else "").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Size): (.*)$", record, re.M))
        if int(fields.get("Size", 0)) >= SMALLEST_KERNEL:
            found.append((fields["Version"], fields["Package"]))
    return found


def by_preference(one, other):
    """Newest version first; of the same version cloud first (a small package), signed first."""
    if one[0] != other[0]:
        newer = subprocess.run(["dpkg", "--compare-versions", one[0], "gt", other[0]])
        return -1 if newer.returncode == 0 else 1
    rank = lambda package: ("cloud" not in package[1], package[1].endswith("-unsigned"), package[1])
    return -1 if rank(one) < rank(other) else 1


def directory(series):
    return cache() / "kernels" / series


def is_there(series):
    return all((directory(series) / name).exists() for name in ("vmlinuz", "from"))


def origin(series):
    return (directory(series) / "from").read_text().strip()


def fetch(series, scratch, suites, refresh=False):
    """Fetches the kernel unless it is there. `suites` maps a suite's name to its Suites, so that several
    series read a suite once. The cache must be locked."""
    if is_there(series) and not refresh:
        return f"have {origin(series)}"
    candidates, problems = [], []
    for name in SERIES[series]:
        try:
            if name not in suites:
                suites[name] = Suites([name], scratch)
            candidates += [(*package, name) for package in kernel_packages(suites[name], series)]
        except Missing as why:
            problems.append(str(why))
    if not candidates:
        raise Missing("; ".join(problems) or f"no {series} kernel in {' or '.join(SERIES[series])}")
    version, package, name = sorted(candidates, key=functools.cmp_to_key(by_preference))[0]
    work = scratch / f"kernel-{series}"
    suites[name].unpack(package, version, work / "files")
    new = work / "new"
    new.mkdir()
    for part in ("vmlinuz", "config"):
        # boot/vmlinuz-VERSION, from 7.2 on usr/lib/modules/VERSION/vmlinuz.
        found = [path for path in sorted(work.glob(f"files/**/{part}*"))
                 if path.is_file() and path.name.split("-")[0] == part]
        if found:
            found[0].rename(new / part)
        elif part == "vmlinuz":
            raise Missing(f"{package} {version} has no vmlinuz")
    text = f"{package} {version} {name}"
    (new / "from").write_text(text + "\n")
    replace_directory(new, directory(series))
    return f"fetched {text}"
