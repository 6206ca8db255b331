#!/usr/bin/env python3
"""Fetches the vDSO images that golden_test checks: one of each Debian kernel series we care about.

    fetch-vdso.py [--refresh] [OUTPUT_DIRECTORY]        (default: .cache/vdso of this source tree)

The images are not kept in the repository because they are other people's builds and because the
newest build is the interesting one. For every series the newest cloud kernel package (else the plain
one) is downloaded from the mirror that this machine's own apt already uses, into a private apt state,
the 64-bit vDSO is cut out of its vmlinuz, and the package is deleted again. The result:

    SERIES.so         the image as the kernel maps it (padded with zeros to whole pages)
    SERIES.from       one line: package, version, suite, page count
    SERIES.missing    instead of the two: one line, why there is none

What is there is not fetched again without --refresh. Exits with 0 when every series is there or is
reported missing, and with 1 when there is not one image at all.
"""

import argparse
import functools
import lzma
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

# Series -> the suites that may have it. The newest version found in any of them is taken.
SERIES = {
    "5.10": ["bullseye-security", "bullseye"],
    "6.1": ["bookworm-security", "bookworm"],
    "6.12": ["trixie-security", "trixie"],
    "6.18": ["trixie-backports"],
    "7": ["experimental", "sid", "trixie-backports"],
}
PAGE = 4096
# Packages smaller than this only depend on others: from 7.2 on the kernel itself is in linux-binary-*.
SMALLEST_KERNEL = 2 << 20


class Missing(Exception):
    """Why a series cannot be had; the text is for the user."""


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        # The mirror's address is this machine's business: it does not go into SERIES.missing.
        last = re.sub(r"\w+://\S+", "(mirror)", last)
        raise Missing(f"{command[0]} failed: {last}")
    return done.stdout


# --- the mirror ---


def mirrors():
    """(main, security): base addresses of the Debian archive as this machine's apt knows them."""
    listing = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
                   "Identifier: Packages"])
    main = security = None
    for line in listing.splitlines():
        address, release, component = line.split("|")
        if component != "main" or not re.fullmatch(r"[a-z]+(-(updates|backports|security))?", release):
            continue  # somebody else's packages
        if release.endswith("-security"):
            security = security or address
        else:
            main = main or address
    if not main:
        raise Missing("this machine's apt has no Debian suite to take a mirror from")
    return main, security or re.sub(r"/debian/?$", "/debian-security/", main)


