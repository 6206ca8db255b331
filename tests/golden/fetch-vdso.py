#!/usr/bin/env python3
"""Fetches the vDSO images that golden_test checks: one of each Debian kernel series we care about.

    fetch-vdso.py [--refresh] [OUTPUT_DIRECTORY]        (default: .cache/vdso of this source tree)

The images are not kept in the repository because they are other people's builds and because the
newest build is the interesting one. For every series the kernel is fetched as for the virtual machines
(scripts/vm/kernels.py), and the 64-bit vDSO is cut out of its vmlinuz. The result:

    SERIES.so         the image as the kernel maps it (padded with zeros to whole pages)
    SERIES.from       one line: package, version, suite, page count
    SERIES.missing    instead of the two: one line, why there is none

What is there is not fetched again without --refresh. Exits with 0 when every series is there or is
reported missing, and with 1 when there is not one image at all.
"""

import argparse
import lzma
import pathlib
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "vm"))

import kernels
from cache import SOURCE_TREE, locked, scratch
from debian import Missing

PAGE = 4096


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refresh", action="store_true", help="fetch again what is already there")
    parser.add_argument("output", nargs="?", type=pathlib.Path, default=SOURCE_TREE / ".cache" / "vdso")
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)

    suites = {}
    with locked(), scratch() as work:
        for series in kernels.SERIES:
            image, origin, missing = (output / f"{series}.{end}" for end in ("so", "from", "missing"))
            if image.exists() and origin.exists() and not arguments.refresh:
                print(f"{series}: have {origin.read_text().strip()}")
                continue
            try:
                kernels.fetch(series, work, suites, arguments.refresh)
                found = find_vdso64(unpack_kernel((kernels.directory(series) / "vmlinuz").read_bytes()))
            except Missing as why:
                print(f"{series}: SKIPPED, {why}", file=sys.stderr)
                if not image.exists():
                    missing.write_text(f"{why}\n")
                continue
            text = f"{kernels.origin(series)} {len(found) // PAGE} page(s)"
            missing.unlink(missing_ok=True)
            image.write_bytes(found)
            origin.write_text(f"{text}\n")
            print(f"{series}: fetched {text}")
    if not list(output.glob("*.so")):
        sys.exit("fetch-vdso.py: not one image could be fetched")


if __name__ == "__main__":
    main()