class Suite:
    """One suite in an apt state of its own, so that the machine's package lists stay as they are."""

    def __init__(self, name, root):
        self.name = name
        self.root = root / name
        for part in ("state/lists/partial", "cache/archives/partial", "parts"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        main, security = mirrors()
        # An old suite may have moved to the archive part of the mirror.
        bases = [security] if name.endswith("-security") else [main]
        bases += [re.sub(r"/(debian[a-z-]*)/?$", r"/debian-archive/\1/", bases[0])]
        problem = None
        for base in bases:
            try:
                self._update(base)
                return
            except Missing as why:
                problem = problem or why
        raise Missing(f"suite {name} cannot be read from this machine's mirror ({problem})")

    def _update(self, base):
        keyring = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        signed = f" signed-by={keyring}" if keyring.exists() else ""
        (self.root / "sources.list").write_text(f"deb [arch=amd64{signed}] {base} {self.name} main\n")
        # Read with -c, after the machine's configuration, so that #clear removes its hooks.
        (self.root / "apt.conf").write_text(f"""\
Dir::State "{self.root}/state";
Dir::State::status "/dev/null";
Dir::Cache "{self.root}/cache";
Dir::Etc::sourcelist "{self.root}/sources.list";
Dir::Etc::sourceparts "{self.root}/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{self.root}/parts";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
""")
        self.apt("apt-get", "-q", "update")

    def apt(self, tool, *arguments, **options):
        return run([tool, "-c", str(self.root / "apt.conf"), *arguments], **options)

    def kernels(self, series):
        """(version, name) of every kernel package of the series that holds a kernel."""
        pattern = re.compile(rf"linux-(image|binary)-{re.escape(series)}[.+-].*amd64(-unsigned)?")
        names = [name for name in self.apt("apt-cache", "pkgnames", "linux-").split()
                 if pattern.fullmatch(name) and not re.search(r"-(rt|dbg)\b", name)]
        found = []
        for record in (self.apt("apt-cache", "show", *names) if names else "").split("\n\n"):
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


# --- the image inside the kernel ---


def unpack_kernel(vmlinuz):
    """The vmlinux ELF inside a bzImage (Documentation/arch/x86/boot.rst: setup_sects at 0x1f1,
    payload_offset and payload_length at 0x248)."""
    if vmlinuz[0x202:0x206] != b"HdrS":
        raise Missing("vmlinuz is not a bzImage")
    setup_sectors = vmlinuz[0x1F1] or 4
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = vmlinuz[start:start + length]
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(payload)
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    for magic, command in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if payload.startswith(magic):
            # The last four bytes are the unpacked size, not part of the stream.
            done = subprocess.run([command, "-dc"], input=payload[:-4], capture_output=True)
            if not done.stdout:
                raise Missing(f"{command} cannot unpack the kernel: {done.stderr.decode().strip()}")
            return done.stdout
    raise Missing(f"the kernel is packed in a way not known here (starts with {payload[:4].hex()})")


def find_vdso64(vmlinux):
    """The one 64-bit x86-64 shared object named linux-vdso.so.1 in the kernel's data. vdso2c aligns
    it to a page and pads it with zeros to whole pages, which is how it is mapped."""
    found = set()
    position = -1
    while (position := vmlinux.find(b"\x7fELF\x02\x01\x01", position + 1)) >= 0:
        kind, machine = struct.unpack_from("<HH", vmlinux, position + 16)
        (headers,) = struct.unpack_from("<Q", vmlinux, position + 40)
        entry_size, entries = struct.unpack_from("<HH", vmlinux, position + 58)
        end = headers + entry_size * entries
        if (kind, machine) != (3, 62) or not 0 < end <= 1 << 20:  # ET_DYN, EM_X86_64
            continue
        size = -(-end // PAGE) * PAGE
        image = vmlinux[position:position + size]
        if b"linux-vdso.so.1" in image and len(image) == size:
            found.add(image)
    if len(found) != 1:
        raise Missing(f"{len(found)} 64-bit vDSO images in the kernel instead of one")
    return found.pop()


# --- all together ---


def fetch(series, get_suite, scratch):
    candidates, problems = [], []
    for name in SERIES[series]:
        try:
            suite = get_suite(name)
            candidates += [(*kernel, suite) for kernel in suite.kernels(series)]
        except Missing as why:
            problems.append(str(why))
    if not candidates:
        raise Missing("; ".join(problems) or f"no {series} kernel in {' or '.join(SERIES[series])}")
    version, package, suite = sorted(candidates, key=functools.cmp_to_key(by_preference))[0]
    work = scratch / f"kernel-{series}"
    work.mkdir()
    try:
        suite.apt("apt-get", "-q", "download", f"{package}={version}", cwd=work)
        run(["dpkg", "-x", str(next(work.glob("*.deb"))), str(work / "files")])
        kernels = sorted(work.glob("files/**/vmlinuz*"))
        if not kernels:
            raise Missing(f"{package} {version} has no vmlinuz")
        image = find_vdso64(unpack_kernel(kernels[0].read_bytes()))
    finally:
        shutil.rmtree(work)
    return image, f"{package} {version} {suite.name} {len(image) // PAGE} page(s)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refresh", action="store_true", help="fetch again what is already there")
    source_tree = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("output", nargs="?", type=pathlib.Path, default=source_tree / ".cache" / "vdso")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)

    with tempfile.TemporaryDirectory(prefix="apt-", dir=output) as scratch:
        scratch = pathlib.Path(scratch)
        get_suite = functools.cache(lambda name: Suite(name, scratch))
        for series in SERIES:
            image, origin, missing = (output / f"{series}.{end}" for end in ("so", "from", "missing"))
            if image.exists() and origin.exists() and not arguments.refresh:
                print(f"{series}: have {origin.read_text().strip()}")
                continue
            try:
                found, text = fetch(series, get_suite, scratch)
            except Missing as why:
                print(f"{series}: SKIPPED, {why}", file=sys.stderr)
                if not image.exists():
                    missing.write_text(f"{why}\n")
                continue
            missing.unlink(missing_ok=True)
            image.write_bytes(found)
            origin.write_text(f"{text}\n")
            print(f"{series}: fetched {text}")
    if not list(output.glob("*.so")):
        sys.exit("fetch-vdso.py: not one image could be fetched")


if __name__ == "__main__":
    main()
